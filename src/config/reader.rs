//! Reads a tree key by key. What is asked for is what is known: a key nobody asked for is unknown,
//! and no problem ends the reading, so that one run reports them all.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::codes::Code;
use super::document::{Document, Flaw, Syntax, sounds_secret};
use super::tree::{Entry, Node, Shape, Span};

/// Characters of a text shown in a message.
const SHOWN_MAX: usize = 40;
/// Bytes of a key that is still compared with the known ones.
const COMPARED_MAX: usize = 64;

/// A value with the key it has and the place it stands at.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) key: String,
    pub(super) span: Span,
}

/// One table.
pub(super) struct Reader<'d> {
    document: &'d Document,
    entries: &'d [Entry],
    path: String,
    span: Option<Span>,
    asked: Vec<&'static str>,
    /// The table is missing and that is reported, so its missing keys need not be.
    reported: bool,
}

/// The value of one key, or why there is none.
pub(super) struct Field<'d, T> {
    document: &'d Document,
    key: String,
    span: Option<Span>,
    value: Found<T>,
}

enum Found<T> {
    Given(T),
    Absent { reported: bool },
    Bad,
}

impl<'d> Reader<'d> {
    /// The whole document; `None` where its outermost value is no table, which is reported.
    pub(super) fn new(document: &'d Document, node: &'d Node) -> Option<Self> {
        let field = Field {
            document,
            key: String::new(),
            span: Some(node.span.clone()),
            value: Found::Given(node),
        };
        let entries = field.check(table).required()?;
        let (path, asked) = (String::new(), Vec::new());
        Some(Self { document, entries, path, span: None, asked, reported: false })
    }

