//! The tasks this process is given: started and stopped as the group shares partitions out, and
//! watched while they run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use trunkline_schemas::{Offset, Partition, Stored, Topic};

use super::vitals::Vitals;
use super::{IDLE_WAIT, Shell};
use crate::admin::health::Condition;
use crate::admin::metrics::{Stage, TaskGauges};
use crate::clock::{self, Elapsed, Uptime};
use crate::log::{Change, LogError};

/// Between two looks at how far the tasks are behind.
const LOOK: Duration = Duration::from_secs(1);
/// A task that makes no progress for so long, while its input grows, is not ready.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// A processor or sink: what its tasks have in common.
pub struct Kind {
    /// Its name, for example `conversation`.
    pub name: &'static str,
    /// What its tasks read.
    pub input: Topic,
    /// How its metrics are labelled.
    pub stage: Stage,
    /// Runs the task of a partition until the shell it is given stops; it reports there.
    pub run: Box<Run>,
}

impl Kind {
    /// What its group is called where it reports.
    pub fn group(&self) -> String {
        format!("{} group", self.name)
    }
}

type Run = dyn Fn(&Shell, Partition, &Reached, Vitals) + Send + Sync;

/// How far a task has come: it says so here, and is watched by it.
pub struct Reached {
    gauges: TaskGauges,
    told: Mutex<Told>,
}

#[derive(Clone, Copy, Default)]
struct Told {
    position: Option<Offset>,
    oldest_ms: Option<i64>,
}

impl Reached {
    /// That of a task that has not begun.
    pub fn new(gauges: TaskGauges) -> Self {
        Self { gauges, told: Mutex::default() }
    }

    /// The position as committed, and when the oldest record was appended that has been read and
    /// not been dealt with (milliseconds since 1970).
    pub fn tell(&self, position: Offset, oldest_ms: Option<i64>) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) =
            Told { position: Some(position), oldest_ms };
    }

    /// The gauges of the task.
    pub fn gauges(&self) -> &TaskGauges {
        &self.gauges
    }

    fn told(&self) -> Told {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the tasks of a kind whose partitions are given to this process, until it stops.
pub fn run(shell: &Shell, kind: &Arc<Kind>, runtime: &Handle, vitals: Vitals) {
    vitals.keep(shell, kind.stage, |vitals| {
        let mut tasks = Tasks { shell, kind, runtime, running: BTreeMap::new() };
        be_member(&mut tasks, vitals)
    });
}

fn be_member(tasks: &mut Tasks<'_>, vitals: &Vitals) -> Result<(), LogError> {
    let Kind { name, input, .. } = **tasks.kind;
    let mut member = tasks.shell.log.join(name, input)?;
    vitals.say(Some("no partitions have been shared out yet"));
    let mut looked = Elapsed::start();
    while !tasks.shell.stop.is_cancelled() {
        vitals.beat();
        match member.poll(IDLE_WAIT)? {
            Some(Change::Take(partitions)) => {
                tracing::info!(group = name, ?partitions, "partitions taken");
                partitions.iter().try_for_each(|partition| tasks.start(*partition))?;
                vitals.say(None);
            }
            Some(Change::GiveUp) => {
                tracing::info!(group = name, "partitions are shared out anew");
                vitals.say(Some("partitions are given up: their tasks come to an end"));
                tasks.stop();
                member.gave_up()?;
                vitals.say(Some("partitions are being shared out anew"));
            }
            None => {}
        }
        if looked.time() >= LOOK {
            tasks.look();
            looked = Elapsed::start();
        }
    }
    // What it was doing is committed before others may have it.
    tasks.stop();
    Ok(())
}

/// The tasks of a kind that run in this process. Dropped, they end.
struct Tasks<'a> {
    shell: &'a Shell,
    kind: &'a Arc<Kind>,
    runtime: &'a Handle,
    running: BTreeMap<Partition, Running>,
}

struct Running {
    stop: CancellationToken,
    thread: JoinHandle<()>,
    reached: Arc<Reached>,
    pace: Pace,
    /// A position behind which no record was found, and the end of the input then.
    nothing_at: Option<(Offset, Offset)>,
    moves: Condition,
}

