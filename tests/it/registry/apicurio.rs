//! A real registry: Apicurio, which needs Java 21 or newer (reliability/KAFKA section 2).

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use trunkline::clock::Elapsed;
use trunkline::registry::SchemaIds;
use trunkline_schemas::codec::BUILT_IN;

use super::at;
use crate::fetched::{announce, fetched, skip};
use crate::kafka::broker::ports;

const VERSION: &str = "3.3.3";
/// The oldest Java it runs on.
const JAVA: u32 = 21;
const START_MAX: Duration = Duration::from_mins(2);

/// A registry that ends with the test.
struct Apicurio {
    keeper: Child,
    url: String,
    _directory: TempDir,
}

impl Drop for Apicurio {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A Java that is new enough: `TRUNKLINE_JAVA`, that of `JAVA_HOME`, that of the path, or one of
/// those that are installed beside it.
fn java() -> Option<PathBuf> {
    let program = |home: PathBuf| home.join("bin/java");
    let named = std::env::var_os("TRUNKLINE_JAVA").map(PathBuf::from);
    let home = std::env::var_os("JAVA_HOME").map(|home| program(home.into()));
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|folder| folder.join("java")).find(|file| file.is_file())
    });
    // Where that of the path comes from, others are.
    let real = on_path.as_ref().and_then(|file| file.canonicalize().ok());
    let beside = real.as_deref().and_then(|file| file.ancestors().nth(3)).map(Path::to_owned);
    let others = beside.and_then(|folder| std::fs::read_dir(folder).ok());
    let others = others.into_iter().flatten().flatten().map(|entry| program(entry.path()));
    let candidates = named.into_iter().chain(home).chain(on_path);
    candidates.chain(others).find(|java| version(java) >= Some(JAVA))
}

fn version(java: &Path) -> Option<u32> {
    let said = Command::new(java).arg("-version").output().ok()?;
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    said.split('"').nth(1)?.split('.').next()?.parse().ok()
}

/// The unpacked registry, fetched from Maven Central once.
fn unpacked() -> Result<PathBuf, String> {
    let artifact = format!("io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all");
    fetched("apicurio", &artifact, |here| {
        let run = |command: &mut Command| match command.current_dir(here).output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(String::from_utf8_lossy(&output.stdout).into_owned()),
            Err(error) => Err(error.to_string()),
        };
        let plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy";
        let artifact = format!("-Dartifact={artifact}");
        run(Command::new("mvn").args(["-q", "-B", plugin, "-DoutputDirectory=.", &artifact]))?;
        std::fs::create_dir(here.join("apicurio")).map_err(|error| error.to_string())?;
        let file = format!("apicurio-registry-app-{VERSION}-all.tar.gz");
        run(Command::new("tar").args(["-xzf", &file, "-C", "apicurio"]))
    })
}

/// The folder in which the program is.
fn program(folder: &Path) -> Option<PathBuf> {
    if folder.join("quarkus-run.jar").is_file() {
        return Some(folder.to_owned());
    }
    let inner = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    inner.into_iter().find(|path| path.join("quarkus-run.jar").is_file())
}

fn start() -> Result<Apicurio, String> {
    let java = java().ok_or_else(|| format!("there is no Java {JAVA} or newer"))?;
    let program = program(&unpacked()?).ok_or("the archive holds no quarkus-run.jar")?;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let port = ports()[0];
    let keep = "\"$@\" >\"$REGISTRY_LOG\" 2>&1 </dev/null & echo $!; \
                cat >/dev/null; kill -9 $! 2>/dev/null; wait";
    let mut keeper = Command::new("sh")
        .args(["-c", keep, "sh"])
        .arg(java)
        // What it unpacks to load, it does not take away when it is killed.
        .args(["-Xmx512m", &format!("-Djava.io.tmpdir={}", directory.path().display())])
        .args([&format!("-Dquarkus.http.port={port}"), "-Dquarkus.http.host=127.0.0.1"])
        .args(["-jar", "quarkus-run.jar"])
        .current_dir(program)
        .env("REGISTRY_LOG", directory.path().join("registry.log"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut started = String::new();
    let out = keeper.stdout.take().ok_or("stdout is a pipe")?;
    BufReader::new(out).read_line(&mut started).map_err(|error| error.to_string())?;
    let url = format!("http://127.0.0.1:{port}/apis/ccompat/v7");
    Ok(Apicurio { keeper, url, _directory: directory })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_registry_takes_every_schema_and_refuses_what_is_incompatible() {
    let started = tokio::task::block_in_place(start);
    let apicurio = match started {
        Ok(apicurio) => apicurio,
        Err(why) => return skip("a real registry", "TRUNKLINE_REQUIRE_REGISTRY", &why),
    };
    let registry = at(apicurio.url.clone());
    let watch = Elapsed::start();
    let count = loop {
        match registry.register(&SchemaIds::default()).await {
            Ok(count) => break count,
            Err(error) if watch.time() >= START_MAX => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    announce(&format!("Apicurio {VERSION}: {count} versions, {} ms", watch.ms()));
    let http = reqwest::Client::new();
    let ask = |path: &str| http.get(format!("{}/{path}", apicurio.url));
    let versions = ask("subjects/raw.tlib-value/versions").send().await.expect("an answer");
    assert_eq!(versions.text().await.expect("a body"), "[1,2,3]");
    let level = ask("config/segment-value").send().await.expect("an answer");
    let level = level.text().await.expect("a body");
    assert!(level.contains("FULL_TRANSITIVE"), "{level}");
    // A field without a default can neither be read by what is older nor read it.
    let text = BUILT_IN[3].text;
    let other =
        text.replacen("\"fields\": [", "\"fields\": [{\"name\": \"x\", \"type\": \"int\"},", 1);
    assert_ne!(other, text);
    let body = serde_json::json!({ "schema": other }).to_string();
    let posted = http.post(format!("{}/subjects/segment-value/versions", apicurio.url));
    let posted = posted.header("content-type", "application/json").body(body).send().await;
    assert_eq!(posted.expect("an answer").status().as_u16(), 409);
}
