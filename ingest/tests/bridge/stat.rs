//! A bridge of Stat Server: agents come and go, a connection is lost, the backup tells all again.

use std::collections::BTreeSet;

use serde_json::json;
use tokio::sync::watch;
use trunkline_ingest::feed::{OBJECTS_PER_LINE_MAX, subscriptions};
use trunkline_schemas::raw::Stream;

use crate::rig::{Client, Feeder, Rig, START};

fn agents(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn tell(client: &mut Client, agent: &str, status: i64) {
    let event = json!({"id": "EventInfo", "AgentId": agent, "Statistic": "CurrentState",
        "AgentStatus": status, "Since": START});
    client.say(&json!({"source": "stat1", "stream": "stat", "event": event}).to_string()).await;
    let event = json!({"id": "EventInfo", "AgentId": agent, "Statistic": "CurrentStateReason",
        "Reasons": [["ReasonCode", "Break"]], "Since": START});
    client.say(&json!({"source": "stat1", "event": event}).to_string()).await;
}

async fn welcome(feeder: &Feeder) -> Client {
    let mut client = feeder.accept().await;
    client.say(r#"{"welcome":{"server":"stat1","serverStart":1764000000}}"#).await;
    client
}

#[tokio::test]
async fn subscriptions_follow_the_directory_and_a_reconnection_tells_all_again() {
    let (primary, backup) = (Feeder::bind().await, Feeder::bind().await);
    let (directory, wanted) = watch::channel(agents(&["A1001", "A1002"]));
    let rig =
        Rig::start_wanting(&[&primary, &backup], |config| config.role = Stream::Stat, Some(wanted));
    let mut client = welcome(&primary).await;
    let hello = json!({"role": "stat", "bridge": "b1", "agents": ["A1001", "A1002"]});
    assert_eq!(client.hello, hello);
    tell(&mut client, "A1001", 4).await;
    client.say(r#"{"caughtUp":true}"#).await;
    directory.send_replace(agents(&["A1002", "A1003"]));
    assert_eq!(client.hear().await, json!({"close": ["A1001"]}));
    assert_eq!(client.hear().await, json!({"open": ["A1003"]}));
    tell(&mut client, "A1003", 8).await;
    // Events of switches have no place here.
    client.say(r#"{"stream":"call","event":{"id":"EventInfo","AgentId":"A1"}}"#).await;
    client.say(r#"{"event":{"id":"EventInfo","AgentId":"A1","Statistic":"CurrentState"}}"#).await;
    rig.until_record("dead missing_attribute").await;
    drop(client);

    let mut client = welcome(&backup).await;
    let hello = json!({"role": "stat", "bridge": "b1", "agents": ["A1002", "A1003"]});
    assert_eq!(client.hello, hello, "what the directory has now, and nothing to resume");
    tell(&mut client, "A1003", 8).await;
    client.say(r#"{"caughtUp":true}"#).await;
    // Nobody will change the directory any more: the bridge goes on.
    drop(directory);
    tell(&mut client, "A1002", 4).await;
    rig.until_record(r#"Event stat1+0 "A1002" "CurrentStateReason""#).await;
    let written = rig.finish().await;
    let both = |agent: &str| {
        ["CurrentState", "CurrentStateReason"].map(|s| format!(r#"Event stat1+0 "{agent}" "{s}""#))
    };
    let up = r#"LinkUp stat1+0 {"resumed":false,"server":"stat1"}"#.to_owned();
    let caught_up = "CaughtUp stat1+0".to_owned();
    let down = |why: &str| format!(r#"LinkDown stat1+0 {{"why":"{why}"}}"#);
    let dead = ["dead missing_attribute".to_owned(), "dead missing_attribute".to_owned()];
    let expected = [
        &[up.clone()][..],
        &both("A1001"),
        std::slice::from_ref(&caught_up),
        &both("A1003"),
        &dead,
        &[down("the server closed the connection"), up],
        &both("A1003"),
        std::slice::from_ref(&caught_up),
        &both("A1002"),
        &[down("the bridge stops")],
    ];
    assert_eq!(written.records, expected.concat());
    assert_eq!(written.position, None, "nothing is resumed");
}

#[test]
fn many_agents_are_opened_by_several_lines() {
    let names: Vec<String> = (0..=OBJECTS_PER_LINE_MAX).map(|n| format!("A{n:05}")).collect();
    let all: BTreeSet<String> = names.iter().cloned().collect();
    let lines = subscriptions(&BTreeSet::new(), &all);
    let read: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let last = OBJECTS_PER_LINE_MAX;
    assert_eq!(read, [json!({"open": names[..last]}), json!({"open": names[last..]})]);
    assert!(lines.iter().all(|line| line.ends_with("}\n")));
    assert_eq!(subscriptions(&all, &all), [""; 0]);
}
