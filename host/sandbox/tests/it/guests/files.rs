//! Guests that use files outside of their directories, or write none.

use modelzoo_sandbox::{GuestErrorKind, HookError};

use super::world::{MODEL_FILE, guest, tar};
use crate::server::Server;

#[test]
pub(crate) fn bad_names() {
    let server = Server::serving(b"x".to_vec());
    let guest = || guest(test_artifacts::BAD_NAMES).file("archive.bin", tar(&[("file", b"x")]));
    let with_download = guest()
        .granting(server.origin())
        .file("url.txt", server.url("/"));
    for run in [guest().download(), with_download.download()] {
        let left: Vec<_> = run
            .model_dir
            .path()
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left.len(), 2, "{left:?}");
        let (kind, message) = run.guest_error();
        assert_eq!(kind, GuestErrorKind::InvalidInput, "{message}");
        // The last of the names is a megabyte long.
        assert!(message.len() < 1000, "{message}");
    }
    assert_eq!(server.requests(), 0);
}

#[test]
pub(crate) fn bad_write_fs() {
    let guest = guest(test_artifacts::BAD_WRITE_FS).file("manifest.json", "{}");
    let run = guest.download();
    assert_eq!(run.names(), [MODEL_FILE], "{:?}", run.result);
    let run = guest.load_from(run.model_dir);
    assert!(run.result.is_ok(), "{:?}", run.result);
    let left = std::fs::read(run.model_dir.path().join(MODEL_FILE)).unwrap();
    assert_eq!(left, test_artifacts::tiny_weights());
    assert_eq!(run.model_dir.path().read_dir().unwrap().count(), 1);
}

/// A directory with links that point out of it, and the files that must not change.
#[cfg(unix)]
#[test]
pub(crate) fn bad_links() {
    use std::os::unix::fs::symlink;

    let guest = guest(test_artifacts::BAD_LINKS);
    let run = guest.download();
    assert_eq!(run.names(), [MODEL_FILE], "{:?}", run.result);
    let outside = tempfile::tempdir().unwrap();
    std::fs::create_dir(outside.path().join("deeper")).unwrap();
    let file = outside.path().join("outside");
    std::fs::write(&file, "outside").unwrap();
    let dir = run.model_dir.path();
    for (link, target) in [
        ("file", file.as_path()),
        ("up", "../../../../../../../etc/hostname".as_ref()),
        ("dir", outside.path()),
        ("dotdot", "..".as_ref()),
        ("round", "round".as_ref()),
        ("nowhere", "/nowhere/outside".as_ref()),
    ] {
        symlink(target, dir.join(link)).unwrap();
    }
    let run = guest.load_from(run.model_dir);
    assert!(run.result.is_ok(), "{:?}", run.result);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "outside");
    assert_eq!(outside.path().read_dir().unwrap().count(), 2);
}

#[cfg(not(unix))]
pub(crate) fn bad_links() {}

#[test]
pub(crate) fn bad_nothing() {
    for case in ["nothing", "beside", "removed"] {
        let error = guest(test_artifacts::BAD_NOTHING)
            .case(case)
            .download()
            .error();
        assert!(
            matches!(error, HookError::BadAnswer { .. }),
            "{case}: {error:?}"
        );
        assert!(error.to_string().contains(MODEL_FILE), "{case}: {error}");
    }
}
