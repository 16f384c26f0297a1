//! From texts to the numbers of their tokens.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tokenizers::Tokenizer as Encoder;

use crate::architectures::TokenBatch;
use crate::error::Error;
use crate::plan::{self, TokenizerFormat};

/// The most bytes of a tokenizer's file that are believed to be one.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// What a network takes for one text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tokens {
    ids: Vec<u32>,
    cut: bool,
}

impl Tokens {
    /// The numbers of the tokens, the special ones included, the padding not.
    #[must_use]
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Whether the text was longer than the plan's `max_tokens` and lost its end.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }
}

/// A tokenizer, read from its files.
pub(crate) struct Tokenizer {
    path: PathBuf,
    encoder: Encoder,
    max_tokens: Option<usize>,
    pad_to: Option<usize>,
}

impl Tokenizer {
    pub(crate) fn open(plan: &plan::Tokenizer, dir: &Path) -> Result<Self, Error> {
        let TokenizerFormat::Json { file } = &plan.format else {
            return Err(Error::bad_plan("tokenizer.format", "is not supported"));
        };
        let path = dir.join(file);
        let malformed = |reason: String| Error::Tokenizer {
            path: path.clone(),
            reason,
        };
        let size = std::fs::metadata(&path).map_err(|e| malformed(e.to_string()))?;
        if size.len() > MAX_FILE_BYTES {
            return Err(malformed(format!("is larger than {MAX_FILE_BYTES} bytes")));
        }
        let bytes = std::fs::read(&path).map_err(|e| malformed(e.to_string()))?;
        let encoder = catch_unwind(|| Encoder::from_bytes(&bytes))
            .map_err(|_| malformed("is damaged".to_owned()))?
            .map_err(|e| malformed(e.to_string()))?;
        let max_tokens = plan.max_tokens.map(|max| max as usize);
        Ok(Self {
            path,
            encoder,
            max_tokens,
            pad_to: max_tokens.filter(|_| plan.pad_to_max),
        })
    }

    /// The tokens of a text, for a network that takes `limit` tokens of the numbers below
    /// `vocabulary`.
    pub(crate) fn encode(
        &self,
        text: &str,
        limit: Option<usize>,
        vocabulary: usize,
    ) -> Result<Tokens, Error> {
        let failed = |reason: String| Error::Tokenizer {
            path: self.path.clone(),
            reason,
        };
        let encode = || self.encoder.encode(text, true);
        let encoding = catch_unwind(AssertUnwindSafe(encode))
            .map_err(|_| failed("gave up on a text".to_owned()))?
            .map_err(|e| failed(e.to_string()))?;
        let mut ids = encoding.get_ids().to_vec();
        let cut = self.max_tokens.is_some_and(|max| ids.len() > max);
        if let Some(max) = self.max_tokens {
            ids.truncate(max);
        }
        if let Some(limit) = limit.filter(|&limit| ids.len() > limit) {
            let tokens = ids.len();
            return Err(Error::TextTooLong { tokens, limit });
        }
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
            return Err(failed(format!(
                "gives token {id}, but the network knows {vocabulary} tokens"
            )));
        }
        Ok(Tokens { ids, cut })
    }

    /// Texts as one batch, padded at their ends.
    pub(crate) fn batch(&self, texts: &[Tokens]) -> TokenBatch {
        let lengths: Vec<usize> = texts.iter().map(|text| text.ids.len()).collect();
        let longest = lengths.iter().copied().max().unwrap_or_default();
        let len = self.pad_to.unwrap_or(longest);
        let mut ids = Vec::with_capacity(len * texts.len());
        for text in texts {
            ids.extend_from_slice(&text.ids);
            ids.resize(ids.len() + len - text.ids.len(), 0);
        }
        TokenBatch { ids, len, lengths }
    }
}
