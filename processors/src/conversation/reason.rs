//! Why a call, a party or the rest of a conversation is left out: one closed list, the same codes
//! in outcomes, metrics and documentation (docs/call-flows.md).

use serde::{Deserialize, Serialize};

/// A reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nobody outside took part (seed 003: internal calls are not injected).
    Internal,
    /// The caller reached neither an IVR, nor a queue in scope, nor an agent in scope.
    NeverServed,
    /// The VQ is not in the directory: context, no leg.
    QueueNotMapped,
    /// The DN has an agent out of scope, or nobody logged in (seed 003, unsupported scenario 4).
    AgentNotMapped,
    /// The call is older than the first complete directory.
    BeforeDirectory,
    /// Events of a call whose creation was never seen.
    NeverCreated,
    /// A third party is connected: conference or supervision (unsupported scenarios 1 and 2).
    ThirdParty,
    /// A transferred call did not arrive anywhere within 30 s.
    TransferLost,
    /// A supervisor listens or speaks (unsupported scenario 2).
    Supervision,
    /// A consult call made from a consult call (unsupported scenario 6).
    NestedConsult,
    /// The agent has another call, which goes on undisturbed (unsupported scenario 5).
    SecondCall,
    /// Automated outbound: the call carries a campaign's user data (unsupported scenario 3).
    Campaign,
    /// A call with parties of another site whose other half is not known (seed 003, Limitations:
    /// COF).
    CallOverflow,
    /// Two conversations that both had been told turned out to be one; the younger was ended.
    Merged,
    /// A disposition that is no wrap-up code of the directory.
    WrapUpNotMapped,
    /// Nothing was heard of the call for the idle time.
    Idle,
    /// A record of the conversation made the processor fail; it is in `dead.conversation`.
    Poisoned,
}

const CODES: [(Reason, &str); 17] = [
    (Reason::Internal, "internal"),
    (Reason::NeverServed, "never_served"),
    (Reason::QueueNotMapped, "queue_not_mapped"),
    (Reason::AgentNotMapped, "agent_not_mapped"),
    (Reason::BeforeDirectory, "before_directory"),
    (Reason::NeverCreated, "never_created"),
    (Reason::ThirdParty, "third_party"),
    (Reason::TransferLost, "transfer_lost"),
    (Reason::Supervision, "supervision"),
    (Reason::NestedConsult, "nested_consult"),
    (Reason::SecondCall, "second_call"),
    (Reason::Campaign, "campaign"),
    (Reason::CallOverflow, "call_overflow"),
    (Reason::Merged, "merged"),
    (Reason::WrapUpNotMapped, "wrap_up_not_mapped"),
    (Reason::Idle, "idle"),
    (Reason::Poisoned, "poisoned"),
];

impl Reason {
    /// Its code.
    pub fn code(self) -> &'static str {
        CODES.iter().find(|(reason, _)| *reason == self).map_or("unknown", |(_, code)| *code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_the_name_it_is_stored_under() {
        for (reason, code) in CODES {
            assert_eq!(reason.code(), code);
            assert_eq!(serde_json::to_value(reason).ok(), Some(code.into()));
        }
    }
}
