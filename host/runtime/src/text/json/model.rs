//! The `model` of a `tokenizer.json`: its vocabulary and merges.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The most tokens, and the most merges. The largest vocabulary in use has half a million.
const MAX_ENTRIES: usize = 4 << 20;
/// The longest token, in bytes: each place of a text is compared with all tokens that begin
/// there.
const MAX_TOKEN: usize = 1 << 10;
/// The longest word that is looked up piece by piece, in characters; BERT's has 100.
const MAX_WORD: u64 = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    #[serde(rename = "type", default)]
    kind: Option<Kind>,
    vocab: Entries,
    #[serde(default)]
    merges: Option<Entries>,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    max_input_chars_per_word: Option<u64>,
    // These do not affect the work for a text.
    #[serde(default, rename = "unk_token")]
    _unk_token: Option<String>,
    #[serde(default, rename = "unk_id")]
    _unk_id: Option<u64>,
    #[serde(default, rename = "continuing_subword_prefix")]
    _prefix: Option<String>,
    #[serde(default, rename = "end_of_word_suffix")]
    _suffix: Option<String>,
    #[serde(default, rename = "fuse_unk")]
    _fuse_unk: Option<bool>,
    #[serde(default, rename = "byte_fallback")]
    _byte_fallback: Option<bool>,
    #[serde(default, rename = "ignore_merges")]
    _ignore_merges: Option<bool>,
}

#[derive(Clone, Copy, Deserialize, Eq, PartialEq)]
enum Kind {
    #[serde(rename = "BPE")]
    Bpe,
    WordPiece,
    WordLevel,
    Unigram,
}

/// Checks a model.
pub(super) fn check(raw: &RawValue) -> Result<(), String> {
    let model = serde_json::from_str(raw.get());
    let model: Model = model.map_err(|error| format!("`model`: {error}"))?;
    let lists = [Some(model.vocab), model.merges];
    for entries in lists.into_iter().flatten() {
        if entries.count > MAX_ENTRIES {
            return Err(format!("`model` has {} entries", entries.count));
        }
        if entries.longest > MAX_TOKEN {
            return Err(format!("`model` has a token of {} bytes", entries.longest));
        }
    }
    if model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err("`model` has a `dropout`, so that its tokens are random".to_owned());
    }
    let pieces = matches!(model.kind, None | Some(Kind::WordPiece));
    match model.max_input_chars_per_word {
        Some(word) if pieces && word > MAX_WORD => Err(format!(
            "`model` takes words of {word} characters; at most {MAX_WORD} are possible"
        )),
        _ => Ok(()),
    }
}

/// A vocabulary or a list of merges, of which only the size is kept.
#[derive(Default)]
struct Entries {
    count: usize,
    longest: usize,
}

impl Entries {
    fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.longest = self.longest.max(bytes);
    }
}

/// One of a list: a merge as `"a b"` or `["a", "b"]`, or a token with its score.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Text(String),
    Pair(String, String),
    Scored(
        String,
        #[expect(dead_code, reason = "it has to be a number")] f64,
    ),
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Counter)
    }
}

struct Counter;

impl<'de> Visitor<'de> for Counter {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vocabulary or a list of merges")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Entries::default();
        while let Some((token, _)) = map.next_entry::<String, u32>()? {
            entries.add(token.len());
        }
        Ok(entries)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entries, A::Error> {
        let mut entries = Entries::default();
        while let Some(entry) = list.next_element::<Entry>()? {
            entries.add(match entry {
                Entry::Text(text) | Entry::Scored(text, _) => text.len(),
                Entry::Pair(first, second) => first.len() + second.len(),
            });
        }
        Ok(entries)
    }
}
