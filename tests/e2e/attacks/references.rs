//! References that look like something else, and refs that move.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::github::{FEATURE, GitHub};
use crate::hostile::arena::Arena;
use crate::server::{Response, Server};
use crate::source::Source;

/// A05: what an annotated tag points at, before it moves.
const TAGGED: &str = "3333333333333333333333333333333333333333";

#[test]
fn look_alikes_are_asked_themselves() {
    let github = GitHub::start();
    // A proxy sees which host is meant, and lets nobody through.
    let proxy = Server::start(|_| Response::status(403));
    let arena = Arena::within(github.world().env("HTTPS_PROXY", &proxy.url("")), "");
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
        arena.refuses(1, &["register-source", url]).recorded();
        let seen = proxy.seen().split_off(before);
        assert!(!seen.is_empty(), "{url}: nobody was asked");
        for request in seen {
            let asked = request.path.rsplit_once(':').unwrap().0;
            assert_eq!(asked.trim_end_matches('.'), host, "{url}");
        }
    }
    assert_eq!(github.asked().len(), 0);
    arena.is_well();
}

#[test]
fn urls_of_two_meanings() {
    let github = GitHub::start();
    let arena = Arena::within(github.world(), "");
    let here = arena.canary.authority();
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
        arena.refuses(1, &["register-source", &url]).says(reason);
    }
    assert_eq!(github.asked().len(), 0);
    arena.is_well();
}

#[test]
fn the_repository_that_was_named() {
    let github = GitHub::with(|request| match request.path.as_str() {
        "/repos/acme/dig.its/commits/HEAD" => Some(Response::ok(FEATURE)),
        _ => None,
    });
    let arena = Arena::within(github.world(), "");
    // `acme/digits` is there too, and `acme/dig` would be what a careless reader makes of it.
    arena.refuses(1, &["register-source", "acme/dig.its"]);
    let asked = github.asked();
    assert!(!asked.is_empty());
    for request in asked {
        assert!(
            request.path.starts_with("/repos/acme/dig.its/"),
            "{request:?}"
        );
    }
    arena.is_well();
}

#[test]
fn refs_that_are_none() {
    let github = GitHub::start();
    let arena = Arena::within(github.world(), "");
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
        let refused = arena.refuses(1, &["register-source", reference]);
        assert!(refused.said.contains("error: "), "{refused:#?}");
    }
    assert_eq!(github.asked().len(), 0, "{:#?}", github.asked());
    arena.is_well();
}

#[test]
fn a_tag_that_moves_is_not_followed() {
    let moved = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&moved);
    let github = GitHub::with(move |request| {
        let at = request.path == "/repos/acme/digits/commits/tags/v1.0";
        (at && state.load(Ordering::SeqCst)).then(|| Response::ok(FEATURE))
    });
    let arena = Arena::within(github.world(), "");
    let world = &arena.world;
    let commit = || world.json(&["list-sources"])[1]["commit"].clone();
    world.ok(&["register-source", "acme/digits/v1.0"]);
    assert_eq!(commit(), TAGGED);
    moved.store(true, Ordering::SeqCst);
    world.ok(&["download", "modelzoo/digits-cnn", "--locked"]);
    // Nothing of it is left but the lock: it comes back at the commit that the lock pins.
    std::fs::remove_dir_all(world.home().join("sources")).unwrap();
    std::fs::remove_dir_all(world.home().join("models")).unwrap();
    let asked = github.asked().len();
    world.ok(&["download", "modelzoo/digits-cnn", "--locked"]);
    let asked = github.asked().split_off(asked);
    assert!(asked.iter().all(|r| r.path.ends_with(TAGGED)), "{asked:#?}");
    assert_eq!(commit(), TAGGED);
}

#[test]
fn names_with_more_than_one_at() {
    let arena = Arena::new();
    let world = &arena.world;
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
        // The operating system lets no NUL through.
        if !name.contains('\0') {
            arena.refuses(1, &["download", name]);
        }
    }
    // In a manifest it is refused, so that nobody can be misled by it.
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
        arena
            .refuses(1, &["register-source", "./odd"])
            .says("is not a name")
            .recorded();
    }
    arena.is_well();
}
