//! What errors say: the thing that was typed, once, with a way out that works; and how much.

use serde_json::{Value, json};

use crate::server::{Response, Server};
use crate::source::{DIGITS, Source, with_digits};
use crate::world::World;

/// The most bytes of one message.
const LONGEST: usize = 5000;

#[test]
fn missing_things_are_told_from_things_of_another_kind() {
    let world = with_digits();
    std::fs::write(world.path("file"), "not a dataset").unwrap();
    for (args, says) in [
        (
            &["apply", DIGITS, "nowhere", "p"][..],
            "nowhere: no such file or directory",
        ),
        (&["apply", DIGITS, "file", "p"], "file: not a directory"),
        (
            &["apply", DIGITS, "file/below", "p"],
            "file/below: cannot open: Not a directory",
        ),
        (
            &["embed", DIGITS, "nowhere.txt", "v"],
            "nowhere.txt: no such file or directory",
        ),
        (
            &["register-source", "./nowhere"],
            "nowhere: no such file or directory",
        ),
        (
            &["register-source", "./file/below"],
            "file/below: a part of the path is not a directory",
        ),
        #[cfg(unix)]
        (
            &["register-source", "/dev/null"],
            "/dev/null: neither a directory nor a regular file",
        ),
    ] {
        let error = world.refused(1, args);
        assert!(error.contains(says), "{args:?}: {error}");
        assert_eq!(
            error.matches("nowhere").count(),
            says.matches("nowhere").count(),
            "{error}"
        );
    }
}

#[test]
fn archive_is_named_as_it_was_typed() {
    let server = Server::start(|_| Response::ok(b"PK\x05\x06 nonsense"));
    let world = World::reaching(&[&server]);
    let url = server.url("/x.zip");
    let error = world.refused(1, &["register-source", &format!("{url}?token=s3cret")]);
    assert!(error.starts_with(&format!("error: {url}")), "{error}");
    assert!(
        !error.contains("staging") && !error.contains("s3cret"),
        "{error}"
    );
    std::fs::write(world.path("y.zip"), "nonsense").unwrap();
    let error = world.refused(1, &["register-source", "./y.zip"]);
    assert!(
        error.contains("y.zip: neither a zip nor a tar archive"),
        "{error}"
    );
}

#[test]
fn sample_is_named_once() {
    let world = with_digits();
    std::fs::create_dir(world.path("images")).unwrap();
    std::fs::write(world.path("images/a.png"), "not an image").unwrap();
    let run = world.run(&["apply", DIGITS, "images", "p", "--output", "p.jsonl"]);
    assert_eq!(run.code, Some(3), "{run:#?}");
    assert_eq!(run.stderr.matches("a.png").count(), 1, "{}", run.stderr);
}

/// A FiftyOneDataset whose samples have these paths.
fn dataset(world: &World, name: &str, paths: &[String]) {
    let dir = world.path(name);
    std::fs::create_dir(&dir).unwrap();
    let samples: Vec<Value> = paths
        .iter()
        .enumerate()
        .map(|(n, path)| json!({ "_id": { "$oid": format!("{n:024x}") }, "filepath": path }))
        .collect();
    std::fs::write(
        dir.join("samples.json"),
        json!({ "samples": samples }).to_string(),
    )
    .unwrap();
    let metadata = json!({ "name": name, "media_type": "image", "sample_fields": [] });
    std::fs::write(dir.join("metadata.json"), metadata.to_string()).unwrap();
}

#[test]
fn hint_for_samples_outside_the_dataset_works() {
    let world = with_digits();
    let first = std::fs::read_dir(world.path("dataset/data"))
        .unwrap()
        .next();
    let image = first.unwrap().unwrap().path().canonicalize().unwrap();
    let path = image.to_str().unwrap().to_owned();
    dataset(&world, "outside", &[path.clone(), path]);
    let args = [
        "apply",
        DIGITS,
        "outside",
        "p",
        "--output",
        "p.jsonl",
        "--overwrite",
    ];
    let run = world.run(&args);
    assert_eq!(run.code, Some(3), "{run:#?}");
    assert_eq!(
        run.stderr.matches("hint: `--allow-outside`").count(),
        1,
        "{}",
        run.stderr
    );
    let report: Value =
        serde_json::from_str(&world.run(&[&args[..], &["--json"]].concat()).stdout).unwrap();
    assert_eq!(report["hints"].as_array().unwrap().len(), 1, "{report}");
    let run = world.ok(&[&args[..], &["--allow-outside"]].concat());
    assert!(!run.stderr.contains("hint"), "{}", run.stderr);
}

