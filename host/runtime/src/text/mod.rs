//! From texts to token ids.
//!
//! The files of a tokenizer are untrusted input, and so are some of the texts. Refused or bounded
//! are:
//! - the size of files, also after unpacking (`file.rs`);
//! - steps of a `tokenizer.json` that could make a short text long, or are random (`json.rs`);
//! - the time for a text, where the file does not bound it (`limit.rs`);
//! - texts of more than 1 MiB, or that could become much longer; tokens outside of the network's
//!   vocabulary; panics.

mod clip;
mod file;
mod json;
mod limit;
mod word_piece;

use std::borrow::Borrow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use modelzoo_model::plan::{self, TokenizerFormat};
use modelzoo_model::sample::Tokens;

use crate::architectures::{TextTower, TokenBatch};
use crate::error::Error;
use crate::files::inside;
use limit::Limited;

/// The most bytes of a text.
const MAX_TEXT: usize = 1 << 20;

/// The encoder of one tokenizer format.
trait Encode: Send + Sync {
    /// The tokens of a text with the special tokens, truncated to `max`; special tokens are kept.
    fn encode(&self, text: &str, max: Option<usize>) -> Result<Tokens, String>;

    /// The number of special tokens that every text gets.
    fn specials(&self) -> usize;
}

/// An encoder, with the bounds of its work.
struct Encoder {
    encode: Arc<dyn Encode>,
    /// The factor by which its steps may lengthen a text, in bytes.
    growth: u64,
    /// Whether to limit its time even for a short text.
    watched: bool,
    /// The padding token, where its file has one.
    padding: Option<u32>,
}

/// A tokenizer, read from its files.
pub(crate) struct Tokenizer {
    path: PathBuf,
    encoder: Limited,
    max_tokens: Option<usize>,
    pad_to: Option<usize>,
    padding: Option<u32>,
}

impl Tokenizer {
    /// Reads the files that `plan` names from the directory `dir`.
    pub(crate) fn open(plan: &plan::Tokenizer, dir: &Path) -> Result<Self, Error> {
        let (TokenizerFormat::Json { file: name }
        | TokenizerFormat::ClipBpe { merges: name }
        | TokenizerFormat::WordPiece { vocab: name, .. }) = &plan.format;
        let path = inside(dir, "tokenizer.format", name)?;
        let bytes = file::read(&path)?;
        let encoder = match &plan.format {
            TokenizerFormat::Json { .. } => json::open(&bytes),
            TokenizerFormat::ClipBpe { .. } => clip::open(&bytes),
            TokenizerFormat::WordPiece { lowercase, .. } => word_piece::open(&bytes, *lowercase),
        };
        let encoder = encoder.map_err(|reason| Error::Tokenizer {
            path: path.clone(),
            reason,
        })?;
        let max_tokens = plan.max_tokens.map(|max| max as usize);
        let specials = encoder.encode.specials();
        if max_tokens.is_some_and(|max| max <= specials) {
            let reason = format!("must be more than the {specials} tokens that every text gets");
            return Err(Error::bad_plan("tokenizer.max_tokens", reason));
        }
        Ok(Self {
            path,
            max_tokens,
            pad_to: max_tokens.filter(|_| plan.pad_to_max),
            padding: encoder.padding,
            encoder: Limited::new(encoder),
        })
    }

    /// The tokens of a text for a network.
    pub(crate) fn encode(&self, text: &str, network: &dyn TextTower) -> Result<Tokens, Error> {
        let failed = |reason: String| Error::Tokenizer {
            path: self.path.clone(),
            reason,
        };
        let tokens = self.encoder.encode(text, self.max_tokens).map_err(failed)?;
        let count = tokens.ids().len();
        let limit = limit_of(network);
        if count > limit {
            let tokens = count;
            return Err(Error::TextTooLong { tokens, limit });
        }
        // Where padding is masked, nothing would be left of this text.
        if count == 0 && network.pad_to().is_none() {
            return Err(failed("makes no token of a text".to_owned()));
        }
        let vocabulary = network.vocabulary();
        if let Some(id) = tokens.ids().iter().find(|&&id| id as usize >= vocabulary) {
            return Err(failed(format!(
                "gives token {id}, but the network knows {vocabulary} tokens"
            )));
        }
        Ok(tokens)
    }

    /// Checks that the network takes texts of the length that this pads to.
    pub(crate) fn check_length(&self, network: &dyn TextTower) -> Result<(), Error> {
        let limit = limit_of(network);
        match self.pad_to {
            Some(pad_to) if pad_to > limit => Err(Error::bad_plan(
                "tokenizer.max_tokens",
                format!("pads texts to {pad_to} tokens, but the network takes {limit}"),
            )),
            _ => Ok(()),
        }
    }

    /// The length with padding of the texts of a batch whose longest text has `longest` tokens.
    pub(crate) fn padded(&self, longest: usize, network: &dyn TextTower) -> usize {
        let pad_to = self.pad_to.or(network.pad_to());
        pad_to.unwrap_or(longest).max(longest)
    }

    /// Texts as one batch, padded at their ends.
    ///
    /// The padding is the tokenizer's, or else the network's; it only matters to a network without a
    /// mask.
    pub(crate) fn batch<T: Borrow<Tokens>>(
        &self,
        texts: &[T],
        network: &dyn TextTower,
    ) -> Result<TokenBatch, Error> {
        let texts = || {
            texts
                .iter()
                .map(|text| Borrow::<Tokens>::borrow(text).ids())
        };
        let lengths: Vec<usize> = texts().map(<[u32]>::len).collect();
        let longest = lengths.iter().copied().max().unwrap_or_default();
        let len = self.padded(longest, network);
        let limit = limit_of(network);
        if len > limit {
            let reason = format!("takes {limit} tokens, got {len}");
            return Err(Error::bad_input("tokens", reason));
        }
        let known = |&id: &u32| (id as usize) < network.vocabulary();
        let padding = self.padding.filter(known);
        let padding = padding.unwrap_or_else(|| network.padding());
        let mut ids = Vec::with_capacity(len.saturating_mul(lengths.len()));
        for text in texts() {
            ids.extend_from_slice(text);
            ids.resize(ids.len() + len.saturating_sub(text.len()), padding);
        }
        Ok(TokenBatch { ids, len, lengths })
    }
}

/// The most tokens of a text for `network`, or for any network.
fn limit_of(network: &dyn TextTower) -> usize {
    let most = plan::MAX_TOKENS as usize;
    network.max_tokens().map_or(most, |limit| limit.min(most))
}
