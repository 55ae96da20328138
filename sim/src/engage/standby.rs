//! The backup of the SIP Server: what it knows when it takes over, and the taking over.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::net::TcpSocket;

use super::Near;
use super::event::{Event, Role};
use super::feed::{self, Server};
use super::plan::Micros;

/// How many of the primary's last events the backup says again, each as it knows it.
const SAID_AGAIN: usize = 8;
/// Clients that may wait to be accepted.
const BACKLOG: u32 = 64;

/// A process that keeps up with the primary and refuses clients until that fails.
pub(super) struct Standby {
    socket: TcpSocket,
    server: Arc<Server>,
    near: Near,
}

impl Standby {
    /// Takes an address; who connects to it is refused for now.
    pub(super) fn new(
        beside: SocketAddr,
        server: Arc<Server>,
        near: Near,
    ) -> io::Result<(Self, SocketAddr)> {
        let socket = if beside.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind(SocketAddr::new(beside.ip(), 0))?;
        let address = socket.local_addr()?;
        Ok((Self { socket, server, near }, address))
    }

    /// Accepts clients from now on.
    pub(super) fn take_over(self) -> Arc<Server> {
        let Self { socket, server, near } = self;
        match socket.listen(BACKLOG) {
            Ok(listener) => {
                near.tasks.clone().spawn(feed::serve(listener, Arc::clone(&server), near));
            }
            Err(error) => tracing::error!(%error, "the backup cannot listen"),
        }
        server
    }
}

/// What a process that keeps up has heard.
#[derive(Default)]
pub(super) struct Memory {
    last: VecDeque<Event>,
    calls: BTreeMap<String, Live>,
}

/// A call that is there.
struct Live {
    created: Map<String, Value>,
    /// Its parties in the order in which they came.
    parties: Vec<Map<String, Value>>,
}

impl Memory {
    pub(super) fn heard(&mut self, event: &Event) {
        if self.last.len() == SAID_AGAIN {
            self.last.pop_front();
        }
        self.last.push_back(event.clone());
        if event.role != Role::Call {
            return;
        }
        let attributes = &event.attributes;
        let text = |key: &str| attributes.get(key).and_then(Value::as_str).unwrap_or_default();
        let call = text("CallUUID");
        match &*event.name {
            "EventCallCreated" => {
                let created = attributes.clone();
                self.calls.insert(call.to_owned(), Live { created, parties: Vec::new() });
                return;
            }
            "EventCallDeleted" => {
                self.calls.remove(call);
                return;
            }
            _ => {}
        }
        let Some(live) = self.calls.get_mut(call) else { return };
        let party = text("PartyUUID");
        let known = live.parties.iter().position(|one| one["PartyUUID"] == party);
        match (&*event.name, known) {
            ("EventCallPartyAdded", None) => {
                let mut added = attributes.clone();
                added.remove("Cause"); // it says why the party came, not what it is
                live.parties.push(added);
            }
            ("EventCallPartyState", Some(index)) => {
                live.parties[index]
                    .insert("PartyState".to_owned(), attributes["PartyState"].clone());
            }
            ("EventCallPartyDeleted", Some(index)) => {
                live.parties.remove(index);
            }
            _ => {}
        }
    }

    /// What is said at a take-over: the last events as they were, then every call that is there,
    /// with its parties as they are now (call-models.md section 2, *Duplicate delivery*).
    pub(super) fn tell(&self, at: Micros) -> Vec<Event> {
        let mut told: Vec<_> = self.last.iter().cloned().collect();
        let event = |name: &'static str, attributes: &Map<String, Value>| Event {
            at,
            role: Role::Call,
            place: super::event::Place::First,
            name: Cow::Borrowed(name),
            phase: None,
            attributes: attributes.clone(),
        };
        for live in self.calls.values() {
            told.push(event("EventCallCreated", &live.created));
            told.extend(live.parties.iter().map(|party| event("EventCallPartyAdded", party)));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_take_over_announces_the_calls_that_are_there_as_they_are() {
        // moment, event, call, party, state
        let table = [
            (1, "EventCallCreated", "U1", "", 0),
            (2, "EventCallPartyAdded", "U1", "P1", 0xC),
            (3, "EventCallPartyAdded", "U1", "P2", 0x809),
            (4, "EventCallCreated", "U2", "", 0),
            (5, "EventCallPartyAdded", "U1", "P3", 0xA),
            (6, "EventCallPartyDeleted", "U1", "P2", 0),
            (7, "EventCallPartyState", "U1", "P3", 0xC),
            (8, "EventCallPartyAdded", "U2", "P4", 0xC),
            (9, "EventCallDeleted", "U2", "", 0),
        ];
        let mut memory = Memory::default();
        for (at, name, call, party, state) in table {
            let mut attributes = json!({"CallUUID": call});
            if !party.is_empty() {
                attributes["PartyUUID"] = json!(party);
                attributes["PartyState"] = json!(state);
            }
            let Value::Object(attributes) = attributes else { unreachable!("an object") };
            memory.heard(&Event {
                at,
                role: Role::Call,
                place: super::super::event::Place::First,
                name: Cow::Borrowed(name),
                phase: None,
                attributes,
            });
        }
        let told = memory.tell(20);
        let row = |event: &Event| {
            let text = |key: &str| event.attributes.get(key).and_then(Value::as_str);
            let state = event.attributes.get("PartyState").and_then(Value::as_u64);
            (event.at, event.name.to_string(), text("PartyUUID").map(str::to_owned), state)
        };
        let said_again: Vec<_> = told.iter().take(SAID_AGAIN).map(|event| event.at).collect();
        assert_eq!(said_again, [2, 3, 4, 5, 6, 7, 8, 9]);
        let announced: Vec<_> = told.iter().skip(SAID_AGAIN).map(row).collect();
        let party =
            |party: &str| (20, "EventCallPartyAdded".to_owned(), Some(party.to_owned()), Some(0xC));
        let created = (20, "EventCallCreated".to_owned(), None, None);
        assert_eq!(announced, [created, party("P1"), party("P3")]);
    }
}
