//! Finds the Redis to talk to: one server, or the master that its Sentinels name.

use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, TlsCertificates,
};
use secrecy::{ExposeSecret, SecretString};

/// How long a connection may take, with log-in and TLS.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How long an answer may take; a connection that is slower is given up.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// Where Redis is, and who asks.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// The servers.
    pub place: Place,
    /// A user of its access control list; without one, the default user.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// Certificates to trust, as PEM; the connection is TLS with them only.
    pub ca_pem: Option<Vec<u8>>,
}

/// Where Redis is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// There.
    Server(String, u16),
    /// Where any of these Sentinels says the master of that name is.
    Sentinels {
        /// The Sentinels, in the order in which they are asked.
        sentinels: Vec<(String, u16)>,
        /// Name of the master.
        master: String,
    },
}

/// Why there is no Redis.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It is a node of a cluster.
    #[error(
        "{0} is a node of a Redis Cluster, which is not supported: name a server of its own, or \
         Sentinels with a master"
    )]
    Cluster(String),
    /// It does not answer, or not as it should.
    #[error("{at}: {why}")]
    Away {
        /// Where.
        at: String,
        /// What was wrong.
        why: String,
    },
}

impl Unusable {
    pub(super) fn away(at: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::Away { at: at.to_string(), why: why.to_string() }
    }
}

/// A connection, and to where.
pub(super) struct Connected {
    pub(super) link: MultiplexedConnection,
    pub(super) at: String,
}

impl RedisConfig {
    /// Connects to a server that can be used: a master, and of no cluster.
    pub(super) async fn connect(&self) -> Result<Connected, Unusable> {
        let (host, port) = match &self.place {
            Place::Server(host, port) => (host.clone(), *port),
            Place::Sentinels { sentinels, master } => self.ask(sentinels, master).await?,
        };
        let at = format!("{host}:{port}");
        let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password.expose_secret());
        }
        let away = |error: RedisError| Unusable::away(&at, said(&error));
        let mut link = self.open(host, port, settings).await.map_err(away)?;
        let info: String = redis::cmd("INFO").query_async(&mut link).await.map_err(away)?;
        let says = |line: &str| info.lines().any(|found| found.trim_end() == line);
        if says("cluster_enabled:1") || says("redis_mode:cluster") {
            return Err(Unusable::Cluster(at));
        }
        if !says("role:master") {
            return Err(Unusable::away(at, "it is no master: what it is told would be lost"));
        }
        Ok(Connected { link, at })
    }

    /// Where the first Sentinel that knows says the master is.
    async fn ask(
        &self,
        sentinels: &[(String, u16)],
        master: &str,
    ) -> Result<(String, u16), Unusable> {
        let mut why = Vec::new();
        for (host, port) in sentinels {
            let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
            let asked = async {
                let mut link = self.open(host.clone(), *port, settings).await?;
                let mut question = redis::cmd("SENTINEL");
                question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
                question.query_async::<Option<(String, u16)>>(&mut link).await
            };
            match asked.await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => why.push(format!("{host}:{port} knows no master {master:?}")),
                Err(error) => why.push(format!("{host}:{port}: {}", said(&error))),
            }
        }
        Err(Unusable::away("no Sentinel says where the master is", why.join("; ")))
    }

    async fn open(
        &self,
        host: String,
        port: u16,
        settings: RedisConnectionInfo,
    ) -> Result<MultiplexedConnection, RedisError> {
        let address = match &self.ca_pem {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        };
        let info = address.into_connection_info()?.set_redis_settings(settings);
        let client = match &self.ca_pem {
            None => Client::open(info)?,
            Some(pem) => {
                let certificates =
                    TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
                Client::build_with_tls(info, certificates)?
            }
        };
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(Some(ANSWER_MAX));
        client.get_multiplexed_async_connection_with_config(&limits).await
    }
}

/// What an error says, its causes included.
pub(super) fn said(error: &RedisError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
