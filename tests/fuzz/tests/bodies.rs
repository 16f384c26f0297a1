//! The bodies of the fuzzer over their seeds, reproducible mutations, and
//! inputs that once failed.

#![allow(
    clippy::print_stdout,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use modelzoo_fuzz::mutate::Mutations;
use modelzoo_fuzz::{Target, targets};

/// Mutations of each target; an environment variable sets more.
const ROUNDS: usize = 1000;
/// The first seed; an environment variable sets another.
const SEED: u64 = 20_261_124;

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{name}: {e}")))
}

/// Runs a body. If it panics, the input is kept and named with the panic's message.
fn run(target: &Target, input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).unwrap_or_else(|_| {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.input", target.name));
        fs::write(&kept, input).unwrap();
        panic!(
            "{}: a property does not hold for this input, kept in {}: {}",
            target.name,
            kept.display(),
            input.escape_ascii()
        )
    })
}

/// Seeds are mostly well-formed, so that mutations of them get past the first check.
fn seeds_hold(target: &Target) {
    let seeds = (target.seeds)();
    let accepted = seeds.iter().filter(|(_, seed)| run(target, seed)).count();
    assert!(
        accepted * 2 > seeds.len(),
        "{accepted} of {} seeds are well-formed",
        seeds.len()
    );
}

fn mutations_hold(target: &Target) {
    let rounds = from_environment("MODELZOO_FUZZ_ROUNDS").map_or(ROUNDS, |n| n as usize);
    let seed = from_environment("MODELZOO_FUZZ_SEED").unwrap_or(SEED);
    let inputs = Mutations::new(target, seed).take(rounds);
    let accepted = inputs.filter(|input| run(target, input)).count();
    println!("{}: {accepted} of {rounds} are well-formed", target.name);
    assert!(
        (1..rounds).contains(&accepted),
        "{accepted} of {rounds} mutations are well-formed"
    );
}

/// What is in `regressions/<target>`.
fn regressions_hold(target: &Target) {
    let Ok(files) = fs::read_dir(here().join("regressions").join(target.name)) else {
        return;
    };
    for file in files {
        run(target, &fs::read(file.unwrap().path()).unwrap());
    }
}

macro_rules! bodies {
    ($($name:ident: $target:ident, $feature:literal;)*) => {
        $(#[cfg(feature = $feature)]
        mod $name {
            use modelzoo_fuzz::$target;

            #[test]
            fn seeds() {
                super::seeds_hold(&$target);
            }

            #[test]
            fn mutations() {
                super::mutations_hold(&$target);
            }

            #[test]
            fn regressions() {
                super::regressions_hold(&$target);
            }
        })*

        #[test]
        fn every_target_is_run() {
            let run = [$(#[cfg(feature = $feature)] stringify!($name)),*];
            let all: Vec<_> = targets().iter().map(|target| target.name).collect();
            assert_eq!(all, run);
        }
    };
}

bodies! {
    archives: ARCHIVES, "archives";
    datasets: DATASETS, "datasets";
    images: IMAGES, "images";
    manifests: MANIFESTS, "zoo";
    permissions: PERMISSIONS, "permissions";
    references: REFERENCES, "zoo";
    weights: WEIGHTS, "weights";
}

/// The package of the fuzzer is built by `cargo xtask fuzz` only; what it consists of is checked
/// here.
#[cfg(feature = "default")]
#[test]
fn every_target_has_a_program() {
    let manifest = fs::read_to_string(here().join("fuzz/Cargo.toml")).unwrap();
    let mut named = std::collections::BTreeSet::new();
    for line in manifest.lines() {
        if let Some(path) = line.strip_prefix("path = \"fuzz_targets/") {
            named.insert(path.trim_end_matches(".rs\"").to_owned());
        }
    }
    let all: std::collections::BTreeSet<_> = targets().iter().map(|t| t.name.to_owned()).collect();
    assert_eq!(named, all);
    for name in all {
        let program = here().join(format!("fuzz/fuzz_targets/{name}.rs"));
        let program = fs::read_to_string(program).unwrap();
        let body = format!("modelzoo_fuzz::{}", name.to_uppercase());
        assert!(program.contains(&body), "{name} runs another body");
    }
}
