//! The compile process: components are compiled in a child process with limits and few privileges.
#![cfg(unix)]

use std::fmt::Write as _;

use crate::source::Source;
use crate::world::World;

const GOOD: &str = "good/model";
const BOMB: &str = "bomb/model";

/// A module of a few kilobytes that is expensive to compile: any of `size` blocks of its function can
/// follow each other, and every one of `size` variables may have another value in each.
fn bomb(size: usize) -> Vec<u8> {
    let mut text = "(module (func (param i32) (result i32) (local".to_owned();
    text.push_str(&" i64".repeat(size));
    text.push_str(") (loop $again ");
    text.push_str(&"(block ".repeat(size));
    text.push_str("(br_table");
    for target in 0..size {
        let _ = write!(text, " {target}");
    }
    text.push_str(" (local.get 0))");
    for place in 0..size {
        let [to, from] = [place, place * 7 + 1].map(|n| n % size + 1);
        let _ = write!(
            text,
            ") (local.set {to} (i64.add (local.get {from}) (i64.const {place})))
              (br_if $again (i32.wrap_i64 (local.get {to})))"
        );
    }
    text.push_str(") (local.get 0)))");
    wat::parse_str(text).unwrap()
}

/// A well-behaved component with one more module in it.
fn component_with(module: &[u8]) -> Vec<u8> {
    let mut component = std::fs::read(test_artifacts::OK_COPY).unwrap();
    // A section of one core module: its kind, its length in groups of seven bits, itself.
    component.push(1);
    let mut length = module.len();
    while length > 0x7f {
        component.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    component.push(length as u8);
    component.extend_from_slice(module);
    component
}

/// A store with a good source, whose model is downloaded, and one whose component is a compile bomb.
fn world(size: usize, limits: &str) -> World {
    let world = World::new();
    for name in [GOOD, BOMB] {
        Source::new(test_artifacts::OK_COPY)
            .file("weights.safetensors", test_artifacts::tiny_weights())
            .manifest(|m| m["models"][0]["base_name"] = name.into())
            .write(&world.path(name));
    }
    let bytes = component_with(&bomb(size));
    std::fs::write(world.path(BOMB).join("source.wasm"), bytes).unwrap();
    world.ok(&["register-source", "./good/model"]);
    world.ok(&["download", GOOD]);
    // Nothing is compiled when a source is registered.
    world.ok(&["register-source", "./bomb/model"]);
    let config = format!("[limits]\n{limits}\n");
    std::fs::write(world.home().join("config.toml"), config).unwrap();
    world
}

/// A download with the bomb must fail with `says` and `hints`; then other sources still work.
fn refused(world: &World, says: &str, hints: &str) {
    let said = world.refused(1, &["download", BOMB]);
    assert_eq!(
        said,
        format!("error: source.wasm: compiling the component {says}\nhint: {hints}\n")
    );
    assert_eq!(world.unfinished(), Vec::<std::path::PathBuf>::new());
    let audit = world.audit();
    let failed: Vec<_> = audit
        .iter()
        .filter(|record| record["event"] == "hook_failed")
        .collect();
    assert_eq!(failed.len(), 1, "{audit:#?}");
    assert_eq!(failed[0]["hook"], "download_model");
    assert!(failed[0]["reason"].as_str().unwrap().contains(says));
    // The host still compiles other components.
    world.ok(&["download", GOOD, "--overwrite"]);
}

#[test]
fn compile_bomb_hits_the_memory_limit() {
    let world = world(1400, "compile_memory_bytes = 268435456");
    refused(
        &world,
        "takes more than 268435456 bytes of memory",
        "if you trust the source, raise `limits.compile_memory_bytes`",
    );
    // Good components compile within the limit.
    std::fs::remove_dir_all(world.home().join("cache")).unwrap();
    world.ok(&["download", GOOD, "--overwrite"]);
}

#[test]
fn compile_bomb_hits_the_time_limit() {
    refused(
        &world(1000, "compile_wall = 1"),
        "takes more than 1 s",
        "if you trust the source, raise `limits.compile_wall`",
    );
}

#[test]
fn compiler_is_not_a_command() {
    let world = World::new();
    let said = world.refused(1, &["__compile-component"]);
    assert!(said.contains("only modelzoo itself starts"), "{said}");
    assert!(!world.ok(&["--help"]).stdout.contains("__"));
}

/// The state of the process in `/proc`, before it gets a component.
#[cfg(target_os = "linux")]
#[test]
fn compiler_drops_its_privileges() {
    use std::process::Stdio;

    let world = World::new();
    let mut child = world
        .command(&["__compile-component", "268435456", "60"])
        .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let process = format!("/proc/{}", child.id());
    let proc = |file: &str| std::fs::read_to_string(format!("{process}/{file}")).unwrap();
    // The limit on processes is set last, after its threads have started.
    let mut limits = proc("limits");
    while limit(&limits, "Max processes") != ["0", "0"] {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(1));
        limits = proc("limits");
    }
    assert_eq!(limit(&limits, "Max data size"), ["268435456"; 2]);
    assert_eq!(limit(&limits, "Max cpu time"), ["60", "61"]);
    assert_eq!(limit(&limits, "Max file size"), ["0", "0"]);
    assert_eq!(limit(&limits, "Max core file size"), ["0", "0"]);
    assert_eq!(limit(&limits, "Max open files"), ["16", "16"]);
    assert!(proc("status").contains("NoNewPrivs:\t1"));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The soft and the hard limit of this name.
#[cfg(target_os = "linux")]
fn limit<'a>(limits: &'a str, name: &str) -> Vec<&'a str> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().split_whitespace().take(2).collect()
}
