//! Generated calls: what the processor tells of them is what an independent model says of their
//! whole story; and neither the order of the streams, nor a second copy, nor lost or repeated
//! events change it. A failure names the seed and shows the story.

#![allow(clippy::wildcard_enum_match_arm, reason = "each part looks at the few kinds it is about")]

#[path = "../common/mod.rs"]
mod common;
mod events;
mod org;
mod random;
mod run;
mod story;
mod truth;

use std::fmt::Debug;
use std::io::{self, Write};
use std::thread;
use std::time::Instant;

use random::Random;
use run::{Copy, Feeding, Runner, streams};
use story::Story;

/// Half of a case's time is allocation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Cases of each property; together a million.
const TRUTH_CASES: u64 = 640_000;
const ORDER_CASES: u64 = 300_000;
const LATE_CASES: u64 = 10_000;
const COPIES_CASES: u64 = 30_000;
const REPEAT_CASES: u64 = 20_000;
/// Cases of a processor before a new one takes its place.
const LIFE_CASES: u64 = 128;
/// W, as the processor's default.
const W_MS: i64 = 2_000;

/// Runs the cases on all cores and says how long they took. A case is told its seed.
#[expect(clippy::disallowed_methods, reason = "how long it took is printed, not judged")]
fn check(name: &str, cases: u64, case: impl Fn(&mut Runner, u64, &Story) + Sync) {
    let watch = Instant::now();
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    thread::scope(|scope| {
        for thread in 0..threads {
            let case = &case;
            scope.spawn(move || {
                let mut runner = Runner::new();
                for (nth, seed) in (thread..cases).step_by(threads as usize).enumerate() {
                    if nth as u64 % LIFE_CASES == LIFE_CASES - 1 {
                        runner = Runner::new();
                    }
                    case(&mut runner, seed, &story::story(&mut Random(seed)));
                }
            });
        }
    });
    // Past the capture: it is for whoever reads what the tests printed.
    let took_ms = watch.elapsed().as_millis();
    let said = writeln!(io::stderr(), "{name}: {cases} generated calls in {took_ms} ms");
    said.expect("standard error can be written");
}

/// Each event once and in order, as it is.
fn plain() -> Feeding {
    Feeding { decoded: true, ..Feeding::default() }
}

fn same<T: PartialEq + Debug>(seed: u64, story: &Story, found: &T, wanted: &T) {
    assert!(found == wanted, "seed {seed}\n{story:#?}\nfound {found:#?}\nwanted {wanted:#?}");
}

#[test]
fn the_organisation_holds_what_the_model_says() {
    check("processor = model", TRUTH_CASES, |runner, seed, story| {
        let told = runner.run(story, &plain());
        let truth = truth::truth(story);
        same(seed, story, &org::near(told.org(), &truth), &truth);
    });
}

#[test]
fn within_w_the_order_of_the_streams_changes_nothing() {
    check("any order within W", ORDER_CASES, |runner, seed, story| {
        let order = Some((Random(seed ^ 0x5EED), W_MS));
        let told = runner.run(story, &Feeding { order, ..plain() });
        let truth = truth::truth(story);
        same(seed, story, &org::near(told.org(), &truth), &truth);
    });
}

#[test]
fn beyond_w_it_is_still_a_legal_conversation() {
    check("any order at all", LATE_CASES, |runner, seed, story| {
        let order = Some((Random(seed ^ 0x1A7E), i64::MAX / 2));
        let told = runner.run(story, &Feeding { order, ..Feeding::default() });
        let legal = org::legal(&told.commands);
        assert!(legal.is_ok(), "seed {seed}: {legal:?}\n{story:#?}\n{:#?}", told.commands);
    });
}

#[test]
fn a_second_copy_with_losses_changes_nothing() {
    check("two copies, one with losses", COPIES_CASES, |runner, seed, story| {
        let mut random = Random(seed ^ 0xC0B1);
        let wanted = runner.run(story, &plain()).bodies();
        let length_ms = story.last().map_or(0, |(at_ms, _)| *at_ms) as u64;
        let from_ms = random.below(length_ms + 1) as i64;
        let lost =
            (random.below(4) > 0).then(|| (from_ms, from_ms + random.below(length_ms + 1) as i64));
        let copy = Copy { lag_ms: random.below(9_000) as i64 - 4_500, lost };
        let first_loses = random.below(2) == 0;
        let feeding = Feeding { copy: Some(copy), first_loses, ..plain() };
        same(seed, story, &runner.run(story, &feeding).bodies(), &wanted);
    });
}

#[test]
fn repeated_events_change_nothing() {
    check("every event once to five times", REPEAT_CASES, |runner, seed, story| {
        let wanted = runner.run(story, &plain()).bodies();
        let repeats = Some(Random(seed ^ 0x5AA5));
        let told = runner.run(story, &Feeding { repeats, ..Feeding::default() });
        same(seed, story, &told.bodies(), &wanted);
    });
}

/// The generator makes what it says: every step of it, and the three streams, are there.
#[test]
fn the_generator_makes_every_step() {
    let mut seen = std::collections::BTreeSet::new();
    let mut events = 0;
    for seed in 0..2_000 {
        let story = story::story(&mut Random(seed));
        for (_, step) in &story {
            let name = format!("{step:?}");
            let name = name.split(['(', ' ']).next().expect("a name").to_owned();
            seen.insert(name);
        }
        events += streams(&events::events(seed, &story)).iter().map(Vec::len).sum::<usize>();
        assert!(story.windows(2).all(|pair| pair[0].0 < pair[1].0), "seed {seed}: {story:?}");
    }
    let wanted = [
        "Answer",
        "CallIn",
        "CallInside",
        "CallOut",
        "Complete",
        "Conference",
        "Consult",
        "ConsultAnswer",
        "ConsultDrop",
        "ConsultQueue",
        "ConsultRing",
        "CustomerAnswers",
        "CustomerBusy",
        "HangUp",
        "Hold",
        "NoAnswer",
        "Pass",
        "PassToQueue",
        "Queue",
        "Retrieve",
        "Ring",
        "Treat",
    ];
    assert!(seen.iter().eq(wanted), "{seen:?}");
    assert!(events / 2_000 >= 15, "{events}");
}