    pub(super) fn document(&self) -> &'d Document {
        self.document
    }

    /// The path of a key of this table.
    pub(super) fn path(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Whether the key is there in a table of this one.
    pub(super) fn has_in(&self, section: &str, key: &str) -> bool {
        let inner = self.entries.iter().find(|entry| entry.key == section);
        let entries = inner.and_then(|entry| table(&entry.node).ok());
        entries.is_some_and(|entries| entries.iter().any(|entry| entry.key == key))
    }

    fn field(&mut self, key: &'static str) -> Field<'d, &'d Node> {
        self.asked.push(key);
        let found = self.entries.iter().find(|entry| entry.key == key);
        let reported = self.reported;
        Field {
            document: self.document,
            key: self.path(key),
            span: found.map(|entry| entry.node.span.clone()).or_else(|| self.span.clone()),
            value: found.map_or(Found::Absent { reported }, |entry| Found::Given(&entry.node)),
        }
    }

    /// A text.
    pub(super) fn text(&mut self, key: &'static str) -> Field<'d, &'d str> {
        let syntax = self.document.syntax();
        self.field(key).check(|node| text(node, key, syntax))
    }

    /// A whole number within limits.
    pub(super) fn whole(
        &mut self,
        key: &'static str,
        limits: RangeInclusive<u64>,
    ) -> Field<'d, u64> {
        self.field(key).check(|node| whole(node, key, limits))
    }

    /// A list of texts, each of which `each` accepts.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        each: impl Fn(&str) -> Result<T, Flaw>,
    ) -> Field<'d, Vec<Placed<T>>> {
        let field = self.field(key).check(|node| list(node, key));
        let (document, path) = (self.document, field.key.clone());
        field.and_then(|items| {
            let read = items.iter().enumerate().map(|(index, node)| {
                let field = Field {
                    document,
                    key: format!("{path}[{index}]"),
                    span: Some(node.span.clone()),
                    value: Found::Given(node),
                };
                field.check(|node| text(node, key, document.syntax())).check(&each).placed()
            });
            // Collected first, so that every bad item is reported.
            read.collect::<Vec<_>>().into_iter().collect()
        })
    }

    /// A table inside this one; one without keys where it is missing.
    pub(super) fn section(&mut self, key: &'static str) -> Reader<'d> {
        self.inner(key, None)
    }

    /// A table that must be there.
    pub(super) fn required_section(&mut self, key: &'static str, hint: &str) -> Reader<'d> {
        self.inner(key, Some(hint))
    }

    fn inner(&mut self, key: &'static str, required: Option<&str>) -> Reader<'d> {
        let field = self.field(key).check(table);
        let (path, span) = (field.key.clone(), field.span.clone());
        let missing = matches!(field.value, Found::Absent { reported: false });
        if let (true, Some(hint)) = (missing, required) {
            let flaw = Flaw::new(Code::MissingKey, format!("the section [{path}] is missing"));
            self.document.report(flaw.hint(hint), path.clone(), span.clone());
        }
        let (entries, reported): (&[Entry], bool) = match field.value {
            Found::Given(entries) => (entries, false),
            Found::Absent { reported } => (&[], reported || required.is_some()),
            Found::Bad => (&[], true),
        };
        Reader { document: self.document, entries, path, span, asked: Vec::new(), reported }
    }

    /// The tables of a list, none where it is missing; `None` where it is bad.
    pub(super) fn sections(&mut self, key: &'static str) -> Option<Vec<Reader<'d>>> {
        let document = self.document;
        let field = self.field(key).check(|node| list(node, key));
        let path = field.key.clone();
        let items = field.or(&[])?;
        let readers = items.iter().enumerate().filter_map(|(index, node)| {
            let path = format!("{path}[{index}]");
            let span = Some(node.span.clone());
            let field = Field {
                document,
                key: path.clone(),
                span: span.clone(),
                value: Found::Given(node),
            };
            let entries = field.check(table).required()?;
            Some(Reader { document, entries, path, span, asked: Vec::new(), reported: false })
        });
        Some(readers.collect())
    }

    /// Reports a problem of this table as a whole or of a key that is missing.
    pub(super) fn report(&self, key: &str, flaw: Flaw) {
        if !self.reported {
            self.document.report(flaw, self.path(key), self.span.clone());
        }
    }

    /// Reports every key that was not asked for, and every key that stands twice.
    pub(super) fn finish(self) {
        let mut seen: BTreeMap<&str, &Span> = BTreeMap::new();
        for entry in self.entries {
            let known = self.asked.contains(&entry.key.as_str());
            let flaw = match seen.insert(&entry.key, &entry.key_span) {
                Some(first) => {
                    let line = self.document.line(first);
                    Flaw::new(Code::Duplicate, format!("the key stands in line {line} already"))
                }
                None if known => continue,
                None => self.unknown(&entry.key),
            };
            entry.node.leaves(&mut |span| self.document.hide(span));
            self.document.report(flaw, self.path(&entry.key), Some(entry.key_span.clone()));
        }
    }

    fn unknown(&self, key: &str) -> Flaw {
        let by_reference = |known: &&&str| known.ends_with("_file") || known.ends_with("_env");
        if sounds_secret(key) && self.nearest(key).is_none_or(|near| !sounds_alike(key, near)) {
            let flaw = Flaw::new(Code::InlineSecret, "secrets are given by reference only");
            let ways = self.asked.iter().filter(by_reference).filter(|known| sounds_secret(known));
            let ways: Vec<String> = ways.map(|known| format!("`{known} = \"…\"`")).collect();
            return if ways.is_empty() {
                flaw.hint("no secret belongs here")
            } else {
                flaw.hint(format!("write {}", ways.join(" or ")))
            };
        }
        let flaw = Flaw::new(Code::UnknownKey, "unknown key");
        match self.nearest(key) {
            Some(near) => flaw.hint(format!("did you mean `{near}`?")),
            None => flaw.hint(format!("known here: {}", self.asked.join(", "))),
        }
    }

    /// The known key most like the one given, if any is like it.
    fn nearest(&self, key: &str) -> Option<&'static str> {
        if key.len() > COMPARED_MAX {
            return None;
        }
        let unused = self.asked.iter().filter(|known| !self.has(known));
        let near = unused.map(|known| (distance(key, known), *known)).min()?;
        let allowed = (near.1.chars().count() / 3).clamp(1, 3);
        (near.0 <= allowed).then_some(near.1)
    }
}

/// `client_secret_fil` is a misspelt reference; `client_secret` is a secret.
fn sounds_alike(key: &str, near: &str) -> bool {
    key.rsplit('_').next().is_some_and(|last| !sounds_secret(last)) && distance(key, near) <= 2
}

impl<'d, T> Field<'d, T> {
    /// Checks or converts the value.
    pub(super) fn check<U>(self, check: impl FnOnce(T) -> Result<U, Flaw>) -> Field<'d, U> {
        let Field { document, key, span, value } = self;
        let value = match value {
            Found::Given(value) => match check(value) {
                Ok(value) => Found::Given(value),
                Err(flaw) => {
                    document.report(flaw, key.clone(), span.clone());
                    Found::Bad
                }
            },
            Found::Absent { reported } => Found::Absent { reported },
            Found::Bad => Found::Bad,
        };
        Field { document, key, span, value }
    }

    /// Converts the value; `None` is a problem that is already reported.
    pub(super) fn and_then<U>(self, next: impl FnOnce(T) -> Option<U>) -> Field<'d, U> {
        let Field { document, key, span, value } = self;
        let value = match value {
            Found::Given(value) => next(value).map_or(Found::Bad, Found::Given),
            Found::Absent { reported } => Found::Absent { reported },
            Found::Bad => Found::Bad,
        };
        Field { document, key, span, value }
    }

    /// The value with its place; `None` where it is missing or bad.
    pub(super) fn placed(self) -> Option<Placed<T>> {
        match (self.value, self.span) {
            (Found::Given(value), Some(span)) => Some(Placed { value, key: self.key, span }),
            _ => None,
        }
    }

    /// The value, or the default where the key is missing; `None` where it is bad.
    pub(super) fn or(self, default: T) -> Option<T> {
        match self.value {
            Found::Given(value) => Some(value),
            Found::Absent { .. } => Some(default),
            Found::Bad => None,
        }
    }

    /// The value; that it is missing is a problem.
    pub(super) fn required(self) -> Option<T> {
        self.required_placed().map(|placed| placed.value)
    }

    /// The value with its place; that it is missing is a problem.
    pub(super) fn required_placed(self) -> Option<Placed<T>> {
        if let Found::Absent { reported: false } = self.value {
            let name = self.key.rsplit('.').next().unwrap_or_default();
            let flaw = Flaw::new(Code::MissingKey, format!("the key `{name}` is missing"));
            self.document.report(flaw, self.key.clone(), self.span.clone());
        }
        self.placed()
    }
}

