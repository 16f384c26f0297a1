//! A store that may only be read: somebody else's, or on a disk that is mounted read-only.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use crate::source::{DIGITS, Source, with_digits};
use crate::world::{Run, World};

/// A user without rights, for tests that run as root, whom no permission stops.
const NOBODY: u32 = 65534;

/// A world whose store this test's commands may only read.
struct ReadOnly {
    world: World,
    root: bool,
}

impl ReadOnly {
    /// `own`: the store belongs to the user who runs the commands.
    fn new(own: bool) -> Self {
        let world = with_digits();
        Source::digits().write(&world.path("other"));
        for dir in ["out", "user"] {
            fs::create_dir(world.path(dir)).unwrap();
            fs::set_permissions(world.path(dir), Permissions::from_mode(0o777)).unwrap();
        }
        fs::set_permissions(world.path("."), Permissions::from_mode(0o755)).unwrap();
        let root = fs::metadata(world.path(".")).unwrap().uid() == 0;
        each(&world.home(), &mut |path, is_dir| {
            let mode = if is_dir { 0o555 } else { 0o444 };
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            if root && own {
                chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        });
        Self { world, root }
    }

    fn run(&self, args: &[&str]) -> Run {
        let mut command = self.world.command(args);
        if self.root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.env("HOME", self.world.path("user"));
        Run::from(command.output().unwrap())
    }

    fn ok(&self, args: &[&str]) -> Run {
        let run = self.run(args);
        assert_eq!(run.code, Some(0), "modelzoo {args:?}: {run:#?}");
        run
    }

    /// Every path of the store.
    fn paths(&self) -> BTreeMap<PathBuf, u64> {
        let mut paths = BTreeMap::new();
        each(&self.world.home(), &mut |path, _| {
            paths.insert(path.to_owned(), fs::metadata(path).unwrap().len());
        });
        paths
    }
}

/// So that the directory can be removed.
impl Drop for ReadOnly {
    fn drop(&mut self) {
        each(&self.world.home(), &mut |path, is_dir| {
            let mode = if is_dir { 0o755 } else { 0o644 };
            let _ = fs::set_permissions(path, Permissions::from_mode(mode));
        });
    }
}

/// Calls `then` with every path below a directory, the contents of a directory before it.
fn each(path: &Path, then: &mut impl FnMut(&Path, bool)) {
    let is_dir = path.is_dir();
    for entry in fs::read_dir(path).into_iter().flatten() {
        each(&entry.unwrap().path(), then);
    }
    then(path, is_dir);
}

#[test]
fn store_is_read_without_being_written() {
    for own in [true, false] {
        let store = ReadOnly::new(own);
        let before = store.paths();
        for args in [
            &["list"][..],
            &["list-sources"],
            &["info", DIGITS],
            &["find", DIGITS],
            &["requirements", DIGITS],
            &["inspect", "./source"],
            &["inspect", "./other"],
            &["verify"],
            &["verify", DIGITS],
            &["audit"],
            &["du"],
            &["gc", "--dry-run"],
            &["download", DIGITS],
            &["bundle", "export", "./source", "--output", "out/bundle.tar"],
        ] {
            store.ok(args);
        }
        let doctor = store.ok(&["doctor"]);
        assert!(doctor.stdout.contains("may only be read"), "{doctor:#?}");
        assert_eq!(store.paths(), before);
    }
}

#[test]
fn models_of_the_store_are_applied_to_other_places() {
    for own in [true, false] {
        let store = ReadOnly::new(own);
        let before = store.paths();
        for (args, written) in [
            (
                &["apply", DIGITS, "dataset", "p", "--output", "out/p.jsonl"][..],
                "out/p.jsonl",
            ),
            (
                &["apply", DIGITS, "dataset", "p", "--output", "out/new"],
                "out/new/samples.json",
            ),
            (
                &["embed", DIGITS, "dataset", "v", "--output", "out/v.npy"],
                "out/v.npy",
            ),
        ] {
            store.ok(args);
            assert!(store.world.path(written).is_file(), "{args:?}");
        }
        assert_eq!(store.paths(), before);
        // Nothing is left of what an interrupted run would have needed.
        let results = store.world.path("user/.cache/modelzoo/results");
        assert_eq!(fs::read_dir(results).into_iter().flatten().count(), 0);
    }
}

#[test]
fn what_has_to_write_says_where_it_cannot() {
    let store = ReadOnly::new(false);
    let before = store.paths();
    for args in [
        &["register-source", "./other"][..],
        &["register-source", "./source", "--overwrite"],
        &["update-source", "./source"],
        &["download", DIGITS, "--overwrite"],
        &["delete", DIGITS, "--yes"],
        &["delete-source", "./source", "--yes"],
        &["gc"],
    ] {
        let run = store.run(args);
        assert_eq!(run.code, Some(1), "{args:?}: {run:#?}");
        let error = run.stderr.lines().find(|line| line.starts_with("error: "));
        let error = error.unwrap_or_else(|| panic!("{args:?}: {run:#?}"));
        assert!(error.contains("Permission denied"), "{args:?}: {error}");
        assert!(
            run.stderr.contains("MODELZOO_HOME names that of the store"),
            "{args:?}: {run:#?}"
        );
    }
    assert_eq!(store.paths(), before);
}
