//! What a single value must look like.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use axum::http::Uri;
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

use super::codes::Code;
use super::document::Flaw;
use super::reader::shown;
use super::{ClientFile, HostPort, LogFormat, ServerPair};
use crate::log::kafka;

/// Letters of a name.
const NAME_MAX: usize = 64;
/// Bytes of a file that holds a secret.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a file of client settings.
const CLIENT_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a file of certificates or of a key.
const PEM_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A name that becomes part of ids and states.
pub(super) fn name(text: &str) -> Result<String, Flaw> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !text.is_empty() && text.len() <= NAME_MAX && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    let said = format!("{} is not a name", shown(text));
    let form = format!("letters, digits, `-`, `_` and `.`, from 1 to {NAME_MAX} of them");
    Err(Flaw::new(Code::BadName, said).hint(form))
}

/// An id of another system, taken as it is.
pub(super) fn id(text: &str) -> Result<String, Flaw> {
    if text.trim().is_empty() {
        Err(Flaw::new(Code::BadName, "is empty"))
    } else {
        Ok(text.to_owned())
    }
}

/// A path, which is no more than a text that is not empty.
pub(super) fn path(text: &str) -> Result<&str, Flaw> {
    if text.is_empty() {
        Err(Flaw::new(Code::NamedFileUnusable, "the path is empty"))
    } else {
        Ok(text)
    }
}

/// The address of a listener of ours.
pub(super) fn listener(text: &str) -> Result<SocketAddr, Flaw> {
    text.parse().map_err(|_| {
        let said = format!("{} is not an IP address with a port", shown(text));
        Flaw::new(Code::BadAddress, said).hint("write, for example, `127.0.0.1:3650`")
    })
}

/// `primary:port/backup:port`, or a single address (seed 003, EXCP parameters).
pub(super) fn server_pair(text: &str) -> Result<ServerPair, Flaw> {
    let mut addresses = text.split('/').map(host_port);
    let primary = addresses.next().unwrap_or_else(|| host_port(""))?;
    let backup = addresses.next().transpose()?;
    if addresses.next().is_some() {
        let said = format!("{} has more than two addresses", shown(text));
        return Err(Flaw::new(Code::BadAddress, said)
            .hint("a pair is `primary:port/backup:port`; other servers are further items"));
    }
    if backup.as_ref() == Some(&primary) {
        let said = format!("primary and backup are both {}", shown(&primary.to_string()));
        return Err(Flaw::new(Code::Duplicate, said)
            .hint("a server without a backup is given alone, as `host:port`"));
    }
    Ok(ServerPair { primary, backup })
}

/// A key of user data, or the beginning of one.
pub(super) fn user_data_key(text: &str) -> Result<String, Flaw> {
    if !text.is_empty() && text.len() <= NAME_MAX && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(Flaw::new(Code::BadName, format!("{} is no key of user data", shown(text)))
        .hint(format!("write 1 to {NAME_MAX} letters, as in user data")))
}

