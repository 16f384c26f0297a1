//! The way from a source to predictions, in one command.

use std::env;
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::command::{self, cargo, print_line};
use crate::{Result, report, serve, wasm};

const EXAMPLE: &str = "examples/digits";
const PACKAGE: &str = "digits-source";
const COMPONENT: &str = "digits_source.wasm";
const MODEL: &str = "modelzoo/digits-cnn";
const FIELD: &str = "predictions";
const PLACE: &str = "target/quickstart";
const GUESTS: &str = "target/guests";

/// Runs the quickstart with the command built in `profile`: `dev`, which compiles soonest, or
/// `test`, which runs what the tests have compiled already.
pub(crate) fn run(profile: &str) -> Result<()> {
    wasm::ensure()?;
    // All packages are selected so that their dependencies have the features that the tests
    // build them with, and nothing is compiled twice.
    let build = ["build", "--workspace", "--bin", "modelzoo", "--profile"];
    command::run(cargo().args(build).arg(profile))?;
    command::run(cargo().args([
        "build",
        "--profile",
        "guest",
        "--target",
        wasm::TARGET,
        "-p",
        PACKAGE,
        "--target-dir",
        GUESTS,
    ]))?;

    let place = Path::new(PLACE);
    if place.exists() {
        fs::remove_dir_all(place)?;
    }
    let dataset = place.join("dataset");
    copy_dir(&Path::new(EXAMPLE).join("dataset"), &dataset)?;
    let address = serve::serve("/digits.zip", archive()?)?;
    let url = format!("http://{address}/digits.zip");
    print_line(format_args!("\nThe source is served at {url}"));

    let modelzoo = |arguments: &[&str]| -> Result<()> {
        let mut command = Command::new(binary()?);
        command
            .args(arguments)
            .env("MODELZOO_HOME", place.join("home"))
            .env("MODELZOO_ALLOW_PRIVATE", address.to_string());
        command::run(&mut command)
    };
    let dataset_text = dataset.to_string_lossy();
    modelzoo(&["register-source", &url, "--grant", "all"])?;
    modelzoo(&["list"])?;
    modelzoo(&["download", MODEL])?;
    modelzoo(&["apply", MODEL, &dataset_text, FIELD])?;

    let samples = fs::read_to_string(dataset.join("samples.json"))?;
    print_line(format_args!("\n{}\n", report::report(&samples, FIELD)?));
    print_line(format_args!(
        "The store:   {}",
        place.join("home").display()
    ));
    print_line(format_args!("The dataset: {dataset_text}"));
    Ok(())
}

/// The source as the archive that a publisher would make.
fn archive() -> Result<Vec<u8>> {
    let example = Path::new(EXAMPLE);
    let component = Path::new(GUESTS)
        .join(wasm::TARGET)
        .join("guest")
        .join(COMPONENT);
    let mut files = vec![("source.wasm", component)];
    for name in ["manifest.json", "README.md", "digits-cnn.safetensors"] {
        files.push((name, example.join(name)));
    }
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, path) in files {
        zip.start_file(name, SimpleFileOptions::default())?;
        zip.write_all(&read(&path)?)?;
    }
    Ok(zip.finish()?.into_inner())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    Ok(fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?)
}

/// The modelzoo command, which cargo builds beside this program.
fn binary() -> Result<PathBuf> {
    let name = format!("modelzoo{}", env::consts::EXE_SUFFIX);
    Ok(env::current_exe()?.with_file_name(name))
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in
        fs::read_dir(from).map_err(|error| format!("cannot read {}: {error}", from.display()))?
    {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