#[test]
fn long_names_make_short_messages() {
    let world = with_digits();
    let long = |end: &str| format!("{}{end}", "a\u{1b}".repeat(1 << 20));
    let path = format!("{}.png", "x/".repeat(4 << 20));
    dataset(
        &world,
        "long",
        &[path, long(".png"), format!("../{}", long(""))],
    );
    let run = world.run(&["apply", DIGITS, "long", "p", "--output", "p.jsonl"]);
    assert_eq!(run.code, Some(3), "{:.5000}", run.stderr);
    assert!(run.stderr.len() < 4 * LONGEST, "{} bytes", run.stderr.len());
    assert!(run.stderr.contains("…"), "{}", run.stderr);

    // Columns of a table.
    let header: Vec<String> = (0..20_000)
        .map(|n| format!("column{n}{}", "y".repeat(99)))
        .collect();
    std::fs::write(world.path("t.csv"), format!("{}\n", header.join(","))).unwrap();
    let error = world.refused(1, &["embed", DIGITS, "t.csv", "v", "--text-field", "z"]);
    assert!(error.len() < 2 * LONGEST, "{} bytes", error.len());

    // Tensors, and permissions.
    let name = "t".repeat(3 << 20);
    let header = json!({ name: { "dtype": "F32", "shape": [1], "data_offsets": [0, 4] } });
    let header = header.to_string();
    let file = [
        &(header.len() as u64).to_le_bytes(),
        header.as_bytes(),
        &[0; 4],
    ]
    .concat();
    Source::new(test_artifacts::OK_COPY)
        .file("weights.safetensors", file)
        .write(&world.path("tensors"));
    world.ok(&["register-source", "./tensors"]);
    let run = world.run(&["apply", "test/model", "dataset", "p", "--output", "q.jsonl"]);
    assert_eq!(run.code, Some(1), "{:.5000}", run.stderr);
    assert!(run.stderr.len() < 2 * LONGEST, "{} bytes", run.stderr.len());
    let typed = "g".repeat(100_000);
    for args in [
        &["register-source", "./tensors", "--grant", &typed][..],
        &["info", &typed],
        &["find", "a", "--source", &typed],
        &["list", &typed],
        &[&typed],
    ] {
        let run = world.run(args);
        assert_ne!(run.code, Some(0));
        assert!(run.stderr.len() < 2 * LONGEST, "{} bytes", run.stderr.len());
    }
}

#[cfg(unix)]
#[test]
fn nothing_that_is_printed_acts_on_a_terminal() {
    let world = with_digits();
    let odd = "a\u{1b}[2J\u{9b}31m\u{202e}b\u{200f}";
    crate::source::copy(&world.path("dataset"), &world.path(odd));
    Source::digits().write(&world.path(&format!("{odd}.source")));
    let output = format!("{odd}.jsonl");
    let source = format!("./{odd}.source");
    let bundle = format!("{odd}.tar");
    for (args, code) in [
        (&["apply", DIGITS, odd, "p"][..], 0),
        (&["apply", DIGITS, odd, "q", "--output", &output], 0),
        (
            &[
                "apply",
                DIGITS,
                odd,
                "q",
                "--output",
                &output,
                "--overwrite",
                "--json",
            ],
            0,
        ),
        (&["register-source", &source, "--json"], 0),
        (&["list"], 0),
        (&["list", "--json"], 0),
        (&["list-sources", "--json"], 0),
        (&["inspect", &source], 0),
        (&["inspect", &source, "--json"], 0),
        (&["bundle", "export", &source, "--output", &bundle], 0),
        (
            &[
                "bundle",
                "export",
                "./source",
                "--output",
                &format!("2{bundle}"),
                "--json",
            ],
            0,
        ),
        (&["delete-source", &source, "--json"], 2),
        (&["apply", DIGITS, "nowhere", odd], 1),
        (&["list", odd], 2),
        (&["list", &format!("--{odd}")], 2),
        (&[odd], 2),
    ] {
        let run = world.run(args);
        assert_eq!(run.code, Some(code), "{args:?}: {run:#?}");
        for text in [&run.stdout, &run.stderr] {
            let acts = |c: char| c != '\n' && modelzoo_base::text::is_unsafe(c);
            assert!(!text.contains(acts), "{args:?}: {text:?}");
        }
        if args.contains(&"--json") && code == 0 {
            serde_json::from_str::<Value>(&run.stdout).unwrap();
        }
    }
}

#[test]
fn deletion_without_a_terminal_has_to_be_said() {
    let world = with_digits();
    for args in [&["delete", DIGITS][..], &["delete-source", "./source"]] {
        let error = world.refused(2, args);
        assert!(error.contains("nothing was deleted"), "{error}");
        assert!(
            error.contains("hint: there is no terminal to ask: `--yes`"),
            "{error}"
        );
    }
    world.ok(&["delete", DIGITS, "--yes"]);
    world.ok(&["delete-source", "./source", "-y"]);
    // What is not there needs no answer.
    let error = world.refused(1, &["delete-source", "./source"]);
    assert!(error.contains("no source"), "{error}");
}
