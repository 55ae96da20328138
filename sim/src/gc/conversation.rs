//! One conversation: what its events make of it, which of them are refused, and what it shows.

use std::collections::BTreeMap;

use super::check::Invariant;
use super::events::{Act, Consult, Established, Event, GcId};
use crate::truth::{Leg, LegKind, Told};

/// How long one party may be alone after the second leg began (scenarios section 3, f).
const ALONE_MAX_MS: i64 = 1_000;

/// How long three may talk: the events of one handover are some milliseconds apart, and the leg
/// that goes ends after the one that comes was answered.
const HANDOVER_MAX_MS: i64 = 1_000;

/// An invariant and what is wrong with it.
pub(super) type Breach = (Invariant, String);

/// Why an event is refused; some refusals break no lettered invariant.
pub(super) type Refusal = (Option<Invariant>, String);

/// A refusal by an invariant.
pub(super) fn refuse<T>(invariant: Invariant, message: String) -> Result<T, Refusal> {
    Err((Some(invariant), message))
}

/// The text of a refusal.
pub(super) fn unknown_communication(id: &str) -> String {
    format!("communication {id} is unknown in this conversation")
}

/// What is known of it.
#[derive(Default)]
pub(super) struct Conversation {
    interaction_id: String,
    parties: Vec<Party>,
    by_communication: BTreeMap<String, usize>,
    transfers: BTreeMap<String, Transfer>,
    /// The destination of the open consult.
    consult: Option<String>,
    /// The greatest event time.
    latest_ms: Option<i64>,
    /// How many legs were open and how many parties talking after the last event.
    levels: Levels,
    /// How each event changed that.
    steps: Vec<(i64, Levels)>,
    /// What the whole shows, judged when the last leg ended.
    pub(super) settled: Vec<Breach>,
}

struct Party {
    communication: String,
    leg: Leg,
    held: bool,
}

struct Transfer {
    object: String,
    progressed: bool,
    ended: bool,
}

/// Counts, or differences of counts.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Levels {
    open: i64,
    talking: i64,
}

impl Party {
    fn is_open(&self) -> bool {
        self.leg.end_ms.is_none()
    }

    fn is_waiting(&self) -> bool {
        self.leg.alerting && self.leg.answered_ms.is_none()
    }

    fn talks(&self) -> bool {
        self.is_open() && !self.is_waiting() && !self.held && self.leg.kind != LegKind::Routing
    }
}

impl Conversation {
    /// Whether no leg is open.
    pub(super) fn has_ended(&self) -> bool {
        !self.parties.iter().any(Party::is_open)
    }

    /// The party an event is about.
    fn party(&self, communication: &str) -> Result<&Party, Refusal> {
        let index = self.by_communication.get(communication);
        match index.and_then(|index| self.parties.get(*index)) {
            Some(party) => Ok(party),
            None => refuse(Invariant::B, unknown_communication(communication)),
        }
    }

    fn open_party(&self, communication: &str) -> Result<&Party, Refusal> {
        let party = self.party(communication)?;
        if party.is_open() {
            Ok(party)
        } else {
            refuse(Invariant::C, format!("communication {communication} has ended"))
        }
    }

    fn still_open(&self) -> Result<(), Refusal> {
        if self.has_ended() {
            return refuse(Invariant::C, "the conversation has ended".to_owned());
        }
        Ok(())
    }

    fn running_transfer(&self, command: &str) -> Result<(), Refusal> {
        match self.transfers.get(command) {
            None => refuse(Invariant::D, format!("transfer {command} is unknown")),
            Some(transfer) if transfer.ended => {
                refuse(Invariant::D, format!("transfer {command} has ended"))
            }
            Some(_) => Ok(()),
        }
    }

    fn open_consult(&self) -> Result<(), Refusal> {
        match self.consult {
            Some(_) => Ok(()),
            None => refuse(Invariant::E, "no consult is open".to_owned()),
        }
    }

    fn consult_parties(&self, consult: &Consult) -> Result<(), Refusal> {
        for id in [&consult.initiating, &consult.destination, &consult.object] {
            self.party(id)?;
        }
        Ok(())
    }

