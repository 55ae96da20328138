//! Writing beside reading: one batch is written on a blocking thread while the next is collected.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use trunkline_schemas::RawKind;

use super::batch::RawOut;

/// Why a batch is not durable, or not known to be.
#[derive(Debug, thiserror::Error)]
#[error("the batch could not be written: {0}")]
pub struct WriteError(#[source] pub Box<dyn Error + Send + Sync>);

impl WriteError {
    /// With its cause.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// Where a bridge's records go. It is called on a thread that may block.
pub trait Writer: Send {
    /// Makes the whole batch durable, records and position together, in this order.
    ///
    /// # Errors
    /// [`WriteError`] if it is not durable, or that is not known. The bridge then starts over from
    /// [`Writer::position`]; what was written nevertheless comes again with the same numbers.
    fn write(&mut self, batch: Vec<RawOut>) -> Result<(), WriteError>;

    /// The last (server start, number) of this link that is durable.
    fn position(&self) -> Option<(i64, i64)>;
}

/// How a link is doing, for health pages and metrics. Counts are of what is durable.
#[derive(Debug, Default)]
pub struct LinkStatus {
    pub(super) connected: AtomicBool,
    pub(super) caught_up: AtomicBool,
    pub(super) last_line_us: AtomicI64,
    pub(super) events: AtomicU64,
    pub(super) dead_letters: AtomicU64,
    pub(super) gaps: AtomicU64,
    pub(super) reconnects: AtomicU64,
    pub(super) write_errors: AtomicU64,
    /// Why the server that was tried last is not followed; empty if it is.
    pub(super) fault: watch::Sender<String>,
}

impl LinkStatus {
    /// A server is connected and has said something.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Relaxed)
    }

    /// It has told all that was there at connecting.
    pub fn is_caught_up(&self) -> bool {
        self.caught_up.load(Relaxed)
    }

    /// When the last line came, microseconds since 1970; 0 for never.
    pub fn last_line_us(&self) -> i64 {
        self.last_line_us.load(Relaxed)
    }

    /// Events written.
    pub fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// Lines that could not be read.
    pub fn dead_letters(&self) -> u64 {
        self.dead_letters.load(Relaxed)
    }

    /// Gap records written.
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Relaxed)
    }

    /// Attempts to connect after the first.
    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Relaxed)
    }

    /// Batches that could not be written.
    pub fn write_errors(&self) -> u64 {
        self.write_errors.load(Relaxed)
    }

    /// Why the server that was tried last is not followed, with its address; empty if it is.
    pub fn fault(&self) -> watch::Receiver<String> {
        self.fault.subscribe()
    }

    fn count(&self, written: &Counts) {
        self.events.fetch_add(written.events, Relaxed);
        self.dead_letters.fetch_add(written.dead_letters, Relaxed);
        self.gaps.fetch_add(written.gaps, Relaxed);
    }
}

#[derive(Debug, Default)]
struct Counts {
    events: u64,
    dead_letters: u64,
    gaps: u64,
}

impl Counts {
    fn of(batch: &[RawOut]) -> Self {
        let mut counts = Self::default();
        for out in batch {
            match out {
                RawOut::Raw(raw) if raw.kind == RawKind::Event => counts.events += 1,
                RawOut::Raw(raw) if raw.kind == RawKind::Gap => counts.gaps += 1,
                RawOut::Dead(_) => counts.dead_letters += 1,
                RawOut::Raw(_) | RawOut::Position { .. } => {}
            }
        }
        counts
    }
}

/// The writer comes back with what it did.
type Written = (Box<dyn Writer>, Result<Counts, WriteError>);

/// Holds the writer; it is lent to a blocking thread for each batch.
pub(crate) struct Pen {
    writer: Option<Box<dyn Writer>>,
    job: Option<JoinHandle<Written>>,
    status: Arc<LinkStatus>,
}

impl Pen {
    pub(crate) fn new(writer: Box<dyn Writer>, status: Arc<LinkStatus>) -> Self {
        Self { writer: Some(writer), job: None, status }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.job.is_some()
    }

    /// The durable position; only asked for while nothing is being written.
    pub(crate) fn position(&self) -> Option<(i64, i64)> {
        self.writer.as_ref().and_then(|writer| writer.position())
    }

    /// Begins to write; only called while nothing is being written.
    pub(crate) fn start(&mut self, batch: Vec<RawOut>) {
        let mut writer = self.writer.take().expect("the writer is here while no job has it");
        self.job = Some(spawn_blocking(move || {
            let counts = Counts::of(&batch);
            let result = writer.write(batch).map(|()| counts);
            (writer, result)
        }));
    }

    /// Waits for what is being written, if anything is. Nothing is lost if the wait is given up.
    pub(crate) async fn finish(&mut self) -> Result<(), WriteError> {
        let Some(job) = self.job.as_mut() else { return Ok(()) };
        let (writer, result) = match job.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is being shut down, and this task with it.
                Err(_) => std::future::pending().await,
            },
        };
        (self.writer, self.job) = (Some(writer), None);
        match result {
            Ok(counts) => self.status.count(&counts),
            Err(error) => {
                self.status.write_errors.fetch_add(1, Relaxed);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes a batch and waits for it.
    pub(crate) async fn write(&mut self, batch: Vec<RawOut>) -> Result<(), WriteError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.start(batch);
        self.finish().await
    }
}