/// What has to be unique among values of different places.
pub(super) struct Unique<'d> {
    document: &'d Document,
    what: &'static str,
    seen: BTreeMap<String, (String, Span)>,
}

impl<'d> Unique<'d> {
    /// `what` names the kind of thing in messages.
    pub(super) fn new(document: &'d Document, what: &'static str) -> Self {
        Self { document, what, seen: BTreeMap::new() }
    }

    /// Reports a thing seen before, with both places.
    pub(super) fn add(&mut self, thing: &str, key: &str, span: &Span) {
        match self.seen.get(thing) {
            None => {
                self.seen.insert(thing.to_owned(), (key.to_owned(), span.clone()));
            }
            Some((first, place)) => {
                let (what, line) = (self.what, self.document.line(place));
                let text =
                    format!("the {what} {} stands at {first} (line {line}) already", shown(thing));
                self.document.report(Flaw::new(Code::Duplicate, text), key, Some(span.clone()));
            }
        }
    }
}

/// A text as a message shows it: quoted, escaped and not too long.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN_MAX).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{:?}", format!("{short}{more}"))
}

fn wrong_type(node: &Node, key: &str, expected: &str) -> Flaw {
    let found = match &node.shape {
        Shape::Text(_) if sounds_secret(key) => "string".to_owned(),
        Shape::Text(text) => format!("string {}", shown(text)),
        Shape::Integer(number) => format!("integer {number}"),
        Shape::Boolean(on) => format!("boolean {on}"),
        Shape::Table(_) => "table".to_owned(),
        Shape::List(_) => "list".to_owned(),
        Shape::Other(what) => (*what).to_owned(),
    };
    let flaw = Flaw::new(Code::WrongType, format!("invalid type: {found}, expected {expected}"));
    if sounds_secret(key) { flaw.hidden() } else { flaw }
}

