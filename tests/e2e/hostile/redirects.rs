//! Granted hosts that send hooks to where they may not go.

use super::arena::{Arena, Failure};
use super::canary::Canary;
use crate::server::{Response, Server};
use crate::world::World;

/// A server that sends everybody elsewhere. The user lets it be reached, and `excepted`; the
/// source asks for it, and perhaps for the place that it sends to.
fn sent_to(
    locations: &[String],
    excepted: &[String],
    asking: impl Fn(&str) -> Option<String>,
    judge: impl Fn(&str, Failure),
) {
    let places = locations.to_vec();
    let server = Server::start(move |request| {
        let place: usize = request.path.trim_start_matches('/').parse().unwrap();
        Response::redirect(places[place].as_str())
    });
    let allowed = [&[server.authority()], excepted].concat().join(",");
    let world = World::new().env("MODELZOO_ALLOW_PRIVATE", &allowed);
    let arena = Arena::within(world, "");
    for (place, location) in locations.iter().enumerate() {
        let start = server.url(&format!("/{place}"));
        let mut attack = arena
            .attack(test_artifacts::BAD_REDIRECT, "denied")
            .asking(format!("http://{}", server.authority()))
            // With a digest, so that plain http is no reason to refuse anything.
            .file("url.txt", format!("{start} {}", "0".repeat(64)));
        if let Some(permission) = asking(location) {
            attack = attack.asking(permission);
        }
        let failure = attack
            .download()
            .says(&format!("{start} redirects to a place that is refused: "))
            .denied_after(&[start]);
        // By `get` and by `download`, and not again.
        assert_eq!(server.seen().len(), 2 * (place + 1), "{failure:#?}");
        judge(location, failure);
    }
}

/// Ways to write a port of this machine in a `Location`.
fn spellings(port: u16) -> Vec<String> {
    let origins = [
        "http://127.0.0.1",
        "//127.0.0.1",
        "https://127.0.0.1",
        "http://localhost",
        "http://2130706433",
        "http://0x7f.1",
        "http://[::ffff:127.0.0.1]",
    ];
    origins.map(|o| format!("{o}:{port}/loot")).to_vec()
}

/// The permission that a location needs.
fn origin(location: &str) -> Option<String> {
    let origin = location.trim_end_matches("/loot");
    let scheme = if origin.starts_with("//") {
        "http:"
    } else {
        ""
    };
    Some(format!("{scheme}{origin}"))
}

#[test]
fn to_a_host_that_was_not_granted() {
    let canary = Canary::set();
    let excepted = [canary.authority(), format!("localhost:{}", canary.port())];
    let mut locations = spellings(canary.port());
    locations.push("https://example.org/".into());
    sent_to(
        &locations,
        &excepted,
        |_| None,
        |location, failure| {
            failure
                .says("is not among the hosts that the source may reach")
                .hints("the source has to ask for `");
            assert!(!canary.was_called(), "{location}");
        },
    );
}

#[test]
fn to_a_private_address_that_was_granted() {
    let canary = Canary::set();
    let mut locations = spellings(canary.port());
    locations.push("http://169.254.169.254/loot".into());
    locations.push("https://10.0.0.1/loot".into());
    sent_to(&locations, &[], origin, |location, failure| {
        failure
            .says(" is refused: ")
            .hints("MODELZOO_ALLOW_PRIVATE=");
        assert!(!canary.was_called(), "{location}");
    });
}

#[test]
fn to_what_is_no_place() {
    let canary = Canary::set();
    let places = [
        ("file:///etc/passwd".into(), "the scheme `file`"),
        ("data:text/plain,x".into(), "the scheme `data`"),
        ("gopher://granted.example/".into(), "the scheme `gopher`"),
        ("javascript:1".into(), "the scheme `javascript`"),
        ("ftp://granted.example/".into(), "the scheme `ftp`"),
        ("http://user:leak@granted.example/".into(), "user name"),
        (
            format!("http://granted.example@{}/", canary.authority()),
            "user name",
        ),
        (format!("\\\\{}/", canary.authority()), "backslash"),
        (format!("/\\{}/", canary.authority()), "backslash"),
        ("http://".into(), "bad URL"),
    ];
    let locations = places.clone().map(|(location, _): (String, _)| location);
    let asking = |_: &str| Some("http://granted.example".to_owned());
    sent_to(
        &locations,
        &[canary.authority()],
        asking,
        |location, failure| {
            let (_, reason) = places.iter().find(|(l, _)| l == location).unwrap();
            let failure = failure.says(reason);
            assert!(!format!("{failure:?}").contains("leak"), "{failure:#?}");
            assert!(!canary.was_called(), "{location}");
        },
    );
}

#[test]
fn round_and_round() {
    for location in ["/start", "", "?"] {
        let server = Server::start(move |_| Response::redirect(location));
        let arena = Arena::within(World::reaching(&[&server]), "");
        arena
            .attack(test_artifacts::BAD_REDIRECT, "denied")
            .asking(format!("http://{}", server.authority()))
            .file("url.txt", server.url("/start"))
            .download()
            .says("redirects more than 5 times");
        // The first request and five more, by `get` and by `download`.
        assert_eq!(server.seen().len(), 12, "{location}");
    }
}

#[test]
fn who_does_not_listen_is_in_the_audit_log_all_the_same() {
    let canary = Canary::set();
    let loot = canary.url("/loot");
    let server = Server::start(move |_| Response::redirect(loot.clone()));
    let arena = Arena::within(World::reaching(&[&server]), "");
    let attack = arena
        .attack(test_artifacts::BAD_REDIRECT, "stubborn")
        .asking(format!("http://{}", server.authority()))
        .file("url.txt", server.url("/start"));
    attack.downloads();
    assert!(!canary.was_called());
    let audit = arena.world.audit();
    let denied: Vec<_> = audit.iter().filter(|r| r["outcome"] == "denied").collect();
    assert_eq!(denied.len(), 2, "{audit:#?}");
    for record in denied {
        assert_eq!(record["source"], attack.id());
        assert_eq!(record["hops"][0]["url"], server.url("/start"));
        assert_eq!(record["hops"][0]["status"], 302);
        assert_eq!(record["hops"].as_array().unwrap().len(), 1);
    }
}
