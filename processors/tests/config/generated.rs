//! Any sequence of changes: what is told fits together, and a restart at any point changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use trunkline_processors::config::conclude::Wanted;
use trunkline_schemas::DesiredObject;
use trunkline_schemas::configdb::ConfigObject;
use trunkline_schemas::desired::DesiredKind;

use super::{Rig, object, pilot, read};

/// One step; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Enable(u8, bool),
    Move(u8, bool),
    /// Few names, so that persons share and exchange them; some are no addresses.
    Name(u8, u8),
    Levels(u8, Vec<(u8, i64)>),
    Script(u8, u8),
    Remove(u8),
    /// An object as it was in the sample.
    Restore(u8),
    Poll,
}

fn step() -> impl Strategy<Value = Step> {
    let levels = prop::collection::vec((0..7_u8, -2..30_i64), 0..4);
    prop_oneof![
        (any::<u8>(), any::<bool>()).prop_map(|(who, on)| Step::Enable(who, on)),
        (any::<u8>(), any::<bool>()).prop_map(|(who, on)| Step::Move(who, on)),
        (any::<u8>(), 0..6_u8).prop_map(|(who, name)| Step::Name(who, name)),
        (any::<u8>(), levels).prop_map(|(who, levels)| Step::Levels(who, levels)),
        (any::<u8>(), 0..4_u8).prop_map(|(group, script)| Step::Script(group, script)),
        any::<u8>().prop_map(Step::Remove),
        any::<u8>().prop_map(Step::Restore),
        Just(Step::Poll),
        Just(Step::Poll),
    ]
}

/// Key of one of the objects of that kind that are there.
fn choose(rig: &Rig, prefix: &str, number: u8) -> Option<String> {
    let keys: Vec<&String> = rig.objects.keys().filter(|key| key.starts_with(prefix)).collect();
    let number = usize::from(number) % keys.len().max(1);
    keys.get(number).map(|key| (*key).clone())
}

fn take(rig: &mut Rig, sample: &BTreeMap<String, ConfigObject>, step: &Step) -> Vec<String> {
    let (key, fields) = match step {
        Step::Enable(who, on) => (choose(rig, "person/", *who), format!("{{\"enabled\":{on}}}")),
        Step::Move(who, on) => {
            let folder = if *on { 203 } else { 205 };
            (choose(rig, "person/", *who), format!("{{\"folder\":{folder}}}"))
        }
        Step::Name(who, name) => {
            let name =
                ["a@x.com", "A@x.com", "b@x.com", "c@x.com", "nobody", ""][usize::from(*name)];
            let fields = format!("{{\"userName\":\"{name}\",\"employeeId\":\"\",\"eMail\":\"\"}}");
            (choose(rig, "person/", *who), fields)
        }
        Step::Levels(who, levels) => {
            let levels: BTreeMap<i64, i64> =
                levels.iter().map(|(skill, level)| (101 + i64::from(*skill), *level)).collect();
            let levels = levels.iter().map(|(s, l)| format!("{{\"skill\":{s},\"level\":{l}}}"));
            let levels = levels.collect::<Vec<_>>().join(",");
            (choose(rig, "person/", *who), format!("{{\"skills\":[{levels}]}}"))
        }
        Step::Script(group, script) => {
            let scripts = [
                "null",
                r#""Skill(\"Sales\") > 3""#,
                r#""~SkillExists(\"English\")""#,
                r#""LoggedIn(\"SIP_Switch\")""#,
            ];
            let fields = format!("{{\"script\":{}}}", scripts[usize::from(*script)]);
            (choose(rig, "agent-group/", *group), fields)
        }
        Step::Remove(number) => {
            if let Some(key) = choose(rig, "", *number) {
                rig.remove(&key);
            }
            return Vec::new();
        }
        Step::Restore(number) => {
            let number = usize::from(*number) % sample.len();
            rig.put(sample.values().nth(number).expect("it is one of them").clone());
            return Vec::new();
        }
        Step::Poll => return rig.poll(),
    };
    if let Some(key) = key {
        rig.edit(&key, &fields);
    }
    Vec::new()
}

/// Whatever is named by another object is there itself.
fn fits_together(wanted: &Wanted) -> Result<(), TestCaseError> {
    let mut names: BTreeMap<DesiredKind, BTreeSet<&str>> = BTreeMap::new();
    let mut active = BTreeSet::new();
    for (key, object) in wanted {
        prop_assert_eq!(&object.key(), key);
        names.entry(object.kind()).or_default().insert(object.name());
        if let DesiredObject::User(user) = object
            && user.active
        {
            active.insert(user.user_name.as_str());
            prop_assert!(!user.persons.is_empty(), "{} is active and nobody", key);
        }
    }
    let has = |kind, name: &str| names.get(&kind).is_some_and(|names| names.contains(name));
    let mut standing = BTreeSet::new();
    for (key, object) in wanted {
        match object {
            DesiredObject::User(user) => {
                for person in &user.persons {
                    prop_assert!(standing.insert(*person), "person {} is two users", person);
                }
                for skill in &user.skills {
                    prop_assert!((0..=50).contains(&skill.proficiency_tenths), "{}", key);
                }
                let all = user.skills.iter().all(|skill| has(DesiredKind::Skill, &skill.name));
                prop_assert!(all, "{} has an unknown skill", key);
            }
            DesiredObject::Queue(queue) => {
                for member in &queue.members {
                    prop_assert!(active.contains(member.as_str()), "{} in {}", member, key);
                }
                prop_assert!(queue.members.is_empty() || !queue.dns.is_empty(), "{}", key);
                let mut codes = queue.wrap_up_codes.iter();
                let all = codes.all(|code| has(DesiredKind::WrapUpCode, code));
                prop_assert!(all, "{} has an unknown code", key);
            }
            DesiredObject::Skill(_) | DesiredObject::WrapUpCode(_) | DesiredObject::Source(_) => {}
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_changes_are_told_so_that_it_fits_together(
        steps in prop::collection::vec((step(), any::<bool>()), 1..60),
    ) {
        let sample: BTreeMap<String, ConfigObject> = read("sample.jsonl")
            .lines()
            .map(|line| (object(line).key(), object(line)))
            .collect();
        let (mut rig, mut restarted) = (Rig::sample(pilot()), Rig::sample(pilot()));
        let mut polls = vec![Step::Poll];
        polls.extend(steps.iter().map(|(step, _)| step.clone()));
        polls.push(Step::Poll);
        let restarts = steps.iter().map(|(_, is_restart)| *is_restart).chain([true, true]);
        for (step, is_restart) in polls.iter().zip(restarts) {
            if is_restart {
                restarted.restart(pilot());
            }
            let told = take(&mut rig, &sample, step);
            prop_assert_eq!(&told, &take(&mut restarted, &sample, step));
            fits_together(rig.processor.wanted())?;
        }
        prop_assert_eq!(rig.poll(), Vec::<String>::new(), "the same again is nothing new");
    }
}
