use serde::{Deserialize, Serialize};

use crate::check::{self, PlanError};

/// The most tokens that texts are padded to, and the most of a text for any network.
pub const MAX_TOKENS: u32 = 1 << 16;

/// A tokenizer's files, relative to the model's directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TokenizerFormat {
    /// A `tokenizer.json` of Hugging Face's tokenizers.
    Json {
        /// The file.
        file: String,
    },
    /// The byte-pair merges of CLIP, plain or compressed with gzip
    /// (`bpe_simple_vocab_16e6.txt.gz`).
    ClipBpe {
        /// The file.
        merges: String,
    },
    /// A `vocab.txt` of BERT: one word piece per line.
    WordPiece {
        /// The file.
        vocab: String,
        /// Whether texts are lower-cased, and their accents removed.
        lowercase: bool,
    },
}

/// From a text to the numbers of its tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokenizer {
    /// Its files.
    pub format: TokenizerFormat,
    /// The most tokens of a text, the special ones included; a longer text is cut. Without it, a
    /// text that is longer than the network takes is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Whether each text is padded to `max_tokens`, for networks that were trained so and take
    /// no mask (SigLIP).
    #[serde(default)]
    pub pad_to_max: bool,
}

impl TokenizerFormat {
    /// The file that it is read from.
    #[must_use]
    pub fn file(&self) -> &str {
        match self {
            Self::Json { file: name }
            | Self::ClipBpe { merges: name }
            | Self::WordPiece { vocab: name, .. } => name,
        }
    }
}

impl Tokenizer {
    pub(super) fn validate(&self) -> Result<(), PlanError> {
        check::file("format", self.format.file())?;
        match self.max_tokens {
            Some(1..=MAX_TOKENS) => Ok(()),
            Some(max) => {
                let reason = format!("is {max}; 1 to {MAX_TOKENS} are allowed");
                Err(PlanError::new("max_tokens", reason))
            }
            None if self.pad_to_max => {
                let reason = "cannot be without `max_tokens`";
                Err(PlanError::new("pad_to_max", reason))
            }
            None => Ok(()),
        }
    }
}
