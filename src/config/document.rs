//! A file under examination: its text, and every problem found in it, printed with the place.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::codes::Code;
use super::tree::{self, Node, Span};

/// Problems shown of one file; the rest is counted.
const PROBLEMS_MAX: usize = 100;
/// Columns of a line shown around the place of a problem.
const EXCERPT_COLUMNS_MAX: usize = 100;
/// Columns shown before the place where a line is longer than that.
const EXCERPT_COLUMNS_BEFORE: usize = 30;
/// What stands for a value that is not shown.
pub(super) const MASK: &str = "******";

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Toml,
    Json,
}

/// One problem of a configuration or directory file, ready to be printed.
///
/// ```text
/// error[E0007]: config/prod.toml, line 3, column 13: genesys_cloud.conversation.burst
///   |
/// 3 | burst = "5"
///   |         ^^^
/// invalid type: string "5", expected a whole number
///
/// hint: write `burst = 5`
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// What kind of problem it is.
    pub code: Code,
    /// The file.
    pub file: PathBuf,
    /// Line and column of the place, from 1; columns count characters.
    pub place: Option<(usize, usize)>,
    /// The key, as a path: `domain[0].site[1].name`. Empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
    excerpt: Option<Excerpt>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    line: String,
    caret: usize,
    carets: usize,
}

