//! The reporting engine of a domain's Interaction Servers, where it is configured.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use trunkline_ingest::reporting::{CapacityRule, Reporting, ReportingConfig};
use trunkline_schemas::Partition;
use trunkline_schemas::raw::Stream;

use super::bridge::LogWriter;
use super::links::{BACKOFF, CONNECT_TIMEOUT, SILENCE_TIMEOUT};
use super::{Shell, TaskError, chance};
use crate::clock;
use crate::config::{Domain, InteractionReporting};

/// Between two looks at whether every server reports.
const LOOK: Duration = Duration::from_secs(1);

/// Runs the reporting engine until the process stops.
///
/// # Errors
/// The log cannot be used; nothing runs then.
pub(super) fn start(
    shell: &Shell,
    domain: &Domain,
    reporting: &InteractionReporting,
    partition: Partition,
) -> Result<impl Future<Output = ()> + Send + 'static, TaskError> {
    let link = format!("{}/{}/{}", reporting.bridge, domain.name, Stream::Interaction.name());
    let writer = LogWriter::new(Arc::clone(&shell.log), partition, &reporting.bridge, &link)?;
    let (media, default) = (reporting.capacity.clone(), reporting.capacity_default);
    let config = ReportingConfig {
        bridge: reporting.bridge.clone(),
        domain: domain.name.clone(),
        servers: reporting.servers.iter().map(ToString::to_string).collect(),
        tls: reporting.tls.as_ref().map(|section| section.tls.clone()),
        rule: CapacityRule { media, default },
        connect_timeout: CONNECT_TIMEOUT,
        silence_timeout: SILENCE_TIMEOUT,
        backoff: BACKOFF,
    };
    let clock = Arc::new(clock::now_us);
    let engine = Reporting::new(config, Box::new(writer), clock, Arc::new(chance));
    let (shell, link) = (shell.clone(), format!("link {link}"));
    Ok(async move {
        let (is_complete, stop) = (engine.is_complete(), shell.stop.clone());
        let condition = shell.health.condition(link);
        let mut interval = tokio::time::interval(LOOK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut running = std::pin::pin!(engine.run(stop));
        loop {
            tokio::select! {
                () = &mut running => break,
                _ = interval.tick() => {
                    let why = "an Interaction Server does not report its agents";
                    condition.set(is_complete.load(Relaxed), why);
                }
            }
        }
        condition.retire();
    })
}
