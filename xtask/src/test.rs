//! Running all tests.

use std::env;

use crate::command::{self, cargo, succeeds};
use crate::{Result, wasm};

/// The command's help.
pub(crate) const HELP: &str = "\
Runs all tests

Usage: cargo xtask test [ARGUMENTS]...

The tests run in cargo-nextest when it is installed, and in `cargo test` when it
is not; the documentation's examples always run in `cargo test`. ARGUMENTS go to
the runner of the tests, for example a part of a test's name; cargo-nextest then
leaves the documentation's examples out. When CI is set, all tests run even after
one has failed.";

/// Runs the tests.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    wasm::ensure()?;
    let all = env::var_os("CI").is_some();
    if !succeeds(cargo().args(["nextest", "--version"])) {
        // This runs the documentation's examples as well.
        let mut tests = cargo();
        tests.args(["test", "--workspace"]);
        if all {
            tests.arg("--no-fail-fast");
        }
        return command::run(tests.args(arguments));
    }
    let mut tests = cargo();
    tests.args(["nextest", "run", "--workspace"]);
    if all {
        tests.args(["--profile", "ci"]);
    }
    command::run(tests.args(arguments))?;
    if arguments.is_empty() {
        command::run(cargo().args(["test", "--workspace", "--doc"]))?;
    }
    Ok(())
}
