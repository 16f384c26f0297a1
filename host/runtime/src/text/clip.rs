//! CLIP's tokenizer, from its list of merges (`clip/simple_tokenizer.py` of openai/CLIP;
//! `open_clip/tokenizer.py` has the same).
//!
//! A text is cleaned, lowercased and split into words by a pattern. The bytes of a word, each
//! written as a letter of its own, are merged in the order of the list; the results are the tokens.
//!
//! The reference first cleans texts with ftfy. Of that, this does what concerns correctly decoded
//! texts: curly quotes become straight, ligatures and wide letters plain, line ends uniform; control
//! characters and terminal escapes are removed, except those of Latin-1, which become the letters of
//! windows-1252; the rest is normalised to NFC. It does not repair wrongly decoded texts: `â€œ` stays
//! as it is. HTML entities are resolved if they end with a semicolon.

use std::sync::{Arc, LazyLock};

use regex::Regex;
use tokenizers::Model as _;
use tokenizers::models::bpe::{BPE, Vocab};
use unicode_normalization::UnicodeNormalization as _;

use super::{Encode, Encoder, Tokens, file};

/// The most bytes of the merges; CLIP's have 3.2 MB.
const MAX_BYTES: u64 = 16 << 20;
/// The number of merges that are used of a longer list: CLIP's 49152 tokens without 256 bytes, each
/// also at the end of a word, and two special tokens.
const MAX_MERGES: usize = 49_152 - 256 - 2;

/// The factor by which cleaning, lowercasing and letters for bytes may lengthen a text, in bytes.
const GROWTH: u64 = 12;

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";
const WORD_END: &str = "</w>";

/// A word. A special token that is spelled out in a text is one.
static WORD: LazyLock<Result<Regex, regex::Error>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+",
    )
});
/// Terminal escapes.
static ESCAPE: LazyLock<Result<Regex, regex::Error>> =
    LazyLock::new(|| Regex::new(r"\x1b\[(?:(?:\d|;)*)[a-zA-Z]"));

/// Reads a list of merges: a header line, and then two parts per line.
pub(super) fn open(bytes: &[u8]) -> Result<Encoder, String> {
    let text = file::text(bytes, MAX_BYTES)?;
    let lines = text.trim_end_matches(['\n', '\r']).split('\n').skip(1);
    let mut merges = Vec::new();
    for (line, number) in lines.take(MAX_MERGES).zip(2..) {
        let mut parts = line.split_whitespace();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(first), Some(second), None) => merges.push((first.to_owned(), second.to_owned())),
            _ => return Err(format!("line {number} is not two parts of a word")),
        }
    }
    if merges.is_empty() {
        return Err("has no merges".to_owned());
    }
    let mut vocabulary = Vocab::default();
    let letters = LETTERS.iter().map(|&(_, letter)| letter.to_string());
    let ends = LETTERS
        .iter()
        .map(|&(_, letter)| format!("{letter}{WORD_END}"));
    let merged = merges
        .iter()
        .map(|(first, second)| format!("{first}{second}"));
    let special = [START, END].map(str::to_owned);
    let count = 2 * LETTERS.len() + merges.len();
    let numbered = letters.chain(ends).chain(merged).chain(special).zip(0..);
    vocabulary.extend(numbered);
    let id = |index: usize| u32::try_from(index).map_err(|_| "has too many merges".to_owned());
    let (start, end) = (id(count)?, id(count + 1)?);
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .end_of_word_suffix(WORD_END.to_owned())
        .build()
        .map_err(|error| error.to_string())?;
    Ok(Encoder {
        encode: Arc::new(Clip { model, start, end }),
        growth: GROWTH,
        watched: false,
        padding: Some(0),
    })
}

struct Clip {
    model: BPE,
    start: u32,
    end: u32,
}

