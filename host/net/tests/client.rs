//! Documents: whole, capped, tried again, given up.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod support;

use std::time::Duration;

use modelzoo_net::policy::Grants;
use modelzoo_net::{Client, Config, Error, NoProgress, Outcome, Request, TimeoutKind};
use support::*;

const MIB: u64 = 1024 * 1024;

async fn get(client: &Client, url: &str) -> Result<modelzoo_net::Response, Error> {
    let log = Log::default();
    client.get(&Request::new(url), &user(&log), MIB).await
}

#[tokio::test]
async fn document_is_fetched() {
    let server = Server::start(|_, wire| {
        let headers = [
            ("x-thing", "a"),
            ("set-cookie", "b=c"),
            ("content-type", "text/plain"),
        ];
        reply(wire, "200 OK", &headers, b"hello");
    });
    let log = Log::default();
    let request = Request::new(server.url("/a?token=canary#f")).header("Accept", "text/plain");
    let response = client().get(&request, &user(&log), 5).await.unwrap();
    assert_eq!((response.status, &response.body[..]), (200, &b"hello"[..]));
    assert_eq!(response.header("x-thing"), Some("a"));
    assert_eq!(response.header("set-cookie"), None);
    assert_eq!(response.final_url.as_str(), server.url("/a"));

    let seen = &server.seen()[0];
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("GET", "/a?token=canary")
    );
    assert_eq!(seen.header("accept"), Some("text/plain"));
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    assert!(seen.header("user-agent").unwrap().starts_with("modelzoo/"));
    assert_eq!(seen.header("referer"), None);

    let record = log.only();
    assert_eq!((record.outcome, record.bytes), (Outcome::Ok, 5));
    assert_eq!(record.hops[0].status, Some(200));
    assert!(!serde_json::to_string(&record).unwrap().contains("canary"));
}

#[tokio::test]
async fn name_without_an_address_is_an_error() {
    let names = Names::new(&[("empty.test", &[])]);
    let client = Client::with_resolver(config(), names.clone()).unwrap();
    for name in ["missing.test", "empty.test"] {
        let error = get(&client, &format!("https://{name}/")).await.unwrap_err();
        assert!(
            matches!(&error, Error::Resolve { host, .. } if host == name),
            "{error}"
        );
    }
    // One more try, not all of them.
    assert_eq!(names.asked().len(), 4);
}

#[tokio::test]
async fn transient_failures_are_retried() {
    let server = Server::start(|seen, wire| match seen.index {
        0 => reply(wire, "503 Unavailable", &[("retry-after", "0")], b""),
        1 => head(wire, "200 OK", &[("content-length", "5")]),
        _ => reply(wire, "200 OK", &[], b"hello"),
    });
    let log = Log::default();
    let response = client()
        .get(&Request::new(server.url("/")), &user(&log), MIB)
        .await
        .unwrap();
    assert_eq!(&response.body[..], b"hello");
    let statuses: Vec<_> = log.only().hops.iter().map(|hop| hop.status).collect();
    assert_eq!(statuses, [Some(503), Some(200), Some(200)]);
}

#[tokio::test]
async fn retries_are_limited() {
    let server = Server::start(|_, wire| reply(wire, "502 Bad Gateway", &[], b""));
    let error = get(&client(), &server.url("/")).await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 502, .. }));
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn permanent_failures_are_not_retried() {
    let reset = ("x-ratelimit-reset", "4102444800");
    let server = Server::start(move |seen, wire| match seen.path.as_str() {
        "/404" => reply(wire, "404 Not Found", &[], b""),
        "/patience" => reply(wire, "429 Too Many", &[("retry-after", "2")], b""),
        _ => reply(
            wire,
            "403 Forbidden",
            &[("x-ratelimit-remaining", "0"), reset],
            b"",
        ),
    });
    let client = Client::new(Config {
        max_retry_after: Duration::from_secs(1),
        ..config()
    })
    .unwrap();
    let mut errors = Vec::new();
    for path in ["/404", "/patience", "/quota"] {
        errors.push(get(&client, &server.url(path)).await.unwrap_err());
    }
    assert_eq!(server.seen().len(), 3);
    assert!(matches!(
        &errors[0],
        Error::Status {
            status: 404,
            retry_after: None,
            rate_limit_reset: None,
            ..
        }
    ));
    let asked = Some(Duration::from_secs(2));
    assert!(
        matches!(&errors[1], Error::Status { status: 429, retry_after, .. } if *retry_after == asked)
    );
    assert!(matches!(
        &errors[2],
        Error::Status {
            status: 403,
            rate_limit_reset: Some(4_102_444_800),
            ..
        }
    ));
    assert!(
        errors[2]
            .remedy()
            .unwrap()
            .to_string()
            .contains("after 2100-01-01"),
        "{:?}",
        errors[2].remedy()
    );
}

