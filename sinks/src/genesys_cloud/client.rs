//! The client: one request, one answer with its meaning.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH, RETRY_AFTER};
use reqwest::{Certificate, Method, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tracing::debug;

use super::answer::{Answer, classify};
use super::auth::{Auth, AuthError, Token};
use crate::config::answer::{Heard, meaning};
use crate::config::request::Call;
use crate::delivery::Batch;

/// The most that is read of an answer, bytes.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// How long a connection may take, unless configured otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request may take from the connection to the end of the answer, unless configured
/// otherwise.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// How to reach Genesys Cloud.
#[derive(Clone)]
pub struct ClientConfig {
    /// The API, for example `https://api.mypurecloud.de`.
    pub base_url: String,
    /// The log-in, for example `https://login.mypurecloud.de`.
    pub auth_url: String,
    /// OAuth client id.
    pub client_id: String,
    /// OAuth client secret.
    pub client_secret: SecretString,
    /// The only authorities trusted, PEM; `None`: those of the operating system.
    pub ca_pem: Option<Vec<u8>>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a request may take, its connection and the whole answer included.
    pub request_timeout: Duration,
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("base_url", &self.base_url)
            .field("auth_url", &self.auth_url)
            .field("ca_pem", &self.ca_pem.as_ref().map(Vec::len))
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .finish_non_exhaustive()
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// An address that is no `http` or `https` URL.
    #[error("{name} is no http or https address: {address}")]
    Address {
        /// Name of the setting.
        name: &'static str,
        /// What it says.
        address: String,
    },
    /// The authorities given are no PEM certificates.
    #[error("the certificate authorities are not readable: {0}")]
    Authorities(String),
    /// TLS could not be set up.
    #[error("the HTTP client cannot be made: {0}")]
    Setup(String),
}

/// An answer and what the log should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What it means.
    pub answer: Answer,
    /// HTTP status, if there was one.
    pub status: Option<u16>,
    /// `ININ-Correlation-Id`, by which Genesys support finds the request.
    pub correlation_id: Option<String>,
    /// `inin-ratelimit-*`: hints only (gc-api section 2).
    pub rate: RateHint,
}

impl Reply {
    /// Nothing was sent.
    pub fn not_sent(why: impl Into<String>) -> Self {
        silent(Answer::NotSent { why: why.into() })
    }
}

/// What was read, and the answer it came with.
#[derive(Clone, Debug)]
pub struct Found {
    /// The answer; that of a failure says why there is nothing.
    pub reply: Reply,
    /// The JSON that was asked for, if the answer is a success and whole.
    pub body: Option<Value>,
}

/// What GC says of its rate limit, where it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateHint {
    /// Requests counted in this window.
    pub count: Option<u64>,
    /// Requests allowed in a window.
    pub allowed: Option<u64>,
    /// Seconds until the next window.
    pub reset_s: Option<u64>,
}

/// Genesys Cloud, for one OAuth client. Cheap to share behind an `Arc`; one log-in at a time serves
/// all requests.
#[derive(Debug)]
pub struct GenesysCloud {
    http: reqwest::Client,
    base_url: String,
    auth: Auth,
}

