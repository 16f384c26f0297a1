//! A store with content, sources that attack it, and the checks after every attack.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::source::{Source, replace_component};
use crate::world::{Run, World};

use super::canary::{Canary, FileState, differences, snapshot};

/// The model of another source, which must work after every attack.
const GOOD: &str = "good/model";

pub(crate) struct Testbed {
    pub(crate) world: World,
    pub(crate) canary: Canary,
}

impl Testbed {
    pub(crate) fn new() -> Self {
        Self::within(World::new(), "")
    }

    /// A testbed with low limits: lines of `[limits]` in `config.toml`.
    pub(crate) fn limited(limits: &str) -> Self {
        Self::within(World::new(), limits)
    }

    /// A testbed in a world with settings of its own.
    pub(crate) fn within(world: World, limits: &str) -> Self {
        std::fs::create_dir(world.home()).unwrap();
        let config = format!("[limits]\n{limits}\n");
        std::fs::write(world.home().join("config.toml"), config).unwrap();
        for dir in ["beside", "beside/deeper", "images"] {
            std::fs::create_dir(world.path(dir)).unwrap();
        }
        for file in ["beside/outside", "beside/deeper/x", "x", "home/x"] {
            std::fs::write(world.path(file), "outside").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("outside", world.path("beside/link")).unwrap();
        let digits = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/digits/dataset");
        let images = std::fs::read_dir(Path::new(digits).join("data")).unwrap();
        for image in images.flatten().take(2) {
            std::fs::copy(image.path(), world.path("images").join(image.file_name())).unwrap();
        }
        Source::new(test_artifacts::OK_COPY)
            .file("weights.safetensors", test_artifacts::tiny_weights())
            .manifest(|m| m["models"][0]["base_name"] = GOOD.into())
            .write(&world.path("good"));
        world.ok(&["register-source", "./good"]);
        world.ok(&["download", GOOD]);
        Self {
            world,
            canary: Canary::set(),
        }
    }

    /// A hostile source with a guest, which acts by the last part of its model's name.
    pub(crate) fn attack(&self, component: &'static str, case: &str) -> Attack<'_> {
        let model = format!("test/{case}");
        let guest = Path::new(component).file_stem().unwrap().to_str().unwrap();
        Attack {
            testbed: self,
            component,
            dir: format!("{guest}-{case}"),
            source: Source::new(component)
                .file("weights.safetensors", test_artifacts::tiny_weights())
                .manifest(|m| m["models"][0]["base_name"] = model.as_str().into()),
            weights: test_artifacts::tiny_weights(),
            model,
        }
    }

    /// The state of everything but what any command may write: the audit log, compiled components
    /// and staging, which is checked separately.
    fn snapshot(&self) -> BTreeMap<PathBuf, FileState> {
        let except = ["audit.jsonl", "cache", "staging"].map(|part| self.world.home().join(part));
        snapshot(&self.world.path("."), &except)
    }

    /// Runs a command that may change nothing but what is below `writes`.
    fn watch(&self, writes: &[PathBuf], run: impl FnOnce() -> Run) -> Run {
        let before = self.snapshot();
        let run = run();
        let changed: Vec<_> = differences(&before, &self.snapshot())
            .into_iter()
            .filter(|path| !writes.iter().any(|allowed| path.starts_with(allowed)))
            .collect();
        assert_eq!(changed, Vec::<PathBuf>::new(), "{run:#?}");
        assert_eq!(self.world.unfinished(), Vec::<PathBuf>::new());
        assert!(!self.canary.was_called(), "{run:#?}");
        run
    }

    /// A command must be refused with an exit status: nothing changes, no connection is made,
    /// and the audit log records it at most once. Returns standard error and the records.
    #[track_caller]
    pub(crate) fn refuses(&self, code: i32, args: &[&str]) -> Refused {
        let recorded = self.world.audit().len();
        let run = self.watch(&[], || Run {
            code: Some(code),
            stdout: String::new(),
            stderr: self.world.refused(code, args),
        });
        assert_terminal_safe(&run.stderr);
        let refused = Refused {
            stderr: run.stderr,
            records: self.world.audit().split_off(recorded),
        };
        assert!(refused.reasons().len() <= 1, "{args:?}: {refused:#?}");
        refused
    }

    /// The hook of another source still runs in the same store.
    pub(crate) fn still_works(&self) {
        self.world.ok(&["download", GOOD, "--overwrite"]);
    }
}

/// A hostile source.
pub(crate) struct Attack<'a> {
    testbed: &'a Testbed,
    component: &'static str,
    source: Source,
    weights: Vec<u8>,
    dir: String,
    model: String,
}

impl Attack<'_> {
    pub(crate) fn file(mut self, name: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.source = self.source.file(name, contents);
        self
    }

