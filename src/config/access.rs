//! What a server is entered with: a password, and the authorities it is proved by.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::{Serialize, Serializer};

use super::checks;
use super::codes::Code;
use super::document::Flaw;
use super::reader::Reader;

/// A problem that was reported.
pub(super) struct Reported;

/// A secret and where it came from. Neither printing nor serialising it shows its value.
#[derive(Clone, Debug)]
pub struct Secret {
    /// The key that says where it is.
    key: &'static str,
    /// The file or the environment variable.
    place: String,
    /// The secret, without the newline at the end of its file.
    pub value: SecretString,
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.key, &self.place)])
    }
}

/// Reads the password of a section; there need not be one.
pub(super) fn password(
    section: &mut Reader<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Secret>, Reported> {
    secret(section, environment, ["password_file", "password_env"])
}

/// Reads the secret of an OAuth client.
pub(super) fn client_secret(
    section: &mut Reader<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Secret, Reported> {
    let [in_file, in_env] = ["client_secret_file", "client_secret_env"];
    let is_said = [in_file, in_env, "client_secret"].iter().any(|key| section.has(key));
    if !is_said {
        let flaw = Flaw::new(Code::MissingKey, "the secret of the client is missing");
        section.report(in_file, flaw.hint(format!("write `{in_file} = \"…\"` or `{in_env}`")));
    }
    secret(section, environment, [in_file, in_env])?.ok_or(Reported)
}

/// Reads a secret that stands in a file or in a variable; it need not be there.
fn secret(
    section: &mut Reader<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
    [in_file, in_env]: [&'static str; 2],
) -> Result<Option<Secret>, Reported> {
    let document = section.document();
    let has_both = section.has(in_file) && section.has(in_env);
    let file = section.text(in_file).check(|written| {
        let path = document.resolve(written);
        let value = checks::secret_in_file(written, &path)?;
        Ok(Some(Secret { key: in_file, place: path.display().to_string(), value }))
    });
    let env = section.text(in_env).check(|variable| {
        let value = checks::secret_in_env(variable, environment)?;
        Ok(Some(Secret { key: in_env, place: variable.to_owned(), value }))
    });
    if has_both {
        let said = format!("`{in_file}` and `{in_env}` exclude each other");
        env.check(|_| Err::<Secret, _>(Flaw::new(Code::Contradiction, said)));
        return Err(Reported);
    }
    match (file.or(None), env.or(None)) {
        (Some(file), Some(env)) => Ok(file.or(env)),
        (None, _) | (_, None) => Err(Reported),
    }
}

/// Certificates of the authorities that are trusted, as PEM.
#[derive(Clone, Debug, Serialize)]
pub struct Authorities {
    #[serde(rename = "ca_file")]
    file: PathBuf,
    #[serde(skip)]
    pem: Vec<u8>,
}

impl Authorities {
    /// What the file holds.
    pub fn pem(&self) -> Vec<u8> {
        self.pem.clone()
    }
}

/// Reads whom a section trusts; it need not say.
pub(super) fn authorities(section: &mut Reader<'_>) -> Result<Option<Authorities>, Reported> {
    let document = section.document();
    let ca = section.text("ca_file").check(|path| {
        let file = document.resolve(path);
        let pem = checks::certificates(&file)?;
        Ok(Some(Authorities { file, pem }))
    });
    ca.or(None).ok_or(Reported)
}
