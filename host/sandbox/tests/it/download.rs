//! `download-model`: what it may fetch and write, and for how long.

use std::time::Duration;

use modelzoo_sandbox::{Activity, Engine, GuestErrorKind, HookError, Limit, Limits};
use sha2::{Digest, Sha256};

use crate::guest::{Guest, Run, Setup};
use crate::server::Server;

/// Fetches the address in the model's name again and again, and passes the first error on.
const FETCH: &str = "
    (loop
      (call $get (local.get 0) (local.get 1) (i32.const 0) (i32.const 0) (i32.const 512))
      (br_if 0 (i32.eqz (i32.load8_u (i32.const 512)))))
    (call $fail (i32.load8_u (i32.const 516)) (i32.load (i32.const 520))
      (i32.load (i32.const 524)))";

/// Adds the model's name to a file of that name again and again, and passes the first error on.
const APPEND: &str = "
    (loop
      (call $append (local.get 0) (local.get 1) (local.get 0) (local.get 1) (i32.const 512))
      (br_if 0 (i32.eqz (i32.load8_u (i32.const 512)))))
    (call $fail (i32.load8_u (i32.const 520)) (i32.load (i32.const 524))
      (i32.load (i32.const 528)))";

async fn run(body: &str, limits: Limits, setup: &Setup) -> HookError {
    let engine = Engine::new(None, limits).unwrap();
    let component = engine.load(&Guest::downloader(body).bytes()).unwrap();
    let run: Run<_> = setup.run(&engine, &component).await;
    run.error()
}

fn served(bytes: usize) -> Setup {
    let server = Server::serving(vec![b'x'; bytes]);
    Setup {
        model_name: format!("{}/file", server.origin()),
        server: Some(server),
        ..Setup::default()
    }
}

#[tokio::test]
async fn downloaded_bytes_are_limited() {
    let mut setup = served(1000);
    setup.max_download_bytes = Some(4500);
    let error = run(FETCH, Limits::default(), &setup).await;
    let HookError::Limit { which, limit, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((*which, *limit), (Limit::DownloadBytes, 4500));
    assert_eq!(setup.server.unwrap().requests(), 5);
    assert!(
        error
            .remedy()
            .unwrap()
            .to_string()
            .contains("max_download_bytes")
    );
}

#[tokio::test]
async fn requests_are_limited() {
    let setup = served(1);
    let limits = Limits {
        requests: 7,
        ..Limits::default()
    };
    let error = run(FETCH, limits, &setup).await;
    assert_eq!(
        error.to_string(),
        "download_model of `acme/source` for `model@1` was stopped: more than 7 requests"
    );
    assert_eq!(setup.server.unwrap().requests(), 7);
}

#[tokio::test]
async fn request_without_a_grant_is_denied_with_a_remedy() {
    let server = Server::serving(vec![]);
    let setup = Setup {
        model_name: format!("{}/file?token=canary", server.origin()),
        ..Setup::default()
    };
    let error = run(FETCH, Limits::default(), &setup).await;
    let HookError::Guest { kind, message, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*kind, GuestErrorKind::Denied);
    assert!(message.contains(&server.origin()), "{message}");
    assert!(!message.contains("canary"), "{message}");
    let hint = error.remedy().unwrap().to_string();
    assert!(hint.contains(&format!("`{}`", server.origin())), "{hint}");
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn disk_and_network_time_are_limited() {
    let setup = served(1);
    let limits = Limits {
        network_wall: Duration::from_millis(1),
        ..Limits::default()
    };
    let error = run(FETCH, limits, &setup).await;
    let HookError::Timeout { activity, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*activity, Activity::Network);
    assert!(
        error
            .to_string()
            .ends_with("more than 0.001 s for the network"),
        "{error}"
    );

    let setup = Setup {
        model_name: "file".to_owned(),
        ..Setup::default()
    };
    let limits = Limits {
        disk_wall: Duration::from_millis(1),
        ..Limits::default()
    };
    let error = run(APPEND, limits, &setup).await;
    let HookError::Timeout { activity, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(activity, Activity::Disk);
}

#[tokio::test]
async fn staged_bytes_are_limited() {
    let setup = Setup {
        model_name: "file".to_owned(),
        ..Setup::default()
    };
    let limits = Limits {
        staging_bytes: 1000,
        ..Limits::default()
    };
    let error = run(APPEND, limits, &setup).await;
    assert_eq!(
        error.to_string(),
        "download_model of `acme/source` for `model@1` was stopped: more than 1000 bytes of artifacts"
    );
}

#[tokio::test]
async fn artifact_names_outside_the_directory_are_refused() {
    for name in ["../x", "/etc/x", "a/../../x", "x\\y", "", "CON"] {
        let setup = Setup {
            model_name: name.to_owned(),
            ..Setup::default()
        };
        let error = run(APPEND, Limits::default(), &setup).await;
        let HookError::Guest { kind, message, .. } = &error else {
            panic!("{name}: {error:?}")
        };
        assert_eq!(*kind, GuestErrorKind::InvalidInput, "{name}: {message}");
    }
}

#[tokio::test]
async fn success_without_the_model_file_is_a_bad_answer() {
    // A result whose first byte is zero: success.
    let error = run("(i32.const 2048)", Limits::default(), &Setup::default()).await;
    assert_eq!(
        error.to_string(),
        "download_model of `acme/source` for `model@1` gave a bad answer: it left nothing at `file`"
    );
}

/// Downloads the address in the model's name to `file`, and expects a length and, where there
/// is one in memory, a digest. The result is at 512.
fn download(digest: bool, size: u64) -> String {
    format!(
        "(call $download (local.get 0) (local.get 1) (i32.const 0) (i32.const 0)
           (i32.const 16) (i32.const 4)
           (i32.const {}) (i32.const 32) (i32.const 64)
           (i32.const 1) (i64.const {size}) (i32.const 512))",
        i32::from(digest)
    )
}

#[tokio::test]
async fn failed_download_keeps_the_existing_artifact() {
    let engine = Engine::new(None, Limits::default()).unwrap();
    let body = format!(
        "(call $write (i32.const 16) (i32.const 4) (i32.const 16) (i32.const 4) (i32.const 512))
         {}
         (if (i32.eqz (i32.load8_u (i32.const 512))) (then unreachable))
         (i32.const 2048)",
        download(false, 999)
    );
    let guest = Guest::downloader_with(r#"(data (i32.const 16) "file")"#, &body);
    let component = engine.load(&guest.bytes()).unwrap();
    let run = served(1000).run(&engine, &component).await;
    let [artifact] = run.result.unwrap().try_into().unwrap();
    assert_eq!((artifact.name.as_ref(), artifact.size), ("file", 4));
}

#[tokio::test]
async fn artifact_with_the_expected_digest_is_not_fetched_again() {
    let engine = Engine::new(None, Limits::default()).unwrap();
    let digest = hex::encode(Sha256::digest([b'x'; 1000]));
    let twice = [download(true, 1000), download(true, 1000)];
    let guest = Guest::downloader_with(
        &format!(r#"(data (i32.const 16) "file") (data (i32.const 32) "{digest}")"#),
        &format!(
            "{}
             (if (i32.load8_u (i32.const 512)) (then unreachable))
             (i32.const 2048)",
            twice.concat()
        ),
    );
    let component = engine.load(&guest.bytes()).unwrap();
    let setup = served(1000);
    let run = setup.run(&engine, &component).await;
    let [artifact] = run.result.unwrap().try_into().unwrap();
    assert_eq!((artifact.size, artifact.sha256), (1000, digest));
    assert_eq!(setup.server.unwrap().requests(), 1);
}
