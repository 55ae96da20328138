//! `[configdb]`: the Engage Configuration Database, and what of it is synchronised.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Serialize, Serializer};
use trunkline_ingest::configdb::Settings as Source;
use trunkline_ingest::configdb::database::DatabaseConfig;
use trunkline_ingest::configdb::dialect::DatabaseKind;
use trunkline_ingest::configdb::diff::Guard;
use trunkline_ingest::configdb::profile::{PROFILE_BYTES_MAX, Profile};
use trunkline_processors::config::settings::{Edition, Settings};
use trunkline_schemas::configdb::DnType;

use super::access::{self, Authorities, Secret};
use super::codes::Code;
use super::document::Flaw;
use super::reader::{Reader, shown};
use super::{as_secs, checks};

/// Names of folders that may be listed.
const FOLDERS_MAX: usize = 1_000;

/// The section.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigDb {
    /// What it is.
    #[serde(serialize_with = "as_word")]
    pub kind: DatabaseKind,
    /// Name or IP address of the server; of PostgreSQL, the folder of its Unix socket as well.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database; of Oracle, the service.
    pub database: String,
    /// Schema of its tables.
    pub schema: String,
    /// Who reads; a role that may do nothing else.
    pub user: String,
    /// The password.
    #[serde(flatten)]
    pub password: Option<Secret>,
    /// The connection is TLS with them only.
    #[serde(flatten)]
    pub ca: Option<Authorities>,
    /// How long a poll may take.
    #[serde(rename = "timeout_secs", serialize_with = "as_secs")]
    pub timeout: Duration,
    /// Physical names; the built-in ones if there is no file.
    #[serde(rename = "profile_file", skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileFile>,
    /// Between two polls.
    #[serde(rename = "poll_secs", serialize_with = "as_secs")]
    pub poll: Duration,
    /// Digest of a state of the database that is taken over whatever vanished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_digest: Option<String>,
    /// DBID of the tenant.
    pub tenant_dbid: i64,
    /// Folders to be synchronised; all of the tenant if there is no list (seed 003, "Folder
    /// Filtering").
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folders: Option<Vec<String>>,
    /// End of the name of each queue.
    pub queue_name_suffix: String,
    /// DNs that become queues.
    pub queue_types: QueueTypes,
    /// Rules for what is gone.
    pub deletion_rules: DeletionRules,
    /// Name of the presence source.
    pub presence_source: String,
}

/// A profile from a file.
#[derive(Clone, Debug)]
pub struct ProfileFile {
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub profile: Profile,
}

impl Serialize for ProfileFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.path.serialize(serializer)
    }
}

/// DNs that become queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueTypes {
    /// Virtual queues (seed 003).
    VirtualQueue,
    /// ACD queues, routing points, routing queues and virtual queues (seed 001).
    All,
}

/// Rules for what is gone in Engage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum DeletionRules {
    /// Users become inactive, queues lose their members (seed 003).
    #[serde(rename = "2024")]
    Of2024,
    /// Users stay as they are, queues are deleted (seed 001).
    #[serde(rename = "2023")]
    Of2023,
}

impl ConfigDb {
    /// How the database is reached.
    pub fn database(&self) -> DatabaseConfig {
        DatabaseConfig {
            kind: self.kind,
            host: self.host.clone(),
            port: self.port,
            database: self.database.clone(),
            user: self.user.clone(),
            password: self.password.as_ref().map(|secret| secret.value.clone()),
            ca_pem: self.ca.as_ref().map(Authorities::pem),
            timeout: self.timeout,
        }
    }

    /// The physical names.
    pub fn profile(&self) -> Profile {
        self.profile.as_ref().map_or_else(Profile::built_in, |file| file.profile.clone())
    }

    /// What is read, and how.
    pub fn source(&self) -> Source {
        Source {
            database: self.database(),
            schema: self.schema.clone(),
            tenant: self.tenant_dbid,
            profile: self.profile(),
            by_folder: self.folders.is_some(),
            guard: Guard::default(),
            approved: self.approved_digest.clone(),
        }
    }

    /// How the processor is set.
    pub fn settings(&self) -> Settings {
        Settings {
            folders: self.folders.clone(),
            tenant_id: Some(self.tenant_dbid.to_string()),
            queue_suffix: self.queue_name_suffix.clone(),
            queue_types: match self.queue_types {
                QueueTypes::VirtualQueue => vec![DnType::VirtualQueue],
                QueueTypes::All => {
                    let is_queue = |kind: &DnType| *kind != DnType::Extension;
                    DnType::ALL.into_iter().filter(is_queue).collect()
                }
            },
            edition: match self.deletion_rules {
                DeletionRules::Of2024 => Edition::Of2024,
                DeletionRules::Of2023 => Edition::Of2023,
            },
            source_name: self.presence_source.clone(),
            ..Settings::default()
        }
    }
}

