//! Running other programs, each shown before it runs.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Result;

/// Prints a line. Whoever reads the output may stop before its end.
pub(crate) fn print_line(text: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Prints a line to standard error.
pub(crate) fn print_error(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Shows a command and runs it; a failure is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    print_line(format_args!("\n$ {}", line(command)));
    let status = command
        .status()
        .map_err(|error| format!("cannot run {}: {error}", name(command.get_program())))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{}` failed ({status})", line(command)).into())
    }
}

/// The same with a limit on its time; it is killed when that has passed.
pub(crate) fn run_within(limit: Duration, command: &mut Command) -> Result<()> {
    print_line(format_args!("\n$ {}", line(command)));
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", name(command.get_program())))?;
    loop {
        if let Some(status) = child.try_wait()? {
            if status.success() {
                return Ok(());
            }
            return Err(format!("`{}` failed ({status})", line(command)).into());
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Err(format!("`{}` took more than {limit:?}", line(command)).into());
        }
        sleep(Duration::from_millis(100));
    }
}

/// Whether a command runs and succeeds; it shows nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What a command prints.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {}: {error}", name(command.get_program())))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{}` failed: {}", line(command), reason.trim()).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A command as one would type it.
fn line(command: &Command) -> String {
    let mut words = vec![name(command.get_program())];
    words.extend(command.get_args().map(quoted));
    words.join(" ")
}

/// The program without its directory.
fn name(program: &OsStr) -> String {
    let path = std::path::Path::new(program);
    path.file_stem()
        .unwrap_or(program)
        .to_string_lossy()
        .into_owned()
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_can_be_typed_again() {
        let mut command = Command::new("/somewhere/bin/cargo");
        command.args(["test", "-p", "a-b", "it's", "", "x y"]);
        assert_eq!(line(&command), r"cargo test -p a-b 'it'\''s' '' 'x y'");
    }
}