    /// Other weights than the tiny ones that most guests copy.
    pub(crate) fn weights(mut self, weights: Vec<u8>) -> Self {
        self.weights = weights;
        self
    }

    /// Another name than that of weights for the model's file.
    pub(crate) fn named(mut self, file: &str) -> Self {
        let name = |m: &mut Value| m["models"][0]["base_filename"] = file.into();
        self.source = self.source.manifest(name);
        self
    }

    /// Requests the permission for an origin, which is granted.
    pub(crate) fn asking(mut self, permission: impl AsRef<str>) -> Self {
        self.source = self.source.asking(permission.as_ref());
        self
    }

    /// The source's name in error messages and in the audit log.
    pub(crate) fn id(&self) -> String {
        let dir = self.testbed.world.path(&self.dir).canonicalize().unwrap();
        format!("file:{}", dir.display())
    }

    /// The source, as the user names it.
    pub(crate) fn dir(&self) -> String {
        format!("./{}", self.dir)
    }

    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    /// Writes the source with a component and registers it, again if need be.
    fn register(&self, component: &str) {
        let world = &self.testbed.world;
        self.source.write(&world.path(&self.dir));
        let at = |name| world.path(&self.dir).join(name);
        std::fs::copy(component, at("source.wasm")).unwrap();
        std::fs::write(at("weights.safetensors"), &self.weights).unwrap();
        let dir = format!("./{}", self.dir);
        world.ok(&["register-source", &dir, "--overwrite", "--grant", "all"]);
    }

    /// Downloads the model by a well-behaved hook; then an update brings the
    /// hostile guest.
    fn register_for_load(&self) {
        self.register(test_artifacts::OK_COPY);
        let dir = format!("./{}", self.dir);
        let world = &self.testbed.world;
        world.ok(&["download", &self.model, "--source", &dir]);
        if self.component != test_artifacts::OK_COPY {
            replace_component(world, &self.id(), &self.model, || {
                self.register(self.component);
            });
        }
    }

    fn download_args(&self, more: &[&str]) -> Vec<String> {
        let dir = format!("./{}", self.dir);
        let args = [&["download", &self.model, "--source", &dir], more].concat();
        args.into_iter().map(str::to_owned).collect()
    }

    fn apply_args(&self, kwargs: &[&str]) -> Vec<String> {
        let dir = format!("./{}", self.dir);
        let apply = ["apply", &self.model, "images", "p", "--source", &dir];
        let kwargs = kwargs.iter().flat_map(|kwarg| ["--kwarg", kwarg]);
        let output = ["--output", "labels.jsonl", "--overwrite"];
        let args = apply.into_iter().chain(output).chain(kwargs);
        args.map(str::to_owned).collect()
    }

    /// `download_model` must fail.
    pub(crate) fn download(&self) -> Failure {
        self.register(self.component);
        self.fails("download_model", &self.download_args(&[]))
    }

    /// `download_model` must fail after a good download, whose files stay.
    pub(crate) fn download_again(&self) -> Failure {
        self.register_for_load();
        self.fails("download_model", &self.download_args(&["--overwrite"]))
    }

    /// Like [`Attack::download`], with a flag.
    pub(crate) fn download_with(&self, flag: &str) -> Failure {
        self.register(self.component);
        self.fails("download_model", &self.download_args(&[flag]))
    }

