//! Hooks that take, write or fetch without end.

use std::time::Duration;

use super::arena::{Arena, Attack, Failure};
use crate::server::{Response, Server};
use crate::world::World;

#[test]
fn memory() {
    let arena = Arena::limited("memory_bytes = 33554432");
    for case in ["grow", "reserve"] {
        let attack = arena.attack(test_artifacts::BAD_MEMORY, case);
        for failure in [attack.download(), attack.load(&[])] {
            failure
                .says("was stopped: more than 33554432 bytes of memory")
                .hints("if you trust the source, raise `limits.memory_bytes`");
        }
    }
}

#[test]
fn one_call_with_much_too_much() {
    let arena = Arena::limited("hostcall_bytes = 1048576");
    for case in ["argument", "message"] {
        arena
            .attack(test_artifacts::BAD_MEMORY, case)
            .download()
            .says("was stopped: more than 1048576 bytes handed to the host in one call")
            .hints("limits.hostcall_bytes");
    }
}

#[test]
fn open_files() {
    let arena = Arena::new();
    let attack = arena.attack(test_artifacts::BAD_MEMORY, "handles");
    for failure in [attack.download(), attack.load(&[])] {
        // The guest is told, and says at which file it was.
        failure.says("failed: after ");
    }
}

/// An archive that is small, and large when it is unpacked again and again.
fn archive() -> Vec<u8> {
    crate::source::pack_zip(&[("block".into(), vec![7; 1 << 20])])
}

#[test]
fn bytes() {
    let arena = Arena::limited("staging_bytes = 4194304");
    for case in ["append", "write", "copy", "extract"] {
        let mut attack = arena.attack(test_artifacts::BAD_QUOTA_BYTES, case);
        attack = match case {
            "copy" => attack.weights(vec![1; 1 << 20]),
            _ => attack.file("archive.bin", archive()),
        };
        attack
            .download()
            .says("was stopped: more than 4194304 bytes of artifacts")
            .hints("limits.staging_bytes");
    }
}

#[test]
fn files() {
    let arena = Arena::limited("staging_files = 64");
    for case in ["flat", "deep"] {
        arena
            .attack(test_artifacts::BAD_QUOTA_FILES, case)
            .download()
            .says("was stopped: more than 64 artifacts")
            .hints("limits.staging_files");
    }
}

/// The bytes and the number of the files of what was downloaded.
fn downloaded(attack: &Attack<'_>) -> (u64, usize) {
    let files = std::fs::read_dir(attack.files_dir()).unwrap();
    let sizes: Vec<_> = files
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    (sizes.iter().sum(), sizes.len())
}

#[test]
fn who_does_not_listen_gets_no_more() {
    let arena = Arena::limited("staging_bytes = 4194304\nstaging_files = 64");
    let attack = arena.attack(test_artifacts::BAD_QUOTA_BYTES, "stubborn");
    attack.downloads();
    let (bytes, files) = downloaded(&attack);
    assert!((3 << 20..=4 << 20).contains(&bytes), "{bytes}");
    assert_eq!(files, 2);
    let attack = arena.attack(test_artifacts::BAD_QUOTA_FILES, "stubborn");
    attack.downloads();
    assert_eq!(downloaded(&attack).1, 64);
}

#[test]
fn time_for_writing() {
    // The first call is always finished; there is time for no second one.
    let arena = Arena::limited("disk_wall = 0.000001");
    arena
        .attack(test_artifacts::BAD_QUOTA_BYTES, "append")
        .download()
        .says("was stopped: more than 0.000001 s for writing files")
        .hints("limits.disk_wall");
}

/// A server that the user lets be reached, with an arena and a hook that fetches from it.
fn fetching(limits: &str, server: &Server, case: &str) -> Failure {
    let arena = Arena::within(World::reaching(&[server]), limits);
    arena
        .attack(test_artifacts::BAD_QUOTA_REQUESTS, case)
        .asking(format!("http://{}", server.authority()))
        .file("url.txt", server.url("/again"))
        .download()
}

#[test]
fn requests() {
    for case in ["get", "download"] {
        let server = Server::files([("/again", b"again".to_vec())]);
        fetching("requests = 5", &server, case)
            .says("was stopped: more than 5 requests")
            .hints("limits.requests");
        assert_eq!(server.seen().len(), 5, "{case}");
    }
}

#[test]
fn time_for_the_network() {
    let server = Server::start(|_| {
        std::thread::sleep(Duration::from_millis(50));
        Response::ok("slow")
    });
    // The first call is always finished; there is time for no second one.
    fetching("network_wall = 0.02", &server, "get")
        .says("was stopped: more than 0.02 s for the network")
        .hints("limits.network_wall");
    assert_eq!(server.seen().len(), 1);
}