fn table(node: &Node) -> Result<&[Entry], Flaw> {
    match &node.shape {
        Shape::Table(entries) => Ok(entries),
        Shape::List(_)
        | Shape::Text(_)
        | Shape::Integer(_)
        | Shape::Boolean(_)
        | Shape::Other(_) => Err(wrong_type(node, "", "a table")),
    }
}

fn list<'n>(node: &'n Node, key: &str) -> Result<&'n [Node], Flaw> {
    let flaw = wrong_type(node, key, "a list");
    match &node.shape {
        Shape::List(items) => Ok(items),
        Shape::Text(text) if !sounds_secret(key) => {
            Err(flaw.hint(format!("write `{key} = [{}]`", shown(text))))
        }
        Shape::Table(_) => Err(flaw.hint(format!("write `[[{key}]]` instead of `[{key}]`"))),
        Shape::Text(_) | Shape::Integer(_) | Shape::Boolean(_) | Shape::Other(_) => Err(flaw),
    }
}

fn text<'n>(node: &'n Node, key: &str, syntax: Syntax) -> Result<&'n str, Flaw> {
    let flaw = wrong_type(node, key, "a string");
    match &node.shape {
        Shape::Text(text) => Ok(text),
        Shape::Integer(number) if !sounds_secret(key) => Err(match syntax {
            Syntax::Toml => flaw.hint(format!("write `{key} = \"{number}\"`")),
            Syntax::Json => flaw.hint(format!("write `\"{key}\": \"{number}\"`")),
        }),
        Shape::Integer(_)
        | Shape::Table(_)
        | Shape::List(_)
        | Shape::Boolean(_)
        | Shape::Other(_) => Err(flaw),
    }
}

fn whole(node: &Node, key: &str, limits: RangeInclusive<u64>) -> Result<u64, Flaw> {
    let number = match &node.shape {
        Shape::Integer(number) => *number,
        Shape::Text(text) => return Err(number_as_text(node, key, text)),
        Shape::Table(_) | Shape::List(_) | Shape::Boolean(_) | Shape::Other(_) => {
            return Err(wrong_type(node, key, "a whole number"));
        }
    };
    let fits = u64::try_from(number).ok().filter(|number| limits.contains(number));
    let (least, most) = (limits.start(), limits.end());
    fits.ok_or_else(|| {
        Flaw::new(Code::OutOfRange, format!("{number} is not between {least} and {most}"))
    })
}

/// `"5s"` for a number is the commonest mistake of all: the hint does the writing.
fn number_as_text(node: &Node, key: &str, text: &str) -> Flaw {
    let flaw = wrong_type(node, key, "a whole number");
    let digits: String = text.trim().chars().take_while(char::is_ascii_digit).collect();
    let unit = ["_secs", "_ms", "_bytes", "_per_minute"].iter().any(|unit| key.ends_with(unit));
    match (digits.is_empty(), unit && digits.len() < text.trim().len()) {
        (true, _) => flaw,
        (false, true) => flaw.hint(format!("units are in the key; write `{key} = {digits}`")),
        (false, false) => flaw.hint(format!("write `{key} = {digits}`")),
    }
}

/// Edits between two words: one letter put in, left out, changed, or two neighbours swapped.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_words_counts_edits() {
        for (a, b, edits) in [
            ("burst", "burst", 0),
            ("brust", "burst", 1),
            ("bursts", "burst", 1),
            ("brst", "burst", 1),
            ("wait", "wait_ms", 3),
            ("", "abc", 3),
            ("é", "e", 1),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }
}
