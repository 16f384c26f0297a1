//! Places where secrets of the user could appear. Every command of these tests is checked for them in
//! its output, files and requests: see [`crate::world`].

use super::testbed::Testbed;
use crate::github::GitHub;
use crate::server::{Response, Server};
use crate::source::Source;
use crate::world::{CANARY, World, repeats_the_canary};

#[test]
fn leaked_canary_is_detected() {
    assert!(repeats_the_canary(CANARY.as_bytes()));
    assert!(repeats_the_canary(format!("ghp_ghp_c{CANARY}x").as_bytes()));
    assert!(!repeats_the_canary(&CANARY.as_bytes()[1..]));
    assert!(!repeats_the_canary(b""));
}

/// Debug messages, backtraces and errors of an API that echoes its requests.
#[test]
fn log_messages_hold_no_secrets() {
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
        // The token was sent, so there was something to echo.
        let sent = github.asked();
        assert!(sent.iter().any(|r| r.header("authorization").is_some()));
        world.run(&["list", "--verbose"]);
        world.run(&["update-source", "--verbose"]);
    }
}

#[test]
fn token_in_a_manifest_url_is_redacted() {
    let leak = "leak7c1d";
    let server = Server::files([]);
    let testbed = Testbed::within(World::reaching(&[&server]), "");
    let world = &testbed.world;
    let registered = |url: String| {
        let artifacts = serde_json::json!([{ "path": "x", "url": url }]);
        Source::new(test_artifacts::OK_COPY)
            .manifest(|m| m["models"][0]["artifacts"] = artifacts)
            .write(&world.path("source"));
        ["register-source", "./source", "--overwrite"]
    };
    for user in [format!("{leak}@"), format!("user:{leak}@")] {
        let args = registered(format!("http://{user}{}/x", server.authority()));
        let refused = testbed.refuses(1, &args).says("user name").recorded();
        assert!(!format!("{refused:?}").contains(leak), "{refused:#?}");
    }
    // A query is sent and never shown.
    let args = registered(server.url(&format!("/x?token={leak}")));
    world.ok(&args);
    let refused = testbed.refuses(1, &["download", "test/model"]).recorded();
    assert!(!format!("{refused:?}").contains(leak), "{refused:#?}");
    assert!(server.seen().iter().any(|r| r.path.contains(leak)));
    let messages = world.ok(&["list-sources"]).stdout;
    let lock = std::fs::read_to_string(world.home().join("modelzoo.lock")).unwrap();
    assert!(!(messages + &lock).contains(leak));
    testbed.still_works();
}

/// Other users can read the arguments of processes.
#[cfg(target_os = "linux")]
#[test]
fn child_processes_get_no_secrets() {
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
        // The command's own environment has it; its child processes do not.
        let told = processes.iter().filter(|p| p[2] == "1").count();
        assert_eq!(told, 1, "{args:?}: {text}");
        std::fs::remove_file(&log).unwrap();
    }
}
