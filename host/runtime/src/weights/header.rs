//! The header of a safetensors file, fully checked before the file is used.
//!
//! The format: eight bytes of little-endian length, a JSON object of that length, and the
//! elements. The file is untrusted input: each number is checked against the size of the file before
//! it is used, and nothing larger than the header itself is allocated.

use std::fmt;

use modelzoo_base::text::{escape, excerpt};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::MAX_TENSORS;
use super::entry::{self, Entry, Type};

/// The longest header, as in the safetensors crate.
const MAX_HEADER: u64 = 100_000_000;
/// The longest name of a tensor, in bytes, and the most dimensions.
const MAX_NAME: usize = 1024;
const MAX_DIMENSIONS: usize = 64;
/// The most bytes of the header that a message quotes.
const MAX_MESSAGE: usize = 200;

/// Reads the header of `file` and checks that its tensors cover the rest of the file exactly.
///
/// # Errors
/// The reason why it is invalid.
pub(super) fn read(file: &[u8]) -> Result<Vec<(String, Entry)>, String> {
    let (length, rest) = file
        .split_first_chunk::<8>()
        .ok_or("is too short for a safetensors file")?;
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(format!(
            "is not a safetensors file: its header would be {length} bytes long"
        ));
    }
    let length = usize::try_from(length).map_err(|error| error.to_string())?;
    let (header, data) = rest.split_at_checked(length).ok_or_else(|| {
        format!("is cut off, or not a safetensors file: its header of {length} bytes is longer than the file")
    })?;
    let mut reader = Reader {
        start: file.len() - data.len(),
        available: data.len(),
        entries: Vec::new(),
        refusal: None,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(header);
    let read = reader.deserialize(&mut deserializer);
    if let Some(refusal) = reader.refusal {
        return Err(refusal);
    }
    read.and_then(|()| deserializer.end()).map_err(|error| {
        // The message quotes the header.
        let error = error.to_string();
        format!("has a malformed header: {}", excerpt(&error, MAX_MESSAGE))
    })?;
    let Reader {
        start, mut entries, ..
    } = reader;
    check_names(&mut entries)?;
    check_cover(&mut entries, start, file.len())?;
    Ok(entries)
}

/// Checks that no two tensors have one name; a map would keep the last.
fn check_names(entries: &mut [(String, Entry)]) -> Result<(), String> {
    entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let mut pairs = entries.iter().zip(entries.iter().skip(1));
    match pairs.find(|((a, _), (b, _))| a == b) {
        Some(((name, _), _)) => Err(format!("tensor \"{}\" occurs twice", escape(name))),
        None => Ok(()),
    }
}

/// Sorts the tensors by their place and checks that there are no overlaps and no gaps.
fn check_cover(entries: &mut [(String, Entry)], start: usize, end: usize) -> Result<(), String> {
    entries.sort_by_key(|(_, entry)| (entry.bytes.start, entry.bytes.end));
    let mut covered = start;
    for (name, entry) in entries.iter() {
        if entry.bytes.start != covered {
            let what = if entry.bytes.start < covered {
                "overlaps another"
            } else {
                "leaves a hole before it"
            };
            return Err(format!("tensor \"{}\" {what}", escape(name)));
        }
        covered = entry.bytes.end;
    }
    match end - covered {
        0 => Ok(()),
        left => Err(format!("has {left} bytes that belong to no tensor")),
    }
}

/// A tensor as the header describes it, unchecked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    dtype: String,
    shape: Shape,
    data_offsets: (u64, u64),
}

impl Raw {
    fn check(self, start: usize, available: usize) -> Result<Entry, String> {
        let dtype = Type::named(&self.dtype).ok_or_else(|| {
            let dtype = excerpt(&self.dtype, MAX_MESSAGE);
            format!("has elements of the unknown type \"{dtype}\"")
        })?;
        let shape = self
            .shape
            .0
            .into_iter()
            .map(usize::try_from)
            .collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| "has a dimension that is too large")?;
        let count = entry::elements(&shape).ok_or("has dimensions whose product is too large")?;
        let bytes = count * dtype.size();
        let (from, to) = self.data_offsets;
        let offsets = usize::try_from(from).ok().zip(usize::try_from(to).ok());
        let (from, to) = offsets
            .filter(|&(from, to)| from <= to && to <= available)
            .ok_or_else(|| {
                format!("lies at {from}..{to}, outside of the file's {available} bytes of elements")
            })?;
        if to - from != bytes {
            return Err(format!(
                "has {} bytes where its type and shape need {bytes}",
                to - from
            ));
        }
        Ok(Entry {
            dtype,
            shape,
            strides: None,
            source: 0,
            bytes: start + from..start + to,
        })
    }
}

/// The sides of a tensor.
struct Shape(Vec<u64>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of dimensions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
        let mut sides = Vec::new();
        while let Some(side) = list.next_element()? {
            sides.push(side);
            if sides.len() > MAX_DIMENSIONS {
                let reason = format!("a tensor of more than {MAX_DIMENSIONS} dimensions");
                return Err(A::Error::custom(reason));
            }
        }
        Ok(Shape(sides))
    }
}

