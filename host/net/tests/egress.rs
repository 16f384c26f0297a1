//! Where requests go, and where they do not: hosts, addresses, redirects and credentials, each
//! watched from the other end.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod support;

use modelzoo_net::policy::{Grants, Permissions};
use modelzoo_net::{Client, Config, Credential, Error, Outcome, Refusal, Request, Secret};
use support::*;

const MIB: u64 = 1024 * 1024;

async fn get(client: &Client, url: &str) -> Result<modelzoo_net::Response, Error> {
    let log = Log::default();
    client.get(&Request::new(url), &user(&log), MIB).await
}

#[tokio::test]
async fn undeclared_host_is_not_resolved() {
    let server = Server::canary();
    let names = Names::new(&[("evil.test", &["127.0.0.1"])]);
    let client = Client::with_resolver(config(), names.clone()).unwrap();
    let granted = permissions(&["http://127.0.0.1:1", "https://*.good.test"]);
    let log = Log::default();
    for url in [
        server.url_as("evil.test", "/"),
        server.url("/"),
        "https://good.test/".to_owned(),
    ] {
        let access = access(Grants::Only(&granted), &log);
        let error = client
            .get(&Request::new(url), &access, MIB)
            .await
            .unwrap_err();
        assert!(matches!(refusal(error), Refusal::Host { .. }));
    }
    assert_eq!((names.asked().len(), server.connections()), (0, 0));
    assert!(
        log.records()
            .iter()
            .all(|r| r.outcome == Outcome::Denied && r.hops.is_empty())
    );
}

