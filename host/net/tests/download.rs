//! Downloads: whole files, progress, and the files that are refused.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod support;

use std::fs;
use std::time::Duration;

use modelzoo_net::{Access, Client, Config, Download, Error, Outcome, Request, TimeoutKind};
use support::place::*;
use support::*;

#[tokio::test]
async fn file_is_downloaded() {
    for length in [0, 1, 100_000, 3_000_000] {
        let bytes = content(length);
        let served = bytes.clone();
        let server = Server::start(move |_, wire| {
            reply(
                wire,
                "200 OK",
                &[("etag", ETAG), ("content-type", "a/b")],
                &served,
            );
        });
        let (place, log) = (Place::new(), Log::default());
        let url = server.url("/a?token=canary");
        let change = |what: &mut Download<'_>| {
            what.expect_size = Some(length as u64);
            what.expect_sha256 = Some(digest(&bytes));
        };
        let done = place
            .fetch_with(&client(), &url, &user(&log), change)
            .await
            .unwrap();
        place.assert_holds(&bytes, &done);
        assert_eq!(done.final_url.as_str(), server.url("/a"));
        assert_eq!(
            (done.content_type.as_deref(), done.etag.as_deref()),
            (Some("a/b"), Some(ETAG))
        );
        let record = log.only();
        assert_eq!((record.outcome, record.bytes), (Outcome::Ok, length as u64));
        assert_eq!(record.sha256, Some(hex::encode(digest(&bytes))));
    }
}

#[tokio::test]
async fn chunked_file_is_downloaded() {
    let server = Server::start(|_, wire| {
        head(wire, "200 OK", &[("transfer-encoding", "chunked")]);
        for piece in content(10_000).chunks(77) {
            let _ = wire.write_all(format!("{:x}\r\n", piece.len()).as_bytes());
            let _ = wire.write_all(piece);
            let _ = wire.write_all(b"\r\n");
        }
        let _ = wire.write_all(b"0\r\n\r\n");
    });
    let place = Place::new();
    let done = place
        .fetch(&client(), &server.url("/"), |_| {})
        .await
        .unwrap();
    place.assert_holds(&content(10_000), &done);
}

#[tokio::test]
async fn existing_file_is_replaced() {
    let server = Server::start(|_, wire| reply(wire, "200 OK", &[], b"new"));
    let place = Place::new();
    fs::write(place.file(), "a longer old file").unwrap();
    let done = place
        .fetch(&client(), &server.url("/"), |_| {})
        .await
        .unwrap();
    place.assert_holds(b"new", &done);
}

