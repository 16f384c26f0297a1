//! The table of spellings, and the attacks on it.

use std::path::{Path, PathBuf};

use modelzoo_base::Remedy;

use super::{RefKind, ReferenceContext, ReferenceError, SourceId, SourceRef, github_hosts};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

fn parse(text: &str) -> Result<SourceRef, ReferenceError> {
    let context = ReferenceContext {
        github_hosts: vec!["github.com".into(), "ghe.example".into()],
        current_dir: PathBuf::from("/here"),
        home: Some(PathBuf::from("/home/me")),
        path_exists: &|path| {
            ["/here/digits.zip", "/here/acme/digits", "/here/a\\b"]
                .map(Path::new)
                .contains(&path)
        },
    };
    SourceRef::parse(text, &context)
}

fn id(text: &str) -> String {
    let parsed = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    parsed.id().to_string()
}

/// One row a spelling: what is typed, and the canonical id.
#[test]
fn every_spelling_has_its_id() {
    let rows = [
        // The short form, and dots in names.
        ("u/r", "gh:u/r"),
        ("u/my.repo", "gh:u/my.repo"),
        ("u/r/", "gh:u/r"),
        ("u/r/feature/x", "gh:u/r@feature/x"),
        ("u/r@v1.0", "gh:u/r@v1.0"),
        ("u/r/refs/tags/v1", "gh:u/r@refs/tags/v1"),
        ("acme/digits", "gh:acme/digits"),
        ("0xabc/r.zip", "gh:0xabc/r.zip"),
        ("a_company/r", "gh:a_company/r"),
        // Pages.
        (
            "https://github.com/u/my.repo/tree/main",
            "gh:u/my.repo@main",
        ),
        ("https://github.com/u/r/tree/feature/x", "gh:u/r@feature/x"),
        (
            "https://github.com/u/r/tree/main/models/digits",
            "gh:u/r@main/models/digits",
        ),
        ("https://github.com/u/r/tree/", "gh:u/r"),
        ("https://github.com/u/r/tree/a%23b", "gh:u/r@a#b"),
        ("https://github.com/u/r/commits/main", "gh:u/r@main"),
        ("https://github.com/u/r/commit/0123ABC", "gh:u/r@0123abc"),
        ("https://github.com/u/r/releases/tag/v1.0", "gh:u/r@v1.0"),
        ("https://github.com/u/r/releases/tag/rel/1", "gh:u/r@rel/1"),
        ("https://github.com/u/r/pull/12", "gh:u/r@refs/pull/12/head"),
        (
            "https://github.com/u/r/pull/12/files",
            "gh:u/r@refs/pull/12/head",
        ),
        ("https://github.com/u/r/v1.0", "gh:u/r@v1.0"),
        // Spellings of one page.
        ("https://github.com/u/r", "gh:u/r"),
        ("https://github.com/u/r/", "gh:u/r"),
        ("https://github.com/u/r.git", "gh:u/r"),
        ("http://github.com/u/r", "gh:u/r"),
        ("https://www.github.com/u/r", "gh:u/r"),
        ("HTTPS://GitHub.COM/U/R", "gh:u/r"),
        ("https://github.com:443/u/r", "gh:u/r"),
        ("  https://github.com/u/r\t", "gh:u/r"),
        ("github.com/u/r", "gh:u/r"),
        ("www.github.com/u/r/tree/main", "gh:u/r@main"),
        ("https://github.com/u/r?tab=readme", "gh:u/r"),
        ("https://github.com/u/r/tree/main?x=1#f", "gh:u/r@main"),
        ("https://github.com/u/r#readme", "gh:u/r"),
        // git's own forms.
        ("git@github.com:u/r.git", "gh:u/r"),
        ("github.com:U/r.git", "gh:u/r"),
        ("ssh://git@github.com/u/r.git", "gh:u/r"),
        ("ssh://git@github.com:22/u/r", "gh:u/r"),
        ("git+https://github.com/u/r.git", "gh:u/r"),
        ("git+ssh://git@github.com/u/r.git", "gh:u/r"),
        ("git://github.com/u/r.git", "gh:u/r"),
        // The id itself.
        ("gh:u/r@feature/x", "gh:u/r@feature/x"),
        ("gh:U/r", "gh:u/r"),
        ("gh:ghe.example/u/r@v1", "gh:ghe.example/u/r@v1"),
        // An enterprise server.
        (
            "https://ghe.example/u/r/tree/main",
            "gh:ghe.example/u/r@main",
        ),
        ("ghe.example/u/r", "gh:ghe.example/u/r"),
        ("git@ghe.example:u/r.git", "gh:ghe.example/u/r"),
        // Archives, on GitHub too.
        (
            "https://github.com/u/r/archive/refs/heads/main.zip",
            "https://github.com/u/r/archive/refs/heads/main.zip",
        ),
        (
            "https://github.com/u/r/releases/download/v1/src.zip",
            "https://github.com/u/r/releases/download/v1/src.zip",
        ),
        (
            "https://github.com/u/r/zipball/main",
            "https://github.com/u/r/zipball/main",
        ),
        (
            "https://github.com/u/r/raw/main/a.zip",
            "https://github.com/u/r/raw/main/a.zip",
        ),
        (
            "https://mirror.example/github-archive/x.zip",
            "https://mirror.example/github-archive/x.zip",
        ),
        ("https://x.example/y.zip?token=1", "https://x.example/y.zip"),
        (
            "https://x.example/download?file=y",
            "https://x.example/download?file=y",
        ),
        ("https://x.example/y.tar.xz", "https://x.example/y.tar.xz"),
        ("http://127.0.0.1:8080/y.zip", "http://127.0.0.1:8080/y.zip"),
        (
            "https://X.example:443/y.zip#part",
            "https://x.example/y.zip",
        ),
        // Local paths.
        ("./acme/digits", "file:/here/acme/digits"),
        (".", "file:/here"),
        ("./digits/./", "file:/here/digits"),
        ("../up", "file:/here/../up"),
        ("/srv/models/", "file:/srv/models"),
        ("~", "file:/home/me"),
        ("~/models", "file:/home/me/models"),
        ("file:/srv/models", "file:/srv/models"),
        ("file:///srv/my%20models", "file:/srv/my models"),
        ("file://localhost/srv", "file:/srv"),
        ("file:models", "file:/here/models"),
        ("FILE:/srv/100%", "file:/srv/100%25"),
        ("/srv/100%25", "file:/srv/100%2525"),
        ("digits.zip", "file:/here/digits.zip"),
    ];
    for (typed, expected) in rows {
        assert_eq!(id(typed), expected, "{typed}");
    }
}

