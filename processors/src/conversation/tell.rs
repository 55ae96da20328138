//! Turns decisions about a conversation into commands: ids, order and strictly increasing times
//! (DESIGN laws 5 and 8).

use std::collections::BTreeMap;
use std::sync::Arc;

use trunkline_schemas::command::{
    CommunicationAnswered, CommunicationDispositionApplied, CommunicationEnded, ConsultTransfer,
    ConversationCommand, DisconnectType, EndConsultTransfer, EndTransfer, ExternalEstablished,
    FinalState, HoldUpdated, InitialConfiguration, IvrEstablished, PhoneEstablished, PhoneTransfer,
    ProgressConsultTransfer, ProgressTransfer, RoutingEstablished, RoutingTransfer,
    SourceConfiguration, TransferType, UserEstablished, UserTransfer, VoiceEvent,
};
use trunkline_schemas::ids;
use trunkline_schemas::outcome::{Outcome, OutcomeStatus};
use trunkline_schemas::segment::{LegKind, Segment};

use super::Settings;
use super::call::{Conversation, Leg, LegState, Transfer};
use super::directory::{AgentAt, Directory};
use super::logins::Logins;
use super::reason::Reason;

/// What is written beside the state.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Commands, in order.
    pub commands: Vec<ConversationCommand>,
    /// Legs that ended.
    pub segments: Vec<Segment>,
    /// Calls and parties left out.
    pub outcomes: Vec<Outcome>,
    /// Trace contexts of the records that caused commands, by the place of the command.
    pub traces: BTreeMap<usize, Vec<u8>>,
}

impl Told {
    /// Where it stands, for [`Told::back_to`].
    pub fn mark(&self) -> [usize; 3] {
        [self.commands.len(), self.segments.len(), self.outcomes.len()]
    }

    /// Forgets what was written since then.
    pub fn back_to(&mut self, [commands, segments, outcomes]: [usize; 3]) {
        self.commands.truncate(commands);
        self.segments.truncate(segments);
        self.outcomes.truncate(outcomes);
    }

    /// What was commanded since then was caused by a record with this trace context.
    pub fn traced_since(&mut self, [commands, ..]: [usize; 3], context: &[u8]) {
        self.traces.extend((commands..self.commands.len()).map(|at| (at, context.to_vec())));
    }
}

/// Speaks about one conversation while one event is applied.
pub struct Teller<'a> {
    /// The conversation.
    pub conversation: &'a mut Conversation,
    /// Where it goes.
    pub told: &'a mut Told,
    /// Routing domain.
    pub domain: &'a str,
    /// GC id of the source.
    pub source_id: &'a str,
    /// Place of the record that causes it.
    pub cause: &'a str,
    /// Stream time, for outcomes.
    pub now_ms: i64,
    /// How the processor is set.
    pub settings: &'a Settings,
    /// Wrap-up codes by the name of the disposition.
    pub directory: &'a Directory,
    /// When after-call work ended.
    pub logins: &'a Logins,
}

/// A leg about to be established.
pub struct NewLeg<'a> {
    /// What it is.
    pub kind: LegKind,
    /// The party or VQ entry it stands for.
    pub subject: &'a str,
    /// DN or VQ.
    pub dn: &'a str,
    /// It alerts.
    pub alerting: bool,
    /// The leg that invited it.
    pub invited_by: Option<String>,
    /// The agent.
    pub agent: Option<AgentAt>,
    /// GC queue.
    pub queue_id: Option<String>,
}

