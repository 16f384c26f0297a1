//! What a confined thread can do. Where the kernel lacks Landlock, the tests say so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use super::{Confinement, ConfinementStatus};

/// Runs `work` on a confined thread; `None` on a machine without confinement.
fn confined<T: Send>(confinement: &Confinement, work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| match confinement.apply().unwrap() {
            ConfinementStatus::Landlock { abi } => {
                assert!(abi >= 2, "{abi}");
                Some(work())
            }
            ConfinementStatus::Missing { reason } => {
                // Past the capture of the test harness, so that nobody takes this for a pass.
                let _ = writeln!(io::stderr(), "SKIPPED, nothing was tested: {reason}");
                None
            }
        });
        thread.join().unwrap()
    })
}

#[track_caller]
fn denied<T>(result: io::Result<T>) {
    match result {
        Ok(_) => panic!("it was allowed"),
        Err(e) => assert_eq!(e.kind(), io::ErrorKind::PermissionDenied, "{e}"),
    }
}

/// A directory with `read`, `write` and `other`, and a file in each.
fn directories() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["read", "write", "other"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("file"), name).unwrap();
    }
    dir
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn only_allowed_paths_are_reachable() {
    let dirs = directories();
    let at = |name: &str| dirs.path().join(name);
    let confinement = Confinement::new()
        .allow_read(at("read"))
        .allow_write(at("write"));
    confined(&confinement, || {
        assert_eq!(read(&at("read/file")).unwrap(), "read");
        assert_eq!(fs::read_dir(at("read")).unwrap().count(), 1);
        denied(fs::write(at("read/file"), ""));
        denied(fs::write(at("read/new"), ""));
        denied(fs::remove_file(at("read/file")));
        denied(fs::rename(at("read/file"), at("write/moved")));

        denied(read(&at("other/file")));
        denied(fs::read_dir(at("other")));
        denied(fs::read_dir(dirs.path()));
        denied(fs::write(at("other/new"), ""));
        denied(fs::create_dir(at("new")));
        denied(read(Path::new("/etc/passwd")));
        denied(fs::rename(at("write/file"), at("other/moved")));

        // What the store does with its own files.
        fs::create_dir_all(at("write/a/b")).unwrap();
        let file = tempfile::NamedTempFile::new_in(at("write")).unwrap();
        file.as_file().set_len(3).unwrap();
        file.persist(at("write/a/b/file")).unwrap();
        fs::write(at("write/a/b/file"), "new").unwrap();
        assert_eq!(read(&at("write/a/b/file")).unwrap(), "new");
        fs::remove_dir_all(at("write/a")).unwrap();

        // What it never does.
        denied(std::os::unix::fs::symlink("/etc", at("write/link")));
        denied(std::os::unix::net::UnixListener::bind(at("write/socket")));
    });
    // Other threads are not confined.
    assert_eq!(read(&at("other/file")).unwrap(), "other");
}

#[test]
fn link_to_elsewhere_is_not_followed() {
    let dirs = directories();
    let at = |name: &str| dirs.path().join(name);
    std::os::unix::fs::symlink(at("other/file"), at("read/link")).unwrap();
    std::os::unix::fs::symlink(at("other"), at("write/link")).unwrap();
    let confinement = Confinement::new()
        .allow_read(at("read"))
        .allow_write(at("write"));
    confined(&confinement, || {
        denied(read(&at("read/link")));
        denied(read(&at("write/link/file")));
        denied(fs::write(at("write/link/file"), ""));
        denied(read(&at("read/../other/file")));
    });
    assert_eq!(read(&at("other/file")).unwrap(), "other");
}

#[test]
fn programs_cannot_be_started_and_privileges_cannot_be_gained() {
    let dirs = directories();
    let confinement = Confinement::new()
        .allow_read("/bin")
        .allow_read("/usr")
        .allow_write(dirs.path());
    confined(&confinement, || {
        denied(Command::new("/bin/true").status());
        let status = fs::read_to_string("/proc/thread-self/status");
        denied(status);
    });
    let confinement = Confinement::new().allow_read("/proc");
    confined(&confinement, || {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    });
}

#[test]
fn threads_of_a_confined_thread_are_confined() {
    let dirs = directories();
    let file = dirs.path().join("other/file");
    confined(&Confinement::new(), || {
        std::thread::scope(|scope| {
            scope.spawn(|| denied(read(&file))).join().unwrap();
        });
    });
}

#[test]
fn ports_are_reachable_only_where_allowed() {
    let ConfinementStatus::Landlock { abi: 4.. } = ConfinementStatus::detect() else {
        let _ = writeln!(
            io::stderr(),
            "SKIPPED, nothing was tested: {} has no rules for ports",
            ConfinementStatus::detect()
        );
        return;
    };
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    confined(&Confinement::new(), || {
        denied(TcpStream::connect(address));
        denied(TcpListener::bind("127.0.0.1:0"));
    });
    confined(&Confinement::new().allow_connect(), || {
        TcpStream::connect(address).unwrap();
        denied(TcpListener::bind("127.0.0.1:0"));
        // Names are resolved, by whatever means the machine has.
        use std::net::ToSocketAddrs as _;
        assert!(("localhost", 80).to_socket_addrs().unwrap().count() > 0);
    });
}

#[test]
fn allowed_path_must_exist() {
    let dirs = directories();
    let missing = dirs.path().join("missing");
    let error = std::thread::spawn(move || Confinement::new().allow_read(missing).apply())
        .join()
        .unwrap();
    assert!(error.is_err() || !ConfinementStatus::detect().is_available());
}
