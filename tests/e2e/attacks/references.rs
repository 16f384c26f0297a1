//! Look-alike references, ambiguous URLs and moving refs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::testbed::Testbed;
use crate::github::{FEATURE, GitHub};
use crate::server::{Response, Server};
use crate::source::Source;

/// A05: the commit of an annotated tag before it moves.
const TAGGED: &str = "3333333333333333333333333333333333333333";

#[test]
fn look_alike_hosts_are_not_github() {
    let github = GitHub::start();
    // A proxy records the host and refuses every connection.
    let proxy = Server::start(|_| Response::status(403));
    let testbed = Testbed::within(github.world().env("HTTPS_PROXY", &proxy.url("")), "");
    for (url, host) in [
        (
            "https://evil.example/github.com/acme/digits",
            "evil.example",
        ),
        (
            "https://github.com.evil.example/acme/digits",
            "github.com.evil.example",
        ),
        ("https://gith\u{fc}b.com/acme/digits", "xn--githb-nva.com"),
    ] {
        let before = proxy.seen().len();
        testbed.refuses(1, &["register-source", url]).recorded();
        let seen = proxy.seen().split_off(before);
        assert!(!seen.is_empty(), "{url}: nobody was asked");
        for request in seen {
            let asked = request.path.rsplit_once(':').unwrap().0;
            assert_eq!(asked.trim_end_matches('.'), host, "{url}");
        }
    }
    assert_eq!(github.asked().len(), 0);
    testbed.still_works();
}

#[test]
fn ambiguous_urls_are_refused() {
    let github = GitHub::start();
    let testbed = Testbed::within(github.world(), "");
    let here = testbed.canary.authority();
    for (url, reason) in [
        (
            format!("https://github.com@{here}/acme/digits"),
            "user name",
        ),
        (format!("http://github.com@{here}/x.zip"), "user name"),
        (format!("https://github.com%2f@{here}/x.zip"), "user name"),
        ("https://github.com%2fevil.example/x.zip".into(), "percent"),
        (format!("https://github.com\\@{here}/x.zip"), "backslash"),
        (format!("https:\\\\{here}\\x.zip"), "backslash"),
        (format!("https://{here}#@github.com/acme/digits"), "refused"),
    ] {
        testbed.refuses(1, &["register-source", &url]).says(reason);
    }
    assert_eq!(github.asked().len(), 0);
    testbed.still_works();
}

#[test]
fn exact_repository_is_fetched() {
    let github = GitHub::with(|request| match request.path.as_str() {
        "/repos/acme/dig.its/commits/HEAD" => Some(Response::ok(FEATURE)),
        _ => None,
    });
    let testbed = Testbed::within(github.world(), "");
    // `acme/digits` exists too, and a careless parser would read `acme/dig`.
    testbed.refuses(1, &["register-source", "acme/dig.its"]);
    let asked = github.asked();
    assert!(!asked.is_empty());
    for request in asked {
        assert!(
            request.path.starts_with("/repos/acme/dig.its/"),
            "{request:?}"
        );
    }
    testbed.still_works();
}

#[test]
fn bad_refs_are_refused() {
    let github = GitHub::start();
    let testbed = Testbed::within(github.world(), "");
    for reference in [
        "acme/digits/../../other",
        "acme/digits/a/../b",
        "acme/digits/%2e%2e/other",
        "acme/digits/a..b",
        "acme/digits/-x",
        "acme/digits/--upload-pack=x",
        "acme/digits/x@{1}",
        "acme/digits/a\nb",
        "acme/digits/a b",
        "acme/digits/a~1",
        "acme/digits/a^{}",
        "acme/digits/a:b",
        "acme/digits/x.lock",
        "acme/digits/\u{1b}[2J",
        "https://github.com/acme/digits/tree/..%2f..%2fother",
        "https://github.com/acme/digits/commit/zzzz?x=../..",
        "https://github.com/acme/digits/pull/1..2",
        "acme/..",
        "../digits/main",
    ] {
        let refused = testbed.refuses(1, &["register-source", reference]);
        assert!(refused.stderr.contains("error: "), "{refused:#?}");
    }
    assert_eq!(github.asked().len(), 0, "{:#?}", github.asked());
    testbed.still_works();
}

#[test]
fn moved_tag_is_not_followed() {
    let moved = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&moved);
    let github = GitHub::with(move |request| {
        let at = request.path == "/repos/acme/digits/commits/tags/v1.0";
        (at && state.load(Ordering::SeqCst)).then(|| Response::ok(FEATURE))
    });
    let testbed = Testbed::within(github.world(), "");
    let world = &testbed.world;
    let commit = || world.json(&["list-sources"])[1]["commit"].clone();
    world.ok(&["register-source", "acme/digits/v1.0"]);
    assert_eq!(commit(), TAGGED);
    moved.store(true, Ordering::SeqCst);
    world.ok(&["download", "modelzoo/digits-cnn", "--locked"]);
    // Only the lock is left: the source is restored at the commit that the lock pins.
    std::fs::remove_dir_all(world.home().join("sources")).unwrap();
    std::fs::remove_dir_all(world.home().join("models")).unwrap();
    let asked = github.asked().len();
    world.ok(&["download", "modelzoo/digits-cnn", "--locked"]);
    let asked = github.asked().split_off(asked);
    assert!(asked.iter().all(|r| r.path.ends_with(TAGGED)), "{asked:#?}");
    assert_eq!(commit(), TAGGED);
}

#[test]
fn names_with_several_at_signs_have_one_meaning() {
    let testbed = Testbed::new();
    let world = &testbed.world;
    Source::digits()
        .manifest(|m| {
            let model = m["models"][0].clone();
            m["models"] = ["1", "1.0", "2"]
                .map(|version| {
                    let mut model = model.clone();
                    model["base_name"] = json!("a/c");
                    model["version"] = json!(version);
                    model["base_filename"] = json!(format!("digits-{version}.safetensors"));
                    model
                })
                .to_vec()
                .into();
        })
        .write(&world.path("versions"));
    world.ok(&["register-source", "./versions"]);
    assert_eq!(world.json(&["info", "a/c@1"])["name"], "a/c@1");
    for name in [
        "a@2/c@1",
        "a@b/c@1",
        "a/c@1@2",
        "a/c@",
        "a/c@@1",
        "@1",
        "a/c@1/c",
        "a/c@../c@2",
        "a/c@1\0",
    ] {
        // The operating system accepts no NUL in an argument.
        if !name.contains('\0') {
            testbed.refuses(1, &["download", name]);
        }
    }
    // A manifest must not use such names.
    for (name, version) in [
        ("a@b/c", "1"),
        ("a/c@2", "1"),
        ("a/c", "1@2"),
        ("a/c", "../2"),
    ] {
        Source::digits()
            .manifest(|m| {
                m["models"][0]["base_name"] = json!(name);
                m["models"][0]["version"] = json!(version);
            })
            .write(&world.path("odd"));
        testbed
            .refuses(1, &["register-source", "./odd"])
            .says("is not a name")
            .recorded();
    }
    testbed.still_works();
}
