//! What the servers say of a call: its TLib events, built from the moments of the plan. The
//! dialogue of each model is that of its call model table, without the events no client asks for.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::event::{Event, Phase, Place, Role};
use super::model::Model;
use super::plan::{
    ALERTED_AFTER, BUSY_TONE, COLLEAGUE_AFTER, Call, FAR_END_AFTER, MS, Micros, TREATED_AFTER,
};
use super::site::{Agent, Queue, SWITCH, Site};

/// PartyState bits (tlib.md section 3).
const ORIGINATING: u32 = 0x10001;
const CALLING_IN: u32 = 0x1000C;
const ON_ROUTING_POINT: u32 = 0x809;
const IN_TREATMENT: u32 = 0xA09;
const ALERTING: u32 = 0xA;
const CONNECTED: u32 = 0xC;
const HELD: u32 = 0xE;

/// Causes.
const BUSY: u32 = 2;
const NO_ANSWER: u32 = 3;
const ROUTE: u32 = 5;
const REDIRECT: u32 = 9;

/// Call types.
const INTERNAL: u32 = 1;
const INBOUND: u32 = 2;
const OUTBOUND: u32 = 3;

/// CallID of the first call; the switch counts up from here.
const CALL_ID_FIRST: u32 = 16;
/// Reason RTR of a diverted call.
const ROUTED_TO_AGENT: u32 = 115;

/// The events of a call in the order in which they happen.
pub(super) fn events(site: &Site, call: &Call) -> Vec<Event> {
    let mut script = Script::new(site, call);
    match call.model {
        Model::DivertOnRinging | Model::IvrThenAgent => script.answered_after_diversion(),
        Model::HoldRetrieve => {
            script.answered_after_diversion();
            script.party_state(call.held, &script.agent(), HELD);
            script.party_state(call.retrieved, &script.agent(), CONNECTED);
        }
        Model::DivertOnAnswer => {
            script.arrive();
            script.queue(call.queued, 1);
            script.offer();
            script.answer(&script.agent());
            script.divert_on_answer(&script.agent(), script.target());
            script.talk_ends(&script.agent());
        }
        Model::IvrOnly => {
            script.arrive();
            script.leave(&script.customer(), &script.routing_point());
        }
        Model::AbandonedInQueue => {
            script.arrive();
            script.queue(call.queued, 1);
            script.leave(&script.customer(), &script.routing_point());
        }
        Model::AbandonedWhileRinging => {
            script.arrive();
            script.queue(call.queued, 1);
            script.offer();
            script.divert_on_ringing();
            script.leave(&script.customer(), &script.agent());
        }
        Model::NoAnswerRecalled => script.no_answer_recalled(),
        Model::NoAnswerRerouted => script.no_answer_rerouted(),
        Model::Outbound | Model::OutboundBusy => script.outbound(),
        Model::Internal => script.internal(),
    }
    script.events.sort_by_key(|event| event.at);
    script.events
}

/// A party of the call; its number is that of the tables (P1 the customer, P2 the Routing Point).
#[derive(Clone, Debug)]
struct Party {
    number: u8,
    dn: String,
}

struct Script<'a> {
    site: &'a Site,
    call: &'a Call,
    call_uuid: String,
    conn_id: String,
    events: Vec<Event>,
}

impl<'a> Script<'a> {
    fn new(site: &'a Site, call: &'a Call) -> Self {
        Self {
            site,
            call,
            call_uuid: site.call_uuid(call.number),
            conn_id: site.conn_id(call.number),
            events: Vec::new(),
        }
    }

    // Whole models and the parts they share.

    fn answered_after_diversion(&mut self) {
        self.arrive();
        self.queue(self.call.queued, 1);
        self.offer();
        self.divert_on_ringing();
        self.answer(&self.agent());
        self.talk_ends(&self.agent());
    }

    fn no_answer_recalled(&mut self) {
        let call = self.call;
        let again = Party { number: 4, ..self.routing_point() };
        self.arrive();
        self.queue(call.queued, 1);
        self.offer();
        self.divert_on_ringing();
        self.party_added(call.refused, &again, ON_ROUTING_POINT, Some(REDIRECT));
        self.party_deleted(call.refused + MS, &self.agent(), Some(NO_ANSWER));
        self.queue(call.refused + 200 * MS, 2);
        self.party_added(call.rerouted, &self.second_agent(), ALERTING, Some(ROUTE));
        self.party_deleted(call.rerouted + 5 * MS, &again, Some(ROUTE));
        let chosen = self.chosen(2);
        self.divert(call.rerouted + 40 * MS, 2, &self.second_agent(), chosen);
        self.connected(call.answered, &self.second_agent());
        self.tell_agent(&self.second_agent(), [&self.customer(), &self.second_agent()]);
        self.talk_ends(&self.second_agent());
    }

    fn no_answer_rerouted(&mut self) {
        let call = self.call;
        self.arrive();
        self.queue(call.queued, 1);
        self.offer();
        self.party_deleted(call.refused, &self.agent(), Some(NO_ANSWER));
        self.party_added(call.rerouted, &self.second_agent(), ALERTING, Some(ROUTE));
        self.answer(&self.second_agent());
        self.divert_on_answer(&self.second_agent(), self.chosen(1));
        self.talk_ends(&self.second_agent());
    }

