//! The value of one attribute of an event.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::line::{ATTRIBUTE_BYTES_MAX, LineCode, LineError};

/// Last second that is taken for a time: the end of the year 9999.
const SECONDS_MAX: i64 = 253_402_300_799;

/// The value of an attribute, whatever it is: an unforeseen type must not cost the event.
#[derive(Default)]
pub(crate) enum Attr<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Integer(i64),
    Time {
        seconds: Option<i64>,
        micros: Option<i64>,
    },
    Other,
}

impl Attr<'_> {
    /// As text; a DN may be written as a number. Empty is none.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, LineError> {
        match self {
            Self::Text(text) if text.len() > ATTRIBUTE_BYTES_MAX => {
                let why = format!("{name} is over {ATTRIBUTE_BYTES_MAX} bytes");
                Err(LineError::new(LineCode::BadField, why))
            }
            Self::Text(text) => Ok(Some(text.as_ref().to_owned()).filter(|text| !text.is_empty())),
            Self::Integer(number) => Ok(Some(number.to_string())),
            Self::Absent | Self::Time { .. } | Self::Other => Ok(None),
        }
    }

    fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Absent | Self::Text(_) | Self::Time { .. } | Self::Other => None,
        }
    }

    /// As seconds since 1970.
    pub(crate) fn seconds(&self) -> Option<i64> {
        match self {
            Self::Integer(seconds) | Self::Time { seconds: Some(seconds), .. } => {
                Some(*seconds).filter(|seconds| (0..=SECONDS_MAX).contains(seconds))
            }
            Self::Absent | Self::Text(_) | Self::Time { seconds: None, .. } | Self::Other => None,
        }
    }

    /// As microseconds since 1970.
    pub(crate) fn micros(&self) -> Option<i64> {
        match self {
            Self::Time { micros: Some(micros), .. } if (0..1_000_000).contains(micros) => {
                Some(self.seconds()? * 1_000_000 + micros)
            }
            Self::Time { .. } | Self::Absent | Self::Text(_) | Self::Integer(_) | Self::Other => {
                None
            }
        }
    }

    /// As microseconds since 1970, where the second alone will do.
    pub(crate) fn micros_of_time(&self) -> Option<i64> {
        match self {
            Self::Time { micros: None, .. } => Some(self.seconds()? * 1_000_000),
            Self::Time { .. } | Self::Absent | Self::Text(_) | Self::Integer(_) | Self::Other => {
                self.micros()
            }
        }
    }

    /// Whether it is not there.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// As the number of an event: up to 16 hexadecimal digits, or a number.
    pub(crate) fn sequence(&self) -> Option<i64> {
        match self {
            Self::Text(text) if text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                i64::from_str_radix(text, 16).ok()
            }
            Self::Integer(number) => Some(*number).filter(|number| *number >= 0),
            Self::Absent | Self::Text(_) | Self::Time { .. } | Self::Other => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Attr<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AttrVisitor)
    }
}

struct AttrVisitor;

#[derive(Deserialize)]
#[serde(field_identifier)]
enum TimeKey {
    TimeinSecs,
    TimeinuSecs,
    #[serde(other)]
    Other,
}

impl<'de> Visitor<'de> for AttrVisitor {
    type Value = Attr<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Attr::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Attr::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Attr::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or(Attr::Other, Attr::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Attr::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Attr::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Attr::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Attr::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut seconds, mut micros) = (None, None);
        while let Some(key) = map.next_key::<TimeKey>()? {
            match key {
                TimeKey::TimeinSecs => seconds = map.next_value::<Attr<'_>>()?.integer(),
                TimeKey::TimeinuSecs => micros = map.next_value::<Attr<'_>>()?.integer(),
                TimeKey::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Attr::Time { seconds, micros })
    }
}
