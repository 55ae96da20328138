//! What follows from an Engage configuration, and from each kind of change of it.
//!
//! `cases/config/sample.txt` says what follows from the tenant of `sample.jsonl`. Each file of
//! `cases/config/changes/` begins there:
//!
//! | line | meaning |
//! |---|---|
//! | `set NAME VALUE` | before the tenant is read: `edition 2023`, `folders A,B`, `folders *`, ... |
//! | `put JSON` | an object is this now |
//! | `edit KEY JSON` | fields of an object are these now |
//! | `gone KEY` | an object is gone |
//! | `restart`, `restart NAME VALUE` | the processor begins anew from its state, set so |
//! | `poll` | the poll ends |
//! | `then ...` | all that is told by that, in order; `then nothing` |

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use trunkline_processors::Processor;
use trunkline_processors::config::report::ReportCode;
use trunkline_processors::config::settings::{Edition, Settings};
use trunkline_processors::config::{ConfigProcessor, raw_record};
use trunkline_schemas::codec::{ConfigValue, DesiredValue, DirectoryValue, decode};
use trunkline_schemas::configdb::{ConfigObject, DnType, Poll};
use trunkline_schemas::topics::{COMMAND_CONFIG, DIRECTORY, OUTCOME_CONFIG, RAW_CONFIGDB};
use trunkline_schemas::{ConfigOutcome, DesiredObject, DirectoryRow, Record, Stored, Topic};

mod generated;

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/config")
}

fn read(name: &str) -> String {
    let path = cases().join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines().map(str::trim));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

fn pilot() -> Settings {
    let folders = ["EX_EVOLUTION", "EX_PILOT"].map(str::to_owned).to_vec();
    Settings { folders: Some(folders), ..Settings::default() }
}

fn object(json: &str) -> ConfigObject {
    serde_json::from_str(json).unwrap_or_else(|e| panic!("{json}: {e}"))
}

/// A processor, the log before it and the state behind it.
struct Rig {
    processor: ConfigProcessor,
    objects: BTreeMap<String, ConfigObject>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    outputs: Vec<(Topic, Record)>,
    offset: i64,
    polls: i64,
}

impl Rig {
    fn new(settings: Settings) -> Self {
        Self {
            processor: ConfigProcessor::new(settings),
            objects: BTreeMap::new(),
            state: BTreeMap::new(),
            outputs: Vec::new(),
            offset: 0,
            polls: 0,
        }
    }

    /// The tenant of the sample, polled.
    fn sample(settings: Settings) -> Self {
        let mut rig = Self::new(settings);
        for line in read("sample.jsonl").lines() {
            rig.put(object(line));
        }
        rig
    }

    fn apply(&mut self, record: Record) {
        let (topic, partition, offset) = (RAW_CONFIGDB, 0, self.offset);
        self.offset += 1;
        self.processor.apply(&Stored { topic, partition, offset, append_time_ms: 5, record });
        let effects = self.processor.drain();
        self.outputs.extend(effects.outputs);
        for (key, value) in effects.state {
            match value {
                Some(value) => drop(self.state.insert(key, value)),
                None => drop(self.state.remove(&key)),
            }
        }
    }

    fn put(&mut self, object: ConfigObject) {
        self.apply(raw_record(&object));
        self.objects.insert(object.key(), object);
    }

    fn edit(&mut self, key: &str, fields: &str) {
        let known = self.objects.get(key).unwrap_or_else(|| panic!("{key} is not there"));
        let mut value = serde_json::to_value(known).expect("an object is JSON");
        let fields: BTreeMap<String, Value> =
            serde_json::from_str(fields).unwrap_or_else(|e| panic!("{fields}: {e}"));
        let (_, inner) = value.as_object_mut().and_then(|o| o.iter_mut().next()).expect("one");
        for (name, field) in fields {
            assert!(inner.get(&name).is_some(), "{key} has no field {name}");
            inner[&name] = field;
        }
        self.put(serde_json::from_value(value).expect("an object"));
    }

    fn remove(&mut self, key: &str) {
        assert!(self.objects.remove(key).is_some(), "{key} is not there");
        self.apply(Record::tombstone(key));
    }

    fn poll(&mut self) -> Vec<String> {
        self.polls += 1;
        let objects = self.objects.len() as i64;
        let poll = Poll { at_ms: self.polls, objects, digest: self.polls.to_string() };
        self.apply(raw_record(&ConfigObject::Poll(poll)));
        std::mem::take(&mut self.outputs)
            .iter()
            .map(|(topic, record)| told(*topic, record))
            .collect()
    }

    fn restart(&mut self, settings: Settings) {
        let mut processor = ConfigProcessor::new(settings);
        for (key, value) in &self.state {
            let saved = ConfigProcessor::read(key, value).expect("it can be read");
            processor.restore(saved);
        }
        assert!(processor.drain().state.is_empty(), "what was restored is no change");
        self.processor = processor;
    }
}

