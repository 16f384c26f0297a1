//! Every check that a change must pass.

use std::time::{Duration, Instant};

use crate::command::{self, cargo, complain, run_within, say};
use crate::{Result, attacks, no_arguments, quickstart, test, tool, wasm};

/// The command's help.
pub(crate) const HELP: &str = "\
Runs every check that a change must pass

Usage: cargo xtask ci

Format, clippy with all warnings denied, all tests, that every attack has one, the
quickstart, and cargo-deny over licences, bans and sources, and over security
advisories when their database can be fetched.
Every check runs even after one has failed. cargo-deny is installed into
target/tools unless it is there.";

/// The version that deny.toml is written for.
const DENY_VERSION: &str = "0.20.2";

/// A check and its name.
type Check = (&'static str, fn() -> Result<()>);

/// Runs the checks.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    wasm::ensure()?;
    let checks: [Check; 6] = [
        ("format", format),
        ("clippy", clippy),
        ("tests", || test::run(&[])),
        ("attacks", || attacks::run(&["--check".to_owned()])),
        ("quickstart", || quickstart::run(&[])),
        ("dependencies", dependencies),
    ];
    let mut failed = Vec::new();
    let mut summary = Vec::new();
    for (name, check) in checks {
        let started = Instant::now();
        let result = check();
        let seconds = started.elapsed().as_secs();
        let state = if result.is_ok() { "ok" } else { "FAILED" };
        summary.push(format!("{name:<14}{state:<8}{seconds:>5} s"));
        if let Err(error) = result {
            complain(format_args!("error: {error}"));
            failed.push(name);
        }
    }
    say(format_args!("\n{}", summary.join("\n")));
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("failed: {}", failed.join(", ")).into())
}

fn format() -> Result<()> {
    command::run(cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    command::run(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn dependencies() -> Result<()> {
    tool::ensure("deny", DENY_VERSION)?;
    command::run(tool::command("deny").args(["check", "bans", "licenses", "sources"]))?;
    // The database lies on a git host that not every machine reaches. Once it is here, what it
    // says counts.
    let mut fetch = tool::command("deny");
    fetch
        .args(["fetch", "db"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_HTTP_LOW_SPEED_LIMIT", "1000")
        .env("GIT_HTTP_LOW_SPEED_TIME", "30");
    if let Err(error) = run_within(Duration::from_secs(120), &mut fetch) {
        say(format_args!(
            "\nwarning: security advisories were NOT checked: their database cannot be fetched ({error})"
        ));
        return Ok(());
    }
    command::run(tool::command("deny").args(["check", "--disable-fetch", "advisories"]))
}
