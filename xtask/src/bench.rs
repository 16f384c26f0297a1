//! Measuring the runtime beside the engines that users would otherwise choose.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, Subcommand};

use crate::Result;
use crate::command::{self, cargo};
use crate::python;

const FOLDER: &str = "target/bench";
const REQUIREMENTS: &str = "xtask/bench/requirements.txt";
const SCRIPT: &str = "xtask/bench/models.py";

/// Measure the runtime beside PyTorch and ONNX Runtime
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Models(ModelsArgs),
}

/// Time networks of the published sizes with random weights, the same in all three, on the CPU
///
/// The engines run in turns. The output is a table of the times and of their ratios to PyTorch's.
/// PyTorch and ONNX Runtime are installed, at fixed versions, into a virtual environment of their
/// own, target/bench/venv; this needs Python and the network once.
#[derive(Debug, Args)]
struct ModelsArgs {
    /// Numbers of threads
    #[arg(long, value_name = "N,N", default_value = "1,2")]
    threads: String,
    /// Turns of each engine
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,
    /// What is measured: the time that passes, or the processor time of all threads, for a machine
    /// that others use (Linux only)
    #[arg(long, default_value = "wall", value_parser = ["wall", "cpu"])]
    clock: String,
    /// The Python that makes the environment
    #[arg(long, default_value = "python3")]
    python: String,
    /// The networks: resnet50, clip_vit_b32, vit_b16 and minilm_l6 unless some are named
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
}

/// Runs the benchmark.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let What::Models(options) = &args.what;
    let root = env::current_dir()?;
    let python = python::environment(&root.join(FOLDER), &options.python, REQUIREMENTS)?;
    let mut build = cargo();
    build.args([
        "build",
        "--release",
        "-p",
        "modelzoo-runtime",
        "--example",
        "bench",
    ]);
    command::run(&mut build)?;
    let mut script = Command::new(python);
    script
        .arg(SCRIPT)
        .arg("--program")
        .arg(target(&root).join("release/examples/bench"))
        .arg("--folder")
        .arg(FOLDER)
        .args(["--threads", &options.threads])
        .args(["--rounds", &options.rounds.to_string()])
        .args(["--clock", &options.clock])
        .args(&options.models);
    command::run(&mut script)
}

/// Where cargo builds.
fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}
