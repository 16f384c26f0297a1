//! Hostile archives in every place that takes archives: as a source from a file, as a source
//! from a server, as a model's file that its manager extracts, and as an archive that a hook extracts.

use std::io::Write as _;

use serde_json::json;
use tar::EntryType;
use zip::write::SimpleFileOptions;

use super::packing::{Tar, gz, zeros, zip, zip_with};
use super::testbed::Testbed;
use crate::server::Server;
use crate::source::Source;
use crate::world::World;

/// An archive and the expected reason.
struct Hostile {
    what: String,
    bytes: Vec<u8>,
    says: &'static str,
}

/// Every place that takes archives must refuse them.
fn refused_everywhere(archives: Vec<Hostile>) {
    let served: Vec<_> = archives.iter().map(|a| a.bytes.clone()).collect();
    let server = Server::start(move |request| {
        let at: usize = request.path[1..].trim_end_matches(".zip").parse().unwrap();
        crate::server::Response::ok(served[at].clone())
    });
    let testbed = Testbed::within(World::reaching(&[&server]), "");
    let world = &testbed.world;
    for (at, Hostile { what, bytes, says }) in archives.iter().enumerate() {
        std::fs::write(world.path("source.zip"), bytes).unwrap();
        let url = server.url(&format!("/{at}.zip"));
        for reference in ["./source.zip", &url] {
            let refused = testbed.refuses(1, &["register-source", reference]);
            assert!(refused.stderr.contains(says), "{what}: {refused:#?}");
            refused.recorded();
        }
        let manifest = json!({ "name": "test/managed", "models": [{
            "base_name": "test/managed",
            "base_filename": "m.zip",
            "manager": {
                "type": "fiftyone.core.models.ModelManager",
                "config": { "url": url, "extract_archive": true },
            },
        }]});
        std::fs::create_dir_all(world.path("managed")).unwrap();
        std::fs::write(world.path("managed/manifest.json"), manifest.to_string()).unwrap();
        world.ok(&["register-source", "./managed", "--overwrite"]);
        let refused = testbed.refuses(1, &["download", "test/managed"]);
        assert!(refused.stderr.contains(says), "{what}: {refused:#?}");
        refused.recorded();
        let failure = testbed
            .attack(test_artifacts::BAD_QUOTA_BYTES, "extract")
            .file("archive.bin", bytes.as_slice())
            .download();
        assert!(failure.error.contains(says), "{what}: {failure:#?}");
    }
}

fn hostile(what: impl Into<String>, bytes: Vec<u8>, says: &'static str) -> Hostile {
    Hostile {
        what: what.into(),
        bytes,
        says,
    }
}

#[test]
fn names_outside_the_root_are_refused() {
    let mut archives = Vec::new();
    for (name, says) in [
        ("../../x", "`.` or `..`"),
        ("a/../../../x", "`.` or `..`"),
        ("/etc/x", "absolute"),
        ("//server/x", "absolute"),
        ("C:/x", "colon"),
        ("a:stream", "colon"),
        ("..\\..\\x", "backslash"),
        ("CON", "reserved"),
        ("NUL.txt", "reserved"),
        ("COM\u{b9}", "reserved"),
        ("x./y", "a dot or a space"),
        ("x ", "a dot or a space"),
    ] {
        archives.push(hostile(format!("zip {name}"), zip_with(name, b"x"), says));
        let tar = Tar::source().file(name.as_bytes(), b"x").end();
        archives.push(hostile(format!("tar {name}"), tar, says));
    }
    refused_everywhere(archives);
}

