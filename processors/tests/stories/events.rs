//! What the servers say of a story: the dialogue of the call models (call-models.md).

use serde_json::{Value, json};
use trunkline_schemas::raw::Stream;

use crate::common::{EPOCH_MS, Line};
use crate::story::{Step, Story, Who};

/// PartyState bits and causes (tlib.md section 3).
const ORIGINATING: u32 = 0x10001;
const CALLING_IN: u32 = 0x1000C;
const ON_ROUTING_POINT: u32 = 0x809;
const IN_TREATMENT: u32 = 0xA09;
const ALERTING: u32 = 0xA;
const CONNECTED: u32 = 0xC;
const HELD: u32 = 0xE;
const BUSY: u32 = 2;
const NO_ANSWER: u32 = 3;
const ROUTE: u32 = 5;
const REDIRECT: u32 = 9;
const TRANSFER: u32 = 10;
const SINGLE_STEP_TRANSFER: u32 = 11;
const SINGLE_STEP_CONFERENCE: u32 = 12;

/// The customer's number, the same in all calls: nothing is found by it.
const CUSTOMER: &str = "+15551230001";
/// Routing Points.
const POINT: &str = "5000";
const POINT_OF_CONSULTS: &str = "5001";

pub(crate) fn dn(who: Who) -> &'static str {
    match who {
        Who::One => "7001",
        Who::Two => "7002",
        Who::Stranger => "7003",
    }
}

/// A party at a phone.
#[derive(Clone, Debug)]
struct Party {
    id: String,
    dn: &'static str,
    call: String,
}

/// The entry of a call in a VQ.
#[derive(Clone, Debug)]
struct Entry {
    vq: &'static str,
    id: String,
    call: String,
}

/// The events of a story in the order of their times; `number` makes its ids its own.
pub(crate) fn events(number: u64, story: &Story) -> Vec<Line> {
    let mut say = Switch {
        number,
        lines: Vec::new(),
        made: 0,
        queued: None,
        lets_go: false,
        point: None,
        customer: None,
        agent: None,
        ringing: None,
        third: None,
        consults: 0,
    };
    for (at_ms, step) in story {
        say.step(*at_ms, *step);
    }
    say.lines.sort_by_key(|line| line.at_ms);
    for (n, line) in (0..).zip(&mut say.lines) {
        let sequence: u64 = number * 256 + n;
        line.event["EventSequenceNumber"] = json!(format!("{sequence:016x}"));
    }
    say.lines
}

struct Switch {
    number: u64,
    lines: Vec<Line>,
    /// Ids given so far.
    made: u32,
    queued: Option<Entry>,
    /// Whether the Routing Point lets go when a phone rings.
    lets_go: bool,
    point: Option<Party>,
    customer: Option<Party>,
    agent: Option<Party>,
    /// Who is offered the call, or consulted.
    ringing: Option<Party>,
    third: Option<Party>,
    consults: u32,
}

impl Switch {
    fn call(&self) -> String {
        format!("CALL{}", self.number)
    }

    fn consult(&self) -> String {
        format!("CALL{}-{}", self.number, self.consults)
    }

    fn party(&mut self, call: &str, dn: &'static str) -> Party {
        self.made += 1;
        Party { id: format!("PARTY{}-{}", self.number, self.made), dn, call: call.to_owned() }
    }

    fn say(&mut self, at_ms: i64, stream: Stream, name: &str, mut event: Value) {
        event["id"] = json!(name);
        let (source, at_ms) = ("sips1".to_owned(), EPOCH_MS + at_ms);
        self.lines.push(Line { source, stream, at_ms, event });
    }

    fn created(&mut self, at_ms: i64, call: &str, kind: u32, mut more: Value) {
        more["CallUUID"] = json!(call);
        more["ConnID"] = json!(format!("CONN{call}"));
        more["CallType"] = json!(kind);
        self.say(at_ms, Stream::Call, "EventCallCreated", more);
    }

