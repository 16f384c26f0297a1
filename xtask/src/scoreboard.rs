//! How many of the reference system's models run here.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Result;
use crate::command::{cargo, output, say};
use crate::python;

/// The command's help.
pub(crate) const HELP: &str = "\
Says which of FiftyOne's models run, and writes the totals into README.md

Usage: cargo xtask scoreboard [--manifest FILE]

Without --manifest, pip downloads the fiftyone package, whose manifest of torch
models is read; nothing of it is installed or run. An entry `runs` when its
configuration becomes a plan and an instance of its architecture, with random
weights, gave the reference's answers in the parity suite (tests/parity);
`translates` when only the first is so.";

const PAGE: &str = "README.md";
const BEGIN: &str = "<!-- scoreboard: begin, written by `cargo xtask scoreboard` -->\n";
const END: &str = "<!-- scoreboard: end -->";
const FIXTURES: &str = "tests/parity/fixtures";
/// Where the package is unpacked.
const UNPACKED: &str = "target/scoreboard";
/// Where the manifest is in it.
const MANIFEST: &str = "fiftyone/zoo/models/manifest-torch.json";

/// Runs the command.
pub(crate) fn run_command(arguments: &[String]) -> Result<()> {
    let manifest = match arguments {
        [] => python::unpacked(
            Path::new(UNPACKED),
            Path::new("python3"),
            "fiftyone",
            MANIFEST,
        )?,
        [option, file] if option == "--manifest" => PathBuf::from(file),
        _ => return Err(format!("what does `{}` mean?\n\n{HELP}", arguments.join(" ")).into()),
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
    say(printed.trim_end());
    let totals = printed.lines().last().unwrap_or_default();
    let totals: Value = serde_json::from_str(totals)?;
    let count = |name: &str| totals.get(name).and_then(Value::as_u64).unwrap_or_default();
    write(&format!(
        "{} of the {} torch models of FiftyOne's own zoo run, {} more translate.\n",
        count("runs"),
        count("entries"),
        count("translates"),
    ))
}

/// Puts the totals between the markers.
fn write(totals: &str) -> Result<()> {
    let page = fs::read_to_string(PAGE)?;
    let (before, rest) = page
        .split_once(BEGIN)
        .ok_or("README.md has no place for the totals")?;
    let (_, after) = rest
        .split_once(END)
        .ok_or("README.md has no end of the totals")?;
    let new = format!("{before}{BEGIN}{totals}{END}{after}");
    if new != page {
        fs::write(PAGE, new)?;
    }
    Ok(())
}
