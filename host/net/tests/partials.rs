//! What is left of a download, and who may go on with it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use modelzoo_net::{Access, Download, Downloaded, Error, Request};
use support::place::*;
use support::*;

#[tokio::test]
async fn no_partials_directory_leaves_no_files() {
    let server = breaking(&content(1000), 500);
    let place = Place::new();
    let alone = |what: &mut Download<'_>| what.partials = None;
    assert!(place.fetch(&once(), &server.url("/"), alone).await.is_err());
    assert_eq!(place.files(), []);
    let done = place.fetch(&once(), &server.url("/"), alone).await.unwrap();
    place.assert_holds(&content(1000), &done);
    assert_eq!(starts(&server), [None, None]);
}

#[tokio::test]
async fn complete_partial_is_revalidated() {
    // The process died between the last byte and the rename.
    let bytes = content(1000);
    let server = breaking(&bytes, 400);
    let place = Place::new();
    assert!(
        place
            .fetch(&once(), &server.url("/"), |_| {})
            .await
            .is_err()
    );
    fs::write(place.part(), &bytes).unwrap();
    let done = place
        .fetch(&once(), &server.url("/"), |_| {})
        .await
        .unwrap();
    place.assert_holds(&bytes, &done);
    assert_eq!(starts(&server), [None, Some(999)]);
}

#[tokio::test]
async fn damaged_partial_fails_its_digest() {
    let bytes = content(1000);
    let server = breaking(&bytes, 400);
    let place = Place::new();
    assert!(
        place
            .fetch(&once(), &server.url("/"), |_| {})
            .await
            .is_err()
    );
    fs::write(place.part(), [0; 400]).unwrap();
    let change = |what: &mut Download<'_>| what.expect_sha256 = Some(digest(&bytes));
    let done = place
        .fetch(&once(), &server.url("/"), change)
        .await
        .unwrap();
    place.assert_holds(&bytes, &done);
    assert_eq!(starts(&server), [None, Some(400), None]);
}

#[tokio::test]
async fn partial_without_sidecar_is_discarded() {
    for damage in [
        None,
        Some(""),
        Some("{"),
        Some("{\"validator\":null,\"total\":null}"),
    ] {
        let server = breaking(&content(1000), 400);
        let place = Place::new();
        assert!(
            place
                .fetch(&once(), &server.url("/"), |_| {})
                .await
                .is_err()
        );
        let sidecar = place.part().with_extension("json");
        match damage {
            None => fs::remove_file(sidecar).unwrap(),
            Some(text) => fs::write(sidecar, text).unwrap(),
        }
        let done = place
            .fetch(&once(), &server.url("/"), |_| {})
            .await
            .unwrap();
        place.assert_holds(&content(1000), &done);
        assert_eq!(starts(&server), [None, None]);
    }
}

#[tokio::test]
async fn locked_partial_is_left_alone() {
    let bytes = content(1000);
    let server = breaking(&bytes, 400);
    let place = Place::new();
    assert!(
        place
            .fetch(&once(), &server.url("/"), |_| {})
            .await
            .is_err()
    );
    let part = place.part();
    let held = fs::File::open(&part).unwrap();
    held.lock().unwrap();
    let done = place
        .fetch(&once(), &server.url("/"), |_| {})
        .await
        .unwrap();
    assert_eq!(
        (fs::read(place.file()).unwrap(), done.size),
        (bytes.clone(), 1000)
    );
    assert_eq!(fs::read(&part).unwrap(), bytes[..400]);
    assert_eq!(starts(&server), [None, None]);
    assert_eq!(place.files().len(), 3, "{:?}", place.files());
}

/// Half of the file comes, then something happens in the directory of partials, then the rest.
async fn meddled(meddle: fn(&Path)) -> (Place, Result<Downloaded, Error>) {
    let place = Place::new();
    let partials = place.partials();
    let server = Server::start(move |_, wire| {
        let bytes = content(1_000_000);
        let (first, second) = bytes.split_at(500_000);
        head(
            wire,
            "200 OK",
            &[("etag", ETAG), ("content-length", "1000000")],
        );
        let _ = wire.write_all(first).and_then(|()| wire.flush());
        let dir = fs::read_dir(&partials).unwrap();
        let part = dir
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().unwrap() == "part");
        let part = part.unwrap();
        while fs::metadata(&part).unwrap().len() < 500_000 {
            std::thread::sleep(Duration::from_millis(2));
        }
        meddle(&part);
        let _ = wire.write_all(second);
    });
    let result = place.fetch(&once(), &server.url("/"), |_| {}).await;
    (place, result)
}

