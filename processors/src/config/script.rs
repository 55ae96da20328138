//! Expressions of virtual agent groups (annex `virtual/script`), which make members of those whose
//! skills satisfy them.
//!
//! ```text
//! any      = all { "|" all }
//! all      = one { "&" one }
//! one      = "~" one | "(" any ")" | SkillExists("name") | LoggedIn("place") | value compare value
//! value    = Skill("name") | whole number
//! compare  = "=" | "!=" | ">=" | "<=" | ">" | "<"
//! ```
//!
//! The functions and operators are those that Stat Server documents; that `&` binds closer than `|`
//! and `~` takes the whole comparison is an assumption. So is that somebody without a skill has it
//! at level 0, which is why there is `SkillExists`. `LoggedIn` depends on what agents do, not on
//! the configuration: an expression with it cannot be decided here.

use std::collections::BTreeSet;

/// Longest expression, bytes.
const BYTES_MAX: usize = 16 * 1024;
/// Deepest nesting of parentheses and `~`.
const DEPTH_MAX: usize = 64;

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// One of them holds.
    Any(Vec<Script>),
    /// All of them hold.
    All(Vec<Script>),
    /// It does not hold.
    Not(Box<Script>),
    /// A person has the skill, at whatever level.
    SkillExists(String),
    /// An agent is logged in at a switch, or at an ACD queue of one.
    LoggedIn(String),
    /// Two values compare so.
    Compare(Value, Comparison, Value),
}

/// What can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Level of a skill.
    Skill(String),
    /// A number.
    Number(i64),
}

/// How values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `<`
    Less,
}

/// Signs of comparisons; those that begin another one come after it.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("!=", Comparison::Unequal),
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    ("=", Comparison::Equal),
    (">", Comparison::More),
    ("<", Comparison::Less),
];

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {expected} is expected")]
pub struct SyntaxError {
    /// The place, in bytes from 0.
    pub at: usize,
    /// What should be there.
    pub expected: &'static str,
}

impl Script {
    /// Reads an expression.
    ///
    /// # Errors
    /// The first place where it is none.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        if text.len() > BYTES_MAX {
            return parser.fail("an expression of at most 16384 bytes");
        }
        let script = parser.any()?;
        parser.blanks();
        if parser.at < text.len() { parser.fail("`&`, `|` or the end") } else { Ok(script) }
    }

    /// Whether somebody satisfies it. Nothing: that cannot be decided by skills.
    ///
    /// `level` gives the level of a skill of theirs by its name.
    pub fn holds(&self, level: &dyn Fn(&str) -> Option<i64>) -> Option<bool> {
        (!self.needs_login()).then(|| self.decide(level))
    }

    /// Whether it depends on who is logged in where.
    pub fn needs_login(&self) -> bool {
        match self {
            Self::LoggedIn(_) => true,
            Self::Any(parts) | Self::All(parts) => parts.iter().any(Self::needs_login),
            Self::Not(part) => part.needs_login(),
            Self::SkillExists(_) | Self::Compare(..) => false,
        }
    }

    /// Names of the skills it is about.
    pub fn skills(&self) -> BTreeSet<&str> {
        match self {
            Self::Any(parts) | Self::All(parts) => parts.iter().flat_map(Self::skills).collect(),
            Self::Not(part) => part.skills(),
            Self::SkillExists(name) => BTreeSet::from([name.as_str()]),
            Self::LoggedIn(_) => BTreeSet::new(),
            Self::Compare(left, _, right) => {
                [left, right].into_iter().filter_map(Value::skill).collect()
            }
        }
    }

    fn decide(&self, level: &dyn Fn(&str) -> Option<i64>) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.decide(level)),
            Self::All(parts) => parts.iter().all(|part| part.decide(level)),
            Self::Not(part) => !part.decide(level),
            Self::SkillExists(name) => level(name).is_some(),
            Self::LoggedIn(_) => false,
            Self::Compare(left, comparison, right) => {
                comparison.holds(left.number(level), right.number(level))
            }
        }
    }
}

impl Value {
    fn skill(&self) -> Option<&str> {
        match self {
            Self::Skill(name) => Some(name),
            Self::Number(_) => None,
        }
    }

    fn number(&self, level: &dyn Fn(&str) -> Option<i64>) -> i64 {
        match self {
            Self::Skill(name) => level(name).unwrap_or(0),
            Self::Number(number) => *number,
        }
    }
}

