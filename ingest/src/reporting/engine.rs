//! The reporting engine: what it asks of Interaction Servers, what it keeps of their agents, and
//! what it tells them. No I/O and no clock.
//!
//! | phase of a server | input | becomes |
//! |---|---|---|
//! | `Away` | connected | the request; `Asked` |
//! | `Asked` | the `EventAck` of its request | `Reporting`; the next server may be connected |
//! | `Asked` | the `EventError` of its request | the request by its other name, then given up |
//! | `Asked`, `Reporting` | `EventPlaceAgentState` | the status, to servers that know the agent |
//! | any | lost | its agents are known no more there; `Away`; the next server may be connected |
//! | any | anything else | nothing |

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use trunkline_schemas::RawEvent;

use super::capacity::{AgentStatus, CapacityRule};
use super::state::{PlaceAgentState, reference};

/// The request by its two names: as the protocol's libraries have it, and as seed 002 spells it.
pub const REQUESTS: [&str; 2] =
    ["RequestStartPlaceAgentStateReportingAll", "RequestStartPlaceAgentReportingAll"];

/// What happens to a server.
#[derive(Debug)]
pub enum Input<'a> {
    /// It is connected.
    Connected,
    /// It said an event.
    Said(&'a RawEvent),
    /// It cannot be reached, or not any more.
    Lost,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell a server a line.
    Tell(usize, String),
    /// The server does not report: its connection is to be given up, and here is why.
    GiveUp(usize, String),
    /// So many servers, counted from the first, may be connected (seed 002: "connects with each one
    /// in turn").
    MayConnect(usize),
}

/// How it stands with one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Away,
    /// The request was sent, under which of its names, with this number.
    Asked(usize, i64),
    Reporting,
}

/// An agent: what each server that knows the agent said last, and what was last told to each.
#[derive(Debug, Default)]
struct Agent {
    states: BTreeMap<usize, PlaceAgentState>,
    told: BTreeMap<usize, AgentStatus>,
}

/// The reporting engine towards all Interaction Servers of a domain.
#[derive(Debug)]
pub struct Engine {
    rule: CapacityRule,
    servers: Vec<Phase>,
    may_connect: usize,
    agents: BTreeMap<String, Agent>,
    requests: i64,
}

impl Engine {
    /// An engine that has connected to none of so many servers; the first may be connected.
    pub fn new(rule: CapacityRule, servers: usize) -> Self {
        let servers = vec![Phase::Away; servers];
        Self { rule, servers, may_connect: 1, agents: BTreeMap::new(), requests: 0 }
    }

    /// Whether every server reports.
    pub fn is_complete(&self) -> bool {
        self.servers.iter().all(|phase| *phase == Phase::Reporting)
    }

    /// Takes what happens to a server, at this time (microseconds since 1970).
    pub fn step(&mut self, server: usize, input: &Input<'_>, now_us: i64) -> Vec<Effect> {
        let Some(phase) = self.servers.get(server).copied() else { return Vec::new() };
        match (phase, input) {
            (Phase::Away, Input::Connected) => vec![self.ask(server, 0)],
            (Phase::Away | Phase::Asked(..) | Phase::Reporting, Input::Lost) => {
                self.servers[server] = Phase::Away;
                let mut effects = self.forget(server, now_us);
                effects.extend(self.let_in(server));
                effects
            }
            (Phase::Asked(name, number), Input::Said(event)) => {
                let is_answer = || reference(&event.payload) == Some(number);
                match event.name.as_deref() {
                    Some("EventAck") if is_answer() => {
                        self.servers[server] = Phase::Reporting;
                        self.let_in(server).into_iter().collect()
                    }
                    Some("EventError") if is_answer() && name + 1 < REQUESTS.len() => {
                        vec![self.ask(server, name + 1)]
                    }
                    Some("EventError") if is_answer() => {
                        let why = "the server refuses to report the states of its agents";
                        vec![Effect::GiveUp(server, why.to_owned())]
                    }
                    Some("EventPlaceAgentState") => self.take(server, event, now_us),
                    Some(_) | None => Vec::new(),
                }
            }
            (Phase::Reporting, Input::Said(event)) => match event.name.as_deref() {
                Some("EventPlaceAgentState") => self.take(server, event, now_us),
                Some(_) | None => Vec::new(),
            },
            (Phase::Asked(..) | Phase::Reporting, Input::Connected)
            | (Phase::Away, Input::Said(_)) => Vec::new(),
        }
    }

