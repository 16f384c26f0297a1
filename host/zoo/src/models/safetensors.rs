//! Whether a file has the header and the length of a safetensors file.
//!
//! Nothing of the header is kept: memory does not depend on the file. What the tensors are, and
//! whether they overlap, is checked when they are loaded.

use std::fmt;
use std::io::Read;

use modelzoo_base::text::escape;
use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};

/// The longest header, as in the safetensors crate.
const MAX_HEADER: u64 = 100_000_000;
/// The bytes before the header: its length.
const LENGTH: u64 = 8;

/// Why a file of `size` bytes cannot be a safetensors file; `None` if it can.
pub(super) fn problem(mut file: impl Read, size: u64) -> Option<String> {
    let mut length = [0; LENGTH as usize];
    if file.read_exact(&mut length).is_err() {
        return Some("it is too short for a safetensors file".to_owned());
    }
    let length = u64::from_le_bytes(length);
    let Some(data) = size
        .checked_sub(LENGTH)
        .and_then(|rest| rest.checked_sub(length))
    else {
        return Some("it is cut off, or not a safetensors file".to_owned());
    };
    if length > MAX_HEADER {
        return Some("it is not a safetensors file".to_owned());
    }
    match serde_json::from_reader::<_, Header>(file.take(length)) {
        Err(error) => {
            let error = error.to_string();
            Some(format!("it is not a safetensors file: {}", escape(&error)))
        }
        Ok(Header { end }) if end > data => Some(format!(
            "it is cut off: its tensors have {end} bytes, and {data} are there"
        )),
        Ok(_) => None,
    }
}

/// The header, of which only the end of the last tensor counts.
struct Header {
    end: u64,
}

#[derive(Deserialize)]
struct Tensor {
    data_offsets: (u64, u64),
}

/// The name of a tensor, which is not kept.
#[derive(PartialEq, Eq)]
enum Name {
    Metadata,
    Tensor,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Name, E> {
                Ok(match name {
                    "__metadata__" => Name::Metadata,
                    _ => Name::Tensor,
                })
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;
        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut end = 0;
                while let Some(name) = map.next_key::<Name>()? {
                    if name == Name::Metadata {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let Tensor {
                        data_offsets: (from, to),
                    } = map.next_value()?;
                    if from > to {
                        return Err(A::Error::custom("a tensor ends before it begins"));
                    }
                    end = end.max(to);
                }
                Ok(Header { end })
            }
        }
        deserializer.deserialize_map(HeaderVisitor)
    }
}