impl Encode for Clip {
    fn encode(&self, text: &str, max: Option<usize>) -> Result<Tokens, String> {
        let word = WORD.as_ref().map_err(ToString::to_string)?;
        let text = clean(text)?.to_lowercase();
        let mut ids = vec![self.start];
        let mut word_in_letters = String::new();
        for word in word.find_iter(&text) {
            match word.as_str() {
                START => ids.push(self.start),
                END => ids.push(self.end),
                word => {
                    word_in_letters.clear();
                    word_in_letters.extend(word.bytes().map(letter));
                    let tokens = self.model.tokenize(&word_in_letters);
                    let tokens = tokens.map_err(|error| error.to_string())?;
                    ids.extend(tokens.into_iter().map(|token| token.id));
                }
            }
        }
        ids.push(self.end);
        let cut = max.filter(|&max| ids.len() > max);
        if let Some(max) = cut {
            ids.truncate(max.saturating_sub(1));
            ids.push(self.end);
        }
        Ok(Tokens::new(ids, cut.is_some()))
    }

    fn specials(&self) -> usize {
        2
    }
}

/// The letter for each byte, in the order of the tokens: printable bytes stand for themselves, the
/// others count up from U+0100.
static LETTERS: LazyLock<Vec<(u8, char)>> = LazyLock::new(|| {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let themselves = (0..=u8::MAX).filter(printable);
    let others = (0..=u8::MAX).filter(|byte| !printable(byte));
    themselves
        .map(|byte| (byte, char::from(byte)))
        .chain(others.zip('\u{100}'..))
        .collect()
});

static LETTER: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut table = ['\0'; 256];
    for &(byte, letter) in LETTERS.iter() {
        if let Some(place) = table.get_mut(usize::from(byte)) {
            *place = letter;
        }
    }
    table
});

fn letter(byte: u8) -> char {
    LETTER.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Cleans a text; see the module's documentation.
fn clean(text: &str) -> Result<String, String> {
    let escape = ESCAPE.as_ref().map_err(ToString::to_string)?;
    // ftfy keeps the entities of a text with tags; the reference resolves them twice more.
    let text = if text.contains('<') {
        text.into()
    } else {
        html_escape::decode_html_entities(text)
    };
    let text = escape.replace_all(&text, "");
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        push_plain(letter, &mut plain);
    }
    let composed: String = plain.nfc().collect();
    let text = html_escape::decode_html_entities(&composed);
    let text = html_escape::decode_html_entities(&text);
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Adds the letter that ftfy replaces a letter by.
fn push_plain(letter: char, text: &mut String) {
    match letter {
        '\u{02bc}' | '\u{2018}'..='\u{201b}' => text.push('\''),
        '\u{201c}'..='\u{201f}' => text.push('"'),
        // Wide and narrow forms, and the ideographic space.
        '\u{3000}' => text.push(' '),
        '\u{ff01}'..='\u{ffef}' => text.extend(std::iter::once(letter).nfkc()),
        'Ĳ' => text.push_str("IJ"),
        'ĳ' => text.push_str("ij"),
        'ŉ' => text.push_str("'n"),
        'Ǳ' => text.push_str("DZ"),
        'ǲ' => text.push_str("Dz"),
        'ǳ' => text.push_str("dz"),
        'Ǆ' => text.push_str("DŽ"),
        'ǅ' => text.push_str("Dž"),
        'ǆ' => text.push_str("dž"),
        'Ǉ' => text.push_str("LJ"),
        'ǈ' => text.push_str("Lj"),
        'ǉ' => text.push_str("lj"),
        'Ǌ' => text.push_str("NJ"),
        'ǋ' => text.push_str("Nj"),
        'ǌ' => text.push_str("nj"),
        '\u{fb05}' => text.push_str("ſt"),
        '\u{fb00}'..='\u{fb06}' => text.extend(std::iter::once(letter).nfkc()),
        '\u{80}'..='\u{9f}' => push_latin(letter, text),
        '\u{2028}' | '\u{2029}' => text.push('\n'),
        '\0'..='\u{8}'
        | '\u{b}'
        | '\u{e}'..='\u{1f}'
        | '\u{7f}'
        | '\u{206a}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffc}' => {}
        _ => text.push(letter),
    }
}

/// Adds the windows-1252 letter of a control character of Latin-1, where there is one.
fn push_latin(control: char, text: &mut String) {
    const LETTERS: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";
    let place = (control as usize).saturating_sub(0x80);
    match LETTERS.chars().nth(place) {
        Some(letter) if letter != control => push_plain(letter, text),
        _ => text.push(control),
    }
}
