//! `tls` of a source: its servers speak TLS, and prove who they are.

use std::path::PathBuf;

use serde::Serialize;
use trunkline_ingest::wire::{Identity, Tls, TlsError};

use super::access::Reported;
use super::checks;
use super::codes::Code;
use super::document::Flaw;
use super::reader::Reader;

/// TLS of all servers of a source.
#[derive(Clone, Debug, Serialize)]
pub struct SourceTls {
    /// Certificates of the authorities that are trusted, as PEM.
    pub ca_file: PathBuf,
    /// The certificate of the bridge, as PEM, if the servers ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// Its key, as PEM; there is one if there is a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The name in the certificates of the servers, if it is not that of their addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// What the files make.
    #[serde(skip)]
    pub tls: Tls,
}

/// Two sections are the same if they say the same.
impl PartialEq for SourceTls {
    fn eq(&self, other: &Self) -> bool {
        let said = |tls: &Self| {
            let files = [Some(&tls.ca_file), tls.certificate_file.as_ref(), tls.key_file.as_ref()];
            (files.map(Option::<&PathBuf>::cloned), tls.server_name.clone())
        };
        said(self) == said(other)
    }
}

impl Eq for SourceTls {}

/// Reads the table `tls` of a section, if it is there.
pub(super) fn tls(section: &mut Reader<'_>) -> Result<Option<SourceTls>, Reported> {
    if section.has("tls") {
        source_tls(section.section("tls")).map(Some).ok_or(Reported)
    } else {
        Ok(None)
    }
}

fn source_tls(mut section: Reader<'_>) -> Option<SourceTls> {
    let document = section.document();
    let file = |path: &str| {
        let path = document.resolve(path);
        let pem = checks::pem(&path)?;
        Ok((path, pem))
    };
    let ca = section.text("ca_file").check(file).required();
    let (has_certificate, has_key) = (section.has("certificate_file"), section.has("key_file"));
    let some = |path: &str| file(path).map(Some);
    let certificate = section.text("certificate_file").check(some).or(None);
    let key = section.text("key_file").check(some).or(None);
    if has_certificate != has_key {
        let missing = if has_key { "certificate_file" } else { "key_file" };
        let flaw = Flaw::new(Code::MissingKey, format!("the key `{missing}` is missing"));
        section.report(missing, flaw.hint("a certificate and its key are given together"));
    }
    let server_name = section.text("server_name").check(|name| checks::id(name).map(Some));
    let server_name = server_name.or(None);
    let (ca, certificate, key, server_name) = (ca?, certificate?, key?, server_name?);
    let identity = match (&certificate, &key) {
        (Some((_, certificate)), Some((_, key))) => Some(Identity { certificate, key }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            section.finish();
            return None;
        }
    };
    let made = Tls::new(&ca.1, identity, server_name.as_deref());
    let tls = made.map_err(|error| section.report(key_of(&error), flaw(&error))).ok();
    section.finish();
    Some(SourceTls {
        ca_file: ca.0,
        certificate_file: certificate.map(|(path, _)| path),
        key_file: key.map(|(path, _)| path),
        server_name,
        tls: tls?,
    })
}

const fn key_of(error: &TlsError) -> &'static str {
    match error {
        TlsError::BadCa => "ca_file",
        TlsError::BadCertificate => "certificate_file",
        TlsError::BadKey | TlsError::BadIdentity => "key_file",
        TlsError::BadName => "server_name",
    }
}

fn flaw(error: &TlsError) -> Flaw {
    let (code, hint) = match error {
        TlsError::BadName => (Code::BadName, "write the name as it stands in the certificate"),
        TlsError::BadCa | TlsError::BadCertificate | TlsError::BadKey | TlsError::BadIdentity => {
            (Code::NamedFileUnusable, "certificates and keys are PEM files")
        }
    };
    Flaw::new(code, error.to_string()).hint(hint)
}

#[cfg(test)]
mod tests {
    use trunkline_sim::certificates::{Authority, Validity};

    use super::super::tests::{LEAST, folder, load_in, write};
    use super::super::{Config, ConfigError};

    const STATES: &str = "[domain.agent_states]\nstat_servers = [\"stat1:2060\"]\n";
    const REPORTING: &str =
        "[domain.interaction_reporting]\nbridge = \"b1\"\nservers = [\"ixn1:7120\"]\n";

    /// [`LEAST`] with these tables of the domain and lines of its site.
    fn with(tables: &str, site: &str) -> String {
        let (domain, rest) = LEAST.split_once("[[domain.site]]").expect("there is a site");
        let (lines, rest) = rest.split_once("[genesys_cloud]").expect("there is a cloud");
        format!("{domain}{tables}[[domain.site]]{lines}{site}[genesys_cloud]{rest}")
    }

