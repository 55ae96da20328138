//! The directory file, and files that are damaged.

use trunkline_schemas::directory::DirectoryFile;

use super::super::*;
use super::{CANARY, DIRECTORY, LEAST, folder, load_in, write};

/// Code and key of the one problem, the directory, the text and the hint.
type DirectoryCase = (&'static str, String, &'static str, &'static str);

fn broken_directories() -> [DirectoryCase; 9] {
    let agents = "\"agents\":[{\"employeeId\":\"E1\",\"userId\":\"U1\",\"logins\":[{\
                  \"dn\":\"7001\",\"switch\":\"SW\"}]}]";
    let second = "{\"employeeId\":\"E2\",\"userId\":\"U2\",\"logins\":[{\"dn\":\"7001\",\
                  \"switch\":\"SW\"}]}";
    let queue = "{\"dn\":\"VQ1\",\"switch\":\"SW\",\"queueId\":\"Q1\"}";
    let both = agents.replace("}]}]", &format!("}}]}},{second}]"));
    [
        (
            "E0012 agents[1].logins[0].dn",
            DIRECTORY.replace(agents, &both),
            "agent \"E2\" is at DN \"7001\" of switch \"SW\", where agent \"E1\" is already \
             (line 2)",
            "",
        ),
        (
            "E0012 queues[1].dn",
            DIRECTORY.replace(queue, &format!("{queue},\n{queue}")),
            "the queue \"VQ1@SW\" stands at queues[0].dn (line 3) already",
            "",
        ),
        (
            "E0005 servers[0].switch",
            DIRECTORY.replace(",\"switch\":\"SW\"}],\n\"agents", "}],\n\"agents"),
            "the key `switch` is missing",
            "",
        ),
        ("E0015 agents[0].userId", DIRECTORY.replace("\"U1\"", "\" \""), "is empty", ""),
        (
            "E0004 agents[0].loginz",
            DIRECTORY.replace("logins", "loginz"),
            "unknown key",
            "did you mean `logins`?",
        ),
        (
            "E0007 extensions[0].dn",
            DIRECTORY.replace("\"extensions\":[{\"dn\":\"7001\"", "\"extensions\":[{\"dn\":7001"),
            "invalid type: integer 7001, expected a string",
            "write `\"dn\": \"7001\"`",
        ),
        (
            "E0012 sourceId",
            DIRECTORY.replace("\"sourceId\":\"P1\"", "\"sourceId\":\"P1\",\"sourceId\":\"P2\""),
            "the key stands in line 5 already",
            "",
        ),
        ("E0007 ", "[]".to_owned(), "invalid type: list, expected a table", ""),
        ("E0003 ", "{\"sourceId\":}".to_owned(), "expected value", ""),
    ]
}

#[test]
fn a_directory_is_checked_with_the_same_care() {
    let folder = folder();
    let file = folder.path().join("directory.json");
    for (what, text, said, hint) in broken_directories() {
        assert_ne!(text, DIRECTORY, "{what}");
        write(&folder, "directory.json", &text);
        let errors = load_directory(&file).expect_err(what);
        assert_eq!(format!("{} {}", errors[0].code, errors[0].key), what);
        assert_eq!(errors[0].text, said);
        assert_eq!(errors[0].hint.as_deref().unwrap_or_default(), hint);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].place.is_some(), "{errors:?}");
    }
}

#[test]
fn what_serde_writes_of_a_directory_is_read_as_the_same() {
    let folder = folder();
    let directory: DirectoryFile = serde_json::from_str(DIRECTORY).expect("it is a directory");
    let text = serde_json::to_string_pretty(&directory).expect("it can be written");
    write(&folder, "directory.json", &text);
    let read = load_directory(&folder.path().join("directory.json")).expect("it is complete");
    assert_eq!(read, directory);
    let least: DirectoryFile = serde_json::from_str("{\"sourceId\":\"P\"}").expect("the least");
    write(&folder, "directory.json", "{\"sourceId\":\"P\"}");
    let read = load_directory(&folder.path().join("directory.json")).expect("it is complete");
    assert_eq!(read, least);
}

/// A file with one stretch taken out and something else put there.
fn damaged(text: &str, from: usize, length: usize, instead: &str) -> String {
    let from = text.floor_char_boundary(from % (text.len() + 1));
    let to = text.ceil_char_boundary((from + length).min(text.len()));
    format!("{}{instead}{}", &text[..from], &text[to..])
}

proptest::proptest! {
    #[test]
    fn a_damaged_file_is_read_or_refused_with_a_reason(
        from in 0_usize..1000,
        length in 0_usize..40,
        instead in "[\\PC\\n\"\\[\\]{}=,#.]{0,6}",
    ) {
        let folder = folder();
        if let Err(errors) = load_in(&folder, &damaged(LEAST, from, length, &instead)) {
            proptest::prop_assert!(!errors.is_empty());
            let shown: String = errors.iter().map(ToString::to_string).collect();
            proptest::prop_assert!(!shown.contains(CANARY));
        }
        let text = damaged(DIRECTORY, from, length, &instead);
        write(&folder, "directory.json", &text);
        match load_directory(&folder.path().join("directory.json")) {
            Err(errors) => proptest::prop_assert!(!errors.is_empty()),
            Ok(read) => {
                let serde = serde_json::from_str::<DirectoryFile>(&text).ok();
                proptest::prop_assert_eq!(Some(read), serde);
            }
        }
    }
}
