//! The three streams of a call come in any order across each other. With a skew within W the
//! commands are the same to the byte; beyond it the conversation is still a legal one.

mod common;

use std::collections::BTreeMap;

use common::{EPOCH_MS, EXPECTED, Feed, Line, all_models, expected, model, render};
use serde_json::json;
use trunkline_schemas::command::{DisconnectType, VoiceEvent};
use trunkline_schemas::raw::Stream;
use trunkline_schemas::{ConversationCommand, OutcomeStatus};

const SEEDS: u64 = 300;
/// W in milliseconds, as the processor's default.
const W_MS: i64 = 2_000;

/// SplitMix64: a seed names its choices for good.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// The lines in an order in which the own one of each stream of each server is kept, and nothing is
/// read after something more than `skew_ms` newer.
fn interleave(lines: &[Line], random: &mut Random, skew_ms: i64) -> Vec<Line> {
    let mut by_stream: BTreeMap<(&str, Stream), Vec<&Line>> = BTreeMap::new();
    for line in lines.iter().rev() {
        by_stream.entry((&line.source, line.stream)).or_default().push(line);
    }
    let mut streams: Vec<Vec<&Line>> = by_stream.into_values().collect();
    let mut mixed = Vec::new();
    loop {
        let oldest = streams.iter().filter_map(|s| s.last()).map(|l| l.at_ms).min();
        let Some(oldest) = oldest else { return mixed };
        let open: Vec<usize> = (0..streams.len())
            .filter(|i| streams[*i].last().is_some_and(|l| l.at_ms - oldest <= skew_ms))
            .collect();
        let chosen = open[random.below(open.len() as u64) as usize];
        mixed.extend(streams[chosen].pop().cloned());
    }
}

/// The same lines with a call each half second that waits in a VQ of each server and is nobody's:
/// busy sites, whose VQ streams pass every time soon.
fn among_others(lines: &[Line]) -> Vec<Line> {
    let (first, last) = (lines[0].at_ms, lines[lines.len() - 1].at_ms);
    let others = (first..=last + 1_000).step_by(500).flat_map(|at_ms| {
        ["sips1", "sips2"].map(|source| Line {
            source: source.to_owned(),
            stream: Stream::Vq,
            at_ms,
            event: json!({
                "id": "EventQueued",
                "ThisDN": "VQ_Nobody",
                "CallUUID": format!("{source}-{at_ms}"),
                "ConnID": format!("{source}-{at_ms}"),
            }),
        })
    });
    let mut all: Vec<Line> = lines.iter().cloned().chain(others).collect();
    all.sort_by_key(|line| line.at_ms);
    all
}

fn run(lines: &[Line]) -> Feed {
    let mut feed = Feed::new();
    for line in lines {
        feed.line(line);
    }
    feed.finish();
    feed
}

#[test]
fn with_a_skew_within_w_the_commands_are_the_same() {
    for name in EXPECTED {
        let lines = model(name);
        let wanted = run(&lines);
        assert_eq!(render(&wanted.commands, &wanted.outcomes), expected(name));
        let bodies: Vec<_> = wanted.commands.iter().map(without_cause).collect();
        let busy = among_others(&lines);
        for seed in 0..SEEDS {
            let given = if seed % 4 == 0 { &busy } else { &lines };
            let mixed = interleave(given, &mut Random(seed), W_MS);
            let got: Vec<_> = run(&mixed).commands.iter().map(without_cause).collect();
            assert_eq!(got, bodies, "model {name}, seed {seed}");
        }
    }
}

/// A command but for the place of the record that caused it, which depends on the order of reading.
fn without_cause(command: &ConversationCommand) -> ConversationCommand {
    ConversationCommand { cause: String::new(), ..command.clone() }
}

#[test]
fn with_any_skew_every_model_gives_a_legal_conversation() {
    for name in all_models() {
        let lines = model(&name);
        for seed in 0..SEEDS / 5 {
            let mixed = interleave(&lines, &mut Random(seed), i64::MAX / 2);
            let feed = run(&mixed);
            if let Err(why) = all_legal(&feed.commands) {
                panic!("model {name}, seed {seed}: {why}\n{:#?}", render(&feed.commands, &[]));
            }
        }
    }
}

#[test]
fn in_its_own_order_every_model_gives_a_legal_conversation() {
    for name in all_models() {
        let feed = run(&model(&name));
        all_legal(&feed.commands).unwrap_or_else(|why| panic!("model {name}: {why}"));
        let told = !feed.commands.is_empty();
        let left_out = feed.outcomes.iter().any(|o| o.status == OutcomeStatus::LeftOut);
        assert!(told || left_out, "model {name}: nothing told, and no reason");
    }
}

