//! Hooks that access files or the environment of the host, or leave no file.

use std::io::Write as _;
use std::process::Stdio;

use super::testbed::Testbed;
use crate::server::Server;
use crate::world::{CANARY, Run, World};

#[test]
fn artifact_names_outside_the_model_are_refused() {
    let server = Server::files([("/secret", b"secret".to_vec())]);
    let testbed = Testbed::within(World::reaching(&[&server]), "");
    let archive = crate::source::pack_zip(&[("file".into(), b"x".to_vec())]);
    let attack = || {
        testbed
            .attack(test_artifacts::BAD_NAMES, "model")
            .file("archive.bin", archive.clone())
    };
    let with_download = attack()
        .asking(format!("http://{}", server.authority()))
        .file("url.txt", server.url("/secret"));
    for attack in [attack(), with_download] {
        // The guest fails with another message if a name is accepted. The last name is a megabyte long.
        let failure = attack
            .download()
            .says("failed: artifact name `nnn")
            .says("longer than 255 bytes");
        assert!(failure.error.len() < 1024, "{failure:#?}");
    }
    assert_eq!(server.seen().len(), 0, "a bad name is refused first");
}

#[test]
fn filesystem_is_read_only() {
    let testbed = Testbed::new();
    let attack = testbed.attack(test_artifacts::BAD_WRITE_FS, "model");
    // The guest fails if an attempt succeeds.
    attack.downloads();
    let file = attack.files_dir().join("weights.safetensors");
    let weights = test_artifacts::tiny_weights();
    assert_eq!(std::fs::read(file).unwrap(), weights);
    attack.loads(&[]);
}

/// Another vulnerability could leave links in a model's directory; hooks cannot follow them.
#[cfg(unix)]
#[test]
fn links_out_of_the_model_are_not_followed() {
    use std::os::unix::fs::symlink;

    let testbed = Testbed::new();
    let attack = testbed.attack(test_artifacts::BAD_LINKS, "model");
    // The guest fails if an attempt succeeds.
    attack.loads_among(|files| {
        for (link, target) in [
            ("file", testbed.world.path("beside/outside")),
            ("up", "../../../../../beside/outside".into()),
            ("dir", testbed.world.path("beside")),
            ("dotdot", "..".into()),
            ("round", "round".into()),
            ("nowhere", "/nowhere/outside".into()),
        ] {
            symlink(target, files.join(link)).unwrap();
        }
    });
}

#[test]
fn environment_is_hidden() {
    let mut world = World::new();
    for name in ["HOME", "PATH", "USER", "SECRET"] {
        world = world.env(name, &format!("/{CANARY}"));
    }
    let testbed = Testbed::within(world, "");
    let attack = testbed.attack(test_artifacts::BAD_ENV, "model");
    // The guest fails if it finds anything.
    attack.downloads();
    attack.loads(&[]);
}

#[test]
fn standard_input_is_not_read() {
    let testbed = Testbed::new();
    let attack = testbed.attack(test_artifacts::BAD_ENV, "model");
    let mut child = attack.start_download(Stdio::piped());
    let mut input = child.stdin.take().unwrap();
    // Nothing has to read it.
    let _ = input.write_all(CANARY.as_bytes());
    drop(input);
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(0), "{run:#?}");
}

#[test]
fn clock_and_random_numbers_are_deterministic() {
    let observed = || {
        let testbed = Testbed::new();
        let attack = testbed.attack(test_artifacts::BAD_CLOCK, "model");
        let attack = attack.named("observed.txt");
        attack.downloads();
        let file = attack.files_dir().join("observed.txt");
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
fn success_without_a_file_is_an_error() {
    let testbed = Testbed::new();
    for case in ["nothing", "beside", "removed"] {
        testbed
            .attack(test_artifacts::BAD_NOTHING, case)
            .download()
            .says("gave a bad answer: it left nothing at `weights.safetensors`")
            .hints("tell its author");
    }
}

#[test]
fn failed_update_keeps_the_downloaded_model() {
    let testbed = Testbed::new();
    for (component, case) in [
        (test_artifacts::BAD_TRAP, "panic"),
        // It leaves a file at the path of the model's file.
        (test_artifacts::BAD_ERROR, "other"),
        (test_artifacts::BAD_NOTHING, "removed"),
    ] {
        let attack = testbed.attack(component, case);
        attack.download_again();
        let file = attack.files_dir().join("weights.safetensors");
        let weights = test_artifacts::tiny_weights();
        assert_eq!(std::fs::read(file).unwrap(), weights, "{case}");
    }
}
