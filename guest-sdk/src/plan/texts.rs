//! The tokenizer: from a text to its token ids.

use crate::ArtifactName;
use crate::bindings::modelzoo::source::deployment as wit;

/// The files of a tokenizer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TokenizerFormat {
    /// A `tokenizer.json` of Hugging Face's tokenizers library.
    Json(ArtifactName),
    /// CLIP's BPE merges, plain or compressed with gzip.
    ClipBpe(ArtifactName),
    /// A WordPiece vocabulary of BERT, `vocab.txt`.
    WordPiece {
        /// The file, with one token per line.
        vocab: ArtifactName,
        /// Whether the tokenizer lowercases texts and strips accents.
        lowercase: bool,
    },
}

/// From a text to its token ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokenizer {
    /// Its files.
    pub format: TokenizerFormat,
    /// The maximum number of tokens, including special tokens; a longer text is truncated. Without
    /// it, a text that is longer than the network's context is an error.
    pub max_tokens: Option<u32>,
    /// Whether each text is padded to `max_tokens`.
    pub pad_to_max: bool,
}

impl Tokenizer {
    /// A `tokenizer.json` of Hugging Face's tokenizers library.
    pub fn json(file: impl Into<ArtifactName>) -> Self {
        Self::of(TokenizerFormat::Json(file.into()))
    }

    /// CLIP's BPE merges (`bpe_simple_vocab_16e6.txt.gz`).
    pub fn clip_bpe(merges: impl Into<ArtifactName>) -> Self {
        Self::of(TokenizerFormat::ClipBpe(merges.into()))
    }

    /// A WordPiece vocabulary of BERT, `vocab.txt`; `lowercase` for uncased models.
    pub fn word_piece(vocab: impl Into<ArtifactName>, lowercase: bool) -> Self {
        let vocab = vocab.into();
        Self::of(TokenizerFormat::WordPiece { vocab, lowercase })
    }

    fn of(format: TokenizerFormat) -> Self {
        Self {
            format,
            max_tokens: None,
            pad_to_max: false,
        }
    }

    /// Truncates texts to this many tokens, including special tokens.
    #[must_use]
    pub fn max_tokens(mut self, tokens: u32) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Truncates or pads texts to exactly this many tokens, as networks without an attention mask
    /// need it (SigLIP).
    #[must_use]
    pub fn exactly(mut self, tokens: u32) -> Self {
        self.max_tokens = Some(tokens);
        self.pad_to_max = true;
        self
    }
}

impl From<Tokenizer> for wit::Tokenizer {
    fn from(tokenizer: Tokenizer) -> Self {
        Self {
            format: match tokenizer.format {
                TokenizerFormat::Json(file) => wit::TokenizerFormat::Json(file.into_string()),
                TokenizerFormat::ClipBpe(file) => wit::TokenizerFormat::ClipBpe(file.into_string()),
                TokenizerFormat::WordPiece { vocab, lowercase } => {
                    wit::TokenizerFormat::WordPiece(wit::WordPiece {
                        vocab: vocab.into_string(),
                        lowercase,
                    })
                }
            },
            max_tokens: tokenizer.max_tokens,
            pad_to_max: tokenizer.pad_to_max,
        }
    }
}
