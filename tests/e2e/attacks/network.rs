//! Hooks that contact hosts without a grant or private addresses.

use super::canary::Canary;
use super::testbed::Testbed;
use crate::server::{Response, Server};
use crate::world::{CANARY, World};

const NOT_GRANTED: &str = "is not among the hosts that the source may reach";

#[test]
fn ungranted_hosts_are_not_contacted() {
    let canary = Canary::set();
    // The user allows the canary and a proxy that would notice; the source requests
    // neither.
    let world = World::new()
        .env("MODELZOO_ALLOW_PRIVATE", &canary.authority())
        .env("HTTPS_PROXY", &canary.url(""));
    let testbed = Testbed::within(world, "");
    let urls = [
        canary.url("/secret"),
        format!("https://localhost:{}/", canary.port()),
        "https://example.org/".into(),
        // No name is resolved: this one has no address.
        "https://canary.invalid/".into(),
        "https://granted.example.evil.example/".into(),
        "https://evil-granted.example/".into(),
        "https://sub.granted.example/".into(),
        "https://granted.example:444/".into(),
        "http://granted.example/".into(),
        "https://gr\u{430}nted.example/".into(),
    ];
    for url in urls {
        testbed
            .attack(test_artifacts::BAD_HOST, "model")
            .asking("https://granted.example")
            .file("url.txt", url)
            .download()
            .says(NOT_GRANTED)
            .hints("the source has to ask for `")
            .denied_after(&[]);
        assert!(!canary.was_called());
    }
}

#[test]
fn ambiguous_urls_are_refused() {
    let testbed = Testbed::new();
    let long = format!("https://granted.example/?{}", "x".repeat(9000));
    for (url, reason) in [
        ("https://granted.example@evil.example/", "user name"),
        ("https://granted.example\\@evil.example/", "backslash"),
        ("https://granted.example%2f@evil.example/", "user name"),
        ("https://granted.example%2f.evil.example/", "percent"),
        ("https:granted.example/", "bad URL"),
        ("ftp://granted.example/", "the scheme `ftp`"),
        ("file:///etc/passwd", "the scheme `file`"),
        ("data:text/plain,x", "the scheme `data`"),
        (&long, "longer than 8 KiB"),
    ] {
        testbed
            .attack(test_artifacts::BAD_HOST, "model")
            .asking("https://granted.example")
            .file("url.txt", url)
            .download()
            // The guest reports another kind of refusal than it expected.
            .says("InvalidInput(")
            .says(reason)
            .denied_after(&[]);
    }
}

/// Spellings of loopback, of private networks and of cloud metadata services.
const PRIVATE: &[&str] = &[
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "2130706433",
    "0x7f.1",
    "0x7f000001",
    "0177.0.0.1",
    "017700000001",
    "\u{2460}\u{2461}\u{2466}.0.0.1",
    "127\u{3002}0\u{3002}0\u{3002}1",
    "0.0.0.0",
    "0",
    "[::1]",
    "[::]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "localhost",
    "LOCALHOST.",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "[fc00::1]",
    "[fe80::1]",
    "[fd00:ec2::254]",
];

/// Hooks that request private addresses and are granted them; no exception covers them.
fn refuses_private(hosts: &[&str], excepted: &str) {
    let canary = Canary::set();
    let world = World::new()
        .env("MODELZOO_ALLOW_PRIVATE", excepted)
        .env("HTTPS_PROXY", &canary.url(""));
    let testbed = Testbed::within(world, "");
    for host in hosts {
        let origin = format!("https://{host}:{}", canary.port());
        let failure = testbed
            .attack(test_artifacts::BAD_HOST, "model")
            .asking(&origin)
            .file("url.txt", format!("{origin}/secret"))
            .download()
            .says(" is refused: ")
            .hints("if this host is yours, allow it: MODELZOO_ALLOW_PRIVATE=");
        assert!(!canary.was_called(), "{host}: {failure:#?}");
        let denied = failure
            .records
            .iter()
            .filter(|r| r["outcome"] == "denied")
            .count();
        assert_eq!(denied, 2, "{host}: {failure:#?}");
    }
}

#[test]
fn private_addresses_are_refused_in_every_spelling() {
    refuses_private(PRIVATE, "");
}

#[test]
fn exception_covers_no_other_address() {
    let hosts = ["127.0.0.1", "2130706433", "localhost", "10.0.0.1", "[::1]"];
    // Another port, and names and networks that cover none of them.
    refuses_private(&hosts, "127.0.0.1:1,localhost:1,nas.lan,10.9.0.0/16");
}

