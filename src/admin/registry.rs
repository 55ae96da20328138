//! The built-in schemas under the API of a schema registry (Confluent's REST API), to be read only:
//! so that tools which ask a registry can read every topic where there is none. Its base URL is
//! `http://<admin.listen>/registry`.
//!
//! A subject is `<topic>-value`; its versions are the schemas its values have ever had, oldest
//! first, and ids are those in the records themselves.

use serde_json::{Value, json};
use trunkline_schemas::codec::{BUILT_IN, BuiltIn};
use trunkline_schemas::topics::CATALOGUE;

/// What comes after the topic in the name of a subject.
const SUFFIX: &str = "-value";

/// A status and a body.
pub(super) type Answer = (u16, Value);

/// Answers a `GET` of this path, given without the base's slash.
pub(super) fn answer(path: &str) -> Answer {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts[..] {
        ["subjects"] => (200, json!(subjects())),
        ["subjects", subject, "versions"] => match schemas(subject) {
            Some(schemas) => (200, json!((1..=schemas.len()).collect::<Vec<_>>())),
            None => no_subject(subject),
        },
        ["subjects", subject, "versions", version] => of_version(subject, version, whole),
        ["subjects", subject, "versions", version, "schema"] => {
            of_version(subject, version, |_, _, (_, built_in)| parsed(built_in))
        }
        ["schemas", "types"] => (200, json!(["AVRO"])),
        ["schemas", "ids", id] => of_id(id, |_, built_in| json!({ "schema": built_in.text })),
        ["schemas", "ids", id, "schema"] => of_id(id, |_, built_in| parsed(built_in)),
        ["schemas", "ids", id, "subjects"] => of_id(id, |id, _| {
            let named = uses(id).into_iter().map(|(subject, _)| subject);
            json!(named.collect::<Vec<_>>())
        }),
        ["schemas", "ids", id, "versions"] => of_id(id, |id, _| {
            let uses = uses(id).into_iter();
            let used = |(subject, version)| json!({ "subject": subject, "version": version });
            json!(uses.map(used).collect::<Vec<_>>())
        }),
        ["mode"] | ["mode", _] => (200, json!({ "mode": "READONLY" })),
        _ => (404, json!({ "error_code": 404, "message": "HTTP 404 Not Found" })),
    }
}

fn subjects() -> Vec<String> {
    let with_schema = CATALOGUE.iter().filter(|spec| spec.value.schema().is_some());
    let mut subjects: Vec<_> =
        with_schema.map(|spec| format!("{}{SUFFIX}", spec.topic.name())).collect();
    subjects.sort_unstable();
    subjects
}

/// The schemas of a subject with their ids, oldest first.
fn schemas(subject: &str) -> Option<Vec<(usize, &'static BuiltIn)>> {
    let topic = subject.strip_suffix(SUFFIX)?;
    let spec = CATALOGUE.iter().find(|spec| spec.topic.name() == topic)?;
    let name = spec.value.schema()?;
    let numbered = (1..).zip(BUILT_IN.iter());
    Some(numbered.filter(|(_, built_in)| built_in.name == name).collect())
}

/// Subjects and versions under which a schema stands.
fn uses(id: usize) -> Vec<(String, usize)> {
    let subjects = subjects().into_iter();
    let version = |subject: String| {
        let place = schemas(&subject)?.iter().position(|(known, _)| *known == id)?;
        Some((subject, place + 1))
    };
    subjects.filter_map(version).collect()
}

fn whole(subject: &str, version: usize, (id, built_in): (usize, &BuiltIn)) -> Value {
    json!({ "subject": subject, "version": version, "id": id, "schema": built_in.text })
}

fn parsed(built_in: &BuiltIn) -> Value {
    serde_json::from_str(built_in.text).expect("a built-in schema is JSON, as the tests show")
}

