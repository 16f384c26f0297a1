//! Credentials of downloads that go on: every part is asked for again, from the start of the chain.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod support;

use modelzoo_net::{Access, Client, Config, Credential, Secret};
use support::place::*;
use support::*;

/// The API sends everybody to a storage of another origin, whose first answer breaks off.
fn chain(bytes: &[u8]) -> (Server, Server) {
    let storage = breaking(bytes, 500_000);
    let to = storage.url("/stored");
    (Server::start(move |_, wire| redirect(wire, &to)), storage)
}

#[tokio::test]
async fn credentials_are_decided_again_for_every_range() {
    for within_one_call in [true, false] {
        let bytes = content(900_000);
        let (api, storage) = chain(&bytes);
        let credential = Credential::bearer(api.url("").parse().unwrap(), &Secret::new("canary"));
        let config = Config {
            credentials: vec![credential],
            retries: if within_one_call { 2 } else { 0 },
            ..config()
        };
        let client = Client::new(config).unwrap();
        let (place, log) = (Place::new(), Log::default());
        let access = Access {
            use_credentials: true,
            ..user(&log)
        };
        let url = api.url("/file");
        let mut done = place.fetch_with(&client, &url, &access, |_| {}).await;
        if !within_one_call {
            assert!(done.is_err());
            done = place.fetch_with(&client, &url, &access, |_| {}).await;
        }
        place.assert_holds(&bytes, &done.unwrap());
        // It did go on, and the storage was never told.
        assert_eq!(starts(&storage), [None, Some(500_000)]);
        for seen in storage.seen() {
            assert_eq!(seen.header("authorization"), None);
        }
        for seen in api.seen() {
            assert_eq!(seen.header("authorization"), Some("Bearer canary"));
        }
        assert_eq!(api.seen().len(), 2);
        let records = serde_json::to_string(&log.records()).unwrap();
        assert!(!records.contains("canary"));
    }
}

#[tokio::test]
async fn later_ranges_follow_the_redirects_again() {
    // The storage that the chain led to at first is a stranger's by the second part.
    let bytes = content(900_000);
    let first = breaking(&bytes, 500_000);
    let second = {
        let bytes = bytes.clone();
        Server::start(move |seen, wire| serve_file(seen, wire, &bytes, ETAG))
    };
    let (to_first, to_second) = (first.url("/a"), second.url("/b"));
    let api = Server::start(move |seen, wire| {
        redirect(
            wire,
            if seen.index == 0 {
                &to_first
            } else {
                &to_second
            },
        );
    });
    let place = Place::new();
    let done = place.fetch(&client(), &api.url("/file"), |_| {}).await;
    place.assert_holds(&bytes, &done.unwrap());
    assert_eq!(
        (first.seen().len(), starts(&second)),
        (1, vec![Some(500_000)])
    );
}
