//! What every sink's tests have in common: what was made durable, and answers by their names.

use std::collections::BTreeMap;

use trunkline_schemas::Record;
use trunkline_schemas::codec::{self, Schemed};
use trunkline_sinks::genesys_cloud::EventError;
use trunkline_sinks::{Answer, Rules, Sink, SinkConfig, SinkStep, Wave};

/// Everything a sink made durable; `O` are its outcomes.
#[derive(Clone, Debug)]
pub(crate) struct Durable<O> {
    pub(crate) position: i64,
    pub(crate) state: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) outcomes: Vec<O>,
    pub(crate) dead: Vec<Record>,
}

impl<O> Default for Durable<O> {
    fn default() -> Self {
        Self { position: 0, state: BTreeMap::new(), outcomes: Vec::new(), dead: Vec::new() }
    }
}

impl<O: Schemed> Durable<O> {
    pub(crate) fn commit<R: Rules>(&mut self, step: SinkStep) {
        assert!(step.next >= self.position, "the position never goes back");
        self.position = step.next;
        for (key, value) in step.state {
            match value {
                Some(value) => self.state.insert(key, value),
                None => self.state.remove(&key),
            };
        }
        for (topic, record) in step.outputs {
            if topic == R::OUTCOME {
                let value = record.value.expect("an outcome has a value");
                self.outcomes.push(codec::decode(&value).expect("an outcome is decoded"));
            } else {
                assert_eq!(topic, R::DEAD);
                self.dead.push(record);
            }
        }
    }

    pub(crate) fn restore<R: Rules>(&self, rules: R, config: SinkConfig, end: i64) -> Sink<R> {
        let mut sink = Sink::new(rules, config, self.position, end);
        for (key, value) in &self.state {
            sink.restore(key, value).expect("our own state is read");
        }
        sink
    }

    pub(crate) fn dead_codes(&self) -> Vec<String> {
        let code = |r: &Record| {
            let code = r.header("dead-code").expect("a dead letter has a code");
            String::from_utf8(code.to_vec()).expect("a code is text")
        };
        self.dead.iter().map(code).collect()
    }
}

/// An answer by its name: `ok`, `no EVENT`, `again EVENT`, a status, `cut`, `down`; events are
/// named by their texts.
pub(crate) fn answer<R: Rules>(
    name: &str,
    wave: &Wave<R::Command>,
    text: impl Fn(&R::Command) -> String,
) -> Answer {
    let (kind, of) = name.split_once(' ').unwrap_or((name, ""));
    let (code, message) = (String::from("code"), String::from("because"));
    let one = |retryable| {
        let named = wave.commands.iter().filter(|command| text(command) == of);
        let error = |command: &R::Command| EventError {
            event_id: R::event_id(command).to_owned(),
            message: message.clone(),
            retryable,
        };
        Answer::Accepted { errors: named.map(error).collect() }
    };
    match kind {
        "ok" => Answer::Accepted { errors: vec![] },
        "no" => one(false),
        "again" => one(true),
        "400" => Answer::BadRequest { code, message },
        "401" => Answer::Unauthorized,
        "403" => Answer::Refused { status: 403, code },
        "409" => Answer::Conflict { code, message },
        "413" => Answer::TooLarge,
        "429" => Answer::RateLimited { retry_after_s: Some(7) },
        "cut" => Answer::Ambiguous { why: "cut".into() },
        "down" => Answer::NotSent { why: "down".into() },
        _ => panic!("no answer {name}"),
    }
}
