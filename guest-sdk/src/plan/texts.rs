//! From a text to the network's input.

use crate::ArtifactName;
use crate::bindings::modelzoo::source::deployment as wit;

/// The files of a tokenizer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TokenizerFormat {
    /// A `tokenizer.json` of Hugging Face's tokenizers.
    Json(ArtifactName),
    /// The byte-pair merges of CLIP, plain or compressed with gzip.
    ClipBpe(ArtifactName),
    /// A `vocab.txt` of BERT.
    WordPiece {
        /// The file: one word piece a line.
        vocab: ArtifactName,
        /// Whether texts are brought to lower case, and their accents removed.
        lowercase: bool,
    },
}

/// From a text to the numbers of its tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokenizer {
    /// Its files.
    pub format: TokenizerFormat,
    /// The most tokens of a text, the special ones included; a longer text is cut. Without it, a
    /// text that is longer than the network takes is an error.
    pub max_tokens: Option<u32>,
    /// Whether each text is padded to `max_tokens`.
    pub pad_to_max: bool,
}

impl Tokenizer {
    /// A `tokenizer.json` of Hugging Face's tokenizers.
    pub fn json(file: impl Into<ArtifactName>) -> Self {
        Self::of(TokenizerFormat::Json(file.into()))
    }

    /// The byte-pair merges of CLIP (`bpe_simple_vocab_16e6.txt.gz`).
    pub fn clip_bpe(merges: impl Into<ArtifactName>) -> Self {
        Self::of(TokenizerFormat::ClipBpe(merges.into()))
    }

    /// A `vocab.txt` of BERT, for texts in lower case where `lowercase`.
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

    /// Cuts texts to so many tokens, the special ones included.
    #[must_use]
    pub fn max_tokens(mut self, tokens: u32) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Cuts or pads texts to exactly so many tokens, as networks without a mask need it (SigLIP).
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