    fn added(&mut self, at_ms: i64, party: &Party, state: u32, cause: Option<u32>) {
        self.of_party(at_ms, "EventCallPartyAdded", party, Some(state), cause);
    }

    fn state(&mut self, at_ms: i64, party: &Party, state: u32) {
        self.of_party(at_ms, "EventCallPartyState", party, Some(state), None);
    }

    fn gone(&mut self, at_ms: i64, party: &Party, cause: Option<u32>) {
        self.of_party(at_ms, "EventCallPartyDeleted", party, None, cause);
    }

    fn of_party(
        &mut self,
        at_ms: i64,
        name: &str,
        party: &Party,
        state: Option<u32>,
        cause: Option<u32>,
    ) {
        let Party { id, dn, call } = party;
        let mut event = json!({"CallUUID": call, "PartyUUID": id, "DN": dn});
        if let Some(state) = state {
            event["PartyState"] = json!(state);
        }
        if let Some(cause) = cause {
            event["Cause"] = json!(cause);
        }
        self.say(at_ms, Stream::Call, name, event);
    }

    fn of_queue(&mut self, at_ms: i64, name: &str, entry: &Entry, to: Option<&Party>) {
        let Entry { vq, id, call } = entry;
        let kind = if *call == self.call() { 2 } else { 4 };
        let mut event = json!({
            "ThisDN": vq, "CallUUID": call, "ConnID": format!("CONN{call}"), "CallType": kind,
            "Extensions": {"VQID": id, "Location": "SITE1"},
        });
        if let Some(to) = to {
            event["ThirdPartyDN"] = json!(to.dn);
        }
        self.say(at_ms, Stream::Vq, name, event);
    }

