//! The call models: given their events, then exactly the commands of the hand-written tables.

mod common;

use common::{EPOCH_MS, EXPECTED, Feed, case, cases, compact, expected, model, render};
use trunkline_processors::conversation::Settings;
use trunkline_processors::conversation::nearest::{FlowNumber, Told};
use trunkline_schemas::raw::{AgentDeed, PhoneCall};
use trunkline_schemas::{AgentFact, CallFact, OutcomeStatus, RawKind};

#[test]
fn each_model_gives_the_commands_of_its_table() {
    for name in EXPECTED {
        let mut feed = Feed::new();
        for line in model(name) {
            feed.line(&line);
        }
        feed.finish();
        let got = render(&feed.commands, &feed.outcomes);
        assert_eq!(got.join("\n"), expected(name).join("\n"), "model {name}");
        assert_eq!(feed.dead, 0, "model {name}");
    }
}

#[test]
fn each_flow_gives_the_commands_of_its_case() {
    for name in cases("flows") {
        let text = case(&format!("flows/{name}"));
        let (given, then) = text.split_once("\nthen\n").expect("a case has given and then");
        let mut feed = Feed::with(settings(given));
        for (n, line) in given.lines().filter(|l| is_event(l)).enumerate() {
            if let Some((at_ms, kind, payload)) = announced(line) {
                feed.announced(at_ms, kind, payload);
            } else if let Some(fact) = fact(line) {
                feed.fact(&fact);
            } else {
                feed.line(&compact(line, n));
            }
        }
        feed.finish();
        let mut got = render(&feed.commands, &feed.outcomes);
        got.extend(feed.calls.iter().map(call));
        assert_eq!(got.join("\n"), then.trim_end(), "case {name}");
        assert_eq!(feed.dead, 0, "case {name}");
        // A case of a flow is named by its number.
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            let mut told = Told::default();
            for command in &feed.commands {
                told.take(&command.event);
            }
            let flow = told.flow().map(FlowNumber::name);
            assert_eq!(flow.as_deref(), name.get(..2), "the flow of case {name}");
        }
    }
}

/// A row of the table in docs/call-flows.md: model, flow (or `none`), and what is said of a call
/// that is ignored or suspended.
type Row = (String, String, Vec<String>);

#[test]
fn the_page_says_of_each_model_what_becomes_of_it() {
    let path = format!("{}/../docs/call-flows.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut rows: Vec<Row> = Vec::new();
    for line in page.lines().skip_while(|line| !line.starts_with("| model |")).skip(2) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, model, _, flow, remarks, _] = cells[..] else { break };
        // Each of these words is followed by the code.
        let said = ["ignored", "suspended"].into_iter().filter_map(|word| {
            let (_, rest) = remarks.split_once(word)?;
            Some(format!("{word}: {}", rest.split('`').nth(1)?))
        });
        rows.push((model.to_owned(), flow.to_owned(), said.collect()));
    }
    let names: Vec<&str> = rows.iter().map(|(model, ..)| model.as_str()).collect();
    assert_eq!(names, EXPECTED, "the models of the table");
    for row in &rows {
        assert_eq!(&became(&row.0), row, "what became of a model, and what the page says");
    }
}

/// What becomes of a model.
fn became(name: &str) -> Row {
    let mut feed = Feed::new();
    for line in model(name) {
        feed.line(&line);
    }
    feed.finish();
    let mut told = Told::default();
    for command in &feed.commands {
        told.take(&command.event);
    }
    let mut said: Vec<String> = Vec::new();
    for outcome in &feed.outcomes {
        let code = outcome.code.as_deref().expect("a reason has a code");
        match outcome.status {
            OutcomeStatus::Suspended => said.push(format!("suspended: {code}")),
            OutcomeStatus::LeftOut if feed.commands.is_empty() => {
                said.push(format!("ignored: {code}"));
            }
            // A part of a call that is told.
            OutcomeStatus::LeftOut => {}
            OutcomeStatus::Accepted
            | OutcomeStatus::AssumedApplied
            | OutcomeStatus::Refused
            | OutcomeStatus::Gated => panic!("{name}: a sink says so: {outcome:?}"),
        }
    }
    (name.to_owned(), told.flow().map_or("none".to_owned(), FlowNumber::name), said)
}

/// How the processor is set: lines `set NAME VALUE`.
fn settings(given: &str) -> Settings {
    let mut settings = Settings::default();
    for line in given.lines().filter(|line| line.starts_with("set ")) {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["set", "after_call_ms", ms] => {
                settings.after_call_ms = Some(ms.parse().expect("milliseconds"));
            }
            ["set", "relay_calls", "true"] => settings.relay_calls = true,
            _ => panic!("no setting: {line}"),
        }
    }
    settings
}

/// A part of an announcement: milliseconds, `directory`, and `start`, `end`, or who is where.
fn announced(line: &str) -> Option<(i64, RawKind, Vec<u8>)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [at_ms, "directory", ref what @ ..] = words[..] else { return None };
    let (kind, payload) = match what {
        ["start"] => (RawKind::DirectoryStart, "again".to_owned()),
        ["end"] => (RawKind::DirectoryEnd, "again".to_owned()),
        [employee_id, at] => {
            let (dn, switch) = at.split_once('@').expect("a DN has a switch");
            let row = serde_json::json!({ "Agent": {
                "employeeId": employee_id,
                "userId": format!("user-{employee_id}"),
                "logins": [{ "dn": dn, "switch": switch }],
            }});
            (RawKind::DirectoryRow, row.to_string())
        }
        _ => panic!("no part of an announcement: {line}"),
    };
    let at_ms = EPOCH_MS + at_ms.parse::<i64>().expect("milliseconds");
    Some((at_ms, kind, payload.into_bytes()))
}

/// What the presence processor relays: milliseconds, `presence`, what, who, where.
fn fact(line: &str) -> Option<AgentFact> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [at_ms, "presence", what, employee_id, at] = words[..] else { return None };
    let (dn, switch) = at.split_once('@').expect("a DN has a switch");
    let fact = match what {
        "login" => AgentDeed::Login,
        "logout" => AgentDeed::Logout,
        "acwEnded" => AgentDeed::AfterCallWorkEnded,
        other => panic!("no fact: {other}"),
    };
    Some(AgentFact {
        employee_id: employee_id.to_owned(),
        fact,
        dn: dn.to_owned(),
        switch: switch.to_owned(),
        at_ms: EPOCH_MS + at_ms.parse::<i64>().expect("milliseconds"),
        cause: "raw.agent/0@1".to_owned(),
    })
}

/// What the presence processor was told, as a line.
fn call(fact: &CallFact) -> String {
    let since_ms = fact.at_ms - EPOCH_MS;
    let call = match fact.call {
        None => "none",
        Some(PhoneCall::Internal) => "internal",
        Some(PhoneCall::Other) => "other",
    };
    format!("{:02}.{:03} call {} {call}", since_ms / 1000, since_ms % 1000, fact.employee_id)
}

fn is_event(line: &str) -> bool {
    line.trim_start().starts_with(|c: char| c.is_ascii_digit())
}
