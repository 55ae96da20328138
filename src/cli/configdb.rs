//! `trunkline configdb`: a look into the Engage Configuration Database.

use std::process::ExitCode;

use anyhow::{Context, anyhow};
use trunkline_ingest::configdb::ConfigBridge;
use trunkline_ingest::configdb::probe::{Probe, probe};
use trunkline_ingest::configdb::profile::{ENTITIES, Need, Profile};
use trunkline_ingest::configdb::rows::Snapshot;
use trunkline_processors::config::conclude::{Wanted, conclude};
use trunkline_processors::config::engage::Engage;
use trunkline_schemas::configdb::ObjectType;
use trunkline_schemas::desired::DesiredKind;

use super::{ConfigArg, complain, load, runtime, say};
use crate::config::{Code, ConfigDb};

/// Options of `configdb`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: ConfigArg,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show what the database has of what the profile needs, and what would follow from it
    Probe,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = match load(&args.file.config) {
        Ok(config) => config,
        Err(status) => return Ok(status),
    };
    let What::Probe = args.what;
    let Some(configdb) = config.configdb else {
        let file = args.file.config.display();
        complain(&format!("error[{}]: {file} has no section [configdb]", Code::MissingKey));
        return Ok(ExitCode::from(super::BAD_CONFIG));
    };
    runtime()?.block_on(show(&configdb))
}

async fn show(configdb: &ConfigDb) -> anyhow::Result<ExitCode> {
    let profile = configdb.profile();
    let found = probe(&configdb.database(), &configdb.schema, &profile).await?;
    catalog(&found)?;
    let is_usable = mapping(&found, &profile, configdb.folders.is_some())?;
    values(&found)?;
    if !is_usable {
        complain("the database cannot be used with this profile");
        return Ok(ExitCode::FAILURE);
    }
    let mut bridge = ConfigBridge::start(configdb.source()).await?;
    let snapshot = bridge.snapshot().await?;
    conclusions(&snapshot, configdb)?;
    Ok(ExitCode::SUCCESS)
}

fn catalog(found: &Probe) -> anyhow::Result<()> {
    say("TABLES")?;
    let mut table = "";
    let mut line = String::new();
    for column in &found.columns {
        if column.table != table {
            if !line.is_empty() {
                say(&line)?;
            }
            table = &column.table;
            line = format!("  {table}:");
        }
        line = format!("{line} {} {};", column.column, column.kind);
    }
    say(if line.is_empty() { "  none that begins with cfg_" } else { &line })
}

/// What is found and what is not; whether nothing that is needed is missing.
fn mapping(found: &Probe, profile: &Profile, by_folder: bool) -> anyhow::Result<bool> {
    say(&format!("PROFILE {}", profile.name))?;
    for entity in &ENTITIES {
        if let Some(table) = found.resolution.mapping.tables.get(entity.name) {
            let columns = table.columns.iter();
            let columns = columns.map(|(logical, column)| format!("{logical}={}", column.name));
            let columns = columns.collect::<Vec<_>>().join(" ");
            say(&format!("  found   {}={} {columns}", entity.name, table.name))?;
        }
    }
    for missing in &found.resolution.missing {
        let whose = match missing.need {
            Need::Always => "needed",
            Need::Folders => "needed to filter by folder",
            Need::Never => "not needed",
        };
        say(&format!("  missing {missing} ({whose})"))?;
    }
    Ok(found.resolution.clone().usable(by_folder).is_ok())
}

fn values(found: &Probe) -> anyhow::Result<()> {
    say("VALUES")?;
    for (dbid, name) in &found.tenants {
        say(&format!("  tenant {dbid} {name}"))?;
    }
    for counted in &found.counted {
        let values = counted.values.iter().map(|(value, rows)| {
            let value = value.map_or_else(|| "NULL".to_owned(), |value| value.to_string());
            format!("{value} ({rows})")
        });
        let values = values.collect::<Vec<_>>().join(", ");
        say(&format!("  {}.{}: {values}", counted.entity, counted.column))?;
    }
    Ok(())
}

/// What the tenant has, what the organisation would hold, and what is wrong.
fn conclusions(snapshot: &Snapshot, configdb: &ConfigDb) -> anyhow::Result<()> {
    say(&format!("TENANT {}", configdb.tenant_dbid))?;
    for kind in ObjectType::ALL {
        let count = snapshot.objects.values().filter(|it| it.kind() == Some(kind)).count();
        say(&format!("  {count:>7} {}", kind.name()))?;
    }
    let mut engage = Engage::default();
    for object in snapshot.objects.values() {
        engage.put(object.clone());
    }
    let concluded = conclude(&engage, &configdb.settings(), &Wanted::new());
    let concluded = concluded
        .map_err(|report| anyhow!("{}: {}", report.code.name(), report.object))
        .context("no folder of `configdb.folders` exists, so nothing would be synchronised")?;
    say("WOULD BE SYNCHRONISED")?;
    for kind in DesiredKind::ALL {
        let count = concluded.wanted.values().filter(|it| it.kind() == kind).count();
        say(&format!("  {count:>7} {}", kind.name()))?;
    }
    say(&format!("  {:>7} extension", concluded.extensions.len()))?;
    say("REPORTS")?;
    for report in &concluded.reports {
        let line = format!("  {} {} {}", report.code.name(), report.object, report.detail);
        say(line.trim_end())?;
    }
    Ok(())
}