/// Reads the section.
pub(super) fn configdb(
    mut section: Reader<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<ConfigDb> {
    let document = section.document();
    let default = Settings::default();
    let kind = section.text("kind").check(kind).or(DatabaseKind::PostgreSql);
    // What is left out depends on it; where it is wrong, that alone is reported.
    let assumed = kind.unwrap_or(DatabaseKind::PostgreSql);
    let host = section.text("host").check(checks::id).required();
    let port = section.whole("port", 1..=65_535).or(port_of(assumed));
    let database = section.text("database").check(checks::id).required();
    let user = section.text("user").check(checks::id).required();
    let schema = section.text("schema").check(|text| Ok(Some(schema(assumed, text)?))).or(None);
    let password = access::password(&mut section, environment);
    let ca = access::authorities(&mut section);
    let timeout = section.whole("timeout_secs", 1..=600).or(60);
    let profile = section.text("profile_file").check(|path| profile(document.resolve(path)));
    let profile = profile.check(|profile| Ok(Some(profile))).or(None);
    let poll = section.whole("poll_secs", 1..=86_400).or(60);
    let approved_digest = section.text("approved_digest").check(digest).or(None);
    let tenant_dbid = section.whole("tenant_dbid", 1..=9_999_999_999).required();
    let folders = section.list("folders", checks::id).check(|folders| {
        if (1..=FOLDERS_MAX).contains(&folders.len()) {
            Ok(Some(folders.into_iter().map(|folder| folder.value).collect()))
        } else {
            let said = format!("{} folders: from 1 to {FOLDERS_MAX}", folders.len());
            let hint = "without `folders`, everything of the tenant is synchronised";
            Err(Flaw::new(Code::OutOfRange, said).hint(hint))
        }
    });
    let folders = folders.or(None);
    let queue_name_suffix = section.text("queue_name_suffix").check(checks::id);
    let queue_name_suffix = queue_name_suffix.or(default.queue_suffix);
    let queue_types = section.text("queue_types").check(queue_types).or(QueueTypes::VirtualQueue);
    let deletion_rules = section.text("deletion_rules").check(deletion_rules);
    let deletion_rules = deletion_rules.or(DeletionRules::Of2024);
    let presence_source = section.text("presence_source").check(checks::id);
    let presence_source = presence_source.or(default.source_name);
    section.finish();
    let user = user?;
    Some(ConfigDb {
        kind: kind?,
        host: host?,
        port: port? as u16,
        database: database?,
        schema: schema?.unwrap_or_else(|| schema_of(assumed, &user)),
        user,
        password: password.ok()?,
        ca: ca.ok()?,
        timeout: Duration::from_secs(timeout?),
        profile: profile?,
        poll: Duration::from_secs(poll?),
        approved_digest: approved_digest?,
        tenant_dbid: tenant_dbid? as i64,
        folders: folders?,
        queue_name_suffix: queue_name_suffix?,
        queue_types: queue_types?,
        deletion_rules: deletion_rules?,
        presence_source: presence_source?,
    })
}

fn unusable(path: &Path, said: &str) -> Flaw {
    Flaw::new(Code::NamedFileUnusable, format!("{} {said}", path.display()))
}

fn profile(path: PathBuf) -> Result<ProfileFile, Flaw> {
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|e| unusable(&path, &format!("cannot be read: {e}")))?;
    if text.len() > PROFILE_BYTES_MAX {
        return Err(unusable(&path, &format!("is larger than {PROFILE_BYTES_MAX} bytes")));
    }
    let profile = Profile::parse(&text).map_err(|e| unusable(&path, &format!(": {e}")))?;
    Ok(ProfileFile { path, profile })
}

/// A digest as a refusal names it.
fn digest(text: &str) -> Result<Option<String>, Flaw> {
    if text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(Some(text.to_ascii_lowercase()));
    }
    let said = format!("{} is not a digest", shown(text));
    Err(Flaw::new(Code::BadName, said).hint("copy the 64 digits that the refusal names"))
}

/// The words for the kinds of databases.
const KINDS: [(&str, DatabaseKind); 3] = [
    ("postgresql", DatabaseKind::PostgreSql),
    ("sqlserver", DatabaseKind::SqlServer),
    ("oracle", DatabaseKind::Oracle),
];

