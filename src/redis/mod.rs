//! Redis: where processes tell each other which part of the allowance they do not need
//! ([`trunkline_sinks::genesys_cloud::shared`]). Nothing else is kept there, so nothing is lost
//! with it: without Redis the allowance is divided by the partitions owned.
//!
//! Six commands are used: `AUTH`, `INFO`, `TIME`, `SET`, `MGET`, and `SENTINEL` of Sentinels. None
//! of them does harm when it is done twice.
//!
//! | key, after `trunkline:<OAuth client>:<shape>:` | value | kept for |
//! |---|---|---|
//! | `life` | a random number: another one means that everything was forgotten | ever |
//! | `slot:<number>` | who took it | while somebody could take it |
//! | `free:<sink>:<partition>` | from which slot on others may have its slots; 0: none | 0.6 s |
//! | `closed` | until when Genesys Cloud wants no request, ms since 1970 | until then |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError};
use trunkline_sinks::Shared;
use trunkline_sinks::genesys_cloud::shared::{Heard, Place, SAY_EVERY_MS, WORD_MS};

use self::connect::{Connected, said};
pub use self::connect::{Place as Servers, RedisConfig, Unusable};
use crate::admin::metrics;
use crate::clock;
use crate::drive::{Shell, chance};

mod connect;

/// Between two attempts to reach Redis.
const AGAIN: Duration = Duration::from_millis(250);

/// An OAuth client whose allowance is shared.
pub struct Party {
    /// The sink that names it in the configuration.
    pub sink: &'static str,
    /// Its id.
    pub client_id: String,
    /// Its allowance.
    pub shared: Shared,
}

/// Looks whether Redis can be used at all. That it cannot be reached is no error: it may come.
///
/// # Errors
/// [`Unusable::Cluster`].
pub async fn check(redis: &RedisConfig) -> Result<(), Unusable> {
    match redis.connect().await {
        Err(unusable @ Unusable::Cluster(_)) => Err(unusable),
        Err(Unusable::Away { .. }) | Ok(_) => Ok(()),
    }
}

