//! What is around the thread that a hook runs on.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modelzoo_net as net;
use modelzoo_sandbox::{
    DownloadCall, Engine, HookError, Level, Limits, LoadCall, Log, NoLog, WallStatus,
};

use crate::guest::{Guest, identity};
use crate::server::Server;

/// Whether there is a wall to test; says so where there is none.
fn wall() -> bool {
    let status = WallStatus::of_this_machine();
    if !status.is_there() {
        let _ = writeln!(io::stderr(), "SKIPPED, nothing was tested: {status}");
    }
    status.is_there()
}

/// Looks names up, and meanwhile does on the hook's own thread what only a hole in the sandbox
/// would let a guest do.
struct Intruder {
    canary: PathBuf,
    model_dir: PathBuf,
    source_dir: PathBuf,
    /// Where another source's downloads broke off.
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
            // What the runtime hands to other threads.
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

/// Reads the canary when it is told of something, as an audit log opens its file.
struct Told {
    canary: PathBuf,
    requests: Mutex<Vec<net::Outcome>>,
}

impl net::Audit for Told {
    fn request(&self, record: &net::RequestRecord) {
        assert_eq!(fs::read(&self.canary).unwrap(), b"canary");
        self.requests.lock().unwrap().push(record.outcome);
    }
}

#[tokio::test]
async fn a_download_hook_is_behind_the_wall() {
    let server = Server::start(b"yes".to_vec());
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
    let told = Arc::new(Told {
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
    // Downloads the file, and is content.
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
                audit: told.clone(),
                progress: Arc::new(net::NoProgress),
                log: Arc::new(NoLog),
            },
        )
        .await
        .unwrap();
    // Through the wall's doors the work gets done.
    assert_eq!(artifacts.len(), 1);
    assert_eq!(fs::read(model_dir.join("file")).unwrap(), b"yes");
    assert_eq!(*told.requests.lock().unwrap(), [net::Outcome::Ok]);

    let found = std::mem::take(&mut *intruder.found.lock().unwrap());
    assert_eq!(found.len(), 9);
    if wall() {
        for (what, result) in found.iter() {
            let denied = matches!(result, Err(e) if e.kind() == io::ErrorKind::PermissionDenied);
            assert!(denied, "{what}: {result:?}");
        }
        assert_eq!(fs::read(&canary).unwrap(), b"canary");
        assert_eq!(fs::read(neighbour.join("x.part")).unwrap(), b"part");
    }
    // The process is as free as it was, its other threads too.
    fs::read("/etc/passwd").unwrap();
    let elsewhere = tokio::task::spawn_blocking(move || fs::read(canary));
    elsewhere.await.unwrap().unwrap();
}

/// Looks at the process when it is told of something.
#[derive(Default)]
struct Look(Mutex<Vec<String>>);

impl Log for Look {
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
async fn a_load_hook_gains_no_privileges() {
    let look = Arc::new(Look::default());
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new(
        None,
        Limits {
            wall: Duration::from_millis(300),
            ..Limits::default()
        },
    )
    .unwrap();
    // It is still there when what it says is heard.
    let says = "(call $log (i32.const 1) (i32.const 16) (i32.const 1)) (loop (br 0)) unreachable";
    let component = engine.load(&Guest::loader(says).bytes()).unwrap();
    let error = engine
        .load_model(
            &component,
            LoadCall {
                identity: &identity(),
                model_name: "model@1",
                model_path: "/model/file",
                source_dir: dir.path(),
                model_dir: dir.path(),
                kwargs: &serde_json::Map::new(),
                log: look.clone(),
            },
        )
        .await
        .unwrap_err();
    assert!(matches!(error, HookError::Timeout { .. }), "{error:?}");
    let seen = look.0.lock().unwrap();
    assert!(!seen.is_empty());
    for status in seen.iter() {
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
    // That of this thread is what it was before.
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
async fn a_hook_that_nobody_waits_for_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new(None, Limits::default()).unwrap();
    let component = engine
        .load(&Guest::loader("(loop (br 0)) unreachable").bytes())
        .unwrap();
    let log: Arc<dyn Log> = Arc::new(NoLog);
    let (identity, kwargs) = (identity(), serde_json::Map::new());
    let call = engine.load_model(
        &component,
        LoadCall {
            identity: &identity,
            model_name: "model@1",
            model_path: "/model/file",
            source_dir: dir.path(),
            model_dir: dir.path(),
            kwargs: &kwargs,
            log: log.clone(),
        },
    );
    assert!(
        tokio::time::timeout(Duration::from_millis(50), call)
            .await
            .is_err()
    );
    // Its thread ends, and with it goes the last that it held.
    while Arc::strong_count(&log) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