#[tokio::test]
async fn document_size_is_limited() {
    let server = Server::start(|seen, wire| match seen.path.as_str() {
        "/declared" => reply(wire, "200 OK", &[], &content(11)),
        _ => {
            head(wire, "200 OK", &[]);
            while wire.write_all(&[7; 4096]).is_ok() {}
        }
    });
    for path in ["/declared", "/endless"] {
        let log = Log::default();
        let error = client()
            .get(&Request::new(server.url(path)), &user(&log), 10)
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                Error::TooLarge {
                    what: "body",
                    limit: 10,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[tokio::test]
async fn header_section_size_is_limited() {
    let server = Server::start(|seen, wire| match seen.path.as_str() {
        // More than the client keeps, in one answer that is complete.
        "/large" => reply(wire, "200 OK", &[("x-a", &"a".repeat(100_000))], b""),
        "/many" => reply(wire, "200 OK", &vec![("x-a", "b"); 5000], b""),
        _ => {
            let _ = wire.write_all(b"HTTP/1.1 200 OK\r\n");
            while wire.write_all(&[b'a'; 4096]).is_ok() {}
        }
    });
    for path in ["/large", "/many", "/endless"] {
        let error = get(&client(), &server.url(path)).await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::TooLarge {
                    what: "header section",
                    ..
                }
            ),
            "{path}: {error}"
        );
    }
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn malformed_response_is_an_error() {
    let server = Server::start(|_, wire| {
        let _ = wire.write_all(b"220 smtp.example.org ready\r\n\r\n");
    });
    let error = get(&client(), &server.url("/")).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn compressed_document_is_refused() {
    let server =
        Server::start(|_, wire| reply(wire, "200 OK", &[("content-encoding", "gzip")], b"x"));
    let error = get(&client(), &server.url("/a.json")).await.unwrap_err();
    assert!(matches!(error, Error::Encoded { .. }), "{error}");
}

#[tokio::test]
async fn silent_server_times_out() {
    let server = Server::start(|seen, wire| {
        match seen.path.as_str() {
            "/mute" => {}
            _ => head(wire, "200 OK", &[("content-length", "5")]),
        }
        hang(wire);
    });
    let config = Config {
        idle_timeout: Duration::from_millis(50),
        retries: 1,
        ..config()
    };
    let client = Client::new(Config {
        connect_timeout: Duration::from_millis(500),
        ..config
    })
    .unwrap();
    for path in ["/mute", "/stalled"] {
        let error = get(&client, &server.url(path)).await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Timeout {
                    kind: TimeoutKind::Idle,
                    ..
                }
            ),
            "{path}: {error}"
        );
    }
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn slow_body_times_out() {
    let server = Server::start(|_, wire| {
        head(wire, "200 OK", &[]);
        while wire.write_all(b"x").and_then(|()| wire.flush()).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let config = Config {
        idle_timeout: Duration::from_millis(100),
        min_rate: 100_000,
        retries: 0,
        ..config()
    };
    let error = get(&Client::new(config).unwrap(), &server.url("/"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Timeout {
                kind: TimeoutKind::Slow,
                ..
            }
        ),
        "{error}"
    );

    let config = Config {
        document_timeout: Duration::from_millis(100),
        min_rate: 0,
        ..support::config()
    };
    let error = get(&Client::new(config).unwrap(), &server.url("/"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Timeout {
                kind: TimeoutKind::Total,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn refused_connection_is_an_error() {
    // A port that was free a moment ago.
    let url = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/a", listener.local_addr().unwrap())
    };
    let error = get(&client(), &url).await.unwrap_err();
    assert!(matches!(&error, Error::Connect { .. }), "{error:?}");
    assert!(
        error.to_string().to_lowercase().contains("refused"),
        "{error}"
    );
}

#[tokio::test]
async fn cancelled_request_is_recorded() {
    let server = Server::start(|_, wire| hang(wire));
    let log = Log::default();
    let access = user(&log);
    let (client, request) = (client(), Request::new(server.url("/")));
    let waiting = client.get(&request, &access, MIB);
    let cancelled = tokio::time::timeout(Duration::from_millis(100), waiting).await;
    assert!(cancelled.is_err());
    let record = log.only();
    assert_eq!(
        (record.outcome, record.reason.as_deref()),
        (Outcome::Failed, Some("cancelled"))
    );
}

#[test]
fn client_works_from_any_runtime() {
    fn check<T: Send + Sync + Clone + 'static>(_: &T) {}
    let client = client();
    check(&client);
    let server = Server::start(|_, wire| reply(wire, "200 OK", &[], b"x"));
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(get(&client, &server.url("/"))).unwrap();
    }
    // And its futures may move between threads.
    fn send<T: Send>(value: T) -> T {
        value
    }
    let log = Log::default();
    let access = modelzoo_net::Access {
        grants: Grants::UserAsked,
        use_credentials: false,
        audit: &log,
        progress: &NoProgress,
    };
    let request = Request::new("https://u@h/");
    drop(send(client.get(&request, &access, 1)));
}
