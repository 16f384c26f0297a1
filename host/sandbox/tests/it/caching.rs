//! Compiled components that are kept.

use std::fs;
use std::path::Path;
#[cfg(unix)]
use std::path::PathBuf;

use modelzoo_sandbox::{Engine, HookError, Limits};

use crate::guest::{Guest, load};

fn engine(dir: &Path) -> Engine {
    Engine::new(Some(dir), Limits::default()).unwrap()
}

fn good() -> Vec<u8> {
    Guest::loader("(call $fail (i32.const 9) (i32.const 16) (i32.const 1))").bytes()
}

/// The compiled components below a cache directory.
#[cfg(unix)]
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for bucket in fs::read_dir(dir).unwrap() {
        let bucket = bucket.unwrap().path();
        let name = bucket.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("components-v1-48."), "{name}");
        for entry in fs::read_dir(bucket).unwrap() {
            let entry = entry.unwrap().path();
            if entry.extension().is_some_and(|e| e == "cwasm") {
                found.push(entry);
            }
        }
    }
    found.sort();
    found
}

#[cfg(unix)]
fn inode(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).unwrap().ino()
}

async fn works(dir: &Path) {
    let engine = engine(dir);
    let component = engine.load(&good()).unwrap();
    let error = load(&engine, &component).await.error();
    assert!(matches!(error, HookError::Guest { .. }), "{error:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn second_load_uses_the_cached_component() {
    let dir = tempfile::tempdir().unwrap();
    works(dir.path()).await;
    let [entry] = entries(dir.path()).try_into().unwrap();
    let before = inode(&entry);
    works(dir.path()).await;
    assert_eq!(entries(dir.path()), std::slice::from_ref(&entry));
    assert_eq!(
        inode(&entry),
        before,
        "an entry is written only when it is missing"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn foreign_or_damaged_entry_is_compiled_again() {
    let other = tempfile::tempdir().unwrap();
    works(other.path()).await;
    let [foreign] = entries(other.path()).try_into().unwrap();
    let foreign = fs::read(foreign).unwrap();

    let dir = tempfile::tempdir().unwrap();
    works(dir.path()).await;
    let [entry] = entries(dir.path()).try_into().unwrap();
    let own = fs::read(&entry).unwrap();

    let mut flipped = own.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let mut trailer = own.clone();
    let in_mac = trailer.len() - 20;
    trailer[in_mac] ^= 1;
    for (what, bytes) in [
        ("made with another key", foreign),
        ("a flipped bit", flipped),
        ("a flipped bit in the seal", trailer),
        ("cut off", own[..own.len() - 1].to_vec()),
        ("cut off early", own[..own.len() / 2].to_vec()),
        ("without a seal", own[..own.len() - 40].to_vec()),
        ("short", vec![0; 10]),
        ("empty", Vec::new()),
        ("longer", [&own[..], &[0]].concat()),
    ] {
        fs::write(&entry, &bytes).unwrap();
        let planted = inode(&entry);
        works(dir.path()).await;
        assert_ne!(inode(&entry), planted, "{what} was used");
        let now = fs::read(&entry).unwrap();
        assert_ne!(now, bytes, "{what} was left");
    }

    // An entry under the name of another component is not that component.
    let another = Guest::loader("(call $fail (i32.const 9) (i32.const 8) (i32.const 2))").bytes();
    fs::remove_file(&entry).unwrap();
    engine(dir.path()).load(&another).unwrap();
    let [moved] = entries(dir.path()).try_into().unwrap();
    fs::rename(moved, &entry).unwrap();
    let planted = inode(&entry);
    works(dir.path()).await;
    assert_ne!(inode(&entry), planted);

    // Nor is a link, whatever it points to.
    fs::rename(&entry, dir.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), &entry).unwrap();
    works(dir.path()).await;
    assert!(!fs::symlink_metadata(&entry).unwrap().is_symlink());
}

#[tokio::test]
async fn unusable_cache_directory_is_not_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    works(&file).await;
    works(&file.join("below")).await;
}

#[test]
fn file_over_the_size_limit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("source.wasm");
    let bytes = good();
    fs::write(&path, &bytes).unwrap();
    let engine = Engine::new(
        None,
        Limits {
            component_bytes: bytes.len() as u64,
            ..Limits::default()
        },
    )
    .unwrap();
    assert_eq!(
        engine.load_file(&path).unwrap().info().size,
        bytes.len() as u64
    );
    fs::write(&path, [bytes.as_slice(), &[0]].concat()).unwrap();
    let error = engine.load_file(&path).unwrap_err();
    assert!(error.to_string().contains("at most"), "{error}");
    let error = engine.load_file(&dir.path().join("none")).unwrap_err();
    assert!(error.to_string().starts_with("cannot read"), "{error}");
}
