//! `tokenizer.json`, the format of Hugging Face's `tokenizers` library.
//!
//! The library trusts its files, so the file is checked first. Only the parts that encode a text are
//! passed on, and only of known kinds, within these bounds:
//! - the factors by which the steps can lengthen a text are multiplied, and bound the text;
//! - a text may become part of the tokens once, with a few special tokens around it;
//! - added tokens, which are normalised while the file is read, are bounded like texts;
//! - no part is random (`dropout`), and the lookup of words piece by piece is bounded.
//!
//! Patterns of the `regex` crate need time in proportion to the text; with backtracking patterns the
//! tokenizer gets a time limit (`limit.rs`).

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::Arc;

use base64::Engine as _;
use modelzoo_base::json::count_values;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokenizers::{PostProcessor as _, Tokenizer, TruncationDirection};

use super::limit::MAX_GROWN;
use super::{Encode, Encoder, Tokens};

mod model;

/// The largest factor by which all steps together may lengthen a text.
const MAX_GROWTH: u64 = 1 << 12;
/// The most steps of one kind, also in sequences.
const MAX_STEPS: usize = 64;
/// The longest pattern and the longest replacement, in bytes.
const MAX_PATTERN: usize = 4 << 10;
/// The most tokens around a text.
const MAX_SPECIALS: usize = 64;
/// The most bytes of the steps' descriptions. SentencePiece's table of characters has 300 kB.
const MAX_STEP_BYTES: usize = 8 << 20;
/// The most bytes of the list of added tokens.
const MAX_ADDED_BYTES: usize = 16 << 20;
/// The most bytes of an added token.
const MAX_ADDED: usize = 1 << 10;
/// The factor by which BERT's normaliser may lengthen a text: spaces around each ideograph, and
/// accents as letters of their own.
pub(super) const BERT_GROWTH: u64 = 6;

/// The most values of a file, each of which takes many times its bytes in memory. The largest in
/// use (Gemma 3's) has two million.
const MAX_VALUES: u64 = 4 << 20;

/// Reads a `tokenizer.json`.
pub(super) fn open(bytes: &[u8]) -> Result<Encoder, String> {
    if count_values(bytes) > MAX_VALUES {
        return Err(format!("has more than {MAX_VALUES} values"));
    }
    let document: Document<'_> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let cost = document.check()?;
    let trusted = document.trusted();
    let tokenizer = catch_unwind(|| Tokenizer::from_bytes(trusted.as_bytes()))
        .map_err(|_| "is damaged".to_owned())?
        .map_err(|e| e.to_string())?;
    Ok(Encoder {
        encode: Arc::new(HuggingFace::new(tokenizer)),
        growth: cost.growth,
        watched: cost.goes_back,
        padding: document.padding.map(|padding| padding.pad_id),
    })
}

/// A tokenizer of the library.
pub(super) struct HuggingFace {
    tokenizer: Tokenizer,
    specials: usize,
}

impl HuggingFace {
    pub(super) fn new(tokenizer: Tokenizer) -> Self {
        let processor = tokenizer.get_post_processor();
        Self {
            specials: processor.map_or(0, |processor| processor.added_tokens(false)),
            tokenizer,
        }
    }
}

impl Encode for HuggingFace {
    fn encode(&self, text: &str, max: Option<usize>) -> Result<Tokens, String> {
        let encoding = self.tokenizer.encode_fast(text, false);
        let mut encoding = encoding.map_err(|error| error.to_string())?;
        // The library's truncation overflows when there are too many special tokens.
        let max = max.map(|max| max.saturating_sub(self.specials));
        let cut = max.filter(|&max| encoding.len() > max);
        if let Some(max) = cut {
            encoding.truncate(max, 0, TruncationDirection::Right);
            drop(encoding.take_overflowing());
        }
        let encoding = self.tokenizer.post_process(encoding, None, true);
        let encoding = encoding.map_err(|error| error.to_string())?;
        Ok(Tokens::new(encoding.get_ids().to_vec(), cut.is_some()))
    }

    fn specials(&self) -> usize {
        self.specials
    }
}

/// The fields that are read. Others (`truncation`, `decoder`, …) do not affect encoding, or are
/// decided by the plan.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
    #[serde(borrow, default)]
    added_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    normalizer: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pre_tokenizer: Option<&'a RawValue>,
    #[serde(borrow, default)]
    post_processor: Option<&'a RawValue>,
    #[serde(default)]
    padding: Option<Padding>,
}

#[derive(Deserialize)]
struct Padding {
    pad_id: u32,
}

/// A text that is always a token.
#[derive(Deserialize)]
struct Added {
    content: String,
    normalized: bool,
}

