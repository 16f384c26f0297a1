//! Hooks that allocate, write or fetch without end.

use std::time::Duration;

use super::testbed::{Attack, Failure, Testbed};
use crate::server::{Response, Server};
use crate::world::World;

#[test]
fn memory_is_limited() {
    let testbed = Testbed::limited("memory_bytes = 33554432");
    for case in ["grow", "reserve"] {
        let attack = testbed.attack(test_artifacts::BAD_MEMORY, case);
        for failure in [attack.download(), attack.load(&[])] {
            failure
                .says("was stopped: more than 33554432 bytes of memory")
                .hints("if you trust the source, raise `limits.memory_bytes`");
        }
    }
}

#[test]
fn bytes_of_one_host_call_are_limited() {
    let testbed = Testbed::limited("hostcall_bytes = 1048576");
    for case in ["argument", "message"] {
        testbed
            .attack(test_artifacts::BAD_MEMORY, case)
            .download()
            .says("was stopped: more than 1048576 bytes handed to the host in one call")
            .hints("limits.hostcall_bytes");
    }
}

#[test]
fn open_files_are_limited() {
    let testbed = Testbed::new();
    let attack = testbed.attack(test_artifacts::BAD_MEMORY, "handles");
    for failure in [attack.download(), attack.load(&[])] {
        // The guest gets the error and reports at which file.
        failure.says("failed: after ");
    }
}

/// An archive that is small, and large when it is extracted repeatedly.
fn archive() -> Vec<u8> {
    crate::source::pack_zip(&[("block".into(), vec![7; 1 << 20])])
}

#[test]
fn staged_bytes_are_limited() {
    let testbed = Testbed::limited("staging_bytes = 4194304");
    for case in ["append", "write", "copy", "extract"] {
        let mut attack = testbed.attack(test_artifacts::BAD_QUOTA_BYTES, case);
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
fn staged_files_are_limited() {
    let testbed = Testbed::limited("staging_files = 64");
    for case in ["flat", "deep"] {
        testbed
            .attack(test_artifacts::BAD_QUOTA_FILES, case)
            .download()
            .says("was stopped: more than 64 artifacts")
            .hints("limits.staging_files");
    }
}

/// The bytes and the number of the downloaded files.
fn downloaded(attack: &Attack<'_>) -> (u64, usize) {
    let files = std::fs::read_dir(attack.files_dir()).unwrap();
    let sizes: Vec<_> = files
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    (sizes.iter().sum(), sizes.len())
}

#[test]
fn ignored_limits_still_hold() {
    let testbed = Testbed::limited("staging_bytes = 4194304\nstaging_files = 64");
    let attack = testbed.attack(test_artifacts::BAD_QUOTA_BYTES, "stubborn");
    attack.downloads();
    let (bytes, files) = downloaded(&attack);
    assert!((3 << 20..=4 << 20).contains(&bytes), "{bytes}");
    assert_eq!(files, 2);
    let attack = testbed.attack(test_artifacts::BAD_QUOTA_FILES, "stubborn");
    attack.downloads();
    assert_eq!(downloaded(&attack).1, 64);
}

#[test]
fn writing_time_is_limited() {
    // The first call always completes; there is no time for a second one.
    let testbed = Testbed::limited("disk_wall = 0.000001");
    testbed
        .attack(test_artifacts::BAD_QUOTA_BYTES, "append")
        .download()
        .says("was stopped: more than 0.000001 s for writing files")
        .hints("limits.disk_wall");
}

/// Runs a hook that fetches from an allowed server.
fn fetching(limits: &str, server: &Server, case: &str) -> Failure {
    let testbed = Testbed::within(World::reaching(&[server]), limits);
    testbed
        .attack(test_artifacts::BAD_QUOTA_REQUESTS, case)
        .asking(format!("http://{}", server.authority()))
        .file("url.txt", server.url("/again"))
        .download()
}

#[test]
fn requests_are_limited() {
    for case in ["get", "download"] {
        let server = Server::files([("/again", b"again".to_vec())]);
        fetching("requests = 5", &server, case)
            .says("was stopped: more than 5 requests")
            .hints("limits.requests");
        assert_eq!(server.seen().len(), 5, "{case}");
    }
}

#[test]
fn network_time_is_limited() {
    let server = Server::start(|_| {
        std::thread::sleep(Duration::from_millis(50));
        Response::ok("slow")
    });
    // The first call always completes; there is no time for a second one.
    fetching("network_wall = 0.02", &server, "get")
        .says("was stopped: more than 0.02 s for the network")
        .hints("limits.network_wall");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn endless_body_is_cut_off() {
    // The declared length is a pebibyte; eight MiB are sent.
    let server = Server::start(|_| Response {
        headers: vec![("content-length".into(), (1_u64 << 50).to_string())],
        ..Response::ok(vec![7; 8 << 20])
    });
    let testbed = Testbed::within(World::reaching(&[&server]), "staging_bytes = 1048576");
    testbed
        .attack(test_artifacts::OK_FETCH, "model")
        .asking(format!("http://{}", server.authority()))
        .file("url.txt", server.url("/endless"))
        .download();
    let reference = server.url("/endless.zip");
    testbed
        .refuses(1, &["register-source", &reference])
        .recorded();
}
