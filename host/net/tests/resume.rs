//! Downloads that break off, and servers that answer wrongly when the rest is asked for.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod support;

use std::fs;
use std::time::Duration;

use modelzoo_net::{Client, Config, Download, Error};
use support::place::*;
use support::*;

#[tokio::test]
async fn broken_download_resumes_within_one_call() {
    let bytes = content(900_000);
    let server = breaking(&bytes, 500_000);
    let (place, log) = (Place::new(), Log::default());
    let done = place
        .fetch_with(&client(), &server.url("/"), &user(&log), |_| {})
        .await
        .unwrap();
    place.assert_holds(&bytes, &done);
    assert_eq!(starts(&server), [None, Some(500_000)]);
    assert_eq!(server.seen()[1].header("if-range"), Some(ETAG));
    let statuses: Vec<_> = log.only().hops.iter().map(|hop| hop.status).collect();
    assert_eq!(statuses, [Some(200), Some(206)]);
}

#[tokio::test]
async fn broken_download_resumes_in_a_later_call() {
    let bytes = content(900_000);
    let server = breaking(&bytes, 500_000);
    let place = Place::new();
    let error = place
        .fetch(&once(), &server.url("/a"), |_| {})
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Interrupted {
                received: 500_000,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!place.file().exists());
    assert_eq!(fs::read(place.part()).unwrap(), bytes[..500_000]);

    // Another client, as another process has; another URL is another download.
    let done = place
        .fetch(&once(), &server.url("/a"), |_| {})
        .await
        .unwrap();
    place.assert_holds(&bytes, &done);
    assert_eq!(starts(&server), [None, Some(500_000)]);
}

#[tokio::test]
async fn partials_belong_to_their_url() {
    let server = breaking(&content(1000), 500);
    let place = Place::new();
    assert!(
        place
            .fetch(&once(), &server.url("/a"), |_| {})
            .await
            .is_err()
    );
    place
        .fetch(&once(), &server.url("/b"), |_| {})
        .await
        .unwrap();
    assert_eq!(starts(&server), [None, None]);
}

#[tokio::test]
async fn download_resumes_by_last_modified() {
    const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    let bytes = content(1000);
    let served = bytes.clone();
    let server = Server::start(move |seen, wire| match seen.index {
        0 => {
            let headers = [
                ("last-modified", OLD),
                ("date", "Sun, 06 Nov 1994 09:00:00 GMT"),
            ];
            cut(wire, &served, 600, &headers);
        }
        _ => serve_file(seen, wire, &served, OLD),
    });
    let place = Place::new();
    let done = place
        .fetch(&client(), &server.url("/"), |_| {})
        .await
        .unwrap();
    place.assert_holds(&bytes, &done);
    assert_eq!(server.seen()[1].header("if-range"), Some(OLD));
}

