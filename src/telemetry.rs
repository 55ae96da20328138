//! Log lines, on standard error: standard output belongs to data.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, Logging};

/// Why log lines cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("logging.filter {filter:?} is not a filter: {source}")]
    Filter {
        /// The filter.
        filter: String,
        /// Why not.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something else writes log lines in this process already.
    #[error("log lines are already set up")]
    AlreadySet,
}

/// Sends the log lines of the process to standard error, coloured if that is a terminal and
/// `NO_COLOR` is not set.
///
/// # Errors
/// [`TelemetryError::AlreadySet`] the second time.
pub fn init(logging: &Logging) -> Result<(), TelemetryError> {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = !plain && io::stderr().is_terminal();
    subscriber(logging, io::stderr, colour)?.try_init().map_err(|_| TelemetryError::AlreadySet)
}

/// What writes the lines, and where to.
fn subscriber<W>(
    logging: &Logging,
    writer: W,
    colour: bool,
) -> Result<Box<dyn Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&logging.filter)
        .map_err(|source| TelemetryError::Filter { filter: logging.filter.clone(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match logging.format {
        LogFormat::Text => Box::new(lines.with_ansi(colour).finish()),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(format: LogFormat, filter: &str, colour: bool) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let logging = Logging { format, filter: filter.to_owned() };
        let subscriber = subscriber(&logging, move || writer.clone(), colour).expect("a filter");
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(partition = 3, "restored");
            tracing::debug!("detail");
        });
        let bytes = kept.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).expect("log lines are UTF-8")
    }

    #[test]
    fn a_line_is_text_or_json_and_passes_the_filter() {
        let text = lines(LogFormat::Text, "info", false);
        assert!(text.trim_end().ends_with("restored partition=3"), "{text}");
        assert!(!text.contains('\u{1b}') && text.lines().count() == 1, "{text}");
        assert!(lines(LogFormat::Text, "info", true).contains('\u{1b}'));

        let json = lines(LogFormat::Json, "debug", true);
        let first = json.lines().next().expect("a line");
        let value: serde_json::Value = serde_json::from_str(first).expect("it is JSON");
        assert_eq!((&value["message"], &value["partition"]), (&"restored".into(), &3.into()));
        assert_eq!(json.lines().count(), 2);

        assert_eq!(lines(LogFormat::Text, "warn", false), "");
    }
}