    /// Why an event cannot be applied.
    pub(super) fn refusal(&self, act: &Act) -> Result<(), Refusal> {
        match act {
            Act::Established(leg) => {
                self.still_open()?;
                leg.invited_by.as_deref().map_or(Ok(()), |id| self.party(id).map(drop))
            }
            Act::TransferStarted { command, named: [initiating, target], object, .. } => {
                self.still_open()?;
                if self.transfers.contains_key(command) {
                    return refuse(Invariant::D, format!("transfer {command} is started twice"));
                }
                [initiating, target, object].iter().try_for_each(|id| self.party(id).map(drop))
            }
            Act::TransferProgressed { command, object, destination } => {
                self.running_transfer(command)?;
                [object, destination].iter().try_for_each(|id| self.party(id).map(drop))
            }
            Act::TransferEnded { command, object, .. } => {
                self.running_transfer(command)?;
                self.party(object).map(drop)
            }
            Act::ConsultStarted(consult) => {
                self.still_open()?;
                self.consult_parties(consult)
            }
            Act::ConsultProgressed(consult) => {
                self.open_consult()?;
                self.consult_parties(consult)
            }
            Act::ConsultEnded => self.open_consult(),
            Act::Answered(communication) => {
                if self.open_party(communication)?.is_waiting() {
                    return Ok(());
                }
                Err((None, format!("communication {communication} is not alerting")))
            }
            Act::Held(communication, _)
            | Act::AudioUpdated(communication)
            | Act::Ended(communication, _) => self.open_party(communication).map(drop),
            Act::Disposed(communication, _) => self.party(communication).map(drop),
        }
    }

    /// Applies an event that was not refused. Returns its breaches and whether it is late.
    pub(super) fn apply(&mut self, event: &Event) -> (Vec<Breach>, bool) {
        let mut breaches = Vec::new();
        let out_of_order = self.latest_ms.is_some_and(|latest| event.at_ms <= latest);
        if out_of_order {
            breaches.push((Invariant::H, "eventDateTime does not increase".to_owned()));
        }
        self.latest_ms = self.latest_ms.max(Some(event.at_ms));
        breaches.extend(self.apply_act(event.at_ms, &event.act).map(|breach| (breach.0, breach.1)));
        let levels = self.count();
        let step = Levels {
            open: levels.open - self.levels.open,
            talking: levels.talking - self.levels.talking,
        };
        self.levels = levels;
        if step != Levels::default() {
            self.steps.push((event.at_ms, step));
        }
        if self.has_ended() {
            self.settled = self.judge();
        }
        (breaches, out_of_order)
    }

    fn apply_act(&mut self, at_ms: i64, act: &Act) -> Option<Breach> {
        match act {
            Act::Established(leg) => self.establish(at_ms, leg),
            Act::TransferStarted { command, object, .. } => {
                let transfer = Transfer { object: object.clone(), progressed: false, ended: false };
                self.transfers.insert(command.clone(), transfer);
            }
            Act::TransferProgressed { command, object, .. } => {
                let transfer = self.transfers.get_mut(command)?;
                transfer.progressed = true;
                return transfer.other_object(command, object);
            }
            Act::TransferEnded { command, object, completed } => {
                let transfer = self.transfers.get_mut(command)?;
                transfer.ended = true;
                if *completed && !transfer.progressed {
                    let text = format!("transfer {command} is completed without a progress");
                    return Some((Invariant::D, text));
                }
                return transfer.other_object(command, object);
            }
            Act::ConsultStarted(consult) => {
                let open = self.consult.replace(consult.destination.clone());
                return open.map(|_| (Invariant::E, "a consult is open already".to_owned()));
            }
            Act::ConsultProgressed(consult) => self.consult = Some(consult.destination.clone()),
            Act::ConsultEnded => self.consult = None,
            Act::Answered(id) => self.change(id, |party| party.leg.answered_ms = Some(at_ms)),
            Act::Held(id, held) => self.change(id, |party| {
                party.held = *held;
                party.leg.holds.push((at_ms, *held));
            }),
            Act::Ended(id, disconnect) => self.change(id, |party| {
                party.leg.end_ms = Some(at_ms);
                party.leg.disconnect = Some(disconnect.clone());
            }),
            Act::AudioUpdated(_) | Act::Disposed(..) => {}
        }
        None
    }