impl Running {
    /// How many records the task is behind, and when the oldest of them was appended. One that has
    /// not even read the next does not know that: the log does, or knows that there is none and
    /// only marks of transactions are left.
    fn behind(
        &mut self,
        position: Offset,
        end: Offset,
        oldest_ms: Option<i64>,
        read: &dyn Fn() -> Option<Vec<Stored>>,
    ) -> (u64, Option<i64>) {
        let lag = u64::try_from(end - position).unwrap_or(0);
        if lag == 0 || self.nothing_at == Some((position, end)) {
            return (0, None);
        }
        if oldest_ms.is_some() || self.pace.position != Some(position) {
            return (lag, oldest_ms);
        }
        let Some(records) = read() else { return (lag, None) };
        if records.is_empty() {
            self.nothing_at = Some((position, end));
            return (0, None);
        }
        (lag, records.first().map(|next| next.append_time_ms))
    }
}

impl Tasks<'_> {
    fn start(&mut self, partition: Partition) -> Result<(), LogError> {
        let (kind, id) = (Arc::clone(self.kind), format!("{}-{partition}", self.kind.name));
        let vitals = Vitals::new(self.shell, &id);
        let moves = self.shell.health.condition(format!("{id} moves on"));
        moves.set(true, "");
        let stop = self.shell.stop.child_token();
        let shell = Shell { stop: stop.clone(), ..self.shell.clone() };
        let gauges = shell.metrics.task(kind.stage, kind.input, partition);
        let reached = Arc::new(Reached::new(gauges));
        let (told, runtime) = (Arc::clone(&reached), self.runtime.clone());
        let body = move || {
            let _entered = runtime.enter();
            (kind.run)(&shell, partition, &told, vitals);
        };
        let thread = std::thread::Builder::new().name(id.clone()).spawn(body);
        let thread = thread.map_err(|error| LogError::Unavailable {
            what: format!("starting the thread of task {id}"),
            source: error.into(),
        })?;
        let pace = Pace::default();
        let running = Running { stop, thread, reached, pace, nothing_at: None, moves };
        self.running.insert(partition, running);
        Ok(())
    }

    fn stop(&mut self) {
        for task in self.running.values() {
            task.stop.cancel();
        }
        for (partition, task) in std::mem::take(&mut self.running) {
            task.moves.retire();
            if task.thread.join().is_err() {
                tracing::error!(group = self.kind.name, partition, "a task ended by a panic");
            }
        }
    }

    /// Looks how far each task is behind, and whether it moves.
    fn look(&mut self) {
        let (log, input) = (&self.shell.log, self.kind.input);
        for (partition, task) in &mut self.running {
            let Told { position: Some(position), oldest_ms } = task.reached.told() else {
                continue; // it is being restored
            };
            // That the log is away is said elsewhere; to ask it of every task would take too long.
            let Ok(bounds) = log.bounds(input, *partition) else { return };
            let read = || log.read(input, *partition, position, 1).ok();
            let (lag, oldest_ms) = task.behind(position, bounds.end, oldest_ms, &read);
            let age_ms = oldest_ms.map_or(0, |ms| (clock::now_ms() - ms).max(0));
            task.reached.gauges.lag(lag, Duration::from_millis(age_ms as u64));
            let stalled = task.pace.look(position, bounds.end, clock::uptime());
            let why = stalled.map(|time| {
                let seconds = time.as_secs();
                format!("no progress for {seconds} s, {lag} records behind and more coming")
            });
            task.moves.set(why.is_none(), why.unwrap_or_default());
        }
    }
}

impl Drop for Tasks<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether a task moves: since when it stands at its position, and where its input ended then.
#[derive(Default)]
struct Pace {
    position: Option<Offset>,
    end: Offset,
    since: Uptime,
}

impl Pace {
    /// For how long the task has made no progress, where that is too long and its input has grown
    /// since.
    fn look(&mut self, position: Offset, end: Offset, now: Uptime) -> Option<Duration> {
        if self.position != Some(position) || position >= end {
            *self = Self { position: Some(position), end, since: now };
        }
        let time = now.since(self.since);
        (time >= STALL_LIMIT && end > self.end).then_some(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_stalls_where_it_stands_still_and_its_input_grows() {
        // second, position, end, stalled for so many seconds
        let table = [
            (0, 5, 5, None),
            (40, 5, 5, None), // nothing to do
            (41, 5, 9, None), // from here it has
            (69, 5, 9, None),
            (70, 5, 9, Some(30)),
            (100, 5, 10, Some(60)),
            (101, 6, 10, None), // it moves
            (140, 6, 10, None), // it stands, but nothing comes
            (141, 6, 11, Some(40)),
            (142, 11, 11, None),
        ];
        let mut pace = Pace::default();
        for (second, position, end, expected) in table {
            let found = pace.look(position, end, Uptime::of_ms(second * 1000));
            assert_eq!(found, expected.map(Duration::from_secs), "at {second} s");
        }
    }
}
