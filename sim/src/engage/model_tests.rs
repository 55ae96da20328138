//! The script and the truth of every model against the call model tables.

use serde_json::{Value, json};

use super::event::Event;
use super::expected;
use super::plan::Call;
use super::script::events;
use super::*;
use crate::truth::{Expected, Leg, LegKind};

/// The call model tables (see the head of the file).
const TABLES: &str = include_str!("tables.txt");
/// The rows of a model.
pub(super) fn table(model: Model) -> Vec<&'static str> {
    let head = format!("== {}", model.name());
    let rows = TABLES.lines().skip_while(|line| *line != head).skip(1);
    rows.take_while(|line| !line.is_empty()).collect()
}

/// The call whose moments are those of the table.
fn table_call(model: Model) -> Call {
    // treatment end, queued, selected, refused, rerouted, answered, held, retrieved, ended
    let ms = match model {
        Model::DivertOnRinging | Model::DivertOnAnswer => {
            [0, 200, 15_000, 0, 0, 20_000, 0, 0, 80_000]
        }
        Model::IvrThenAgent => [20_000, 20_200, 35_000, 0, 0, 40_000, 0, 0, 100_000],
        Model::IvrOnly => [30_000, 0, 0, 0, 0, 0, 0, 0, 30_000],
        Model::AbandonedInQueue => [0, 200, 0, 0, 0, 0, 0, 0, 9_000],
        Model::AbandonedWhileRinging => [0, 200, 15_000, 0, 0, 0, 0, 0, 19_000],
        Model::NoAnswerRecalled => [0, 200, 15_000, 27_000, 30_000, 33_000, 0, 0, 60_000],
        Model::NoAnswerRerouted => [0, 200, 15_000, 25_000, 26_000, 29_000, 0, 0, 60_000],
        Model::Outbound => [0, 0, 0, 0, 0, 9_000, 0, 0, 60_000],
        Model::OutboundBusy => [0, 0, 0, 0, 0, 0, 0, 0, 20_000],
        Model::HoldRetrieve => [0, 200, 15_000, 0, 0, 20_000, 30_000, 45_000, 70_000],
        Model::Internal => [0, 0, 0, 0, 0, 4_000, 0, 0, 30_000],
    };
    let [treatment_end, queued, selected, refused, rerouted, answered, held, retrieved, ended] =
        ms.map(|ms| ms * plan::MS);
    let outbound = matches!(model, Model::Outbound | Model::OutboundBusy);
    Call {
        model,
        customer: if outbound { "+15557770001" } else { "+15551230001" }.to_owned(),
        second_agent: 1,
        agent_hangs_up: model.agent_usually_hangs_up(),
        treatment_end,
        queued,
        selected,
        refused,
        rerouted,
        answered,
        held,
        retrieved,
        ended,
        ..Call::default()
    }
}

/// An event as a row of the tables.
fn row(site: &Site, event: &Event) -> String {
    let text = |key: &str| event.attributes.get(key).and_then(Value::as_str);
    let number = |key: &str| event.attributes.get(key).and_then(Value::as_u64);
    let vq = |id: &Value| (1..=2).find(|time| *id == json!(site.vq_id(0, *time)));
    let mut row = format!("{} {} {}", event.at / plan::MS, event.role.stream(), event.name);
    let mut add = |part: Option<String>| row.extend(part.map(|part| format!(" {part}")));
    let party = |id| (1..=5).find(|number| site.party_uuid(0, *number) == id);
    add(text("PartyUUID").and_then(party).map(|number| format!("P{number}")));
    add(text("DN").map(str::to_owned));
    add(number("PartyState").map(|state| format!("state={state:x}")));
    add(number("Cause").map(|cause| format!("cause={cause}")));
    add(text("ThisDN").map(str::to_owned));
    let extensions = event.attributes.get("Extensions");
    add(extensions.and_then(|found| vq(&found["VQID"])).map(|time| format!("V{time}")));
    let parties = extensions.and_then(|found| {
        Some(format!("{}+{}", found["LCTParty0"].as_str()?, found["LCTParty1"].as_str()?))
    });
    add(parties);
    add(text("ThirdPartyDN").map(|dn| format!("to={dn}")));
    let created = event.name == "EventCallCreated";
    add(number("CallType").filter(|_| created).map(|kind| format!("type={kind}")));
    let data = event.attributes.get("UserData");
    add(data.and_then(|data| vq(&data["RVQID"])).map(|time| format!("RVQID=V{time}")));
    add(text("CtrlParty").map(|dn| format!("by={dn}")));
    row
}

#[test]
fn every_model_gives_the_events_of_its_table() {
    let site = Site::new(7, 60, false);
    for (model, _) in SHARES {
        let rows: Vec<_> =
            events(&site, &table_call(model)).iter().map(|event| row(&site, event)).collect();
        assert_eq!(rows, table(model), "model {}", model.name());
    }
    let heads = TABLES.lines().filter_map(|line| line.strip_prefix("== "));
    assert!(heads.eq(SHARES.iter().map(|(model, _)| model.name())), "a table for each model");
}