    /// `load_model` must fail.
    pub(crate) fn load(&self, kwargs: &[&str]) -> Failure {
        self.register_for_load();
        self.fails("load_model", &self.apply_args(kwargs))
    }

    /// `load_model` must succeed, and building its plan must fail.
    pub(crate) fn build(&self, kwargs: &[&str]) -> Failure {
        self.register_for_load();
        self.fails("build", &self.apply_args(kwargs))
    }

    /// `download_model` must succeed and write only to the store.
    pub(crate) fn downloads(&self) -> Run {
        self.register(self.component);
        self.succeeds(
            &self.download_args(&[]),
            &["home/models", "home/modelzoo.lock"],
        )
    }

    /// The weights must be refused, when they are downloaded or when the model is built. Returns
    /// standard error.
    pub(crate) fn refused_weights(&self) -> String {
        self.register(self.component);
        let args = self.download_args(&[]);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        match self.testbed.world.run(&args).code {
            Some(0) => self.build(&[]).error,
            _ => self.testbed.refuses(1, &args).recorded().stderr,
        }
    }

    /// `load_model` must succeed; nothing is written but the labels.
    pub(crate) fn loads(&self, kwargs: &[&str]) -> Run {
        self.register_for_load();
        self.succeeds(&self.apply_args(kwargs), &["labels.jsonl"])
    }

    /// Like [`Attack::loads`], after `plant` has added files to the model's directory.
    pub(crate) fn loads_among(&self, plant: impl FnOnce(&Path)) -> Run {
        self.register_for_load();
        plant(&self.files_dir());
        self.succeeds(&self.apply_args(&[]), &["labels.jsonl"])
    }

    /// Starts a download, whose output is captured.
    pub(crate) fn start_download(&self, stdin: Stdio) -> Child {
        self.register(self.component);
        let args = self.download_args(&[]);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let mut command = self.testbed.world.command(&args);
        command.stdin(stdin).spawn().unwrap()
    }

    /// The messages of the guest in a run, line by line.
    pub(crate) fn messages(&self, run: &Run) -> Vec<String> {
        self.split(&run.stderr).0
    }

    /// The directory of the downloaded model's files.
    pub(crate) fn files_dir(&self) -> PathBuf {
        let dir = format!("./{}", self.dir);
        let args = ["find", &self.model, "--source", &dir];
        let found = self.testbed.world.ok(&args).stdout;
        Path::new(found.trim_end()).parent().unwrap().to_owned()
    }

    fn succeeds(&self, args: &[String], writes: &[&str]) -> Run {
        let root = self.testbed.world.path(".");
        let writes: Vec<_> = writes.iter().map(|path| root.join(path)).collect();
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let run = self.testbed.watch(&writes, || self.testbed.world.ok(&args));
        assert_terminal_safe(&run.stderr);
        let (messages, own) = self.split(&run.stderr);
        assert_eq!(own.len(), 1, "besides {messages:?}: {own:?}");
        self.testbed.still_works();
        run
    }

    fn fails(&self, hook: &str, args: &[String]) -> Failure {
        let world = &self.testbed.world;
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let recorded = world.audit().len();
        let run = self.testbed.watch(&[], || Run {
            code: Some(1),
            stdout: String::new(),
            stderr: world.refused(1, &args),
        });
        assert_terminal_safe(&run.stderr);
        let (messages, own) = self.split(&run.stderr);
        let (error, hint) = match own.as_slice() {
            [error] => (error, None),
            [error, hint] => (error, Some(hint.strip_prefix("hint: ").expect("a hint"))),
            other => panic!("an error and perhaps a hint, not {other:#?}"),
        };
        let error = error.strip_prefix("error: ").expect("an error");
        assert!(error.len() < 4096, "{} bytes: {error}", error.len());
        let failure = Failure {
            error: error.to_owned(),
            hint: hint.map(str::to_owned),
            messages,
            records: world.audit().split_off(recorded),
        };
        self.check_failure(hook, &failure);
        self.testbed.still_works();
        failure
    }

