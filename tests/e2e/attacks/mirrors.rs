//! Proxies and mirrors.

use serde_json::json;

use super::testbed::Testbed;
use crate::server::{Response, Server};
use crate::source::Source;
use crate::world::World;

#[test]
fn proxy_is_used_for_public_hosts_only() {
    // It records the targets and refuses every connection.
    let proxy = Server::start(|_| Response::status(403));
    let direct = Server::files([("/digits.zip", Source::digits().zip(""))]);
    let secret = "pr0xy5ecret";
    let address = format!("http://user:{secret}@{}", proxy.authority());
    let world = World::reaching(&[&direct])
        .env("HTTPS_PROXY", &address)
        .env("NO_PROXY", "near.invalid,.inner.invalid");
    let testbed = Testbed::within(world, "");
    let refused = testbed.refuses(1, &["register-source", "https://far.invalid/x.zip"]);
    assert!(!format!("{refused:?}").contains(secret), "{refused:#?}");
    let seen = proxy.seen();
    assert!(!seen.is_empty() && seen.iter().all(|r| r.path == "far.invalid:443"));
    assert!(seen[0].header("proxy-authorization").is_some());
    // Exceptions are resolved locally, and not found.
    for host in ["near.invalid", "a.inner.invalid"] {
        testbed.refuses(1, &["register-source", &format!("https://{host}/x.zip")]);
    }
    // The proxy gets neither loopback nor forbidden addresses.
    for host in [
        "127.0.0.1:1",
        "localhost:1",
        "[::1]:1",
        "10.0.0.1",
        "169.254.169.254",
    ] {
        testbed.refuses(1, &["register-source", &format!("https://{host}/x.zip")]);
    }
    testbed
        .world
        .ok(&["register-source", &direct.url("/digits.zip")]);
    assert_eq!(proxy.seen().len(), seen.len());
    testbed.still_works();
}

#[test]
fn mirror_with_wrong_bytes_is_named() {
    let good = test_artifacts::tiny_weights();
    let server = Server::files([("/wrong", vec![7; good.len()]), ("/right", good.clone())]);
    let testbed = Testbed::within(World::reaching(&[&server]), "");
    let world = &testbed.world;
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
    testbed
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
    testbed.still_works();
}
