//! `modelzoo doctor`.

use serde_json::{Value, json};

use crate::world::World;

#[test]
fn doctor_shows_the_machine_and_creates_nothing() {
    let world = World::new();
    let found = world.json(&["doctor"]);
    assert_eq!(found["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(found["store"]["path"], world.home().to_str().unwrap());
    assert_eq!(found["store"]["writable"], true);
    assert_eq!(found["config_file"], Value::Null);
    assert_eq!(found["offline"], false);
    assert_eq!(found["proxies"], json!([]));
    assert_eq!(found["compiler"]["works"], true);
    assert_eq!(found["compiler"]["limited"], cfg!(unix));
    assert!(found["threads"].as_u64().unwrap() > 0);
    assert!(["avx512", "avx2", "portable"].contains(&found["cpu_kernels"].as_str().unwrap()));
    let devices = found["devices"].as_array().unwrap();
    let names: Vec<_> = devices.iter().map(|device| &device["name"]).collect();
    assert_eq!(names, ["cpu", "cuda", "metal"]);
    assert_eq!(devices[0]["available"], true);
    let wall = found["second_wall"]["kind"].as_str().unwrap();
    match wall {
        "landlock" => assert!(found["second_wall"]["abi"].as_u64().unwrap() >= 2),
        _ => assert!(!found["second_wall"]["reason"].as_str().unwrap().is_empty()),
    }
    assert!(!world.home().exists());
}

#[test]
fn doctor_prints_a_table() {
    let world = World::new();
    let run = world.ok(&["doctor"]);
    for line in [
        "version",
        "store",
        "second wall",
        "compiler",
        "threads",
        "cuda",
    ] {
        assert!(
            run.stdout.lines().any(|l| l.starts_with(line)),
            "{line}: {}",
            run.stdout
        );
    }
    assert_eq!(run.stderr, "");
}

#[test]
fn settings_are_shown_without_secrets() {
    let world = World::new()
        .env("HTTPS_PROXY", "http://user:hunter2@proxy.example")
        .env("no_proxy", "hunter2.example")
        .env("GITHUB_TOKEN", "hunter2")
        .env("RAYON_NUM_THREADS", "3");
    std::fs::create_dir(world.home()).unwrap();
    let file = world.home().join("config.toml");
    std::fs::write(&file, "offline = true\n[limits]\ncompile_wall = 7\n").unwrap();
    let found = world.json(&["doctor"]);
    assert_eq!(found["proxies"], json!(["HTTPS_PROXY", "no_proxy"]));
    assert_eq!(found["offline"], true);
    assert_eq!(found["threads"], 3);
    assert_eq!(found["config_file"], file.to_str().unwrap());
    let run = world.ok(&["doctor"]);
    assert!(!format!("{found} {run:?}").contains("hunter2"));
    #[cfg(unix)]
    assert!(run.stdout.contains("and 7 s"), "{}", run.stdout);
}

#[cfg(target_os = "linux")]
#[test]
fn unwritable_store_is_reported() {
    let world = World::new().env("MODELZOO_HOME", "/proc/modelzoo");
    let run = world.run(&["doctor"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(run.stdout.contains("not writable"), "{}", run.stdout);
    assert!(
        run.stderr
            .starts_with("error: the store /proc/modelzoo cannot be written: "),
        "{}",
        run.stderr
    );
    let run = world.run(&["doctor", "--json"]);
    assert_eq!(run.code, Some(1));
    let found: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(found["store"]["writable"], false);
}