impl Teller<'_> {
    /// Establishes a leg and returns its id.
    pub fn establish(&mut self, at_ms: i64, new: NewLeg<'_>) -> String {
        let id = ids::communication_id(&self.conversation.id, new.subject).to_string();
        let event = self.established(&id, &new);
        let start_ms = self.say(at_ms, &id, 1, event);
        let after_call = new.kind == LegKind::User && self.settings.after_call_ms.is_some();
        self.conversation.legs.push(Arc::new(Leg {
            after_call,
            id: id.clone(),
            subjects: vec![new.subject.to_owned()],
            kind: new.kind,
            state: if new.alerting { LegState::Alerting } else { LegState::Connected },
            held: false,
            holds: 0,
            dn: new.dn.to_owned(),
            agent: new.agent,
            queue_id: new.queue_id,
            start_ms,
            answered_ms: None,
            ended_ms: None,
        }));
        id
    }

    fn established(&self, id: &str, new: &NewLeg<'_>) -> VoiceEvent {
        let call = self.conversation.root_call();
        let inbound = call.is_none_or(|call| call.dialed.is_none());
        let ani = call.and_then(|call| call.ani.clone());
        let dnis = call.and_then(|call| call.dialed.clone().or_else(|| call.dnis.clone()));
        let communication_id = id.to_owned();
        let initial_configuration = InitialConfiguration {
            alerting: Some(new.alerting),
            inbound: Some(inbound),
            invited_by: new.invited_by.clone(),
            ..InitialConfiguration::default()
        };
        let source_configuration = SourceConfiguration {
            source_id: self.source_id.to_owned(),
            interaction_id: self.conversation.root.clone(),
            tag_id: None,
        };
        match new.kind {
            LegKind::Phone => VoiceEvent::PhoneEstablished(PhoneEstablished {
                communication_id,
                phone_number: Some(new.dn.to_owned()),
                initial_configuration: InitialConfiguration {
                    inbound: Some(false),
                    ..initial_configuration
                },
                source_configuration,
                ..PhoneEstablished::default()
            }),
            LegKind::External => VoiceEvent::ExternalEstablished(ExternalEstablished {
                communication_id,
                ani,
                dnis,
                initial_configuration,
                source_configuration,
                ..ExternalEstablished::default()
            }),
            LegKind::Ivr => VoiceEvent::IvrEstablished(IvrEstablished {
                communication_id,
                ivr_name: Some(new.dn.to_owned()),
                ivr_phone_number: dnis,
                initial_configuration,
                source_configuration,
                ..IvrEstablished::default()
            }),
            LegKind::Routing => VoiceEvent::RoutingEstablished(RoutingEstablished {
                communication_id,
                queue_id: new.queue_id.clone().unwrap_or_default(),
                initial_configuration,
                source_configuration,
                ..RoutingEstablished::default()
            }),
            LegKind::User => VoiceEvent::UserEstablished(UserEstablished {
                communication_id,
                user_id: new.agent.as_ref().map(|a| a.user_id.clone()).unwrap_or_default(),
                after_call_work_required: Some(self.settings.after_call_ms.is_some()),
                initial_configuration,
                source_configuration,
                ..UserEstablished::default()
            }),
        }
    }

    /// An alerting leg was answered.
    pub fn answer(&mut self, at_ms: i64, leg: &str) {
        let event = CommunicationAnswered { communication_id: leg.to_owned() };
        let at_ms = self.say(at_ms, leg, 1, VoiceEvent::CommunicationAnswered(event));
        if let Some(leg) = self.leg_mut(leg) {
            leg.state = LegState::Connected;
            leg.answered_ms = Some(at_ms);
        }
    }

    /// A leg ended. A leg that has ended stays as it is.
    pub fn end(&mut self, at_ms: i64, leg: &str, disconnect_type: DisconnectType) {
        let Some(open) = self.conversation.open_legs().find(|l| l.id == leg).cloned() else {
            return;
        };
        let event = CommunicationEnded {
            communication_id: leg.to_owned(),
            disconnect_type,
            destination_conversation_id: None,
        };
        let end_ms = self.say(at_ms, leg, 1, VoiceEvent::CommunicationEnded(event));
        if let Some(leg) = self.leg_mut(leg) {
            (leg.state, leg.ended_ms) = (LegState::Ended, Some(end_ms));
        }
        self.close_after_call(&open, end_ms);
        self.told.segments.push(Segment {
            conversation_id: self.conversation.id.clone(),
            communication_id: open.id,
            call_uuid: self.conversation.root.clone(),
            domain: self.domain.to_owned(),
            kind: open.kind,
            dn: Some(open.dn),
            employee_id: open.agent.as_ref().map(|a| a.employee_id.clone()),
            user_id: open.agent.map(|a| a.user_id),
            queue_id: open.queue_id,
            start_ms: open.start_ms,
            answered_ms: open.answered_ms,
            end_ms,
            disconnect: Some(disconnect_name(disconnect_type)),
        });
    }

    /// A leg was held or retrieved.
    pub fn hold(&mut self, at_ms: i64, leg: &str, held: bool) {
        let Some(open) = self.leg_mut(leg) else { return };
        if open.held == held {
            return;
        }
        open.held = held;
        open.holds += 1;
        let nth = open.holds;
        let event = HoldUpdated { communication_id: leg.to_owned(), held };
        self.say(at_ms, leg, nth, VoiceEvent::HoldUpdated(event));
    }

    /// A transfer of the customer begins: from a leg to a user or a queue. Its id is named by the
    /// destination leg, which stands for `subject`.
    pub fn begin_transfer(&mut self, at_ms: i64, from: &str, to: &Destination<'_>, subject: &str) {
        let Some(object) = self.conversation.open_kind(LegKind::External).map(|l| l.id.clone())
        else {
            return;
        };
        let leg = ids::communication_id(&self.conversation.id, subject).to_string();
        let command_id = ids::command_id(&self.conversation.id, &leg).to_string();
        let from = from.to_owned();
        let event = match to {
            Destination::User(user) => VoiceEvent::UserTransfer(UserTransfer {
                transfer_type: TransferType::Unattended,
                command_id: command_id.clone(),
                initiating_communication_id: from.clone(),
                target_communication_id: from,
                object_communication_id: object.clone(),
                destination_user_id: (*user).to_owned(),
            }),
            Destination::Phone(number) => VoiceEvent::PhoneTransfer(PhoneTransfer {
                transfer_type: TransferType::Unattended,
                command_id: command_id.clone(),
                initiating_communication_id: from.clone(),
                target_communication_id: from,
                object_communication_id: object.clone(),
                destination_phone_number: (*number).to_owned(),
            }),
            Destination::Queue(queue) => VoiceEvent::RoutingTransfer(RoutingTransfer {
                transfer_type: TransferType::Unattended,
                command_id: command_id.clone(),
                initiating_communication_id: from.clone(),
                target_communication_id: from,
                object_communication_id: object.clone(),
                destination_queue_id: (*queue).to_owned(),
                language_id: None,
                skill_ids: None,
            }),
        };
        self.say(at_ms, &command_id, 1, event);
        self.conversation.transfer = Some(Transfer { command_id, object });
    }

    /// The destination leg of the open transfer is there.
    pub fn progress_transfer(&mut self, at_ms: i64, destination: &str) {
        let Some(transfer) = self.conversation.transfer.clone() else { return };
        let event = ProgressTransfer {
            command_id: transfer.command_id.clone(),
            object_communication_id: transfer.object,
            destination_communication_id: destination.to_owned(),
        };
        self.say(at_ms, &transfer.command_id, 1, VoiceEvent::ProgressTransfer(event));
    }

    /// The open transfer, if there is one, is over.
    pub fn end_transfer(&mut self, at_ms: i64, final_state: FinalState) {
        let Some(transfer) = self.conversation.transfer.take() else { return };
        let event = EndTransfer {
            command_id: transfer.command_id.clone(),
            final_state,
            object_communication_id: transfer.object,
        };
        self.say(at_ms, &transfer.command_id, 1, VoiceEvent::EndTransfer(event));
    }

    /// A consult begins: an agent calls somebody while the customer waits.
    pub fn consult(&mut self, at_ms: i64, agent: &str, destination: &str) {
        let Some(object) = self.customer_leg() else { return };
        let event = ConsultTransfer {
            initiating_communication_id: agent.to_owned(),
            destination_communication_id: destination.to_owned(),
            object_communication_id: object,
        };
        self.say(at_ms, destination, 1, VoiceEvent::ConsultTransfer(event));
    }

    /// The consulted leg is there.
    pub fn progress_consult(&mut self, at_ms: i64, agent: &str, destination: &str) {
        let Some(object) = self.customer_leg() else { return };
        let event = ProgressConsultTransfer {
            initiating_communication_id: agent.to_owned(),
            destination_communication_id: destination.to_owned(),
            object_communication_id: object,
        };
        self.say(at_ms, destination, 1, VoiceEvent::ProgressConsultTransfer(event));
    }

    /// The consult is over. `destination` is the leg it was with last: it names the event.
    pub fn end_consult(&mut self, at_ms: i64, destination: &str) {
        let event = EndConsultTransfer {};
        self.say(at_ms, destination, 1, VoiceEvent::EndConsultTransfer(event));
    }

    fn customer_leg(&self) -> Option<String> {
        self.conversation.open_kind(LegKind::External).map(|leg| leg.id.clone())
    }

    /// What follows the end of an agent's leg: the disposition where it is known, else, where
    /// after-call work was announced, a time by which it is closed.
    fn close_after_call(&mut self, leg: &Leg, end_ms: i64) {
        if leg.kind != LegKind::User || leg.state != LegState::Connected {
            if leg.after_call {
                self.disposition(end_ms, &leg.id, None);
            }
            return;
        }
        if let Some(name) = self.conversation.disposition.clone() {
            self.dispose(end_ms, &leg.id, &name, leg.after_call);
        } else if leg.after_call {
            let due_ms = self.now_ms + self.settings.after_call_ms.unwrap_or_default();
            self.conversation.after_call.push((leg.id.clone(), due_ms));
        }
    }

    /// Applies a disposition by its name in Engage. One that is no wrap-up code counts as skipped.
    pub fn dispose(&mut self, at_ms: i64, leg: &str, name: &str, announced: bool) {
        let code = self.directory.wrap_up_code(name).map(str::to_owned);
        if code.is_none() {
            let detail = Some("the disposition is no wrap-up code of the directory".to_owned());
            self.note(OutcomeStatus::LeftOut, Reason::WrapUpNotMapped, detail);
        }
        if code.is_some() || announced {
            self.disposition(at_ms, leg, code);
        }
    }

    /// After-call work of a leg is done; without a code it was skipped.
    pub fn disposition(&mut self, at_ms: i64, leg: &str, code: Option<String>) {
        let event = CommunicationDispositionApplied {
            communication_id: leg.to_owned(),
            code,
            notes: None,
            tags: None,
        };
        self.say(at_ms, leg, 1, VoiceEvent::CommunicationDispositionApplied(event));
    }

    /// Notes, once for each reason, that the conversation or a party of it is left out.
    pub fn note(&mut self, status: OutcomeStatus, reason: Reason, detail: Option<String>) {
        if self.conversation.noted.contains(&(status, reason)) {
            return;
        }
        self.conversation.noted.push((status, reason));
        self.told.outcomes.push(Outcome {
            status,
            conversation_id: self.conversation.id.clone(),
            call_uuid: self.conversation.root.clone(),
            domain: self.domain.to_owned(),
            event_id: None,
            seq: None,
            event: None,
            code: Some(reason.code().to_owned()),
            reason: detail,
            attempts: 0,
            at_ms: self.now_ms,
        });
    }

    fn leg_mut(&mut self, id: &str) -> Option<&mut Leg> {
        self.conversation.legs.iter_mut().find(|leg| leg.id == id).map(Arc::make_mut)
    }

    /// Writes a command at its time, or 1 ms after the one before it; returns the time it got.
    fn say(&mut self, at_ms: i64, subject: &str, nth: u32, event: VoiceEvent) -> i64 {
        let conversation = &mut *self.conversation;
        let at_ms = at_ms.max(conversation.last_ms.saturating_add(1));
        conversation.seq += 1;
        conversation.last_ms = at_ms;
        self.told.commands.push(ConversationCommand {
            event_id: ids::event_id(subject, event.array(), nth).to_string(),
            conversation_id: conversation.id.clone(),
            seq: conversation.seq,
            event_date_time_ms: at_ms,
            domain: self.domain.to_owned(),
            call_uuid: conversation.root.clone(),
            cause: self.cause.to_owned(),
            event,
        });
        at_ms
    }
}

/// Where a transfer goes.
pub enum Destination<'a> {
    /// GC user id.
    User(&'a str),
    /// GC queue id.
    Queue(&'a str),
    /// A number outside.
    Phone(&'a str),
}

fn disconnect_name(disconnect: DisconnectType) -> String {
    let name = match disconnect {
        DisconnectType::Error => "Error",
        DisconnectType::Peer => "Peer",
        DisconnectType::SelfEnded => "Self",
        DisconnectType::System => "System",
        DisconnectType::Transfer => "Transfer",
        DisconnectType::TransferAcd => "TransferACD",
        DisconnectType::TransferConference => "TransferConference",
        DisconnectType::TransferConsult => "TransferConsult",
        DisconnectType::TransferUser => "TransferUser",
    };
    name.to_owned()
}
