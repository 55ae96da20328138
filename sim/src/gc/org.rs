//! The organisation itself: what it makes of a request, without any network. Time comes in as
//! milliseconds since the start.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::GcConfig;
use super::Invariant;
use super::answer::{Answer, BODY_BYTES_MAX, correlation_id, error, too_large, too_many};
use super::auth::{Allowance, Denied, Tokens};
use super::check::{Conversations, Known, Verdict, Violation};
use super::events::{self, Event, Events};
use super::faults::{Fault, FaultPlan, Faults};
use super::holdings::{Holdings, Objects};
use super::ledger::{EventOutcome, EventRecord, Ledger, RequestRecord, Summary};
use super::users::{self, Shows, Users};
use crate::truth::{Told, UserHistory};

/// Where events of conversations are sent.
pub(super) const EVENTS_PATH: &str = "/api/v2/events/conversations";

/// Id of the organisation.
/// Id of the simulated organisation.
pub const ORGANIZATION_ID: &str = "5e0c9a3c-8f5c-4e8e-9d5f-2f5b1d0c7a11";

/// A request, as much of it as matters.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) if_match: Option<String>,
    pub(super) authorization: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) body: Vec<u8>,
}

/// The organisation.
pub(super) struct Org {
    tokens: Tokens,
    allowance: Allowance,
    faults: Faults,
    conversations: Conversations,
    users: Users,
    objects: Objects,
    ledger: Ledger,
    dedup: bool,
    /// Every event id ever sent.
    seen: BTreeMap<String, Seen>,
    /// Events with a scripted final error.
    condemned: BTreeSet<String>,
}

/// What became of an event, the text of its error, and whether it is out of order.
type Settled = (EventOutcome, Option<String>, bool);

/// Judges an event, and applies it unless it is refused.
type Apply<A> = fn(&mut Org, &Event<A>) -> Settled;

struct Seen {
    digest: [u8; 32],
    applied: bool,
}

impl Org {
    pub(super) fn new(config: &GcConfig) -> Self {
        let set = |ids: &Option<Vec<String>>| ids.as_ref().map(|ids| ids.iter().cloned().collect());
        let known = Known {
            users: set(&config.users),
            queues: set(&config.queues),
            wrap_up_codes: set(&config.wrap_up_codes),
            source_id: config.source_id.clone(),
        };
        let lifetime_ms = u64::try_from(config.token_lifetime.as_millis()).unwrap_or(u64::MAX);
        let mut faults = Faults::default();
        faults.set(config.faults.clone());
        Self {
            tokens: Tokens::new(
                config.client_id.clone(),
                config.client_secret.clone(),
                lifetime_ms,
            ),
            allowance: Allowance::new(config.requests_per_minute),
            faults,
            users: Users::new(known.clone(), config.deactivated_presences.clone()),
            conversations: Conversations::new(known),
            objects: Objects::default().with_ids(config.ids.clone()),
            ledger: Ledger::default(),
            dedup: config.dedup,
            seen: BTreeMap::new(),
            condemned: BTreeSet::new(),
        }
    }

    /// Takes a request and enters it into the ledger.
    pub(super) fn serve(&mut self, now_ms: u64, request: &Request) -> Answer {
        let number = self.ledger.next_number();
        let mut answer = self.answer(number, now_ms, request);
        answer.correlation_id = correlation_id(number);
        let record = RequestRecord {
            number,
            at_ms: now_ms,
            method: request.method.clone(),
            path: request.path.clone(),
            bytes: request.body.len(),
            status: answer.status,
            code: answer.code.take(),
            events: answer.events,
            errors: answer.errors,
            faults: std::mem::take(&mut answer.faults),
        };
        if [EVENTS_PATH, users::PRESENCE_PATH, users::ROUTING_PATH].contains(&record.path.as_str())
        {
            self.ledger.count_events_request(&record);
        }
        self.ledger.enter_request(record);
        answer
    }

    pub(super) fn set_faults(&mut self, plan: FaultPlan) {
        self.faults.set(plan);
    }

    pub(super) fn set_requests_per_minute(&mut self, count: u32) {
        self.allowance = Allowance::new(count);
    }

    pub(super) fn summary(&self) -> Summary {
        let lasting = self.conversations.lasting();
        self.ledger.summary(self.conversations.count(), &lasting, self.faults.fired())
    }

    pub(super) fn told(&self) -> Vec<Told> {
        self.conversations.told()
    }

    pub(super) fn users(&self) -> Vec<UserHistory> {
        self.users.histories()
    }