/// Reads the tensors and checks each as it comes, so that a header of many tiny ones is not held
/// twice.
struct Reader {
    /// Where the elements start in the file, and how many bytes they are.
    start: usize,
    available: usize,
    entries: Vec<(String, Entry)>,
    /// Why a tensor is refused.
    refusal: Option<String>,
}

impl Reader {
    /// Adds a tensor.
    fn add(&mut self, name: String, raw: Raw) -> Result<(), String> {
        if name.len() > MAX_NAME {
            let start = excerpt(&name, 60);
            return Err(format!(
                "has a tensor whose name has more than {MAX_NAME} bytes: \"{start}\""
            ));
        }
        if self.entries.len() == MAX_TENSORS {
            return Err(format!("has more than {MAX_TENSORS} tensors"));
        }
        let entry = raw.check(self.start, self.available);
        let entry = entry.map_err(|reason| format!("tensor \"{}\" {reason}", escape(&name)))?;
        self.entries.push((name, entry));
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &mut Reader {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Reader {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut has_metadata = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                if std::mem::replace(&mut has_metadata, true) {
                    return Err(A::Error::custom("`__metadata__` occurs twice"));
                }
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let raw = map.next_value()?;
            if let Err(refusal) = self.add(name, raw) {
                self.refusal = Some(refusal);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.resize(file.len() + data, 0);
        file
    }

    #[test]
    fn valid_file_is_read() {
        let header = r#"{"__metadata__":{"format":"pt"},
            "b":{"dtype":"I64","shape":[],"data_offsets":[24,32]},
            "a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
        let file = file(header, 32);
        let entries = read(&file).unwrap();
        assert_eq!(entries[0].0, "a");
        assert_eq!(entries[0].1.shape, [2, 3]);
        assert_eq!(entries[1].1.bytes, file.len() - 8..file.len());
    }

    #[test]
    fn empty_tensor_and_empty_file_are_read() {
        let header = r#"{"a":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]}}"#;
        assert_eq!(read(&file(header, 0)).unwrap().len(), 1);
        assert_eq!(read(&file("{}", 0)).unwrap().len(), 0);
    }

    #[test]
    fn false_headers_are_refused() {
        let tensor = |dtype: &str, shape: &str, from: u64, to: u64| {
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{from},{to}]}}}}"#)
        };
        let two = |second: &str| {
            format!(r#"{{"a":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}},{second}}}"#)
        };
        let empty = r#":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#;
        let named = |length: usize| format!("{{\"{}\"{empty}}}", "n".repeat(length));
        let many: Vec<String> = (0..=MAX_TENSORS)
            .map(|n| format!("\"{n}\"{empty}"))
            .collect();
        let many = format!("{{{}}}", many.join(","));
        assert!(read(&file(&named(1024), 0)).is_ok());
        let cases = [
            (file(&tensor("F32", "[2]", 0, 8), 7), "outside"),
            (file(&tensor("F32", "[2]", 8, 0), 8), "outside"),
            (file(&tensor("F32", "[2]", 0, u64::MAX), 8), "outside"),
            (
                file(&tensor("F32", "[2]", 0, 8), 9),
                "1 bytes that belong to no tensor",
            ),
            (file(&tensor("F32", "[2]", 1, 9), 9), "hole"),
            (file(&tensor("F32", "[3]", 0, 8), 8), "need 12"),
            (file(&tensor("F99", "[2]", 0, 8), 8), "unknown type"),
            (
                file(&tensor("F32", "[4294967296,4294967296,4]", 0, 8), 8),
                "too large",
            ),
            (
                file(&tensor("F32", "[0,9223372036854775807,9]", 0, 0), 0),
                "too large",
            ),
            (file(&tensor("F32", "[-1]", 0, 8), 8), "malformed"),
            (
                file(
                    &two(r#""b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}"#),
                    6,
                ),
                "overlaps",
            ),
            (
                file(
                    &two(r#""a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}"#),
                    8,
                ),
                "twice",
            ),
            (
                file(
                    &two(r#""b":{"dtype":"F32","shape":[1],"data_offsets":[4,8],"x":1}"#),
                    8,
                ),
                "malformed",
            ),
            (
                file(r#"{"__metadata__":{},"__metadata__":{}}"#, 0),
                "occurs twice",
            ),
            (
                file(&tensor("F32", &format!("[{}0]", "1,".repeat(64)), 0, 0), 0),
                "more than 64 dimensions",
            ),
            (file(&many, 0), "more than 262144 tensors"),
            (file(&named(1025), 0), "name has more than 1024 bytes"),
            (file("[]", 0), "malformed"),
            (file(&"[".repeat(100_000), 0), "malformed"),
            (u64::MAX.to_le_bytes().to_vec(), "not a safetensors file"),
            (1000_u64.to_le_bytes().to_vec(), "cut off"),
            (vec![0; 7], "too short"),
            (Vec::new(), "too short"),
        ];
        for (file, expected) in cases {
            let reason = read(&file).unwrap_err();
            assert!(
                reason.contains(expected),
                "{reason:?} should tell of {expected:?}"
            );
        }
    }
}
