//! A total order over the versions that manifests write.
//!
//! Versions are written in every way: `1.0`, `v1.0`, `1.0rc1`, `2024-01-05`, `1.0.post1`, `large`.
//! Each is read once, into a list of tokens, and lists are compared token by token; so the order
//! is total whatever is compared with what. Where both versions are PEP 440 or both are SemVer, it
//! is the order that those define, except that
//!
//! - PEP 440 decides what a text means that is both (`1.0.0-dev` comes before `1.0.0-alpha`, and
//!   `1.0.0-rc10` after `1.0.0-rc2`), except `1.0.0-1`, which is SemVer's pre-release;
//! - a letter after a single number is a size and not a pre-release: `7b` is a version of its own;
//! - build metadata (`+…`) comes after the version without it.
//!
//! Trailing zeros do not count: `1`, `1.0` and `v1.0.0` are neighbours with nothing in between.
//! Neighbours are ordered by their text.

use std::cmp::Ordering;

use pep440_rs::PrereleaseKind;

/// A version, for comparison. Versions are equal only if their texts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    text: String,
    tokens: Vec<Token>,
}

/// The order of the variants is the order of what can stand at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    /// Announces the release that the tokens before it name.
    Pre(Pre),
    /// Where the version has ended.
    End,
    /// Build metadata follows.
    Build,
    /// A correction of the release follows.
    Post,
    /// Any other word.
    Word(String),
    Number(Number),
    /// A word of SemVer's pre-releases after the first, which comes after all numbers.
    Field(String),
}

/// What announces a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Pre {
    Number(Number),
    Dev,
    /// `alpha`, `beta`, `rc` and whatever else SemVer allows, by the alphabet.
    Word(String),
}

/// A number of any length: digits without leading zeros, compared by their count first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Number(usize, String);