impl Comparison {
    const fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Unequal => left != right,
            Self::AtLeast => left >= right,
            Self::AtMost => left <= right,
            Self::More => left > right,
            Self::Less => left < right,
        }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn fail<T>(&self, expected: &'static str) -> Result<T, SyntaxError> {
        Err(SyntaxError { at: self.at, expected })
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Takes a sign or word if it is next.
    fn take(&mut self, token: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn any(&mut self) -> Result<Script, SyntaxError> {
        let mut parts = vec![self.all()?];
        while self.take("|") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Script::Any(parts) })
    }

    fn all(&mut self) -> Result<Script, SyntaxError> {
        let mut parts = vec![self.one()?];
        while self.take("&") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Script::All(parts) })
    }

    fn one(&mut self) -> Result<Script, SyntaxError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fail("no deeper nesting");
        }
        let one = self.unnested();
        self.depth -= 1;
        one
    }

    fn unnested(&mut self) -> Result<Script, SyntaxError> {
        if self.take("~") {
            return Ok(Script::Not(Box::new(self.one()?)));
        }
        if self.take("(") {
            let inner = self.any()?;
            return if self.take(")") { Ok(inner) } else { self.fail("`)`") };
        }
        if self.take("SkillExists") {
            return Ok(Script::SkillExists(self.argument()?));
        }
        if self.take("LoggedIn") {
            return Ok(Script::LoggedIn(self.argument()?));
        }
        let left = self.value()?;
        let Some((_, comparison)) = COMPARISONS.into_iter().find(|(sign, _)| self.take(sign))
        else {
            return self.fail("a comparison");
        };
        Ok(Script::Compare(left, comparison, self.value()?))
    }

    fn value(&mut self) -> Result<Value, SyntaxError> {
        if self.take("Skill") {
            return Ok(Value::Skill(self.argument()?));
        }
        self.blanks();
        let rest = self.rest();
        let sign = usize::from(rest.starts_with('-'));
        let digits = rest[sign..].chars().take_while(char::is_ascii_digit).count();
        match rest[..sign + digits].parse() {
            Ok(number) => {
                self.at += sign + digits;
                Ok(Value::Number(number))
            }
            Err(_) => self.fail("`Skill`, `SkillExists`, `LoggedIn`, `~`, `(` or a whole number"),
        }
    }

    /// `("name")`
    fn argument(&mut self) -> Result<String, SyntaxError> {
        if !self.take("(") {
            return self.fail("`(`");
        }
        if !self.take("\"") {
            return self.fail("`\"`");
        }
        let Some((name, _)) = self.rest().split_once('"') else {
            return self.fail("a name that ends with `\"`");
        };
        let name = name.to_owned();
        self.at += name.len() + 1;
        if self.take(")") { Ok(name) } else { self.fail("`)`") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sales 5, Support 0, Spanish 3 and nothing else.
    fn level(name: &str) -> Option<i64> {
        [("Sales", 5), ("Support", 0), ("Spanish", 3), ("1 | 2)", 1)]
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, level)| level)
    }

    #[test]
    fn expressions_hold_as_worked_out_by_hand() {
        for (text, expected) in [
            (r#"Skill("Sales") > 1"#, Some(true)),
            (r#"Skill("Sales") > 5"#, Some(false)),
            (r#"Skill("Sales")>=5"#, Some(true)),
            (r#"Skill("Sales") <= 4"#, Some(false)),
            (r#"Skill("Sales") < 6"#, Some(true)),
            (r#"Skill("Sales") = 5"#, Some(true)),
            (r#"Skill("Sales") != 5"#, Some(false)),
            (r#"5 = Skill("Sales")"#, Some(true)),
            (r#"Skill("Sales") > Skill("Spanish")"#, Some(true)),
            (r#"Skill("Sales") > -1"#, Some(true)),
            // Names are case-sensitive; who has no skill has level 0 and not the skill.
            (r#"Skill("sales") > 1"#, Some(false)),
            (r#"Skill("French") = 0"#, Some(true)),
            (r#"Skill("French") < 1"#, Some(true)),
            (r#"SkillExists("French")"#, Some(false)),
            (r#"SkillExists("Support")"#, Some(true)),
            (r#"~SkillExists("French")"#, Some(true)),
            (r#"~Skill("Sales") > 5"#, Some(true)),
            (r#"~~SkillExists("Support")"#, Some(true)),
            (r#"(Skill("Spanish") >= 3) & SkillExists("Sales")"#, Some(true)),
            (r#"SkillExists("French") & SkillExists("Sales")"#, Some(false)),
            (r#"SkillExists("French") | SkillExists("Sales")"#, Some(true)),
            // `&` binds closer than `|`: true | (false & false).
            (r#"SkillExists("Sales") | SkillExists("F") & SkillExists("G")"#, Some(true)),
            (r#"(SkillExists("Sales") | SkillExists("F")) & SkillExists("G")"#, Some(false)),
            (r#"~(SkillExists("Sales") | SkillExists("F"))"#, Some(false)),
            ("\t( ( Skill ( \"Sales\" ) > 1 ) )\n", Some(true)),
            (r#"SkillExists("1 | 2)")"#, Some(true)),
            // Who is logged in is not known here, whatever the rest says.
            (r#"LoggedIn("SIP_Switch") & Skill("Support") > 0"#, None),
            (r#"SkillExists("Sales") | LoggedIn("8001@SIP_Switch")"#, None),
            (r#"~(LoggedIn("SIP_Switch"))"#, None),
        ] {
            let script = Script::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(script.holds(&level), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_is_said_with_its_place() {
        for (text, at, expected) in [
            ("", 0, "a whole number"),
            (r#"Skill("Sales")"#, 14, "a comparison"),
            (r#"Skill("Sales") >"#, 16, "a whole number"),
            (r#"Skill("Sales") > x"#, 17, "a whole number"),
            (r#"Skill("Sales") > 1 Skill("A") > 1"#, 19, "`&`, `|` or the end"),
            ("Skill(Sales) > 1", 6, "`\"`"),
            (r#"Skill "Sales" > 1"#, 6, "`(`"),
            (r#"Skill("Sales > 1"#, 7, "ends with"),
            (r#"SkillExists("Sales" > 1"#, 20, "`)`"),
            (r#"(Skill("Sales") > 1"#, 19, "`)`"),
            (r#"Skill("Sales") > 1 &"#, 20, "a whole number"),
            (r#"skill("Sales") > 1"#, 0, "a whole number"),
            (r#"Skill("Sales") > 99999999999999999999"#, 17, "a whole number"),
            (r#"Skill("Größe") > ü"#, 19, "a whole number"),
        ] {
            let error = Script::parse(text).expect_err(text);
            assert_eq!(error.at, at, "{text}: {error}");
            assert!(error.to_string().contains(expected), "{text}: {error}");
        }
        let deep = format!("{}1=1{}", "(".repeat(100_000), ")".repeat(100_000));
        let long = Script::parse(&deep).expect_err("too long");
        assert_eq!(long.to_string(), "byte 0: an expression of at most 16384 bytes is expected");
        let deep = format!("{}1=1{}", "(".repeat(64), ")".repeat(64));
        assert_eq!(Script::parse(&deep).expect_err("too deep").expected, "no deeper nesting");
        let deep = format!("{}1=1{}", "(".repeat(63), ")".repeat(63));
        assert_eq!(Script::parse(&deep).map(|script| script.holds(&level)), Ok(Some(true)));
    }

    #[test]
    fn the_skills_of_an_expression_are_known() {
        let script = r#"Skill("B") > Skill("A") | ~(SkillExists("C") & LoggedIn("D") & 1 = 1)"#;
        let script = Script::parse(script).expect("an expression");
        assert_eq!(script.skills().into_iter().collect::<Vec<_>>(), ["A", "B", "C"]);
    }

    /// An expression, and whether it holds for who has the levels of [`level`]: worked out while it
    /// is put together, not by the evaluator.
    fn expression() -> impl Strategy<Value = (String, bool)> {
        let names = prop_oneof![Just("Sales"), Just("Support"), Just("Spanish"), Just("French")];
        let exists = names
            .clone()
            .prop_map(|name| (format!("SkillExists(\"{name}\")"), level(name).is_some()));
        let compare = (names, 0..6_usize, -1..7_i64).prop_map(|(name, sign, number)| {
            let (sign, has) = (["=", "!=", ">=", "<=", ">", "<"][sign], level(name).unwrap_or(0));
            let order = has.cmp(&number);
            let holds = match sign {
                "=" => order.is_eq(),
                "!=" => order.is_ne(),
                ">=" => order.is_ge(),
                "<=" => order.is_le(),
                ">" => order.is_gt(),
                _ => order.is_lt(),
            };
            (format!("Skill(\"{name}\"){sign}{number}"), holds)
        });
        prop_oneof![exists, compare].prop_recursive(5, 40, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|(text, holds)| (format!("~ ({text})"), !holds)),
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| {
                    let texts: Vec<_> = parts.iter().map(|(text, _)| format!("({text})")).collect();
                    (texts.join(" & "), parts.iter().all(|(_, holds)| *holds))
                }),
                prop::collection::vec(inner, 1..4).prop_map(|parts| {
                    let texts: Vec<_> = parts.iter().map(|(text, _)| format!("({text})")).collect();
                    (texts.join("|"), parts.iter().any(|(_, holds)| *holds))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn an_expression_holds_as_it_was_put_together((text, holds) in expression()) {
            let script = Script::parse(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(script.holds(&level), Some(holds));
        }

        #[test]
        fn any_text_is_an_expression_or_an_error(text in "[ SkilExsts()\"&|~=<>!0-9ü-]{0,60}") {
            if let Err(error) = Script::parse(&text) {
                prop_assert!(error.at <= text.len());
            }
        }
    }
}