impl Document<'_> {
    /// Checks the parts.
    fn check(&self) -> Result<Cost, String> {
        let mut cost = Cost {
            growth: 1,
            goes_back: false,
            steps: 0,
        };
        model::check(self.model)?;
        if let Some(steps) = part::<Normalizer>("normalizer", self.normalizer)? {
            steps.add_to(&mut cost)?;
        }
        self.check_added(&cost)?;
        if let Some(steps) = part::<PreTokenizer>("pre_tokenizer", self.pre_tokenizer)? {
            steps.add_to(&mut cost)?;
        }
        if let Some(steps) = part::<PostProcessor>("post_processor", self.post_processor)? {
            steps.check(&mut 0)?;
        }
        Ok(cost)
    }

    /// Checks the added tokens; `cost` is that of normalising them.
    fn check_added(&self, cost: &Cost) -> Result<(), String> {
        let Some(raw) = self.added_tokens else {
            return Ok(());
        };
        if raw.get().len() > MAX_ADDED_BYTES {
            return Err(format!("has {} bytes of `added_tokens`", raw.get().len()));
        }
        let added = serde_json::from_str(raw.get());
        let added: Vec<Added> = added.map_err(|error| format!("`added_tokens`: {error}"))?;
        let longest = added.iter().map(|token| token.content.len()).max();
        if let Some(bytes) = longest.filter(|&bytes| bytes > MAX_ADDED) {
            return Err(format!("has an added token of {bytes} bytes"));
        }
        let normalized = added.iter().filter(|token| token.normalized);
        let bytes: u64 = normalized.map(|token| token.content.len() as u64).sum();
        if cost.goes_back && bytes > 0 {
            let reason = "has `added_tokens` that are normalised by a pattern that goes back";
            return Err(reason.to_owned());
        }
        if bytes.saturating_mul(cost.growth) > MAX_GROWN {
            return Err(format!(
                "has `added_tokens` of {bytes} bytes, which may become {} times longer",
                cost.growth
            ));
        }
        Ok(())
    }

    /// The file with the checked parts only.
    fn trusted(&self) -> String {
        let raw = |part: Option<&RawValue>| part.map_or("null", RawValue::get).to_owned();
        let added = self.added_tokens.map_or("[]", RawValue::get);
        format!(
            r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":{added},"normalizer":{},"pre_tokenizer":{},"post_processor":{},"decoder":null,"model":{}}}"#,
            raw(self.normalizer),
            raw(self.pre_tokenizer),
            raw(self.post_processor),
            self.model.get(),
        )
    }
}

fn part<T: for<'de> Deserialize<'de>>(
    name: &str,
    raw: Option<&RawValue>,
) -> Result<Option<T>, String> {
    let Some(raw) = raw else {
        return Ok(None);
    };
    if raw.get().len() > MAX_STEP_BYTES {
        return Err(format!("has {} bytes of `{name}`", raw.get().len()));
    }
    let part = serde_json::from_str(raw.get());
    part.map(Some).map_err(|error| format!("`{name}`: {error}"))
}

/// The cost of steps on a text.
struct Cost {
    /// The factor by which it may become longer, in bytes.
    growth: u64,
    /// Whether a pattern backtracks.
    goes_back: bool,
    steps: usize,
}

impl Cost {
    fn step(&mut self, growth: u64) -> Result<(), String> {
        self.steps += 1;
        self.growth = self.growth.saturating_mul(growth);
        if self.steps > MAX_STEPS {
            return Err(format!("has more than {MAX_STEPS} steps"));
        }
        if self.growth > MAX_GROWTH {
            return Err(format!(
                "may make a text more than {MAX_GROWTH} times longer"
            ));
        }
        Ok(())
    }

    fn pattern(&mut self, pattern: &Pattern) -> Result<(), String> {
        let (Pattern::String(text) | Pattern::Regex(text)) = pattern;
        if text.len() > MAX_PATTERN {
            return Err(format!("has a pattern of {} bytes", text.len()));
        }
        if let Pattern::Regex(text) = pattern {
            // The `regex` crate reads possessive quantifiers differently.
            let possessive = ["++", "*+", "?+", "}+"];
            let fancy = possessive
                .iter()
                .any(|quantifier| text.contains(quantifier));
            self.goes_back |= fancy || regex::Regex::new(text).is_err();
        }
        Ok(())
    }
}

#[derive(Deserialize)]
enum Pattern {
    String(String),
    Regex(String),
}

/// The normalisation of a text.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum Normalizer {
    Sequence {
        normalizers: Vec<Self>,
    },
    Strip,
    Nmt,
    StripAccents,
    Lowercase,
    #[serde(rename = "BertNormalizer")]
    Bert,
    #[serde(rename = "NFC")]
    Nfc,
    #[serde(rename = "NFD")]
    Nfd,
    #[serde(rename = "NFKC")]
    Nfkc,
    #[serde(rename = "NFKD")]
    Nfkd,
    ByteLevel,
    Precompiled {
        precompiled_charsmap: String,
    },
    Replace {
        pattern: Pattern,
        content: String,
    },
    Prepend {
        prepend: String,
    },
}

