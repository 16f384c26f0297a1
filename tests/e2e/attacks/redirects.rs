//! Redirects from granted hosts to forbidden places.

use super::canary::Canary;
use super::testbed::{Failure, Testbed};
use crate::server::{Response, Server};
use crate::world::World;

/// A server that redirects every request. The user allows it and `excepted`; the
/// source requests it and, with `asking`, the target of the redirect.
fn redirected_to(
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
    let testbed = Testbed::within(world, "");
    for (place, location) in locations.iter().enumerate() {
        let start = server.url(&format!("/{place}"));
        let mut attack = testbed
            .attack(test_artifacts::BAD_REDIRECT, "denied")
            .asking(format!("http://{}", server.authority()))
            // With a digest, so that plain http is accepted.
            .file("url.txt", format!("{start} {}", "0".repeat(64)));
        if let Some(permission) = asking(location) {
            attack = attack.asking(permission);
        }
        let failure = attack
            .download()
            .says(&format!("{start} redirects to a place that is refused: "))
            .denied_after(&[start]);
        // Once by `get` and once by `download`.
        assert_eq!(server.seen().len(), 2 * (place + 1), "{failure:#?}");
        judge(location, failure);
    }
}

/// Spellings of a loopback port in a `Location`.
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
    origins.map(|o| format!("{o}:{port}/secret")).to_vec()
}

/// The permission that a location needs.
fn origin(location: &str) -> Option<String> {
    let origin = location.trim_end_matches("/secret");
    let scheme = if origin.starts_with("//") {
        "http:"
    } else {
        ""
    };
    Some(format!("{scheme}{origin}"))
}

#[test]
fn redirect_to_an_ungranted_host_is_refused() {
    let canary = Canary::set();
    let excepted = [canary.authority(), format!("localhost:{}", canary.port())];
    let mut locations = spellings(canary.port());
    locations.push("https://example.org/".into());
    redirected_to(
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
fn redirect_to_a_private_address_is_refused_even_if_granted() {
    let canary = Canary::set();
    let mut locations = spellings(canary.port());
    locations.push("http://169.254.169.254/secret".into());
    locations.push("https://10.0.0.1/secret".into());
    redirected_to(&locations, &[], origin, |location, failure| {
        failure
            .says(" is refused: ")
            .hints("MODELZOO_ALLOW_PRIVATE=");
        assert!(!canary.was_called(), "{location}");
    });
}

#[test]
fn redirect_to_a_bad_url_is_refused() {
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
    redirected_to(
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
fn redirect_loops_end() {
    for location in ["/start", "", "?"] {
        let server = Server::start(move |_| Response::redirect(location));
        let testbed = Testbed::within(World::reaching(&[&server]), "");
        testbed
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
fn ignored_refusals_are_audited() {
    let canary = Canary::set();
    let secret = canary.url("/secret");
    let server = Server::start(move |_| Response::redirect(secret.clone()));
    let testbed = Testbed::within(World::reaching(&[&server]), "");
    let attack = testbed
        .attack(test_artifacts::BAD_REDIRECT, "stubborn")
        .asking(format!("http://{}", server.authority()))
        .file("url.txt", server.url("/start"));
    attack.downloads();
    assert!(!canary.was_called());
    let audit = testbed.world.audit();
    let denied: Vec<_> = audit.iter().filter(|r| r["outcome"] == "denied").collect();
    assert_eq!(denied.len(), 2, "{audit:#?}");
    for record in denied {
        assert_eq!(record["source"], attack.id());
        assert_eq!(record["hops"][0]["url"], server.url("/start"));
        assert_eq!(record["hops"][0]["status"], 302);
        assert_eq!(record["hops"].as_array().unwrap().len(), 1);
    }
}

/// The granted name resolves to a private address when the redirect is followed.
#[cfg(target_os = "linux")]
#[test]
fn redirect_to_a_private_name_is_refused() {
    let canary = Canary::set();
    let to = format!("http://inside.example:{}/secret", canary.port());
    let server = Server::start(move |_| Response::redirect(to.clone()));
    let world = super::network::knowing(World::reaching(&[&server]), "inside.example=127.0.0.1,");
    let testbed = Testbed::within(world, "");
    let start = server.url("/start");
    testbed
        .attack(test_artifacts::BAD_REDIRECT, "denied")
        .asking(format!("http://{}", server.authority()))
        .asking(format!("http://inside.example:{}", canary.port()))
        .file("url.txt", format!("{start} {}", "0".repeat(64)))
        .download()
        .says("redirects to a place that is refused: ")
        .denied_after(&[start]);
    assert!(!canary.was_called());
}

/// A header of a hook may be a key, which is for its own host only.
#[test]
fn redirect_drops_the_headers_of_a_hook() {
    let other = Server::start(|_| Response::ok("hello"));
    let to = other.url("/taken");
    let server = Server::start(move |_| Response::redirect(to.clone()));
    let testbed = Testbed::within(World::reaching(&[&server, &other]), "");
    let attack = testbed
        .attack(test_artifacts::OK_GET, "model")
        .named("answer.json")
        .asking(format!("http://{}", server.authority()))
        .asking(format!("http://{}", other.authority()))
        .file("url.txt", server.url("/given"));
    attack.downloads();
    assert_eq!(server.seen()[0].header("x-guest"), Some("ok_get"));
    assert_eq!(other.seen()[0].header("x-guest"), None);
}