#[tokio::test]
async fn private_literals_are_refused_in_every_spelling() {
    let server = Server::canary();
    let client = Client::new(Config {
        private: vec![],
        ..config()
    })
    .unwrap();
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "[::1]",
        "0.0.0.0",
        "0",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "10.0.0.1",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "224.0.0.1",
    ] {
        let url = format!("https://{host}:{port}/");
        let granted: Permissions = [url.trim_end_matches('/').parse().unwrap()]
            .into_iter()
            .collect();
        for grants in [Grants::UserAsked, Grants::Only(&granted)] {
            let log = Log::default();
            let access = access(grants, &log);
            let error = client
                .get(&Request::new(&url), &access, MIB)
                .await
                .unwrap_err();
            assert!(matches!(refusal(error), Refusal::Address { .. }), "{url}");
            assert_eq!(log.only().outcome, Outcome::Denied);
        }
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn names_of_private_addresses_are_refused() {
    let server = Server::canary();
    let names = Names::new(&[
        ("metadata.test", &["169.254.169.254"]),
        ("ten.test", &["10.0.0.1"]),
        ("ula.test", &["fc00::1"]),
        ("cgnat.test", &["100.100.100.200"]),
        ("mapped.test", &["::ffff:127.0.0.1"]),
        ("here.test", &["127.0.0.1"]),
        // The one good address does not excuse the other.
        ("mixed.test", &["1.1.1.1", "127.0.0.1"]),
    ]);
    let config = Config {
        private: vec!["other.test".parse().unwrap()],
        ..config()
    };
    let client = Client::with_resolver(config, names).unwrap();
    for name in ["metadata", "ten", "ula", "cgnat", "mapped", "here", "mixed"] {
        let url = format!("https://{name}.test:{}/", server.address.port());
        let error = get(&client, &url).await.unwrap_err();
        assert!(matches!(refusal(error), Refusal::Address { .. }), "{name}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn name_is_resolved_once_per_connection() {
    let server = Server::start(|_, wire| reply(wire, "200 OK", &[], b"x"));
    let names = Names::new(&[("here.test", &["127.0.0.1"])]);
    let config = Config {
        private: vec!["here.test".parse().unwrap()],
        ..config()
    };
    let client = Client::with_resolver(config, names.clone()).unwrap();
    get(&client, &server.url_as("here.test", "/"))
        .await
        .unwrap();
    assert_eq!(names.asked(), ["here.test"]);
    // The server hears the name, not the address.
    let host = format!("here.test:{}", server.address.port());
    assert_eq!(server.seen()[0].header("host"), Some(host.as_str()));
}

#[tokio::test]
async fn plain_http_needs_an_exception() {
    let server = Server::canary();
    let client = Client::new(Config {
        private: vec![],
        ..config()
    })
    .unwrap();
    let error = get(&client, &server.url("/")).await.unwrap_err();
    let hint = error.remedy().unwrap().to_string();
    assert!(hint.contains("MODELZOO_ALLOW_PRIVATE=127.0.0.1"), "{hint}");
    assert!(matches!(refusal(error), Refusal::PlainHttp { .. }));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn redirect_target_is_checked_again() {
    let canary = Server::canary();
    let elsewhere = canary.url("/");
    let targets = [
        ("metadata", "https://169.254.169.254/latest"),
        ("other", elsewhere.as_str()),
        ("local", "http://localhost/"),
        ("file", "file:///etc/passwd"),
        ("data", "data:text/plain,x"),
        ("gopher", "gopher://example.org/"),
        ("user", "http://u:p@127.0.0.1/"),
    ]
    .map(|(path, to)| (format!("/{path}"), to.to_owned()));
    let server = {
        let targets = targets.clone();
        Server::start(move |seen, wire| {
            let to = targets.iter().find(|(path, _)| *path == seen.path).unwrap();
            redirect(wire, &to.1);
        })
    };
    let granted = permissions(&[&server.url(""), "https://169.254.169.254"]);
    for (path, _) in &targets {
        let log = Log::default();
        let access = access(Grants::Only(&granted), &log);
        let error = client()
            .get(&Request::new(server.url(path)), &access, MIB)
            .await
            .unwrap_err();
        let Refusal::Redirect { from, refusal } = refusal(error) else {
            panic!("{path}: not blamed on the redirect");
        };
        assert_eq!(from, server.url(path));
        let expected = match path.as_str() {
            "/metadata" => "address",
            "/other" | "/local" => "host",
            _ => "url",
        };
        assert_eq!(refusal.kind(), expected, "{path}");
        let record = log.only();
        assert_eq!((record.outcome, record.hops.len()), (Outcome::Denied, 1));
        assert_eq!(record.hops[0].status, Some(302));
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn redirect_to_a_private_name_is_refused() {
    let server = Server::start(|_, wire| redirect(wire, "https://inside.test/"));
    let names = Names::new(&[("inside.test", &["10.0.0.1"])]);
    let client = Client::with_resolver(config(), names).unwrap();
    let error = get(&client, &server.url("/")).await.unwrap_err();
    let Refusal::Redirect { refusal, .. } = refusal(error) else {
        panic!("not blamed")
    };
    assert!(matches!(*refusal, Refusal::Address { .. }));
}

#[tokio::test]
async fn redirects_are_limited() {
    let server = Server::start(|seen, wire| {
        let left: u32 = seen.path.trim_start_matches('/').parse().unwrap();
        match left {
            0 => reply(wire, "200 OK", &[], b"end"),
            _ => redirect(wire, &format!("/{}", left - 1)),
        }
    });
    assert_eq!(
        get(&client(), &server.url("/5"))
            .await
            .unwrap()
            .final_url
            .path(),
        "/0"
    );
    let error = get(&client(), &server.url("/100")).await.unwrap_err();
    assert!(matches!(
        refusal(error),
        Refusal::TooManyRedirects { limit: 5, .. }
    ));
    assert_eq!(server.seen().len(), 12);

    let server = Server::start(|seen, wire| redirect(wire, &seen.path));
    let error = get(&client(), &server.url("/loop")).await.unwrap_err();
    assert!(matches!(refusal(error), Refusal::TooManyRedirects { .. }));
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test]
async fn redirect_without_a_location_is_returned() {
    let server = Server::start(|_, wire| reply(wire, "302 Found", &[], b""));
    let error = get(&client(), &server.url("/")).await.unwrap_err();
    assert!(
        matches!(error, Error::Status { status: 302, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn credentials_go_to_their_origin_only() {
    let evil = Server::start(|_, wire| reply(wire, "200 OK", &[], b"evil"));
    let target = evil.url("/take");
    let api = Server::start(move |seen, wire| match seen.path.as_str() {
        "/self" => redirect(wire, "/here"),
        "/away" => redirect(wire, &target),
        _ => reply(wire, "200 OK", &[], b"api"),
    });
    let origin = api.url("").parse().unwrap();
    let credential = Credential::bearer(origin, &Secret::new("canary"));
    let client = Client::new(Config {
        credentials: vec![credential],
        ..config()
    })
    .unwrap();
    assert!(!format!("{client:?}").contains("canary"));

    let log = Log::default();
    let access = modelzoo_net::Access {
        use_credentials: true,
        ..user(&log)
    };
    for path in ["/self", "/away"] {
        let request = Request::new(api.url(path))
            .header("x-api-key", "k")
            .header("accept", "a/b");
        client.get(&request, &access, MIB).await.unwrap();
    }
    // The origin's own redirect keeps both; another origin gets neither.
    for seen in api.seen() {
        assert_eq!(
            seen.header("authorization"),
            Some("Bearer canary"),
            "{}",
            seen.path
        );
        assert_eq!(seen.header("x-api-key"), Some("k"));
    }
    assert_eq!(api.seen().len(), 3);
    let taken = &evil.seen()[0];
    assert_eq!(
        (taken.header("authorization"), taken.header("x-api-key")),
        (None, None)
    );
    assert_eq!(taken.header("accept"), Some("a/b"));
    assert!(
        !serde_json::to_string(&log.records())
            .unwrap()
            .contains("canary")
    );

    // Without leave, nobody gets them; not even their origin.
    client
        .get(&Request::new(api.url("/here")), &user(&log), MIB)
        .await
        .unwrap();
    assert_eq!(api.seen()[3].header("authorization"), None);
}

#[tokio::test]
async fn credentials_are_decided_at_every_hop() {
    // A stranger sends us back to where we came from: the origin gets its credential again, the
    // stranger never does, and the caller's key, once dropped, stays so.
    let stranger = Server::start(|seen, wire| {
        let back = seen.path.trim_start_matches("/?");
        redirect(wire, &format!("http://{back}/end"));
    });
    let away = stranger.url("/?");
    let start = Server::start(move |seen, wire| match seen.path.as_str() {
        "/end" => reply(wire, "200 OK", &[], b"end"),
        _ => redirect(wire, &format!("{away}{}", seen.header("host").unwrap())),
    });
    let origin = start.url("").parse().unwrap();
    let config = Config {
        credentials: vec![Credential::bearer(origin, &Secret::new("s"))],
        ..config()
    };
    let log = Log::default();
    let access = modelzoo_net::Access {
        use_credentials: true,
        ..user(&log)
    };
    let request = Request::new(start.url("/")).header("x-api-key", "k");
    let client = Client::new(config).unwrap();
    client.get(&request, &access, MIB).await.unwrap();
    let sent = |seen: &Seen| {
        let token = seen.header("authorization").map(str::to_owned);
        (token, seen.header("x-api-key").is_some())
    };
    let own = Some("Bearer s".to_owned());
    assert_eq!(sent(&stranger.seen()[0]), (None, false));
    let to_start: Vec<_> = start.seen().iter().map(sent).collect();
    assert_eq!(to_start, [(own.clone(), true), (own, false)]);
}

#[tokio::test]
async fn callers_cannot_send_credentials() {
    let server = Server::canary();
    for name in [
        "Authorization",
        "Cookie",
        "Host",
        "Proxy-Authorization",
        "Range",
        "Accept-Encoding",
    ] {
        let log = Log::default();
        let request = Request::new(server.url("/")).header(name, "x");
        let error = client().get(&request, &user(&log), MIB).await.unwrap_err();
        assert!(matches!(refusal(error), Refusal::Header { .. }), "{name}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn offline_opens_no_socket() {
    let server = Server::canary();
    let names = Names::new(&[("here.test", &["127.0.0.1"])]);
    let client = Client::with_resolver(
        Config {
            offline: true,
            ..config()
        },
        names.clone(),
    )
    .unwrap();
    for url in [server.url("/"), "https://here.test/".to_owned()] {
        let error = get(&client, &url).await.unwrap_err();
        assert!(matches!(error, Error::Offline { .. }) && error.remedy().is_some());
    }
    assert_eq!((names.asked().len(), server.connections()), (0, 0));
}
