//! Small components from WebAssembly text, and what they are called with.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modelzoo_net as net;
use modelzoo_sandbox::{
    Artifact, Component, DownloadCall, Engine, HookError, Identity, Level, Limits, Loaded, Log,
    Session, SessionOptions,
};

use crate::server::Server;

const TYPES: &str = include_str!("wat/types.wat");
const NETWORK: &str = include_str!("wat/network.wat");
const LOADER: &str = include_str!("wat/loader.wat");
const DOWNLOADER: &str = include_str!("wat/downloader.wat");

/// Functions that every main module has: `$fail kind text length` answers with an error.
const HELPERS: &str = r#"
  (func $fail (param $kind i32) (param $at i32) (param $len i32) (result i32)
    (i32.store8 (i32.const 1024) (i32.const 1))
    (i32.store8 (i32.const 1028) (local.get $kind))
    (i32.store (i32.const 1032) (local.get $at))
    (i32.store (i32.const 1036) (local.get $len))
    (i32.const 1024))
"#;

/// A component in the making.
pub(crate) struct Guest {
    before: String,
    lowered: String,
    core_imports: String,
    main: String,
    exports: String,
}

impl Guest {
    fn new(main: &str) -> Self {
        Self {
            before: TYPES.to_owned(),
            lowered: r#"(export "log" (func $log))"#.to_owned(),
            core_imports: r#"(import "host" "log" (func $log (param i32 i32 i32)))"#.to_owned(),
            main: main.to_owned(),
            exports: String::new(),
        }
    }

    /// Exports `load-model`; `body` are its instructions, which leave an `i32`.
    pub(crate) fn loader(body: &str) -> Self {
        Self::loader_with("", body)
    }

    /// The same, with more fields in the main module.
    pub(crate) fn loader_with(fields: &str, body: &str) -> Self {
        let mut guest = Self::new(&format!(
            r#"{fields}
            (func (export "load-model") (param i32 i32 i32 i32 i32 i32) (result i32) {body})"#
        ));
        guest.exports.push_str(LOADER);
        guest
    }

    /// Exports `download-model`, and imports what only it may have: `$get`, `$download`, `$write`
    /// and `$append`, each with a last argument that says where the result goes.
    pub(crate) fn downloader(body: &str) -> Self {
        Self::downloader_with("", body)
    }

    /// The same, with more fields in the main module.
    pub(crate) fn downloader_with(fields: &str, body: &str) -> Self {
        let mut guest = Self::new(&format!(
            r#"{fields} (func (export "download-model") (param i32 i32 i32 i32) (result i32) {body})"#
        ));
        guest.exports.push_str(DOWNLOADER);
        guest.network()
    }

    /// Exports both; `body` is that of `load-model`.
    pub(crate) fn both(body: &str) -> Self {
        let mut guest = Self::loader_with(
            r#"(data (i32.const 2056) "file")
               (func (export "download-model") (param i32 i32 i32 i32) (result i32)
                 (call $write (i32.const 2056) (i32.const 4) (i32.const 2056) (i32.const 4)
                   (i32.const 512))
                 (i32.const 2048))"#,
            body,
        );
        guest.exports.push_str(DOWNLOADER);
        guest.network()
    }

    fn network(self) -> Self {
        self.import(
            NETWORK,
            &[
                ("get", "(param i32 i32 i32 i32 i32)"),
                (
                    "download",
                    "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32)",
                ),
                ("write", "(param i32 i32 i32 i32 i32)"),
                ("append", "(param i32 i32 i32 i32 i32)"),
            ],
        )
    }

