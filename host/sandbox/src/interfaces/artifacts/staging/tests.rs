use std::fs;

use super::*;
use crate::interfaces::types::Error;

struct Fixture {
    dir: tempfile::TempDir,
    staging: Staging,
}

fn fixture(max_bytes: u64, max_files: u64) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    for name in ["model", "source", "source/sub"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("source/sub/file"), "0123456789").unwrap();
    let limits = Limits {
        staging_bytes: max_bytes,
        staging_files: max_files,
        ..Limits::default()
    };
    let staging = Staging::new(
        &dir.path().join("model"),
        &dir.path().join("source"),
        &limits,
    );
    Fixture {
        staging: staging.unwrap(),
        dir,
    }
}

fn name(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

impl Fixture {
    fn write(&mut self, to: &str, contents: &str) -> Result<Artifact> {
        self.staging.write(&name(to), contents.as_bytes())
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.dir.path().join("model").join(file)).unwrap()
    }

    fn listed(&self) -> Vec<(String, u64)> {
        let files = self.staging.list();
        files.iter().map(|f| (f.name.to_string(), f.size)).collect()
    }

    /// The files on the disk agree with the table, and `base` is there.
    fn agrees(&self, base: &str) {
        assert_eq!(self.staging.verify(base).unwrap(), Ok(()));
    }
}

fn digest(contents: &str) -> String {
    hex::encode(Sha256::digest(contents))
}

fn is_invalid<T: std::fmt::Debug>(result: &Result<T>) -> bool {
    matches!(
        result,
        Err(Refusal {
            error: Error::InvalidInput(_),
            ..
        })
    )
}

fn is_missing<T: std::fmt::Debug>(result: &Result<T>) -> bool {
    matches!(
        result,
        Err(Refusal {
            error: Error::NotFound(_),
            ..
        })
    )
}

fn limit<T: std::fmt::Debug>(result: Result<T>) -> Limit {
    result.unwrap_err().cause.limit.unwrap().0
}

#[test]
fn files_are_written_replaced_and_appended_to() {
    let mut w = fixture(1000, 10);
    assert_eq!(w.write("a/b", "one").unwrap().sha256, digest("one"));
    assert_eq!(w.write("a/b", "three").unwrap().sha256, digest("three"));
    let added = w.staging.append(&name("a/b"), b" four").unwrap();
    assert_eq!((added.size, added.sha256), (10, digest("three four")));
    let made = w.staging.append(&name("c"), b"new").unwrap();
    assert_eq!(made.sha256, digest("new"));
    assert_eq!(w.read("a/b"), "three four");
    assert_eq!(w.listed(), [("a/b".to_owned(), 10), ("c".to_owned(), 3)]);
    w.agrees("a");
    w.agrees("/model/a/b");
}

#[test]
fn appending_to_a_file_hashed_elsewhere_hashes_it_again() {
    let mut w = fixture(1000, 10);
    let file = w.staging.temporary().unwrap();
    fs::write(file.path(), "down").unwrap();
    let sha256 = Sha256::digest("down").into();
    w.staging
        .adopt(file.into_temp_path(), &name("d"), 4, sha256)
        .unwrap();
    let added = w.staging.append(&name("d"), b"loaded").unwrap();
    assert_eq!((added.size, added.sha256), (10, digest("downloaded")));
    w.agrees("d");
}

#[test]
fn source_files_are_copied() {
    let mut w = fixture(1000, 10);
    let copied = w
        .staging
        .copy_from_source(&name("sub/file"), &name("x/y"))
        .unwrap();
    assert_eq!((copied.size, copied.sha256), (10, digest("0123456789")));
    assert_eq!(w.read("x/y"), "0123456789");
    assert!(is_missing(
        &w.staging.copy_from_source(&name("none"), &name("z"))
    ));
    assert!(
        w.staging
            .copy_from_source(&name("sub"), &name("z"))
            .is_err()
    );
    w.agrees("x");
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    use std::os::unix::fs::symlink;
    let mut w = fixture(1000, 10);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "canary").unwrap();
    let source = w.dir.path().join("source");
    symlink(outside.path(), source.join("dir")).unwrap();
    symlink(outside.path().join("file"), source.join("link")).unwrap();
    assert!(
        w.staging
            .copy_from_source(&name("dir/file"), &name("x"))
            .is_err()
    );
    assert!(
        w.staging
            .copy_from_source(&name("link"), &name("x"))
            .is_err()
    );

    // A guest cannot create these, but another process could.
    let model = w.dir.path().join("model");
    symlink(outside.path(), model.join("d")).unwrap();
    symlink(outside.path().join("file"), model.join("f")).unwrap();
    assert!(w.write("d/file", "changed").is_err());
    w.write("f", "own").unwrap();
    assert!(w.staging.append(&name("d/new"), b"changed").is_err());
    assert_eq!(
        fs::read_to_string(outside.path().join("file")).unwrap(),
        "canary"
    );
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(w.read("f"), "own");
    assert!(
        w.staging.verify("f").unwrap().is_err(),
        "the link was not written by the hook"
    );
}

