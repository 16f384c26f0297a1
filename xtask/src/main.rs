//! Developer commands of the workspace, run as `cargo xtask <command>`.

mod attacks;
mod bench;
mod ci;
mod command;
mod fuzz;
mod pack;
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

use crate::command::{complain, say};

/// What any step may fail with: a message for the terminal.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
Developer commands of the modelzoo workspace

Usage: cargo xtask <COMMAND> [--help]

Commands:
  quickstart  Builds everything and applies a downloaded model to a small dataset
  test        Runs all tests
  attacks     Checks that every attack has a test, and writes the table of them
  fuzz        Looks for inputs that break the readers of strangers' bytes
  bench       Measures the runtime beside PyTorch and ONNX Runtime
  parity      Compares the runtime with the reference implementations
  scoreboard  Says which of FiftyOne's models run
  ci          Runs every check that a change must pass
  help        Prints this

All of them first see to it that the Rust target wasm32-wasip2, which the guests
are compiled for, is installed.";

/// A command: its name, its help and what it does with the arguments after its name.
struct Task {
    name: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const TASKS: [Task; 8] = [
    Task {
        name: "quickstart",
        help: quickstart::HELP,
        run: quickstart::run,
    },
    Task {
        name: "test",
        help: test::HELP,
        run: test::run,
    },
    Task {
        name: "attacks",
        help: attacks::HELP,
        run: attacks::run,
    },
    Task {
        name: "fuzz",
        help: fuzz::HELP,
        run: fuzz::run,
    },
    Task {
        name: "bench",
        help: bench::HELP,
        run: bench::run,
    },
    Task {
        name: "parity",
        help: parity::HELP,
        run: parity::run_command,
    },
    Task {
        name: "scoreboard",
        help: scoreboard::HELP,
        run: scoreboard::run_command,
    },
    Task {
        name: "ci",
        help: ci::HELP,
        run: ci::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (name, rest) = match arguments.split_first() {
        None => ("help", arguments.as_slice()),
        Some((name, rest)) => (name.as_str(), rest),
    };
    if matches!(name, "help" | "--help" | "-h") {
        let topic = TASKS
            .iter()
            .find(|task| rest.first().is_some_and(|name| name == task.name));
        say(topic.map_or(HELP, |task| task.help));
        return ExitCode::SUCCESS;
    }
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        complain(format_args!(
            "error: there is no command `{name}`\n\n{HELP}"
        ));
        return ExitCode::from(2);
    };
    // What follows `--` belongs to the program that a command runs.
    if rest
        .iter()
        .take_while(|a| *a != "--")
        .any(|a| a == "--help" || a == "-h")
    {
        say(task.help);
        return ExitCode::SUCCESS;
    }
    match root()
        .and_then(|root| Ok(env::set_current_dir(root)?))
        .and_then(|()| (task.run)(rest))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("error: {error}"));
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

/// Refuses arguments, for a command that takes none.
fn no_arguments(arguments: &[String]) -> Result<()> {
    match arguments.first() {
        None => Ok(()),
        Some(argument) => Err(format!("`{argument}` is not expected; see --help").into()),
    }
}
