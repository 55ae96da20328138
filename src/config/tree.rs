//! TOML and JSON as one tree that knows where everything stands, so that both files of a person
//! get the same quality of message.

use std::ops::Range;

use serde::de::IgnoredAny;
use toml::de::{DeTable, DeValue};

/// The deepest nesting of a JSON file.
const JSON_DEPTH_MAX: usize = 32;
/// Syntax errors shown of one file; those that follow are mostly consequences of the first.
const SYNTAX_ERRORS_MAX: usize = 10;

/// Bytes of the document.
pub(super) type Span = Range<usize>;

/// A value and its place.
#[derive(Debug, PartialEq)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) shape: Shape,
}

/// What it is.
#[derive(Debug, PartialEq)]
pub(super) enum Shape {
    Table(Vec<Entry>),
    List(Vec<Node>),
    Text(String),
    Integer(i128),
    Boolean(bool),
    /// What no key takes; the word says what it is.
    Other(&'static str),
}

/// A key with its value.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) node: Node,
}

/// What is wrong with the text, and where.
pub(super) type SyntaxError = (Span, String);

impl Node {
    /// Calls `each` with the place of every value that holds no others.
    pub(super) fn leaves(&self, each: &mut dyn FnMut(&Span)) {
        match &self.shape {
            Shape::Table(entries) => entries.iter().for_each(|e| e.node.leaves(each)),
            Shape::List(nodes) => nodes.iter().for_each(|n| n.leaves(each)),
            Shape::Text(_) | Shape::Integer(_) | Shape::Boolean(_) | Shape::Other(_) => {
                each(&self.span);
            }
        }
    }
}

/// Reads TOML.
pub(super) fn toml(text: &str) -> Result<Node, Vec<SyntaxError>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let shape = Shape::Table(toml_entries(table.get_ref()));
        return Ok(Node { span: table.span(), shape });
    }
    let end = text.len();
    let mut found: Vec<SyntaxError> = errors
        .iter()
        .map(|error| (error.span().unwrap_or(end..end), error.message().to_owned()))
        .collect();
    found.sort_by_key(|(span, _)| span.start);
    found.dedup_by_key(|(span, _)| line_of(text, span.start));
    found.truncate(SYNTAX_ERRORS_MAX);
    Err(found)
}

fn line_of(text: &str, at: usize) -> usize {
    text[..text.floor_char_boundary(at)].matches('\n').count()
}

fn toml_entries(table: &DeTable<'_>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_span: key.span(),
            node: toml_node(value),
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_span.start);
    entries
}

fn toml_node(value: &toml::Spanned<DeValue<'_>>) -> Node {
    let shape = match value.get_ref() {
        DeValue::Table(table) => Shape::Table(toml_entries(table)),
        DeValue::Array(items) => Shape::List(items.iter().map(toml_node).collect()),
        DeValue::String(text) => Shape::Text(text.to_string()),
        DeValue::Boolean(on) => Shape::Boolean(*on),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Shape::Integer(number),
            Err(_) => Shape::Other("integer beyond all limits"),
        },
        DeValue::Float(_) => Shape::Other("float"),
        DeValue::Datetime(_) => Shape::Other("date-time"),
    };
    Node { span: value.span(), shape }
}

/// Reads JSON.
pub(super) fn json(text: &str) -> Result<Node, Vec<SyntaxError>> {
    // The check is serde_json's; what follows only has to walk over text known to be JSON.
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        let line_start = text.split_inclusive('\n').take(error.line().saturating_sub(1));
        let start: usize = line_start.map(str::len).sum::<usize>() + error.column().max(1) - 1;
        let start = text.floor_char_boundary(start.min(text.len()));
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or_default().to_owned();
        return Err(vec![(start..(start + 1).min(text.len()), said)]);
    }
    Walk { text, at: 0 }.node(0).map_err(|error| vec![error])
}

struct Walk<'t> {
    text: &'t str,
    at: usize,
}