#[cfg(unix)]
#[tokio::test]
async fn downloads_are_correct_without_locks() {
    // What a process could do that has taken up the same part where locks do nothing: finish
    // first, start again, or clean up.
    let finish = |part: &Path| fs::rename(part, part.with_extension("done")).unwrap();
    let restart = |part: &Path| {
        fs::write(part.with_extension("new"), "something else").unwrap();
        fs::rename(part.with_extension("new"), part).unwrap();
    };
    let clean = |part: &Path| fs::remove_file(part).unwrap();
    for meddle in [finish, restart, clean] {
        let (place, result) = meddled(meddle).await;
        let done = result.unwrap();
        assert_eq!(fs::read(place.file()).unwrap(), content(1_000_000));
        assert_eq!(done.sha256, digest(&content(1_000_000)));
    }
    // A file that holds other bytes than those that were hashed is not put in place.
    let spoil = |part: &Path| {
        fs::OpenOptions::new()
            .write(true)
            .open(part)
            .unwrap()
            .write_all(b"spoilt")
            .unwrap();
        fs::remove_file(part).unwrap();
    };
    let (place, result) = meddled(spoil).await;
    assert!(matches!(result, Err(Error::Io { .. })), "{result:?}");
    assert!(!place.file().exists());
}

#[tokio::test]
async fn concurrent_downloads_all_succeed() {
    let bytes = content(2_000_000);
    let served = bytes.clone();
    let server = Server::start(move |seen, wire| serve_file(seen, wire, &served, ETAG));
    let place = Arc::new(Place::new());
    let tasks: Vec<_> = (0..16)
        .map(|index| {
            let (place, url) = (Arc::clone(&place), server.url("/"));
            tokio::spawn(async move {
                let into = place.0.path().join(format!("staging/{index}"));
                let partials = place.partials();
                let mut what = Download::new(&into, "x", CAP);
                what.partials = Some(&partials);
                let log = Log::default();
                client()
                    .download(&Request::new(url), &user(&log), &what)
                    .await
                    .map(|_| into)
            })
        })
        .collect();
    for task in tasks {
        let into = task.await.unwrap().unwrap();
        assert_eq!(fs::read(into).unwrap(), bytes);
    }
    assert_eq!(place.files().len(), 16);
}

#[cfg(unix)]
#[tokio::test]
async fn link_in_place_of_a_partial_is_not_followed() {
    let server = breaking(&content(1000), 400);
    let place = Place::new();
    assert!(
        place
            .fetch(&once(), &server.url("/"), |_| {})
            .await
            .is_err()
    );
    let (part, victim) = (place.part(), place.0.path().join("victim"));
    fs::write(&victim, "victim").unwrap();
    fs::remove_file(&part).unwrap();
    std::os::unix::fs::symlink(&victim, &part).unwrap();
    let error = place
        .fetch(&once(), &server.url("/"), |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_eq!(fs::read(&victim).unwrap(), b"victim");
}

#[tokio::test]
async fn cancelled_download_is_resumed() {
    let bytes = content(1000);
    let served = bytes.clone();
    let server = Server::start(move |seen, wire| match seen.index {
        0 => {
            cut(wire, &served, 600, &[("etag", ETAG)]);
            hang(wire);
        }
        _ => serve_file(seen, wire, &served, ETAG),
    });
    let place = Place::new();
    let (client, url) = (once(), server.url("/"));
    let shown = Shown::default();
    let log = Log::default();
    let access = Access {
        progress: &shown,
        ..user(&log)
    };
    let arrived = async {
        while shown
            .0
            .lock()
            .unwrap()
            .last()
            .is_none_or(|last| last != "600")
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        _ = place.fetch_with(&client, &url, &access, |_| {}) => panic!("it cannot be done"),
        () = arrived => {}
    }
    assert_eq!(log.only().reason.as_deref(), Some("cancelled"));
    wait_for_length(&place.part(), 600).await;
    assert!(!place.file().exists());
    let done = place.fetch(&client, &url, |_| {}).await.unwrap();
    assert_eq!((fs::read(place.file()).unwrap(), done.size), (bytes, 1000));
}

/// Nobody waits for the threads of a cancelled download.
async fn wait_for_length(path: &Path, length: u64) {
    for _ in 0..2000 {
        if fs::metadata(path).unwrap().len() == length {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{} never had {length} bytes", path.display());
}