    /// Adds imports: `wat` lowers them to core functions, which are named here with their types.
    pub(crate) fn import(mut self, wat: &str, functions: &[(&str, &str)]) -> Self {
        self.before.push_str(wat);
        for (name, ty) in functions {
            self.lowered
                .push_str(&format!(r#"(export "{name}" (func ${name}))"#));
            self.core_imports
                .push_str(&format!(r#"(import "host" "{name}" (func ${name} {ty}))"#));
        }
        self
    }

    /// The text of the component.
    pub(crate) fn text(&self) -> String {
        let Self {
            before,
            lowered,
            core_imports,
            main,
            exports,
        } = self;
        format!(
            r#"(component {before}
              (core module $main
                (import "libc" "memory" (memory 2))
                {core_imports} {HELPERS} {main})
              (core instance $main (instantiate $main
                (with "libc" (instance $libc))
                (with "host" (instance {lowered}))))
              {exports})"#
        )
    }

    /// The component.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let text = self.text();
        wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    /// Runs `load-model` in an engine of its own.
    pub(crate) async fn load(&self, limits: Limits) -> Run<Loaded> {
        let engine = Engine::new(None, limits).unwrap();
        let component = engine.load(&self.bytes()).unwrap();
        load(&engine, &component).await
    }

    /// Runs `download-model` in an engine of its own.
    pub(crate) async fn download(&self, limits: Limits) -> Run<Vec<Artifact>> {
        let engine = Engine::new(None, limits).unwrap();
        let component = engine.load(&self.bytes()).unwrap();
        Setup::default().run(&engine, &component).await
    }
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Run<T> {
    pub(crate) result: Result<T, HookError>,
    pub(crate) log: Vec<(Level, String)>,
}

impl<T: std::fmt::Debug> Run<T> {
    pub(crate) fn error(self) -> HookError {
        self.result.expect_err("the hook should have failed")
    }

    pub(crate) fn messages(&self) -> Vec<&str> {
        self.log
            .iter()
            .map(|(_, message)| message.as_str())
            .collect()
    }
}

/// Keeps all messages.
#[derive(Default)]
pub(crate) struct Lines(Mutex<Vec<(Level, String)>>);

impl Lines {
    pub(crate) fn take(&self) -> Vec<(Level, String)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Log for Lines {
    fn log(&self, level: Level, message: &str) {
        self.0.lock().unwrap().push((level, message.to_owned()));
    }
}

pub(crate) fn identity() -> Identity {
    Identity {
        source: "acme/source".to_owned(),
        model: "model@1".to_owned(),
    }
}

/// Short times, so that what never ends is soon over.
pub(crate) fn short() -> Limits {
    Limits {
        wall: Duration::from_millis(300),
        ..Limits::default()
    }
}

/// Runs `load-model` on two directories with one file each.
pub(crate) async fn load(engine: &Engine, component: &Component) -> Run<Loaded> {
    let dir = tempfile::tempdir().unwrap();
    let [source_dir, model_dir] = ["source", "model"].map(|name| {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("file"), name).unwrap();
        path
    });
    load_in(engine, component, &source_dir, &model_dir).await
}

pub(crate) async fn load_in(
    engine: &Engine,
    component: &Component,
    source_dir: &Path,
    model_dir: &Path,
) -> Run<Loaded> {
    let lines = Arc::new(Lines::default());
    let result = match open(engine, component, source_dir, model_dir, lines.clone()) {
        Ok(mut session) => session.load_model(&serde_json::Map::new()).await,
        Err(error) => Err(error),
    };
    let log = lines.take();
    Run { result, log }
}

/// Opens a session for a model in `model_dir`.
pub(crate) fn open(
    engine: &Engine,
    component: &Component,
    source_dir: &Path,
    model_dir: &Path,
    log: Arc<dyn Log>,
) -> Result<Session, HookError> {
    engine.open_session(
        component,
        SessionOptions {
            identity: &identity(),
            model_name: "model@1",
            model_path: "/model/file",
            source_dir,
            model_dir,
            log,
        },
    )
}

/// What `download-model` is called with.
#[derive(Default)]
pub(crate) struct Setup {
    /// The model's name; a guest can be told something with it.
    pub(crate) model_name: String,
    pub(crate) server: Option<Server>,
    pub(crate) max_download_bytes: Option<u64>,
}

impl Setup {
    pub(crate) async fn run(&self, engine: &Engine, component: &Component) -> Run<Vec<Artifact>> {
        let dir = tempfile::tempdir().unwrap();
        let [source_dir, model_dir] = ["source", "model"].map(|name| {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        });
        std::fs::write(source_dir.join("file"), "source").unwrap();
        let mut permissions = net::policy::Permissions::none();
        let mut private = Vec::new();
        if let Some(server) = &self.server {
            permissions.insert(server.origin().parse().unwrap());
            private.push("127.0.0.1".parse().unwrap());
        }
        let client = net::Client::new(net::Config {
            private,
            ..net::Config::default()
        });
        let lines = Arc::new(Lines::default());
        let result = engine
            .download_model(
                component,
                DownloadCall {
                    identity: &identity(),
                    model_name: &self.model_name,
                    model_path: "/model/file",
                    source_dir: &source_dir,
                    model_dir: &model_dir,
                    partials: None,
                    client: &client.unwrap(),
                    permissions: &permissions,
                    use_credentials: false,
                    max_download_bytes: self.max_download_bytes,
                    audit: Arc::new(net::NoAudit),
                    progress: Arc::new(net::NoProgress),
                    log: lines.clone(),
                },
            )
            .await;
        let log = lines.take();
        Run { result, log }
    }
}
