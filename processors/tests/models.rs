//! The call models: given their events, then exactly the commands of the hand-written tables.

mod common;

use common::{EXPECTED, Feed, case, cases, compact, expected, model, render};

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
        let mut feed = Feed::new();
        for (n, line) in given.lines().filter(|l| is_event(l)).enumerate() {
            feed.line(&compact(line, n));
        }
        feed.finish();
        let got = render(&feed.commands, &feed.outcomes);
        assert_eq!(got.join("\n"), then.trim_end(), "case {name}");
        assert_eq!(feed.dead, 0, "case {name}");
    }
}

fn is_event(line: &str) -> bool {
    line.trim_start().starts_with(|c: char| c.is_ascii_digit())
}