/// Shares an allowance through Redis until the process stops.
pub async fn follow(shell: Shell, redis: Arc<RedisConfig>, party: Party) {
    let sink = party.sink;
    let ready = shell.health.condition(format!("redis for {sink}"));
    let mut last = String::new();
    metrics::redis_up(sink, false);
    loop {
        let reached = || {
            metrics::redis_up(sink, true);
            ready.set(true, "");
        };
        let ended = tokio::select! {
            () = shell.stop.cancelled() => break,
            ended = take_part(&redis, &party, &reached) => ended,
        };
        party.shared.lost(clock::now_ms());
        metrics::redis_up(sink, false);
        let why = format!(
            "Redis: {ended}; until it is there, the allowance is divided by the partitions owned"
        );
        if why != last {
            tracing::warn!(sink, "{why}");
        }
        ready.set(false, why.clone());
        last = why;
        tokio::select! {
            () = shell.stop.cancelled() => break,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
    metrics::redis_up(sink, false);
    ready.retire();
}

/// Takes part for as long as Redis answers. Returns why it ended.
async fn take_part(redis: &RedisConfig, party: &Party, reached: &(dyn Fn() + Sync)) -> Unusable {
    let Connected { link, at } = match redis.connect().await {
        Ok(connected) => connected,
        Err(unusable) => return unusable,
    };
    let mut talk = Talk::new(link, party);
    match talk.go_on(&at, reached).await {
        Ok(never) => match never {},
        Err(error) => Unusable::away(at, said(&error)),
    }
}

/// A connection in use.
struct Talk<'a> {
    link: MultiplexedConnection,
    shared: &'a Shared,
    prefix: String,
    /// Every partition of every sink, and its key.
    places: Vec<(Place, String)>,
    /// What the key `life` said.
    life: Option<String>,
    /// By which slots are signed.
    name: String,
}

/// The time (seconds, microseconds), `life`, `closed`, and what is said of every partition.
type Answer = ((i64, i64), [Option<String>; 1], [Option<i64>; 1], Vec<Option<i64>>);

impl<'a> Talk<'a> {
    fn new(link: MultiplexedConnection, party: &'a Party) -> Self {
        let shared = &party.shared;
        let prefix = format!("trunkline:{}:{}", party.client_id, shared.shape());
        let key = |(place, sink): (Place, &str)| {
            (place, format!("{prefix}:free:{sink}:{}", place.partition))
        };
        let places = shared.places().into_iter().map(key).collect();
        Self { link, shared, prefix, places, life: None, name: random() }
    }

    async fn go_on(
        &mut self,
        at: &str,
        reached: &(dyn Fn() + Sync),
    ) -> Result<std::convert::Infallible, RedisError> {
        self.join().await?;
        tracing::info!(at, "the allowance is shared through Redis");
        reached();
        let mut interval = tokio::time::interval(Duration::from_millis(SAY_EVERY_MS as u64));
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = interval.tick() => self.say().await?,
                () = self.shared.asked() => {}
            }
            self.take().await?;
        }
    }

    /// Begins with what Redis holds, or begins it.
    async fn join(&mut self) -> Result<(), RedisError> {
        let mut begin = Pipeline::new();
        begin.cmd("SET").arg(self.key("life")).arg(random()).arg("NX").ignore();
        let (life, heard) = self.ask(begin).await?;
        self.life = life;
        self.shared.joined(heard);
        Ok(())
    }

    /// Says what this process does not need, and hears what the others do not.
    async fn say(&mut self) -> Result<(), RedisError> {
        let now_ms = clock::now_ms();
        let word = self.shared.word(now_ms);
        let mut said = Pipeline::new();
        for (place, from) in word.places {
            let key = self.places.iter().find(|(other, _)| *other == place);
            let Some((_, key)) = key else { continue };
            said.cmd("SET").arg(key).arg(from.unwrap_or(0)).arg("PX").arg(WORD_MS).ignore();
        }
        if let Some(until_ms) = word.closed_until_ms {
            // By whatever clock: a day is longer than any Retry-After.
            let key = self.key("closed");
            said.cmd("SET").arg(key).arg(until_ms).arg("PX").arg(86_400_000).ignore();
        }
        let (life, heard) = self.ask(said).await?;
        if life.is_none() || life != self.life {
            return self.start_over().await;
        }
        self.shared.heard(heard);
        Ok(())
    }

    /// Takes slots for the sinks that wait.
    async fn take(&mut self) -> Result<(), RedisError> {
        while let Some(claim) = self.shared.claim(clock::now_ms()) {
            let mut first = Pipeline::new();
            let key = self.key(&format!("slot:{}", claim.slot));
            let kept_ms = self.shared.slot_kept_ms();
            first.cmd("SET").arg(key).arg(&self.name).arg("PX").arg(kept_ms).arg("NX");
            first.cmd("MGET").arg(self.key("life"));
            let answer = first.query_async::<(Option<String>, [Option<String>; 1])>(&mut self.link);
            let (set, [life]) = match answer.await {
                Ok(answer) => answer,
                Err(error) => {
                    self.shared.claimed(claim, false);
                    return Err(error);
                }
            };
            // In a life that began in between, somebody may have had the slot before.
            let is_known = life.is_some() && life == self.life;
            self.shared.claimed(claim, set.is_some() && is_known);
            if !is_known {
                return self.start_over().await;
            }
        }
        Ok(())
    }

    async fn start_over(&mut self) -> Result<(), RedisError> {
        tracing::warn!("Redis has forgotten what it held; the allowance is shared anew");
        self.join().await
    }

    /// Does what the pipeline says and asks for everything that is said.
    async fn ask(&mut self, mut first: Pipeline) -> Result<(Option<String>, Heard), RedisError> {
        first.cmd("TIME");
        first.cmd("MGET").arg(self.key("life"));
        first.cmd("MGET").arg(self.key("closed"));
        first.cmd("MGET").arg(self.places.iter().map(|(_, key)| key).collect::<Vec<_>>());
        let asked_ms = clock::now_ms();
        let answer = first.query_async::<Answer>(&mut self.link).await?;
        let answered_ms = clock::now_ms();
        let ((seconds, micros), [life], [closed_until_ms], free) = answer;
        let free = self.places.iter().zip(free);
        let free = free.filter_map(|((place, _), from)| Some((*place, from.filter(|n| *n > 0)?)));
        let places: BTreeMap<Place, i64> = free.collect();
        let shared_ms = seconds * 1_000 + micros / 1_000;
        Ok((life, Heard { asked_ms, answered_ms, shared_ms, places, closed_until_ms }))
    }

    fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }
}

/// A name that nobody else has.
fn random() -> String {
    format!("{:016x}", chance().to_bits())
}
