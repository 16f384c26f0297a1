//! Downloads by a hook: interrupted, killed, limited, verified and concurrent.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::server::{Response, Server};
use crate::source::{Source, safetensors};
use crate::world::{Run, World};

const MODEL: &str = "test/model";
const SIZE: usize = 3 << 20;

/// Weights whose bytes differ from offset to offset, so that a misplaced part is detected.
fn body(seed: u32) -> Vec<u8> {
    let bytes: Vec<u8> = (0..SIZE as u32 / 4)
        .flat_map(|n| (n ^ seed).wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    safetensors(&bytes)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A world with a source registered whose hook fetches `/weights` from the server.
fn fetching(server: &Server, expect: &str) -> World {
    let world = World::reaching(&[server]);
    let permission = format!("http://{}", server.authority());
    Source::new(test_artifacts::OK_FETCH)
        .asking(&permission)
        .file("url.txt", format!("{} {expect}", server.url("/weights")))
        .write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    world
}

fn downloaded(world: &World) -> Vec<u8> {
    let path = world.ok(&["find", MODEL]).stdout;
    std::fs::read(path.trim_end()).unwrap()
}

fn nothing_visible(world: &World) {
    assert!(
        !world
            .visible()
            .keys()
            .any(|p| p.starts_with(world.home().join("models")))
    );
    assert_eq!(world.run(&["find", MODEL]).code, Some(1));
}

#[test]
fn cut_connection_is_resumed() {
    let weights = body(1);
    let expect = sha256(&weights);
    let first = AtomicUsize::new(0);
    let served = weights.clone();
    let server = Server::start(move |request| {
        let whole = Response::file(request, &served, "\"v1\"");
        match first.fetch_add(1, Ordering::SeqCst) {
            0 => Response {
                cut_after: Some(SIZE / 3),
                ..whole
            },
            _ => whole,
        }
    });
    let world = fetching(&server, &expect);
    world.ok(&["download", MODEL]);
    assert_eq!(downloaded(&world), weights);
    let seen = server.seen();
    assert_eq!(seen.len(), 2, "{seen:#?}");
    assert!(seen[1].range_start().unwrap() > 0);
    assert_eq!(seen[1].header("if-range"), Some("\"v1\""));
}

#[test]
fn changed_file_restarts_the_download() {
    let (old, new) = (body(1), body(2));
    let expected = new.clone();
    let count = AtomicUsize::new(0);
    let server = Server::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Response {
            cut_after: Some(SIZE / 2),
            ..Response::file(request, &old, "\"old\"")
        },
        _ => Response::file(request, &new, "\"new\""),
    });
    let world = fetching(&server, "");
    world.ok(&["download", MODEL]);
    assert_eq!(downloaded(&world), expected);
}

#[test]
fn killed_download_leaves_nothing_visible_and_is_resumed() {
    let weights = body(3);
    let expect = sha256(&weights);
    let slow = AtomicUsize::new(1);
    let served = weights.clone();
    let server = Server::start(move |request| Response {
        pause: (slow.swap(0, Ordering::SeqCst) == 1).then_some(Duration::from_millis(40)),
        ..Response::file(request, &served, "\"v1\"")
    });
    let world = fetching(&server, &expect);
    let mut child = world.command(&["download", MODEL]).spawn().unwrap();
    wait_until("some of the file has arrived", || {
        partial_bytes(&world) > 512 << 10
    });
    child.kill().unwrap();
    child.wait().unwrap();
    nothing_visible(&world);
    assert!(
        partial_bytes(&world) < SIZE as u64,
        "the download was not cut short"
    );

    world.ok(&["download", MODEL]);
    assert_eq!(downloaded(&world), weights);
    let resumed = server.seen().last().unwrap().range_start();
    assert!(resumed.unwrap_or(0) > 0, "{resumed:?}");
}

#[test]
fn wrong_digest_is_refused() {
    let weights = body(4);
    let server = Server::files([("/weights", weights)]);
    let world = fetching(&server, &"0".repeat(64));
    let error = world.refused(1, &["download", MODEL]);
    assert!(
        error.contains("sha256") || error.contains("digest"),
        "{error}"
    );
    nothing_visible(&world);
}

#[test]
fn manifest_size_limits_the_download() {
    let server = Server::files([("/weights", body(5))]);
    let world = World::reaching(&[&server]);
    Source::new(test_artifacts::OK_FETCH)
        .asking(&format!("http://{}", server.authority()))
        .manifest(|m| m["permissions"]["max_download_bytes"] = SIZE.into())
        .file("url.txt", server.url("/weights"))
        .write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    let error = world.refused(1, &["download", MODEL]);
    assert!(
        error.contains("max_download_bytes") || error.contains("at most"),
        "{error}"
    );
    nothing_visible(&world);
}

#[test]
fn missing_file_is_named() {
    let server = Server::files([]);
    let world = fetching(&server, "");
    let error = world.refused(1, &["download", MODEL]);
    assert!(
        error.contains("404") || error.contains("not found"),
        "{error}"
    );
    assert!(
        error.contains("/weights") && error.contains("test/model"),
        "{error}"
    );
}

