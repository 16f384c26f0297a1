//! The digest that a text file carries of itself, so that a change of any byte is noticed.
//!
//! It is one line, `digest = "<64 hexadecimal digits>"`: SHA-256 over all other bytes of the file.
//! It says that modelzoo wrote the file, or that the user accepted it; it is not a signature.

use sha2::{Digest as _, Sha256};

/// How the line begins. No other line of a sealed file does.
const START: &str = "digest = \"";

/// The text of a file: a head, the digest, and a body. The head ends with a line feed.
pub(super) fn seal(head: &str, body: &str) -> String {
    format!("{head}{}{body}", line(head, body))
}

/// What is wrong with the digest of a file; `None` if it is that of the other bytes.
pub(super) fn problem(text: &str) -> Option<&'static str> {
    let mut at = 0;
    for candidate in text.split_inclusive('\n') {
        let (head, rest) = text.split_at(at);
        at += candidate.len();
        if !candidate.starts_with(START) {
            continue;
        }
        let body = rest.get(candidate.len()..).unwrap_or_default();
        let same = candidate == line(head, body);
        return (!same).then_some("its digest is not that of its contents");
    }
    Some("it carries no digest of itself")
}

fn line(head: &str, body: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(head);
    hash.update(body);
    format!("{START}{}\"\n", hex::encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::{problem, seal};

    #[test]
    fn every_flipped_bit_is_noticed() {
        let sealed = seal("# a\n\n", "format = 2\n\n[[source]]\nid = \"x\"\n");
        assert_eq!(problem(&sealed), None, "{sealed}");
        for at in 0..sealed.len() * 8 {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at / 8] ^= 1 << (at % 8);
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(problem(&changed).is_some(), "bit {at}: {changed}");
            }
        }
    }

    #[test]
    fn added_and_removed_lines_are_noticed() {
        let sealed = seal("# a\n", "b = 1\n");
        let digest = sealed.lines().nth(1).unwrap();
        for changed in [
            String::new(),
            "# a\nb = 1\n".to_owned(),
            format!("{sealed}\n"),
            format!("{sealed}{digest}\n"),
            format!("{digest}\n{sealed}"),
            sealed.replace("# a\n", ""),
            sealed.replace('\n', "\r\n"),
            sealed.trim_end().to_owned(),
        ] {
            assert!(problem(&changed).is_some(), "{changed}");
        }
    }
}
