//! The end of the library's clients, which may take its time.

use std::ops::Deref;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How long the end of a client is waited for. One that leaves its group asks the coordinator.
const END_MAX: Duration = Duration::from_secs(3);

/// A client of the library, or several. Dropped, it ends on a thread of its own, and is waited for
/// no longer than [`END_MAX`]: a consumer that has lost a broker at the wrong moment closes for
/// ever, and whoever waited for it would keep every task of the group from going on.
pub(super) struct Held<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Held<T> {
    pub(super) fn new(client: T) -> Self {
        Self(Some(client))
    }
}

impl<T: Send + 'static> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("a client is taken away only as it is dropped")
    }
}

impl<T: Send + 'static> Drop for Held<T> {
    fn drop(&mut self) {
        let Some(client) = self.0.take() else { return };
        let (tell, told) = channel();
        let ends = thread::Builder::new().name("kafka-end".to_owned()).spawn(move || {
            drop(client);
            // Nobody may be waiting any more.
            let _ = tell.send(());
        });
        // Where no thread can be had, the client has ended here, with the closure.
        if ends.is_ok() && told.recv_timeout(END_MAX) == Err(RecvTimeoutError::Timeout) {
            let waited_s = END_MAX.as_secs();
            tracing::warn!(waited_s, "a Kafka client does not end; it is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender};

    use super::*;
    use crate::clock::Elapsed;

    struct Slow(Option<Receiver<()>>, Sender<&'static str>);

    impl Drop for Slow {
        fn drop(&mut self) {
            if let Some(hold) = self.0.take() {
                let _ = hold.recv();
            }
            let _ = self.1.send("ended");
        }
    }

    #[test]
    fn an_end_is_waited_for_but_not_for_ever() {
        let (tell, told) = channel();
        drop(Held::new(Slow(None, tell.clone())));
        assert_eq!(told.try_recv(), Ok("ended"), "an end that comes is waited for");

        let (release, hold) = channel();
        let watch = Elapsed::start();
        drop(Held::new(Slow(Some(hold), tell)));
        assert!(watch.time() >= END_MAX);
        assert!(told.try_recv().is_err(), "it goes on without the one that does not end");
        drop(release);
        assert_eq!(told.recv(), Ok("ended"));
    }
}
