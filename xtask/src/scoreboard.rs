//! How many of the reference system's models run here.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::Result;
use crate::command::{cargo, output, run, say};

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

/// Runs the command.
pub(crate) fn run_command(arguments: &[String]) -> Result<()> {
    let manifest = match arguments {
        [] => fetch()?,
        [option, file] if option == "--manifest" => file.clone(),
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
    let printed = output(example.args([&manifest, FIXTURES]))?;
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

/// Downloads the package and answers with its manifest.
fn fetch() -> Result<String> {
    let manifest = format!("{UNPACKED}/fiftyone/zoo/models/manifest-torch.json");
    if Path::new(&manifest).is_file() {
        return Ok(manifest);
    }
    fs::create_dir_all(UNPACKED)?;
    let pip = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        UNPACKED,
    ];
    run(Command::new("python3").args(pip).arg("fiftyone"))?;
    let wheel = fs::read_dir(UNPACKED)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|end| end == "whl"))
        .ok_or("pip downloaded no wheel")?;
    let unzip = ["-m", "zipfile", "-e"];
    run(Command::new("python3").args(unzip).arg(wheel).arg(UNPACKED))?;
    Ok(manifest)
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