#[tokio::test]
async fn download_without_strong_validator_restarts() {
    for headers in [
        &[][..],
        &[("etag", "W/\"weak\"")],
        &[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")],
    ] {
        let server = Server::start(move |seen, wire| match seen.index {
            0 => cut(wire, &content(1000), 600, headers),
            _ => reply(wire, "200 OK", headers, &content(1000)),
        });
        let place = Place::new();
        let done = place
            .fetch(&client(), &server.url("/"), |_| {})
            .await
            .unwrap();
        place.assert_holds(&content(1000), &done);
        assert_eq!(starts(&server), [None, None], "{headers:?}");
    }
}

#[tokio::test]
async fn download_with_a_digest_resumes_without_validator() {
    let bytes = content(900_000);
    let served = bytes.clone();
    let server = Server::start(move |seen, wire| match seen.index {
        0 => cut(wire, &served, 600_000, &[]),
        _ => serve_file(seen, wire, &served, "\"unasked\""),
    });
    let place = Place::new();
    let change = |what: &mut Download<'_>| what.expect_sha256 = Some(digest(&bytes));
    let done = place
        .fetch(&client(), &server.url("/"), change)
        .await
        .unwrap();
    place.assert_holds(&bytes, &done);
    assert_eq!(starts(&server), [None, Some(600_000)]);
    assert_eq!(server.seen()[1].header("if-range"), None);
}

/// The first answer breaks off, and what comes then is not the rest of it: the file must be
/// fetched again, in the same call as well as in a later one, and without counting as a failure.
async fn changed(second: fn(&Seen, &mut dyn Wire), requests: usize) {
    for later in [false, true] {
        let server = Server::start(move |seen, wire| match seen.index {
            0 => cut(wire, &[b'o'; 1000], 600, &[("etag", ETAG)]),
            1 => second(seen, wire),
            _ => reply(wire, "200 OK", &[("etag", "\"two\"")], &content(1200)),
        });
        let place = Place::new();
        let client = if later {
            assert!(
                place
                    .fetch(&once(), &server.url("/"), |_| {})
                    .await
                    .is_err()
            );
            once()
        } else {
            client()
        };
        let done = place
            .fetch(&client, &server.url("/"), |_| {})
            .await
            .unwrap();
        place.assert_holds(&content(1200), &done);
        let starts = starts(&server);
        assert_eq!((starts.len(), starts[1]), (requests, Some(600)));
        assert!(starts[2..].iter().all(Option::is_none), "{starts:?}");
    }
}

fn wrong_range(wire: &mut dyn Wire, range: &str, etag: &str, length: usize) {
    let headers = [("content-range", range), ("etag", etag)];
    reply(wire, "206 Partial Content", &headers, &vec![b'w'; length]);
}

#[tokio::test]
async fn full_response_to_a_range_restarts() {
    changed(
        |_, wire| reply(wire, "200 OK", &[("etag", "\"two\"")], &content(1200)),
        2,
    )
    .await;
}

#[tokio::test]
async fn unsatisfiable_range_restarts() {
    changed(
        |_, wire| reply(wire, "416 Range Not Satisfiable", &[], b""),
        3,
    )
    .await;
}

#[tokio::test]
async fn wrong_range_restarts() {
    // Another start, another total, no range at all, too short an end, another kind of body.
    changed(
        |_, wire| wrong_range(wire, "bytes 0-399/1000", ETAG, 400),
        3,
    )
    .await;
    changed(
        |_, wire| wrong_range(wire, "bytes 601-999/1000", ETAG, 399),
        3,
    )
    .await;
    changed(
        |_, wire| wrong_range(wire, "bytes 600-1199/1200", ETAG, 600),
        3,
    )
    .await;
    changed(
        |_, wire| wrong_range(wire, "bytes 600-601/1000", ETAG, 2),
        3,
    )
    .await;
    changed(|_, wire| wrong_range(wire, "bytes 600-/1000", ETAG, 400), 3).await;
    changed(
        |_, wire| reply(wire, "206 Partial Content", &[("etag", ETAG)], &[b'w'; 400]),
        3,
    )
    .await;
}

#[tokio::test]
async fn changed_etag_restarts() {
    changed(
        |_, wire| wrong_range(wire, "bytes 600-999/1000", "\"two\"", 400),
        3,
    )
    .await;
}

#[tokio::test]
async fn rest_may_come_in_several_ranges() {
    let bytes = content(300_000);
    let served = bytes.clone();
    let server = Server::start(move |seen, wire| match seen.range_start() {
        None => cut(wire, &served, 50_000, &[("etag", ETAG)]),
        Some(start) => {
            let end = (start + 100_000).min(served.len());
            let range = format!("bytes {start}-{}/{}", end - 1, served.len());
            reply(
                wire,
                "206 Partial Content",
                &[("content-range", &range)],
                &served[start..end],
            );
        }
    });
    let place = Place::new();
    let done = place
        .fetch(&client(), &server.url("/"), |_| {})
        .await
        .unwrap();
    place.assert_holds(&bytes, &done);
    assert_eq!(
        starts(&server),
        [None, Some(50_000), Some(150_000), Some(250_000)]
    );
}

#[tokio::test]
async fn short_range_is_continued() {
    let server = Server::start(|seen, wire| match seen.index {
        0 => cut(wire, &content(1000), 600, &[("etag", ETAG)]),
        // The body agrees with its own length, not with the range.
        1 => {
            let range = ("content-range", "bytes 600-999/1000");
            reply(
                wire,
                "206 Partial Content",
                &[range],
                &content(1000)[600..800],
            );
        }
        _ => serve_file(seen, wire, &content(1000), ETAG),
    });
    let place = Place::new();
    let done = place.fetch(&client(), &server.url("/"), |_| {}).await;
    place.assert_holds(&content(1000), &done.unwrap());
    assert_eq!(starts(&server), [None, Some(600), Some(800)]);
}

#[tokio::test]
async fn overlong_range_is_an_error() {
    let server = Server::start(|seen, wire| match seen.index {
        0 => cut(wire, &content(1000), 600, &[("etag", ETAG)]),
        _ => wrong_range(wire, "bytes 600-999/1000", ETAG, 500),
    });
    let place = Place::new();
    let error = place
        .fetch(&client(), &server.url("/"), |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
    assert!(!place.file().exists());
}

#[tokio::test]
async fn stalled_body_is_resumed() {
    let bytes = content(1000);
    let served = bytes.clone();
    let server = Server::start(move |seen, wire| match seen.index {
        0 => {
            cut(wire, &served, 600, &[("etag", ETAG)]);
            hang(wire);
        }
        _ => serve_file(seen, wire, &served, ETAG),
    });
    let client = Client::new(Config {
        idle_timeout: Duration::from_millis(100),
        ..config()
    })
    .unwrap();
    let place = Place::new();
    let done = place
        .fetch(&client, &server.url("/"), |_| {})
        .await
        .unwrap();
    place.assert_holds(&bytes, &done);
    assert_eq!(starts(&server), [None, Some(600)]);
}

#[tokio::test]
async fn progress_resets_the_retries() {
    // Breaks off six times; with two retries that works only because each brings something.
    let bytes = content(8 * 1024 * 1024);
    let served = bytes.clone();
    let step = 1_200_000;
    let server = Server::start(move |seen, wire| {
        let start = seen.range_start().unwrap_or(0);
        let end = (start + step).min(served.len());
        let (length, range) = (
            (served.len() - start).to_string(),
            format!("bytes {start}-{}/{}", served.len() - 1, served.len()),
        );
        let headers = [
            ("etag", ETAG),
            ("content-length", &length),
            ("content-range", &range),
        ];
        head(
            wire,
            if start == 0 {
                "200 OK"
            } else {
                "206 Partial Content"
            },
            &headers,
        );
        let _ = wire.write_all(&served[start..end]);
        let _ = wire.flush();
    });
    let place = Place::new();
    let done = place
        .fetch(&client(), &server.url("/"), |_| {})
        .await
        .unwrap();
    place.assert_holds(&bytes, &done);
    assert_eq!(server.seen().len(), 7);
}
