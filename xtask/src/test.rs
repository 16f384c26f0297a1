//! Running all tests.

use std::env;

use clap::Args;

use crate::command::{self, cargo, succeeds};
use crate::{Result, wasm};

/// Run all tests
///
/// They run in cargo-nextest if it is installed, and in `cargo test` if not; the documentation's
/// examples always run in `cargo test`. If CI is set, all tests run even after one has failed.
#[derive(Debug, Default, Args)]
pub(crate) struct TestArgs {
    /// Arguments for the runner of the tests, for example a part of a test's name; with
    /// cargo-nextest the documentation's examples are left out then
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

pub(crate) fn run(args: &TestArgs) -> Result<()> {
    wasm::ensure()?;
    let all = env::var_os("CI").is_some();
    if !succeeds(cargo().args(["nextest", "--version"])) {
        // This runs the documentation's examples as well.
        let mut tests = cargo();
        tests.args(["test", "--workspace"]);
        if all {
            tests.arg("--no-fail-fast");
        }
        return command::run(tests.args(&args.arguments));
    }
    let mut tests = cargo();
    tests.args(["nextest", "run", "--workspace"]);
    if all {
        tests.args(["--profile", "ci"]);
    }
    command::run(tests.args(&args.arguments))?;
    if args.arguments.is_empty() {
        command::run(cargo().args(["test", "--workspace", "--doc"]))?;
    }
    Ok(())
}
