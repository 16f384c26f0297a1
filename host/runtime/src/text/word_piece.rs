//! BERT's WordPiece, from a `vocab.txt` (transformers' `BertTokenizer`).

use std::sync::Arc;

use tokenizers::models::bpe::Vocab;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, Tokenizer};

use super::json::{BERT_GROWTH, HuggingFace};
use super::{Encoder, file};

/// The most bytes of a vocabulary; the largest published one has 1 MB.
const MAX_BYTES: u64 = 16 << 20;
/// The most tokens, each of which takes many times its bytes; the largest published one has half a
/// million.
const MAX_TOKENS: usize = 1 << 20;

const UNKNOWN: &str = "[UNK]";
/// The special tokens; a text that spells one out has it.
const SPECIAL: [&str; 5] = ["[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]"];

/// Reads a vocabulary, one token per line: the number of the line is the token's id.
pub(super) fn open(bytes: &[u8], lowercase: bool) -> Result<Encoder, String> {
    let text = file::text(bytes, MAX_BYTES)?;
    // Python's readlines; the reference then strips the end of each line.
    let lines = text.strip_suffix('\n').unwrap_or(&text).split('\n');
    if lines.clone().nth(MAX_TOKENS).is_some() {
        return Err(format!("has more than {MAX_TOKENS} tokens"));
    }
    let mut vocabulary = Vocab::default();
    let lines = lines.map(|line| line.strip_suffix('\r').unwrap_or(line));
    vocabulary.extend(lines.map(str::to_owned).zip(0..));
    let find = |token: &str| {
        let id = vocabulary.get(token).copied();
        id.map(|id| (token.to_owned(), id))
            .ok_or_else(|| format!("has no line `{token}`"))
    };
    let processor = BertProcessing::new(find("[SEP]")?, find("[CLS]")?);
    let (_, padding) = find("[PAD]")?;
    find(UNKNOWN)?;
    let model = WordPiece::builder()
        .vocab(vocabulary)
        .unk_token(UNKNOWN.to_owned())
        .continuing_subword_prefix("##".to_owned())
        .max_input_chars_per_word(100)
        .build()
        .map_err(|error| error.to_string())?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_normalizer(Some(BertNormalizer::new(true, true, None, lowercase)))
        .map_err(|error| error.to_string())?
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .with_post_processor(Some(processor));
    let special = SPECIAL.map(|token| AddedToken::from(token, true));
    tokenizer
        .add_special_tokens(special)
        .map_err(|error| error.to_string())?;
    Ok(Encoder {
        encode: Arc::new(HuggingFace::new(tokenizer)),
        growth: BERT_GROWTH,
        watched: false,
        padding: Some(padding),
    })
}
