//! Scripted faults: what goes wrong at which events request. No chance is involved, so the same
//! plan over the same requests gives the same run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ledger::EventOutcome;

/// A list of faults; as JSON
/// `{"rules":[{"at":3,"fault":"cutAfter"},{"every":10,"offset":2,"fault":{"slow":{"ms":500}}}]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// Rules, each with a count of its own. Of several faults that keep a request from being
    /// processed the first in this order happens.
    #[serde(default)]
    pub rules: Vec<FaultRule>,
}

/// One fault and when it happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RuleText", into = "RuleText")]
pub struct FaultRule {
    /// When.
    pub when: When,
    /// What.
    pub fault: Fault,
}

/// At which events requests a rule fires. They are counted from 1, from the moment the plan was
/// set; only requests with a live token and within the allowance count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At the n-th.
    At(u64),
    /// At `offset`, `offset + period`, `offset + 2 * period` and so on.
    Every {
        /// The distance from one to the next; at least 1.
        period: u64,
        /// The first one; 0 means the first is `period`.
        offset: u64,
    },
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// 503 with an error body; not processed.
    Unavailable,
    /// 408 with an error body; not processed.
    Timeout,
    /// 502 with a page of HTML, as from a proxy; not processed.
    BadGateway,
    /// 429 with `Retry-After`; not processed.
    TooManyRequests {
        /// Whole seconds.
        #[serde(rename = "retryAfter")]
        retry_after_secs: u64,
    },
    /// The connection is cut without an answer; not processed.
    CutBefore,
    /// All tokens are invalid from this request on, which gets 401.
    TokenExpiry,
    /// Processed, and then the connection is cut without an answer.
    CutAfter,
    /// Processed, and then 200 with a body that is not JSON.
    Garbage,
    /// Processed, and answered late.
    Slow {
        /// By how many milliseconds.
        ms: u64,
    },
    /// One event is refused with `retryable: true` and accepted when it is sent again.
    EventRetryable {
        /// Which of the events that were not accepted before, by time, from 0 and round again.
        #[serde(default)]
        index: usize,
    },
    /// One event is refused with `retryable: false`, and so whenever it is sent again.
    EventFinal {
        /// As of `EventRetryable`.
        #[serde(default)]
        index: usize,
    },
}

impl Fault {
    /// The name under which it is counted in the summary.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::BadGateway => "badGateway",
            Self::TooManyRequests { .. } => "tooManyRequests",
            Self::CutBefore => "cutBefore",
            Self::TokenExpiry => "tokenExpiry",
            Self::CutAfter => "cutAfter",
            Self::Garbage => "garbage",
            Self::Slow { .. } => "slow",
            Self::EventRetryable { .. } => "eventRetryable",
            Self::EventFinal { .. } => "eventFinal",
        }
    }

    /// Whether it keeps the request from being processed.
    pub(super) fn prevents(&self) -> bool {
        match self {
            Self::Unavailable
            | Self::Timeout
            | Self::BadGateway
            | Self::TooManyRequests { .. }
            | Self::CutBefore
            | Self::TokenExpiry => true,
            Self::CutAfter
            | Self::Garbage
            | Self::Slow { .. }
            | Self::EventRetryable { .. }
            | Self::EventFinal { .. } => false,
        }
    }

    /// Which event it strikes, and what becomes of that event.
    pub(super) fn of_event(&self) -> Option<(usize, EventOutcome)> {
        match self {
            Self::EventRetryable { index } => Some((*index, EventOutcome::Retryable)),
            Self::EventFinal { index } => Some((*index, EventOutcome::Refused)),
            Self::Unavailable
            | Self::Timeout
            | Self::BadGateway
            | Self::TooManyRequests { .. }
            | Self::CutBefore
            | Self::TokenExpiry
            | Self::CutAfter
            | Self::Garbage
            | Self::Slow { .. } => None,
        }
    }
}

impl FaultRule {
    /// A fault at the n-th events request, counted from 1.
    pub fn at(number: u64, fault: Fault) -> Self {
        Self { when: When::At(number), fault }
    }

    /// A fault at every events request of a period.
    pub fn every(period: u64, offset: u64, fault: Fault) -> Self {
        Self { when: When::Every { period, offset }, fault }
    }

    fn fires(&self, number: u64) -> bool {
        match self.when {
            When::At(at) => number == at,
            When::Every { period, offset } => {
                period > 0 && number >= offset && (number - offset).is_multiple_of(period)
            }
        }
    }
}

/// A rule as it is written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<u64>,
    #[serde(default)]
    offset: u64,
    fault: Fault,
}

impl TryFrom<RuleText> for FaultRule {
    type Error = &'static str;

