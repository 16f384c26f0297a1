//! Fuzzing: the bodies of `tests/fuzz` in libFuzzer.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Args;

use crate::Result;
use crate::command::{self, output, print_line};
use crate::tool;

/// The targets, and the feature that has each; those that need little are built first.
const TARGETS: [(&str, &str); 7] = [
    ("archives", "archives"),
    ("datasets", "datasets"),
    ("permissions", "permissions"),
    ("weights", "weights"),
    ("images", "images"),
    ("references", "zoo"),
    ("manifests", "zoo"),
];
const PACKAGE: &str = "tests/fuzz/fuzz";
const FUZZ_VERSION: &str = "0.13.2";
/// Where programs, corpora and findings go.
const PLACE: &str = "target/fuzz";
/// Makes a program write its seeds and its dictionary to the directory that it names.
const OFFER: &str = "MODELZOO_FUZZ_OFFER";

/// Look for inputs that break what must be true of every reader of untrusted input
///
/// Without targets, all of them run. `references` and `manifests` need the sandbox, which takes long
/// to build, and `weights` and `images` the runtime. What is found is kept under target/fuzz, and a later run
/// goes on from there. The command fails if an input broke something, and names it with the command
/// to repeat it. cargo-fuzz is installed into target/tools if it is missing.
#[derive(Debug, Args)]
pub(crate) struct FuzzArgs {
    /// How long each target runs
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// What to fuzz
    #[arg(value_name = "TARGET", value_parser = TARGETS.map(|(name, _)| name))]
    targets: Vec<String>,
}

impl FuzzArgs {
    /// The targets that are named, or all; each with its feature.
    fn targets(&self) -> Vec<(&'static str, &'static str)> {
        if self.targets.is_empty() {
            return TARGETS.into();
        }
        let find = |named: &String| TARGETS.into_iter().find(|(name, _)| name == named);
        self.targets.iter().filter_map(find).collect()
    }
}

/// What a run of a target came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    executions: u64,
    coverage: u64,
}

/// Runs the command.
pub(crate) fn run(args: &FuzzArgs) -> Result<()> {
    let targets = args.targets();
    tool::ensure("fuzz", FUZZ_VERSION)?;
    build(&targets)?;
    let mut table = vec![format!(
        "{:<14}{:>12}{:>14}{:>10}  result",
        "target", "executions", "executions/s", "features"
    )];
    let mut broken = Vec::new();
    for (name, _) in &targets {
        let started = Instant::now();
        let findings_before = findings(name)?;
        let log = fuzz(name, args.seconds)?;
        let seconds = started.elapsed().as_secs_f64();
        let count = count(&log);
        let new: Vec<_> = findings(name)?
            .difference(&findings_before)
            .cloned()
            .collect();
        let result = match new.len() {
            0 => "nothing broke".to_owned(),
            inputs => format!("{inputs} inputs BROKE it"),
        };
        table.push(format!(
            "{name:<14}{:>12}{:>14.0}{:>10}  {result}",
            count.executions,
            count.executions as f64 / seconds,
            count.coverage
        ));
        broken.extend(new.iter().map(|input| repeat(name, input)));
    }
    print_line(format_args!("\n{}", table.join("\n")));
    if broken.is_empty() {
        return Ok(());
    }
    Err(format!(
        "inputs broke something; to repeat:\n  {}",
        broken.join("\n  ")
    )
    .into())
}

/// Builds the programs of the targets, those that need little first.
fn build(targets: &[(&str, &str)]) -> Result<()> {
    for (name, feature) in targets {
        let mut build = tool::command("fuzz");
        build.args(["build", "--fuzz-dir", PACKAGE, "--target-dir", PLACE]);
        // See docs/decisions.md.
        build.args(["--sanitizer", "none", "--codegen-units", "16"]);
        command::run(build.args(["--features", feature, name]))?;
    }
    Ok(())
}

