//! A guest, and how a test calls it.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use modelzoo_net::policy::Permissions;
use modelzoo_runtime::{Device, Model, Plan};
use modelzoo_sandbox::{
    Artifact, DownloadCall, Engine, GuestErrorKind, HookError, Identity, Level, Limits, Loaded,
    Log, SessionOptions,
};
use serde_json::{Map, Value};
use tempfile::TempDir;

/// The name of the guests' model file.
pub(crate) const MODEL_FILE: &str = "weights.safetensors";

/// A guest, and what it is called with.
pub(crate) struct Guest {
    wasm: &'static str,
    model: String,
    limits: Limits,
    kwargs: Value,
    permissions: Vec<String>,
    source: TempDir,
}

/// A guest without permissions whose source has a file with weights.
pub(crate) fn guest(wasm: &'static str) -> Guest {
    let guest = Guest {
        wasm,
        model: "test/model@1.0".to_owned(),
        limits: Limits::default(),
        kwargs: Value::Object(Map::new()),
        permissions: Vec::new(),
        source: tempfile::tempdir().unwrap(),
    };
    guest.file(MODEL_FILE, test_artifacts::tiny_weights())
}

impl Guest {
    /// Calls the hooks with a model's name that ends with this case.
    pub(crate) fn case(mut self, case: &str) -> Self {
        self.model = format!("test/{case}@1.0");
        self
    }

    pub(crate) fn file(self, name: &str, contents: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.source.path().join(name), contents).unwrap();
        self
    }

    pub(crate) fn kwargs(mut self, kwargs: Value) -> Self {
        self.kwargs = kwargs;
        self
    }

    pub(crate) fn granting(mut self, permission: impl Into<String>) -> Self {
        self.permissions.push(permission.into());
        self
    }

    pub(crate) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Stops a guest that never ends soon.
    pub(crate) fn with_short_time(self) -> Self {
        self.limits(|limits| limits.wall = Duration::from_millis(300))
    }

    /// Runs `download_model` in an empty directory.
    pub(crate) fn download(&self) -> Run<Vec<Artifact>> {
        let model_dir = tempfile::tempdir().unwrap();
        let permissions: Permissions = serde_json::from_value(self.permissions.clone().into())
            .expect("the permissions are well-formed");
        let config = modelzoo_net::Config {
            private: vec!["127.0.0.1".parse().unwrap()],
            retries: 0,
            ..modelzoo_net::Config::default()
        };
        let lines = Arc::new(Lines::default());
        let engine = self.engine();
        let component = engine.load_file(Path::new(self.wasm)).unwrap();
        let result = runtime().block_on(engine.download_model(
            &component,
            DownloadCall {
                identity: &self.identity(),
                model_name: &self.model,
                model_path: &format!("/model/{MODEL_FILE}"),
                source_dir: self.source.path(),
                model_dir: model_dir.path(),
                partials: None,
                client: &modelzoo_net::Client::new(config).unwrap(),
                permissions: &permissions,
                use_credentials: false,
                max_download_bytes: None,
                audit: Arc::new(modelzoo_net::NoAudit),
                progress: Arc::new(modelzoo_net::NoProgress),
                log: lines.clone(),
            },
        ));
        Run::new(result, &lines, model_dir)
    }

    /// Runs `load_model` on a directory that has the model's file.
    pub(crate) fn load(&self) -> Run<Loaded> {
        let model_dir = tempfile::tempdir().unwrap();
        std::fs::write(
            model_dir.path().join(MODEL_FILE),
            test_artifacts::tiny_weights(),
        )
        .unwrap();
        self.load_from(model_dir)
    }

    /// Runs `load_model` on the directory of an earlier run.
    pub(crate) fn load_from(&self, model_dir: TempDir) -> Run<Loaded> {
        let lines = Arc::new(Lines::default());
        let engine = self.engine();
        let component = engine.load_file(Path::new(self.wasm)).unwrap();
        let options = SessionOptions {
            identity: &self.identity(),
            model_name: &self.model,
            model_path: &format!("/model/{MODEL_FILE}"),
            source_dir: self.source.path(),
            model_dir: model_dir.path(),
            log: lines.clone(),
        };
        let result = runtime().block_on(async {
            let mut session = engine.open_session(&component, options)?;
            session.load_model(self.kwargs.as_object().unwrap()).await
        });
        Run::new(result, &lines, model_dir)
    }

    fn engine(&self) -> Engine {
        // The tests of one process share compiled components.
        static CACHE: OnceLock<TempDir> = OnceLock::new();
        let cache = CACHE.get_or_init(|| tempfile::tempdir().unwrap());
        Engine::new(Some(cache.path()), self.limits.clone()).unwrap()
    }

    fn identity(&self) -> Identity {
        Identity {
            source: "test/source".to_owned(),
            model: self.model.clone(),
        }
    }
}

/// A tar with these files.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, contents) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *contents).unwrap();
    }
    tar.into_inner().unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// The result of a call.
#[derive(Debug)]
pub(crate) struct Run<T> {
    pub(crate) result: Result<T, HookError>,
    pub(crate) log: Vec<(Level, String)>,
    pub(crate) model_dir: TempDir,
}

impl<T: std::fmt::Debug> Run<T> {
    fn new(result: Result<T, HookError>, lines: &Lines, model_dir: TempDir) -> Self {
        Self {
            result,
            log: std::mem::take(&mut *lines.0.lock().unwrap()),
            model_dir,
        }
    }

    #[track_caller]
    pub(crate) fn error(self) -> HookError {
        let error = self.result.expect_err("the hook should have failed");
        assert_eq!(error.site().source, "test/source");
        error
    }

    /// The kind and the text of the guest's error.
    #[track_caller]
    pub(crate) fn guest_error(self) -> (GuestErrorKind, String) {
        match self.error() {
            HookError::Guest { kind, message, .. } => (kind, message),
            other => panic!("{other:?} is not an error of the guest"),
        }
    }
}

impl Run<Loaded> {
    /// The guest's plan.
    #[track_caller]
    pub(crate) fn plan(&self) -> &Plan {
        match &self.result {
            Ok(Loaded::Plan(plan)) => plan,
            other => panic!("{other:?} is not a plan"),
        }
    }

    /// The model that the runtime builds from the plan.
    #[track_caller]
    pub(crate) fn build(&self) -> Result<Model, modelzoo_runtime::Error> {
        Model::build(self.plan(), self.model_dir.path(), &Device::cpu())
    }
}

impl Run<Vec<Artifact>> {
    /// The names of the artifacts.
    #[track_caller]
    pub(crate) fn names(&self) -> Vec<&str> {
        let artifacts = self
            .result
            .as_ref()
            .expect("the hook should have succeeded");
        artifacts.iter().map(|a| a.name.as_ref()).collect()
    }
}

/// Keeps all messages.
#[derive(Default)]
struct Lines(Mutex<Vec<(Level, String)>>);

impl Log for Lines {
    fn log(&self, level: Level, message: &str) {
        self.0.lock().unwrap().push((level, message.to_owned()));
    }
}
