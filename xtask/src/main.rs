//! Developer commands of the workspace, run as `cargo xtask <command>`.

mod attacks;
mod bench;
mod ci;
mod command;
mod docs;
mod fuzz;
mod house;
mod page;
mod parity;
mod python;
mod quickstart;
mod report;
mod scoreboard;
mod serve;
mod test;
mod tool;
mod wasm;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::print_error;

/// What any step may fail with: a message for the terminal.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Developer commands of the modelzoo workspace
///
/// Those that compile guests install the Rust target wasm32-wasip2 first, if it is missing.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the command and apply a downloaded model to a small dataset
    ///
    /// Compiles the modelzoo command and the source in examples/digits, serves the source as an
    /// archive from this machine, and does what a user would: registers the source, lists its
    /// models, downloads one and applies it to a dataset. The store and the dataset are left in
    /// target/quickstart to look at.
    Quickstart,
    Test(test::TestArgs),
    Attacks(attacks::AttacksArgs),
    /// Write the pages that are made from the program: docs/configuration.md, docs/commands.md, the
    /// verbs of README.md and the cases of docs/security.md
    ///
    /// The tests check that these pages are up to date.
    Docs,
    Fuzz(fuzz::FuzzArgs),
    Bench(bench::BenchArgs),
    Parity(parity::ParityArgs),
    Scoreboard(scoreboard::ScoreboardArgs),
    House(house::HouseArgs),
    /// Run every check that a change must pass
    ///
    /// Format, clippy with all warnings denied, all tests, that every attack has one, the quickstart,
    /// and cargo-deny over licences, bans and sources, and over security advisories if their
    /// database can be fetched. Every check runs even after one has failed. cargo-deny is installed
    /// into target/tools if it is missing.
    Ci,
}

impl Task {
    fn run(self) -> Result<()> {
        match self {
            Self::Quickstart => quickstart::run("dev"),
            Self::Test(args) => test::run(&args),
            Self::Attacks(args) => attacks::run(&args),
            Self::Docs => docs::run(),
            Self::Fuzz(args) => fuzz::run(&args),
            Self::Bench(args) => bench::run(&args),
            Self::Parity(args) => parity::run(&args),
            Self::Scoreboard(args) => scoreboard::run(&args),
            Self::House(args) => house::run(&args),
            Self::Ci => ci::run(),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let entered = root().and_then(|root| Ok(env::set_current_dir(root)?));
    match entered.and_then(|()| cli.task.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The workspace's directory.
fn root() -> Result<PathBuf> {
    let package = env::var_os("CARGO_MANIFEST_DIR").ok_or("run this as `cargo xtask`")?;
    let root = PathBuf::from(package).parent().map(PathBuf::from);
    Ok(root.ok_or("the package has no directory above it")?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_of_the_runner_are_passed_on() {
        let cli = Cli::try_parse_from(["xtask", "test", "a_name", "--no-capture"]).unwrap();
        let Task::Test(args) = cli.task else {
            panic!("another command");
        };
        assert_eq!(args.arguments, ["a_name", "--no-capture"]);
    }
}