    fn establish(&mut self, at_ms: i64, new: &Established) {
        if self.parties.is_empty() {
            self.interaction_id.clone_from(&new.interaction_id);
        }
        let id = new.id.as_ref().map(|id| match id {
            GcId::User(id) | GcId::Queue(id) | GcId::WrapUpCode(id) => id.clone(),
        });
        let leg = Leg {
            kind: new.kind,
            id,
            start_ms: at_ms,
            alerting: new.alerting,
            answered_ms: None,
            holds: Vec::new(),
            end_ms: None,
            disconnect: None,
        };
        self.by_communication.insert(new.communication.clone(), self.parties.len());
        let communication = new.communication.clone();
        self.parties.push(Party { communication, leg, held: false });
    }

    fn change(&mut self, communication: &str, change: impl FnOnce(&mut Party)) {
        let index = self.by_communication.get(communication);
        if let Some(party) = index.and_then(|index| self.parties.get_mut(*index)) {
            change(party);
        }
    }

    fn count(&self) -> Levels {
        let consulted = |party: &Party| self.consult.as_ref() == Some(&party.communication);
        let count = |wanted: &dyn Fn(&&Party) -> bool| self.parties.iter().filter(wanted).count();
        Levels {
            open: count(&|party| party.is_open()) as i64,
            talking: count(&|party| party.talks() && !consulted(party)) as i64,
        }
    }

    /// What the conversation as a whole shows.
    pub(super) fn judge(&self) -> Vec<Breach> {
        let mut breaches = self.judge_stretches();
        if self.has_ended() {
            for (command, _) in self.transfers.iter().filter(|(_, transfer)| !transfer.ended) {
                breaches.push((Invariant::D, format!("transfer {command} has no end")));
            }
            if self.consult.is_some() {
                breaches.push((Invariant::E, "the consult has no end".to_owned()));
            }
        }
        breaches
    }

    /// (f) and (g), by event time, up to the greatest event time.
    fn judge_stretches(&self) -> Vec<Breach> {
        let mut starts: Vec<i64> = self.parties.iter().map(|party| party.leg.start_ms).collect();
        starts.sort_unstable();
        let second_ms = starts.get(1).copied();
        let mut steps = self.steps.clone();
        steps.sort_by_key(|(at_ms, _)| *at_ms);
        let until_ms = self.latest_ms.unwrap_or_default();
        let mut level = Levels::default();
        let (mut alone, mut crowd) = (Stretch::default(), Stretch::default());
        for (at_ms, step) in steps {
            level.open += step.open;
            level.talking += step.talking;
            let counts = second_ms.is_some_and(|second_ms| at_ms >= second_ms);
            alone.set(at_ms, counts && level.open == 1);
            crowd.set(at_ms, level.talking > 2);
        }
        let lonely = alone
            .over(until_ms, ALONE_MAX_MS)
            .into_iter()
            .map(|lasting_ms| (Invariant::F, format!("a single leg is open for {lasting_ms} ms")));
        let crowded = crowd.over(until_ms, HANDOVER_MAX_MS).into_iter().map(|lasting_ms| {
            (Invariant::G, format!("more than two parties talk for {lasting_ms} ms"))
        });
        lonely.chain(crowded).collect()
    }

    /// What was told of it.
    pub(super) fn told(&self, id: &str) -> Told {
        let mut legs: Vec<Leg> = self.parties.iter().map(|party| party.leg.clone()).collect();
        legs.sort_by_key(|leg| leg.start_ms);
        Told { conversation_id: id.to_owned(), interaction_id: self.interaction_id.clone(), legs }
    }
}

impl Transfer {
    fn other_object(&self, command: &str, object: &str) -> Option<Breach> {
        let text = || format!("transfer {command} names another object than its start");
        (self.object != object).then(|| (Invariant::D, text()))
    }
}

/// The times during which something holds.
#[derive(Default)]
struct Stretch {
    since_ms: Option<i64>,
    lengths_ms: Vec<i64>,
}

impl Stretch {
    fn set(&mut self, at_ms: i64, holds: bool) {
        match (self.since_ms, holds) {
            (None, true) => self.since_ms = Some(at_ms),
            (Some(since_ms), false) => {
                self.lengths_ms.push(at_ms - since_ms);
                self.since_ms = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// The lengths above a limit, if it holds no longer than to `until_ms`.
    fn over(mut self, until_ms: i64, limit_ms: i64) -> Vec<i64> {
        self.set(until_ms, false);
        self.lengths_ms.retain(|length_ms| *length_ms > limit_ms);
        self.lengths_ms
    }
}
