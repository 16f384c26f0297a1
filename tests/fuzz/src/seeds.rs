//! Seeds from the repository, and how the fuzzer gets them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Target;

/// The directory that a target's program writes its seeds and dictionary to, instead of
/// fuzzing.
const OFFER: &str = "MODELZOO_FUZZ_OFFER";

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of the repository.
pub(crate) fn file(path: &str) -> (String, Vec<u8>) {
    let bytes = fs::read(repository().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    (path.replace('/', "-"), bytes)
}

/// The files of a directory of the repository that end in one of `extensions` and have at most
/// `limit` bytes, by name.
pub(crate) fn files(directory: &str, extensions: &[&str], limit: u64) -> Vec<(String, Vec<u8>)> {
    let mut names: Vec<String> = fs::read_dir(repository().join(directory))
        .unwrap_or_else(|e| panic!("{directory}: {e}"))
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.metadata().unwrap().len() <= limit)
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| extensions.iter().any(|end| name.ends_with(end)))
        .collect();
    names.sort();
    let path = |name| format!("{directory}/{name}");
    names.into_iter().map(|name| file(&path(name))).collect()
}

/// Seeds that are texts, numbered.
pub(crate) fn texts(texts: &[&str]) -> Vec<(String, Vec<u8>)> {
    let numbered = texts.iter().enumerate();
    numbered
        .map(|(number, text)| (format!("text-{number:03}"), text.as_bytes().to_vec()))
        .collect()
}

/// Called by a target's program before it fuzzes: if `MODELZOO_FUZZ_OFFER` names a directory, it
/// writes the seeds to `corpus` in it and the words to `dictionary`, and ends.
pub fn offer(target: &Target) {
    let Some(directory) = std::env::var_os(OFFER).map(PathBuf::from) else {
        return;
    };
    let corpus = directory.join("corpus");
    fs::create_dir_all(&corpus).unwrap();
    for (name, bytes) in (target.seeds)() {
        fs::write(corpus.join(name), bytes).unwrap();
    }
    fs::write(directory.join("dictionary"), dictionary(target.words)).unwrap();
    std::process::exit(0);
}

/// Words in libFuzzer's dictionary format.
fn dictionary(words: &[&str]) -> String {
    let plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
    let escape = |byte: u8| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("\\x{byte:02X}")
        }
    };
    let line = |word: &&str| format!("\"{}\"\n", word.bytes().map(escape).collect::<String>());
    words.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::dictionary;

    #[test]
    fn dictionary_is_escaped_for_libfuzzer() {
        let text = dictionary(&["https://", "a\"b\\", "\u{202e}\0"]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "\"https://\"",
                "\"a\\x22b\\x5C\"",
                "\"\\xE2\\x80\\xAE\\x00\""
            ]
        );
    }
}