    pub(super) fn set_deactivated_presences(&mut self, names: Vec<String>) {
        self.users.set_deactivated(names);
    }

    pub(super) fn requests(&self) -> Vec<RequestRecord> {
        self.ledger.requests()
    }

    pub(super) fn events(&self) -> Vec<EventRecord> {
        self.ledger.events()
    }

    /// Those that single events showed, in order, then those of whole conversations.
    pub(super) fn violations(&self) -> Vec<Violation> {
        let mut violations = self.ledger.violations();
        violations.extend(self.conversations.lasting());
        violations
    }

    pub(super) fn ledger(&self) -> Value {
        json!({
            "summary": self.summary(),
            "requests": self.requests(),
            "events": self.events(),
            "conversations": self.told(),
            "users": self.users(),
            "violations": self.violations(),
            "forgotten": self.ledger.forgotten(),
        })
    }

    fn answer(&mut self, number: u64, now_ms: u64, request: &Request) -> Answer {
        if request.body.len() > BODY_BYTES_MAX {
            return too_large();
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/oauth/token") => self.log_in(now_ms, request),
            ("GET", "/api/v2/organizations/me") => match self.admit(number, now_ms, request) {
                Ok(()) => Answer::json(200, &organization()),
                Err(answer) => *answer,
            },
            ("GET", users::DEFINITIONS_PATH) => match self.admit(number, now_ms, request) {
                Ok(()) => Answer::json(200, &self.users.definitions()),
                Err(answer) => *answer,
            },
            ("POST", EVENTS_PATH) => match self.admit(number, now_ms, request) {
                Ok(()) => self.take_events(number, request, events::parse, Self::apply),
                Err(answer) => *answer,
            },
            ("POST", users::PRESENCE_PATH) => match self.admit(number, now_ms, request) {
                Ok(()) => {
                    self.take_events(number, request, users::parse_presences, Self::apply_to_user)
                }
                Err(answer) => *answer,
            },
            ("POST", users::ROUTING_PATH) => match self.admit(number, now_ms, request) {
                Ok(()) => {
                    self.take_events(number, request, users::parse_statuses, Self::apply_to_user)
                }
                Err(answer) => *answer,
            },
            (_, path) if Objects::serves(path) => match self.admit(number, now_ms, request) {
                Ok(()) => self.take_objects(number, request),
                Err(answer) => *answer,
            },
            _ => error(number, 404, "not.found", "The requested resource was not found."),
        }
    }

    /// The objects of the organisation. Faults of a plan strike these requests too, counted
    /// together with those of events.
    fn take_objects(&mut self, number: u64, request: &Request) -> Answer {
        let faults = self.faults.next();
        if let Some(fault) = faults.iter().find(|fault| fault.prevents()) {
            self.faults.count(fault);
            let answer = self.prevented(number, fault);
            return Answer { faults: vec![fault.name().to_owned()], ..answer };
        }
        if request.method != "GET" && !request.body.is_empty() && !is_json(request) {
            let text = "The content type is not application/json";
            return error(number, 415, "unsupported.media.type", text);
        }
        let mut answer = self.objects.answer(number, request);
        self.disturb(&faults, &mut answer, Vec::new());
        answer
    }

    /// What the faults of a request do to its answer.
    fn disturb(&mut self, faults: &[Fault], answer: &mut Answer, mut fired: Vec<Fault>) {
        for fault in faults {
            match fault {
                Fault::CutAfter => answer.status = None,
                Fault::Garbage => "<not JSON".clone_into(&mut answer.body),
                Fault::Slow { ms } => answer.delay += Duration::from_millis(*ms),
                Fault::EventRetryable { .. }
                | Fault::EventFinal { .. }
                | Fault::Unavailable
                | Fault::Timeout
                | Fault::BadGateway
                | Fault::TooManyRequests { .. }
                | Fault::CutBefore
                | Fault::TokenExpiry => continue,
            }
            fired.push(fault.clone());
        }
        for fault in &fired {
            self.faults.count(fault);
            answer.faults.push(fault.name().to_owned());
        }
    }

    pub(super) fn holdings(&self) -> &Holdings {
        self.objects.holdings()
    }

    pub(super) fn change_holdings(&mut self, change: impl FnOnce(&mut Holdings)) {
        self.objects.change(change);
    }