fn joined(items: impl IntoIterator<Item = String>, by: &str) -> String {
    let items: Vec<String> = items.into_iter().collect();
    if items.is_empty() { "-".to_owned() } else { items.join(by) }
}

fn desired(object: &DesiredObject) -> String {
    match object {
        DesiredObject::Source(it) => format!("source {:?}", it.name),
        DesiredObject::Skill(it) => {
            let of = joined(it.skills.iter().map(i64::to_string), " ");
            format!("skill {:?} of {of}", it.name)
        }
        DesiredObject::WrapUpCode(it) => {
            format!("wrap-up-code {:?} of {}", it.name, it.values.join(", "))
        }
        DesiredObject::User(it) => {
            let tenths = |tenths: i32| format!("{}.{}", tenths / 10, tenths % 10);
            let skill = it.skills.iter();
            let skill = skill.map(|s| format!("{} {}", s.name, tenths(s.proficiency_tenths)));
            format!(
                "user {} {:?} mail {} external {} {} {:?} ids {} persons {} skills {}",
                it.user_name,
                it.display_name,
                it.e_mail.as_deref().unwrap_or("-"),
                it.external_id,
                if it.active { "active" } else { "inactive" },
                it.kind,
                joined(it.employee_ids.clone(), " "),
                joined(it.persons.iter().map(i64::to_string), " "),
                joined(skill, ", "),
            )
        }
        DesiredObject::Queue(it) => {
            let dns = it.dns.iter().map(|at| format!("{}@{}", at.dn, at.switch));
            format!(
                "queue {:?} peer {} {:?} members {} dns {} codes {}{}",
                it.name,
                it.peer_id,
                it.description,
                joined(it.members.clone(), " "),
                joined(dns, " "),
                it.wrap_up_codes.len(),
                if it.delete { " delete" } else { "" },
            )
        }
    }
}

/// An output as the files write it.
fn told(topic: Topic, record: &Record) -> String {
    let key = String::from_utf8_lossy(&record.key).into_owned();
    let Some(value) = record.value.as_deref() else {
        let what = if topic == COMMAND_CONFIG { "leave" } else { "forget" };
        return format!("{what} {key}");
    };
    if topic == COMMAND_CONFIG {
        let object = decode::<DesiredValue>(value).expect("a desired object").object;
        assert_eq!(object.key(), key, "a record stands under the key of its object");
        return desired(&object);
    }
    if topic == DIRECTORY {
        let row = decode::<DirectoryValue>(value).expect("a row").row;
        let DirectoryRow::Extension(row) = row else { panic!("{row:?} is no extension") };
        let line = format!("extension {}@{}", row.dn, row.switch);
        assert_eq!(line.replace(' ', "/"), key);
        return line;
    }
    if topic == OUTCOME_CONFIG {
        let outcome = decode::<ConfigOutcome>(value).expect("an outcome");
        assert_eq!(outcome.object, key);
        let (code, reason) = (outcome.code.expect("a code"), outcome.reason.unwrap_or_default());
        return format!("report {code} {key} {reason}").trim_end().to_owned();
    }
    format!("{topic} {:?}", record.header("dead-why").map(String::from_utf8_lossy))
}

#[test]
fn the_sample_tenant_concludes_as_worked_out_by_hand() {
    let mut rig = Rig::sample(pilot());
    assert_eq!(rig.outputs, [], "nothing is told before the poll has ended");
    let expected: Vec<String> =
        lines(&read("sample.txt")).map(|(_, line)| line.to_owned()).collect();
    assert_eq!(rig.poll(), expected);
    assert_eq!(rig.poll(), Vec::<String>::new(), "the same again is nothing new");
    let roles = |name: &str| {
        let object = &rig.processor.wanted()[name];
        let DesiredObject::User(user) = object else { panic!("{object:?} is no user") };
        user.roles.clone()
    };
    let agent = roles("user/alice.smith@example.com");
    assert_eq!(
        (agent.len(), agent[0].as_str(), agent[26].as_str()),
        (27, "Employee", "Custom Role 25")
    );
    assert!(agent.contains(&"Custom Role 16".to_owned()), "a value of two parts is whole");
    assert_eq!(roles("user/eric.evans@example.com"), ["Employee", "User", "Supervisor"]);
    assert_eq!(roles("user/fay.frost@example.com"), ["Employee"]);
}

#[test]
fn the_order_of_a_poll_does_not_matter_and_neither_does_a_restart() {
    let expected = Rig::sample(pilot()).poll();
    let mut rig = Rig::new(pilot());
    let text = read("sample.jsonl");
    for line in text.lines().rev() {
        rig.put(object(line));
        rig.restart(pilot());
    }
    assert_eq!(rig.poll(), expected);
    rig.restart(pilot());
    assert_eq!(rig.poll(), Vec::<String>::new());
    assert_eq!(rig.processor.reports().count(), 9);
    assert_eq!(rig.processor.extensions().count(), 8);
}