#[test]
fn exception_covers_no_other_spelling() {
    let canary = Canary::set();
    let world = World::new().env("MODELZOO_ALLOW_PRIVATE", "127.0.0.1");
    let testbed = Testbed::within(world, "");
    for host in [
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[::1]",
        "127.0.0.2",
    ] {
        let origin = format!("https://{host}:{}", canary.port());
        testbed
            .attack(test_artifacts::BAD_HOST, "model")
            .asking(&origin)
            .file("url.txt", format!("{origin}/secret"))
            .download()
            .says(" is refused: ");
        assert!(!canary.was_called(), "{host}");
    }
}

#[test]
fn plain_http_to_a_private_address_is_refused() {
    let testbed = Testbed::new();
    let origin = format!("http://{}", testbed.canary.authority());
    let attack = |words: &str| {
        testbed
            .attack(test_artifacts::BAD_HOST, "model")
            .asking(&origin)
            .file("url.txt", format!("{origin}/secret {words}"))
            .download()
            .denied_after(&[])
    };
    attack("").says("plain http without a digest");
    // With a digest the scheme is accepted, but the address is not.
    attack(&"0".repeat(64)).says("127.0.0.1 is a loopback address");
}

#[test]
fn offline_applies_to_hooks() {
    let server = Server::files([("/weights", b"weights".to_vec())]);
    let testbed = Testbed::within(World::reaching(&[&server]), "");
    testbed
        .attack(test_artifacts::OK_FETCH, "model")
        .asking(format!("http://{}", server.authority()))
        .file("url.txt", server.url("/weights"))
        .download_with("--offline")
        .says("is not fetched: offline")
        .hints("leave `--offline` out")
        .denied_after(&[]);
    assert_eq!(server.seen().len(), 0);
}

#[test]
fn hooks_send_no_credentials() {
    let server = Server::start(|_| Response::ok("hello"));
    // Not even for the API that the token is for.
    let world = World::reaching(&[&server]).env("GITHUB_API_URL", &server.url(""));
    let testbed = Testbed::within(world, "");
    let attack = testbed
        .attack(test_artifacts::OK_GET, "model")
        .named("answer.json")
        .asking(format!("http://{}", server.authority()))
        .file("url.txt", server.url("/repos/acme/digits"));
    attack.downloads();
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    for (name, value) in &seen[0].headers {
        assert!(!value.contains(CANARY), "{name}: {value}");
        assert!(
            ![
                "authorization",
                "cookie",
                "proxy-authorization",
                "referer",
                "from"
            ]
            .contains(&name.as_str()),
            "{name}: {value}"
        );
    }
    assert_eq!(seen[0].header("x-guest"), Some("ok_get"));
}

#[test]
fn secrets_in_urls_are_redacted() {
    let server = Server::files([]);
    let testbed = Testbed::within(World::reaching(&[&server]), "");
    // The source's files are copied into the store unchanged, so this secret is another one.
    const LEAK: &str = "leak9b2e";
    for url in [
        server.url(&format!("/missing?token={LEAK}#{LEAK}")),
        format!("http://{LEAK}@{}/missing", server.authority()),
        format!("http://user:{LEAK}@{}/missing", server.authority()),
    ] {
        let failure = testbed
            .attack(test_artifacts::OK_FETCH, "model")
            .asking(format!("http://{}", server.authority()))
            .file("url.txt", url)
            .download()
            .says("/missing");
        let all = format!("{failure:?}");
        assert!(!all.contains(LEAK), "{all}");
    }
}

/// A world that resolves names from a table: `name=address,`.
#[cfg(target_os = "linux")]
pub(super) fn knowing(world: World, names: &str) -> World {
    world
        .env("LD_PRELOAD", crate::faults::shim().to_str().unwrap())
        .env("FAULT_NAMES", names)
}

#[cfg(target_os = "linux")]
#[test]
fn names_of_private_addresses_are_refused() {
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
    let testbed = Testbed::within(knowing(World::new(), &table), "");
    for (name, _) in names {
        let origin = format!("https://{name}:{}", canary.port());
        testbed
            .attack(test_artifacts::BAD_HOST, "model")
            .asking(&origin)
            .file("url.txt", format!("{origin}/secret"))
            .download()
            .says(" is refused: ")
            .denied_after(&[]);
        testbed
            .refuses(1, &["register-source", &format!("{origin}/x.zip")])
            .says(" is refused: ")
            .recorded();
        assert!(!canary.was_called(), "{name}");
    }
}
