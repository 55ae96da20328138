//! The envelope of values of `state.*` topics.

use serde::{Deserialize, Serialize};

/// State of one key. The body is JSON whose fields have defaults, so that an older and a newer
/// version of its one reader understand each other; nobody else reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateValue {
    /// Form of the body.
    pub version: i32,
    /// The body.
    #[serde(with = "apache_avro::serde::bytes")]
    pub body: Vec<u8>,
}
