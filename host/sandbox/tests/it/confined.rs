//! The confinement of the thread that a hook runs on.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modelzoo_net as net;
use modelzoo_sandbox::{
    ConfinementStatus, DownloadCall, Engine, HookError, Level, Limits, Log, NoLog,
};
use serde_json::Map;

use crate::guest::{Guest, identity, open};
use crate::server::Server;

/// Whether there is a confinement to test; prints if there is none.
fn is_confined() -> bool {
    let status = ConfinementStatus::detect();
    if !status.is_available() {
        let _ = writeln!(io::stderr(), "SKIPPED, nothing was tested: {status}");
    }
    status.is_available()
}

/// Resolves names, and meanwhile does on the hook's own thread what only a hole in the sandbox
/// would let a guest do.
struct Intruder {
    canary: PathBuf,
    model_dir: PathBuf,
    source_dir: PathBuf,
    /// Another source's interrupted downloads.
    neighbour: PathBuf,
    found: Mutex<Vec<(&'static str, io::Result<()>)>>,
}

impl net::Resolver for Intruder {
    fn lookup<'a>(&'a self, _: &'a str) -> net::Lookup<'a> {
        let elsewhere = self.canary.clone();
        Box::pin(async move {
            let note = |what, result: io::Result<()>| {
                self.found.lock().unwrap().push((what, result));
            };
            note("read the canary", fs::read(&self.canary).map(drop));
            note("change the canary", fs::write(&self.canary, "changed"));
            note(
                "list its directory",
                fs::read_dir(self.canary.parent().unwrap()).map(drop),
            );
            note(
                "change the source",
                fs::write(self.source_dir.join("file"), "changed"),
            );
            let part = self.neighbour.join("x.part");
            note("change another's part", fs::write(part, "changed"));
            note(
                "list another's parts",
                fs::read_dir(&self.neighbour).map(drop),
            );
            note("read a password file", fs::read("/etc/passwd").map(drop));
            let program = std::process::Command::new("/bin/true").status();
            note("start a program", program.map(drop));
            // Work that the runtime hands to another thread.
            let other = tokio::task::spawn_blocking(move || fs::read(elsewhere).map(drop));
            note("read it on another thread", other.await.unwrap());
            let ours = self.model_dir.join("ours");
            fs::write(&ours, "x").unwrap();
            fs::remove_file(ours).unwrap();
            fs::read(self.source_dir.join("file")).unwrap();
            Ok(vec![IpAddr::from([127, 0, 0, 1])])
        })
    }
}

/// Reads the canary at each request, as an audit log opens its file.
struct Auditor {
    canary: PathBuf,
    requests: Mutex<Vec<net::Outcome>>,
}

impl net::Audit for Auditor {
    fn request(&self, record: &net::RequestRecord) {
        assert_eq!(fs::read(&self.canary).unwrap(), b"canary");
        self.requests.lock().unwrap().push(record.outcome);
    }
}

#[tokio::test]
async fn download_hook_reaches_only_its_own_files() {
    let server = Server::serving(b"yes".to_vec());
    let origin = server.origin().replace("127.0.0.1", "models.test");
    let url = format!("{origin}/file");
    let dir = tempfile::tempdir().unwrap();
    let [source_dir, model_dir, partials, neighbour, elsewhere] =
        ["source", "model", "partials/a", "partials/b", "elsewhere"].map(|name| {
            let path = dir.path().join(name);
            fs::create_dir_all(&path).unwrap();
            path
        });
    fs::write(neighbour.join("x.part"), "part").unwrap();
    fs::write(source_dir.join("file"), "source").unwrap();
    let canary = elsewhere.join("canary");
    fs::write(&canary, "canary").unwrap();

    let intruder = Arc::new(Intruder {
        canary: canary.clone(),
        model_dir: model_dir.clone(),
        source_dir: source_dir.clone(),
        neighbour: neighbour.clone(),
        found: Mutex::default(),
    });
    let auditor = Arc::new(Auditor {
        canary: canary.clone(),
        requests: Mutex::default(),
    });
    let config = net::Config {
        private: vec!["models.test".parse().unwrap()],
        ..net::Config::default()
    };
    let client = net::Client::with_resolver(config, intruder.clone()).unwrap();
    let mut permissions = net::policy::Permissions::none();
    permissions.insert(origin.parse().unwrap());
    // Downloads the file and succeeds.
    let guest = Guest::downloader_with(
        &format!(r#"(data (i32.const 4096) "{url}") (data (i32.const 2056) "file")"#),
        &format!(
            "(call $download (i32.const 4096) (i32.const {}) (i32.const 0) (i32.const 0)
               (i32.const 2056) (i32.const 4)
               (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0)
               (i32.const 512))
             (if (i32.load8_u (i32.const 512)) (then unreachable))
             (i32.const 2048)",
            url.len()
        ),
    );
    let engine = Engine::new(None, Limits::default()).unwrap();
    let component = engine.load(&guest.bytes()).unwrap();
    let artifacts = engine
        .download_model(
            &component,
            DownloadCall {
                identity: &identity(),
                model_name: "model@1",
                model_path: "/model/file",
                source_dir: &source_dir,
                model_dir: &model_dir,
                partials: Some(&partials),
                client: &client,
                permissions: &permissions,
                use_credentials: false,
                max_download_bytes: None,
                audit: auditor.clone(),
                progress: Arc::new(net::NoProgress),
                log: Arc::new(NoLog),
            },
        )
        .await
        .unwrap();
    // What is allowed works.
    assert_eq!(artifacts.len(), 1);
    assert_eq!(fs::read(model_dir.join("file")).unwrap(), b"yes");
    assert_eq!(*auditor.requests.lock().unwrap(), [net::Outcome::Ok]);

    let found = std::mem::take(&mut *intruder.found.lock().unwrap());
    assert_eq!(found.len(), 9);
    if is_confined() {
        for (what, result) in found.iter() {
            let denied = matches!(result, Err(e) if e.kind() == io::ErrorKind::PermissionDenied);
            assert!(denied, "{what}: {result:?}");
        }
        assert_eq!(fs::read(&canary).unwrap(), b"canary");
        assert_eq!(fs::read(neighbour.join("x.part")).unwrap(), b"part");
    }
    // The process and its other threads are not confined.
    fs::read("/etc/passwd").unwrap();
    let elsewhere = tokio::task::spawn_blocking(move || fs::read(canary));
    elsewhere.await.unwrap().unwrap();
}

/// Reads the status of the hook's thread at each message.
#[derive(Default)]
struct StatusReader(Mutex<Vec<String>>);

impl Log for StatusReader {
    fn log(&self, _: Level, _: &str) {
        for task in fs::read_dir("/proc/self/task").unwrap() {
            let status = task.unwrap().path().join("status");
            // Other tests' threads come and go.
            let status = fs::read_to_string(status).unwrap_or_default();
            if status.contains("Name:\tmodelzoo-hook\n") {
                self.0.lock().unwrap().push(status);
            }
        }
    }
}

#[tokio::test]
async fn load_hook_cannot_gain_privileges() {
    let reader = Arc::new(StatusReader::default());
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new(
        None,
        Limits {
            wall: Duration::from_millis(300),
            ..Limits::default()
        },
    )
    .unwrap();
    // It still runs when its message arrives.
    let body = "(call $log (i32.const 1) (i32.const 16) (i32.const 1)) (loop (br 0)) unreachable";
    let component = engine.load(&Guest::loader(body).bytes()).unwrap();
    let mut session = open(&engine, &component, dir.path(), dir.path(), reader.clone()).unwrap();
    let error = session.load_model(&Map::new()).await.unwrap_err();
    assert!(matches!(error, HookError::Timeout { .. }), "{error:?}");
    let seen = reader.0.lock().unwrap();
    assert!(!seen.is_empty());
    for status in seen.iter() {
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
    // The status of this thread has not changed.
    let own = fs::read_to_string("/proc/thread-self/status").unwrap();
    let whole = fs::read_to_string("/proc/self/status").unwrap();
    let line = |text: &str| {
        text.lines()
            .find(|l| l.starts_with("NoNewPrivs"))
            .map(str::to_owned)
    };
    assert_eq!(line(&own), line(&whole));
}

#[tokio::test]
async fn dropping_the_call_stops_the_hook() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new(None, Limits::default()).unwrap();
    let component = engine
        .load(&Guest::loader("(loop (br 0)) unreachable").bytes())
        .unwrap();
    let log: Arc<dyn Log> = Arc::new(NoLog);
    let mut session = open(&engine, &component, dir.path(), dir.path(), log.clone()).unwrap();
    let kwargs = Map::new();
    let call = session.load_model(&kwargs);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), call)
            .await
            .is_err()
    );
    drop(session);
    // Its thread ends and drops what it held.
    while Arc::strong_count(&log) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