fn set(settings: &mut Settings, name: &str, value: &str) {
    match (name, value) {
        ("edition", "2023") => settings.edition = Edition::Of2023,
        ("queue_types", "all") => {
            settings.queue_types =
                DnType::ALL.into_iter().filter(|k| *k != DnType::Extension).collect();
        }
        ("folders", "*") => settings.folders = None,
        ("folders", names) => {
            settings.folders = Some(names.split(',').map(str::to_owned).collect());
        }
        ("queue_suffix", suffix) => suffix.clone_into(&mut settings.queue_suffix),
        ("disabled_codes", "no") => settings.disabled_codes = false,
        ("tenant_name", name) => settings.tenant_name = Some(name.to_owned()),
        ("tenant_id", id) => settings.tenant_id = Some(id.to_owned()),
        _ => panic!("there is no setting {name} {value}"),
    }
}

fn run_case(text: &str) -> Result<usize, String> {
    let mut settings = pilot();
    let (mut rig, mut told) = (None::<Rig>, None::<Vec<String>>);
    let (mut expected, mut polls) = (Vec::new(), 0);
    let end = (usize::MAX, "end");
    for (number, line) in lines(text).chain([end]) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "then" {
            expected.extend((rest != "nothing").then(|| rest.to_owned()));
            continue;
        }
        if let Some(told) = told.take() {
            let wanted = std::mem::take(&mut expected);
            if told != wanted {
                let (told, wanted) = (told.join("\n  "), wanted.join("\n  "));
                return Err(format!("before line {number}\n told:\n  {told}\n not:\n  {wanted}"));
            }
            polls += 1;
        }
        if word == "set" && rig.is_none() {
            let (name, value) = rest.split_once(' ').expect("a name and a value");
            set(&mut settings, name, value);
            continue;
        }
        let rig = rig.get_or_insert_with(|| {
            let mut rig = Rig::sample(settings.clone());
            rig.poll();
            rig
        });
        let pair = || rest.split_once(' ').unwrap_or_else(|| panic!("line {number}: two words"));
        match word {
            "put" => rig.put(object(rest)),
            "edit" => rig.edit(pair().0, pair().1),
            "gone" => rig.remove(rest),
            "restart" => {
                if !rest.is_empty() {
                    set(&mut settings, pair().0, pair().1);
                }
                rig.restart(settings.clone());
            }
            "poll" => told = Some(rig.poll()),
            "end" => {}
            other => panic!("line {number}: there is no {other}"),
        }
    }
    Ok(polls)
}

#[test]
fn each_change_has_the_consequences_worked_out_by_hand() {
    let folder = cases().join("changes");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("there are cases")
        .map(|entry| entry.expect("the folder can be listed").path())
        .collect();
    files.sort();
    assert!(files.len() >= 5, "only {} cases were found", files.len());
    let mut failed = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a case can be read");
        match run_case(&text) {
            Ok(polls) => assert!(polls > 0, "{} has no poll", file.display()),
            Err(why) => failed.push(format!("{} {why}", file.display())),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn every_report_is_made_by_some_case() {
    let mut texts = read("sample.txt");
    for entry in fs::read_dir(cases().join("changes")).expect("there are cases") {
        let path = entry.expect("the folder can be listed").path();
        texts += &fs::read_to_string(path).expect("a case can be read");
    }
    let missing: Vec<_> = ReportCode::all()
        .filter(|code| !texts.contains(&format!("report {} ", code.name())))
        .collect();
    assert!(missing.is_empty(), "no case reports {missing:?}");
}

#[test]
fn what_is_no_object_goes_to_the_dead_letters() {
    let mut rig = Rig::new(Settings::default());
    let tenant =
        ConfigObject::Tenant(trunkline_schemas::configdb::Tenant { dbid: 1, name: "t".to_owned() });
    let mut other = raw_record(&tenant);
    other.key = b"tenant/2".to_vec();
    let garbage = Record::new("tenant/1", b"no Avro".to_vec());
    for (record, why) in [
        (other, "the value is of tenant/1"),
        (garbage, "not a value in the Confluent wire format"),
        (Record::tombstone("host/1"), "a tombstone of no object"),
    ] {
        rig.apply(record.clone());
        let outputs = std::mem::take(&mut rig.outputs);
        let [(topic, dead)] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!(
            (topic.name(), &dead.key, &dead.value),
            ("dead.config", &record.key, &record.value)
        );
        let said = String::from_utf8_lossy(dead.header("dead-why").expect("a reason")).into_owned();
        assert!(said.contains(why), "{said}");
    }
    assert!(rig.state.is_empty());
    assert!(decode::<ConfigValue>(&raw_record(&tenant).value.expect("a value")).is_ok());
}