    fn step(&mut self, at_ms: i64, step: Step) {
        let call = self.call();
        match step {
            Step::CallIn => {
                self.created(at_ms, &call, 2, json!({"ANI": CUSTOMER, "DNIS": "+15559990000"}));
                let customer = self.party(&call, CUSTOMER);
                self.added(at_ms + 1, &customer, CALLING_IN, None);
                self.customer = Some(customer);
                self.on_point(at_ms + 2, None);
            }
            Step::CallOut(who) => {
                self.created(at_ms, &call, 3, json!({"DialedNumber": CUSTOMER}));
                let agent = self.party(&call, dn(who));
                self.added(at_ms + 1, &agent, ORIGINATING, None);
                let customer = self.party(&call, CUSTOMER);
                self.added(at_ms + 40, &customer, ALERTING, None);
                (self.agent, self.customer) = (Some(agent), Some(customer));
            }
            Step::CallInside(from, to) => {
                self.created(at_ms, &call, 1, json!({}));
                let agent = self.party(&call, dn(from));
                self.added(at_ms + 1, &agent, ORIGINATING, None);
                let called = self.party(&call, dn(to));
                self.added(at_ms + 5, &called, ALERTING, None);
                (self.agent, self.ringing) = (Some(agent), Some(called));
            }
            Step::CustomerAnswers => {
                let (agent, customer) = (self.agent.clone(), self.customer.clone());
                self.state(at_ms, &customer.expect("called"), CONNECTED);
                self.state(at_ms, &agent.expect("calling"), CONNECTED);
            }
            Step::CustomerBusy => {
                let (agent, customer) = (self.agent.take(), self.customer.take());
                self.gone(at_ms, &customer.expect("called"), Some(BUSY));
                self.gone(at_ms + 2_000, &agent.expect("calling"), None);
                self.deleted(at_ms + 2_001);
            }
            Step::Treat => {
                let (point, customer) = (self.point.clone(), self.customer.clone());
                self.state(at_ms, &point.expect("routed"), IN_TREATMENT);
                self.state(at_ms, &customer.expect("calling"), CONNECTED);
            }
            Step::Queue(vq) => self.queue(at_ms, vq.dn(), call),
            Step::Ring(who, lets_go) => self.ring(at_ms, who, lets_go),
            Step::NoAnswer => self.no_answer(at_ms),
            Step::Answer => self.answer(at_ms),
            Step::Hold => self.of_agent(at_ms, HELD),
            Step::Retrieve => self.of_agent(at_ms, CONNECTED),
            Step::Consult(who) => {
                let call = self.begin_consult(at_ms);
                let to = self.party(&call, dn(who));
                self.added(at_ms + 10, &to, ALERTING, None);
                self.ringing = Some(to);
            }
            Step::ConsultQueue(vq) => {
                let call = self.begin_consult(at_ms);
                let point = self.party(&call, POINT_OF_CONSULTS);
                self.added(at_ms + 10, &point, ON_ROUTING_POINT, None);
                self.point = Some(point);
                self.queue(at_ms + 200, vq.dn(), call);
            }
            Step::ConsultRing(who) => {
                let to = self.party(&self.consult(), dn(who));
                self.added(at_ms, &to, ALERTING, Some(ROUTE));
                self.let_go(at_ms + 5, &to);
                self.ringing = Some(to);
            }
            Step::ConsultAnswer => {
                let (to, own) = (self.ringing.clone(), self.third.clone());
                self.state(at_ms, &to.expect("consulted"), CONNECTED);
                self.state(at_ms, &own.expect("consulting"), CONNECTED);
            }
            Step::ConsultDrop => {
                let (to, own) = (self.ringing.take(), self.third.take());
                self.gone(at_ms, &to.expect("consulted"), None);
                self.gone(at_ms + 1, &own.expect("consulting"), None);
                let event = json!({"CallUUID": self.consult()});
                self.say(at_ms + 2, Stream::Call, "EventCallDeleted", event);
                self.of_agent(at_ms + 100, CONNECTED);
            }
            Step::Complete => self.complete(at_ms),
            Step::Pass(who) => {
                let agent = self.agent.take().expect("talking");
                self.gone(at_ms, &agent, Some(SINGLE_STEP_TRANSFER));
                let to = self.party(&call, dn(who));
                self.added(at_ms + 5, &to, ALERTING, Some(SINGLE_STEP_TRANSFER));
                self.ringing = Some(to);
            }
            Step::PassToQueue => {
                let agent = self.agent.take().expect("talking");
                self.gone(at_ms, &agent, Some(SINGLE_STEP_TRANSFER));
                self.queued = None;
                self.on_point(at_ms + 5, Some(SINGLE_STEP_TRANSFER));
            }
            Step::Conference(who) => {
                let third = self.party(&call, dn(who));
                self.added(at_ms, &third, ALERTING, Some(SINGLE_STEP_CONFERENCE));
                self.state(at_ms + 100, &third, CONNECTED);
                self.third = Some(third);
            }
            Step::HangUp { customer } => self.hang_up(at_ms, customer),
        }
    }

    fn on_point(&mut self, at_ms: i64, cause: Option<u32>) {
        let call = self.call();
        let point = self.party(&call, POINT);
        self.added(at_ms, &point, ON_ROUTING_POINT, cause);
        self.point = Some(point);
    }

    fn queue(&mut self, at_ms: i64, vq: &'static str, call: String) {
        if let Some(old) = self.queued.take() {
            self.of_queue(at_ms - 20, "EventDiverted", &old, None);
        }
        self.made += 1;
        let entry = Entry { vq, id: format!("VQID{}-{}", self.number, self.made), call };
        self.of_queue(at_ms, "EventQueued", &entry, None);
        self.queued = Some(entry);
    }

    /// The phone rings at `at_ms`, and was chosen a moment before.
    fn ring(&mut self, at_ms: i64, who: Who, lets_go: bool) {
        let call = self.call();
        let entry = self.queued.clone().expect("queued");
        let data = json!({"CallUUID": call, "UserData": {"RVQID": entry.id}});
        self.say(at_ms - 10, Stream::Call, "EventCallDataChanged", data);
        let to = self.party(&call, dn(who));
        self.added(at_ms, &to, ALERTING, Some(ROUTE));
        if lets_go {
            self.let_go(at_ms + 5, &to);
        }
        (self.lets_go, self.ringing) = (lets_go, Some(to));
    }

