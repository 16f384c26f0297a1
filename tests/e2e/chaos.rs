//! Everything that changes a store, from eight processes at once, some of them killed.
//!
//! Each worker has a source of its own, of which it knows what it must be; the store, its lock and
//! its garbage are everybody's. A command that ends with 0 has done what it says: that is checked
//! at once, while the others go on, and once more at the end, byte for byte.
#![cfg(target_os = "linux")]

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::faults::faulty;
use crate::source::{Source, safetensors};
use crate::world::{Run, World};

const WORKERS: u32 = 8;
/// How long the workers go on.
const DURATION: Duration = Duration::from_secs(20);
/// The changes to the store that a command makes are fewer.
const CHANGES: u32 = 60;
const SEED: u64 = 0x5eed_2026;

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as u32 % end
    }
}

/// What all workers share.
struct Chaos {
    world: World,
    /// Whether locks do something.
    locks: bool,
    commands: AtomicU32,
    killed: AtomicU32,
    losses: Mutex<Vec<String>>,
}

impl Chaos {
    fn new(locks: bool) -> Self {
        Self {
            world: World::new(),
            locks,
            commands: AtomicU32::new(0),
            killed: AtomicU32::new(0),
            losses: Mutex::new(Vec::new()),
        }
    }

    fn command(&self, args: &[&str], kill_at: Option<u32>) -> Command {
        let mut settings = Vec::new();
        if !self.locks {
            settings.push(("FAULT_NO_LOCKS", "1".to_owned()));
        }
        if let Some(at) = kill_at {
            settings.push(("FAULT_AT", at.to_string()));
        }
        faulty(&self.world, args, &settings)
    }

    fn run(&self, args: &[&str]) -> Run {
        self.commands.fetch_add(1, Ordering::Relaxed);
        Run::from(self.command(args, None).output().unwrap())
    }

    fn lost(&self, what: impl fmt::Display) {
        self.losses.lock().unwrap().push(what.to_string());
    }

    /// The trees that the lock names, by the paths of their directories.
    fn locked(&self) -> Vec<(PathBuf, String)> {
        let lock = std::fs::read_to_string(self.world.home().join("modelzoo.lock"));
        let lock = lock.unwrap_or_default();
        let value = |entry: &str, key: &str| {
            let line = entry.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap().trim_matches('"').to_owned()
        };
        let entries = lock.split("[[source]]").skip(1);
        entries
            .map(|entry| {
                let id = value(entry, "id = ");
                let path = id.strip_prefix("file:").unwrap();
                (path.into(), value(entry, "tree = "))
            })
            .collect()
    }
}

/// One of those who change the store.
struct Worker<'a> {
    chaos: &'a Chaos,
    name: String,
    random: Random,
    /// The version in the source's directory.
    version: u32,
    registered: bool,
    /// Whether the model of this version is downloaded.
    downloaded: bool,
}

