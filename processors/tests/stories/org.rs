//! The organisation: what it holds after the commands it was sent.

use trunkline_schemas::ConversationCommand;
use trunkline_schemas::command::{InitialConfiguration, VoiceEvent};

use crate::run::Told;
use crate::truth::{Leg, Name, Truth};

/// Times may be off by so much: those of one conversation stand a millisecond apart at least.
const TOLERANCE_MS: i64 = 12;

/// Users and queues of the directory.
const AGENTS: [(&str, &str); 2] = [
    ("11111111-1111-4111-8111-111111111001", "A1001"),
    ("11111111-1111-4111-8111-111111111002", "A1002"),
];
const QUEUES: [(&str, &str); 3] = [
    ("22222222-2222-4222-8222-222222222001", "VQ_Sales"),
    ("22222222-2222-4222-8222-222222222002", "VQ_Overflow"),
    ("22222222-2222-4222-8222-222222222003", "VQ_Support"),
];

fn known(table: &[(&str, &'static str)], id: &str) -> &'static str {
    table.iter().find(|(known, _)| *known == id).map_or("unknown", |(_, name)| name)
}

impl Told {
    /// Every leg it was told of, in the order in which they were established, and what was said
    /// besides.
    pub(crate) fn org(&self) -> Truth {
        let mut legs: Vec<(String, Leg)> = Vec::new();
        for command in &self.commands {
            let at_ms = command.event_date_time_ms - self.epoch_ms;
            match established(&command.event) {
                Some((id, name, how)) => legs.push((id.to_owned(), begun(name, how, at_ms))),
                None => change(&mut legs, &command.event, at_ms),
            }
        }
        let said = |outcome: &trunkline_schemas::Outcome| {
            let status = serde_json::to_value(outcome.status).expect("a name");
            let code = outcome.code.clone().unwrap_or_default();
            let text = format!("{} {code}", status.as_str().unwrap_or_default());
            let texts = [
                "leftOut internal",
                "leftOut agent_not_mapped",
                "suspended agent_not_mapped",
                "suspended third_party",
            ];
            texts.into_iter().find(|known| *known == text).unwrap_or("something else")
        };
        let outcomes = self.outcomes.iter().map(said).collect();
        Truth { legs: legs.into_iter().map(|(_, leg)| leg).collect(), outcomes }
    }

    /// The commands but for their times and for what depends on the number of the call.
    pub(crate) fn bodies(&self) -> Vec<(&'static str, Option<usize>, String)> {
        let mut ids: Vec<&str> = Vec::new();
        let mut bodies = Vec::new();
        for command in &self.commands {
            let leg = command.event.communication();
            let number = leg.map(|leg| {
                ids.iter().position(|known| *known == leg).unwrap_or_else(|| {
                    ids.push(leg);
                    ids.len() - 1
                })
            });
            let how = match &command.event {
                VoiceEvent::CommunicationEnded(e) => format!("{:?}", e.disconnect_type),
                VoiceEvent::EndTransfer(e) => format!("{:?}", e.final_state),
                VoiceEvent::HoldUpdated(e) => e.held.to_string(),
                event => established(event).map_or_else(String::new, |(_, name, how)| {
                    format!("{name:?} {:?} {:?}", how.alerting, how.inbound)
                }),
            };
            bodies.push((command.event.array(), number, how));
        }
        for outcome in &self.outcomes {
            bodies.push(("outcome", None, outcome.code.clone().unwrap_or_default()));
        }
        bodies
    }
}

fn established(event: &VoiceEvent) -> Option<(&str, Name, &InitialConfiguration)> {
    Some(match event {
        VoiceEvent::ExternalEstablished(e) => {
            (&e.communication_id, Name::Customer, &e.initial_configuration)
        }
        VoiceEvent::IvrEstablished(e) => (&e.communication_id, Name::Ivr, &e.initial_configuration),
        VoiceEvent::RoutingEstablished(e) => {
            let name = Name::Queue(known(&QUEUES, &e.queue_id));
            (&e.communication_id, name, &e.initial_configuration)
        }
        VoiceEvent::UserEstablished(e) => {
            let name = Name::Agent(known(&AGENTS, &e.user_id));
            (&e.communication_id, name, &e.initial_configuration)
        }
        _ => return None,
    })
}

fn begun(name: Name, how: &InitialConfiguration, start_ms: i64) -> Leg {
    Leg {
        name,
        start_ms,
        alerting: how.alerting == Some(true),
        answered_ms: None,
        holds: Vec::new(),
        end_ms: 0,
        disconnect: "none",
    }
}

fn change(legs: &mut [(String, Leg)], event: &VoiceEvent, at_ms: i64) {
    use trunkline_schemas::command::DisconnectType as How;
    let Some(id) = event.communication() else { return };
    let Some((_, leg)) = legs.iter_mut().find(|(known, _)| known == id) else { return };
    match event {
        VoiceEvent::CommunicationAnswered(_) => leg.answered_ms = Some(at_ms),
        VoiceEvent::HoldUpdated(e) => leg.holds.push((at_ms, e.held)),
        VoiceEvent::CommunicationEnded(e) => {
            leg.end_ms = at_ms;
            leg.disconnect = match e.disconnect_type {
                How::SelfEnded => "Self",
                How::Peer => "Peer",
                How::System => "System",
                How::TransferUser => "TransferUser",
                How::TransferAcd => "TransferACD",
                How::TransferConsult => "TransferConsult",
                _ => "another",
            };
        }
        _ => {}
    }
}

/// What was found, with the times that are near enough to the wanted put to those.
pub(crate) fn near(mut found: Truth, wanted: &Truth) -> Truth {
    let put = |found: &mut i64, wanted: i64| {
        if (*found - wanted).abs() <= TOLERANCE_MS {
            *found = wanted;
        }
    };
    for (found, wanted) in found.legs.iter_mut().zip(&wanted.legs) {
        put(&mut found.start_ms, wanted.start_ms);
        put(&mut found.end_ms, wanted.end_ms);
        if let (Some(found), Some(wanted)) = (&mut found.answered_ms, wanted.answered_ms) {
            put(found, wanted);
        }
        for (found, wanted) in found.holds.iter_mut().zip(&wanted.holds) {
            put(&mut found.0, wanted.0);
        }
    }
    found
}

/// Whether commands make a legal conversation: each leg established once, before anything is said
/// of it, and ended once; times and numbers go on; transfers and consults are opened before they
/// progress or end, and none is left open (scenarios.md, invariants).
pub(crate) fn legal(commands: &[ConversationCommand]) -> Result<(), String> {
    let (mut open, mut ended): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let (mut transfers, mut consults) = (0, 0);
    let mut last = (0, i64::MIN);
    for command in commands {
        let now = (command.seq, command.event_date_time_ms);
        if now.0 != last.0 + 1 || now.1 <= last.1 {
            return Err(format!("{now:?} comes after {last:?}"));
        }
        last = now;
        if let Some(id) = command.event.communication() {
            let begins = established(&command.event).is_some()
                || matches!(command.event, VoiceEvent::PhoneEstablished(_));
            if begins == open.contains(&id) || ended.contains(&id) {
                return Err(format!("number {}: the leg is not what it should be", now.0));
            }
            if begins {
                open.push(id);
            }
            if let VoiceEvent::CommunicationEnded(_) = command.event {
                open.retain(|known| *known != id);
                ended.push(id);
            }
        }
        match command.event {
            VoiceEvent::RoutingTransfer(_) | VoiceEvent::UserTransfer(_) => transfers += 1,
            VoiceEvent::EndTransfer(_) => transfers -= 1,
            VoiceEvent::ConsultTransfer(_) => consults += 1,
            VoiceEvent::EndConsultTransfer(_) => consults -= 1,
            _ => {}
        }
        if !(0..=1).contains(&consults) || !(0..=1).contains(&transfers) {
            return Err(format!("number {}: {transfers} transfers, {consults} consults", now.0));
        }
    }
    if open.is_empty() && transfers == 0 && consults == 0 {
        Ok(())
    } else {
        Err(format!("{} legs, {transfers} transfers, {consults} consults are open", open.len()))
    }
}
