//! Stat Server statuses: their codes, their order and what each says of an agent
//! (engage/statserver.md sections 2 and 5).

use serde_json::Value;
use trunkline_schemas::raw::PhoneCall;

/// What a status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing about the agent: the link of Stat Server to the switch.
    Nothing,
    /// Logged in, without a ready state yet.
    LoggedIn,
    /// Ready, in no call.
    Ready,
    /// Not ready, in no call.
    NotReady,
    /// In no call that was answered; readiness as it was.
    NoCall,
    /// In a call; readiness as it was.
    Call(PhoneCall),
    /// In a consult call beside the one before.
    Consult,
    /// The call of before is on hold.
    Hold,
    /// After-call work; readiness as it was.
    AfterCallWork,
    /// Logged out.
    LoggedOut,
}

/// One status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its number, where one was ever seen.
    pub code: Option<i64>,
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub meaning: Meaning,
}

const fn status(code: Option<i64>, name: &'static str, meaning: Meaning) -> Status {
    Status { code, name, meaning }
}

const OTHER: Meaning = Meaning::Call(PhoneCall::Other);

/// Every status, the least first: an agent's status is the greatest of its DNs. The names without a
/// number are told by name only. The two `ASM` statuses stand in none of the published orders; that
/// they rank with the calls is an assumption.
pub const STATUSES: [Status; 19] = [
    status(None, "NotMonitored", Meaning::Nothing),
    status(None, "Monitored", Meaning::Nothing),
    status(None, "LoggedIn", Meaning::LoggedIn),
    status(None, "OnHook", Meaning::NoCall),
    status(Some(4), "WaitForNextCall", Meaning::Ready),
    status(Some(5), "OffHook", Meaning::NoCall),
    status(Some(6), "CallDialing", Meaning::NoCall),
    status(Some(7), "CallRinging", Meaning::NoCall),
    status(Some(8), "NotReadyForNextCall", Meaning::NotReady),
    status(Some(9), "AfterCallWork", Meaning::AfterCallWork),
    status(Some(13), "CallOnHold", Meaning::Hold),
    status(Some(16), "ASM_Engaged", OTHER),
    status(Some(17), "ASM_Outbound", OTHER),
    status(Some(18), "CallUnknown", OTHER),
    status(Some(19), "CallConsult", Meaning::Consult),
    status(Some(20), "CallInternal", Meaning::Call(PhoneCall::Internal)),
    status(Some(21), "CallOutbound", OTHER),
    status(Some(22), "CallInbound", OTHER),
    status(Some(23), "LoggedOut", Meaning::LoggedOut),
];

/// A status by its number, its number as text, or its name (in any case). None of what nobody
/// knows.
pub fn find(value: &Value) -> Option<Status> {
    let by_code = |code: i64| STATUSES.into_iter().find(|status| status.code == Some(code));
    match value {
        Value::Number(number) => by_code(number.as_i64()?),
        Value::String(text) => match text.trim().parse() {
            Ok(code) => by_code(code),
            Err(_) => {
                STATUSES.into_iter().find(|status| status.name.eq_ignore_ascii_case(text.trim()))
            }
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The greatest of the statuses of an agent's DNs at which somebody is logged in, and `None` if
/// there is no such DN.
pub fn of_logged_in(dns: impl Iterator<Item = Status>) -> Option<Status> {
    let rank = |status: &Status| STATUSES.iter().position(|known| known == status);
    dns.filter(|status| says_logged_in(status.meaning) == Some(true)).max_by_key(rank)
}

/// Whether the status of a DN says that somebody is logged in there; `None` if it says nothing.
pub const fn says_logged_in(meaning: Meaning) -> Option<bool> {
    match meaning {
        Meaning::Nothing => None,
        Meaning::LoggedOut => Some(false),
        Meaning::LoggedIn
        | Meaning::Ready
        | Meaning::NotReady
        | Meaning::NoCall
        | Meaning::Call(_)
        | Meaning::Consult
        | Meaning::Hold
        | Meaning::AfterCallWork => Some(true),
    }
}