impl ConfigError {
    /// A problem of a file as a whole.
    pub(super) fn of_file(file: &Path, code: Code, text: impl Into<String>) -> Self {
        let file = file.to_owned();
        let (key, text) = (String::new(), text.into());
        Self { code, file, place: None, key, text, hint: None, excerpt: None }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ", line {line}, column {column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        if let (Some(excerpt), Some((line, _))) = (&self.excerpt, self.place) {
            let gutter = " ".repeat(line.to_string().len());
            write!(f, "\n{gutter} |\n{line} | {}\n{gutter} | ", excerpt.line)?;
            write!(f, "{}{}", " ".repeat(excerpt.caret), "^".repeat(excerpt.carets))?;
        }
        write!(f, "\n{}", self.text)?;
        match &self.hint {
            Some(hint) => write!(f, "\n\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// What is wrong with one value, before its place is known.
#[derive(Debug)]
pub(super) struct Flaw {
    code: Code,
    text: String,
    hint: Option<String>,
    hide: bool,
}

impl Flaw {
    pub(super) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), hint: None, hide: false }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The value may be a secret: it is not shown.
    pub(super) fn hidden(mut self) -> Self {
        self.hide = true;
        self
    }
}

struct Problem {
    flaw: Flaw,
    key: String,
    span: Option<Span>,
}

/// The file.
pub(super) struct Document {
    file: PathBuf,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
    syntax: Syntax,
    problems: RefCell<Vec<Problem>>,
    uncounted: Cell<usize>,
    hidden: RefCell<Vec<Span>>,
    others: RefCell<Vec<ConfigError>>,
}

impl Document {
    /// Reads a file of at most `limit` bytes.
    pub(super) fn read(file: &Path, syntax: Syntax, limit: u64) -> Result<Self, Vec<ConfigError>> {
        let fail = |code, text: String| vec![ConfigError::of_file(file, code, text)];
        let mut bytes = Vec::new();
        fs::File::open(file)
            .and_then(|opened| opened.take(limit + 1).read_to_end(&mut bytes))
            .map_err(|error| fail(Code::FileUnreadable, format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > limit {
            return Err(fail(Code::FileNotText, format!("is larger than {limit} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..at].split(|byte| *byte == b'\n').count();
            fail(Code::FileNotText, format!("is not UTF-8 (line {line}, byte {at} of the file)"))
        })?;
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Ok(Self::new(file, syntax, text))
    }

    fn new(file: &Path, syntax: Syntax, text: String) -> Self {
        let after = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(after.map(|(at, _)| at + 1)).collect();
        let file = file.to_owned();
        Self {
            file,
            text,
            lines,
            syntax,
            problems: RefCell::default(),
            uncounted: Cell::default(),
            hidden: RefCell::default(),
            others: RefCell::default(),
        }
    }

    pub(super) fn syntax(&self) -> Syntax {
        self.syntax
    }

    /// A path of the file: a relative one starts from the folder of the file.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or_else(|| Path::new("")).join(path)
    }

    /// The tree, or `None` with the syntax errors reported.
    pub(super) fn parse(&self) -> Option<Node> {
        let parsed = match self.syntax {
            Syntax::Toml => tree::toml(&self.text),
            Syntax::Json => tree::json(&self.text),
        };
        let errors = match parsed {
            Ok(node) => return Some(node),
            Err(errors) => errors,
        };
        if self.text.lines().any(may_hold_a_secret) {
            // Without a tree there is no telling where a value begins and ends.
            self.hidden.borrow_mut().push(0..self.text.len());
        }
        for (span, said) in errors {
            self.report(Flaw::new(Code::Syntax, said), String::new(), Some(span));
        }
        None
    }

    /// Notes a problem.
    pub(super) fn report(&self, flaw: Flaw, key: impl Into<String>, span: Option<Span>) {
        if let (true, Some(span)) = (flaw.hide, &span) {
            self.hide(span);
        }
        let mut problems = self.problems.borrow_mut();
        if problems.len() < PROBLEMS_MAX {
            problems.push(Problem { flaw, key: key.into(), span });
        } else {
            self.uncounted.set(self.uncounted.get() + 1);
        }
    }

    /// Notes the problems of another file that this one names.
    pub(super) fn report_all(&self, errors: Vec<ConfigError>) {
        self.others.borrow_mut().extend(errors);
    }

    /// Never shows what stands there.
    pub(super) fn hide(&self, span: &Span) {
        self.hidden.borrow_mut().push(span.clone());
    }

    /// Line of a place, from 1.
    pub(super) fn line(&self, span: &Span) -> usize {
        self.lines.partition_point(|start| *start <= span.start)
    }

    /// All problems, in the order of their places.
    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        let mut problems = self.problems.take();
        problems.sort_by_key(|problem| problem.span.as_ref().map_or(0, |span| span.start));
        let mut errors: Vec<ConfigError> =
            problems.into_iter().map(|problem| self.error(problem)).collect();
        if let (Some(last), more @ 1..) = (errors.last(), self.uncounted.get()) {
            let text = format!("and {more} more problems of this file");
            errors.push(ConfigError::of_file(&self.file, last.code, text));
        }
        errors.extend(self.others.take());
        errors
    }

    fn error(&self, problem: Problem) -> ConfigError {
        let Flaw { code, text, hint, .. } = problem.flaw;
        let place = problem.span.as_ref().map(|span| self.position(span));
        let excerpt = problem.span.as_ref().and_then(|span| self.excerpt(span));
        ConfigError { code, file: self.file.clone(), place, key: problem.key, text, hint, excerpt }
    }

    fn position(&self, span: &Span) -> (usize, usize) {
        let line = self.line(span);
        let before = &self.text[self.lines[line - 1]..self.text.floor_char_boundary(span.start)];
        (line, before.chars().count() + 1)
    }

    /// The line of a place with what may not be seen masked; `None` where nothing may.
    fn excerpt(&self, span: &Span) -> Option<Excerpt> {
        let start = self.lines[self.line(span) - 1];
        let length = self.text[start..].find(['\n', '\r']).unwrap_or(self.text.len() - start);
        let end = start + length;
        let hidden = self.hidden.borrow();
        let hidden: Vec<&Span> =
            hidden.iter().filter(|range| range.start < end && range.end > start).collect();
        if hidden.iter().any(|range| range.start <= start && range.end >= end) {
            return None;
        }
        // A line can be as long as a file: what is far from the place is not even looked at.
        let near = EXCERPT_COLUMNS_MAX * 4;
        let first = self.text.floor_char_boundary(span.start.saturating_sub(near).max(start));
        let last = self.text.ceil_char_boundary((span.start + near).min(end));
        let (mut shown, mut from, mut to) = (Vec::new(), None, None);
        for (index, symbol) in self.text[first..last].char_indices() {
            let at = first + index;
            if at >= span.start && from.is_none() {
                from = Some(shown.len());
            }
            if at >= span.end && to.is_none() {
                to = Some(shown.len());
            }
            if symbol == '#' && at >= span.end {
                break;
            }
            match hidden.iter().find(|range| range.contains(&at)) {
                Some(range) if range.start.max(first) == at => shown.extend(MASK.chars()),
                Some(_) => {}
                None => shown.push(if symbol.is_control() { ' ' } else { symbol }),
            }
        }
        let from = from.unwrap_or(shown.len());
        let to = to.unwrap_or(shown.len()).max(from + 1);
        Some(window(&shown, from, to))
    }
}

/// A stretch of a line that is short enough to be read, with the place inside.
fn window(line: &[char], from: usize, to: usize) -> Excerpt {
    let mut text = String::new();
    let mut first = 0;
    if line.len() > EXCERPT_COLUMNS_MAX && from > EXCERPT_COLUMNS_BEFORE {
        first = from - EXCERPT_COLUMNS_BEFORE;
        text.push('…');
    }
    let caret = from - first + text.chars().count();
    let last = line.len().min(first + EXCERPT_COLUMNS_MAX);
    text.extend(&line[first..last]);
    let carets = to.min(last).max(from + 1) - from;
    if last < line.len() {
        text.push('…');
    }
    Excerpt { line: text.trim_end().to_owned(), caret, carets }
}

/// Whether a name is one that secrets have.
pub(super) fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["secret", "passw", "token", "credential", "apikey", "api_key"].iter().any(|w| name.contains(w))
}

fn may_hold_a_secret(line: &str) -> bool {
    let reference = |name: &str| name.ends_with("_file") || name.ends_with("_env");
    line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-')
        .any(|word| sounds_secret(word) && !reference(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::new(Path::new("f.toml"), Syntax::Toml, text.to_owned())
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let text = format!("{}\"x\"{}", "-".repeat(300), "+".repeat(300));
        let found = document(&text);
        found.report(Flaw::new(Code::WrongType, "no"), "k", Some(300..303));
        let shown = found.into_errors()[0].to_string();
        let line = format!("1 | …{}\"x\"{}…", "-".repeat(30), "+".repeat(67));
        let carets = format!("  | {}^^^", " ".repeat(31));
        let expected =
            format!("error[E0007]: f.toml, line 1, column 301: k\n  |\n{line}\n{carets}\nno");
        assert_eq!(shown, expected);
    }

    #[test]
    fn problems_come_in_the_order_of_the_file_and_are_counted_beyond_the_limit() {
        let found = document(&"x\n".repeat(500));
        for line in (0..130).rev() {
            found.report(Flaw::new(Code::OutOfRange, "no"), "", Some(line * 2..line * 2 + 1));
        }
        let errors = found.into_errors();
        assert_eq!(errors.len(), PROBLEMS_MAX + 1);
        assert_eq!(errors[0].place, Some((31, 1)));
        assert_eq!(errors[99].place, Some((130, 1)));
        assert_eq!(errors[100].text, "and 30 more problems of this file");
    }

    #[test]
    fn what_is_hidden_and_what_a_comment_says_is_not_shown_and_controls_do_nothing() {
        let text = "a = { k = \"canary\", n = \u{1b}1 } # canary";
        let found = document(text);
        found.hide(&(10..18));
        found.report(Flaw::new(Code::WrongType, "no"), "a.n", Some(24..26));
        let shown = found.into_errors()[0].to_string();
        assert!(shown.contains("1 | a = { k = ******, n =  1 }\n"), "{shown}");
        assert!(shown.contains("\n  |                       ^^\n"), "{shown}");
        assert!(!shown.contains("canary"));
    }

    #[test]
    fn a_syntax_error_shows_no_line_of_a_file_that_may_hold_a_secret() {
        let found = document("client_secret = \"\"\"\ncanary\n[");
        assert_eq!(found.parse(), None);
        let errors = found.into_errors();
        let shown: String = errors.iter().map(ToString::to_string).collect();
        assert!(shown.starts_with("error[E0003]: f.toml, line"), "{shown}");
        assert!(!shown.contains("canary") && !shown.contains('|'), "{shown}");

        let found = document("client_secret_file = \"x\"\nburst = \n");
        assert_eq!(found.parse(), None);
        let shown = found.into_errors()[0].to_string();
        assert!(shown.contains("2 | burst ="), "{shown}");
    }
}
