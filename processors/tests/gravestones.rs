//! What is over leaves a gravestone: late events are known to be of it and say nothing, and after
//! its time nothing is left.

mod common;

use common::{EXPECTED, Feed, Line, model};

/// All lines of a model once more, numbered as new events and dated after everything.
fn once_more(lines: &[Line], now_ms: i64) -> Vec<Line> {
    let anew = |(n, line): (usize, &Line)| {
        let mut line = line.clone();
        line.event["EventSequenceNumber"] = format!("{:016x}", 100_000 + n).into();
        Line { at_ms: now_ms + n as i64, ..line }
    };
    lines.iter().enumerate().map(anew).collect()
}

#[test]
fn what_comes_late_says_nothing_and_leaves_the_gravestone() {
    for name in EXPECTED {
        let lines = model(name);
        let mut feed = Feed::new();
        for line in &lines {
            feed.line(line);
        }
        feed.finish();
        let counters = feed.processor.counters();
        assert_eq!(counters.conversations, 0, "{name}: it is over");
        assert!(counters.gravestones > 0, "{name}");
        let told = (feed.commands.len(), feed.outcomes.len(), feed.dead);

        for line in once_more(&lines, feed.now_ms) {
            feed.line(&line);
        }
        feed.finish();
        assert_eq!((feed.commands.len(), feed.outcomes.len(), feed.dead), told, "{name}");
        assert_eq!(feed.processor.counters().gravestones, counters.gravestones, "{name}");

        // Ten minutes after the last of it.
        for _ in 0..9 {
            feed.finish();
        }
        assert_eq!(feed.processor.counters().gravestones, 0, "{name}");
        assert_eq!(feed.processor.calls_of(&feed_id(&feed)), None, "{name}");
    }
}

/// The conversation that was told first, else one that never was.
fn feed_id(feed: &Feed) -> String {
    let told = feed.commands.first().map(|command| command.conversation_id.clone());
    told.or_else(|| feed.outcomes.first().map(|o| o.conversation_id.clone())).unwrap_or_default()
}
