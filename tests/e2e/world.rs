//! A fresh store for each test, in which the binary runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::server::Server;

/// A secret that every command has in its environment and that must not appear in any output, in any
/// file of its world, or in any request except to GitHub's API.
pub(crate) const CANARY: &str = "ghp_canary4d1f0b7e";

/// The environment variables that hold it.
const SECRETS: &[&str] = &["GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN"];

/// A temporary directory with a store, sources, datasets and settings.
pub(crate) struct World {
    dir: TempDir,
    env: BTreeMap<String, String>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
            env: SECRETS
                .iter()
                .map(|name| ((*name).to_owned(), CANARY.to_owned()))
                .collect(),
        }
    }

    /// A world whose settings allow these servers on loopback.
    pub(crate) fn reaching(servers: &[&Server]) -> Self {
        let allowed: Vec<_> = servers.iter().map(|s| s.authority()).collect();
        Self::new().env("MODELZOO_ALLOW_PRIVATE", &allowed.join(","))
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// A path in this world.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_modelzoo"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("MODELZOO_HOME", self.home())
            .envs(&self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        Run::from(self.command(args).output().unwrap())
    }

    /// Runs a command that must succeed.
    pub(crate) fn ok(&self, args: &[&str]) -> Run {
        let run = self.run(args);
        assert_eq!(run.code, Some(0), "modelzoo {args:?}: {run:#?}");
        run
    }

    /// Runs a command that must succeed, and reads the JSON that it prints.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let run = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.stdout))
    }

    /// Runs a command that must fail with an exit status, and leave the registry and the models
    /// unchanged. Returns standard error.
    pub(crate) fn refused(&self, code: i32, args: &[&str]) -> String {
        let before = self.visible();
        let run = self.run(args);
        assert_eq!(run.code, Some(code), "modelzoo {args:?}: {run:#?}");
        assert_eq!(run.stdout, "", "a failure prints no data");
        // Panics of the host's own threads; messages of a guest are marked with its source.
        assert!(
            !run.stderr.contains("\nthread '") && !run.stderr.starts_with("thread '"),
            "{}",
            run.stderr
        );
        assert_eq!(
            self.visible(),
            before,
            "a failure changes nothing that is visible"
        );
        run.stderr
    }

    /// Everything in the store that a later command would see, with its contents.
    pub(crate) fn visible(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for part in ["modelzoo.lock", "sources", "models"] {
            collect(&self.home().join(part), &mut files);
        }
        files
    }

    /// Runs the command that a hint on standard error suggests, which must succeed.
    pub(crate) fn hinted(&self, stderr: &str) -> Run {
        let hint = stderr.lines().find_map(|line| line.strip_prefix("hint: "));
        let hint = hint.unwrap_or_else(|| panic!("no hint: {stderr}"));
        let mut spans = hint.split('`').skip(1).step_by(2);
        let command = spans.find_map(|span| span.strip_prefix("modelzoo "));
        let command = command.unwrap_or_else(|| panic!("no command: {hint}"));
        // As a shell splits words, as far as quotes of one kind go.
        let words: Vec<&str> = command
            .split('\'')
            .enumerate()
            .flat_map(|(n, part)| match n % 2 {
                1 => vec![part],
                _ => part.split_whitespace().collect(),
            })
            .collect();
        self.ok(&words)
    }

    /// Changes the lock by hand, and accepts it.
    pub(crate) fn edit_lock(&self, change: impl FnOnce(&str) -> String) {
        let path = self.home().join("modelzoo.lock");
        let text = std::fs::read_to_string(&path).unwrap();
        let changed = change(&text);
        assert_ne!(changed, text, "nothing was changed");
        std::fs::write(&path, changed).unwrap();
        self.ok(&["verify", "--accept-lock"]);
    }

    /// The files of staging other than locks and resumable downloads.
    pub(crate) fn unfinished(&self) -> Vec<PathBuf> {
        let mut files = BTreeMap::new();
        collect(&self.home().join("staging"), &mut files);
        let kept =
            |p: &PathBuf| p.ends_with("registry.lock") || p.iter().any(|part| part == "partials");
        files.into_keys().filter(|p| !kept(p)).collect()
    }

    /// The audit log's records.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.home().join("audit.jsonl")).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The output of a run for snapshots, without what varies between runs.
    pub(crate) fn transcript(&self, run: &Run) -> String {
        let text = format!(
            "exit: {}\n--- stdout\n{}--- stderr\n{}",
            run.code.map_or("signal".into(), |c| c.to_string()),
            run.stdout,
            run.stderr
        );
        let root = self.dir.path().canonicalize().unwrap();
        text.replace(root.to_str().unwrap(), "[WORLD]")
            .replace(self.dir.path().to_str().unwrap(), "[WORLD]")
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        for stream in [&output.stdout, &output.stderr] {
            assert!(!repeats_the_canary(stream), "{output:?}");
        }
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut files = BTreeMap::new();
        collect(self.dir.path(), &mut files);
        for (path, bytes) in files {
            let shown = path.display();
            assert!(
                !repeats_the_canary(&bytes),
                "the secret of the environment is in {shown}"
            );
        }
    }
}

/// Whether bytes hold the secret of the environment.
pub(crate) fn repeats_the_canary(bytes: &[u8]) -> bool {
    let secret = CANARY.as_bytes();
    let starts = |at: &usize| bytes[*at..].starts_with(secret);
    let firsts = bytes.iter().enumerate().filter(|(_, b)| **b == secret[0]);
    firsts.map(|(at, _)| at).any(|at| starts(&at))
}

/// Regular files only: links are not followed and pipes are not opened.
fn collect(path: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return;
    };
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), files);
        }
    } else if metadata.is_file()
        && let Ok(bytes) = std::fs::read(path)
    {
        files.insert(path.to_owned(), bytes);
    }
}
