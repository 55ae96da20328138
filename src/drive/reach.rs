//! Whether the log can be reached: one loop says it for all who stand on it.

use std::time::Duration;

use super::Shell;
use super::vitals::Vitals;

/// What its thread and its condition are called.
pub(super) const NAME: &str = "log";
/// Between two questions.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Asks the log again and again, until the process stops, and says in readiness what does not
/// answer.
pub(super) fn watch(shell: &Shell, vitals: Vitals) {
    loop {
        let away = shell.log.reach().err().map(|error| error.to_string());
        vitals.beat();
        vitals.say(away.as_deref());
        if !shell.pause(ASK_EVERY) {
            break;
        }
    }
    vitals.retire();
}