/// `host:port`.
pub(super) fn host_port(text: &str) -> Result<HostPort, Flaw> {
    let flaw = |said: &str| {
        Flaw::new(Code::BadAddress, format!("{} {said}", shown(text)))
            .hint("write `host:port`, or `primary:port/backup:port` for a pair")
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(|| flaw("has no port"))?;
    let port = port.parse().ok().filter(|port| *port > 0);
    let port = port.ok_or_else(|| flaw("has no port between 1 and 65535"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let six = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good = match six {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(plain),
    };
    if !good {
        return Err(flaw("has no usable host"));
    }
    Ok(HostPort { host: six.unwrap_or(host).to_owned(), port })
}

/// A URL requests with a token may go to; returned without a slash at its end.
pub(super) fn url(text: &str) -> Result<String, Flaw> {
    let uri = web_address(text)?;
    let here = uri.authority().is_some_and(|authority| is_loopback(authority.host()));
    if uri.scheme_str() == Some("http") && !here {
        let flaw =
            Flaw::new(Code::BadUrl, format!("{} would send tokens in clear text", shown(text)));
        return Err(flaw.hint(format!("write `{}`", text.replacen("http:", "https:", 1))));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A URL of http or https; returned without a slash at its end.
pub(super) fn any_url(text: &str) -> Result<String, Flaw> {
    web_address(text).map(|_| text.trim_end_matches('/').to_owned())
}

fn web_address(text: &str) -> Result<Uri, Flaw> {
    if text.contains('@') {
        return Err(Flaw::new(Code::BadUrl, "a URL here holds no user or password").hidden());
    }
    let flaw = |said: &str| Flaw::new(Code::BadUrl, format!("{} {said}", shown(text)));
    let uri: Uri = text.parse().map_err(|_| flaw("is not a URL"))?;
    let authority = uri.authority().ok_or_else(|| {
        flaw("is not a URL").hint("write, for example, `https://api.mypurecloud.de`")
    })?;
    if authority.host().is_empty() || authority.as_str().ends_with(':') {
        return Err(flaw("names no host"));
    }
    if text.contains(['?', '#']) {
        return Err(flaw("has a query or a fragment"));
    }
    match uri.scheme_str() {
        Some("https" | "http") => Ok(uri),
        _ => Err(flaw("is not a URL of https")),
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// How log lines are written.
pub(super) fn log_format(text: &str) -> Result<LogFormat, Flaw> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => {
            let said = format!("{} is neither \"text\" nor \"json\"", shown(other));
            Err(Flaw::new(Code::UnknownChoice, said))
        }
    }
}

/// Which log lines are written.
pub(super) fn log_filter(text: &str) -> Result<String, Flaw> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|_| {
        Flaw::new(Code::UnknownChoice, format!("{} is not a filter", shown(text)))
            .hint("write a level, or levels by module: `info,trunkline::drive=debug`")
    })
}

/// A file of certificates or of a key, whatever stands in it.
pub(super) fn pem(file: &Path) -> Result<Vec<u8>, Flaw> {
    read_at_most(file, PEM_BYTES_MAX)
        .map_err(|error| Flaw::new(Code::NamedFileUnusable, format!("{} {error}", file.display())))
}

/// A file of CA certificates.
pub(super) fn certificates(file: &Path) -> Result<Vec<u8>, Flaw> {
    let bytes = pem(file)?;
    let mark = b"-----BEGIN CERTIFICATE-----";
    if bytes.windows(mark.len()).any(|window| window == mark) {
        Ok(bytes)
    } else {
        let said = format!("{} holds no certificate", file.display());
        Err(Flaw::new(Code::NamedFileUnusable, said).hint("certificates are given as PEM"))
    }
}

/// A file of settings for Kafka clients: lines `name=value`, empty ones and comments (`#`) apart.
/// No value is shown: it may be a password.
pub(super) fn client_file(path: PathBuf) -> Result<ClientFile, Flaw> {
    let flaw = |said: String| {
        Flaw::new(Code::NamedFileUnusable, format!("{}{said}", path.display()))
            .hint("it has lines `name=value` by the names of librdkafka, and `#` for comments")
    };
    let bytes = read_at_most(&path, CLIENT_BYTES_MAX).map_err(|e| flaw(format!(" {e}")))?;
    let text = String::from_utf8(bytes).map_err(|_| flaw(" is not UTF-8".to_owned()))?;
    let mut settings = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            return Err(flaw(format!(", line {number}: there is no `=`")));
        };
        let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
        if settings.contains_key(&name) {
            return Err(flaw(format!(", line {number}: `{name}` is there already")));
        }
        kafka::check_setting(&name, &value)
            .map_err(|said| flaw(format!(", line {number}: `{name}` {said}")))?;
        settings.insert(name, value);
    }
    Ok(ClientFile { path, settings })
}

/// The secret in a file. `written` is the path as it stands in the configuration.
pub(super) fn secret_in_file(written: &str, file: &Path) -> Result<SecretString, Flaw> {
    // A text that looks like no path is most likely the secret itself.
    if !written.contains(['/', '\\', '.']) && !file.exists() {
        let flaw = Flaw::new(Code::SecretUnavailable, "there is no such file").hidden();
        return Err(flaw.hint("give the path of a file that holds the secret, not the secret"));
    }
    let flaw = |said: String| {
        Flaw::new(Code::SecretUnavailable, said)
            .hint("write the secret into that file, readable by this user only")
    };
    let bytes = read_at_most(file, SECRET_BYTES_MAX)
        .map_err(|error| flaw(format!("{} {error}", file.display())))?;
    let text =
        String::from_utf8(bytes).map_err(|_| flaw(format!("{} is not UTF-8", file.display())))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    one_line(text).map_err(|said| flaw(format!("{} {said}", file.display())))
}

/// The secret in an environment variable.
pub(super) fn secret_in_env(
    variable: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<SecretString, Flaw> {
    let usual = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if variable.is_empty() || !variable.chars().all(usual) {
        let said = "is not the name of an environment variable";
        return Err(Flaw::new(Code::SecretUnavailable, said)
            .hint("give the name of a variable that holds the secret: capitals, digits, `_`")
            .hidden());
    }
    let flaw = |said: &str| {
        let said = format!("the environment variable {variable} {said}");
        Flaw::new(Code::SecretUnavailable, said)
    };
    let value = environment(variable).ok_or_else(|| {
        flaw("is not set").hint(format!("start with {variable} in the environment"))
    })?;
    one_line(&value).map_err(flaw)
}

fn one_line(secret: &str) -> Result<SecretString, &'static str> {
    match (secret.trim().is_empty(), secret.contains(['\n', '\r'])) {
        (true, _) => Err("is empty"),
        (false, true) => Err("has more than one line"),
        (false, false) => Ok(SecretString::from(secret.to_owned())),
    }
}

fn read_at_most(file: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    fs::File::open(file)
        .and_then(|opened| opened.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > limit {
        Err(format!("is larger than {limit} bytes"))
    } else {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, printed) in [
            ("sip1:8000", Some("sip1:8000")),
            ("sip-1.example:8000/10.0.0.2:8001", Some("sip-1.example:8000/10.0.0.2:8001")),
            ("[::1]:1/[fe80::2]:65535", Some("[::1]:1/[fe80::2]:65535")),
            ("sip1", None),
            ("sip1:", None),
            (":8000", None),
            ("sip1:0", None),
            ("sip1:65536", None),
            ("sip1:8000/", None),
            ("a:1/b:2/c:3", None),
            ("a:1/a:1", None),
            ("a b:1", None),
            ("[::g]:1", None),
            ("::1:1", None),
        ] {
            let pair = server_pair(text).ok().map(|pair| pair.to_string());
            assert_eq!(pair.as_deref(), printed, "{text}");
        }
    }

    #[test]
    fn urls() {
        for (text, good) in [
            ("https://api.mypurecloud.de", true),
            ("https://api.mypurecloud.de:8443/x/", true),
            ("http://localhost:8080", true),
            ("http://127.0.0.9:1", true),
            ("http://[::1]:8080", true),
            ("http://api.mypurecloud.de", false),
            ("http://127.0.0.1.example:80", false),
            ("ftp://127.0.0.1", false),
            ("api.mypurecloud.de", false),
            ("https://", false),
            ("https://user:word@api.mypurecloud.de", false),
            ("https://api.mypurecloud.de/?a=b", false),
            ("https://api mypurecloud.de", false),
            ("", false),
        ] {
            assert_eq!(url(text).is_ok(), good, "{text}");
        }
        let with_slash = url("https://api.mypurecloud.de/").expect("a good URL");
        assert_eq!(with_slash, "https://api.mypurecloud.de");
    }

    #[test]
    fn names() {
        for (text, good) in [
            ("emea-1", true),
            (&"a".repeat(64), true),
            (&"a".repeat(65), false),
            ("", false),
            ("a/b", false),
            ("é", false),
        ] {
            assert_eq!(name(text).is_ok(), good, "{text}");
        }
    }
}
