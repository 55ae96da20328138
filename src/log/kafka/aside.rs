//! Calls of the library that may never come back.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

type Call = Box<dyn FnOnce() + Send>;

/// A thread that makes calls for another, which waits for each of them no longer than it will. The
/// position of a step is one: where the coordinator of the group is lost at the wrong moment, the
/// client waits for another for ever, whatever time it was given (librdkafka issues 5456 and 5511).
pub(super) struct Aside(Sender<Call>);

impl Aside {
    /// # Errors
    /// No thread can be had.
    pub(super) fn new() -> io::Result<Self> {
        let (give, calls) = channel::<Call>();
        let make = move || calls.into_iter().for_each(|call| call());
        thread::Builder::new().name("kafka-step".to_owned()).spawn(make)?;
        Ok(Self(give))
    }

    /// What the call gives. `None`: it has not come back in time, or ended by a panic; then the
    /// thread stays with it and with what it has taken, and this one makes no other call.
    pub(super) fn call<T: Send + 'static>(
        &self,
        most: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = channel();
        let told_of = move || {
            // Nobody may be waiting any more.
            let _ = tell.send(call());
        };
        self.0.send(Box::new(told_of)).ok()?;
        told.recv_timeout(most).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn a_call_is_waited_for_but_not_for_ever() {
        let aside = Aside::new().expect("a thread");
        assert_eq!(aside.call(LONG, || 1), Some(1));
        assert_eq!(aside.call(LONG, || 2), Some(2), "one after the other");

        let (release, hold) = channel::<()>();
        let client = Arc::new(());
        let taken = Arc::clone(&client);
        let call = move || {
            let _ = hold.recv();
            drop(taken);
        };
        assert_eq!(aside.call(Duration::from_millis(20), call), None, "it does not come back");
        assert_eq!(Arc::strong_count(&client), 2, "it keeps what it has taken");
        let (ended, end) = channel::<()>();
        assert_eq!(aside.call(Duration::from_millis(20), move || drop(ended)), None);
        drop(aside);
        drop(release);
        assert!(end.recv_timeout(LONG).is_err(), "the thread comes to its end");
        assert_eq!(Arc::strong_count(&client), 1, "and lets go of it");
    }

    #[test]
    fn a_call_that_panics_does_not_come_back() {
        let aside = Aside::new().expect("a thread");
        assert_eq!(aside.call(LONG, || panic!("as it was asked to")), None::<()>);
        assert_eq!(aside.call(LONG, || 1), None, "and there is none after it");
    }
}
