//! Which of the 17 flows a conversation is, judged by what was told of it ("matched to the nearest
//! possible scenario", seed 003, EXCP). The list of flows is a reconstruction (scenarios section
//! 3): it stands here as a table and in docs/call-flows.md, and decides nothing that is told.

use std::collections::BTreeMap;

use trunkline_schemas::VoiceEvent;
use trunkline_schemas::command::{DisconnectType, FinalState};
use trunkline_schemas::segment::LegKind;

/// A flow of Genesys Cloud's EX model, by its number in scenarios section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowNumber(pub u8);

impl FlowNumber {
    /// Two digits.
    pub fn name(self) -> String {
        format!("{:02}", self.0)
    }
}

/// What was told of a conversation, as far as flows differ by it.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// What each leg is.
    legs: BTreeMap<String, LegKind>,
    outbound: bool,
    answered: bool,
    held: bool,
    consulted: bool,
    completed: bool,
    returned: bool,
    consulted_kinds: Vec<LegKind>,
    /// Transfers: by what leg, and to what.
    transfers: Vec<(LegKind, LegKind)>,
}

/// A row: the flow, and what of it was told. The first row that holds is the nearest flow: those
/// with more in them stand before those they contain.
type Row = (u8, fn(&Told) -> bool);

const FLOWS: [Row; 17] = [
    (16, |told| told.completed && told.consulted_kinds.contains(&LegKind::Phone)),
    (15, |told| told.completed && told.consulted_kinds.contains(&LegKind::Routing)),
    (14, |told| told.completed),
    (17, |told| told.consulted),
    (13, |told| told.transfers.contains(&(LegKind::Ivr, LegKind::Phone))),
    (12, |told| told.transfers.contains(&(LegKind::User, LegKind::Phone))),
    (10, |told| told.transfers.contains(&(LegKind::User, LegKind::User))),
    (11, |told| told.transfers.contains(&(LegKind::User, LegKind::Routing))),
    (8, |told| told.outbound && !told.answered),
    (9, |told| told.held),
    (7, |told| told.outbound),
    (5, |told| told.returned),
    (4, |told| told.has(LegKind::Ivr) && told.has(LegKind::Routing) && told.has(LegKind::User)),
    (3, |told| told.has(LegKind::Routing) && told.has(LegKind::User)),
    (2, |told| told.has(LegKind::Routing)),
    (6, |told| told.has(LegKind::User)),
    (1, |told| told.has(LegKind::Ivr)),
];

impl Told {
    /// Takes the next thing that was told.
    pub fn take(&mut self, event: &VoiceEvent) {
        match event {
            VoiceEvent::ExternalEstablished(e) => {
                self.outbound |= e.initial_configuration.inbound == Some(false);
                self.leg(&e.communication_id, LegKind::External);
            }
            VoiceEvent::IvrEstablished(e) => self.leg(&e.communication_id, LegKind::Ivr),
            VoiceEvent::PhoneEstablished(e) => self.leg(&e.communication_id, LegKind::Phone),
            VoiceEvent::RoutingEstablished(e) => self.leg(&e.communication_id, LegKind::Routing),
            VoiceEvent::UserEstablished(e) => self.leg(&e.communication_id, LegKind::User),
            VoiceEvent::CommunicationAnswered(e) => {
                self.answered |= self.kind(&e.communication_id) == Some(LegKind::External);
            }
            VoiceEvent::CommunicationEnded(e) => {
                self.completed |= e.disconnect_type == DisconnectType::TransferConsult;
            }
            VoiceEvent::HoldUpdated(e) => self.held |= e.held,
            VoiceEvent::RoutingTransfer(e) => {
                self.transfer(&e.target_communication_id, LegKind::Routing);
            }
            VoiceEvent::UserTransfer(e) => self.transfer(&e.target_communication_id, LegKind::User),
            VoiceEvent::PhoneTransfer(e) => {
                self.transfer(&e.target_communication_id, LegKind::Phone);
            }
            VoiceEvent::EndTransfer(e) => self.returned |= e.final_state != FinalState::Completed,
            VoiceEvent::ConsultTransfer(e) => self.consult(&e.destination_communication_id),
            VoiceEvent::ProgressConsultTransfer(e) => {
                self.consult(&e.destination_communication_id);
            }
            VoiceEvent::CommunicationDispositionApplied(_)
            | VoiceEvent::AudioUpdated(_)
            | VoiceEvent::ProgressTransfer(_)
            | VoiceEvent::EndConsultTransfer(_) => {}
        }
    }

    /// The nearest flow; `None` where nothing was told.
    pub fn flow(&self) -> Option<FlowNumber> {
        FLOWS.iter().find(|(_, holds)| holds(self)).map(|(number, _)| FlowNumber(*number))
    }

    fn leg(&mut self, id: &str, kind: LegKind) {
        self.legs.insert(id.to_owned(), kind);
    }

    fn kind(&self, id: &str) -> Option<LegKind> {
        self.legs.get(id).copied()
    }

    fn has(&self, kind: LegKind) -> bool {
        self.legs.values().any(|found| *found == kind)
    }

    fn transfer(&mut self, from: &str, to: LegKind) {
        if let Some(from) = self.kind(from) {
            self.transfers.push((from, to));
        }
    }

    fn consult(&mut self, to: &str) {
        self.consulted = true;
        self.consulted_kinds.extend(self.kind(to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flow_has_a_row() {
        let mut numbers: Vec<u8> = FLOWS.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=17).collect::<Vec<_>>());
        assert_eq!(Told::default().flow(), None);
    }
}
