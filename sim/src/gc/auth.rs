//! Client credentials, tokens and the allowance of requests (gc-api sections 1 and 2).

use std::collections::{BTreeMap, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// How many tokens may be alive; beyond it the one that expires first is given up.
const TOKENS_MAX: usize = 1_000;

/// The stretch over which requests are counted.
const WINDOW_MS: u64 = 60_000;

/// Why no token was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// Wrong or missing client id or secret.
    Client,
    /// Another grant than `client_credentials`.
    Grant,
}

/// The tokens given to the one client of the organisation.
pub(super) struct Tokens {
    client_id: String,
    client_secret: String,
    lifetime_ms: u64,
    issued: u64,
    /// Live tokens and when they expire, in milliseconds since the start.
    live: BTreeMap<String, u64>,
}

impl Tokens {
    pub(super) fn new(client_id: String, client_secret: String, lifetime_ms: u64) -> Self {
        Self { client_id, client_secret, lifetime_ms, issued: 0, live: BTreeMap::new() }
    }

    /// Gives a token for a request to `/oauth/token`: its `Authorization` header and its form.
    pub(super) fn issue(
        &mut self,
        now_ms: u64,
        authorization: Option<&str>,
        form: &str,
    ) -> Result<(String, u64), Denied> {
        let form = form_fields(form);
        let of_form = || Some((form.get("client_id")?.clone(), form.get("client_secret")?.clone()));
        let credentials = authorization.and_then(basic).or_else(of_form);
        if credentials != Some((self.client_id.clone(), self.client_secret.clone())) {
            return Err(Denied::Client);
        }
        if form.get("grant_type").map(String::as_str) != Some("client_credentials") {
            return Err(Denied::Grant);
        }
        self.live.retain(|_, expiry| *expiry > now_ms);
        if self.live.len() >= TOKENS_MAX {
            let first = self.live.iter().min_by_key(|(_, expiry)| **expiry);
            if let Some(token) = first.map(|(token, _)| token.clone()) {
                self.live.remove(&token);
            }
        }
        self.issued += 1;
        let digest = Sha256::digest(format!("token {} of {}", self.issued, self.client_id));
        let token = format!("sim-{}-{}", self.issued, hex(&digest));
        self.live.insert(token.clone(), now_ms.saturating_add(self.lifetime_ms));
        Ok((token, self.lifetime_ms / 1_000))
    }

    /// Whether an `Authorization` header bears a live token.
    pub(super) fn admits(&self, now_ms: u64, authorization: &str) -> bool {
        let token = scheme(authorization, "Bearer");
        token.and_then(|token| self.live.get(token)).is_some_and(|expiry| *expiry > now_ms)
    }

    /// Makes every token given so far invalid.
    pub(super) fn expire_all(&mut self) {
        self.live.clear();
    }
}

/// So many requests in any 60 seconds.
pub(super) struct Allowance {
    per_minute: u32,
    admitted: VecDeque<u64>,
}

impl Allowance {
    pub(super) fn new(per_minute: u32) -> Self {
        Self { per_minute, admitted: VecDeque::new() }
    }

    pub(super) fn per_minute(&self) -> u32 {
        self.per_minute
    }

    /// Admits a request, or says in how many whole seconds one will be admitted again. A request
    /// that is not admitted does not count.
    pub(super) fn take(&mut self, now_ms: u64) -> Result<(), u64> {
        while self.admitted.front().is_some_and(|first| first + WINDOW_MS <= now_ms) {
            self.admitted.pop_front();
        }
        if self.admitted.len() < self.per_minute as usize {
            self.admitted.push_back(now_ms);
            return Ok(());
        }
        let free_ms = self.admitted.front().map_or(WINDOW_MS, |first| first + WINDOW_MS - now_ms);
        Err(free_ms.div_ceil(1_000).max(1))
    }
}

/// The first 16 bytes of a digest, in hexadecimal.
pub(super) fn hex(digest: &[u8]) -> String {
    let first = digest.iter().take(16).fold(0_u128, |all, byte| all << 8 | u128::from(*byte));
    format!("{first:032x}")
}

/// What follows the name of an authentication scheme, which is written in any case.
fn scheme<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let (scheme, rest) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case(name).then_some(rest.trim())
}

fn basic(header: &str) -> Option<(String, String)> {
    let bytes = STANDARD.decode(scheme(header, "Basic")?).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

fn form_fields(form: &str) -> BTreeMap<String, String> {
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter_map(|(name, value)| Some((percent(name)?, percent(value)?))).collect()
}

/// Decodes `application/x-www-form-urlencoded`; nothing if an escape is broken.
fn percent(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            _ => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens::new("client".to_owned(), "s ecret/+".to_owned(), 10_000)
    }

    #[test]
    fn a_token_is_given_for_the_right_credentials_only() {
        let grant = "grant_type=client_credentials";
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let form = |secret: &str| format!("{grant}&client_id=client&client_secret={secret}");
        let right = basic("client:s ecret/+");
        let cases = [
            (Some(right.as_str()), grant.to_owned(), Ok(())),
            (None, form("s+ecret%2F%2b"), Ok(())),
            (None, form("s+ecret%2"), Err(Denied::Client)),
            (None, form("other"), Err(Denied::Client)),
            (Some("Basic !"), grant.to_owned(), Err(Denied::Client)),
            (Some("Bearer x"), grant.to_owned(), Err(Denied::Client)),
            (None, grant.to_owned(), Err(Denied::Client)),
            (Some(right.as_str()), "grant_type=password".to_owned(), Err(Denied::Grant)),
            (Some(right.as_str()), String::new(), Err(Denied::Grant)),
        ];
        for (header, form, wanted) in cases {
            assert_eq!(tokens().issue(0, header, &form).map(|_| ()), wanted, "{header:?} {form}");
        }
    }

    #[test]
    fn tokens_expire_by_time_and_all_at_once() {
        let mut tokens = tokens();
        let header = format!("Basic {}", STANDARD.encode("client:s ecret/+"));
        let issue = |tokens: &mut Tokens, now_ms| {
            let issued = tokens.issue(now_ms, Some(&header), "grant_type=client_credentials");
            format!("bearer {}", issued.expect("right credentials").0)
        };
        let first = issue(&mut tokens, 0);
        let second = issue(&mut tokens, 5_000);
        assert_ne!(first, second);
        assert!(tokens.admits(9_999, &first));
        assert!(!tokens.admits(10_000, &first));
        assert!(tokens.admits(10_000, &second));
        tokens.expire_all();
        assert!(!tokens.admits(10_000, &second));
        for number in 0..2 * TOKENS_MAX as u64 {
            issue(&mut tokens, 20_000 + number / 1_000);
        }
        assert_eq!(tokens.live.len(), TOKENS_MAX);
    }

    #[test]
    fn the_allowance_slides() {
        let mut allowance = Allowance::new(2);
        let cases = [
            (0, Ok(())),
            (30_000, Ok(())),
            (30_001, Err(30)),
            (59_999, Err(1)),
            (60_000, Ok(())),
            (60_001, Err(30)),
            (90_000, Ok(())),
        ];
        for (now_ms, wanted) in cases {
            assert_eq!(allowance.take(now_ms), wanted, "at {now_ms}");
        }
        assert_eq!(Allowance::new(0).take(0), Err(60));
    }
}
