//! The pages about the command line, made from its own declaration.
//!
//! `cargo xtask docs` writes them; the tests here check that they are up to date.

#![allow(clippy::unwrap_used, reason = "only tests run this")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command, CommandFactory as _};

use crate::args::Cli;

const INTRODUCTION: &str = "\
# Commands

This page is made from the command's own help; `cargo xtask docs` writes it, and a test fails if it is out of date. `modelzoo help VERB` prints the same.
";
const BEGIN: &str = "<!-- verbs: begin, written by `cargo xtask docs` -->\n";
const END: &str = "<!-- verbs: end -->";

/// The command line, with what clap adds to it.
fn command() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

/// `docs/commands.md`.
fn page() -> String {
    let command = command();
    let mut page = INTRODUCTION.to_owned();
    page += "\n## Options of every verb\n";
    page += &arguments(command.get_arguments().filter(|arg| arg.is_global_set()));
    for verb in command.get_subcommands() {
        section(verb, &mut page);
    }
    page
}

/// A verb, and the verbs below it.
fn section(verb: &Command, page: &mut String) {
    let name = verb.get_bin_name().unwrap_or_default();
    let usage = verb.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let _ = write!(
        page,
        "\n## {name}\n\n{}.\n\n```console\n$ {usage}\n```\n",
        verb.get_about().unwrap_or_default()
    );
    *page += &arguments(verb.get_arguments().filter(|arg| !arg.is_global_set()));
    if let Some(text) = verb.get_after_help() {
        let _ = write!(page, "\n{}", after_help(&text.to_string()));
    }
    for below in verb.get_subcommands() {
        section(below, page);
    }
}

/// A table of arguments and options.
fn arguments<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    let rows: Vec<_> = arguments
        .filter(|arg| !arg.is_hide_set())
        .filter(|arg| !matches!(arg.get_action(), ArgAction::Help | ArgAction::Version))
        .map(|arg| format!("| {} | {} |\n", spelling(arg), meaning(arg)))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n| | |\n|---|---|\n{}", rows.concat())
}

/// How an argument is written: `-o, --output <PATH>`.
fn spelling(arg: &Arg) -> String {
    let value = || {
        let names = arg.get_value_names().unwrap_or_default();
        let names: Vec<_> = names.iter().map(|name| format!("<{name}>")).collect();
        names.join(" ")
    };
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let flags: Vec<_> = [short, long].into_iter().flatten().collect();
    match (flags.is_empty(), takes_value) {
        (true, _) => format!("`{}`", value()),
        (false, true) => format!("`{} {}`", flags.join(", "), value()),
        (false, false) => format!("`{}`", flags.join(", ")),
    }
}

/// What an argument means, with its default.
fn meaning(arg: &Arg) -> String {
    let mut text = arg.get_help().unwrap_or_default().to_string();
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    if let (true, Some(default)) = (takes_value, arg.get_default_values().first()) {
        let _ = write!(text, " (default: {})", default.to_string_lossy());
    }
    text.replace('\n', " ").replace('|', "\\|")
}

/// What stands below the options, with its examples as code.
fn after_help(text: &str) -> String {
    let (before, examples) = match text.split_once("Example") {
        Some((before, rest)) => (before, rest.split_once(":\n").map(|(_, lines)| lines)),
        None => (text, None),
    };
    let mut page = String::new();
    let before = before.trim();
    if before.contains("\n  ") {
        let _ = write!(page, "```text\n{before}\n```\n");
    } else if !before.is_empty() {
        let _ = writeln!(page, "{}", before.replace('\n', " "));
    }
    if let Some(lines) = examples {
        let lines: Vec<_> = lines
            .lines()
            .map(|line| format!("$ {}", line.trim()))
            .collect();
        let gap = if page.is_empty() { "" } else { "\n" };
        let _ = write!(page, "{gap}```console\n{}\n```\n", lines.join("\n"));
    }
    page
}

/// The table of the verbs, for README.md.
fn table() -> String {
    let mut table = "| verb | what it does |\n|---|---|\n".to_owned();
    for verb in command().get_subcommands() {
        let name = verb.get_name();
        let _ = writeln!(
            table,
            "| [`{name}`](docs/commands.md#modelzoo-{name}) | {} |",
            verb.get_about().unwrap_or_default()
        );
    }
    table
}

/// A file of the workspace.
fn workspace(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

/// Writes a page where the environment says so, and compares it otherwise.
fn check(path: &str, page: &str) {
    let path = workspace(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, page).unwrap();
        return;
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        page,
        "run `cargo xtask docs`"
    );
}

#[test]
fn commands_page_is_up_to_date() {
    check("docs/commands.md", &page());
}

#[test]
fn readme_page_is_up_to_date() {
    let readme = std::fs::read_to_string(workspace("README.md")).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    check(
        "README.md",
        &format!("{before}{BEGIN}{}{END}{after}", table()),
    );
}

#[test]
fn examples_of_the_help_parse() {
    fn lines(command: &Command, found: &mut Vec<String>) {
        let help = command.get_after_help().map(ToString::to_string);
        for line in help.unwrap_or_default().lines() {
            if let Some(line) = line.strip_prefix("  modelzoo ") {
                found.push(line.split(" > ").next().unwrap_or_default().to_owned());
            }
        }
        for verb in command.get_subcommands() {
            lines(verb, found);
        }
    }
    let mut found = Vec::new();
    lines(&command(), &mut found);
    assert!(found.len() > 30, "{found:?}");
    for line in found {
        let line = format!("modelzoo {line}");
        let parsed = Cli::command().try_get_matches_from(crate::hints::words(&line));
        parsed.map_err(|error| format!("{line}: {error}")).unwrap();
    }
}