    fn ask(&mut self, server: usize, name: usize) -> Effect {
        self.requests += 1;
        let number = self.requests;
        self.servers[server] = Phase::Asked(name, number);
        let request = json!({ "request": { "id": REQUESTS[name], "ReferenceId": number } });
        Effect::Tell(server, line(&request))
    }

    /// This server has had its turn: it reports, or it could not be reached.
    fn let_in(&mut self, server: usize) -> Option<Effect> {
        let may = (server + 2).min(self.servers.len());
        (may > self.may_connect).then(|| {
            self.may_connect = may;
            Effect::MayConnect(may)
        })
    }

    fn take(&mut self, server: usize, event: &RawEvent, now_us: i64) -> Vec<Effect> {
        // What cannot be read is no event, but a dead letter: it does not come here.
        let Ok(state) = PlaceAgentState::read(&event.payload) else { return Vec::new() };
        let id = state.agent_id.clone();
        self.agents.entry(id.clone()).or_default().states.insert(server, state);
        self.tell(&id, now_us)
    }

    /// A lost server may be told nothing, and will tell all it knows when it is back; what it said
    /// of its agents counts no more.
    fn forget(&mut self, server: usize, now_us: i64) -> Vec<Effect> {
        let mut known = BTreeSet::new();
        for (id, agent) in &mut self.agents {
            agent.told.remove(&server);
            if agent.states.remove(&server).is_some() {
                known.insert(id.clone());
            }
        }
        known.iter().flat_map(|id| self.tell(id, now_us)).collect()
    }

    /// Tells the status of an agent to each server that knows the agent and was told another.
    fn tell(&mut self, id: &str, now_us: i64) -> Vec<Effect> {
        let Some(agent) = self.agents.get_mut(id) else { return Vec::new() };
        let status = self.rule.status(agent.states.values());
        let mut effects = Vec::new();
        for (server, state) in &agent.states {
            if agent.told.get(server) != Some(&status) {
                agent.told.insert(*server, status.clone());
                effects.push(Effect::Tell(*server, line(&status_event(state, &status, now_us))));
            }
        }
        // One who is logged out everywhere has been told so.
        agent.states.retain(|_, state| state.logged_in);
        let states = &agent.states;
        agent.told.retain(|server, _| states.contains_key(server));
        if agent.states.is_empty() {
            self.agents.remove(id);
        }
        effects
    }
}