impl Normalizer {
    fn add_to(&self, cost: &mut Cost) -> Result<(), String> {
        match self {
            Self::Sequence { normalizers } => {
                cost.step(1)?;
                normalizers.iter().try_for_each(|step| step.add_to(cost))
            }
            Self::Strip | Self::Nmt | Self::StripAccents => cost.step(1),
            Self::Lowercase | Self::ByteLevel => cost.step(2),
            Self::Nfc | Self::Nfd => cost.step(3),
            Self::Bert => cost.step(BERT_GROWTH),
            // U+FDFA becomes 18 letters.
            Self::Nfkc | Self::Nfkd => cost.step(11),
            Self::Precompiled {
                precompiled_charsmap,
            } => cost.step(charsmap_growth(precompiled_charsmap)?),
            Self::Replace { pattern, content } => {
                if content.len() > MAX_PATTERN {
                    return Err(format!("replaces by a text of {} bytes", content.len()));
                }
                cost.pattern(pattern)?;
                let content = content.len() as u64;
                cost.step(match pattern {
                    Pattern::String(text) if !text.is_empty() => {
                        content.div_ceil(text.len() as u64).max(1)
                    }
                    // It may match between any two bytes.
                    _ => content + 1,
                })
            }
            Self::Prepend { prepend } => {
                if prepend.len() > MAX_SPECIALS {
                    return Err(format!("prepends a text of {} bytes", prepend.len()));
                }
                // The shortest text has one byte.
                cost.step(prepend.len() as u64 + 1)
            }
        }
    }
}

/// The factor by which SentencePiece's table of characters lengthens a text.
///
/// The table has the number of bytes of a trie, these bytes, and then the replacements, each
/// terminated by a zero. The library trusts the number.
fn charsmap_growth(charsmap: &str) -> Result<u64, String> {
    let damaged = || "`precompiled_charsmap` is damaged".to_owned();
    let table = base64::engine::general_purpose::STANDARD.decode(charsmap);
    let table = table.map_err(|_| damaged())?;
    let (trie, rest) = table.split_first_chunk().ok_or_else(damaged)?;
    let trie = usize::try_from(u32::from_le_bytes(*trie)).map_err(|_| damaged())?;
    let texts = rest.get(trie..).ok_or_else(damaged)?;
    let longest = texts.split(|&byte| byte == 0).map(<[u8]>::len).max();
    // No table in use lengthens ASCII characters, which have one byte; others have at least two.
    Ok((longest.unwrap_or_default() as u64).max(1))
}

/// The pre-tokenization of a text.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum PreTokenizer {
    Sequence {
        pretokenizers: Vec<Self>,
    },
    #[serde(rename = "BertPreTokenizer")]
    Bert,
    ByteLevel,
    Delimiter,
    CharDelimiterSplit,
    Digits,
    Metaspace,
    Punctuation,
    UnicodeScripts,
    Whitespace,
    WhitespaceSplit,
    Split {
        pattern: Pattern,
    },
}

impl PreTokenizer {
    fn add_to(&self, cost: &mut Cost) -> Result<(), String> {
        match self {
            Self::Sequence { pretokenizers } => {
                cost.step(1)?;
                pretokenizers.iter().try_for_each(|step| step.add_to(cost))
            }
            Self::ByteLevel => cost.step(2),
            // A space becomes a character of up to four bytes, and each word may get one.
            Self::Metaspace => cost.step(4),
            Self::Split { pattern } => {
                cost.pattern(pattern)?;
                cost.step(1)
            }
            _ => cost.step(1),
        }
    }
}

/// The special tokens around those of a text.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum PostProcessor {
    Sequence {
        processors: Vec<Self>,
    },
    BertProcessing,
    RobertaProcessing,
    ByteLevel,
    TemplateProcessing {
        single: Vec<Piece>,
        #[serde(default)]
        special_tokens: BTreeMap<String, Special>,
    },
}

#[derive(Deserialize)]
enum Piece {
    Sequence {},
    SpecialToken {},
}

#[derive(Deserialize)]
struct Special {
    ids: Vec<u32>,
}

impl PostProcessor {
    fn check(&self, steps: &mut usize) -> Result<(), String> {
        *steps += 1;
        if *steps > MAX_STEPS {
            return Err(format!("has more than {MAX_STEPS} steps"));
        }
        match self {
            Self::Sequence { processors } => {
                processors.iter().try_for_each(|step| step.check(steps))
            }
            Self::BertProcessing | Self::RobertaProcessing | Self::ByteLevel => Ok(()),
            Self::TemplateProcessing {
                single,
                special_tokens,
            } => {
                let texts = single
                    .iter()
                    .filter(|piece| matches!(piece, Piece::Sequence {}));
                let ids: usize = special_tokens.values().map(|token| token.ids.len()).sum();
                if texts.count() > 1 || single.len().max(ids) > MAX_SPECIALS {
                    return Err("repeats the text, or puts too much around it".to_owned());
                }
                Ok(())
            }
        }
    }
}