    fn try_from(text: RuleText) -> Result<Self, Self::Error> {
        match (text.at, text.every) {
            (Some(0), None) => Err("`at` counts from 1"),
            (None, Some(0)) => Err("`every` is at least 1"),
            (Some(_), None) if text.offset != 0 => Err("`offset` belongs to `every`"),
            (Some(at), None) => Ok(Self::at(at, text.fault)),
            (None, Some(period)) => Ok(Self::every(period, text.offset, text.fault)),
            (Some(_), Some(_)) | (None, None) => Err("a rule has either `at` or `every`"),
        }
    }
}

impl From<FaultRule> for RuleText {
    fn from(rule: FaultRule) -> Self {
        let (at, every, offset) = match rule.when {
            When::At(at) => (Some(at), None, 0),
            When::Every { period, offset } => (None, Some(period), offset),
        };
        Self { at, every, offset, fault: rule.fault }
    }
}

/// A plan being carried out.
#[derive(Default)]
pub(super) struct Faults {
    plan: FaultPlan,
    seen: u64,
    fired: BTreeMap<String, u64>,
}

impl Faults {
    /// Begins another plan; what has fired so far stays counted.
    pub(super) fn set(&mut self, plan: FaultPlan) {
        self.plan = plan;
        self.seen = 0;
    }

    /// The faults of the next events request: one that prevents it alone, else all others.
    pub(super) fn next(&mut self) -> Vec<Fault> {
        self.seen += 1;
        let firing = || self.plan.rules.iter().filter(|rule| rule.fires(self.seen));
        let fault = |rule: &FaultRule| rule.fault.clone();
        match firing().find(|rule| rule.fault.prevents()) {
            Some(rule) => vec![fault(rule)],
            None => firing().map(fault).collect(),
        }
    }

    /// Counts a fault that took effect.
    pub(super) fn count(&mut self, fault: &Fault) {
        *self.fired.entry(fault.name().to_owned()).or_default() += 1;
    }

    /// How often each fault took effect.
    pub(super) fn fired(&self) -> BTreeMap<String, u64> {
        self.fired.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_written_and_read_as_json() {
        let text = r#"{"rules":[{"at":3,"offset":0,"fault":"cutAfter"},
            {"every":10,"offset":2,"fault":{"slow":{"ms":500}}},
            {"at":1,"offset":0,"fault":{"tooManyRequests":{"retryAfter":2}}},
            {"at":2,"offset":0,"fault":{"eventFinal":{"index":0}}}]}"#;
        let plan: FaultPlan = serde_json::from_str(text).expect("a legal plan");
        let wanted = vec![
            FaultRule::at(3, Fault::CutAfter),
            FaultRule::every(10, 2, Fault::Slow { ms: 500 }),
            FaultRule::at(1, Fault::TooManyRequests { retry_after_secs: 2 }),
            FaultRule::at(2, Fault::EventFinal { index: 0 }),
        ];
        assert_eq!(plan.rules, wanted);
        let again = serde_json::to_string(&plan).expect("a plan is JSON");
        assert_eq!(again, text.replace("\n            ", ""));
    }

    #[test]
    fn broken_plans_are_refused() {
        let cases = [
            (r#"{"rules":[{"fault":"cutAfter"}]}"#, "either `at` or `every`"),
            (r#"{"rules":[{"at":1,"every":1,"fault":"cutAfter"}]}"#, "either `at` or `every`"),
            (r#"{"rules":[{"at":0,"fault":"cutAfter"}]}"#, "counts from 1"),
            (r#"{"rules":[{"every":0,"fault":"cutAfter"}]}"#, "at least 1"),
            (r#"{"rules":[{"at":1,"offset":1,"fault":"cutAfter"}]}"#, "belongs to"),
            (r#"{"rules":[{"at":1,"fault":"rain"}]}"#, "rain"),
            (r#"{"rule":[]}"#, "rule"),
        ];
        for (text, wanted) in cases {
            let error = serde_json::from_str::<FaultPlan>(text).expect_err(text).to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn rules_fire_at_their_numbers() {
        let mut faults = Faults::default();
        faults.set(FaultPlan {
            rules: vec![
                FaultRule::at(2, Fault::CutAfter),
                FaultRule::every(3, 1, Fault::Slow { ms: 1 }),
                FaultRule::every(4, 0, Fault::Unavailable),
            ],
        });
        let names: Vec<Vec<&str>> =
            (1..=8).map(|_| faults.next().iter().map(Fault::name).collect()).collect();
        let wanted: [&[&str]; 8] = [
            &["slow"],
            &["cutAfter"],
            &[],
            &["unavailable"],
            &[],
            &[],
            &["slow"],
            &["unavailable"],
        ];
        assert_eq!(names, wanted);
    }
}