/// A01: only the host decides what is GitHub's.
#[test]
fn similar_hosts_are_not_github() {
    for url in [
        "https://notgithub.com/u/r",
        "https://evil.example/github.com/u/r",
        "https://github.com.evil.example/u/r",
        "https://evil.example/?x=github.com/u/r",
        "https://raw.githubusercontent.com/u/r/main/x",
        "https://github.com:8443/u/r",
    ] {
        match parse(url) {
            Ok(SourceRef::Archive(parsed)) => assert_eq!(parsed.as_str(), url),
            other => panic!("{url}: {other:?}"),
        }
    }
}

/// A02: what two parsers could read differently is refused.
#[test]
fn confusing_urls_are_refused() {
    for url in [
        "https://github.com@evil.example/u/r",
        "https://user:secret@github.com/u/r",
        "https://github.com%2f@evil.example/",
        "https://github.com%2fevil.example/u/r",
        "https://github.com\\@evil.example/",
        "https:\\\\github.com\\u\\r",
        "https:github.com/u/r",
        "https:/github.com/u/r",
        "https:///github.com/u/r",
        "https://git\nhub.com/u/r",
        "https://github.com/u/r tree",
        "http://",
        "git+https://git@github.com/u/r.git",
    ] {
        let error = parse(url).expect_err(url);
        assert!(matches!(error, ReferenceError::Url(_)), "{url}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

/// A03: a dot in a name is part of the name.
#[test]
fn dots_stay_in_names() {
    for text in [
        "u/my.repo",
        "https://github.com/u/my.repo",
        "git@github.com:u/my.repo.git",
    ] {
        match parse(text) {
            Ok(SourceRef::GitHub(repo, None)) => assert_eq!(repo.repo, "my.repo", "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

/// A04: refs that git does not allow, in the short form and in URLs.
#[test]
fn bad_refs_are_refused() {
    for text in [
        "u/r/../../other",
        "u/r/..",
        "u/r/%2e%2e",
        "u/r/a..b",
        "u/r/-x",
        "u/r@-x",
        "u/r/@{",
        "u/r/a\0b",
        "u/r/a\nb",
        "u/r//x",
        "u/r@",
        "https://github.com/u/r/tree/main/../../x",
        "https://github.com/u/r/tree/%2e%2e/x",
        "https://github.com/u/r/tree/.%2E/x",
        "https://github.com/u/r/../../x/y",
        "https://github.com/u/r/tree/%252e%252e",
        "https://github.com/u/r/tree/a%00b",
        "https://github.com/u/r/tree/a%5Cb",
        "https://github.com/u/r/tree/a..b",
        "https://github.com/u/r/tree//x",
        "https://github.com/u/r/tree/%ff",
        "https://github.com/u/r/commit/main",
        "https://github.com/u/r/releases/tag/a..b",
        "https://github.com/u/r/pull/x",
        "gh:u/r@a..b",
    ] {
        let error = parse(text).expect_err(text);
        assert!(
            matches!(error, ReferenceError::BadRef { .. }),
            "{text}: {error}"
        );
        assert!(!error.to_string().contains(['\0', '\n']), "{error:?}");
    }
}

#[test]
fn names_that_github_forbids_are_refused() {
    for text in [
        "u/..",
        "u/.git",
        "u/r\u{e9}po",
        "-u/r",
        "u u/r",
        "u/r\u{202e}",
        "https://github.com/u/%2e%2e%2fx",
        "https://github.com//u/r",
        "git@github.com:u",
        "git@github.com:u/r/extra",
        &format!("u/{}", "r".repeat(101)),
        &format!("{}/r", "u".repeat(40)),
    ] {
        let error = parse(text).expect_err(text);
        let known = matches!(
            error,
            ReferenceError::BadRepository { .. } | ReferenceError::BadRef { .. }
        );
        assert!(known, "{text}: {error}");
    }
}

#[test]
fn pages_that_are_not_sources_suggest_one() {
    for (url, instead) in [
        (
            "https://github.com/u/r/blob/main/README.md",
            "https://github.com/u/r/tree/main",
        ),
        (
            "https://github.com/u/r/blob/main/dist/a.zip",
            "https://github.com/u/r/raw/main/dist/a.zip",
        ),
        ("https://github.com/u/r/releases", "https://github.com/u/r"),
        (
            "https://github.com/u/r/releases/latest",
            "https://github.com/u/r",
        ),
        ("https://github.com/u/r/issues/3", "https://github.com/u/r"),
        ("https://github.com/u/r/pull", "https://github.com/u/r"),
    ] {
        let error = parse(url).expect_err(url);
        assert!(
            matches!(error, ReferenceError::WebPage { .. }),
            "{url}: {error}"
        );
        assert_eq!(
            error.remedy(),
            Some(Remedy::advice(format!("use {instead}"))),
            "{url}"
        );
        parse(instead).expect(instead);
    }
}

#[test]
fn bad_references_suggest_the_valid_forms() {
    for text in [
        "",
        "   ",
        "digits",
        "gitlab.com/u/r",
        "ftp://example.com/a.zip",
        "git@gitlab.com:u/r.git",
        "ssh://git@gitlab.com/u/r",
        "data:text/plain,x",
        "javascript:alert(1)",
        "https",
        "https://github.com",
        "https://github.com/u",
        &"x".repeat(9000),
    ] {
        let error = parse(text).expect_err(text);
        assert!(
            matches!(error, ReferenceError::NotASource { .. }),
            "{text}: {error}"
        );
        assert!(
            error.remedy().is_some() && error.to_string().len() < 400,
            "{error}"
        );
    }
    for text in ["~other/x", "file://host/x", "file:", "/a\0b", "file:/a%00b"] {
        let error = parse(text).expect_err(text);
        assert!(
            matches!(error, ReferenceError::BadPath { .. }),
            "{text}: {error}"
        );
    }
}

/// A06: what is shown means the same source when it is typed again.
#[test]
fn references_and_ids_parse_again() {
    for (typed, shown) in [
        ("Acme/Digits", "https://github.com/Acme/Digits"),
        ("u/r/feature/x", "https://github.com/u/r/tree/feature/x"),
        ("u/r/a#b", "https://github.com/u/r/tree/a%23b"),
        (
            "https://github.com/u/r/releases/tag/v1",
            "https://github.com/u/r/releases/tag/v1",
        ),
        (
            "https://github.com/u/r/commit/abc1234",
            "https://github.com/u/r/commit/abc1234",
        ),
        ("u/r/refs/pull/7/head", "https://github.com/u/r/pull/7"),
        (
            "u/r/refs/heads/v1",
            "https://github.com/u/r/tree/refs/heads/v1",
        ),
        ("git@ghe.example:u/r.git", "https://ghe.example/u/r"),
        (
            "https://x.example/y.zip?token=1&v=2",
            "https://x.example/y.zip?v=2",
        ),
        ("~/m", "/home/me/m"),
        ("file:/a%FFb", "file:/a%FFb"),
        ("file:/a%1B[31m", "file:/a%1B[31m"),
    ] {
        let parsed = parse(typed).unwrap();
        assert_eq!(parsed.to_string(), shown);
        let again = parse(shown).unwrap();
        assert_eq!(again.id(), parsed.id(), "{typed}");
        assert_eq!(again.to_string(), shown);
        let id = parsed.id();
        assert_eq!(parse(id.as_str()).unwrap().id(), id, "{typed}");
        assert_eq!(id.as_str().parse::<SourceId>().unwrap(), id);
    }
    let commit = format!("https://github.com/u/r/tree/{SHA}/sub/dir");
    assert_eq!(parse(&commit).unwrap().to_string(), commit);
}

#[test]
fn kind_of_ref_is_kept() {
    let kind = |text: &str| match parse(text) {
        Ok(SourceRef::GitHub(_, Some(git_ref))) => (git_ref.kind(), git_ref.candidates().len()),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(kind("u/r/a/b"), (RefKind::Any, 2));
    assert_eq!(
        kind("https://github.com/u/r/releases/tag/a/b"),
        (RefKind::Tag, 1)
    );
    assert_eq!(kind("u/r/refs/heads/a"), (RefKind::Branch, 1));
    assert_eq!(kind(&format!("u/r/{SHA}")), (RefKind::Commit, 1));
    assert_eq!(kind("https://github.com/u/r/pull/3"), (RefKind::Pull, 1));
}

#[test]
fn credentials_are_used_and_not_shown() {
    let parsed = parse("https://x.example/y.zip?token=s3cret&v=2").unwrap();
    assert!(!format!("{parsed} {parsed:?} {}", parsed.id()).contains("s3cret"));
    match parsed {
        SourceRef::Archive(url) => assert_eq!(url.query(), Some("token=s3cret&v=2")),
        other => panic!("{other:?}"),
    }
    let error = parse("x.example/y.zip?token=s3cret\u{1b}").unwrap_err();
    let hint = error.remedy().unwrap().to_string();
    assert!(hint.contains("https://x.example/y.zip"), "{hint}");
    assert!(
        !format!("{error} {error:?} {hint}").contains("s3cret"),
        "{hint}"
    );
    let hint = parse("x\u{1b}.example/y.zip")
        .unwrap_err()
        .remedy()
        .unwrap()
        .to_string();
    assert!(!hint.contains(char::is_control), "{hint:?}");
}

#[test]
fn directory_of_the_same_name_is_only_a_hint() {
    let context = ReferenceContext {
        github_hosts: vec!["github.com".into()],
        current_dir: PathBuf::from("/here"),
        home: None,
        path_exists: &|path| path == Path::new("/here/acme/digits"),
    };
    assert_eq!(
        context.local_namesake("acme/digits").as_deref(),
        Some("./acme/digits")
    );
    assert_eq!(context.local_namesake("acme/other"), None);
    assert_eq!(context.local_namesake("./acme/digits"), None);
    assert!(
        SourceRef::parse("~/x", &context).is_err(),
        "no home is known"
    );
}

#[test]
fn source_is_told_from_a_model() {
    for text in [
        "https://x/y",
        "gh:u/r",
        "file:x",
        "./x",
        "~/x",
        "/x",
        "git@github.com:u/r",
        "s3://x/y",
        "C:\\x",
        "C:/x",
    ] {
        assert!(SourceRef::is_explicit(text), "{text}");
    }
    for text in [
        "acme/digits",
        "digits",
        "acme/digits@1.0",
        "gh:u/r:acme/digits".trim_start_matches("gh:"),
    ] {
        assert!(!SourceRef::is_explicit(text), "{text}");
    }
}

#[test]
fn hosts_come_from_the_api_url() {
    let hosts = |api: &str| github_hosts(&api.parse().unwrap());
    assert_eq!(hosts("https://api.github.com"), ["github.com"]);
    assert_eq!(
        hosts("https://ghe.example/api/v3"),
        ["github.com", "ghe.example"]
    );
    assert_eq!(
        hosts("https://api.tenant.ghe.com"),
        ["github.com", "tenant.ghe.com"]
    );
    assert_eq!(
        hosts("http://127.0.0.1:8080"),
        ["github.com", "127.0.0.1:8080"]
    );
}
