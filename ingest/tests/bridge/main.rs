//! A bridge against a scripted feeder over TCP.

mod rig;
mod stat;

use std::collections::BTreeSet;
use std::time::Duration;

use rig::{Feeder, Rig, START, config, event, welcome};
use serde_json::json;
use tokio::sync::watch;
use trunkline_ingest::tlib::{BATCH_LINES_MAX, Bridge, LinkError, RawOut, Writer, hello};
use trunkline_schemas::raw::Stream;

const UP: &str = r#"LinkUp sips1+0 {"resumed":false,"server":"sips1"}"#;
const UP_RESUMED: &str = r#"LinkUp sips1+0 {"resumed":true,"server":"sips1"}"#;
const CLOSED: &str = r#"LinkDown sips1+0 {"why":"the server closed the connection"}"#;
const STOPS: &str = r#"LinkDown sips1+0 {"why":"the bridge stops"}"#;

fn events(numbers: impl IntoIterator<Item = i64>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("Event sips1+0 {number}")).collect()
}

/// Records in order: texts and lists of texts.
macro_rules! records {
    ($($part:expr),* $(,)?) => {{
        let mut all: Vec<String> = Vec::new();
        $(all.extend($part.into_iter().map(String::from));)*
        all
    }};
}

#[tokio::test]
async fn what_a_server_says_is_written_in_its_order() {
    let feeder = Feeder::bind().await;
    let rig = Rig::start(&[&feeder]);
    let mut client = feeder.accept().await;
    assert_eq!(client.hello, json!({"role": "call", "bridge": "b1"}));
    client.say(&welcome(START, false)).await;
    client.events([1, 2]).await;
    client.send(b"not JSON\n{\"event\":{\"id\":\"X\xff\"}}\n\n{\"keepAlive\":true}\n").await;
    client.say(r#"{"caughtUp":true}"#).await;
    client.say(r#"{"caughtUp":true}"#).await;
    client.events([7]).await;
    rig.until_record("Event sips1+0 7").await;
    let status = std::sync::Arc::clone(&rig.status);
    assert!(status.is_connected() && status.is_caught_up());
    let written = rig.finish().await;
    let bad = ["dead not_json", "dead not_utf8"];
    let expected = records!([UP], events([1, 2]), bad, ["CaughtUp sips1+0"], events([7]), [STOPS]);
    assert_eq!(written.records, expected);
    assert_eq!(written.position, Some((START, 7)));
    assert!(!status.is_connected() && !status.is_caught_up());
    assert_eq!((status.events(), status.dead_letters(), status.reconnects()), (3, 2, 0));
    assert_eq!(status.last_line_us(), 42);
}

#[tokio::test]
async fn it_resumes_after_the_last_durable_event() {
    let feeder = Feeder::bind().await;
    let rig = Rig::start(&[&feeder]);
    let mut client = feeder.welcome(false).await;
    client.events(1..=3).await;
    let cut_off = event(START, 4);
    client.send(&cut_off.as_bytes()[..50]).await;
    rig.until_record("Event sips1+0 3").await;
    drop(client);

    let mut client = feeder.accept().await;
    let resume = json!({"serverStart": START, "sequence": "0000000000000003"});
    assert_eq!(client.hello["resume"], resume);
    client.say(&welcome(START, true)).await;
    client.events([4, 5]).await;
    rig.until_record("Event sips1+0 5").await;
    let status = std::sync::Arc::clone(&rig.status);
    let written = rig.finish().await;
    let expected = records!([UP], events(1..=3), [CLOSED], [UP_RESUMED], events([4, 5]), [STOPS],);
    assert_eq!(written.records, expected, "no loss, no repeat, no letter for the line cut off");
    assert_eq!((status.reconnects(), status.gaps()), (1, 0));
}

#[tokio::test]
async fn other_dns_are_asked_for_by_another_hello_to_the_same_server() {
    let (primary, backup) = (Feeder::bind().await, Feeder::bind().await);
    let dns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let (directory, wanted) = watch::channel(dns(&[]));
    let is_vq = |config: &mut trunkline_ingest::tlib::LinkConfig| config.role = Stream::Vq;
    let rig = Rig::start_wanting(&[&primary, &backup], is_vq, Some(wanted));
    let client = primary.welcome(false).await;
    assert_eq!(client.hello, json!({"role": "vq", "bridge": "b1", "dns": []}));
    rig.until_record(UP).await;
    directory.send_replace(dns(&["VQ_1", "VQ_2"]));
    client.until_closed().await;
    let client = primary.welcome(false).await;
    assert_eq!(client.hello["dns"], json!(["VQ_1", "VQ_2"]));
    rig.until(|written| written.records.len() == 3).await;
    let other = r#"LinkDown sips1+0 {"why":"other DNs are wanted"}"#;
    assert_eq!(rig.finish().await.records, records!([UP, other, UP, STOPS]));
}

/// What the second connection says, and how its records begin.
#[tokio::test]
async fn where_a_server_cannot_resume_there_is_a_gap() {
    let up = |plus: &str| format!(r#"LinkUp sips1{plus} {{"resumed":false,"server":"sips1"}}"#);
    let gap = |plus: &str| format!(r#"Gap sips1{plus} {{"from":[{START},3]}}"#);
    let later = START + 60;
    for (said, expected) in [
        (vec![welcome(START, false), event(START, 9)], records!([UP.to_owned(), gap("+0")])),
        (vec![welcome(START, false), event(START, 1)], records!([UP.to_owned(), gap("+0")])),
        (vec![welcome(later, false), event(later, 1)], records!([up("+60"), gap("+60")])),
        (vec![welcome(later, true), event(later, 1)], records!([up("+60"), gap("+60")])),
        (vec![event(later, 1)], records!([up("+60"), gap("+60")])),
        (vec![welcome(START, true), event(START, 4)], records!([UP_RESUMED])),
        (vec![welcome(START, true), event(START, 1)], records!([UP_RESUMED.to_owned(), gap("+0")])),
    ] {
        let feeder = Feeder::bind().await;
        let rig = Rig::start(&[&feeder]);
        let mut client = feeder.welcome(false).await;
        client.events(1..=3).await;
        rig.until_record("Event sips1+0 3").await;
        drop(client);
        let mut client = feeder.accept().await;
        for line in &said {
            client.say(line).await;
        }
        let before = 5;
        rig.until(|written| written.records.len() > before + expected.len()).await;
        let written = rig.finish().await;
        assert_eq!(written.records[before..before + expected.len()], expected, "{said:?}");
        assert!(written.records[before + expected.len()].starts_with("Event"), "{said:?}");
    }
}

#[tokio::test]
async fn a_server_that_starts_over_inside_a_connection_leaves_a_gap() {
    let feeder = Feeder::bind().await;
    let rig = Rig::start(&[&feeder]);
    let mut client = feeder.welcome(false).await;
    client.events([5, 5, 9, 2, 3]).await;
    client.say(&event(START + 60, 1)).await;
    rig.until_record("Event sips1+60 1").await;
    let written = rig.finish().await;
    let expected = records!(
        [UP],
        events([5, 5, 9]),
        [format!(r#"Gap sips1+0 {{"from":[{START},9]}}"#)],
        events([2, 3]),
        [format!(r#"Gap sips1+60 {{"from":[{START},3]}}"#)],
        ["Event sips1+60 1"],
        [r#"LinkDown sips1+60 {"why":"the bridge stops"}"#],
    );
    assert_eq!(written.records, expected, "a number twice is a copy, not a gap");
    assert_eq!(written.position, Some((START + 60, 1)));
}

#[tokio::test]
async fn the_servers_of_a_pair_take_turns() {
    let (mut primary, backup) = (Feeder::bind().await, Feeder::bind().await);
    let rig = Rig::start(&[&primary, &backup]);
    let mut client = primary.accept().await;
    client.say(r#"{"error":"I am the backup at present"}"#).await;
    client.until_closed().await;
    let mut client = backup.welcome(false).await;
    client.events([1]).await;
    rig.until_record("Event sips1+0 1").await;
    drop(client);
    let mut client = primary.welcome(true).await;
    client.events([2]).await;
    rig.until_record("Event sips1+0 2").await;
    primary.unbind();
    drop(client);
    // The backup, the primary that refuses, and the backup again.
    drop(backup.welcome(true).await);
    let mut client = backup.welcome(true).await;
    client.events([3]).await;
    rig.until_record("Event sips1+0 3").await;
    let written = rig.finish().await;
    let numbers = written.records.iter().filter(|record| record.starts_with("Event"));
    assert_eq!(numbers.cloned().collect::<Vec<_>>(), events([1, 2, 3]));
    let ups = written.records.iter().filter(|record| record.starts_with("LinkUp")).count();
    let downs = written.records.iter().filter(|record| record.starts_with("LinkDown")).count();
    assert_eq!(ups, downs, "{:?}", written.records);
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let feeder = Feeder::bind().await;
    let rig = Rig::start_with(&[&feeder], |config| {
        config.silence_timeout = Duration::from_millis(500);
    });
    feeder.welcome(false).await.until_closed().await;
    let down = r#"LinkDown sips1+0 {"why":"no line for 500 ms"}"#;
    assert_eq!(rig.until_record(down).await.records, [UP, down]);

    // A line without an end is no line.
    let mut client = feeder.welcome(false).await;
    let piece = vec![b'x'; 1 << 20];
    while client.try_send(&piece).await.is_ok() {}
    let written = rig.until_record("dead too_long").await;
    let tail = ["dead too_long", down];
    assert!(written.records.ends_with(&tail.map(String::from)), "{:?}", written.records);
    rig.finish().await;
}

#[tokio::test]
async fn a_huge_line_does_not_stop_the_lines_behind_it() {
    let feeder = Feeder::bind().await;
    let rig = Rig::start(&[&feeder]);
    let mut client = feeder.welcome(false).await;
    client.events([1]).await;
    let mut huge = vec![b'['; 16 << 20];
    huge.push(b'\n');
    client.send(&huge).await;
    client.say(&"[".repeat(1 << 20)).await;
    client.events([2]).await;
    rig.until_record("Event sips1+0 2").await;
    let written = rig.finish().await;
    let dead = ["dead too_long", "dead too_deep"];
    assert_eq!(written.records, records!([UP], events([1]), dead, events([2]), [STOPS]));
}

/// However often the log refuses: nothing is lost, and the log says the link was down before it
/// says that it is up.
#[tokio::test]
async fn after_a_write_error_it_starts_over_from_what_is_durable() {
    let down = concat!(
        r#"LinkDown sips1+0 {"why":"the batch could not be written: "#,
        r#"the disk is full"}"#
    );
    for failures in [1, 2, 5] {
        let feeder = Feeder::bind().await;
        let rig = Rig::start(&[&feeder]);
        let mut client = feeder.welcome(false).await;
        client.events([1, 2]).await;
        rig.until_record("Event sips1+0 2").await;
        rig.store.fail(failures);
        client.events([3]).await;
        client.until_closed().await;

        let mut client = feeder.accept().await;
        assert_eq!(client.hello["resume"]["sequence"], "0000000000000002");
        client.say(&welcome(START, true)).await;
        client.events([3, 4]).await;
        rig.until_record("Event sips1+0 4").await;
        assert_eq!(rig.status.write_errors(), u64::from(failures));
        let written = rig.finish().await;
        assert_eq!(written.refused, failures);
        let expected =
            records!([UP], events([1, 2]), [down], [UP_RESUMED], events([3, 4]), [STOPS]);
        assert_eq!(written.records, expected);
    }
}

#[tokio::test]
async fn a_stop_writes_what_was_read_and_returns() {
    let feeder = Feeder::bind().await;
    let rig = Rig::start(&[&feeder]);
    let mut client = feeder.welcome(false).await;
    client.events([1]).await;
    rig.until_record("Event sips1+0 1").await;
    rig.store.close(true);
    // Far more than two batches, and far less than a connection holds back.
    client.events(2..=5_000).await;
    rig.until(|written| written.begun > written.batches.len()).await;
    rig.stop.cancel();
    rig.store.close(false);
    let written = rig.finish().await;
    let last = written.position.expect("events were written").1;
    assert!(last > 1, "the batch that was being written counts");
    assert_eq!(written.records, records!([UP], events(1..=last), [STOPS]));
    let largest = written.batches.iter().max().copied().unwrap_or_default();
    assert!(largest <= BATCH_LINES_MAX + 3, "{largest} records in a batch");
}

#[tokio::test]
async fn many_lines_share_one_write() {
    let feeder = Feeder::bind().await;
    let rig = Rig::start(&[&feeder]);
    let mut client = feeder.welcome(false).await;
    client.events([1]).await;
    rig.until_record("Event sips1+0 1").await;
    let before = rig.batches();
    rig.store.close(true);
    client.events(2..=1_500).await;
    rig.store.close(false);
    let written = rig.until_record("Event sips1+0 1500").await;
    assert!(written.batches.len() - before < 750, "{:?}", written.batches);
    rig.finish().await;
}

#[tokio::test]
async fn a_stop_ends_every_wait() {
    // Nothing listens, nobody answers, nothing is said.
    let mut dead = Feeder::bind().await;
    dead.unbind();
    let rig = Rig::start_with(&[&dead], |config| {
        (config.backoff_min, config.backoff_max) = (Duration::from_hours(1), Duration::ZERO);
    });
    assert!(rig.finish().await.records.is_empty());
    let feeder = Feeder::bind().await;
    let rig = Rig::start(&[&feeder]);
    let client = feeder.accept().await;
    assert!(rig.finish().await.records.is_empty(), "a link that was not up is not down");
    client.until_closed().await;
}

#[tokio::test]
async fn a_file_sent_as_it_is_is_read_to_its_last_line() {
    let feeder = Feeder::bind().await;
    let rig = Rig::start(&[&feeder]);
    let mut client = feeder.accept().await;
    client.send(br#"{"source":"sips1","event":{"id":"EventX","EventSequenceNumber":1}}"#).await;
    client.send(b"\n{\"source\":\"sips1\",\"event\":{\"id\":\"EventY\"}}").await;
    drop(client);
    let down = r#"LinkDown sips1 {"why":"the server closed the connection"}"#;
    let up = r#"LinkUp sips1 {"resumed":false,"server":"sips1"}"#;
    let written = rig.until_record(down).await;
    assert_eq!(written.records, [up, "Event sips1 1", "Event sips1 -1", down]);
    assert_eq!(written.position, None, "without a start there is nothing to resume from");

    let mut client = feeder.accept().await;
    client.say(r#"{"source":"sips1","event":{"id":"EventX"}}"#).await;
    client.send(br#"{"source":"sips1","event":{"id""#).await;
    drop(client);
    let written = rig.until_record("dead truncated").await;
    assert_eq!(written.records[4..6], [up, "Event sips1 -1"]);
    rig.finish().await;
}

#[test]
fn hello_names_what_the_role_needs() {
    let line = |role, dns: &[&str], held| {
        let mut config = config(vec!["h:1".to_owned()]);
        (config.role, config.dns) = (role, dns.iter().map(|&dn| dn.to_owned()).collect());
        (config.link(), hello(&config, held).expect("it is a link"))
    };
    for (role, dns, held, link, expected) in [
        (
            Stream::Call,
            &["7001"][..],
            Some((START, 0x1f)),
            "b1/east/call/0",
            concat!(
                r#"{"hello":{"role":"call","bridge":"b1","#,
                r#""resume":{"serverStart":1764000000,"sequence":"000000000000001f"}}}"#
            ),
        ),
        (
            Stream::Vq,
            &["VQ_Sales", "VQ \"2\""],
            None,
            "b1/east/vq/0",
            r#"{"hello":{"role":"vq","bridge":"b1","dns":["VQ_Sales","VQ \"2\""]}}"#,
        ),
        (
            Stream::Ext,
            &[],
            None,
            "b1/east/agent/0",
            r#"{"hello":{"role":"agent","bridge":"b1","dns":[]}}"#,
        ),
        (
            Stream::Stat,
            &["A1001"],
            Some((START, 1)),
            "b1/east/stat/0",
            r#"{"hello":{"role":"stat","bridge":"b1","agents":["A1001"]}}"#,
        ),
    ] {
        assert_eq!(line(role, dns, held), (link.to_owned(), format!("{expected}\n")));
    }
}

#[test]
fn what_makes_no_link_is_refused() {
    struct Nowhere;
    impl Writer for Nowhere {
        fn write(&mut self, _: Vec<RawOut>) -> Result<(), trunkline_ingest::tlib::WriteError> {
            Err(trunkline_ingest::tlib::WriteError::new("nowhere"))
        }
        fn position(&self) -> Option<(i64, i64)> {
            None
        }
    }
    let refusal = |config| {
        Bridge::new(config, Box::new(Nowhere), std::sync::Arc::new(|| 0), Box::new(|| 0.0))
            .err()
            .expect("it is refused")
    };
    let link = "b1/east/call/0".to_owned();
    assert_eq!(refusal(config(Vec::new())), LinkError::NoServer(link));
    let mut many = config(vec!["h:1".to_owned()]);
    many.role = Stream::Ext;
    many.dns = vec!["7001".to_owned(); 200_000];
    assert!(matches!(refusal(many), LinkError::TooManyDns { bytes, .. } if bytes > 1 << 20));
}