fn of_version(
    subject: &str,
    version: &str,
    show: impl Fn(&str, usize, (usize, &BuiltIn)) -> Value,
) -> Answer {
    let Some(schemas) = schemas(subject) else { return no_subject(subject) };
    let is_latest = matches!(version, "latest" | "-1");
    let number = if is_latest { Some(schemas.len()) } else { version.parse().ok() };
    let Some(number) = number.filter(|number| *number > 0) else {
        let message = "The specified version is not a valid version id: it is a number from 1, or \
                       \"latest\"";
        return (422, json!({ "error_code": 42202, "message": message }));
    };
    let Some(found) = schemas.get(number - 1) else {
        let message = format!("Version {number} not found.");
        return (404, json!({ "error_code": 40402, "message": message }));
    };
    (200, show(subject, number, *found))
}

fn of_id(id: &str, show: impl Fn(usize, &BuiltIn) -> Value) -> Answer {
    let number = id.parse::<usize>().ok().filter(|number| *number > 0);
    match number.and_then(|number| Some((number, BUILT_IN.get(number - 1)?))) {
        Some((number, built_in)) => (200, show(number, built_in)),
        None => (404, json!({ "error_code": 40403, "message": "Schema not found" })),
    }
}

fn no_subject(subject: &str) -> Answer {
    let message = format!("Subject '{subject}' not found.");
    (404, json!({ "error_code": 40401, "message": message }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_answered_as_a_registry_answers() {
        let text = |id: usize| BUILT_IN[id - 1].text;
        let state_topics: Vec<_> =
            subjects().into_iter().filter(|name| name.starts_with("state.")).collect();
        assert!(state_topics.len() >= 5, "{state_topics:?}");
        for (path, status, expected) in [
            ("subjects/raw.tlib-value/versions", 200, json!([1, 2, 3])),
            ("subjects/segment-value/versions", 200, json!([1])),
            (
                "subjects/raw.tlib-value/versions/2",
                200,
                json!({ "subject": "raw.tlib-value", "version": 2, "id": 7, "schema": text(7) }),
            ),
            (
                "subjects/raw.tlib-value/versions/latest",
                200,
                json!({ "subject": "raw.tlib-value", "version": 3, "id": 10, "schema": text(10) }),
            ),
            ("schemas/ids/4", 200, json!({ "schema": text(4) })),
            ("schemas/ids/4/subjects", 200, json!(["segment-value"])),
            ("schemas/ids/6/subjects", 200, json!(state_topics)),
            (
                "schemas/ids/7/versions",
                200,
                json!([
                    { "subject": "raw.agent-value", "version": 2 },
                    { "subject": "raw.tlib-value", "version": 2 },
                ]),
            ),
            ("schemas/types", 200, json!(["AVRO"])),
            ("mode", 200, json!({ "mode": "READONLY" })),
        ] {
            assert_eq!(answer(path), (status, expected), "{path}");
        }
        for (path, status, code) in [
            ("subjects/nobody-value/versions", 404, 40401),
            // Letters of the dead have no schema of their own.
            ("subjects/dead.ingest-value/versions", 404, 40401),
            ("subjects/raw.tlib-key/versions", 404, 40401),
            ("subjects/raw.tlib-value/versions/9", 404, 40402),
            ("subjects/raw.tlib-value/versions/0", 422, 42202),
            ("subjects/raw.tlib-value/versions/old", 422, 42202),
            ("schemas/ids/0", 404, 40403),
            ("schemas/ids/99", 404, 40403),
            ("schemas/ids/one", 404, 40403),
            ("", 404, 404),
            ("compatibility", 404, 404),
        ] {
            let (found, body) = answer(path);
            assert_eq!((found, &body["error_code"]), (status, &json!(code)), "{path}");
        }
        let schema = answer("schemas/ids/1/schema").1;
        assert_eq!(schema["name"], json!("RawEvent"));
        assert_eq!(answer("subjects/raw.tlib-value/versions/1/schema").1, schema);
    }
}