/// Fuzzes a target and returns what libFuzzer printed. What broke is among the
/// [`findings`] afterwards.
fn fuzz(name: &str, seconds: u64) -> Result<String> {
    let place = place(name);
    fs::create_dir_all(place.join("findings"))?;
    let program = program(name)?;
    command::run(Command::new(&program).env(OFFER, &place))?;
    let log = place.join("log");
    let status = Command::new(&program)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-dict={}", place.join("dictionary").display()))
        .arg(format!(
            "-artifact_prefix={}/",
            place.join("findings").display()
        ))
        .args(["-timeout=20", "-rss_limit_mb=2048", "-max_len=65536"])
        .arg("-print_final_stats=1")
        .arg(place.join("corpus"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .status()?;
    let printed = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    if !status.success() && findings(name)?.is_empty() {
        let tail: Vec<_> = printed.lines().rev().take(20).collect();
        let tail: Vec<_> = tail.into_iter().rev().collect();
        return Err(format!("{name} failed ({status}):\n{}", tail.join("\n")).into());
    }
    Ok(printed)
}

fn place(name: &str) -> PathBuf {
    Path::new(PLACE).join(name)
}

/// The inputs that ever broke a target.
fn findings(name: &str) -> Result<BTreeSet<PathBuf>> {
    let directory = place(name).join("findings");
    if !directory.is_dir() {
        return Ok(BTreeSet::new());
    }
    let files = fs::read_dir(directory)?;
    files.map(|file| Ok(file?.path())).collect()
}

/// The program of a target, as cargo-fuzz builds it.
fn program(name: &str) -> Result<PathBuf> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc does not print the host")?;
    Ok(Path::new(PLACE).join(host).join("release").join(name))
}

/// The command that runs an input again.
fn repeat(name: &str, input: &Path) -> String {
    let program = program(name).unwrap_or_default();
    format!("{} {}", program.display(), input.display())
}

/// What libFuzzer counted: `stat::number_of_executed_units: 12` at the end, and
/// `#12 NEW cov: 34 ft: 56 …` on the way.
fn count(log: &str) -> Count {
    let mut count = Count::default();
    for line in log.lines() {
        if let Some(number) = line.strip_prefix("stat::number_of_executed_units:") {
            count.executions = number.trim().parse().unwrap_or_default();
        }
        if !line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        if words.any(|word| word == "ft:") {
            let number = words.next().and_then(|word| word.parse().ok());
            count.coverage = number.unwrap_or(count.coverage);
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: FuzzArgs,
    }

    fn parse(arguments: &[&str]) -> Option<FuzzArgs> {
        let line = Line::try_parse_from(["fuzz"].iter().chain(arguments)).ok()?;
        Some(line.args)
    }

    #[test]
    fn targets_are_all_unless_some_are_named() {
        assert_eq!(parse(&[]).unwrap().targets(), TARGETS);
        assert_eq!(parse(&[]).unwrap().seconds, 60);
        let some = parse(&["weights", "--seconds", "5", "archives"]).unwrap();
        assert_eq!(some.seconds, 5);
        assert_eq!(some.targets(), [TARGETS[3], TARGETS[0]]);
        for wrong in [&["--seconds"][..], &["--seconds", "0"], &["nothing"]] {
            assert!(parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn counts_of_libfuzzer_are_read() {
        let log = "INFO: seed\n#2\tINITED cov: 5 ft: 6 corp: 1/1b\n#9\tNEW    cov: 7 ft: 81 corp: 2/2b\nDone 10 runs\nstat::number_of_executed_units: 10\nstat::peak_rss_mb: 40\n";
        let counted = Count {
            executions: 10,
            coverage: 81,
        };
        assert_eq!(count(log), counted);
        assert_eq!(count("nothing"), Count::default());
    }

    #[test]
    fn every_target_has_its_program_and_its_feature() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let manifest = fs::read_to_string(root.join(PACKAGE).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = toml::from_str(&manifest).unwrap();
        let mut there: Vec<_> = manifest["bin"]
            .as_array()
            .unwrap()
            .iter()
            .map(|program| {
                let name = program["name"].as_str().unwrap();
                (name, program["required-features"][0].as_str().unwrap())
            })
            .collect();
        there.sort_unstable();
        let mut all = TARGETS;
        all.sort_unstable();
        assert_eq!(there, all);
    }
}