fn status_event(state: &PlaceAgentState, status: &AgentStatus, now_us: i64) -> Value {
    let media: Map<String, Value> = status
        .media
        .iter()
        .map(|(name, medium)| {
            let free = medium.maximum.saturating_sub(medium.current);
            let value = json!({
                "Current": medium.current,
                "Max": medium.maximum,
                "Free": free,
                "Ready": medium.is_ready,
            });
            (name.clone(), value)
        })
        .collect();
    let mut event = json!({
        "id": "EventCurrentAgentStatus",
        "time": { "TimeinSecs": now_us / 1_000_000, "TimeinuSecs": now_us % 1_000_000 },
        "AgentId": state.agent_id,
        "MediaStatus": media,
    });
    if let Some(place) = &state.place_id {
        event["PlaceId"] = json!(place);
    }
    if let Some(tenant) = state.tenant_id {
        event["TenantId"] = json!(tenant);
    }
    json!({ "event": event })
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use trunkline_schemas::RawKind;

    use super::*;

    /// What comes from which server, as JSON of the event; `up` and `down` are the connection.
    fn run(servers: usize, steps: &[(usize, &str)]) -> Vec<String> {
        let rule = CapacityRule { media: [("email".to_owned(), 2)].into(), default: 1 };
        let mut engine = Engine::new(rule, servers);
        let mut told = Vec::new();
        for (server, step) in steps {
            let event = serde_json::from_str::<Value>(step).ok().map(|value| RawEvent {
                name: value["id"].as_str().map(str::to_owned),
                payload: step.as_bytes().to_vec(),
                ..RawEvent::bare(RawKind::Event, "main", "ixn", 0)
            });
            let input = match (*step, &event) {
                ("up", _) => Input::Connected,
                ("down", _) => Input::Lost,
                (_, Some(event)) => Input::Said(event),
                (other, None) => panic!("{other} is no step"),
            };
            told.extend(engine.step(*server, &input, 1_500_000).iter().map(short));
        }
        told
    }

    /// An effect in short: to whom, and what.
    fn short(effect: &Effect) -> String {
        match effect {
            Effect::MayConnect(servers) => format!("may connect {servers}"),
            Effect::GiveUp(server, _) => format!("{server} given up"),
            Effect::Tell(server, line) => {
                let value: Value = serde_json::from_str(line).expect("a line is JSON");
                if let Some(request) = value.get("request") {
                    return format!("{server} {} {}", request["id"], request["ReferenceId"])
                        .replace('"', "");
                }
                let event = &value["event"];
                assert_eq!(event["id"], "EventCurrentAgentStatus");
                assert_eq!(event["time"], json!({ "TimeinSecs": 1, "TimeinuSecs": 500_000 }));
                let media = event["MediaStatus"].as_object().expect("media").iter();
                let media: Vec<_> = media
                    .map(|(name, m)| format!("{name} {}/{} {}", m["Current"], m["Max"], m["Ready"]))
                    .collect();
                format!("{server} {} {}", event["AgentId"], media.join(", ")).replace('"', "")
            }
        }
    }

    const ASKED: &str = "0 RequestStartPlaceAgentStateReportingAll 1";

    fn email(agent: &str, is_ready: bool, interactions: usize) -> String {
        let one = json!({ "InteractionId": "i", "MediaType": "email" });
        json!({
            "id": "EventPlaceAgentState", "AgentId": agent, "PlaceId": "P1", "TenantId": 101,
            "MediaStateList": { "email": { "Ready": is_ready } },
            "Interactions": vec![one; interactions],
        })
        .to_string()
    }

    #[test]
    fn the_model_of_seed_002() {
        let told = run(
            1,
            &[
                (0, "up"),
                (0, r#"{"id":"EventAck","ReferenceId":1}"#),
                (0, &email("A1", true, 0)),
                (0, &email("A2", false, 1)),
                (0, &email("A1", true, 1)),
                (0, &email("A1", true, 1)),
                (0, &email("A1", true, 2)),
                (0, r#"{"id":"EventPlaceAgentState","AgentId":"A1","LoggedIn":false}"#),
            ],
        );
        let wanted = [
            ASKED,
            "0 A1 email 0/2 true",
            "0 A2 email 1/2 false",
            "0 A1 email 1/2 true",
            "0 A1 email 2/2 false",
            "0 A1 ",
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_server_that_knows_the_other_spelling_is_asked_by_it() {
        let refused = |number| format!(r#"{{"id":"EventError","ReferenceId":{number}}}"#);
        let told = run(1, &[(0, "up"), (0, &refused(9)), (0, &refused(1)), (0, &refused(2))]);
        let wanted = [ASKED, "0 RequestStartPlaceAgentReportingAll 2", "0 given up"];
        assert_eq!(told, wanted);
    }

    #[test]
    fn servers_come_one_after_the_other_and_one_that_is_away_holds_nobody_up() {
        let ack = |number| format!(r#"{{"id":"EventAck","ReferenceId":{number}}}"#);
        let told = run(3, &[(0, "up"), (0, &ack(1)), (1, "down"), (2, "up"), (0, "down")]);
        let wanted = [
            ASKED,
            "may connect 2",
            "may connect 3",
            "2 RequestStartPlaceAgentStateReportingAll 2",
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn an_agent_of_two_servers_has_one_status_and_a_lost_server_takes_back_its_part() {
        let ack = |number| format!(r#"{{"id":"EventAck","ReferenceId":{number}}}"#);
        let told = run(
            2,
            &[
                (0, "up"),
                (0, &ack(1)),
                (1, "up"),
                (1, &ack(2)),
                (0, &email("A1", true, 1)),
                (1, &email("A1", true, 1)),
                (1, "down"),
                // Back again, with the snapshot: what it is told is no second agent.
                (1, "up"),
                (1, &ack(3)),
                (1, &email("A1", true, 1)),
            ],
        );
        let wanted = [
            ASKED,
            "may connect 2",
            "1 RequestStartPlaceAgentStateReportingAll 2",
            "0 A1 email 1/2 true",
            "0 A1 email 2/2 false",
            "1 A1 email 2/2 false",
            "0 A1 email 1/2 true",
            "1 RequestStartPlaceAgentStateReportingAll 3",
            "0 A1 email 2/2 false",
            "1 A1 email 2/2 false",
        ];
        assert_eq!(told, wanted);
    }
}