impl Walk<'_> {
    fn node(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        self.blanks();
        let start = self.at;
        if depth > JSON_DEPTH_MAX {
            let said = format!("nested deeper than {JSON_DEPTH_MAX} levels");
            return Err((start..start + 1, said));
        }
        let shape = match self.peek() {
            b'{' => Shape::Table(self.entries(depth)?),
            b'[' => Shape::List(self.items(depth)?),
            b'"' => Shape::Text(self.string()?),
            _ => self.word(),
        };
        Ok(Node { span: start..self.at, shape })
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<Entry>, SyntaxError> {
        let mut entries = Vec::new();
        self.at += 1;
        while self.more(b'}') {
            let start = self.at;
            let key = self.string()?;
            let key_span = start..self.at;
            self.blanks();
            self.at += 1;
            entries.push(Entry { key, key_span, node: self.node(depth + 1)? });
        }
        Ok(entries)
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Node>, SyntaxError> {
        let mut items = Vec::new();
        self.at += 1;
        while self.more(b']') {
            items.push(self.node(depth + 1)?);
        }
        Ok(items)
    }

    /// Steps over blanks and a comma, then over the closing bracket if it is next.
    fn more(&mut self, close: u8) -> bool {
        self.blanks();
        if self.peek() == b',' {
            self.at += 1;
            self.blanks();
        }
        if self.peek() == close {
            self.at += 1;
            return false;
        }
        self.at < self.text.len()
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let start = self.at;
        self.at += 1;
        while self.at < self.text.len() && self.peek() != b'"' {
            self.at += if self.peek() == b'\\' { 2 } else { 1 };
        }
        self.at = (self.at + 1).min(self.text.len());
        serde_json::from_str(&self.text[start..self.at])
            .map_err(|_| (start..self.at, "a text with half of a character escape".to_owned()))
    }

    fn word(&mut self) -> Shape {
        let rest = &self.text[self.at..];
        let length = rest.find([',', ']', '}', ' ', '\t', '\r', '\n']).unwrap_or(rest.len());
        self.at += length;
        match &rest[..length] {
            "true" => Shape::Boolean(true),
            "false" => Shape::Boolean(false),
            "null" => Shape::Other("null"),
            number => number.parse().map_or(Shape::Other("float"), Shape::Integer),
        }
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\r' | b'\n') {
            self.at += 1;
        }
    }

    /// The next byte; 0 at the end.
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(node: &Node, text: &str) -> String {
        match &node.shape {
            Shape::Table(entries) => {
                let inner: Vec<String> = entries
                    .iter()
                    .map(|e| format!("{}={}", &text[e.key_span.clone()], show(&e.node, text)))
                    .collect();
                format!("{{{}}}", inner.join(" "))
            }
            Shape::List(items) => {
                let inner: Vec<String> = items.iter().map(|n| show(n, text)).collect();
                format!("[{}]", inner.join(" "))
            }
            Shape::Text(value) => format!("{value}<{}>", &text[node.span.clone()]),
            Shape::Integer(value) => format!("{value}"),
            Shape::Boolean(value) => format!("{value}"),
            Shape::Other(what) => format!("({what})"),
        }
    }

    #[test]
    fn both_syntaxes_give_values_with_the_places_they_stand_at() {
        let text = " { \"a\" : [ 1 , -2, 1.5 ],\n\"b\\n\":{\"\":\"\\u00e9\\\"\"}, \"c\":[ ],\
                    \"d\":{ },\"e\":null,\"f\":true}";
        let node = json(text).expect("it is JSON");
        let shown = "{\"a\"=[1 -2 (float)] \"b\\n\"={\"\"=é\"<\"\\u00e9\\\"\">} \"c\"=[] \
                     \"d\"={} \"e\"=(null) \"f\"=true}";
        assert_eq!(show(&node, text), shown);

        let text = "a = 0x10\n[b]\nc = [\"é\", 1.5]\n[[d]]\ne = false\n[[d]]\n";
        let node = toml(text).expect("it is TOML");
        assert_eq!(show(&node, text), "{a=16 b={c=[é<\"é\"> (float)]} d=[{e=false} {}]}");
    }

    #[test]
    fn syntax_errors_have_a_place() {
        let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
        for (text, at) in [("{\"a\":1,}", 7), ("{", 0), ("[1 2]", 3), (&deep, 33), ("", 0)] {
            let errors = json(text).expect_err(text);
            assert_eq!(errors[0].0.start, at, "{text}: {errors:?}");
        }
        let errors = toml("a = \nb = 1\nb = 2\n[c\n").expect_err("it is not TOML");
        let lines: Vec<usize> =
            errors.iter().map(|(s, _)| line_of("a = \nb = 1\nb = 2\n[c\n", s.start)).collect();
        assert_eq!(lines, [0, 2, 3], "{errors:?}");
    }
}