#[test]
fn files_are_renamed_and_removed() {
    let mut w = fixture(1000, 10);
    w.write("a", "A").unwrap();
    w.write("deep/er/b", "B").unwrap();
    // A file becomes a directory, and the other way round.
    w.staging.rename(&name("a"), &name("a/a")).unwrap();
    assert_eq!(w.read("a/a"), "A");
    w.staging.rename(&name("a/a"), &name("a")).unwrap();
    assert_eq!(w.read("a"), "A");
    // Onto another file, which is replaced; directories that are empty then are removed.
    let renamed = w.staging.rename(&name("deep/er/b"), &name("a")).unwrap();
    assert_eq!(renamed.sha256, digest("B"));
    assert!(!w.dir.path().join("model/deep").exists());
    assert_eq!(w.listed(), [("a".to_owned(), 1)]);
    // In place, and in another case.
    w.staging.rename(&name("a"), &name("a")).unwrap();
    w.staging.rename(&name("a"), &name("A")).unwrap();
    assert_eq!(w.listed(), [("A".to_owned(), 1)]);
    w.agrees("A");
    assert!(is_missing(&w.staging.rename(&name("a"), &name("b"))));
    w.staging.remove(&name("A")).unwrap();
    assert!(is_missing(&w.staging.remove(&name("A"))));
    assert_eq!(w.listed(), []);
    assert_eq!(w.staging.free(), 1000);
    assert!(w.staging.verify("A").unwrap().is_err());
}

#[test]
fn names_equal_on_some_file_system_are_refused() {
    let mut w = fixture(1000, 100);
    w.write("Model/x", "").unwrap();
    w.write("caf\u{e9}", "").unwrap();
    w.write("q", "").unwrap();
    for other in [
        "model/x",
        "model/y",
        "MODEL",
        "Model",
        "Model/X",
        "Model/x/y",
        "CAF\u{c9}",
        "cafe\u{301}",
        "cafe\u{301}/x",
    ] {
        assert!(is_invalid(&w.write(other, "")), "{other}");
        assert!(
            is_invalid(&w.staging.rename(&name("q"), &name(other))),
            "{other}"
        );
    }
    w.write("Model/y", "").unwrap();
    assert_eq!(w.listed().len(), 4);
    w.agrees("Model");
}

#[test]
fn reserved_names_are_refused() {
    let mut w = fixture(1000, 100);
    assert!(is_invalid(&w.write(".modelzoo-x", "")));
    assert!(is_invalid(&w.write(".modelzoo-x/y", "")));
    w.write("x/.modelzoo", "").unwrap();
}

#[test]
fn bytes_and_files_are_limited() {
    let mut w = fixture(10, 3);
    w.write("a", "0123456").unwrap();
    assert_eq!(limit(w.write("b", "0123")), Limit::StagingBytes);
    assert_eq!(
        limit(w.staging.append(&name("a"), b"0123")),
        Limit::StagingBytes
    );
    let copy = w.staging.copy_from_source(&name("sub/file"), &name("c"));
    assert_eq!(limit(copy), Limit::StagingBytes);
    // A replaced file does not count.
    w.write("a", "0123456789").unwrap();
    w.write("b", "").unwrap();
    w.write("c", "").unwrap();
    assert_eq!(limit(w.write("d", "")), Limit::StagingFiles);
    w.write("c", "").unwrap();
    w.staging.remove(&name("c")).unwrap();
    w.write("d", "").unwrap();
    assert_eq!(w.read("a"), "0123456789");
    w.agrees("a");
}

#[test]
fn verify_reports_foreign_and_changed_files() {
    let mut w = fixture(100, 10);
    w.write("a/b", "x").unwrap();
    let model = w.dir.path().join("model");
    fs::write(model.join("other"), "").unwrap();
    assert!(
        w.staging
            .verify("a")
            .unwrap()
            .unwrap_err()
            .contains("`other`")
    );
    fs::remove_file(model.join("other")).unwrap();
    fs::write(model.join("a/b"), "longer").unwrap();
    assert!(
        w.staging
            .verify("a")
            .unwrap()
            .unwrap_err()
            .contains("`a/b`")
    );
    fs::remove_file(model.join("a/b")).unwrap();
    assert!(w.staging.verify("a").unwrap().is_err());
}

#[test]
fn non_empty_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x"), "").unwrap();
    assert!(Staging::new(dir.path(), dir.path(), &Limits::default()).is_err());
}