    fn log_in(&mut self, now_ms: u64, request: &Request) -> Answer {
        let form = String::from_utf8_lossy(&request.body);
        let (status, code, oauth, text) =
            match self.tokens.issue(now_ms, request.authorization.as_deref(), &form) {
                Ok((token, expires_in)) => {
                    let body = json!({
                        "access_token": token, "token_type": "bearer", "expires_in": expires_in,
                    });
                    return Answer::json(200, &body);
                }
                Err(Denied::Client) => {
                    (401, "bad.credentials", "invalid_client", "client not found or wrong secret")
                }
                Err(Denied::Grant) => {
                    (400, "bad.request", "unsupported_grant_type", "grant_type is not supported")
                }
            };
        let body = json!({
            "error": oauth, "error_description": text, "message": text, "code": code,
            "status": status,
        });
        Answer { code: Some(code.to_owned()), ..Answer::json(status, &body) }
    }

    /// A live token and a place within the allowance.
    fn admit(&mut self, number: u64, now_ms: u64, request: &Request) -> Result<(), Box<Answer>> {
        let refuse = |code, text: &str| Err(Box::new(error(number, 401, code, text)));
        match &request.authorization {
            None => return refuse("authentication.required", "No authentication bearer token"),
            Some(header) if !self.tokens.admits(now_ms, header) => {
                return refuse("bad.credentials", "Invalid login credentials.");
            }
            Some(_) => {}
        }
        let limit = self.allowance.per_minute();
        self.allowance.take(now_ms).map_err(|retry_after_secs| {
            let text =
                format!("Rate limit exceeded the maximum [{limit}] requests within [60] seconds");
            Box::new(too_many(number, &text, retry_after_secs, limit))
        })
    }

    /// An events endpoint, behind the doors of authentication and allowance.
    fn take_events<A>(
        &mut self,
        number: u64,
        request: &Request,
        parse: fn(&[u8]) -> Events<A>,
        apply: Apply<A>,
    ) -> Answer {
        let faults = self.faults.next();
        if let Some(fault) = faults.iter().find(|fault| fault.prevents()) {
            self.faults.count(fault);
            let answer = self.prevented(number, fault);
            return Answer { faults: vec![fault.name().to_owned()], ..answer };
        }
        if !is_json(request) {
            let text = "The content type is not application/json";
            return error(number, 415, "unsupported.media.type", text);
        }
        let events = match parse(&request.body) {
            Ok(events) => events,
            Err(bad) => return error(number, 400, bad.code, &bad.message),
        };
        let (errors, fired) = self.process(number, &events, &faults, apply);
        let fired = fired.into_iter().cloned().collect();
        let body = json!({ "errors": errors });
        let mut answer = Answer::json(200, &body);
        (answer.events, answer.errors) = (events.len(), errors.len());
        self.disturb(&faults, &mut answer, fired);
        answer
    }

    fn prevented(&mut self, number: u64, fault: &Fault) -> Answer {
        match fault {
            Fault::Timeout => error(number, 408, "client.timeout", "The request timed out."),
            Fault::BadGateway => Answer {
                content_type: "text/html",
                body: "<html><body><h1>502 Bad Gateway</h1></body></html>".to_owned(),
                ..Answer::json(502, &Value::Null)
            },
            Fault::TooManyRequests { retry_after_secs } => {
                let text = format!(
                    "Rate limit exceeded. Retry the request in [{retry_after_secs}] seconds"
                );
                too_many(number, &text, *retry_after_secs, self.allowance.per_minute())
            }
            Fault::CutBefore => Answer { status: None, ..Answer::json(500, &Value::Null) },
            Fault::TokenExpiry => {
                self.tokens.expire_all();
                error(number, 401, "bad.credentials", "Invalid login credentials.")
            }
            Fault::Unavailable
            | Fault::CutAfter
            | Fault::Garbage
            | Fault::Slow { .. }
            | Fault::EventRetryable { .. }
            | Fault::EventFinal { .. } => {
                error(number, 503, "service.unavailable", "The service is unavailable.")
            }
        }
    }

