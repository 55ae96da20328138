//! The call models: given their events, then exactly the commands of the hand-written tables.

mod common;

use common::{EXPECTED, Feed, expected, model, render};

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