impl<'a> Worker<'a> {
    fn new(chaos: &'a Chaos, number: u32) -> Self {
        let mut worker = Self {
            chaos,
            name: format!("s{number}"),
            random: Random(SEED ^ u64::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            version: 0,
            registered: false,
            downloaded: false,
        };
        worker.write_next();
        worker
    }

    fn dir(&self) -> PathBuf {
        self.chaos.world.path(&self.name)
    }

    fn reference(&self) -> String {
        format!("./{}", self.name)
    }

    fn model(&self) -> String {
        format!("test/{}@{}", self.name, self.version)
    }

    /// The weights of the present version; no other has the same.
    fn weights(&self) -> Vec<u8> {
        let length = 2000 + 500 * self.version as usize % 7;
        let line = format!("{} {} ", self.name, self.version);
        safetensors(&line.bytes().cycle().take(length).collect::<Vec<_>>())
    }

    /// Publishes the next version of the source in its directory.
    fn write_next(&mut self) {
        self.version += 1;
        let (base, version) = (format!("test/{}", self.name), self.version.to_string());
        Source::new(test_artifacts::OK_COPY)
            .file("weights.safetensors", self.weights())
            .manifest(|m| {
                m["models"][0]["base_name"] = json!(base);
                m["models"][0]["version"] = json!(version);
            })
            .write(&self.dir());
    }

    /// Runs a command on this worker's source; false if it was killed.
    fn change(&mut self, args: &[&str]) -> bool {
        let chaos = self.chaos;
        chaos.commands.fetch_add(1, Ordering::Relaxed);
        let (at, wait) = (1 + self.random.below(CHANGES), self.random.below(120));
        let output = match self.random.below(6) {
            0 => chaos.command(args, Some(at)).output(),
            1 => chaos.command(args, None).spawn().and_then(|mut child| {
                std::thread::sleep(Duration::from_millis(wait.into()));
                let _ = child.kill();
                child.wait_with_output()
            }),
            _ => chaos.command(args, None).output(),
        };
        let run = Run::from(output.unwrap());
        if run.code.is_none() {
            chaos.killed.fetch_add(1, Ordering::Relaxed);
        } else if run.code != Some(0) {
            chaos.lost(format!("{args:?} failed: {}", run.stderr));
        }
        run.code == Some(0)
    }

    /// After a command that was killed: registers what is there, which puts everything right.
    fn recover(&mut self) {
        let run = (self.chaos).run(&["register-source", &self.reference(), "--overwrite"]);
        if run.code != Some(0) {
            let name = &self.name;
            self.chaos
                .lost(format!("{name} stays broken: {}", run.stderr));
        }
        self.registered = true;
        // Whatever is left of the model, this makes it whole.
        let run = self.chaos.run(&["download", &self.model()]);
        if run.code != Some(0) {
            let name = &self.name;
            self.chaos
                .lost(format!("{name} stays broken: {}", run.stderr));
        }
        self.downloaded = true;
    }

    /// Runs a command and, when it was not killed, notes what it leads to and checks it.
    fn then(&mut self, args: &[&str], registered: bool, downloaded: bool) {
        if self.change(args) {
            self.registered = registered;
            self.downloaded = downloaded;
        } else {
            self.recover();
        }
        self.check(&args.join(" "));
    }

    fn step(&mut self) {
        let (reference, model) = (self.reference(), self.model());
        match self.random.below(12) {
            0..=2 => {
                self.write_next();
                let args = ["register-source", &reference, "--overwrite"];
                self.then(&args, true, false);
            }
            3 if self.registered => {
                self.write_next();
                self.then(&["update-source", &reference], true, false);
            }
            4 if self.registered => self.then(&["download", &model], true, true),
            5 if self.registered => {
                let args = ["download", &model, "--overwrite"];
                self.then(&args, true, true);
            }
            6 if self.downloaded => {
                self.then(&["delete", &model, "-y"], true, false);
            }
            7 if self.registered => {
                let args = ["delete-source", &reference, "-y"];
                self.then(&args, false, false);
            }
            8 if self.downloaded => self.move_by_bundle(),
            9 if self.downloaded => self.repair(),
            10 => _ = self.change(&["gc"]),
            _ => {
                // One that is just being changed by another worker can be reported.
                let run = self.chaos.run(&["verify"]);
                if !matches!(run.code, Some(0 | 1)) || run.stderr.contains("panicked") {
                    self.chaos.lost(format!("verify: {run:?}"));
                }
            }
        }
    }

    /// Exports the source, deletes it, and imports it.
    fn move_by_bundle(&mut self) {
        let (reference, bundle) = (self.reference(), format!("{}.tar", self.name));
        let _ = std::fs::remove_file(self.chaos.world.path(&bundle));
        let export = ["bundle", "export", &reference, "--output", &bundle];
        let exported = self.chaos.run(&export);
        if exported.code != Some(0) {
            self.chaos.lost(format!("{export:?}: {}", exported.stderr));
            return;
        }
        self.then(&["delete-source", &reference, "-y"], false, false);
        if !self.registered {
            self.then(&["bundle", "import", &bundle], true, true);
        }
    }

    /// Damages the model and has it repaired.
    fn repair(&mut self) {
        let model = self.model();
        if let Some(path) = self.found() {
            std::fs::write(path, "damaged").unwrap();
            self.then(&["verify", &model, "--repair"], true, true);
        }
    }

    /// The file of the model, if it is downloaded.
    fn found(&self) -> Option<PathBuf> {
        let run = self.chaos.run(&["find", &self.model()]);
        (run.code == Some(0)).then(|| run.stdout.trim_end().into())
    }

    /// Checks what is known of the source and its model.
    fn check(&self, after: &str) {
        let lost = |what: &str| {
            let worker = format!("{} at version {}", self.name, self.version);
            self.chaos
                .lost(format!("{worker}, after `{after}`: {what}"));
        };
        let dir = self.dir().canonicalize().unwrap();
        let locked = self.chaos.locked();
        match locked.iter().find(|(path, _)| *path == dir) {
            Some(_) if !self.registered => lost("the source is still there"),
            None if self.registered => lost("the source is not registered"),
            Some((_, tree)) => match self.snapshot(tree) {
                Some(snapshot) if same_files(&dir, &snapshot) => {}
                Some(_) => lost("the snapshot has other files"),
                None => lost("the snapshot is gone"),
            },
            None => {}
        }
        match (self.downloaded, self.found()) {
            (true, None) => lost("the model is gone"),
            (false, Some(_)) => lost("the model is still there"),
            (true, Some(path)) if !is(&path, &self.weights()) => {
                lost("the model has other bytes");
            }
            _ => {}
        }
    }

    fn snapshot(&self, tree: &str) -> Option<PathBuf> {
        let sources = std::fs::read_dir(self.chaos.world.home().join("sources")).ok()?;
        let mut snapshots = sources.map(|source| source.unwrap().path().join(&tree[..32]));
        snapshots.find(|snapshot| snapshot.is_dir())
    }
}

fn is(path: &Path, bytes: &[u8]) -> bool {
    std::fs::read(path).is_ok_and(|read| read == bytes)
}

/// Whether a directory has exactly the files of another.
fn same_files(wanted: &Path, found: &Path) -> bool {
    let names = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let same = |name| {
        is(
            &found.join(name),
            &std::fs::read(wanted.join(name)).unwrap(),
        )
    };
    names(wanted) == names(found) && names(wanted).iter().all(same)
}

fn chaos(locks: bool) {
    let chaos = Chaos::new(locks);
    // The component is compiled once, and not while others want it.
    let mut first = Worker::new(&chaos, 0);
    for args in [
        ["register-source", &first.reference()],
        ["download", &first.model()],
    ] {
        let run = chaos.run(&args);
        assert_eq!(run.code, Some(0), "{run:#?}");
    }
    (first.registered, first.downloaded) = (true, true);
    let others = (1..WORKERS).map(|number| Worker::new(&chaos, number));
    let mut workers: Vec<_> = std::iter::once(first).chain(others).collect();
    let end = Instant::now() + DURATION;
    std::thread::scope(|scope| {
        for worker in &mut workers {
            scope.spawn(move || {
                while Instant::now() < end {
                    worker.step();
                }
            });
        }
    });
    for args in [&["verify"], &["gc"], &["verify"]] {
        for worker in &workers {
            worker.check("the end");
        }
        let run = chaos.run(args);
        if run.code != Some(0) {
            chaos.lost(format!("{args:?} at the end: {run:#?}"));
        }
    }
    let losses = chaos.losses.lock().unwrap().clone();
    eprintln!(
        "{} commands, {} of them killed, {} losses",
        chaos.commands.load(Ordering::Relaxed),
        chaos.killed.load(Ordering::Relaxed),
        losses.len()
    );
    assert!(losses.is_empty(), "{losses:#?}");
    let registered = workers.iter().filter(|worker| worker.registered).count();
    assert_eq!(chaos.locked().len(), registered);
    // Without locks, a file that does not say yet whose it is stays for a while.
    let unfinished = chaos.world.unfinished();
    let mut unfinished = unfinished.iter().filter(|path| locks || !is(path, b""));
    assert_eq!(unfinished.next(), None);
}

#[test]
fn nothing_is_lost_among_killed_commands() {
    chaos(true);
}

#[test]
fn nothing_is_lost_among_killed_commands_without_locks() {
    chaos(false);
}
