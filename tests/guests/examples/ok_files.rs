//! Uses every function of `artifacts`: writes, appends, copies, renames, removes, lists, and unpacks
//! the archive at the URL in `url.txt`. It checks what it reads through its file system against what
//! the host returns, and fails if they differ.
//!
//! It leaves behind the model's file, `labels.txt`, and the archive's files in `unpacked`.

use std::collections::BTreeMap;
use std::path::Path;

use modelzoo_guest::prelude::*;
use test_guests::{FetchTarget, copy_weights, tiny_plan};

struct Guest;

impl Source for Guest {
    fn download_model(_: &str, model_path: &ModelPath) -> Result<()> {
        copy_weights(model_path)?;

        artifacts::write("labels.txt", "wrong")?;
        artifacts::write("labels.txt", "dark\n")?;
        artifacts::append("labels.txt", "light\n")?;
        expect_text("labels.txt", "dark\nlight\n")?;

        artifacts::append("draft/notes.txt", "a note")?;
        artifacts::rename("draft/notes.txt", "notes.txt")?;
        expect_text("notes.txt", "a note")?;
        artifacts::remove("notes.txt")?;
        match artifacts::remove("notes.txt") {
            Err(Error::NotFound(_)) => {}
            other => return Err(Error::other(format_args!("removed twice: {other:?}"))),
        }

        let archive = FetchTarget::read()?.request().download("archive.bin")?;
        let unpacked = artifacts::extract(&archive)
            .strip_root()
            .remove_archive()
            .into_dir("unpacked")?;
        for artifact in &unpacked {
            info!("unpacked {} ({} bytes)", artifact.name, artifact.size);
        }
        compare()
    }

    fn load_model(_: &str, model_path: &ModelPath, kwargs: Kwargs) -> Result<Plan> {
        kwargs.refuse_all()?;
        expect_text("labels.txt", "dark\nlight\n")?;
        tiny_plan(model_path)
    }
}

fn expect_text(name: &str, want: &str) -> Result<()> {
    let path = ModelPath::new(modelzoo_guest::MODEL_DIR, name);
    let got = std::fs::read_to_string(&path).context(name)?;
    if got != want {
        return Err(Error::mismatch(format_args!("{name} reads {got:?}")));
    }
    Ok(())
}

/// Checks the host's list against the guest's directory.
fn compare() -> Result<()> {
    let listed: BTreeMap<String, u64> = artifacts::list()
        .into_iter()
        .map(|artifact| (artifact.name.to_string(), artifact.size))
        .collect();
    let mut seen = BTreeMap::new();
    walk(Path::new(modelzoo_guest::MODEL_DIR), "", &mut seen)?;
    if listed != seen {
        return Err(Error::mismatch(format_args!(
            "the host lists {listed:?}, the directory has {seen:?}"
        )));
    }
    Ok(())
}

fn walk(directory: &Path, prefix: &str, files: &mut BTreeMap<String, u64>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.insert(name, entry.metadata()?.len());
        }
    }
    Ok(())
}

modelzoo_guest::export!(Guest);