#[test]
fn two_processes_download_one_model() {
    let weights = body(6);
    let server = Server::files([("/weights", weights.clone())]);
    let world = fetching(&server, &sha256(&weights));
    let children: Vec<_> = (0..4)
        .map(|_| world.command(&["download", MODEL]).spawn().unwrap())
        .collect();
    for child in children {
        let run = Run::from(child.wait_with_output().unwrap());
        assert_eq!(run.code, Some(0), "{run:#?}");
    }
    assert_eq!(downloaded(&world), weights);
    let models = world.home().join("models");
    let copies = world
        .visible()
        .keys()
        .filter(|p| p.starts_with(&models) && p.ends_with("receipt.json"))
        .count();
    assert_eq!(copies, 1);
    assert_eq!(world.unfinished(), Vec::<PathBuf>::new());
}

#[test]
fn overwrite_keeps_the_old_model_until_the_new_one_is_complete() {
    let weights = body(7);
    let served = weights.clone();
    let count = AtomicUsize::new(0);
    let server = Server::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Response::file(request, &served, "\"v1\""),
        _ => Response::status(404),
    });
    let world = fetching(&server, "");
    world.ok(&["download", MODEL]);
    world.refused(1, &["download", MODEL, "--overwrite"]);
    assert_eq!(downloaded(&world), weights);
}

#[test]
fn model_with_changed_files_does_not_count_as_downloaded() {
    let weights = body(8);
    let server = Server::files([("/weights", weights.clone())]);
    let world = fetching(&server, "");
    world.ok(&["download", MODEL]);
    let path = world.ok(&["find", MODEL]).stdout;
    std::fs::write(path.trim_end(), b"short").unwrap();
    nothing_downloaded(&world);
    world.ok(&["download", MODEL]);
    assert_eq!(downloaded(&world), weights);
}

#[test]
fn partials_are_not_shared_between_sources() {
    let weights = body(9);
    let served = weights.clone();
    let server = Server::start(move |request| Response {
        pause: Some(Duration::from_millis(40)),
        ..Response::file(request, &served, "\"v1\"")
    });
    let world = World::reaching(&[&server]);
    let permission = format!("http://{}", server.authority());
    for name in ["one", "two"] {
        Source::new(test_artifacts::OK_FETCH)
            .asking(&permission)
            .file(
                "url.txt",
                format!("{} {}", server.url("/weights"), sha256(&weights)),
            )
            .manifest(|m| m["models"][0]["base_name"] = format!("test/{name}").into())
            .write(&world.path(name));
        let reference = format!("./{name}");
        world.ok(&["register-source", &reference, "--grant", "all"]);
    }
    for (already, model) in ["test/one", "test/two"].into_iter().enumerate() {
        let mut child = world.command(&["download", model]).spawn().unwrap();
        wait_until("some of the file has arrived", || {
            let parts = parts(&world);
            parts.len() > already && parts.iter().all(|part| size(part) > 256 << 10)
        });
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let seen = server.seen();
    assert!(
        seen.iter().all(|r| r.header("range").is_none()),
        "{seen:#?}"
    );
    let parts = parts(&world);
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[0].file_name(), parts[1].file_name());

    // They are counted and can be removed.
    let bytes: u64 = parts.iter().map(|part| size(part)).sum();
    let usage = world.json(&["du"]);
    let usage = usage.as_array().unwrap().iter();
    let staging = usage.filter(|u| u["kind"] == "staging");
    let counted: u64 = staging.map(|u| u["bytes"].as_u64().unwrap()).sum();
    assert!(counted >= bytes, "{counted} < {bytes}");
    world.ok(&["gc"]);
    let partials = world.home().join("staging/partials");
    assert_eq!(std::fs::read_dir(partials).unwrap().count(), 0);
    assert_eq!(world.json(&["gc"]), serde_json::json!([]));
}

#[test]
fn unreadable_certificates_are_refused_first() {
    let world = World::new()
        .env("SSL_CERT_FILE", "/nowhere/ca.pem")
        .env("SSL_CERT_DIR", "/nowhere");
    Source::new(test_artifacts::OK_FETCH)
        .asking("https://models.example")
        .file("url.txt", "https://models.example/weights ")
        .write(&world.path("source"));
    let error = world.refused(1, &["register-source", "./source", "--grant", "all"]);
    assert!(
        error.contains("`SSL_CERT_FILE` cannot be used") && error.contains("hint:"),
        "{error}"
    );
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

/// The unfinished files of all sources.
fn parts(world: &World) -> Vec<PathBuf> {
    let list = |dir| std::fs::read_dir(dir).into_iter().flatten().flatten();
    list(world.home().join("staging/partials"))
        .flat_map(|of_source| list(of_source.path()))
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "part"))
        .collect()
}

fn nothing_downloaded(world: &World) {
    assert_eq!(world.json(&["list", "-d", "-n"]), serde_json::json!([]));
}

fn partial_bytes(world: &World) -> u64 {
    let parts = parts(world);
    parts.iter().map(|part| size(part)).max().unwrap_or(0)
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "waited in vain until {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
