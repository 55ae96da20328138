//! A directory given as one JSON file, read with the same care as the configuration.

use std::collections::BTreeMap;
use std::path::Path;

use trunkline_schemas::directory::{
    Agent, DirectoryFile, DnAt, Extension, PresenceIds, Queue, Server, WrapUpCode,
};

use super::checks;
use super::codes::Code;
use super::document::{ConfigError, Document, Flaw, Syntax};
use super::reader::{Reader, Unique};
use super::tree::Span;

/// Bytes of a directory file; one of 100,000 agents has about 20 MB.
const DIRECTORY_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Reads and checks a directory file.
///
/// # Errors
/// All problems of the file, in the order of their places: unknown and missing members, empty ids,
/// and whatever stands in it twice. Two agents at one DN are such a problem, since a call at that
/// DN would be anybody's.
pub fn load(file: &Path) -> Result<DirectoryFile, Vec<ConfigError>> {
    read(file, true)
}

/// Reads and checks a file that adds to the directory which the synchronisation makes. Its servers
/// and the logins of its agents count, and no id need be there.
///
/// # Errors
/// As [`load`].
pub(super) fn load_addition(file: &Path) -> Result<DirectoryFile, Vec<ConfigError>> {
    read(file, false)
}

fn read(file: &Path, has_ids: bool) -> Result<DirectoryFile, Vec<ConfigError>> {
    let document = Document::read(file, Syntax::Json, DIRECTORY_BYTES_MAX)?;
    let node = document.parse();
    let top = node.as_ref().and_then(|node| Reader::new(&document, node));
    let directory = top.and_then(|top| whole(top, has_ids));
    let errors = document.into_errors();
    match directory {
        Some(directory) if errors.is_empty() => Ok(directory),
        _ => Err(errors),
    }
}

fn whole(mut top: Reader<'_>, has_ids: bool) -> Option<DirectoryFile> {
    let servers = servers(&mut top);
    let agents = agents(&mut top, has_ids);
    let queues = queues(&mut top);
    let extensions = extensions(&mut top);
    let wrap_up_codes = wrap_up_codes(&mut top);
    let source_id = top.text("sourceId").check(checks::id);
    let source_id = if has_ids { source_id.required() } else { source_id.or(String::new()) };
    let presence = presence(&mut top);
    top.finish();
    Some(DirectoryFile {
        servers: servers?,
        agents: agents?,
        queues: queues?,
        extensions: extensions?,
        wrap_up_codes: wrap_up_codes?,
        source_id: source_id?,
        presence,
    })
}

/// The system presences (gc-api section 3.1), each as Genesys Cloud may spell it.
const SYSTEM_PRESENCES: [&str; 11] = [
    "Available",
    "Away",
    "Break",
    "Busy",
    "Idle",
    "Meal",
    "Meeting",
    "Offline",
    "On Queue",
    "OnQueue",
    "Training",
];

/// Ids for the states of users, where there are any that are right.
fn presence(top: &mut Reader<'_>) -> Option<PresenceIds> {
    if !top.has("presence") {
        return None;
    }
    let mut section = top.section("presence");
    let source_id = section.text("sourceId").check(checks::id).required();
    let mut names = section.section("definitions");
    let mut definitions = BTreeMap::new();
    for name in SYSTEM_PRESENCES {
        if let Some(id) = names.text(name).check(checks::id).placed() {
            definitions.insert(name.to_owned(), id.value);
        }
    }
    names.finish();
    section.finish();
    Some(PresenceIds { source_id: source_id?, definitions })
}

/// Reads every element, so that each reports its problems, then keeps them if all are good.
fn each<'d, T>(
    top: &mut Reader<'d>,
    key: &'static str,
    read: impl FnMut(Reader<'d>) -> Option<T>,
) -> Option<Vec<T>> {
    let rows: Vec<Option<T>> = top.sections(key)?.into_iter().map(read).collect();
    rows.into_iter().collect()
}

