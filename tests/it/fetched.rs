//! What tests fetch from a package registry, once: it is kept in the cache of the user.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// The folder with what `request` asks for. If it is not there, `fetch` makes it in the folder it
/// is given, under the name `what`; it is moved to its place at once, so that a cut download leaves
/// nothing that looks complete.
pub(crate) fn fetched(
    what: &str,
    request: &str,
    fetch: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = cache.or(home).unwrap_or_else(std::env::temp_dir).join("trunkline");
    let hash = format!("{:x}", Sha256::digest(request));
    let kept = cache.join(format!("{what}-{}", &hash[..16]));
    if kept.is_dir() {
        return Ok(kept);
    }
    let failed = |error: std::io::Error| format!("{}: {error}", cache.display());
    fs::create_dir_all(&cache).map_err(failed)?;
    let here = tempfile::tempdir_in(&cache).map_err(failed)?;
    fetch(here.path())?;
    match fs::rename(here.path().join(what), &kept) {
        Err(_) if kept.is_dir() => Ok(kept), // somebody else was faster
        moved => moved.map(|()| kept).map_err(failed),
    }
}

/// Says loudly that a test cannot run here, or fails where `variable` is 1.
pub(crate) fn skip(test: &str, variable: &str, why: &str) {
    let is_required = std::env::var(variable).is_ok_and(|value| value == "1");
    assert!(!is_required, "{test} must run, for {variable} is 1: {why}");
    announce(&format!("\n*** SKIPPED, NOTHING WAS TESTED: {test}: {why} ***\n"));
}

/// Says what the runner of tests would keep to itself.
pub(crate) fn announce(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("standard error can be written");
}

/// Python without what is installed for the user it runs as.
pub(crate) fn python() -> Command {
    let mut python = Command::new("python3");
    python.env("PYTHONNOUSERSITE", "1");
    python
}

/// The folder with these packages of PyPI, fetched if it is not there: a `PYTHONPATH`.
pub(crate) fn packages(what: &str, requirements: &str) -> Result<PathBuf, String> {
    let asked = python().args(["-m", "pip", "--version"]).output();
    if !asked.is_ok_and(|asked| asked.status.success()) {
        return Err("there is no python3 with pip".to_owned());
    }
    fetched(what, requirements, |here| {
        let failed = |error: std::io::Error| format!("{}: {error}", here.display());
        fs::write(here.join("requirements.txt"), requirements).map_err(failed)?;
        let fetched = python()
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--target", what, "-r", "requirements.txt"])
            .current_dir(here)
            .output()
            .map_err(failed)?;
        let said = || format!("pip: {}", String::from_utf8_lossy(&fetched.stderr));
        if fetched.status.success() { Ok(()) } else { Err(said()) }
    })
}
