//! Names, proxies and mirrors that lead where nobody should go.

use serde_json::json;

use crate::hostile::arena::Arena;
use crate::hostile::canary::Canary;
use crate::server::{Response, Server};
use crate::source::Source;
use crate::world::World;

/// A world whose names are looked up in a table: `name=address,`.
#[cfg(target_os = "linux")]
fn knowing(world: World, names: &str) -> World {
    world
        .env("LD_PRELOAD", crate::faults::shim().to_str().unwrap())
        .env("FAULT_NAMES", names)
}

#[cfg(target_os = "linux")]
#[test]
fn names_of_private_addresses() {
    let canary = Canary::set();
    let names = [
        ("metadata.example", "169.254.169.254"),
        ("ten.example", "10.0.0.1"),
        ("unique.example", "fd00:ec2::254"),
        ("shared.example", "100.100.100.200"),
        ("here.example", "127.0.0.1"),
        ("mapped.example", "::ffff:127.0.0.1"),
        ("translated.example", "64:ff9b::7f00:1"),
        ("nobody.example", "0.0.0.0"),
    ];
    let table: String = names.iter().map(|(n, a)| format!("{n}={a},")).collect();
    let arena = Arena::within(knowing(World::new(), &table), "");
    for (name, _) in names {
        let origin = format!("https://{name}:{}", canary.port());
        arena
            .attack(test_artifacts::BAD_HOST, "model")
            .asking(&origin)
            .file("url.txt", format!("{origin}/loot"))
            .download()
            .says(" is refused: ")
            .denied_after(&[]);
        arena
            .refuses(1, &["register-source", &format!("{origin}/x.zip")])
            .says(" is refused: ")
            .recorded();
        assert!(!canary.was_called(), "{name}");
    }
}

/// The name is good when it is asked about, and private when it is redirected to.
#[cfg(target_os = "linux")]
#[test]
fn a_redirect_to_a_name_of_a_private_address() {
    let canary = Canary::set();
    let to = format!("http://inside.example:{}/loot", canary.port());
    let server = Server::start(move |_| Response::redirect(to.clone()));
    let world = knowing(World::reaching(&[&server]), "inside.example=127.0.0.1,");
    let arena = Arena::within(world, "");
    let start = server.url("/start");
    arena
        .attack(test_artifacts::BAD_REDIRECT, "denied")
        .asking(format!("http://{}", server.authority()))
        .asking(format!("http://inside.example:{}", canary.port()))
        .file("url.txt", format!("{start} {}", "0".repeat(64)))
        .download()
        .says("redirects to a place that is refused: ")
        .denied_after(&[start]);
    assert!(!canary.was_called());
}

#[test]
fn a_proxy_is_for_others_only() {
    // It sees where the command goes, and lets nobody through.
    let proxy = Server::start(|_| Response::status(403));
    let direct = Server::files([("/digits.zip", Source::digits().zip(""))]);
    let secret = "pr0xy5ecret";
    let address = format!("http://user:{secret}@{}", proxy.authority());
    let world = World::reaching(&[&direct])
        .env("HTTPS_PROXY", &address)
        .env("NO_PROXY", "near.invalid,.inner.invalid");
    let arena = Arena::within(world, "");
    let refused = arena.refuses(1, &["register-source", "https://far.invalid/x.zip"]);
    assert!(!format!("{refused:?}").contains(secret), "{refused:#?}");
    let seen = proxy.seen();
    assert!(!seen.is_empty() && seen.iter().all(|r| r.path == "far.invalid:443"));
    assert!(seen[0].header("proxy-authorization").is_some());
    // Who is excepted is looked up here, and not found.
    for host in ["near.invalid", "a.inner.invalid"] {
        arena.refuses(1, &["register-source", &format!("https://{host}/x.zip")]);
    }
    // Nor does the proxy get what is on this machine, or may not be reached at all.
    for host in [
        "127.0.0.1:1",
        "localhost:1",
        "[::1]:1",
        "10.0.0.1",
        "169.254.169.254",
    ] {
        arena.refuses(1, &["register-source", &format!("https://{host}/x.zip")]);
    }
    arena
        .world
        .ok(&["register-source", &direct.url("/digits.zip")]);
    assert_eq!(proxy.seen().len(), seen.len());
    arena.is_well();
}

#[test]
fn a_mirror_that_lies_is_named() {
    let good = test_artifacts::tiny_weights();
    let server = Server::files([("/wrong", vec![7; good.len()]), ("/right", good.clone())]);
    let arena = Arena::within(World::reaching(&[&server]), "");
    let world = &arena.world;
    let describe = |urls: &[&str]| {
        let urls: Vec<_> = urls.iter().map(|path| server.url(path)).collect();
        let manifest = json!({ "name": "test/mirrored", "models": [{
            "base_name": "test/mirrored",
            "artifacts": [{ "path": "w", "url": urls, "sha256": crate::downloads::sha256(&good) }],
        }]});
        std::fs::create_dir_all(world.path("mirrored")).unwrap();
        std::fs::write(world.path("mirrored/manifest.json"), manifest.to_string()).unwrap();
        world.ok(&["register-source", "./mirrored", "--overwrite"]);
    };
    describe(&["/wrong", "/wrong"]);
    arena
        .refuses(1, &["download", "test/mirrored"])
        .says(&server.url("/wrong"))
        .says("sha256")
        .recorded();
    describe(&["/wrong", "/right"]);
    let before = world.audit().len();
    world.ok(&["download", "test/mirrored"]);
    let records = world.audit().split_off(before);
    let of = |path: &str| {
        let url = server.url(path);
        let mut requests = records.iter().filter(|r| r["event"] == "request");
        requests
            .find(|r| r["hops"][0]["url"] == url)
            .expect("a record")
            .clone()
    };
    assert_eq!(of("/right")["outcome"], "ok");
    assert_eq!(of("/wrong")["outcome"], "failed");
    arena.is_well();
}

/// A hook's own header, which may be a key, is for the host that it was meant for.
#[test]
fn headers_of_a_hook_are_not_passed_on() {
    let other = Server::start(|_| Response::ok("hello"));
    let to = other.url("/taken");
    let server = Server::start(move |_| Response::redirect(to.clone()));
    let arena = Arena::within(World::reaching(&[&server, &other]), "");
    let attack = arena
        .attack(test_artifacts::OK_GET, "model")
        .asking(format!("http://{}", server.authority()))
        .asking(format!("http://{}", other.authority()))
        .file("url.txt", server.url("/given"));
    attack.downloads();
    assert_eq!(server.seen()[0].header("x-guest"), Some("ok_get"));
    assert_eq!(other.seen()[0].header("x-guest"), None);
}

#[test]
fn a_body_without_end() {
    // It says that there is no end, and sends a mebibyte for each that was asked for.
    let server = Server::start(|_| Response {
        headers: vec![("content-length".into(), (1_u64 << 50).to_string())],
        ..Response::ok(vec![7; 8 << 20])
    });
    let arena = Arena::within(World::reaching(&[&server]), "staging_bytes = 1048576");
    arena
        .attack(test_artifacts::OK_FETCH, "model")
        .asking(format!("http://{}", server.authority()))
        .file("url.txt", server.url("/endless"))
        .download();
    let reference = server.url("/endless.zip");
    arena
        .refuses(1, &["register-source", &reference])
        .recorded();
}
