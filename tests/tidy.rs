//! What a machine can keep of the house style, so that no person has to. Each rule that fails names
//! its place and what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Columns of a line, and lines of a function from its `fn` to its closing brace.
const COLUMNS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;
/// Functions that may be longer: file, function, reason.
const LONG_FUNCTIONS: [(&str, &str, &str); 1] = [(
    "processors/src/conversation/flow.rs",
    "step",
    "the one table of the machine, matched on (state, input), every arm written",
)];
/// What the crates of the core may depend on (DESIGN law 1). They do no I/O and know no clock.
const CORE: [(&str, &[&str]); 2] = [
    ("schemas", &["apache-avro", "serde", "serde_json", "sha2", "thiserror", "uuid", "jiff"]),
    ("processors", &["trunkline-schemas", "foldhash", "serde", "serde_json", "thiserror"]),
];
/// Who must not depend on whom, in whatever way: the edges of the code are those of the data, and
/// what judges shares nothing with what it judges.
const WALLS: [(&str, &[&str]); 5] = [
    ("schemas", &["ingest", "processors", "sinks", "sim"]),
    ("ingest", &["processors", "sinks", "sim"]),
    ("processors", &["ingest", "sinks", "sim"]),
    ("sinks", &["ingest", "processors", "sim"]),
    ("sim", &["schemas", "ingest", "processors", "sinks"]),
];
/// Folders that are no part of the source.
const OUTSIDE: [&str; 3] = ["target", ".git", "trunkline-data"];
/// Kinds of files that people or programs read as text.
const TEXT: [&str; 11] =
    ["rs", "md", "toml", "json", "jsonl", "txt", "avsc", "yml", "yaml", "sh", "proto"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every text file by its path from the root, in order, with what it says.
fn files(kinds: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(root().join(&folder)).expect("the source can be listed");
        for entry in entries {
            let entry = entry.expect("the source can be listed");
            let (name, path) = (entry.file_name(), folder.join(entry.file_name()));
            let is_outside = OUTSIDE.iter().any(|outside| name.to_str() == Some(outside));
            if entry.path().is_dir() {
                folders.extend((!is_outside).then_some(path));
                continue;
            }
            let extension = path.extension().and_then(|extension| extension.to_str());
            if extension.is_some_and(|extension| kinds.contains(&extension)) {
                let text = fs::read(entry.path()).expect("the source can be read");
                let name = path.to_str().expect("paths are UTF-8").to_owned();
                found.insert(name, String::from_utf8_lossy(&text).into_owned());
            }
        }
    }
    assert!(found.len() > 3, "where is the source? {found:?}");
    found
}

/// The files that are the program, not its tests.
fn program() -> BTreeMap<String, String> {
    let mut files = files(&["rs"]);
    files.retain(|path, _| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_test = name == "tests.rs" || name.ends_with("_tests.rs");
        !is_test && !path.split('/').any(|folder| folder == "tests")
    });
    files
}

/// Source with what stands in comments, strings and character literals made blank, line by line as
/// it was: what is left of braces and words is code.
fn code(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < bytes.len() {
        let length = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_comment(&bytes[at..]),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment(&bytes[at..]),
            b'"' => string(&bytes[at..]),
            b'r' if !is_word(&bytes[..at]) => raw_string(&bytes[at..]),
            b'\'' => character(&bytes[at..]),
            _ => 0,
        };
        if length == 0 {
            out.push(if bytes[at].is_ascii() { char::from(bytes[at]) } else { ' ' });
            at += 1;
        } else {
            let blank = |byte: &u8| if *byte == b'\n' { '\n' } else { ' ' };
            out.extend(bytes[at..at + length].iter().map(blank));
            at += length;
        }
    }
    out
}

fn is_word(before: &[u8]) -> bool {
    before.last().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

fn line_comment(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len())
}