    fn outbound(&mut self) {
        let call = self.call;
        let created = json!({"CallType": OUTBOUND, "DialedNumber": call.customer});
        self.created(created);
        self.party_added(call.created + MS, &self.agent(), ORIGINATING, None);
        self.party_added(call.created + FAR_END_AFTER, &self.customer(), ALERTING, None);
        if call.model == Model::OutboundBusy {
            self.party_deleted(call.ended, &self.customer(), Some(BUSY));
            self.party_deleted(call.ended + BUSY_TONE, &self.agent(), None);
            self.deleted(call.ended + BUSY_TONE + MS, &self.agent());
        } else {
            self.connected(call.answered, &self.customer());
            self.party_state(call.answered, &self.agent(), CONNECTED);
            self.tell_agent(&self.agent(), [&self.agent(), &self.customer()]);
            self.talk_ends(&self.agent());
        }
    }

    fn internal(&mut self) {
        let call = self.call;
        let (caller, called) = (self.agent(), self.second_agent());
        self.created(json!({"CallType": INTERNAL}));
        self.party_added(call.created + MS, &caller, ORIGINATING, None);
        self.party_added(call.created + COLLEAGUE_AFTER, &called, ALERTING, None);
        self.connected(call.answered, &called);
        self.party_state(call.answered, &caller, CONNECTED);
        self.tell_agent(&caller, [&caller, &called]);
        self.tell_agent(&called, [&caller, &called]);
        self.leave(&caller, &called);
    }

    /// The call comes in on the Routing Point and hears the treatment its model has.
    fn arrive(&mut self) {
        let (call, queue) = (self.call, self.own_queue());
        self.created(json!({"CallType": INBOUND, "ANI": call.customer, "DNIS": queue.dnis}));
        self.party_added(call.created + MS, &self.customer(), CALLING_IN, None);
        let on_point = self.routing_point();
        self.party_added(call.created + 2 * MS, &on_point, ON_ROUTING_POINT, None);
        if call.model.has_treatment() {
            self.party_state(call.created + TREATED_AFTER, &on_point, IN_TREATMENT);
            self.party_state(call.created + TREATED_AFTER, &self.customer(), CONNECTED);
        }
        if call.model == Model::IvrThenAgent {
            self.party_state(call.treatment_end + MS, &on_point, ON_ROUTING_POINT);
        }
    }

    /// The strategy chooses the first agent, whose phone rings.
    fn offer(&mut self) {
        let (selected, target) = (self.call.selected, self.target());
        self.call_event(selected, "EventCallDataChanged", json!({"UserData": target}));
        self.party_added(selected + ALERTED_AFTER, &self.agent(), ALERTING, Some(ROUTE));
    }

    fn divert_on_ringing(&mut self) {
        let selected = self.call.selected;
        self.party_deleted(selected + 15 * MS, &self.routing_point(), Some(ROUTE));
        self.divert(selected + 45 * MS, 1, &self.agent(), self.target());
    }

    fn divert_on_answer(&mut self, agent: &Party, data: Value) {
        let answered = self.call.answered;
        self.party_deleted(answered + 2 * MS, &self.routing_point(), Some(ROUTE));
        self.divert(answered + 32 * MS, 1, agent, data);
    }

    fn answer(&mut self, agent: &Party) {
        self.connected(self.call.answered, agent);
        self.party_state(self.call.answered, &self.customer(), CONNECTED);
        self.tell_agent(agent, [&self.customer(), agent]);
    }

    /// Agent and customer hang up, who is first as planned.
    fn talk_ends(&mut self, agent: &Party) {
        if self.call.agent_hangs_up {
            self.leave(agent, &self.customer());
        } else {
            self.leave(&self.customer(), agent);
        }
    }

    // The parties.

    fn customer(&self) -> Party {
        Party { number: 1, dn: self.call.customer.clone() }
    }

    fn routing_point(&self) -> Party {
        Party { number: 2, dn: self.own_queue().routing_point.clone() }
    }

    fn agent(&self) -> Party {
        Party { number: 3, dn: self.own_agent().dn.clone() }
    }

    fn second_agent(&self) -> Party {
        Party { number: 5, dn: self.site.agents[self.call.second_agent].dn.clone() }
    }

