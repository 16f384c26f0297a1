//! Every check that a change must pass.

use std::time::{Duration, Instant};

use crate::attacks::{self, AttacksArgs};
use crate::command::{self, cargo, print_error, print_line, run_within};
use crate::test::{self, TestArgs};
use crate::{Result, quickstart, tool, wasm};

/// The version that deny.toml is written for.
const DENY_VERSION: &str = "0.20.2";

/// A check and its name.
type Check = (&'static str, fn() -> Result<()>);

/// Runs the checks, every one even after one has failed.
pub(crate) fn run() -> Result<()> {
    wasm::ensure()?;
    let checks: [Check; 6] = [
        ("format", format),
        ("clippy", clippy),
        ("tests", || test::run(&TestArgs::default())),
        ("attacks", || attacks::run(&AttacksArgs { check: true })),
        ("quickstart", || quickstart::run("test")),
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
            print_error(format_args!("error: {error}"));
            failed.push(name);
        }
    }
    print_line(format_args!("\n{}", summary.join("\n")));
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
    // The database is on a git host that not every machine reaches. Once it is here, what it
    // says counts.
    let mut fetch = tool::command("deny");
    fetch
        .args(["fetch", "db"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_HTTP_LOW_SPEED_LIMIT", "1000")
        .env("GIT_HTTP_LOW_SPEED_TIME", "30");
    if let Err(error) = run_within(Duration::from_secs(120), &mut fetch) {
        print_line(format_args!(
            "\nwarning: security advisories were NOT checked: their database cannot be fetched ({error})"
        ));
        return Ok(());
    }
    command::run(tool::command("deny").args(["check", "--disable-fetch", "advisories"]))
}