fn block_comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if bytes[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += 1;
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn raw_string(bytes: &[u8]) -> usize {
    let hashes = bytes[1..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let end = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let body = 2 + hashes;
    let found = bytes[body..].windows(end.len()).position(|window| window == end.as_slice());
    found.map_or(bytes.len(), |found| body + found + end.len())
}

/// A character literal; a lifetime is none.
fn character(bytes: &[u8]) -> usize {
    if bytes.get(1) == Some(&b'\\') {
        let end = bytes.iter().skip(3).position(|byte| *byte == b'\'');
        return end.map_or(0, |end| end + 4);
    }
    // One character of up to four bytes, then the quote.
    let first = bytes.get(1).copied().unwrap_or_default();
    let width = match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    };
    if bytes.get(1 + width) == Some(&b'\'') { 2 + width } else { 0 }
}

/// Where the block that begins with the first `{` at or after `from` ends, just behind its brace;
/// nothing if a `;` comes first. A `;` inside brackets belongs to an array type.
fn block_end(code: &str, from: usize) -> Option<usize> {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b';' if braces == 0 && brackets == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Code without the modules and functions that only tests have.
fn without_tests(code: &str) -> String {
    let mut code = code.to_owned();
    while let Some(at) = code.find("#[cfg(test)]") {
        let end = block_end(&code, at).unwrap_or(at + "#[cfg(test)]".len());
        let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
        let blanked: String = code[at..end].chars().map(blank).collect();
        code.replace_range(at..end, &blanked);
    }
    code
}

/// Name, line and length in lines of every function.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let name: String =
            code[at + 3..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if is_word(&code.as_bytes()[..at]) || name.is_empty() {
            continue;
        }
        if let Some(end) = block_end(code, at) {
            let line = code[..at].matches('\n').count() + 1;
            found.push((name, line, code[at..end].matches('\n').count() + 1));
        }
    }
    found
}

#[test]
fn the_counter_reads_rust() {
    let source = r##"
fn one<'a>(x: &'a str) -> [u8; 2] {
    // a brace in a comment: {
    let s = "and in a string: { \" {";
    let r = r#"and " raw: {"#; /* and { /* nested { */ { */
    let c = ('{', '\'', '\u{7b}', 'é');
}
trait T { fn bodiless(&self) -> [u8; 3]; fn two() {} }
#[cfg(test)]
mod tests {
    fn three() {
    }
}
#[cfg(test)]
mod elsewhere;
fn four() { let f: fn (u8) = g; }
"##;
    let wanted = [("one", 2, 6), ("two", 8, 1), ("four", 16, 1)];
    let wanted: Vec<_> = wanted.iter().map(|(n, at, len)| ((*n).to_owned(), *at, *len)).collect();
    assert_eq!(functions(&without_tests(&code(source))), wanted);
}

