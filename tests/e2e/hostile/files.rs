//! Hooks that reach for files that are not theirs, look for traces of the user, or leave nothing.

use std::io::Write as _;
use std::process::Stdio;

use super::arena::Arena;
use crate::server::Server;
use crate::world::{CANARY, Run, World};

#[test]
fn names_that_lead_elsewhere() {
    let server = Server::files([("/loot", b"loot".to_vec())]);
    let arena = Arena::within(World::reaching(&[&server]), "");
    let archive = crate::source::pack_zip(&[("file".into(), b"x".to_vec())]);
    let attack = || {
        arena
            .attack(test_artifacts::BAD_NAMES, "model")
            .file("archive.bin", archive.clone())
    };
    let with_download = attack()
        .asking(format!("http://{}", server.authority()))
        .file("url.txt", server.url("/loot"));
    for attack in [attack(), with_download] {
        // The guest says so if even one of its names was taken. The last is a megabyte long.
        let failure = attack
            .download()
            .says("failed: artifact name `nnn")
            .says("longer than 255 bytes");
        assert!(failure.error.len() < 1024, "{failure:#?}");
    }
    assert_eq!(server.seen().len(), 0, "a bad name is refused first");
}

#[test]
fn writing_by_ones_own_means() {
    let arena = Arena::new();
    let attack = arena.attack(test_artifacts::BAD_WRITE_FS, "model");
    // The guest fails with what it managed to do.
    attack.downloads();
    let file = attack.files_dir().join("weights.safetensors");
    let weights = test_artifacts::tiny_weights();
    assert_eq!(std::fs::read(file).unwrap(), weights);
    attack.loads(&[]);
}

/// A hole elsewhere could leave links in a model's directory. No hook gets through them.
#[cfg(unix)]
#[test]
fn links_that_lead_out() {
    use std::os::unix::fs::symlink;

    let arena = Arena::new();
    let attack = arena.attack(test_artifacts::BAD_LINKS, "model");
    // The guest fails with what it managed to do.
    attack.loads_among(|files| {
        for (link, target) in [
            ("file", arena.world.path("beside/treasure")),
            ("up", "../../../../../beside/treasure".into()),
            ("dir", arena.world.path("beside")),
            ("dotdot", "..".into()),
            ("round", "round".into()),
            ("nowhere", "/nowhere/treasure".into()),
        ] {
            symlink(target, files.join(link)).unwrap();
        }
    });
}

#[test]
fn traces_of_the_user() {
    let mut world = World::new();
    for name in ["HOME", "PATH", "USER", "SECRET"] {
        world = world.env(name, &format!("/{CANARY}"));
    }
    let arena = Arena::within(world, "");
    let attack = arena.attack(test_artifacts::BAD_ENV, "model");
    // The guest fails with what it finds.
    attack.downloads();
    attack.loads(&[]);
}

#[test]
fn standard_input() {
    let arena = Arena::new();
    let attack = arena.attack(test_artifacts::BAD_ENV, "model");
    let mut child = attack.start_download(Stdio::piped());
    let mut input = child.stdin.take().unwrap();
    // Nobody has to read it.
    let _ = input.write_all(CANARY.as_bytes());
    drop(input);
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(0), "{run:#?}");
}

#[test]
fn time_and_chance() {
    let observed = || {
        let arena = Arena::new();
        let attack = arena.attack(test_artifacts::BAD_CLOCK, "model");
        attack.downloads();
        let file = attack.files_dir().join("weights.safetensors");
        std::fs::read_to_string(file).unwrap()
    };
    let first = observed();
    assert!(first.contains("wall ") && first.contains("random "));
    assert_eq!(
        observed(),
        first,
        "the same at another time, in another place"
    );
}

#[test]
fn claims_without_files() {
    let arena = Arena::new();
    for case in ["nothing", "beside", "removed"] {
        arena
            .attack(test_artifacts::BAD_NOTHING, case)
            .download()
            .says("gave a bad answer: it left nothing at `weights.safetensors`")
            .hints("tell its author");
    }
}

#[test]
fn a_model_survives_an_update_that_turned_bad() {
    let arena = Arena::new();
    for (component, case) in [
        (test_artifacts::BAD_TRAP, "panic"),
        // It has left a file where the model's file is to be.
        (test_artifacts::BAD_ERROR, "other"),
        (test_artifacts::BAD_NOTHING, "removed"),
    ] {
        let attack = arena.attack(component, case);
        attack.download_again();
        let file = attack.files_dir().join("weights.safetensors");
        let weights = test_artifacts::tiny_weights();
        assert_eq!(std::fs::read(file).unwrap(), weights, "{case}");
    }
}
