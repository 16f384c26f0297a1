//! Measuring the runtime beside the engines that users would otherwise choose.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::command::{self, cargo};
use crate::python;

/// The command's help.
pub(crate) const HELP: &str = "\
Measures the runtime beside PyTorch and ONNX Runtime

Usage: cargo xtask bench models [OPTIONS] [MODEL]...

Networks of the published sizes with random weights, the same in all three, on the
CPU, in turns in one run: resnet50, clip_vit_b32, vit_b16 and minilm_l6, or those
that are named. Prints a table of the times and of their ratios to PyTorch's.

PyTorch and ONNX Runtime are installed, at fixed versions, into a virtual
environment of its own, target/bench/venv; this needs Python and the network once.

Options:
  --threads <N,N>    Numbers of threads [default: 1,2]
  --rounds <N>       Turns of each engine [default: 5]
  --clock <CLOCK>    `wall`, or `cpu` for the processor time of all threads, on a
                     machine that others use; Linux only [default: wall]
  --python <PYTHON>  The Python that makes the environment [default: python3]";

const FOLDER: &str = "target/bench";
const REQUIREMENTS: &str = "xtask/bench/requirements.txt";
const SCRIPT: &str = "xtask/bench/models.py";

/// Runs the benchmark.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Some((what, rest)) = arguments.split_first() else {
        return Err("what is to be measured? There is `models`".into());
    };
    if what != "models" {
        return Err(format!("`{what}` cannot be measured; there is `models`").into());
    }
    let options = Options::parse(rest)?;
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
        .args(options.passed);
    command::run(&mut script)
}

/// Where cargo builds.
fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

#[derive(Debug, Eq, PartialEq)]
struct Options {
    python: String,
    /// What the script is told.
    passed: Vec<String>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            python: "python3".to_owned(),
            passed: Vec::new(),
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("`{argument}` needs a value"))
            };
            match argument.as_str() {
                "--python" => options.python.clone_from(value()?),
                "--threads" | "--rounds" | "--clock" => {
                    let value = value()?.clone();
                    options.passed.extend([argument.clone(), value]);
                }
                option if option.starts_with('-') => {
                    return Err(format!("unknown option `{option}`").into());
                }
                model => options.passed.push(model.to_owned()),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words)
    }

    #[test]
    fn options_are_for_the_script_but_the_python() {
        let options = parse("--threads 1 resnet50 --python py --rounds 3").unwrap();
        assert_eq!(options.python, "py");
        assert_eq!(options.passed.join(" "), "--threads 1 resnet50 --rounds 3");
        assert_eq!(parse("").unwrap().python, "python3");
        for (line, reason) in [("--threads", "needs a value"), ("--fast", "unknown option")] {
            assert!(parse(line).unwrap_err().to_string().contains(reason));
        }
        assert!(run(&[]).is_err() && run(&["images".to_owned()]).is_err());
    }
}
