//! Every error a person can cause and mend, by code: the one table behind `error[E....]` and
//! `explain`.
//!
//! A code is never given another meaning; one that falls out of use stays reserved.

use std::fmt;

/// A code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Code {
    /// The file itself cannot be read.
    FileUnreadable = 1,
    /// The file is not UTF-8, or larger than its limit.
    FileNotText = 2,
    /// Not TOML, or not JSON.
    Syntax = 3,
    /// A key that does not exist.
    UnknownKey = 4,
    /// A key or section that must be there is not.
    MissingKey = 5,
    /// A secret written into the file.
    InlineSecret = 6,
    /// A value of another type.
    WrongType = 7,
    /// A number or a list outside its limits.
    OutOfRange = 8,
    /// Not one of the words allowed.
    UnknownChoice = 9,
    /// Not a network address.
    BadAddress = 10,
    /// Not a URL that may be used.
    BadUrl = 11,
    /// The same thing twice.
    Duplicate = 12,
    /// Two keys that exclude each other.
    Contradiction = 13,
    /// A secret that is referred to and cannot be had.
    SecretUnavailable = 14,
    /// An empty or unusable name or id.
    BadName = 15,
    /// A file named in the configuration cannot be used.
    NamedFileUnusable = 16,
    /// An admin listener cannot be opened.
    AdminListener = 17,
}

/// What `explain` prints of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The code.
    pub code: Code,
    /// What it means, in a few words.
    pub title: &'static str,
    /// How it comes about.
    pub cause: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

const fn row(
    code: Code,
    title: &'static str,
    cause: &'static str,
    remedy: &'static str,
) -> Explanation {
    Explanation { code, title, cause, remedy }
}

/// All of them, in the order of their numbers.
pub const TABLE: [Explanation; 17] = [
    row(
        Code::FileUnreadable,
        "the file cannot be read",
        "The configuration or directory file does not exist, is a folder, or may not be read by \
         the user Trunkline runs as.",
        "Check the path given with --config, and the permissions of the file and its folders.",
    ),
    row(
        Code::FileNotText,
        "the file is not text",
        "Configuration and directory files are UTF-8 and have a size limit. The usual cause is an \
         editor that saved UTF-16 or Latin-1, or the path of another file.",
        "Save the file as UTF-8; the error says where the first foreign byte is.",
    ),
    row(
        Code::Syntax,
        "the file cannot be parsed",
        "A bracket, quote or comma is missing or one too many, or a key stands twice in a table.",
        "Mend the place the error points at. Nothing after a syntax error is checked, so run \
         `validate` again afterwards.",
    ),
    row(
        Code::UnknownKey,
        "an unknown key",
        "Unknown keys are refused, because a misspelt setting that is silently ignored costs \
         more than it saves.",
        "Use the key the hint proposes, or take the line out. config/example.toml has every key.",
    ),
    row(
        Code::MissingKey,
        "a required key is missing",
        "Everything that can be guessed has a default. What cannot, such as the address of a SIP \
         Server or the id of an OAuth client, must be given.",
        "Add the key to the section the error names.",
    ),
    row(
        Code::InlineSecret,
        "a secret in the file",
        "Secrets are given by reference only, so that the configuration can be shown, kept under \
         version control and attached to a ticket.",
        "Put the secret into a file of its own (`..._file`) or an environment variable \
         (`..._env`). Consider the secret that stood in the file as disclosed.",
    ),
    row(
        Code::WrongType,
        "a value of the wrong type",
        "A text where a number is expected, or the other way round. Units are in the name of the \
         key (`_secs`, `_ms`), so durations are plain numbers.",
        "Write the value as the hint shows.",
    ),
    row(
        Code::OutOfRange,
        "a value outside its limits",
        "Every limit has a reason: Genesys Cloud takes at most 100 events a request, a list of \
         servers cannot be empty, and so on.",
        "Choose a value inside the limits the error names.",
    ),
    row(
        Code::UnknownChoice,
        "not one of the choices",
        "The key takes one of a few words, or a text of a certain form.",
        "Use one of those the error lists.",
    ),
    row(
        Code::BadAddress,
        "not a network address",
        "SIP Servers are given as `host:port`, a pair as `primary:port/backup:port`; the admin \
         listener as an IP address and a port.",
        "Write the address in that form.",
    ),
    row(
        Code::BadUrl,
        "not a usable URL",
        "Genesys Cloud is spoken to over https only, since every request carries a token; plain \
         http is allowed to this machine itself. A URL holds no user, password or query.",
        "Use the API and login addresses of your region, for example \
         `https://api.mypurecloud.de` and `https://login.mypurecloud.de`.",
    ),
    row(
        Code::Duplicate,
        "the same thing twice",
        "Two domains, sites, bridges, servers, agents or queues that cannot be told apart. Which \
         of them is meant cannot be decided, so neither is used.",
        "Remove or rename one of the two places the error names.",
    ),
    row(
        Code::Contradiction,
        "two keys exclude each other",
        "Two keys say the same thing in different ways, and there is no telling which one holds.",
        "Keep one of them.",
    ),
    row(
        Code::SecretUnavailable,
        "a secret cannot be had",
        "The file or environment variable that holds the secret is missing, empty or has more \
         than one line.",
        "Create it, readable by the user Trunkline runs as and nobody else.",
    ),
    row(
        Code::BadName,
        "an empty or unusable name",
        "Names of domains, sites and bridges become part of ids and states: letters, digits, \
         `-`, `_` and `.`, at most 64 of them. Ids of the directory must not be empty.",
        "Give a name of that form.",
    ),
    row(
        Code::NamedFileUnusable,
        "a file named in the configuration cannot be used",
        "A directory or CA file is missing, cannot be read or does not hold what it should.",
        "Check the path; a relative one starts from the folder of the configuration file.",
    ),
    row(
        Code::AdminListener,
        "an admin listener cannot be opened",
        "Another process listens on the address, most often a second Trunkline, or the address \
         does not belong to this machine.",
        "Stop the other process, or set the key that is named to a free address.",
    ),
];

impl Code {
    /// The code a person typed: `E0007`, `e0007` or `7`.
    pub fn find(text: &str) -> Option<Self> {
        let digits = text.trim().trim_start_matches(['E', 'e']);
        let number: u16 = digits.parse().ok()?;
        TABLE.iter().map(|row| row.code).find(|code| *code as u16 == number)
    }

    /// What it means.
    pub fn explanation(self) -> &'static Explanation {
        &TABLE[usize::from(self as u16) - 1]
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E{:04}", *self as u16)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n\n{}\n\n{}", self.code, self.title, self.cause, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_every_code_is_found_by_its_name() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.code as usize, index + 1, "{}", row.title);
            assert_eq!(row.code.explanation(), row);
            assert_eq!(Code::find(&row.code.to_string()), Some(row.code));
        }
        assert_eq!(Code::find("e7"), Some(Code::WrongType));
        for nothing in ["", "E", "E0000", "E0018", "seven", "E-7"] {
            assert_eq!(Code::find(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn an_explanation_says_what_why_and_what_to_do() {
        let text = Code::AdminListener.explanation().to_string();
        assert!(text.starts_with("E0017: an admin listener cannot be opened\n\nAnother process"));
        assert!(text.ends_with("to a free address."));
    }
}
