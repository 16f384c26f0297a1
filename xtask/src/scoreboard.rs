//! How many of FiftyOne's models run here.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::Result;
use crate::command::{cargo, output, print_line};
use crate::page::Part;
use crate::python;

/// Say which of FiftyOne's models run, and write the totals into README.md
///
/// An entry `runs` if its configuration becomes a plan and an instance of its architecture, with
/// random weights, gave the reference's outputs in the parity suite (tests/parity); it `translates`
/// if only the first is true.
#[derive(Debug, Args)]
pub(crate) struct ScoreboardArgs {
    /// A manifest of models. Without it, pip downloads the fiftyone package, whose manifest of torch
    /// models is read; nothing of it is installed or run
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

const TOTALS: Part = Part {
    page: "README.md",
    begin: "<!-- scoreboard: begin, written by `cargo xtask scoreboard` -->",
    end: "<!-- scoreboard: end -->",
};
const FIXTURES: &str = "tests/parity/fixtures";
/// Where the package is unpacked.
const UNPACKED: &str = "target/scoreboard";
/// Where the manifest is in it.
const MANIFEST: &str = "fiftyone/zoo/models/manifest-torch.json";

pub(crate) fn run(args: &ScoreboardArgs) -> Result<()> {
    let manifest = match &args.manifest {
        Some(file) => file.clone(),
        None => python::unpacked(
            Path::new(UNPACKED),
            Path::new("python3"),
            "fiftyone",
            MANIFEST,
        )?,
    };
    let mut example = cargo();
    example.args([
        "run",
        "--quiet",
        "-p",
        "modelzoo",
        "--example",
        "scoreboard",
        "--",
    ]);
    let printed = output(example.arg(manifest).arg(FIXTURES))?;
    print_line(printed.trim_end());
    let totals = printed.lines().last().unwrap_or_default();
    let totals: Value = serde_json::from_str(totals)?;
    let count = |name: &str| totals.get(name).and_then(Value::as_u64).unwrap_or_default();
    let totals = format!(
        "{} of the {} torch models of FiftyOne's own zoo run, {} more translate.",
        count("runs"),
        count("entries"),
        count("translates"),
    );
    TOTALS.write(&totals, false)?;
    Ok(())
}