/// What `wire` does must end with an error, with nothing in place and nothing left over.
async fn refused(
    handler: fn(&Seen, &mut dyn Wire),
    change: impl Fn(&mut Download<'_>),
    requests: usize,
) -> Error {
    let server = Server::start(handler);
    let place = Place::new();
    let error = place
        .fetch(&client(), &server.url("/file.zip"), &change)
        .await
        .unwrap_err();
    assert_eq!(place.files(), [], "{error}");
    assert_eq!(server.seen().len(), requests, "{error}");
    error
}

#[tokio::test]
async fn body_size_is_limited() {
    let endless = |_: &Seen, wire: &mut dyn Wire| {
        head(wire, "200 OK", &[("etag", ETAG)]);
        while wire.write_all(&[7; 65536]).is_ok() {}
    };
    let cap = |what: &mut Download<'_>| what.max_bytes = 1_000_000;
    let error = refused(endless, cap, 1).await;
    assert!(
        matches!(
            error,
            Error::TooLarge {
                limit: 1_000_000,
                ..
            }
        ),
        "{error}"
    );

    let declared = |_: &Seen, wire: &mut dyn Wire| {
        head(wire, "200 OK", &[("content-length", "1000001")]);
        hang(wire);
    };
    let error = refused(declared, cap, 1).await;
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn wrong_length_is_refused() {
    let size = |what: &mut Download<'_>| what.expect_size = Some(1000);
    let mismatch = |error: &Error| match error {
        Error::LengthMismatch {
            expected: 1000,
            actual,
            ..
        } => *actual,
        other => panic!("{other}"),
    };
    // Declared, then not.
    let error = refused(|_, wire| reply(wire, "200 OK", &[], &content(999)), size, 1).await;
    assert_eq!(mismatch(&error), 999);
    let short = |_: &Seen, wire: &mut dyn Wire| {
        head(wire, "200 OK", &[]);
        let _ = wire.write_all(&content(999));
    };
    assert_eq!(mismatch(&refused(short, size, 1).await), 999);
    let long = |_: &Seen, wire: &mut dyn Wire| {
        head(wire, "200 OK", &[]);
        while wire.write_all(&[7; 4096]).is_ok() {}
    };
    assert!(mismatch(&refused(long, size, 1).await) > 1000);
}

#[tokio::test]
async fn wrong_digest_is_refused() {
    let wanted = |what: &mut Download<'_>| what.expect_sha256 = Some(digest(b"wanted"));
    let error = refused(
        |_, wire| reply(wire, "200 OK", &[("etag", ETAG)], b"sent"),
        wanted,
        1,
    )
    .await;
    let (expected, actual) = (hex::encode(digest(b"wanted")), hex::encode(digest(b"sent")));
    assert!(
        error.to_string().contains(&expected) && error.to_string().contains(&actual),
        "{error}"
    );
    assert!(matches!(error, Error::DigestMismatch { .. }));
}

#[tokio::test]
async fn refused_file_leaves_the_old_one() {
    let server = Server::start(|_, wire| reply(wire, "200 OK", &[], b"sent"));
    let place = Place::new();
    fs::write(place.file(), "old").unwrap();
    let change = |what: &mut Download<'_>| what.expect_sha256 = Some(digest(b"wanted"));
    assert!(
        place
            .fetch(&client(), &server.url("/"), change)
            .await
            .is_err()
    );
    assert_eq!(fs::read(place.file()).unwrap(), b"old");
}

#[tokio::test]
async fn web_page_is_refused() {
    let refuse = |what: &mut Download<'_>| what.refuse_html = true;
    let labelled = |_: &Seen, wire: &mut dyn Wire| {
        reply(
            wire,
            "200 OK",
            &[("content-type", "Text/HTML; charset=utf-8")],
            b"quota exceeded",
        );
    };
    let error = refused(labelled, refuse, 1).await;
    assert!(matches!(error, Error::WebPage { .. }) && error.remedy().is_some());
    let disguised = |_: &Seen, wire: &mut dyn Wire| {
        let headers = [("content-type", "application/octet-stream")];
        reply(
            wire,
            "200 OK",
            &headers,
            b"\xef\xbb\xbf\n <!DOCTYPE HTML><title>Log in</title>",
        );
    };
    assert!(matches!(
        refused(disguised, refuse, 1).await,
        Error::WebPage { .. }
    ));

    // Somebody who wants a page gets it.
    let server = Server::start(labelled);
    let place = Place::new();
    place
        .fetch(&client(), &server.url("/"), |_| {})
        .await
        .unwrap();
    assert_eq!(fs::read(place.file()).unwrap(), b"quota exceeded");
}

#[tokio::test]
async fn content_encoding_is_refused_except_on_compressed_files() {
    let encoded = |_: &Seen, wire: &mut dyn Wire| {
        reply(
            wire,
            "200 OK",
            &[("content-encoding", "x-gzip")],
            b"\x1f\x8b",
        );
    };
    assert!(matches!(
        refused(encoded, |_| {}, 1).await,
        Error::Encoded { .. }
    ));
    let server = Server::start(encoded);
    let place = Place::new();
    let done = place
        .fetch(&client(), &server.url("/a.tar.gz"), |_| {})
        .await
        .unwrap();
    place.assert_holds(b"\x1f\x8b", &done);
}

#[tokio::test]
async fn error_status_leaves_no_file() {
    for (status, requests) in [
        ("404 Not Found", 1),
        ("204 No Content", 1),
        ("206 Partial", 1),
        ("500 No", 3),
    ] {
        let server = Server::start(move |_, wire| reply(wire, status, &[], b""));
        let place = Place::new();
        let error = place
            .fetch(&client(), &server.url("/"), |_| {})
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Status { .. }), "{error}");
        assert_eq!(
            (server.seen().len(), place.files().len()),
            (requests, 0),
            "{status}"
        );
    }
}

#[tokio::test]
async fn download_time_is_limited() {
    let server = Server::start(|_, wire| {
        head(wire, "200 OK", &[("etag", ETAG)]);
        while wire
            .write_all(&[7; 100])
            .and_then(|()| wire.flush())
            .is_ok()
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let client = Client::new(Config {
        total_timeout: Duration::from_millis(150),
        ..config()
    })
    .unwrap();
    let place = Place::new();
    let error = place
        .fetch(&client, &server.url("/"), |_| {})
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
    // What came may still be of use.
    assert!(!place.file().exists());
    assert_eq!(place.files().len(), 2);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn unwritable_target_is_an_error() {
    let server = Server::start(|_, wire| reply(wire, "200 OK", &[], b"x"));
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("missing/file");
    let log = Log::default();
    let what = Download::new(&into, "x", CAP);
    let error = client()
        .download(&Request::new(server.url("/")), &user(&log), &what)
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::Io { .. }), "{error}");
    assert!(error.to_string().contains("missing"), "{error}");

    // A directory in the way of the last step: nothing is lost.
    let server = Server::start(|seen, wire| serve_file(seen, wire, &content(1000), ETAG));
    let place = Place::new();
    fs::create_dir(place.file()).unwrap();
    let error = place
        .fetch(&client(), &server.url("/"), |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    fs::remove_dir(place.file()).unwrap();
    let done = place.fetch(&client(), &server.url("/"), |_| {}).await;
    place.assert_holds(&content(1000), &done.unwrap());
    assert_eq!(starts(&server), [None, Some(999)]);
}

#[tokio::test]
async fn progress_is_reported() {
    let server = breaking(&content(1000), 600);
    let (place, shown, log) = (Place::new(), Shown::default(), Log::default());
    let access = Access {
        progress: &shown,
        ..user(&log)
    };
    place
        .fetch_with(&client(), &server.url("/"), &access, |_| {})
        .await
        .unwrap();
    let shown = shown.0.lock().unwrap().clone();
    assert_eq!(shown[0], "start file.bin None");
    assert!(shown.contains(&"total 1000".to_owned()), "{shown:?}");
    assert!(shown.contains(&"600".to_owned()), "{shown:?}");
    assert_eq!(shown.last().unwrap(), "1000");
}