/// A leg in short: kind and whose, start, `*` if alerting, answer, holds, end, disconnect type.
fn leg_row(site: &Site, leg: &Leg) -> String {
    let agents = site.agents.iter().map(|agent| (&agent.user_id, &agent.dn));
    let queues = site.queues.iter().map(|queue| (&queue.id, &queue.dn));
    let whose = leg.id.as_ref().map_or_else(String::new, |id| {
        let dn = agents.chain(queues).find(|(known, _)| *known == id).map(|(_, dn)| dn);
        format!("({})", dn.expect("a leg belongs to an agent or a queue of the site"))
    });
    let kind = match leg.kind {
        LegKind::External => "external",
        LegKind::Ivr => "ivr",
        LegKind::Routing => "routing",
        LegKind::User => "user",
        LegKind::Phone => "phone",
    };
    let alerting = if leg.alerting { "*" } else { "" };
    let answer = leg.answered_ms.map_or_else(String::new, |at| format!(" answered {at}"));
    let hold = |(at, held): &(i64, bool)| format!(" {} {at}", if *held { "held" } else { "back" });
    let holds = leg.holds.iter().map(hold).collect::<Vec<_>>().concat();
    let end = leg.end_ms.expect("every leg ends");
    let disconnect = leg.disconnect.as_deref().expect("every leg ends somehow");
    format!("{kind}{whose} {}{alerting}{answer}{holds} - {end} {disconnect}", leg.start_ms)
}

/// What the organisation must hold of the calls of the tables, worked out by hand.
const TRUTHS: [(Model, &[&str]); 12] = [
    (
        Model::DivertOnRinging,
        &[
            "external 0 - 80000 Self",
            "routing(VQ_Sales) 200 - 20000 TransferUser",
            "user(7001) 15010* answered 20000 - 80001 Peer",
        ],
    ),
    (
        Model::DivertOnAnswer,
        &[
            "external 0 - 80001 Peer",
            "routing(VQ_Sales) 200 - 20000 TransferUser",
            "user(7001) 15010* answered 20000 - 80000 Self",
        ],
    ),
    (
        Model::IvrThenAgent,
        &[
            "external 0 - 100000 Self",
            "ivr 101 - 20200 TransferACD",
            "routing(VQ_Sales) 20200 - 40000 TransferUser",
            "user(7001) 35010* answered 40000 - 100001 Peer",
        ],
    ),
    (Model::IvrOnly, &["external 0 - 30000 Self", "ivr 101 - 30001 Peer"]),
    (Model::AbandonedInQueue, &["external 0 - 9000 Self", "routing(VQ_Sales) 200 - 9001 Peer"]),
    (
        Model::AbandonedWhileRinging,
        &[
            "external 0 - 19000 Self",
            "routing(VQ_Sales) 200 - 19001 Peer",
            "user(7001) 15010* - 19001 Peer",
        ],
    ),
    (
        Model::NoAnswerRecalled,
        &[
            "external 0 - 60000 Self",
            "routing(VQ_Sales) 200 - 33000 TransferUser",
            "user(7001) 15010* - 27001 System",
            "user(7002) 30000* answered 33000 - 60001 Peer",
        ],
    ),
    (
        Model::NoAnswerRerouted,
        &[
            "external 0 - 60000 Self",
            "routing(VQ_Sales) 200 - 29000 TransferUser",
            "user(7001) 15010* - 25000 System",
            "user(7002) 26000* answered 29000 - 60001 Peer",
        ],
    ),
    (Model::Outbound, &["user(7001) 0 - 60000 Self", "external 40* answered 9000 - 60001 Peer"]),
    (Model::OutboundBusy, &["user(7001) 0 - 20001 Peer", "external 40* - 20000 System"]),
    (
        Model::HoldRetrieve,
        &[
            "external 0 - 70000 Self",
            "routing(VQ_Sales) 200 - 20000 TransferUser",
            "user(7001) 15010* answered 20000 held 30000 back 45000 - 70001 Peer",
        ],
    ),
    (Model::Internal, &[]),
];

#[test]
fn the_truth_of_every_model_is_as_worked_out_by_hand() {
    let site = Site::new(7, 60, false);
    for (model, rows) in TRUTHS {
        let truth = expected::truth(&site, &table_call(model), |at| (at / plan::MS) as i64);
        assert_eq!(truth.model, model.name());
        match truth.expected {
            Expected::Conversation(legs) => {
                let told: Vec<_> = legs.iter().map(|leg| leg_row(&site, leg)).collect();
                assert_eq!(told, rows, "model {}", model.name());
            }
            Expected::Nothing(why) => assert_eq!((why.as_str(), rows.len()), ("internal", 0)),
        }
    }
}

#[test]
fn who_hangs_up_first_varies_with_the_seed() {
    for (model, _) in SHARES {
        let settings = plan::Settings {
            seed: 7,
            calls: 100,
            rate: 1.0,
            agents: 60,
            queues: 3,
            only: Some(model),
        };
        let by_agent = plan::plan(&settings).iter().filter(|call| call.agent_hangs_up).count();
        let usual = model.agent_usually_hangs_up();
        let range = match (model.is_answered(), usual) {
            (true, true) => 55..=85,
            (true, false) => 15..=45,
            (false, true) => 100..=100,
            (false, false) => 0..=0,
        };
        assert!(range.contains(&by_agent), "model {}: {by_agent}", model.name());
    }
}