fn servers(top: &mut Reader<'_>) -> Option<Vec<Server>> {
    let mut names = Unique::new(top.document(), "server");
    each(top, "servers", |mut row| {
        let name = row.text("name").check(checks::id).required_placed();
        let switch = row.text("switch").check(checks::id).required();
        row.finish();
        let name = name?;
        names.add(&name.value, &name.key, &name.span);
        Some(Server { name: name.value, switch: switch? })
    })
}

fn agents(top: &mut Reader<'_>, has_ids: bool) -> Option<Vec<Agent>> {
    let document = top.document();
    let mut people = Unique::new(document, "employee id");
    let mut users = Unique::new(document, "user id");
    let mut logins = Logins { document, seen: BTreeMap::new() };
    each(top, "agents", |mut row| {
        let employee_id = row.text("employeeId").check(checks::id).required_placed();
        let user_id = row.text("userId").check(checks::id);
        let user_id = if has_ids { user_id.required_placed() } else { user_id.placed() };
        let who = employee_id.as_ref().map_or("?", |placed| placed.value.as_str());
        let at = each(&mut row, "logins", |mut login| {
            let dn = login.text("dn").check(checks::id).required_placed();
            let switch = login.text("switch").check(checks::id).required();
            login.finish();
            let (dn, switch) = (dn?, switch?);
            logins.add(who, (&dn.value, &switch), &dn.key, &dn.span);
            Some(DnAt { dn: dn.value, switch })
        });
        row.finish();
        let employee_id = employee_id?;
        people.add(&employee_id.value, &employee_id.key, &employee_id.span);
        if let Some(user_id) = &user_id {
            users.add(&user_id.value, &user_id.key, &user_id.span);
        }
        let user_id = user_id.map(|placed| placed.value);
        let user_id = if has_ids { user_id? } else { user_id.unwrap_or_default() };
        Some(Agent { employee_id: employee_id.value, user_id, logins: at? })
    })
}

/// Who is at which DN: the one check whose message has to name both people.
struct Logins<'d> {
    document: &'d Document,
    seen: BTreeMap<(String, String), (String, usize)>,
}

impl Logins<'_> {
    fn add(&mut self, who: &str, (dn, switch): (&str, &str), key: &str, span: &Span) {
        let line = self.document.line(span);
        let place = (switch.to_owned(), dn.to_owned());
        let Some((first, line)) = self.seen.get(&place) else {
            self.seen.insert(place, (who.to_owned(), line));
            return;
        };
        let said = format!(
            "agent {who:?} is at DN {dn:?} of switch {switch:?}, where agent {first:?} is already \
             (line {line})"
        );
        self.document.report(Flaw::new(Code::Duplicate, said), key, Some(span.clone()));
    }
}

fn queues(top: &mut Reader<'_>) -> Option<Vec<Queue>> {
    let mut names = Unique::new(top.document(), "queue");
    each(top, "queues", |mut row| {
        let dn = row.text("dn").check(checks::id).required_placed();
        let switch = row.text("switch").check(checks::id).required();
        let queue_id = row.text("queueId").check(checks::id).required();
        row.finish();
        let (dn, switch) = (dn?, switch?);
        names.add(&format!("{}@{switch}", dn.value), &dn.key, &dn.span);
        Some(Queue { dn: dn.value, switch, queue_id: queue_id? })
    })
}

fn extensions(top: &mut Reader<'_>) -> Option<Vec<Extension>> {
    let mut names = Unique::new(top.document(), "extension");
    each(top, "extensions", |mut row| {
        let dn = row.text("dn").check(checks::id).required_placed();
        let switch = row.text("switch").check(checks::id).required();
        row.finish();
        let (dn, switch) = (dn?, switch?);
        names.add(&format!("{}@{switch}", dn.value), &dn.key, &dn.span);
        Some(Extension { dn: dn.value, switch })
    })
}

fn wrap_up_codes(top: &mut Reader<'_>) -> Option<Vec<WrapUpCode>> {
    let mut names = Unique::new(top.document(), "wrap-up code");
    each(top, "wrapUpCodes", |mut row| {
        let name = row.text("name").check(checks::id).required_placed();
        let id = row.text("id").check(checks::id).required();
        row.finish();
        let name = name?;
        names.add(&name.value, &name.key, &name.span);
        Some(WrapUpCode { name: name.value, id: id? })
    })
}