impl Number {
    fn new(digits: &str) -> Self {
        let digits = digits.trim_start_matches('0');
        Self(digits.len(), digits.to_owned())
    }

    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Version {
    /// Reads a version. Every text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let lower = text.to_lowercase();
        let (public, build) = match lower.split_once('+') {
            Some((public, build)) => (public, Some(build)),
            None => (lower.as_str(), None),
        };
        let bare = public
            .strip_prefix('v')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            .unwrap_or(public);
        let (mut tokens, rest) = release(bare);
        let count = tokens.len();
        let semver = || semver_suffix(bare, rest, count);
        // `1.0.0-1` is a pre-release to one and a post-release to the other.
        let disputed = rest
            .strip_prefix('-')
            .is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()));
        let suffix = match disputed.then(semver).flatten() {
            Some(suffix) => suffix,
            None => pep440_suffix(bare, rest, count)
                .or_else(semver)
                .unwrap_or_else(|| natural(rest)),
        };
        tokens.extend(suffix);
        if let Some(build) = build {
            tokens.push(Token::Build);
            tokens.extend(runs(build).map(plain));
        }
        Self {
            text: text.to_owned(),
            tokens: without_trailing_zeros(tokens),
        }
    }

    /// Whether it announces a release rather than being one.
    #[must_use]
    pub fn is_prerelease(&self) -> bool {
        self.tokens
            .iter()
            .any(|token| matches!(token, Token::Pre(_)))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        fn whole(version: &Version) -> impl Iterator<Item = &Token> {
            version.tokens.iter().chain([&Token::End])
        }
        whole(self)
            .cmp(whole(other))
            .then_with(|| self.text.cmp(&other.text))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The numbers at the start with dots between them, and what follows.
fn release(text: &str) -> (Vec<Token>, &str) {
    let mut numbers = Vec::new();
    let mut rest = text;
    loop {
        let next = match numbers.is_empty() {
            true => Some(rest),
            false => rest.strip_prefix('.'),
        };
        let Some((digits, after)) = next
            .map(split_digits)
            .filter(|(digits, _)| !digits.is_empty())
        else {
            return (numbers, rest);
        };
        numbers.push(Token::Number(Number::new(digits)));
        rest = after;
    }
}

/// What follows the release of a PEP 440 version, if `text` is one: `[a|b|rc N] [post N] [dev N]`.
/// Its release has `numbers` numbers, and `suffix` follows it.
fn pep440_suffix(text: &str, suffix: &str, numbers: usize) -> Option<Vec<Token>> {
    let version: pep440_rs::Version = text.parse().ok()?;
    if version.epoch() != 0 || (numbers == 1 && is_size(suffix)) {
        return None;
    }
    let number = |number: u64| Token::Number(Number::new(&number.to_string()));
    let mut tokens = Vec::new();
    if let Some(pre) = version.pre() {
        let word = match pre.kind {
            PrereleaseKind::Alpha => "alpha",
            PrereleaseKind::Beta => "beta",
            PrereleaseKind::Rc => "rc",
        };
        tokens.extend([Token::Pre(Pre::Word(word.to_owned())), number(pre.number)]);
    }
    if let Some(post) = version.post() {
        tokens.extend([Token::Post, number(post)]);
    }
    if let Some(dev) = version.dev() {
        tokens.extend([Token::Pre(Pre::Dev), number(dev)]);
    }
    Some(tokens)
}

/// Whether a letter without a number follows, as in `7b` and `13b`.
fn is_size(suffix: &str) -> bool {
    let bare = |text| str::strip_prefix(text, ['-', '_', '.']).unwrap_or(text);
    let Some(after) = bare(suffix).strip_prefix(['a', 'b', 'c']) else {
        return false;
    };
    let is_word = after.starts_with("lpha") || after.starts_with("eta");
    !is_word && !bare(after).starts_with(|c: char| c.is_ascii_digit())
}

/// What SemVer allows after exactly three numbers: `-` and identifiers with dots between them.
fn semver_suffix(whole: &str, text: &str, numbers: usize) -> Option<Vec<Token>> {
    let padded = |part: &str| part.len() > 1 && part.starts_with('0');
    let core = whole.strip_suffix(text).unwrap_or_default();
    if numbers != 3 || core.split('.').any(padded) {
        return None;
    }
    let identifiers: Vec<&str> = text.strip_prefix('-')?.split('.').collect();
    let valid = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if !identifiers.iter().all(|part| valid(part)) {
        return None;
    }
    let mut tokens = Vec::new();
    for run in identifiers.into_iter().flat_map(runs) {
        tokens.push(match (tokens.is_empty(), run) {
            (true, Run::Digits(digits)) => Token::Pre(Pre::Number(Number::new(digits))),
            (true, Run::Letters(word)) => Token::Pre(pre_word(word)),
            (false, Run::Digits(digits)) => Token::Number(Number::new(digits)),
            (false, Run::Letters(word)) => Token::Field(word.to_owned()),
        });
    }
    Some(tokens)
}

/// Anything else: words and numbers. Words that can mean nothing else announce a release.
fn natural(text: &str) -> Vec<Token> {
    runs(text)
        .map(|run| match run {
            Run::Letters(word @ ("dev" | "alpha" | "beta" | "rc" | "preview")) => {
                Token::Pre(pre_word(word))
            }
            other => plain(other),
        })
        .collect()
}

fn pre_word(word: &str) -> Pre {
    match word {
        "dev" => Pre::Dev,
        "a" => Pre::Word("alpha".to_owned()),
        "b" => Pre::Word("beta".to_owned()),
        "c" | "pre" | "preview" => Pre::Word("rc".to_owned()),
        _ => Pre::Word(word.to_owned()),
    }
}

enum Run<'a> {
    Digits(&'a str),
    Letters(&'a str),
}

fn plain(run: Run<'_>) -> Token {
    match run {
        Run::Digits(digits) => Token::Number(Number::new(digits)),
        Run::Letters(word) => Token::Word(word.to_owned()),
    }
}

/// The runs of digits and of letters; everything else only separates them.
fn runs(text: &str) -> impl Iterator<Item = Run<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_ascii_digit() && !c.is_alphabetic());
        let (digits, after) = split_digits(rest);
        if !digits.is_empty() {
            rest = after;
            return Some(Run::Digits(digits));
        }
        let end = rest
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        (!word.is_empty()).then_some(Run::Letters(word))
    })
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

/// Drops the zeros at the end of each run of numbers: `1.0rc1` announces `1` as well.
fn without_trailing_zeros(tokens: Vec<Token>) -> Vec<Token> {
    let is_zero = |token: &Token| matches!(token, Token::Number(number) if number.is_zero());
    let mut kept: Vec<Token> = Vec::with_capacity(tokens.len());
    for token in tokens.into_iter().chain([Token::End]) {
        if !matches!(token, Token::Number(_)) {
            while kept.last().is_some_and(is_zero) {
                kept.pop();
            }
        }
        kept.push(token);
    }
    kept.pop();
    kept
}

#[cfg(test)]
mod tests;
