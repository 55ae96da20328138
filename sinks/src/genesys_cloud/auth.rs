//! The token of an OAuth client: client credentials, one log-in at a time (gc-api section 1).

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::client::{cause, read_body};
use super::retry::retry_after_ms;

/// A token is renewed this long before it ends, milliseconds.
pub const RENEW_BEFORE_MS: i64 = 60_000;
/// After a failed log-in its error is everybody's answer for this long, milliseconds, so that many
/// waiting requests are not as many log-ins.
pub const FAILURE_HELD_MS: i64 = 1_000;
/// Lifetime of a token whose answer names none, seconds.
const DEFAULT_LIFETIME_S: i64 = 3_600;
/// The longest lifetime that is believed, seconds: GC allows two days.
const MAX_LIFETIME_S: i64 = 172_800;

/// Why there is no token. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The client id or secret is wrong, or the client is disabled.
    #[error("the log-in was refused with status {status}")]
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// The log-in service could not be reached or gave no token.
    #[error("no token: {why}")]
    Unavailable {
        /// Why.
        why: String,
    },
}

/// A token and which one it is.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) secret: SecretString,
    /// Counts the log-ins: two requests that got a 401 with the same token need one log-in.
    pub(super) generation: u64,
}

/// The OAuth client.
#[derive(Debug)]
pub(super) struct Auth {
    url: String,
    client_id: String,
    client_secret: SecretString,
    /// The lock is held during a log-in: that makes it the only one.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// With the time from which on it is to be renewed, milliseconds since 1970.
    token: Option<(Token, i64)>,
    generation: u64,
    /// With the time until which it stands, milliseconds since 1970.
    failure: Option<(AuthError, i64)>,
}

/// The answer of `/oauth/token`.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Option<u64>,
}

impl Auth {
    pub(super) fn new(auth_url: &str, client_id: String, client_secret: SecretString) -> Self {
        let url = format!("{}/oauth/token", auth_url.trim_end_matches('/'));
        Self { url, client_id, client_secret, state: Mutex::default() }
    }

    /// The token, from a log-in if there is none or it ends soon. `spent` is a token that was just
    /// answered with 401: it is not given again. Who waited for the log-in of another is judged by
    /// the time at which it came.
    pub(super) async fn token(
        &self,
        http: &reqwest::Client,
        spent: Option<u64>,
        now_ms: i64,
    ) -> Result<Token, AuthError> {
        let mut state = self.state.lock().await;
        if let Some((token, renew_at_ms)) = &state.token
            && *renew_at_ms > now_ms
            && spent != Some(token.generation)
        {
            return Ok(token.clone());
        }
        if let Some((error, until_ms)) = &state.failure
            && *until_ms > now_ms
        {
            return Err(error.clone());
        }
        match self.log_in(http).await {
            Ok(answer) => {
                state.generation += 1;
                let token =
                    Token { secret: answer.access_token.into(), generation: state.generation };
                let renew_at_ms = now_ms.saturating_add(renew_after_ms(answer.expires_in));
                state.token = Some((token.clone(), renew_at_ms));
                state.failure = None;
                Ok(token)
            }
            Err((error, held_ms)) => {
                state.token = None;
                state.failure = Some((error.clone(), now_ms.saturating_add(held_ms)));
                Err(error)
            }
        }
    }

    /// One log-in. An error comes with how long it stands, milliseconds.
    async fn log_in(&self, http: &reqwest::Client) -> Result<TokenAnswer, (AuthError, i64)> {
        let unavailable = |why: String| (AuthError::Unavailable { why }, FAILURE_HELD_MS);
        let mut answer = http
            .post(&self.url)
            .basic_auth(&self.client_id, Some(self.client_secret.expose_secret()))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials")
            .send()
            .await
            .map_err(|e| unavailable(cause(e)))?;
        let status = answer.status().as_u16();
        match status {
            200 => {}
            400 | 401 | 403 => return Err((AuthError::Refused { status }, FAILURE_HELD_MS)),
            429 => {
                let after = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok());
                let wait_ms = retry_after_ms(after.and_then(|s| s.trim().parse().ok()));
                let why = "too many log-ins (429)".into();
                return Err((AuthError::Unavailable { why }, wait_ms.max(FAILURE_HELD_MS)));
            }
            _ => return Err(unavailable(format!("the log-in was answered with {status}"))),
        }
        let body = read_body(&mut answer).await.map_err(unavailable)?;
        // The error of the parser could quote the token, so it is not told.
        serde_json::from_slice(&body).map_err(|_| unavailable("the answer holds no token".into()))
    }
}

fn renew_after_ms(expires_in_s: Option<u64>) -> i64 {
    let told = expires_in_s.map(|s| i64::try_from(s).unwrap_or(MAX_LIFETIME_S));
    let lifetime_ms = told.unwrap_or(DEFAULT_LIFETIME_S).min(MAX_LIFETIME_S) * 1_000;
    // A token that lives shorter than the margin is used for half its life.
    (lifetime_ms - RENEW_BEFORE_MS).max(lifetime_ms / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let table = [
            (None, 3_540_000),
            (Some(3_600), 3_540_000),
            (Some(100), 50_000),
            (Some(0), 0),
            (Some(u64::MAX), 172_740_000),
        ];
        for (expires_in, renewed_ms) in table {
            assert_eq!(renew_after_ms(expires_in), renewed_ms);
        }
    }
}
