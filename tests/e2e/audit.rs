//! The contents of the audit log, and the permissions that it proposes.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::server::{Response, Server};
use crate::source::Source;
use crate::world::World;

const MODEL: &str = "test/model";

fn origin(server: &Server) -> String {
    format!("http://{}", server.authority())
}

/// A source whose hook fetches a URL.
fn fetching(url: &str, asking: &[String]) -> Source {
    let source = Source::new(test_artifacts::OK_FETCH).file("url.txt", url);
    asking
        .iter()
        .fold(source, |source, host| source.asking(host))
}

/// The report on the only source, or on the one that is named.
fn audit(world: &World, args: &[&str]) -> Value {
    let report = world.json(&[&["audit"], args].concat());
    let sources = report["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 1, "{report:#}");
    sources[0].clone()
}

fn log(world: &World) -> std::fs::File {
    let path = world.home().join("audit.jsonl");
    std::fs::create_dir_all(world.home()).unwrap();
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true).open(path).unwrap()
}

#[test]
fn least_permissions_cover_every_hop_and_suffice() {
    let weights = test_artifacts::tiny_weights();
    let storage = Server::files([("/blob", weights.clone())]);
    let to = storage.url("/blob");
    let front = Server::start(move |_| Response::redirect(to.clone()));
    let world = World::reaching(&[&front, &storage]);
    let asked = [
        origin(&front),
        origin(&storage),
        "https://*.unused.example".to_owned(),
    ];
    let source = || fetching(&front.url("/weights?token=canary"), &asked);
    source().write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    world.ok(&["download", MODEL]);

    let report = audit(&world, &["./source"]);
    assert_eq!(report["registered"], true);
    assert_eq!(report["files"], 1);
    assert_eq!(report["file_bytes"], weights.len());
    let mut network = [origin(&front), origin(&storage)];
    network.sort();
    let needed = json!({ "network": network, "max_download_bytes": weights.len() });
    assert_eq!(report["needed"], needed);
    assert_eq!(report["unused"], json!(["https://*.unused.example"]));
    assert_eq!(report["not_granted"], json!([]));
    let reached = report["reached"].as_array().unwrap();
    let of = |origin: &str| reached.iter().find(|r| r["origin"] == origin).unwrap();
    assert_eq!(of(&origin(&front))["requests"], 1);
    assert_eq!(of(&origin(&storage))["bytes"], weights.len());
    let text = world.ok(&["audit"]).stdout;
    let unused = "https://*.unused.example: granted, but never used";
    assert!(text.contains(unused), "{text}");
    assert!(!text.contains("canary"), "{text}");

    // The snippet can be pasted into the manifest, and suffices.
    let (_, snippet) = text.split_once("\"permissions\": ").unwrap();
    let permissions: Value = serde_json::from_str(snippet).unwrap();
    assert_eq!(permissions, needed);
    source()
        .manifest(|m| m["permissions"] = permissions)
        .write(&world.path("source"));
    world.ok(&["delete-source", "./source", "-y"]);
    world.ok(&["register-source", "./source", "--grant", "all"]);
    world.ok(&["download", MODEL]);
    let report = audit(&world, &[]);
    assert_eq!(report["unused"], json!([]));
    // The limit is the size of one run, not of all of them.
    assert_eq!(report["needed"], needed);
}

#[test]
fn denied_requests_need_no_permission() {
    let server = Server::files([("/w", test_artifacts::tiny_weights())]);
    let world = World::reaching(&[&server]);
    let granted = "https://granted.example";
    Source::new(test_artifacts::BAD_HOST)
        .file("url.txt", server.url("/w"))
        .asking(granted)
        .write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    world.refused(1, &["download", MODEL]);
    let report = audit(&world, &[]);
    assert_eq!(report["needed"], json!({ "network": [] }));
    assert_eq!(report["unused"], json!([granted]));
    let denied = &report["denied"][0];
    assert_eq!(denied["permission"], origin(&server));
    assert_eq!(denied["times"], 2, "in both ways");
    let failed = &report["failures"][0];
    assert_eq!(failed["hook"], "download_model");
    assert_eq!(server.seen().len(), 0);
    let text = world.ok(&["audit"]).stdout;
    assert!(
        text.contains("denied ") && text.contains("(2 times)"),
        "{text}"
    );
}

#[test]
fn hops_before_a_refused_redirect_need_permissions() {
    let to = "https://elsewhere.example/w";
    let server = Server::start(move |_| Response::redirect(to));
    let world = World::reaching(&[&server]);
    Source::new(test_artifacts::BAD_REDIRECT)
        .file("url.txt", server.url("/w"))
        .asking(&origin(&server))
        .write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    world.refused(1, &["download", MODEL]);
    let report = audit(&world, &[]);
    assert_eq!(report["needed"]["network"], json!([origin(&server)]));
    let denied = report["denied"].as_array().unwrap();
    assert!(
        denied
            .iter()
            .any(|d| d["permission"] == "https://elsewhere.example"),
        "{denied:#?}"
    );
}

#[test]
fn offline_requests_are_neither_needed_nor_denied() {
    let server = Server::files([("/w", test_artifacts::tiny_weights())]);
    let world = World::reaching(&[&server]);
    fetching(&server.url("/w"), &[origin(&server)]).write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    world.refused(1, &["download", MODEL, "--offline"]);
    let report = audit(&world, &[]);
    assert_eq!(report["offline"], 1, "{report:#}");
    assert_eq!(report["denied"], json!([]));
    assert_eq!(report["needed"], json!({ "network": [] }));
}

#[test]
fn requests_of_the_host_need_no_permission() {
    let weights = test_artifacts::tiny_weights();
    let files = Server::files([("/w", weights)]);
    let model = json!({
        "base_name": "test/listed",
        "artifacts": [{ "path": "w.safetensors", "url": files.url("/w") }],
    });
    let source = Source::new(test_artifacts::OK_COPY)
        .file("weights.safetensors", test_artifacts::tiny_weights())
        .manifest(|m| m["models"].as_array_mut().unwrap().push(model));
    let archive = Server::files([("/s.zip", source.zip(""))]);
    let world = World::reaching(&[&files, &archive]);
    world.ok(&["register-source", &archive.url("/s.zip")]);
    world.ok(&["download", "test/listed"]);
    world.ok(&["download", MODEL]);
    let report = audit(&world, &[]);
    assert_eq!(report["reached"], json!([]));
    let by_host = report["reached_by_host"].as_array().unwrap();
    for server in [&files, &archive] {
        assert!(
            by_host.iter().any(|r| r["origin"] == origin(server)),
            "{by_host:#?}"
        );
    }
    assert_eq!(report["needed"], json!({ "network": [] }));
}

#[test]
fn mirror_needs_the_permission_of_its_origin() {
    let mirror = Server::files([("/m/w", test_artifacts::tiny_weights())]);
    let world = World::new();
    std::fs::create_dir(world.home()).unwrap();
    let mirrors = format!(
        "[mirrors]\n\"https://models.example\" = \"{}\"\n",
        mirror.url("/m")
    );
    std::fs::write(world.home().join("config.toml"), mirrors).unwrap();
    let asked = ["https://models.example".to_owned()];
    fetching("https://models.example/w", &asked).write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    world.ok(&["download", MODEL]);
    let report = audit(&world, &[]);
    assert_eq!(report["needed"]["network"], json!(asked));
    assert_eq!(report["unused"], json!([]));
}

#[test]
fn mirrors_that_share_an_origin_are_told_apart() {
    // One machine mirrors two origins, and each moves its file about.
    let mirror = Server::start(|request| match request.path.as_str() {
        "/a/w" => Response::redirect("/a/moved"),
        "/a/moved" => Response::redirect("https://b.example/w"),
        "/b/w" => Response::redirect("/b/moved"),
        "/b/moved" => Response::ok(test_artifacts::tiny_weights()),
        _ => Response::status(404),
    });
    let asked = [
        "https://a.example".to_owned(),
        "https://b.example".to_owned(),
    ];
    for order in [["a", "b"], ["b", "a"]] {
        let world = World::new();
        std::fs::create_dir(world.home()).unwrap();
        let mut mirrors = "[mirrors]\n".to_owned();
        for name in order {
            mirrors += &format!(
                "\"https://{name}.example\" = \"{}\"\n",
                mirror.url(&format!("/{name}"))
            );
        }
        std::fs::write(world.home().join("config.toml"), mirrors).unwrap();
        let wide = "https://*.unused.example".to_owned();
        let asked_too_much = [&asked[..], std::slice::from_ref(&wide)].concat();
        fetching("https://a.example/w", &asked_too_much).write(&world.path("source"));
        world.ok(&["register-source", "./source", "--grant", "all"]);
        world.ok(&["download", MODEL]);
        let report = audit(&world, &[]);
        assert_eq!(report["needed"]["network"], json!(asked));
        assert_eq!(report["unused"], json!([wide]));
        assert_eq!(report["not_granted"], json!([]));
        let reached = json!([
            { "origin": "https://a.example", "requests": 2, "bytes": 0 },
            { "origin": "https://b.example", "requests": 2, "bytes": test_artifacts::tiny_weights().len() },
        ]);
        assert_eq!(report["reached"], reached);
        // The report does not depend on what the settings say now.
        std::fs::remove_file(world.home().join("config.toml")).unwrap();
        assert_eq!(audit(&world, &[])["needed"]["network"], json!(asked));
    }
}

#[test]
fn overly_wide_permission_is_reported() {
    let world = World::new();
    Source::digits()
        .asking("https://*.example.org")
        .write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    let id = world.json(&["list-sources"])[0]["id"].clone();
    for url in ["https://a.example.org/x", "https://b.example.org:444/y"] {
        let line = json!({
            "time": "2026-01-02T03:04:05Z", "source": id, "model": "m", "event": "request",
            "by": "download_model", "call": "1", "method": "GET", "url": url,
            "hops": [{ "url": url, "status": 200 }], "outcome": "ok", "bytes": 5,
        });
        writeln!(log(&world), "{line}").unwrap();
    }
    let report = audit(&world, &[]);
    assert_eq!(
        report["narrower"],
        json!([{ "granted": "https://*.example.org", "used": ["https://a.example.org"] }])
    );
    assert_eq!(report["not_granted"], json!(["https://b.example.org:444"]));
    assert_eq!(report["needed"]["max_download_bytes"], 10);
    let text = world.ok(&["audit"]).stdout;
    assert!(
        text.contains("too wide") && text.contains("not granted"),
        "{text}"
    );
}

#[test]
fn unreadable_records_are_skipped() {
    let world = World::new();
    let line = |event: &str, time: &str| {
        format!(
            r#"{{"time":"{time}","source":"file:/gone","event":"{event}","reason":"\u001b]52;c;aGk=\u0007","what":[1]}}"#
        )
    };
    let old = line("hook_failed", "2025-01-01T00:00:00Z");
    let new = line("refused", "2026-06-01T00:00:00Z");
    let mut bytes = format!("{old}\n{}\n", line("vetted", "2026-06-01T00:00:00Z")).into_bytes();
    // Cut off by a crash and followed by the next record; not UTF-8; empty; far too long.
    bytes.extend(format!("{}{new}\n", &old[..50]).into_bytes());
    bytes.extend(b"\xff\xfe\n\n");
    bytes.extend(vec![b'x'; 3 << 20]);
    bytes.extend(format!("\n{new}\n{}", &old[..old.len() - 1]).into_bytes());
    log(&world).write_all(&bytes).unwrap();

    let report = world.json(&["audit"]);
    assert_eq!(report["records"], 4, "{report:#}");
    assert_eq!(report["torn"], 5);
    assert_eq!(report["unknown"], 1);
    let source = &report["sources"][0];
    assert_eq!(source["registered"], false);
    assert_eq!(
        source["events"],
        json!({ "hook_failed": 1, "refused": 2, "vetted": 1 })
    );
    assert_eq!(source["first"], "2025-01-01T00:00:00Z");

    let since = audit(&world, &["file:/gone", "--since", "2026-01-01"]);
    assert_eq!(since["events"], json!({ "refused": 2, "vetted": 1 }));
    let run = world.ok(&["audit"]);
    assert!(
        run.stderr.contains("cannot be read in full: 5"),
        "{}",
        run.stderr
    );
    assert!(!run.stdout.contains(['\u{1b}', '\u{7}']), "{}", run.stdout);
    let error = world.refused(1, &["audit", "acme/other"]);
    assert!(
        error.contains("no record of acme/other") && error.contains("hint:"),
        "{error}"
    );
    let error = world.refused(2, &["audit", "--since", "yesterday"]);
    assert!(error.contains("2026-01-31"), "{error}");
}

#[test]
fn missing_log_has_no_records() {
    let world = World::new();
    let run = world.ok(&["audit"]);
    assert_eq!(run.stdout, "");
    assert!(run.stderr.contains("no records"), "{}", run.stderr);
    assert_eq!(world.json(&["audit"])["sources"], json!([]));
    assert!(!world.home().exists(), "looking makes no store");
}

#[test]
fn full_log_is_rotated_and_still_read() {
    let world = World::new();
    Source::digits().write(&world.path("source"));
    let mut full = Vec::new();
    while full.len() < 8 << 20 {
        full.extend(br#"{"time":"2026-01-02T03:04:05Z","source":"file:/old","event":"deleted"}"#);
        full.push(b'\n');
    }
    let lines = full.iter().filter(|b| **b == b'\n').count() as u64;
    log(&world).write_all(&full).unwrap();
    world.ok(&["register-source", "./source"]);
    let size = |name: &str| std::fs::metadata(world.home().join(name)).map(|m| m.len());
    assert!(size("audit.1.jsonl").unwrap() >= full.len() as u64);
    world.ok(&["download", "modelzoo/digits-cnn"]);
    assert!(size("audit.jsonl").unwrap() < 4096);
    let report = world.json(&["audit"]);
    let count = |id: &str, event: &str| {
        let sources = report["sources"].as_array().unwrap();
        let of = sources
            .iter()
            .find(|s| s["id"].as_str().unwrap().starts_with(id));
        of.unwrap()["events"][event].as_u64()
    };
    assert_eq!(count("file:/old", "deleted"), Some(lines));
    let id = format!(
        "file:{}",
        world.path("source").canonicalize().unwrap().display()
    );
    assert_eq!(
        count(&id, "registered"),
        Some(1),
        "it is in the file that was put aside"
    );
    assert_eq!(count(&id, "file"), Some(1));
}

#[test]
fn long_urls_do_not_fill_the_log() {
    let long = format!("/{}", "x".repeat(6000));
    let to = long.clone();
    let server = Server::start(move |_| Response::redirect(to.clone()));
    let world = World::reaching(&[&server]);
    fetching(&server.url(&long), &[origin(&server)]).write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    world.refused(1, &["download", MODEL]);
    let requests: Vec<_> = world
        .audit()
        .into_iter()
        .filter(|record| record["event"] == "request")
        .collect();
    assert!(!requests.is_empty() && requests.iter().all(|r| r.to_string().len() < 8 << 10));
    assert_eq!(
        audit(&world, &[])["needed"]["network"],
        json!([origin(&server)])
    );
}

/// The bytes of all files of the log.
fn log_bytes(world: &World) -> u64 {
    let entries = std::fs::read_dir(world.home()).unwrap().map(Result::unwrap);
    let logs = entries.filter(|e| e.file_name().to_string_lossy().starts_with("audit."));
    logs.map(|log| log.metadata().unwrap().len()).sum()
}

#[test]
fn one_source_does_not_push_out_the_records_of_others() {
    const FILES: usize = 1300;
    let long = "x".repeat(200);
    let named = |n: usize| (format!("root/{long}/{n:04}{long}"), Vec::new());
    let zip = crate::source::pack_zip(&(0..FILES).map(named).collect::<Vec<_>>());
    let server = Server::files([("/many.zip", zip)]);
    let world = World::reaching(&[&server]);
    Source::digits().write(&world.path("source"));
    world.ok(&["register-source", "./source"]);
    let artifact = json!({ "path": "many.zip", "url": server.url("/many.zip"), "unpack": true });
    let model = json!({ "base_name": "test/many", "artifacts": [artifact] });
    Source::new(test_artifacts::OK_COPY)
        .manifest(|m| m["models"] = json!([model]))
        .write(&world.path("greedy"));
    world.ok(&["register-source", "./greedy"]);
    for _ in 0..3 {
        world.ok(&["download", "test/many", "--overwrite"]);
    }
    let bytes = log_bytes(&world);
    assert!(bytes > 1 << 20 && bytes < (2 << 20) + (1 << 18), "{bytes}");
    let greedy = audit(&world, &["./greedy"]);
    let files = greedy["files"].as_u64().unwrap();
    let left_out = greedy["left_out"].as_u64().unwrap();
    assert!(files > 1000 && left_out > 500, "{files} {left_out}");
    // Those that were cut are among the files, and the few other records.
    let written = 3 * FILES as u64;
    assert!(
        (written..written + 20).contains(&(files + left_out)),
        "{files} {left_out}"
    );
    let text = world.ok(&["audit", "./greedy"]).stdout;
    assert!(
        text.contains(&format!("{left_out} records or parts")),
        "{text}"
    );
    // The others' records are all there, and new ones are written.
    world.ok(&["download", "modelzoo/digits-cnn"]);
    let other = audit(&world, &["./source"]);
    assert_eq!(other["events"]["registered"], 1);
    assert_eq!(other["events"]["file"], 1);
    assert_eq!(other["left_out"], 0);
}

#[test]
fn records_are_bounded_and_what_is_cut_is_counted() {
    const HOSTS: usize = 20_000;
    let world = World::new();
    Source::digits()
        .manifest(|m| {
            let hosts = (0..HOSTS).map(|n| json!(format!("https://h{n}.example")));
            m["permissions"]["network"] = hosts.collect();
        })
        .write(&world.path("source"));
    let run = world.run(&["register-source", "./source"]);
    assert!(matches!(run.code, Some(1 | 4)), "{:?}", run.code);
    assert!(log_bytes(&world) < 40 << 10, "{}", log_bytes(&world));
    let withheld = world
        .audit()
        .into_iter()
        .find(|record| record["event"] == "withheld");
    if let Some(record) = withheld {
        let kept = record["permissions"].as_array().unwrap().len();
        assert_eq!(record["cut"], HOSTS - kept);
        assert_eq!(audit(&world, &[])["left_out"], HOSTS - kept);
    }
}