#[test]
fn lines_fit_on_a_page() {
    let mut long = Vec::new();
    for (path, text) in program() {
        for (number, line) in (1..).zip(text.lines()) {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                long.push(format!("{path}:{number}: {columns} columns, at most {COLUMNS_MAX}"));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn functions_can_be_seen_at_once() {
    let (mut long, mut exempt, mut seen) = (Vec::new(), BTreeSet::new(), 0);
    for (path, text) in program() {
        for (name, line, lines) in functions(&without_tests(&code(&text))) {
            seen += 1;
            if lines <= FUNCTION_LINES_MAX {
                continue;
            }
            let exemption = LONG_FUNCTIONS.iter().find(|row| row.0 == path && row.1 == name);
            match exemption {
                Some(row) => drop(exempt.insert(row)),
                None => long.push(format!(
                    "{path}:{line}: fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}"
                )),
            }
        }
    }
    assert!(seen > 500, "only {seen} functions were found");
    assert!(long.is_empty(), "{}", long.join("\n"));
    let reasons = LONG_FUNCTIONS.iter().all(|row| !row.2.is_empty());
    let needless = LONG_FUNCTIONS.iter().filter(|row| !exempt.contains(row)).collect::<Vec<_>>();
    assert!(reasons && needless.is_empty(), "exemptions without need: {needless:?}");
}

/// What a manifest says of its dependencies: names by kind.
fn dependencies(folder: &str) -> BTreeMap<&'static str, BTreeSet<String>> {
    let path = Path::new(folder).join("Cargo.toml");
    let text = read(path.to_str().expect("UTF-8"));
    let manifest: toml::Table = text.parse().unwrap_or_else(|error| panic!("{folder}: {error}"));
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let names = |kind| {
        let table = manifest.get(kind).and_then(toml::Value::as_table);
        table.into_iter().flat_map(toml::Table::keys).cloned().collect()
    };
    assert!(!manifest.contains_key("target"), "{folder}: dependencies by target are not foreseen");
    kinds.into_iter().map(|kind| (kind, names(kind))).collect()
}

fn members() -> Vec<String> {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("the manifest is TOML");
    let members = manifest["workspace"]["members"].as_array().expect("a list of members");
    let members = members.iter().map(|member| member.as_str().expect("a folder").to_owned());
    std::iter::once(String::new()).chain(members).collect()
}

#[test]
fn the_core_depends_on_nothing_that_acts() {
    for (folder, allowed) in CORE {
        let found = &dependencies(folder)["dependencies"];
        let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
        let more: Vec<_> = found.difference(&allowed.iter().copied().collect()).copied().collect();
        assert!(more.is_empty(), "{folder} depends on {more:?}: the core is functions over data");
    }
}

#[test]
fn the_edges_of_the_code_are_those_of_the_data() {
    for (folder, others) in WALLS {
        let kinds = dependencies(folder);
        for other in others {
            let name = format!("trunkline-{other}");
            let kind = kinds.iter().find(|(_, names)| names.contains(&name));
            assert!(kind.is_none(), "{folder} depends on {other}: {kind:?}");
        }
    }
}

#[test]
fn every_member_keeps_the_lints_of_the_workspace() {
    for member in members() {
        let path = Path::new(&member).join("Cargo.toml");
        let manifest: toml::Table =
            read(path.to_str().expect("UTF-8")).parse().expect("the manifest is TOML");
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        assert_eq!(lints.and_then(toml::Value::as_bool), Some(true), "member {member:?}");
    }
}

#[test]
fn every_dependency_is_accounted_for() {
    let page = "docs/adr/0002-dependencies.md";
    let text = read(page);
    let mut direct = BTreeSet::new();
    let outside = "tests/containers".to_owned();
    for member in members().into_iter().chain([outside]) {
        direct.extend(dependencies(&member).into_values().flatten());
    }
    direct.retain(|name| name != "trunkline" && !name.starts_with("trunkline-"));
    let row = |name: &String| {
        let begins = format!("| `{name}` |");
        text.lines().any(|line| line.starts_with(&begins))
    };
    let missing: Vec<_> = direct.iter().filter(|name| !row(name)).collect();
    assert!(
        missing.is_empty(),
        "{page} has no row that begins with \"| `name` |\" for {missing:?}"
    );
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let stale: Vec<&str> = rows.map(|row| row.0).filter(|name| !direct.contains(*name)).collect();
    assert!(stale.is_empty(), "{page} has rows for {stale:?}, on which nothing depends");
}

/// Texts between double quotes that begin so, in the part of a file that is no test.
fn quoted(path: &str, begins: &str) -> BTreeSet<String> {
    let text = read(path);
    let program = text.split("#[cfg(test)]").next().unwrap_or_default();
    let is_name = |part: &&str| {
        part.starts_with(begins)
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    program.split('"').skip(1).step_by(2).filter(is_name).map(str::to_owned).collect()
}

#[test]
fn every_reason_is_explained() {
    let source = read("processors/src/conversation/reason.rs");
    let rows = source.lines().filter_map(|line| line.trim().strip_prefix("(Reason::"));
    let codes = rows.filter_map(|row| row.split('"').nth(1));
    let codes: BTreeSet<&str> = codes.collect();
    assert!(codes.contains("internal") && codes.len() > 10, "{codes:?}");
    let page = read("docs/call-flows.md");
    let missing: Vec<_> =
        codes.iter().filter(|code| !page.contains(&format!("`{code}`"))).collect();
    assert!(missing.is_empty(), "docs/call-flows.md does not explain {missing:?}");
}

#[test]
fn every_metric_is_explained() {
    let names = quoted("src/admin/metrics.rs", "trunkline_");
    assert!(names.contains("trunkline_records_in_total") && names.len() > 10, "{names:?}");
    let page = read("docs/operations.md");
    let missing: Vec<_> =
        names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/operations.md does not explain {missing:?}");
}

#[test]
fn nothing_is_left_to_be_done() {
    // In two halves, so that this file does not find itself.
    let words = [("todo", "!("), ("unimplemented", "!("), ("#[ig", "nore"), ("dbg", "!(")];
    let words: Vec<String> = words.iter().map(|(one, two)| format!("{one}{two}")).collect();
    let mut found = Vec::new();
    for (path, text) in files(&["rs"]) {
        let code = code(&text);
        for (number, line) in (1..).zip(code.lines()) {
            let word = words.iter().find(|word| line.contains(word.as_str()));
            found.extend(word.map(|word| format!("{path}:{number}: {word}")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let homes = [("/wo", "rk/"), ("/ho", "me/"), ("/ro", "ot/"), ("/Us", "ers/")];
    let homes: Vec<String> = homes.iter().map(|(one, two)| format!("{one}{two}")).collect();
    let mut found = Vec::new();
    for (path, text) in files(&TEXT) {
        for (number, line) in (1..).zip(text.lines()) {
            let home = homes.iter().find(|home| line.contains(home.as_str()));
            found.extend(home.map(|home| format!("{path}:{number}: {home}")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