impl GenesysCloud {
    /// A client; nothing is sent yet. The process must have installed its TLS provider
    /// (`rustls::crypto::ring::default_provider().install_default()`).
    ///
    /// # Errors
    /// [`ClientError`], which names the setting at fault.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        check_address("base_url", &config.base_url)?;
        check_address("auth_url", &config.auth_url)?;
        // No redirects: a token must not go where it was not meant to.
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(config.connect_timeout)
            .timeout(config.request_timeout);
        if let Some(pem) = &config.ca_pem {
            let authorities = Certificate::from_pem_bundle(pem)
                .map_err(|e| ClientError::Authorities(cause(e)))?;
            if authorities.is_empty() {
                return Err(ClientError::Authorities("there is no certificate".into()));
            }
            builder = builder.tls_certs_only(authorities);
        }
        let http = builder.build().map_err(|e| ClientError::Setup(cause(e)))?;
        let auth = Auth::new(&config.auth_url, config.client_id, config.client_secret);
        let base_url = config.base_url.trim_end_matches('/').to_owned();
        Ok(Self { http, base_url, auth })
    }

    /// Sends a batch of events and says what the answer means. Every failure is an answer too.
    /// After a 401 it logs in again and asks once more. `now_ms` (milliseconds since 1970) decides
    /// whether the token is still good.
    pub async fn post(&self, batch: &Batch, now_ms: i64) -> Reply {
        let body = batch.body.to_string();
        let token = match self.auth.token(&self.http, None, now_ms).await {
            Ok(token) => token,
            Err(error) => return no_token(&error),
        };
        let reply = self.send(batch.path, body.clone(), &token).await;
        if reply.answer != Answer::Unauthorized {
            return reply;
        }
        match self.auth.token(&self.http, Some(token.generation), now_ms).await {
            Ok(fresh) => self.send(batch.path, body, &fresh).await,
            Err(error) => no_token(&error),
        }
    }

    /// Reads an object or a list. Every failure is an answer too; after a 401 it logs in again and
    /// asks once more.
    pub async fn get(&self, path: &str, now_ms: i64) -> Found {
        let mut refused = None;
        loop {
            let token = match self.auth.token(&self.http, refused, now_ms).await {
                Ok(token) => token,
                Err(error) => return Found { reply: no_token(&error), body: None },
            };
            let request = self.http.get(format!("{}{path}", self.base_url));
            let (reply, body) = exchange(request, &token).await;
            if reply.answer == Answer::Unauthorized && refused.is_none() {
                refused = Some(token.generation);
                continue;
            }
            let is_good = reply.status.is_some_and(|status| (200..300).contains(&status));
            let body = body.filter(|_| is_good);
            return Found { body: body.and_then(|b| serde_json::from_slice(&b).ok()), reply };
        }
    }

    /// Makes one exchange about an object of the organisation. Every failure is an answer too;
    /// after a 401 it logs in again and asks once more.
    pub async fn ask(&self, call: &Call, now_ms: i64) -> Heard {
        let mut refused = None;
        loop {
            let token = match self.auth.token(&self.http, refused, now_ms).await {
                Ok(token) => token,
                Err(error) => return Heard::Later { why: error.to_string() },
            };
            let answered = match self.exchanged(call, &token).await {
                Ok(answered) => answered,
                Err(heard) => return heard,
            };
            if answered.status == 401 && refused.is_none() {
                refused = Some(token.generation);
                continue;
            }
            let Raw { status, retry_after, body } = answered;
            let json = match body.as_deref() {
                Some([]) => Some(Value::Null),
                Some(body) => serde_json::from_slice(body).ok(),
                None => None,
            };
            return meaning(status, retry_after.as_deref(), json);
        }
    }

    async fn exchanged(&self, call: &Call, token: &Token) -> Result<Raw, Heard> {
        let method = Method::from_bytes(call.method.as_bytes())
            .map_err(|e| Heard::Later { why: e.to_string() })?;
        let mut request = self.http.request(method, format!("{}{}", self.base_url, call.path));
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        if let Some(version) = &call.if_match {
            request = request.header(IF_MATCH, version);
        }
        let bearer = format!("Bearer {}", token.secret.expose_secret());
        let mut bearer = HeaderValue::try_from(bearer)
            .map_err(|_| Heard::Later { why: "the token is no header value".into() })?;
        bearer.set_sensitive(true);
        let mut response = match request.header(AUTHORIZATION, bearer).send().await {
            Ok(response) => response,
            Err(e) if e.is_connect() => return Err(Heard::Later { why: cause(e) }),
            Err(e) => return Err(Heard::Unclear { why: cause(e) }),
        };
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        debug!(status, correlation_id = ?text(&headers, "inin-correlation-id"), "answered");
        let retry_after = text(&headers, RETRY_AFTER.as_str());
        Ok(Raw { status, retry_after, body: read_body(&mut response).await.ok() })
    }

    async fn send(&self, path: &str, body: String, token: &Token) -> Reply {
        let request = self.http.post(format!("{}{path}", self.base_url));
        let json = request.header(CONTENT_TYPE, "application/json").body(body);
        exchange(json, token).await.0
    }
}

/// An answer as it came.
struct Raw {
    status: u16,
    retry_after: Option<String>,
    /// Nothing if it was cut or too large.
    body: Option<Vec<u8>>,
}

/// Sends a request and reads the answer: what it means for events, and its body if it is whole.
async fn exchange(request: RequestBuilder, token: &Token) -> (Reply, Option<Vec<u8>>) {
    let bearer = format!("Bearer {}", token.secret.expose_secret());
    let Ok(mut bearer) = HeaderValue::try_from(bearer) else {
        let why = "the token is no header value".into();
        return (silent(Answer::NotSent { why }), None);
    };
    bearer.set_sensitive(true);
    let request = request.header(AUTHORIZATION, bearer);
    let mut response = match request.send().await {
        Ok(response) => response,
        // Without a connection nothing was sent; any later failure leaves it open.
        Err(e) if e.is_connect() => {
            return (silent(Answer::NotSent { why: cause(e) }), None);
        }
        Err(e) => return (silent(Answer::Ambiguous { why: cause(e) }), None),
    };
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body = read_body(&mut response).await;
    let retry_after = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok());
    let reply = Reply {
        answer: classify(status, retry_after, body.as_deref().ok()),
        status: Some(status),
        correlation_id: text(&headers, "inin-correlation-id"),
        rate: RateHint {
            count: number(&headers, "inin-ratelimit-count"),
            allowed: number(&headers, "inin-ratelimit-allowed"),
            reset_s: number(&headers, "inin-ratelimit-reset"),
        },
    };
    debug!(status, correlation_id = ?reply.correlation_id, rate = ?reply.rate, "answered");
    (reply, body.ok())
}

fn check_address(name: &'static str, address: &str) -> Result<(), ClientError> {
    // An address with a password in it is wrong too, and must not be shown.
    let has_user = address.contains('@');
    let is_good = Url::parse(address)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && !has_user);
    if is_good {
        return Ok(());
    }
    let address = if has_user { "(hidden: it names a user)" } else { address }.to_owned();
    Err(ClientError::Address { name, address })
}

fn no_token(error: &AuthError) -> Reply {
    silent(match error {
        AuthError::Refused { .. } => Answer::Unauthorized,
        AuthError::Unavailable { .. } => Answer::NotSent { why: error.to_string() },
    })
}

fn silent(answer: Answer) -> Reply {
    Reply { answer, status: None, correlation_id: None, rate: RateHint::default() }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name).and_then(|s| s.trim().parse().ok())
}

/// The body of an answer, if it is whole and not over [`MAX_ANSWER_BYTES`].
pub(super) async fn read_body(response: &mut reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(cause)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(format!("the answer is over {MAX_ANSWER_BYTES} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An error of the HTTP client with its causes, without the address.
pub(super) fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