/// Judges each conversation by itself.
fn all_legal(commands: &[ConversationCommand]) -> Result<(), String> {
    let mut ids: Vec<&str> = commands.iter().map(|c| c.conversation_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.iter().try_for_each(|id| {
        let of = |c: &&ConversationCommand| c.conversation_id == *id;
        legal(&commands.iter().filter(of).cloned().collect::<Vec<_>>())
    })
}

/// The invariants (a) to (d), (f) and (h) of the flows, in few words: written from the
/// specification, apart from the machine they judge.
fn legal(commands: &[ConversationCommand]) -> Result<(), String> {
    let mut begun: Vec<&str> = Vec::new();
    let mut ended: Vec<&str> = Vec::new();
    let mut transfers: Vec<(&str, bool, bool)> = Vec::new();
    let mut consults = 0;
    let mut last_ms = i64::MIN;
    let mut alone_since: Option<i64> = None;
    let mut ids: Vec<&str> = Vec::new();
    for (n, command) in commands.iter().enumerate() {
        let at_ms = command.event_date_time_ms;
        let fail = |why: &str| Err(format!("command {}: {why}", n + 1));
        if command.seq != n as i64 + 1 || at_ms <= last_ms || ids.contains(&&*command.event_id) {
            return fail("seq, time or id does not go on");
        }
        if alone_since.is_some_and(|since| at_ms - since > 1_000) {
            return fail("one leg was alone for over 1 s before it");
        }
        last_ms = at_ms;
        ids.push(&command.event_id);
        let establishes = command.event.array().ends_with("EstablishedEvents");
        if n == 0 && !establishes {
            return fail("it is the first and establishes nothing");
        }
        if let Some(leg) = command.event.communication() {
            if establishes == begun.contains(&leg) {
                return fail("established twice, or not established");
            }
            if ended.contains(&leg) {
                return fail("its leg has ended");
            }
            if establishes {
                begun.push(leg);
            }
        }
        if let VoiceEvent::CommunicationEnded(e) = &command.event {
            ended.push(&e.communication_id);
        } else if let VoiceEvent::RoutingTransfer(e) = &command.event {
            transfers.push((&e.command_id, false, false));
        } else if let VoiceEvent::UserTransfer(e) = &command.event {
            transfers.push((&e.command_id, false, false));
        } else if let VoiceEvent::ProgressTransfer(e) = &command.event {
            let open = transfers.iter_mut().find(|t| t.0 == e.command_id && !t.2);
            let Some(open) = open else { return fail("no such transfer") };
            open.1 = true;
        } else if let VoiceEvent::EndTransfer(e) = &command.event {
            let open = transfers.iter_mut().find(|t| t.0 == e.command_id && !t.2);
            let Some(open) = open else { return fail("no such transfer") };
            open.2 = true;
        } else if command.event.array() == "consultTransferEvents" {
            consults += 1;
        } else if command.event.array() == "endConsultTransferEvents" {
            consults -= 1;
        }
        if !(0..=1).contains(&consults) {
            return fail("two consults, or the end of none");
        }
        let open = begun.len() - ended.len();
        alone_since = (begun.len() > 1 && open == 1).then_some(alone_since.unwrap_or(at_ms));
    }
    if begun.len() != ended.len() {
        return Err(format!("{} legs are open at the end", begun.len() - ended.len()));
    }
    if consults != 0 {
        return Err("a consult without an end".to_owned());
    }
    if transfers.iter().any(|t| !t.1 || !t.2) {
        return Err("a transfer without progress or end".to_owned());
    }
    Ok(())
}

#[test]
fn the_judge_finds_what_is_wrong() {
    let good = run(&model("05a")).commands;
    legal(&good).expect("a good conversation");
    let twice = [&good[..1], &good[..]].concat();
    assert!(legal(&twice).is_err(), "a command that comes twice");
    assert!(legal(&good[..good.len() - 1]).is_err(), "a leg left open");
    let mut early = good.clone();
    early.last_mut().expect("commands").event_date_time_ms = EPOCH_MS;
    assert!(legal(&early).is_err(), "a time that goes back");
    let mut cut = good;
    let system = |c: &ConversationCommand| {
        matches!(&c.event, VoiceEvent::CommunicationEnded(e)
            if e.disconnect_type == DisconnectType::System)
    };
    cut.retain(|c| !system(c));
    assert!(legal(&cut).is_err(), "an end left out");
}
