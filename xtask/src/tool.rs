//! Subcommands of cargo that are not a part of it.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::command::{cargo, run, succeeds};

/// Where they are installed that are not on the path.
const TOOLS: &str = "target/tools";

/// `cargo <name>`, found on the path or among the workspace's own tools.
pub(crate) fn command(name: &str) -> Command {
    let mut command = cargo();
    let own = Path::new(TOOLS).join("bin");
    let own = own.canonicalize().unwrap_or(own);
    let path = env::var_os("PATH").unwrap_or_default();
    let paths = env::split_paths(&path).chain([own]);
    if let Ok(path) = env::join_paths(paths) {
        command.env("PATH", path);
    }
    command.arg(name);
    command
}

/// Installs `cargo <name>` if it is not there.
pub(crate) fn ensure(name: &str, version: &str) -> Result<()> {
    if succeeds(command(name).arg("--version")) {
        return Ok(());
    }
    let package = format!("cargo-{name}");
    let mut install = cargo();
    install.args(["install", &package, "--locked"]);
    run(install.args(["--version", version, "--root", TOOLS]))
}
