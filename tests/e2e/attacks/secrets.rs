//! Where the secrets of the user could show up. That they are in no output, no file and no request
//! is looked at around every command of these tests: see [`crate::world`].

use crate::github::GitHub;
use crate::hostile::arena::Arena;
use crate::server::{Response, Server};
use crate::source::Source;
use crate::world::{CANARY, World, repeats_the_canary};

#[test]
fn the_canary_is_found() {
    assert!(repeats_the_canary(CANARY.as_bytes()));
    assert!(repeats_the_canary(format!("ghp_ghp_c{CANARY}x").as_bytes()));
    assert!(!repeats_the_canary(&CANARY.as_bytes()[1..]));
    assert!(!repeats_the_canary(b""));
}

/// Debug messages, backtraces and errors of an API that repeats what it was sent.
#[test]
fn messages_of_every_level() {
    for status in [200, 400, 401, 403, 404, 500] {
        let github = GitHub::with(move |request| match status {
            200 => None,
            _ => Some(Response {
                body: format!("{request:?}").into_bytes(),
                ..Response::status(status)
            }),
        });
        let world = github
            .world()
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "full");
        let args = ["register-source", "acme/digits", "--verbose"];
        let run = world.run(&args);
        assert_eq!(run.code == Some(0), status == 200, "{status}: {run:#?}");
        // The token was sent, so there was something to repeat.
        let sent = github.asked();
        assert!(sent.iter().any(|r| r.header("authorization").is_some()));
        world.run(&["list", "--verbose"]);
        world.run(&["update-source", "--verbose"]);
    }
}

#[test]
fn a_token_in_the_address_of_a_manifest() {
    let leak = "leak7c1d";
    let server = Server::files([]);
    let arena = Arena::within(World::reaching(&[&server]), "");
    let world = &arena.world;
    let registered = |url: String| {
        let artifacts = serde_json::json!([{ "path": "x", "url": url }]);
        Source::new(test_artifacts::OK_COPY)
            .manifest(|m| m["models"][0]["artifacts"] = artifacts)
            .write(&world.path("source"));
        ["register-source", "./source", "--overwrite"]
    };
    for user in [format!("{leak}@"), format!("user:{leak}@")] {
        let args = registered(format!("http://{user}{}/x", server.authority()));
        let refused = arena.refuses(1, &args).says("user name").recorded();
        assert!(!format!("{refused:?}").contains(leak), "{refused:#?}");
    }
    // A query may be needed, and is never shown.
    let args = registered(server.url(&format!("/x?token={leak}")));
    world.ok(&args);
    let refused = arena.refuses(1, &["download", "test/model"]).recorded();
    assert!(!format!("{refused:?}").contains(leak), "{refused:#?}");
    assert!(server.seen().iter().any(|r| r.path.contains(leak)));
    let said = world.ok(&["list-sources"]).stdout;
    let lock = std::fs::read_to_string(world.home().join("modelzoo.lock")).unwrap();
    assert!(!(said + &lock).contains(leak));
    arena.is_well();
}

/// Whoever lists the processes of the machine reads arguments.
#[cfg(target_os = "linux")]
#[test]
fn arguments_and_environments_of_processes() {
    let github = GitHub::start();
    let world = github.world();
    let log = world.path("processes");
    let world = world
        .env("LD_PRELOAD", crate::faults::shim().to_str().unwrap())
        .env("FAULT_MEASURE", log.to_str().unwrap())
        .env("FAULT_SECRET", CANARY);
    crate::source::digits_dataset(&world.path("dataset"));
    let model = "modelzoo/digits-cnn";
    for args in [
        &["register-source", "acme/digits"][..],
        &["download", model],
        &["apply", model, "dataset", "p"],
    ] {
        world.ok(args);
        let text = std::fs::read_to_string(&log).unwrap();
        let processes: Vec<Vec<&str>> = text.lines().map(|l| l.split(' ').collect()).collect();
        assert!(!processes.is_empty());
        for process in &processes {
            assert_eq!(process[1], "0", "{args:?}: a secret is among the arguments");
        }
        // The command's own environment has it. Nobody that it starts has.
        let told = processes.iter().filter(|p| p[2] == "1").count();
        assert_eq!(told, 1, "{args:?}: {text}");
        std::fs::remove_file(&log).unwrap();
    }
}
