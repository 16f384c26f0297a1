//! Hints are followed: what a failing command suggests is typed, and works.

use serde_json::json;

use crate::server::Server;
use crate::source::{DIGITS, Source, digits_dataset, with_digits};
use crate::world::World;

/// What a failing command suggests: what its hint has in backticks, split as a shell does.
fn suggested(world: &World, args: &[&str]) -> Vec<Vec<String>> {
    let run = world.run(args);
    assert_ne!(run.code, Some(0), "{args:?}: {run:#?}");
    let hint = run
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("hint: "));
    let hint = hint.unwrap_or_else(|| panic!("{args:?}: {run:#?}"));
    hint.split('`').skip(1).step_by(2).map(words).collect()
}

fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(n, part)| match n % 2 {
            1 => vec![part.to_owned()],
            _ => part.split_whitespace().map(str::to_owned).collect(),
        })
        .collect()
}

/// Follows the first suggestion of a failing command, which then succeeds: flags are added to it,
/// and a command is run before it is tried again.
fn follow(world: &World, args: &[&str]) {
    let first = suggested(world, args).into_iter().next().unwrap();
    let first: Vec<&str> = first.iter().map(String::as_str).collect();
    match first.split_first().unwrap() {
        (&"modelzoo", command) => {
            world.ok(command);
            if command[..1] != args[..1] {
                world.ok(args);
            }
        }
        _ => {
            world.ok(&[args, &first].concat());
        }
    }
}

/// Leaves the flag out that the hint of a failing command names.
fn leave_out(world: &World, args: &[&str]) {
    let flag = &suggested(world, args)[0][0];
    let rest: Vec<&str> = args.iter().filter(|arg| *arg != flag).copied().collect();
    assert!(rest.len() < args.len(), "{flag}");
    world.ok(&rest);
}

#[test]
fn hints_about_models_work() {
    let world = with_digits();
    world.ok(&["delete", DIGITS, "-y"]);
    follow(&world, &["find", DIGITS]);
    let found = world.ok(&["find", DIGITS]).stdout;
    std::fs::write(found.trim_end(), "damaged").unwrap();
    follow(&world, &["verify"]);
    follow(&world, &["delete", DIGITS]);
    world.ok(&["download", DIGITS]);
    follow(&world, &["delete-source", "./source"]);
}

#[test]
fn hints_about_ambiguous_models_work_for_every_verb() {
    let world = with_digits();
    Source::digits().write(&world.path("twin"));
    world.ok(&["register-source", "./twin"]);
    for args in [
        &["verify", DIGITS][..],
        &["info", DIGITS],
        &["requirements", DIGITS],
        &["find", DIGITS],
        &["download", DIGITS],
        &["apply", DIGITS, "dataset", "p", "--output", "p.jsonl"],
    ] {
        let named = suggested(&world, args)[0].concat();
        assert!(named.ends_with(&format!(":{DIGITS}")), "{named}");
        // The hint names the first of the two; only one is downloaded.
        world.run(&["download", &named]);
        let typed: Vec<&str> = args
            .iter()
            .map(|arg| if *arg == DIGITS { named.as_str() } else { arg })
            .collect();
        world.ok(&typed);
    }
}

#[test]
fn hints_about_runs_work() {
    let world = with_digits();
    let apply = ["apply", DIGITS, "dataset", "p", "--output", "p.jsonl"];
    world.ok(&apply);
    follow(&world, &apply);
    Source::digits()
        .manifest(|m| m["models"][0]["requirements"] = json!({ "cpu": { "support": false } }))
        .write(&world.path("gpu"));
    world.ok(&["delete-source", "./source", "-y"]);
    world.ok(&["register-source", "./gpu"]);
    let output = ["--output", "q.jsonl"];
    follow(
        &world,
        &[
            &["apply", DIGITS, "dataset", "p", "--device", "cpu"],
            &output[..],
        ]
        .concat(),
    );
    follow(&world, &["requirements", DIGITS, "--ensure"]);
}

#[test]
fn hints_about_permissions_work() {
    let server = Server::files([("/w", test_artifacts::tiny_weights())]);
    let world = World::reaching(&[&server]);
    let origin = format!("http://{}", server.authority());
    Source::new(test_artifacts::OK_FETCH)
        .asking(&origin)
        .asking("https://other.example")
        .file("url.txt", server.url("/w"))
        .write(&world.path("source"));
    let register = ["register-source", "./source"];
    let flags = &suggested(&world, &register)[0];
    assert_eq!(flags.len(), 4, "{flags:?}");
    // Only the other host is granted: the hook is then denied the one that it needs.
    world.run(&[&register[..], &["--grant", "https://other.example"]].concat());
    world.ok(&[&register[..], &["--grant", "all"]].concat());
    world.ok(&["download", "test/model"]);

    let asks_nothing = [
        "register-source",
        "./digits",
        "--grant",
        "https://a.example",
    ];
    Source::digits().write(&world.path("digits"));
    let hint = &suggested(&world, &asks_nothing)[0];
    assert_eq!(hint, &["--grant"]);
    world.ok(&asks_nothing[..2]);
}

#[test]
fn permission_is_granted_with_the_name_of_a_model() {
    let server = Server::files([("/w", test_artifacts::tiny_weights())]);
    let world = World::reaching(&[&server]);
    let origin = format!("http://{}", server.authority());
    let source = || Source::new(test_artifacts::OK_FETCH).file("url.txt", server.url("/w"));
    source().write(&world.path("source"));
    world.ok(&["register-source", "./source"]);
    // The source does not ask for it: granting it is refused, and says what it asks for.
    let download = ["download", "test/model"];
    let suggestions = suggested(&world, &download);
    let flags = suggestions.iter().find(|words| words[0] == "--grant");
    assert_eq!(flags.unwrap()[1], origin);
    let grant = [&download[..], &["--grant", &origin]].concat();
    let error = world.refused(1, &grant);
    assert!(error.contains("does not ask for"), "{error}");
    // Once its author has declared it, the same hint works.
    source().asking(&origin).write(&world.path("source"));
    follow(&world, &["update-source", "./source"]);
    world.ok(&download);
}

#[test]
fn flags_that_hints_name_can_be_left_out() {
    let server = Server::files([("/digits.zip", Source::digits().zip(""))]);
    let world = World::reaching(&[&server]);
    leave_out(
        &world,
        &["register-source", &server.url("/digits.zip"), "--offline"],
    );
    Source::digits().write(&world.path("other"));
    leave_out(&world, &["register-source", "./other", "--locked"]);
    let named = "./other:modelzoo/digits-cnn";
    leave_out(&world, &["download", named, "--frozen"]);
    digits_dataset(&world.path("dataset"));
    world.ok(&["apply", named, "dataset", "p", "--frozen"]);
}

#[test]
fn hint_about_a_rollback_works() {
    let world = with_digits();
    let older = Source::digits().manifest(|m| m["models"][0]["version"] = json!("0.1"));
    older.write(&world.path("source"));
    let command = suggested(&world, &["update-source", "./source"]).remove(0);
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    assert_eq!(command[0], "modelzoo");
    world.ok(&command[1..]);
}
