//! What a thread can do behind the wall. Where the kernel has none, the tests say so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use super::{Wall, WallStatus};

/// Does `work` behind `wall`; `None` on a machine without one.
fn behind<T: Send>(wall: &Wall, work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| match wall.raise().unwrap() {
            WallStatus::Landlock { abi } => {
                assert!(abi >= 2, "{abi}");
                Some(work())
            }
            WallStatus::Missing { reason } => {
                // Past the capture of the test harness: nobody should take this for a pass.
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
fn house() -> tempfile::TempDir {
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
fn only_what_is_left_can_be_reached() {
    let house = house();
    let at = |name: &str| house.path().join(name);
    let wall = Wall::new().read(at("read")).write(at("write"));
    behind(&wall, || {
        assert_eq!(read(&at("read/file")).unwrap(), "read");
        assert_eq!(fs::read_dir(at("read")).unwrap().count(), 1);
        denied(fs::write(at("read/file"), ""));
        denied(fs::write(at("read/new"), ""));
        denied(fs::remove_file(at("read/file")));
        denied(fs::rename(at("read/file"), at("write/moved")));

        denied(read(&at("other/file")));
        denied(fs::read_dir(at("other")));
        denied(fs::read_dir(house.path()));
        denied(fs::write(at("other/new"), ""));
        denied(fs::create_dir(at("new")));
        denied(read(Path::new("/etc/passwd")));
        denied(fs::rename(at("write/file"), at("other/moved")));

        // What the store does with its own.
        fs::create_dir_all(at("write/a/b")).unwrap();
        let file = tempfile::NamedTempFile::new_in(at("write")).unwrap();
        file.as_file().set_len(3).unwrap();
        file.persist(at("write/a/b/file")).unwrap();
        fs::write(at("write/a/b/file"), "new").unwrap();
        assert_eq!(read(&at("write/a/b/file")).unwrap(), "new");
        fs::remove_dir_all(at("write/a")).unwrap();

        // And what it does not.
        denied(std::os::unix::fs::symlink("/etc", at("write/link")));
        denied(std::os::unix::net::UnixListener::bind(at("write/socket")));
    });
    // The other threads are as free as before.
    assert_eq!(read(&at("other/file")).unwrap(), "other");
}

#[test]
fn a_link_out_leads_nowhere() {
    let house = house();
    let at = |name: &str| house.path().join(name);
    std::os::unix::fs::symlink(at("other/file"), at("read/link")).unwrap();
    std::os::unix::fs::symlink(at("other"), at("write/link")).unwrap();
    let wall = Wall::new().read(at("read")).write(at("write"));
    behind(&wall, || {
        denied(read(&at("read/link")));
        denied(read(&at("write/link/file")));
        denied(fs::write(at("write/link/file"), ""));
        denied(read(&at("read/../other/file")));
    });
    assert_eq!(read(&at("other/file")).unwrap(), "other");
}

#[test]
fn nothing_can_be_executed_and_nothing_gains_privileges() {
    let house = house();
    let wall = Wall::new().read("/bin").read("/usr").write(house.path());
    behind(&wall, || {
        denied(Command::new("/bin/true").status());
        let status = fs::read_to_string("/proc/thread-self/status");
        denied(status);
    });
    let wall = Wall::new().read("/proc");
    behind(&wall, || {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    });
}

#[test]
fn threads_that_are_started_behind_the_wall_are_behind_it() {
    let house = house();
    let file = house.path().join("other/file");
    behind(&Wall::new(), || {
        std::thread::scope(|scope| {
            scope.spawn(|| denied(read(&file))).join().unwrap();
        });
    });
}

#[test]
fn ports_are_reached_only_where_they_are_left() {
    let WallStatus::Landlock { abi: 4.. } = WallStatus::of_this_machine() else {
        let _ = writeln!(
            io::stderr(),
            "SKIPPED, nothing was tested: {} has no rules for ports",
            WallStatus::of_this_machine()
        );
        return;
    };
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    behind(&Wall::new(), || {
        denied(TcpStream::connect(address));
        denied(TcpListener::bind("127.0.0.1:0"));
    });
    behind(&Wall::new().connect(), || {
        TcpStream::connect(address).unwrap();
        denied(TcpListener::bind("127.0.0.1:0"));
        // Names are looked up, with whatever the machine has for it.
        use std::net::ToSocketAddrs as _;
        assert!(("localhost", 80).to_socket_addrs().unwrap().count() > 0);
    });
}

#[test]
fn what_has_to_be_left_has_to_be_there() {
    let house = house();
    let missing = house.path().join("missing");
    let error = std::thread::spawn(move || Wall::new().read(missing).raise())
        .join()
        .unwrap();
    assert!(error.is_err() || !WallStatus::of_this_machine().is_there());
}
