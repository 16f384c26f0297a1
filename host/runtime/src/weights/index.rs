//! Weights in shards: the index that Hugging Face's tools write beside them
//! (`model.safetensors.index.json`, `pytorch_model.bin.index.json`).
//!
//! The index says which tensor is in which file. Files lie beside the index, by plain names, and
//! hold the tensors that the index lists for them and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use modelzoo_base::text::{escape, excerpt, is_unsafe};
use serde::Deserialize;
use serde::de::{Error as _, MapAccess, Visitor};

use super::MAX_TENSORS;
use super::refusal::Refusal;

/// How the name of an index ends.
const SUFFIX: &str = ".index.json";
/// The longest index, in bytes, and the most shards. Those of large models have some megabytes
/// and a hundred.
const MAX_BYTES: usize = 64 << 20;
const MAX_SHARDS: usize = 1000;
/// The most bytes of the file that a message quotes.
const MAX_MESSAGE: usize = 200;

/// Whether a file of weights is an index, by its name.
pub(super) fn is_index(name: &str) -> bool {
    name.ends_with(SUFFIX)
}

/// What an index lists: the shards, each with the names of its tensors.
#[derive(Debug)]
pub(super) struct Index(pub(super) BTreeMap<String, BTreeSet<String>>);

impl Index {
    /// Reads the index `file`.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub(super) fn read(file: &[u8]) -> Result<Self, Refusal> {
        if file.len() > MAX_BYTES {
            return Err(format!("is an index of more than {MAX_BYTES} bytes").into());
        }
        let document: Document = serde_json::from_slice(file).map_err(|error| {
            format!(
                "is a malformed index: {}",
                excerpt(&error.to_string(), MAX_MESSAGE)
            )
        })?;
        let mut shards = BTreeMap::<String, BTreeSet<String>>::new();
        for (tensor, shard) in document.weight_map.0 {
            if !is_plain(&shard) {
                let shard = excerpt(&shard, MAX_MESSAGE);
                return Err(format!("lists the file \"{shard}\", which is not beside it").into());
            }
            shards.entry(shard).or_default().insert(tensor);
            if shards.len() > MAX_SHARDS {
                return Err(format!("lists more than {MAX_SHARDS} files").into());
            }
        }
        if shards.is_empty() {
            return Err("lists no tensors".into());
        }
        Ok(Self(shards))
    }
}

/// Compares the tensors of a shard with those that its index lists for it.
///
/// # Errors
/// [`Refusal::Malformed`].
pub(super) fn compare<'a>(
    listed: &BTreeSet<String>,
    held: impl Iterator<Item = &'a str>,
) -> Result<(), Refusal> {
    let held: BTreeSet<&str> = held.collect();
    if let Some(missing) = listed.iter().find(|name| !held.contains(name.as_str())) {
        let missing = escape(missing);
        return Err(format!("lacks the tensor \"{missing}\" that its index lists").into());
    }
    match held.into_iter().find(|name| !listed.contains(*name)) {
        Some(extra) => {
            let extra = escape(extra);
            Err(format!("holds the tensor \"{extra}\" that its index does not list").into())
        }
        None => Ok(()),
    }
}

/// Whether a name is one of a file in the same directory.
fn is_plain(name: &str) -> bool {
    let plain = Path::new(name).file_name();
    plain.is_some_and(|plain| plain == name)
        && !name.contains(|c| matches!(c, '/' | '\\') || is_unsafe(c))
}

#[derive(Deserialize)]
struct Document {
    weight_map: WeightMap,
}

/// The file of each tensor; a tensor that is listed twice is refused, where a map would keep the
/// last.
struct WeightMap(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WeightMapVisitor)
    }
}

struct WeightMapVisitor;

impl<'de> Visitor<'de> for WeightMapVisitor {
    type Value = WeightMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of file names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WeightMap, A::Error> {
        let mut files = BTreeMap::new();
        while let Some((tensor, file)) = map.next_entry::<String, String>()? {
            if files.contains_key(&tensor) {
                return Err(A::Error::custom(format!("{tensor:?} occurs twice")));
            }
            files.insert(tensor, file);
            if files.len() > MAX_TENSORS {
                let reason = format!("it lists more than {MAX_TENSORS} tensors");
                return Err(A::Error::custom(reason));
            }
        }
        Ok(WeightMap(files))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_lists_shards_with_their_tensors() {
        let file = br#"{"metadata": {"total_size": 8},
            "weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors", "c": "m-1.safetensors"}}"#;
        let Index(shards) = Index::read(file).unwrap();
        let held: Vec<_> = shards
            .iter()
            .map(|(file, names)| (file.as_str(), names.len()))
            .collect();
        assert_eq!(held, [("m-1.safetensors", 2), ("m-2.safetensors", 1)]);
        assert!(is_index("model.safetensors.index.json") && !is_index("index.json"));
    }

    #[test]
    fn malformed_indexes_are_refused() {
        let many: Vec<String> = (0..=MAX_SHARDS)
            .map(|n| format!(r#""{n}":"{n}""#))
            .collect();
        let many = format!(r#"{{"weight_map":{{{}}}}}"#, many.join(","));
        let tensors: Vec<String> = (0..=MAX_TENSORS).map(|n| format!(r#""{n}":"a""#)).collect();
        let tensors = format!(r#"{{"weight_map":{{{}}}}}"#, tensors.join(","));
        for (file, expected) in [
            ("", "malformed"),
            ("[]", "malformed"),
            ("{}", "malformed"),
            (r#"{"weight_map": {}}"#, "no tensors"),
            (r#"{"weight_map": {"a": 1}}"#, "malformed"),
            (r#"{"weight_map": {"a": "x", "a": "y"}}"#, "occurs twice"),
            (r#"{"weight_map": {"a": "../x"}}"#, "not beside it"),
            (r#"{"weight_map": {"a": "/etc/x"}}"#, "not beside it"),
            (r#"{"weight_map": {"a": "sub/x"}}"#, "not beside it"),
            (r#"{"weight_map": {"a": "sub\\x"}}"#, "not beside it"),
            (r#"{"weight_map": {"a": ".."}}"#, "not beside it"),
            (r#"{"weight_map": {"a": ""}}"#, "not beside it"),
            (r#"{"weight_map": {"a": "x\n"}}"#, r#"file "x\n", which"#),
            (r#"{"weight_map": {"a": "\u001b[2Jx"}}"#, "\\u{1b}[2Jx"),
            (r#"{"weight_map": {"a": "\u202ex"}}"#, "not beside it"),
            (r#"{"weight_map": {"\u009b": 1}}"#, "malformed"),
            (&many, "more than 1000 files"),
            (&tensors, "more than 262144 tensors"),
        ] {
            match Index::read(file.as_bytes()) {
                Err(Refusal::Malformed(reason)) => assert!(reason.contains(expected), "{reason}"),
                other => panic!("{file}: {other:?}"),
            }
        }
    }
}