fn kind(text: &str) -> Result<DatabaseKind, Flaw> {
    let Some((_, kind)) = KINDS.into_iter().find(|(word, _)| *word == text) else {
        let said =
            format!("{} is neither \"postgresql\" nor \"sqlserver\" nor \"oracle\"", shown(text));
        return Err(Flaw::new(Code::UnknownChoice, said));
    };
    if kind == DatabaseKind::Oracle && !cfg!(feature = "oracle") {
        let said = "this program was built without Oracle";
        let hint = "build it with `cargo build --release --features oracle`";
        return Err(Flaw::new(Code::UnknownChoice, said).hint(hint));
    }
    Ok(kind)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn as_word<S: Serializer>(kind: &DatabaseKind, serializer: S) -> Result<S::Ok, S::Error> {
    let word = KINDS.into_iter().find(|(_, known)| known == kind);
    serializer.serialize_str(word.map_or("", |(word, _)| word))
}

fn port_of(kind: DatabaseKind) -> u64 {
    match kind {
        DatabaseKind::PostgreSql => 5432,
        DatabaseKind::SqlServer => 1433,
        DatabaseKind::Oracle => 1521,
    }
}

/// Where tables are if nothing is said; a user of Oracle has a schema of its own.
fn schema_of(kind: DatabaseKind, user: &str) -> String {
    match kind {
        DatabaseKind::PostgreSql => "public".to_owned(),
        DatabaseKind::SqlServer => "dbo".to_owned(),
        DatabaseKind::Oracle => user.to_owned(),
    }
}

/// A schema: it stands in SQL without quotes, where PostgreSQL takes capitals for small letters.
fn schema(kind: DatabaseKind, text: &str) -> Result<String, Flaw> {
    let has_capitals = kind != DatabaseKind::PostgreSql;
    let fits = |c: char| {
        c.is_ascii_lowercase()
            || c.is_ascii_digit()
            || c == '_'
            || (has_capitals && c.is_ascii_uppercase())
    };
    let is_name = text.chars().all(fits) && !text.starts_with(|c: char| c.is_ascii_digit());
    if is_name && !text.is_empty() {
        return Ok(text.to_owned());
    }
    let said = format!("{} is not the name of a schema", shown(text));
    let letters = if has_capitals { "letters" } else { "small letters" };
    Err(Flaw::new(Code::BadName, said).hint(format!("{letters}, digits and `_`")))
}

fn queue_types(text: &str) -> Result<QueueTypes, Flaw> {
    match text {
        "virtual_queue" => Ok(QueueTypes::VirtualQueue),
        "all" => Ok(QueueTypes::All),
        other => {
            let said = format!("{} is neither \"virtual_queue\" nor \"all\"", shown(other));
            Err(Flaw::new(Code::UnknownChoice, said))
        }
    }
}

fn deletion_rules(text: &str) -> Result<DeletionRules, Flaw> {
    match text {
        "2024" => Ok(DeletionRules::Of2024),
        "2023" => Ok(DeletionRules::Of2023),
        other => {
            let said = format!("{} is neither \"2024\" nor \"2023\"", shown(other));
            Err(Flaw::new(Code::UnknownChoice, said))
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use trunkline_ingest::configdb::profile::BUILT_IN;

    use super::super::tests::{LEAST, folder, load_in, write};
    use super::*;

    const SECTION: &str = r#"
[configdb]
host = "db.example"
database = "genesys"
user = "reader"
tenant_dbid = 101
"#;

    fn with(lines: &str) -> String {
        format!("{LEAST}{SECTION}{lines}")
    }

    #[test]
    fn a_section_has_the_documented_defaults() {
        let folder = folder();
        assert!(load_in(&folder, LEAST).expect("it is complete").configdb.is_none());
        let config = load_in(&folder, &with("")).expect("it is complete");
        let section = config.configdb.expect("it is there");
        assert_eq!(
            section.settings(),
            Settings { tenant_id: Some("101".to_owned()), ..Settings::default() }
        );
        assert_eq!(section.profile(), Profile::built_in());
        let database = section.database();
        assert_eq!((database.host.as_str(), database.port), ("db.example", 5432));
        assert_eq!((section.schema.as_str(), database.timeout.as_secs()), ("public", 60));
        assert_eq!((section.poll.as_secs(), section.source().approved), (60, None));
        assert!(database.password.is_none() && database.ca_pem.is_none());
    }

    #[test]
    fn what_is_left_out_depends_on_the_database() {
        let folder = folder();
        let loaded = |kind: &str| load_in(&folder, &with(&format!("kind = \"{kind}\"\n")));
        for (word, kind, port, schema) in [
            ("postgresql", DatabaseKind::PostgreSql, 5432, "public"),
            ("sqlserver", DatabaseKind::SqlServer, 1433, "dbo"),
            ("oracle", DatabaseKind::Oracle, 1521, "reader"),
        ] {
            let config = match loaded(word) {
                Err(errors) if word == "oracle" && !cfg!(feature = "oracle") => {
                    let said = errors[0].to_string();
                    assert!(
                        said.contains("E0009") && said.contains("built without Oracle"),
                        "{said}"
                    );
                    assert!(said.contains("--features oracle"), "{said}");
                    continue;
                }
                loaded => loaded.unwrap_or_else(|e| panic!("{word}: {}", e[0])),
            };
            assert!(config.redacted_toml().contains(&format!("kind = \"{word}\"")));
            let section = config.configdb.expect("it is there");
            let database = section.database();
            assert_eq!((database.kind, database.port), (kind, port), "{word}");
            assert_eq!(section.schema, schema, "{word}");
        }
        let capitals = with("kind = \"sqlserver\"\nschema = \"Genesys\"\n");
        let config = load_in(&folder, &capitals).expect("it is a name there");
        assert_eq!(config.configdb.expect("it is there").schema, "Genesys");
    }

    #[test]
    fn every_key_counts_and_what_is_shown_loads_again() {
        let folder = folder();
        let own = BUILT_IN.replace("reconstructed-15", "our own");
        write(&folder, "profile.toml", &own);
        write(&folder, "ca.pem", "-----BEGIN CERTIFICATE-----\n");
        write(&folder, "password.txt", "c4n4ry\n");
        let text = with(
            r#"port = 5433
schema = "genesys"
password_file = "password.txt"
ca_file = "ca.pem"
timeout_secs = 5
poll_secs = 7
approved_digest = "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"
profile_file = "profile.toml"
folders = ["EX_EVOLUTION", "EX PILOT"]
queue_name_suffix = "-Engage-external"
queue_types = "all"
deletion_rules = "2023"
presence_source = "Engage"
"#,
        );
        let config = load_in(&folder, &text).expect("it is complete");
        let shown = config.redacted_toml();
        assert!(!shown.contains("c4n4ry") && !format!("{config:?}").contains("c4n4ry"), "{shown}");
        let again = load_in(&folder, &shown).unwrap_or_else(|e| panic!("{shown}\n{}", e[0]));
        assert_eq!(again.redacted_toml(), shown);
        let section = config.configdb.expect("it is there");
        let settings = section.settings();
        let folders = ["EX_EVOLUTION", "EX PILOT"].map(str::to_owned).to_vec();
        assert_eq!(settings.folders, Some(folders));
        assert_eq!((settings.edition, settings.queue_types.len()), (Edition::Of2023, 4));
        assert_eq!(settings.queue_suffix, "-Engage-external");
        assert_eq!(settings.source_name, "Engage");
        assert_eq!(section.profile().name, "our own");
        let source = section.source();
        let digest = "00112233445566778899aabbccddeeff".repeat(2);
        assert_eq!((section.poll.as_secs(), source.approved), (7, Some(digest)));
        assert!(source.by_folder && source.schema == "genesys" && source.tenant == 101);
        let database = section.database();
        assert_eq!((database.port, database.timeout.as_secs()), (5433, 5));
        let password = database.password.expect("there is one");
        assert_eq!((password.expose_secret(), database.ca_pem.is_some()), ("c4n4ry", true));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let folder = folder();
        write(&folder, "profile.toml", &BUILT_IN.replace("[skill]", "[skills]"));
        for (lines, code, said) in [
            ("schema = \"Gen; drop\"", "E0015", "is not the name of a schema"),
            ("schema = \"Genesys\"", "E0015", "is not the name of a schema"),
            ("kind = \"mysql\"", "E0009", "is neither"),
            ("queue_types = \"some\"", "E0009", "is neither"),
            ("deletion_rules = \"2022\"", "E0009", "is neither"),
            ("folders = []", "E0008", "0 folders: from 1 to 1000"),
            ("password = \"x\"", "E0006", "secrets are given by reference only"),
            ("password_file = \"./no.txt\"", "E0014", "cannot be read"),
            ("password_file = \"./x\"\npassword_env = \"SECRET\"", "E0013", "exclude each other"),
            ("profile_file = \"none.toml\"", "E0016", "cannot be read"),
            ("profile_file = \"profile.toml\"", "E0016", "`skills`, which is not known"),
            ("ca_file = \"directory.json\"", "E0016", "holds no certificate"),
            ("poll_secs = 0", "E0008", "not between 1 and 86400"),
            ("approved_digest = \"yes\"", "E0015", "is not a digest"),
            ("tennant = 1", "E0004", "unknown key"),
        ] {
            let errors = load_in(&folder, &with(lines)).expect_err(lines);
            let printed: Vec<String> = errors.iter().map(ToString::to_string).collect();
            let is_said = |text: &String| text.contains(code) && text.contains(said);
            assert!(printed.iter().any(is_said), "{lines}: {printed:?}");
        }
        let errors = load_in(&folder, &format!("{LEAST}[configdb]\n")).expect_err("incomplete");
        let keys: Vec<&str> = errors.iter().map(|error| error.key.as_str()).collect();
        let required = ["host", "database", "user", "tenant_dbid"];
        assert_eq!(keys, required.map(|key| format!("configdb.{key}")));
    }
}
