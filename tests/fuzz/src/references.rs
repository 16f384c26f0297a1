//! References: the displayed form parses to the same reference.

use std::path::PathBuf;

use modelzoo::reference::{ReferenceContext, SourceId, SourceRef};

use crate::{Target, assert_one_line, seeds};

pub(crate) const TARGET: Target = Target {
    name: "references",
    run,
    seeds: || seeds::texts(&SEEDS),
    words: &[
        "https://",
        "http://",
        "file:",
        "gh:",
        "git@",
        "git+https://",
        "ssh://git@",
        "github.com",
        "www.",
        "/tree/",
        "/commit/",
        "/releases/tag/",
        "/releases/download/",
        "/archive/",
        "/pull/",
        "/blob/",
        "refs/heads/",
        "refs/tags/",
        ".git",
        "@",
        "~",
        "./",
        "../",
        "C:\\",
        "\\",
        "%2f",
        "%00",
        "%ff",
        "?sig=",
        "?token=s3cret",
        "X-Amz-Signature=",
        "#",
        ":22",
        "..",
        "@{",
        "ghe.example",
        "0123456789abcdef0123456789abcdef01234567",
        "\u{202e}",
        "\0",
    ],
};

const SEEDS: [&str; 27] = [
    "u/r",
    "u/r@v1.0",
    "u/r/feature/x",
    "gh:u/r@refs/tags/v1",
    "gh:ghe.example/u/r@main",
    "https://github.com/u/r/tree/main/models/digits",
    "https://github.com/u/r/tree/a%23b",
    "https://github.com/u/r/commit/0123ABC",
    "https://github.com/u/r/releases/tag/rel/1",
    "https://github.com/u/r/pull/12/files",
    "https://github.com/u/r/archive/refs/heads/main.zip",
    "https://github.com/u/r/releases/download/v1/a.zip",
    "HTTPS://GitHub.COM:443/U/R.git?tab=readme#x",
    "git@github.com:u/r.git",
    "ssh://git@github.com:22/u/r",
    "git+https://github.com/u/r.git",
    "https://example.org/a/b.zip?sig=s3cret&se=1&x=2",
    "https://example.org/b.tar.gz?X-Amz-Signature=abc&y",
    "file:/a/b%20c",
    "file:///a/../b",
    "./here/digits.zip",
    "../up",
    "~/models",
    "/absolute//path/./x/",
    "C:\\models\\digits",
    "digits.zip",
    "example.org/a.zip?token=s3cret",
];

/// A credential, where it is in a query.
const SECRET: &str = "s3cret";

/// Whether the text has the credential in its query and nowhere else.
fn has_secret(text: &str) -> bool {
    let parts = text.split_once('?');
    parts.is_some_and(|(before, query)| !before.contains(SECRET) && query.contains(SECRET))
}

fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let context = ReferenceContext {
        github_hosts: vec!["github.com".into(), "ghe.example".into()],
        current_dir: PathBuf::from("/here"),
        home: Some(PathBuf::from("/home/me")),
        path_exists: &|path| path.starts_with("/here/digits.zip"),
    };
    if let Ok(id) = text.parse::<SourceId>() {
        assert_eq!(id.as_str(), text, "an id has one spelling");
    }
    let parsed = match SourceRef::parse(text, &context) {
        Ok(parsed) => parsed,
        Err(error) => {
            let hint = error
                .remedy()
                .map(|remedy| remedy.to_string())
                .unwrap_or_default();
            assert_one_line(&error.to_string());
            assert_one_line(&hint);
            let said = format!("{error} {error:?} {hint}");
            assert!(!has_secret(text) || !said.contains(SECRET), "{said}");
            return false;
        }
    };
    let id = parsed.id();
    assert_one_line(id.as_str());
    assert_eq!(
        id.as_str().parse::<SourceId>().ok().as_ref(),
        Some(&id),
        "{text:?}: an id that cannot be read"
    );
    let key = id.key();
    assert!(key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let shown = parsed.to_string();
    assert_one_line(&shown);
    assert_eq!(format!("{parsed:?}"), format!("SourceRef({shown})"));
    // The page of an Enterprise server that is no longer configured is an ordinary URL; the id still names
    // the repository.
    let strange_server = id
        .as_str()
        .strip_prefix("gh:")
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(host, rest)| {
            rest.split('@').next().unwrap_or_default().contains('/')
                && !context.github_hosts.iter().any(|known| known == host)
        });
    let spellings = [
        Some(id.as_str()),
        (!strange_server).then_some(shown.as_str()),
    ];
    // Blanks around the input are dropped, so a path cannot end in one.
    let typed = |again: &&str| again.trim() == *again;
    for again in spellings.into_iter().flatten().filter(typed) {
        let meant = SourceRef::parse(again, &context);
        let meant = meant.unwrap_or_else(|e| panic!("{text:?} is shown as {again:?}: {e}"));
        assert_eq!(meant.id(), id, "{text:?} is shown as {again:?}");
    }
    true
}