    /// Processes the events of a request in their order. Returns `errors[]` and the faults of
    /// single events that took effect.
    fn process<'a, A>(
        &mut self,
        number: u64,
        events: &[Event<A>],
        faults: &'a [Fault],
        apply: Apply<A>,
    ) -> (Vec<Value>, Vec<&'a Fault>) {
        let (scripted, fired) = self.scripted(events, faults);
        let mut held_back = BTreeSet::new();
        let mut errors = Vec::new();
        for event in events {
            let (digest, repeat, differs) = self.compare(event);
            let script = scripted.get(event.id.as_str()).copied();
            let waits = held_back.contains(&event.key);
            let (outcome, message, out_of_order) = self.settle(event, script, repeat, waits, apply);
            if outcome == EventOutcome::Retryable {
                held_back.insert(event.key.clone());
            }
            if let Some(message) = &message {
                let retryable = outcome == EventOutcome::Retryable;
                errors.push(json!({
                    "eventId": event.id, "message": message, "retryable": retryable,
                }));
            }
            let applied = repeat || outcome == EventOutcome::Accepted;
            self.seen.insert(event.id.clone(), Seen { digest, applied });
            let (array, body) = (event.array.to_owned(), event.body.clone());
            let record =
                EventRecord { request: number, array, outcome, repeat, differs, message, body };
            self.ledger.enter_event(record, out_of_order);
        }
        (errors, fired)
    }

    /// What becomes of an event, the text of its error, and whether it is out of order.
    fn settle<A>(
        &mut self,
        event: &Event<A>,
        script: Option<EventOutcome>,
        repeat: bool,
        waits: bool,
        apply: Apply<A>,
    ) -> Settled {
        let scripted = || Some("a scripted error".to_owned());
        if script == Some(EventOutcome::Refused) {
            self.condemned.insert(event.id.clone());
        }
        if self.condemned.contains(&event.id) {
            return (EventOutcome::Refused, scripted(), false);
        }
        if let Some(outcome) = script {
            return (outcome, scripted(), false);
        }
        if repeat && self.dedup {
            return (EventOutcome::Duplicate, None, false);
        }
        if waits {
            let text = "an earlier event of its key has to be sent again first";
            return (EventOutcome::Retryable, Some(text.to_owned()), false);
        }
        apply(self, event)
    }

    /// Which events of a request the script gives an error, and by which faults. Only events that
    /// were not applied before are chosen from.
    fn scripted<'e, 'f, A>(
        &self,
        events: &'e [Event<A>],
        faults: &'f [Fault],
    ) -> (BTreeMap<&'e str, EventOutcome>, Vec<&'f Fault>) {
        let applied = |id: &str| self.seen.get(id).is_some_and(|seen| seen.applied);
        let fresh: Vec<&Event<A>> = events.iter().filter(|event| !applied(&event.id)).collect();
        let (mut chosen, mut fired) = (BTreeMap::new(), Vec::new());
        for fault in faults {
            let Some((index, outcome)) = fault.of_event() else { continue };
            let place = index.checked_rem(fresh.len());
            if let Some(event) = place.and_then(|place| fresh.get(place)) {
                chosen.insert(event.id.as_str(), outcome);
                fired.push(fault);
            }
        }
        (chosen, fired)
    }

    /// The digest of an event, whether it was applied before, and whether it read otherwise when
    /// it was last sent.
    fn compare<A>(&mut self, event: &Event<A>) -> ([u8; 32], bool, bool) {
        let digest: [u8; 32] = Sha256::digest(format!("{}{}", event.array, event.body)).into();
        let Some(seen) = self.seen.get(&event.id) else { return (digest, false, false) };
        let differs = seen.digest != digest;
        let repeat = seen.applied;
        if differs {
            self.violate(event, Invariant::H, "the eventId was used for another event".to_owned());
        }
        (digest, repeat, differs)
    }

    fn apply(&mut self, event: &Event) -> Settled {
        let verdict = self.conversations.offer(event);
        self.note(event, verdict)
    }

    fn apply_to_user(&mut self, event: &Event<Shows>) -> Settled {
        let verdict = self.users.offer(event);
        self.note(event, verdict)
    }

    fn note<A>(&mut self, event: &Event<A>, verdict: Verdict) -> Settled {
        match verdict {
            Verdict::Applied { breaches, out_of_order } => {
                for (invariant, text) in breaches {
                    self.violate(event, invariant, text);
                }
                (EventOutcome::Accepted, None, out_of_order)
            }
            Verdict::Refused { invariant, message } => {
                if let Some(invariant) = invariant {
                    self.violate(event, invariant, message.clone());
                }
                (EventOutcome::Refused, Some(message), false)
            }
        }
    }

    fn violate<A>(&mut self, event: &Event<A>, invariant: Invariant, text: String) {
        self.ledger.enter_violation(Violation {
            invariant,
            conversation_id: event.key.clone(),
            event_id: Some(event.id.clone()),
            text,
        });
    }
}

fn is_json(request: &Request) -> bool {
    request.content_type.as_deref().is_some_and(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim() == "application/json")
    })
}

fn organization() -> Value {
    json!({
        "id": ORGANIZATION_ID, "name": "Simulated organisation", "version": 1, "state": "active",
        "domain": "simulated", "productPlatform": "GenesysCloud",
        "selfUri": "/api/v2/organizations/me",
    })
}

#[cfg(test)]
mod tests;