    /// The Routing Point lets the call go to a phone, and the VQ with it.
    fn let_go(&mut self, at_ms: i64, to: &Party) {
        let point = self.point.take().expect("routed");
        self.gone(at_ms, &point, Some(ROUTE));
        let entry = self.queued.take().expect("queued");
        self.of_queue(at_ms + 30, "EventDiverted", &entry, Some(to));
    }

    fn no_answer(&mut self, at_ms: i64) {
        let ringing = self.ringing.take().expect("ringing");
        if self.lets_go {
            self.on_point(at_ms - 1, Some(REDIRECT));
        }
        self.gone(at_ms, &ringing, Some(NO_ANSWER));
    }

    fn answer(&mut self, at_ms: i64) {
        let to = self.ringing.take().expect("ringing");
        self.state(at_ms, &to, CONNECTED);
        if let Some(customer) = self.customer.clone() {
            self.state(at_ms, &customer, CONNECTED);
            if self.point.is_some() {
                self.let_go(at_ms + 2, &to);
            }
            self.agent = Some(to);
        } else {
            let agent = self.agent.clone().expect("an internal call");
            self.state(at_ms, &agent, CONNECTED);
            self.third = Some(to);
        }
    }

    fn of_agent(&mut self, at_ms: i64, state: u32) {
        let agent = self.agent.clone().expect("talking");
        self.state(at_ms, &agent, state);
    }

    /// The agent holds the caller and makes the call to whom it consults, whose id is returned.
    fn begin_consult(&mut self, at_ms: i64) -> String {
        self.of_agent(at_ms, HELD);
        self.consults += 1;
        let (call, from) = (self.consult(), self.agent.clone().expect("talking").dn);
        self.created(at_ms + 5, &call, 4, json!({"OrigCallUUID": self.call()}));
        let own = self.party(&call, from);
        self.added(at_ms + 6, &own, ORIGINATING, None);
        self.third = Some(own);
        call
    }

    fn complete(&mut self, at_ms: i64) {
        let agent = self.agent.take().expect("talking");
        let own = self.third.take().expect("consulting");
        self.gone(at_ms, &agent, Some(TRANSFER));
        self.gone(at_ms + 1, &own, Some(TRANSFER));
        let event =
            json!({"CallUUID": self.consult(), "RefCallUUID": self.call(), "Cause": TRANSFER});
        self.say(at_ms + 4, Stream::Call, "EventCallDeleted", event);
        let call = self.call();
        self.point = self.point.take().map(|point| Party { call: call.clone(), ..point });
        let to = self.ringing.take().map(|to| Party { call, ..to });
        let answered = self.lines.iter().any(|line| {
            let is = |key: &str, value: Value| line.event[key] == value;
            to.as_ref().is_some_and(|to| is("PartyUUID", json!(to.id)))
                && is("PartyState", json!(CONNECTED))
        });
        if answered {
            self.agent = to;
        } else {
            self.ringing = to;
        }
    }

    fn hang_up(&mut self, at_ms: i64, customer: bool) {
        let here = [self.customer.take(), self.agent.take(), self.third.take()];
        let rest = [self.ringing.take(), self.point.take()];
        let mut here: Vec<Party> = here.into_iter().chain(rest).flatten().collect();
        if !customer && here.len() > 1 && here[0].dn == CUSTOMER {
            here.swap(0, 1);
        }
        for (after_ms, party) in (0..).zip(&here) {
            self.gone(at_ms + after_ms, party, None);
        }
        if let Some(entry) = self.queued.take() {
            self.of_queue(at_ms, "EventAbandoned", &entry, None);
        }
        self.deleted(at_ms + 5);
    }

    fn deleted(&mut self, at_ms: i64) {
        let event = json!({"CallUUID": self.call()});
        self.say(at_ms, Stream::Call, "EventCallDeleted", event);
    }
}