#[test]
fn links_and_special_files_are_refused() {
    let mut archives = Vec::new();
    for target in ["/etc", "../other", "../../../beside", "manifest.json", "."] {
        let through = Tar::source()
            .link(EntryType::Symlink, b"link", target.as_bytes())
            .file(b"link/treasure", b"stolen")
            .end();
        archives.push(hostile(target, gz(&through), "symbolic link"));
        let hard = Tar::source()
            .link(EntryType::Link, b"link", target.as_bytes())
            .end();
        archives.push(hostile(target, hard, "hard link"));
        let zip = zip(|zip| {
            zip.add_symlink("link", target, SimpleFileOptions::default())
                .unwrap();
        });
        archives.push(hostile(target, zip, "symbolic link"));
    }
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo] {
        let tar = Tar::source().link(kind, b"special", b"").end();
        archives.push(hostile(format!("{kind:?}"), tar, "is a "));
    }
    // The mode of a directory through a link.
    let chmod = Tar::source()
        .link(EntryType::Symlink, b"link", b"../../beside")
        .raw(EntryType::Directory, b"link", b"", b"", |h| {
            h.set_mode(0o777)
        })
        .end();
    archives.push(hostile("chmod", chmod, "symbolic link"));
    refused_everywhere(archives);
}

#[test]
fn colliding_names_are_refused() {
    let mut archives = Vec::new();
    for (one, other) in [
        ("extra", "extra"),
        ("extra", "EXTRA"),
        ("caf\u{e9}", "cafe\u{301}"),
        ("extra", "extra/x"),
        ("Manifest.json", "x"),
    ] {
        let tar = Tar::source()
            .file(one.as_bytes(), b"1")
            .file(other.as_bytes(), b"2")
            .end();
        archives.push(hostile(format!("{one} {other}"), tar, "entries"));
    }
    refused_everywhere(archives);
}

#[test]
fn malformed_archives_are_refused() {
    let good = Tar::source();
    let mut encrypted = zip_with("secret", b"x");
    // The flag of the last entry, in its local header and in the central directory.
    for signature in [b"PK\x03\x04", b"PK\x01\x02"] {
        let at = encrypted
            .windows(4)
            .rposition(|window| window == signature)
            .unwrap();
        let flags = at + if signature[2] == 3 { 6 } else { 8 };
        encrypted[flags] |= 1;
    }
    let mut disks = zip_with("x", b"x");
    let end = disks.len() - 22;
    disks[end + 4] = 1;
    let mut cut = zip_with("x", b"x");
    cut.truncate(cut.len() - 30);
    let polyglot = [gz(&good.clone().end()), zip_with("x", b"x")].concat();
    let record = |text: &[u8]| {
        let extended = good.clone().entry(EntryType::XHeader, b"pax", b"", text);
        extended.file(b"x", b"x").end()
    };
    let long = |text: &[u8]| {
        let named = good.clone().entry(EntryType::GNULongName, b"@", b"", text);
        named.file(b"x", b"x").end()
    };
    refused_everywhere(vec![
        hostile("encrypted", encrypted, "encrypted"),
        hostile("disks", disks, "split into several files"),
        hostile("cut", cut, "archive"),
        hostile(
            "pdf",
            b"%PDF-1.7".to_vec(),
            "neither a zip nor a tar archive",
        ),
        hostile("polyglot", polyglot, "malformed"),
        hostile("pax", record(b"9 path=../x\n"), "malformed"),
        hostile("pax path", record(b"13 path=../x\n"), "unsafe entry name"),
        hostile("long name", long(b"../../../../x\0"), "unsafe entry name"),
        hostile("long name with a NUL", long(b"a\0b/../../x\0"), "malformed"),
    ]);
}

/// A sign-in page under the name of an archive.
#[test]
fn web_pages_are_refused() {
    let html = b"<!DOCTYPE html><html>Sign in</html>".to_vec();
    let server = Server::files([("/source.zip", html.clone())]);
    let testbed = Testbed::within(World::reaching(&[&server]), "");
    std::fs::write(testbed.world.path("source.zip"), html).unwrap();
    let url = server.url("/source.zip");
    for (reference, says) in [
        ("./source.zip", "neither a zip nor a tar archive"),
        (&url, "a web page instead of a file"),
    ] {
        let args = ["register-source", reference];
        testbed.refuses(1, &args).says(says).recorded();
    }
    testbed.still_works();
}