    /// The error and the audit log name the source, the model and the hook.
    fn check_failure(&self, hook: &str, failure: &Failure) {
        let site = match hook {
            "build" => format!("{} of {} cannot be built: ", self.model, self.id()),
            hook => format!("{hook} of `{}` for `{}` ", self.id(), self.model),
        };
        assert!(failure.error.starts_with(&site), "{failure:#?}");
        for record in &failure.records {
            assert_eq!(record["source"], self.id(), "{record}");
            assert_eq!(record["model"], self.model, "{record}");
        }
        let (event, hook) = match hook {
            "build" => ("refused", None),
            hook => ("hook_failed", Some(hook)),
        };
        let mut failed = failure.records.iter().filter(|r| r["event"] == event);
        let record = failed.next().expect("a record");
        assert_eq!(record["reason"], failure.error);
        assert_eq!(record["hook"].as_str(), hook);
        assert!(failed.next().is_none(), "{failure:#?}");
    }

    /// The messages of the guest without the mark of their source, and those of the host.
    fn split(&self, stderr: &str) -> (Vec<String>, Vec<String>) {
        let mark = format!("[{}] ", self.id());
        let (messages, own): (Vec<_>, Vec<_>) = stderr.lines().partition(|l| l.starts_with(&mark));
        let unmarked = messages.iter().filter_map(|l| l.strip_prefix(&mark));
        (
            unmarked.map(str::to_owned).collect(),
            own.into_iter().map(str::to_owned).collect(),
        )
    }
}

/// How a command was refused.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Standard error.
    pub(crate) stderr: String,
    /// The new records of the audit log.
    pub(crate) records: Vec<Value>,
}

impl Refused {
    /// The reasons in the audit log.
    fn reasons(&self) -> Vec<&Value> {
        let refusals = self
            .records
            .iter()
            .filter(|r| ["refused", "hook_failed"].iter().any(|e| r["event"] == *e));
        refusals.collect()
    }

    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(self.stderr.contains(part), "not `{part}`: {self:#?}");
        self
    }

    /// The audit log records it once.
    #[track_caller]
    pub(crate) fn recorded(self) -> Self {
        assert_eq!(self.reasons().len(), 1, "{self:#?}");
        self
    }
}

/// How a command that ran a hostile hook failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The line of the error.
    pub(crate) error: String,
    pub(crate) hint: Option<String>,
    /// The messages of the guest.
    pub(crate) messages: Vec<String>,
    /// What came into the audit log.
    pub(crate) records: Vec<Value>,
}

impl Failure {
    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(self.error.contains(part), "not `{part}`: {self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn hints(self, part: &str) -> Self {
        let hint = self.hint.as_deref().unwrap_or_default();
        assert!(hint.contains(part), "not `{part}`: {self:#?}");
        self
    }

    /// There is no hint.
    #[track_caller]
    pub(crate) fn no_hint(self) -> Self {
        assert_eq!(self.hint, None, "{self:#?}");
        self
    }

    /// Requests were made and all of them were denied after these URLs were called: the
    /// ones that redirected there.
    #[track_caller]
    pub(crate) fn denied_after(self, called: &[String]) -> Self {
        let requests: Vec<_> = self
            .records
            .iter()
            .filter(|r| r["event"] == "request")
            .collect();
        assert!(!requests.is_empty(), "{self:#?}");
        for request in requests {
            assert_eq!(request["outcome"], "denied", "{request}");
            let hops = request["hops"].as_array().unwrap();
            let urls: Vec<_> = hops
                .iter()
                .map(|hop| hop["url"].as_str().unwrap())
                .collect();
            assert_eq!(urls, called, "{request}");
        }
        self
    }
}

/// A text holds nothing that controls a terminal or is invisible in it.
pub(crate) fn assert_terminal_safe(text: &str) {
    let wild = |c: char| match c {
        '\n' => false,
        '\u{ad}' | '\u{61c}' | '\u{feff}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        c => c.is_control(),
    };
    assert!(!text.contains(wild), "{text:?}");
}