    fn own_agent(&self) -> &'a Agent {
        &self.site.agents[self.call.agent]
    }

    fn own_queue(&self) -> &'a Queue {
        &self.site.queues[self.call.queue]
    }

    /// The user data of a routing decision: which queueing led to it.
    fn chosen(&self, time: u8) -> Value {
        json!({"RVQID": self.site.vq_id(self.call.number, time)})
    }

    /// The user data of the first routing decision, with the agent it chose.
    fn target(&self) -> Value {
        let agent = self.own_agent();
        json!({
            "RVQID": self.site.vq_id(self.call.number, 1),
            "RTargetAgentSelected": agent.employee,
            "RTargetPlaceSelected": format!("Place_{}", agent.dn),
            "RStrategyName": "Main",
        })
    }

    // The events.

    fn created(&mut self, mut attributes: Value) {
        attributes["ConnID"] = json!(self.conn_id);
        attributes["CallID"] = json!(CALL_ID_FIRST + self.call.number);
        self.call_event(self.call.created, "EventCallCreated", attributes);
        self.mark(Phase::Started);
    }

    fn deleted(&mut self, at: Micros, by: &Party) {
        self.call_event(at, "EventCallDeleted", json!({"CtrlParty": by.dn}));
        self.mark(Phase::Finished);
    }

    /// Both leave, the first at the end of the call, and the call is gone.
    fn leave(&mut self, first: &Party, second: &Party) {
        let ended = self.call.ended;
        self.party_deleted(ended, first, None);
        self.party_deleted(ended + MS, second, None);
        self.deleted(ended + 2 * MS, first);
    }

    /// The party whose phone rang answers.
    fn connected(&mut self, at: Micros, party: &Party) {
        self.party_state(at, party, CONNECTED);
        self.mark(Phase::Talking);
    }

    fn party_added(&mut self, at: Micros, party: &Party, state: u32, cause: Option<u32>) {
        self.party_event(at, "EventCallPartyAdded", party, Some(state), cause);
    }

    fn party_state(&mut self, at: Micros, party: &Party, state: u32) {
        self.party_event(at, "EventCallPartyState", party, Some(state), None);
    }

    fn party_deleted(&mut self, at: Micros, party: &Party, cause: Option<u32>) {
        self.party_event(at, "EventCallPartyDeleted", party, None, cause);
    }

    fn party_event(
        &mut self,
        at: Micros,
        name: &'static str,
        party: &Party,
        state: Option<u32>,
        cause: Option<u32>,
    ) {
        let party_uuid = self.site.party_uuid(self.call.number, party.number);
        let mut attributes = json!({"PartyUUID": party_uuid, "DN": party.dn});
        if let Some(state) = state {
            attributes["PartyState"] = json!(state);
        }
        if let Some(cause) = cause {
            attributes["Cause"] = json!(cause);
        }
        self.call_event(at, name, attributes);
    }

    fn call_event(&mut self, at: Micros, name: &'static str, mut attributes: Value) {
        attributes["CallUUID"] = json!(self.call_uuid);
        self.push(at, Role::Call, name, attributes);
    }

    fn queue(&mut self, at: Micros, time: u8) {
        let attributes = self.queue_attributes(time);
        self.push(at, Role::Vq, "EventQueued", attributes);
        self.mark(Phase::Queued);
    }

    fn divert(&mut self, at: Micros, time: u8, agent: &Party, data: Value) {
        let mut attributes = self.queue_attributes(time);
        attributes["ThirdPartyDN"] = json!(agent.dn);
        attributes["ThirdPartyDNRole"] = json!(2);
        attributes["Reasons"] = json!({"RTR": ROUTED_TO_AGENT});
        attributes["UserData"] = data;
        self.push(at, Role::Vq, "EventDiverted", attributes);
    }

    fn queue_attributes(&self, time: u8) -> Value {
        let (call, queue) = (self.call, self.own_queue());
        json!({
            "ThisDN": queue.dn,
            "ThisQueue": queue.dn,
            "ThisDNRole": 2,
            "CallUUID": self.call_uuid,
            "ConnID": self.conn_id,
            "CallType": INBOUND,
            "CallID": CALL_ID_FIRST + call.number,
            "ANI": call.customer,
            "DNIS": queue.dnis,
            "OtherDN": call.customer,
            "OtherDNRole": 1,
            "Extensions": {
                "SIGNATURE": "router",
                "NAME": "URS1",
                "VQID": self.site.vq_id(call.number, time),
                "Location": SWITCH,
                "CallUUID": self.call_uuid,
            },
        })
    }

    /// The agent's phone learns who is in the call.
    fn tell_agent(&mut self, agent: &Party, parties: [&Party; 2]) {
        let attributes = json!({
            "ThisDN": agent.dn,
            "ConnID": self.conn_id,
            "Extensions": {
                "LCTParty0": parties[0].dn,
                "LCTParty0_location": SWITCH,
                "LCTParty1": parties[1].dn,
                "LCTParty1_location": SWITCH,
                "LCTPartiesLength": 2,
            },
        });
        self.push(self.call.answered + 5 * MS, Role::Agent, "EventUserEvent", attributes);
    }

    fn push(&mut self, at: Micros, role: Role, name: &'static str, attributes: Value) {
        let Value::Object(attributes) = attributes else {
            unreachable!("attributes are always written as an object")
        };
        let (place, name) = (Place::First, Cow::Borrowed(name));
        self.events.push(Event { at, role, place, name, phase: None, attributes });
    }

    fn mark(&mut self, phase: Phase) {
        if let Some(event) = self.events.last_mut() {
            event.phase = Some(phase);
        }
    }
}