#[test]
fn bombs_of_entries_and_names_are_refused() {
    let deep = "d/".repeat(40) + "x";
    let many = zip(|zip| {
        for n in 0..200_001 {
            zip.start_file(format!("f{n}"), SimpleFileOptions::default())
                .unwrap();
        }
    });
    let long = Tar::source()
        .entry(EntryType::GNULongName, b"@", b"", &[b'n'; 65536])
        .file(b"x", b"x")
        .end();
    refused_everywhere(vec![
        hostile("deep", zip_with(&deep, b"x"), "parts"),
        hostile("many", many, "entries"),
        hostile("long", long, "long"),
    ]);
}

/// A gigabyte of zeros in a megabyte is refused before it is in memory or on disk.
#[cfg(target_os = "linux")]
#[test]
fn bombs_of_bytes_use_little_memory_and_disk() {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("zeros", SimpleFileOptions::default())
        .unwrap();
    std::io::copy(&mut zeros(1 << 30), &mut zip).unwrap();
    let zip = zip.finish().unwrap().into_inner();
    assert!(zip.len() < 2 << 20);
    let mut tar = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mut header = tar::Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_size(1 << 30);
    header.set_cksum();
    tar.write_all(header.as_bytes()).unwrap();
    // Includes the two blocks that end a tar.
    std::io::copy(&mut zeros((1 << 30) + 1024), &mut tar).unwrap();
    let tar = tar.finish().unwrap();
    let testbed = Testbed::new();
    for bomb in [zip, tar] {
        std::fs::write(testbed.world.path("bomb.zip"), bomb).unwrap();
        let args = ["register-source", "./bomb.zip"];
        testbed
            .refuses(1, &args)
            .says("unpacks to more than")
            .recorded();
        let usage = super::memory::measure(&testbed.world, &args);
        assert!(usage.peak_bytes < 256 << 20, "{usage:?}");
    }
    testbed.still_works();
}

#[test]
fn modes_and_times_are_dropped() {
    let entry = |name: &str, bytes: &[u8], tar: Tar| {
        tar.raw(EntryType::Regular, name.as_bytes(), b"", bytes, |header| {
            header.set_mode(0o6777);
            header.set_uid(0);
            header.set_mtime(253_370_764_800);
        })
    };
    let files = Source::digits().files();
    let tar = files
        .iter()
        .fold(Tar::default(), |tar, (name, bytes)| entry(name, bytes, tar));
    let testbed = Testbed::new();
    let world = &testbed.world;
    std::fs::write(world.path("source.tar"), tar.end()).unwrap();
    world.ok(&["register-source", "./source.tar"]);
    for path in world.visible().keys() {
        let metadata = std::fs::metadata(path).unwrap();
        assert!(metadata.modified().unwrap().elapsed().is_ok(), "{path:?}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = metadata.permissions().mode();
            assert_eq!(mode & 0o7111, 0, "{path:?}: {mode:o}");
        }
    }
    testbed.still_works();
}

/// The process is killed at every change that extraction makes to the disk.
#[cfg(target_os = "linux")]
#[test]
fn killed_extraction_leaves_no_files() {
    use crate::faults::{sound, sweep, unregistered};

    let prepare = || {
        let world = unregistered();
        std::fs::write(world.path("source.tar.gz"), Source::digits().tar_gz()).unwrap();
        world
    };
    let args = ["register-source", "./source.tar.gz"];
    sweep(&args, None, 1, prepare, |world, _, at| {
        // Everything is there, or nothing.
        let sources = world.json(&["list-sources"]);
        let models = world.json(&["list", "-n"]);
        let counts = (
            sources.as_array().unwrap().len(),
            models.as_array().unwrap().len(),
        );
        assert!(
            [(0, 0), (1, 1)].contains(&counts),
            "after change {at}: {counts:?}"
        );
        sound(world, at);
        world.ok(&args);
        world.ok(&["download", "modelzoo/digits-cnn"]);
    });
}
