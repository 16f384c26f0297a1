use super::*;

/// Gives out one byte a read, so that every token crosses a buffer's edge.
struct Dribble<'a>(&'a [u8]);

impl Read for Dribble<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let one = into.get_mut(..1).unwrap();
        self.0.read(one)
    }
}

fn accepts(text: &str) -> bool {
    let whole = {
        let mut scanner = Scanner::over(text.as_bytes());
        scanner.skip_value().and_then(|()| scanner.finish()).is_ok()
    };
    let mut scanner = Scanner::new(Dribble(text.as_bytes()));
    let dribbled = scanner.skip_value().and_then(|()| scanner.finish()).is_ok();
    assert_eq!(whole, dribbled, "{text}");
    whole
}

#[test]
fn json_and_the_words_of_python_are_accepted() {
    for text in [
        "0",
        "-0.5e-7",
        "1e400",
        "123456789012345678901234567890",
        "NaN",
        "-Infinity",
        "[Infinity, null, true, false]",
        "{}",
        "[]",
        " { \"a\" : [ { } , [ ] , \"\\u00e9\\ud800\\n\" ] } \n",
        "{\"a\":1,\"a\":2}",
        "\"\u{e9}\"",
    ] {
        assert!(accepts(text), "{text}");
    }
}

#[test]
fn other_text_is_refused() {
    for text in [
        "",
        "01",
        "1.",
        ".5",
        "-",
        "1e",
        "+1",
        "nan",
        "-NaN",
        "Infinityy",
        "truefalse",
        "[1,]",
        "[1 2]",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "[}",
        "{]",
        "[",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "1 2",
        "\u{feff}1",
        "'a'",
    ] {
        assert!(!accepts(text), "{text}");
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(accepts(&deep(MAX_DEPTH)));
    assert!(!accepts(&deep(MAX_DEPTH + 2)));
    assert!(!accepts(&"[".repeat(100_000)));
}

#[test]
fn error_has_the_offset_of_the_wrong_byte() {
    let mut scanner = Scanner::over(b"{\"a\": [1, x]}");
    let Err(ScanError::Syntax { offset, reason }) = scanner.skip_value() else {
        panic!("accepted");
    };
    assert_eq!((offset, reason.as_str()), (10, "no such value: x"));
}