    fn files() -> tempfile::TempDir {
        let folder = folder();
        let authority = Authority::new().expect("keys can be made");
        write(&folder, "ca.pem", &authority.pem());
        for name in ["bridge", "other"] {
            let made = authority.certify(&[name], Validity::Valid).expect("a certificate");
            write(&folder, &format!("{name}.pem"), &made.certificate);
            write(&folder, &format!("{name}.key"), &made.key);
        }
        write(&folder, "nothing.pem", "nothing\n");
        folder
    }

    #[test]
    fn every_source_has_the_same_table_and_what_is_shown_loads_again() {
        let folder = files();
        let tls = "tls = { ca_file = \"ca.pem\", certificate_file = \"bridge.pem\", \
                   key_file = \"bridge.key\", server_name = \"engage.example\" }\n";
        let text = with(&format!("{STATES}{tls}{REPORTING}{tls}"), tls);
        let config = load_in(&folder, &text).unwrap_or_else(|e| panic!("{}", e[0]));
        let shown = config.redacted_toml();
        assert!(!shown.contains("BEGIN") && !format!("{config:?}").contains("BEGIN"), "{shown}");
        let again = load_in(&folder, &shown).unwrap_or_else(|e| panic!("{shown}\n{}", e[0]));
        assert_eq!(again.redacted_toml(), shown);
        let sources = |config: Config| {
            let domain = config.domains.into_iter().next().expect("a domain");
            let states = domain.agent_states.and_then(|section| section.tls);
            let reporting = domain.interaction_reporting.and_then(|section| section.tls);
            [domain.sites[0].tls.clone(), states, reporting].map(|tls| tls.expect("it is there"))
        };
        let found = sources(config);
        assert_eq!(found, sources(again));
        assert!(found.iter().all(|tls| *tls == found[0]), "{found:?}");
        assert_eq!(found[0].ca_file, folder.path().join("ca.pem"));
        assert_eq!(found[0].server_name.as_deref(), Some("engage.example"));
        let least = load_in(&folder, LEAST).expect("it is complete");
        assert!(least.domains[0].sites[0].tls.is_none());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let folder = files();
        let at = |key: &str| format!("domain[0].site[0].tls.{key}");
        for (lines, code, key, said) in [
            ("", "E0005", at("ca_file"), "the key `ca_file` is missing"),
            ("ca_file = \"none.pem\"", "E0016", at("ca_file"), "cannot be read"),
            ("ca_file = \"nothing.pem\"", "E0016", at("ca_file"), "no usable certificate"),
            (
                "ca_file = \"ca.pem\", key_file = \"bridge.key\"",
                "E0005",
                at("certificate_file"),
                "the key `certificate_file` is missing",
            ),
            (
                "ca_file = \"ca.pem\", certificate_file = \"bridge.pem\"",
                "E0005",
                at("key_file"),
                "the key `key_file` is missing",
            ),
            (
                "ca_file = \"ca.pem\", certificate_file = \"bridge.pem\", key_file = \"ca.pem\"",
                "E0016",
                at("key_file"),
                "no usable private key",
            ),
            (
                "ca_file = \"ca.pem\", certificate_file = \"bridge.pem\", key_file = \"other.key\"",
                "E0016",
                at("key_file"),
                "do not belong together",
            ),
            (
                "ca_file = \"ca.pem\", server_name = \"no name\"",
                "E0015",
                at("server_name"),
                "neither a DNS name nor an IP address",
            ),
            ("ca_file = \"ca.pem\", insecure = true", "E0004", at("insecure"), "unknown key"),
        ] {
            let text = with("", &format!("tls = {{ {lines} }}\n"));
            let errors: Vec<ConfigError> = load_in(&folder, &text).expect_err("it is wrong");
            assert_eq!(errors.len(), 1, "{lines}: {errors:?}");
            let found = (errors[0].code.to_string(), errors[0].key.clone());
            assert_eq!(found, (code.to_owned(), key), "{lines}");
            assert!(errors[0].text.contains(said), "{lines}: {}", errors[0]);
        }
        let voice = "[domain.agent_states]\ntls = { ca_file = \"ca.pem\" }\n\
                     [domain.agent_states.voice_microservices]\nbrokers = [\"k:9092\"]\n";
        let errors = load_in(&folder, &with(voice, "")).expect_err("there is no Stat Server");
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].text.contains("`tls` is of Stat Servers"), "{}", errors[0]);
    }
}
