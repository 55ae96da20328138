//! What a Genesys Cloud organisation must hold of each call: the truth the product is measured by,
//! taken from the moments of the plan and from nothing the product computes.

use crate::truth::{CallTruth, Expected, Leg, LegKind, Outcome};

use super::model::Model;
use super::plan::{ALERTED_AFTER, Call, FAR_END_AFTER, MS, Micros, TREATED_AFTER};
use super::site::Site;

/// Why nothing is told of a call between two agents.
const INTERNAL: &str = "internal";

/// The truth about a call; `to_ms` turns a moment of the plan into milliseconds since 1970.
pub(super) fn truth(site: &Site, call: &Call, to_ms: impl Fn(Micros) -> i64) -> CallTruth {
    let view = View { site, call, to_ms };
    let (expected, outcomes) = if let Some(legs) = view.legs() {
        (Expected::Conversation(legs), Vec::new())
    } else {
        let why = INTERNAL.to_owned();
        (Expected::Nothing(why.clone()), vec![Outcome::LeftOut(why)])
    };
    CallTruth {
        call_uuid: site.call_uuid(call.number),
        model: call.model.name().to_owned(),
        expected,
        outcomes,
    }
}

struct View<'a, F> {
    site: &'a Site,
    call: &'a Call,
    to_ms: F,
}

impl<F: Fn(Micros) -> i64> View<'_, F> {
    /// The legs in order of their start; nothing for a call that is not told.
    fn legs(&self) -> Option<Vec<Leg>> {
        let call = self.call;
        let ended = self.ms(call.ended);
        Some(match call.model {
            Model::DivertOnRinging | Model::DivertOnAnswer | Model::HoldRetrieve => {
                let mut user = self.talking(self.first_agent());
                if call.model == Model::HoldRetrieve {
                    user.holds = vec![(self.ms(call.held), true), (self.ms(call.retrieved), false)];
                }
                vec![self.caller(), self.answered_queue(), user]
            }
            Model::IvrThenAgent => {
                let ivr = end(self.ivr(), self.ms(call.queued), "TransferACD");
                vec![self.caller(), ivr, self.answered_queue(), self.talking(self.first_agent())]
            }
            Model::IvrOnly => vec![self.caller(), end(self.ivr(), ended + 1, "Peer")],
            Model::AbandonedInQueue => {
                vec![self.caller(), end(self.queue(), ended + 1, "Peer")]
            }
            Model::AbandonedWhileRinging => vec![
                self.caller(),
                end(self.queue(), ended + 1, "Peer"),
                end(self.first_agent(), ended + 1, "Peer"),
            ],
            Model::NoAnswerRecalled => self.two_agents(self.ms(call.refused + MS)),
            Model::NoAnswerRerouted => self.two_agents(self.ms(call.refused)),
            Model::Outbound => {
                let mut customer = self.called();
                customer.answered_ms = Some(self.ms(call.answered));
                vec![self.hang_up(self.calling(), true), self.hang_up(customer, false)]
            }
            Model::OutboundBusy => {
                vec![end(self.calling(), ended + 1, "Peer"), end(self.called(), ended, "System")]
            }
            Model::Internal => return None,
        })
    }

    /// The first agent's phone rings in vain until `refused`; one queue leg lasts throughout.
    fn two_agents(&self, refused: i64) -> Vec<Leg> {
        let call = self.call;
        let second = self.user(call.second_agent, call.rerouted, true);
        vec![
            self.caller(),
            self.answered_queue(),
            end(self.first_agent(), refused, "System"),
            self.talking(second),
        ]
    }

    /// The customer who calls in, to the end.
    fn caller(&self) -> Leg {
        self.hang_up(leg(LegKind::External, None, self.ms(self.call.created), false), false)
    }

    /// The customer who is called.
    fn called(&self) -> Leg {
        leg(LegKind::External, None, self.ms(self.call.created + FAR_END_AFTER), true)
    }

    /// The agent who calls.
    fn calling(&self) -> Leg {
        self.user(self.call.agent, self.call.created, false)
    }

    fn ivr(&self) -> Leg {
        leg(LegKind::Ivr, None, self.ms(self.call.created + TREATED_AFTER), false)
    }

    fn queue(&self) -> Leg {
        let id = self.site.queues[self.call.queue].id.clone();
        leg(LegKind::Routing, Some(id), self.ms(self.call.queued), false)
    }

    fn answered_queue(&self) -> Leg {
        end(self.queue(), self.ms(self.call.answered), "TransferUser")
    }

    fn first_agent(&self) -> Leg {
        self.user(self.call.agent, self.call.selected + ALERTED_AFTER, true)
    }

    fn user(&self, agent: usize, start: Micros, alerting: bool) -> Leg {
        let id = self.site.agents[agent].user_id.clone();
        leg(LegKind::User, Some(id), self.ms(start), alerting)
    }

    /// The agent answers and talks to the end.
    fn talking(&self, mut user: Leg) -> Leg {
        user.answered_ms = Some(self.ms(self.call.answered));
        self.hang_up(user, true)
    }

    /// Who hangs up ends with `Self`, the other a millisecond later with `Peer`.
    fn hang_up(&self, leg: Leg, is_agent: bool) -> Leg {
        let ended = self.ms(self.call.ended);
        if is_agent == self.call.agent_hangs_up {
            end(leg, ended, "Self")
        } else {
            end(leg, ended + 1, "Peer")
        }
    }

    fn ms(&self, at: Micros) -> i64 {
        (self.to_ms)(at)
    }
}

fn leg(kind: LegKind, id: Option<String>, start_ms: i64, alerting: bool) -> Leg {
    Leg {
        kind,
        id,
        start_ms,
        alerting,
        answered_ms: None,
        holds: Vec::new(),
        end_ms: None,
        disconnect: None,
    }
}

fn end(leg: Leg, end_ms: i64, disconnect: &str) -> Leg {
    Leg { end_ms: Some(end_ms), disconnect: Some(disconnect.to_owned()), ..leg }
}
