//! The Rust target that guests are compiled for.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::command::{output, print_line, run, run_within, succeeds};

/// The target's name.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Compiles the target's standard library from Debian's packages.
const FROM_DEBIAN: &str = "scripts/wasm-std-from-debian.sh";

/// Installs the target unless it is there: with rustup, or else from Debian's packages.
pub(crate) fn ensure() -> Result<()> {
    if is_installed()? {
        return Ok(());
    }
    print_line(format_args!("The Rust target {TARGET} is not installed."));
    if succeeds(Command::new("rustup").arg("--version")) {
        let mut rustup = Command::new("rustup");
        rustup.args(["target", "add", TARGET]);
        if let Err(error) = run_within(Duration::from_secs(300), &mut rustup) {
            print_line(error);
        }
    }
    if !is_installed()? && succeeds(Command::new("apt-get").arg("--version")) {
        run(Command::new("bash").arg(FROM_DEBIAN))?;
    }
    if is_installed()? {
        return Ok(());
    }
    Err(format!(
        "install the Rust target {TARGET} first, for example with `rustup target add {TARGET}`"
    )
    .into())
}

/// Whether the compiler has the target's standard library.
fn is_installed() -> Result<bool> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let Ok(files) = fs::read_dir(output(&mut rustc)?.trim()) else {
        return Ok(false);
    };
    Ok(files.flatten().any(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    }))
}
