//! The adversarial suite: that every case has a test, and the table of the cases.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::Result;
use crate::command::{cargo, output, print_line};
use crate::page::Part;

/// Check that every attack has a test, and write the table of them
///
/// tests/attacks.toml lists the cases and their tests, named as cargo-nextest names them. Every case
/// of the floor must be there, and every test must exist and not be ignored. The table goes between
/// the markers of docs/security.md.
#[derive(Debug, Args)]
pub(crate) struct AttacksArgs {
    /// Fail if the table is not what would be written, and write nothing
    #[arg(long)]
    pub(crate) check: bool,
}

const CASES: &str = "tests/attacks.toml";
const TABLE: Part = Part {
    page: "docs/security.md",
    begin: "<!-- attacks: begin, written by `cargo xtask attacks` -->",
    end: "<!-- attacks: end -->",
};

/// The cases that must be there: a group's letter and how many it has. More may follow under
/// other letters.
const FLOOR: [(char, usize); 8] = [
    ('A', 8),
    ('B', 16),
    ('C', 10),
    ('D', 14),
    ('E', 6),
    ('F', 8),
    ('G', 11),
    ('H', 6),
];

/// `tests/attacks.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    /// What the letters stand for.
    groups: BTreeMap<String, String>,
    case: Vec<Case>,
}

/// One attack.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    /// What is tried.
    attack: String,
    /// What comes of it.
    expected: String,
    /// `binary-id test::path`
    tests: Vec<String>,
}

/// Checks the suite and writes its table.
pub(crate) fn run(args: &AttacksArgs) -> Result<()> {
    let suite: Suite =
        toml::from_str(&fs::read_to_string(CASES)?).map_err(|error| format!("{CASES}: {error}"))?;
    let mut faults = gaps(&suite);
    // Some tests are about what only Linux has.
    if cfg!(target_os = "linux") {
        faults.extend(unknown(&suite, &tests()?));
    }
    if !faults.is_empty() {
        return Err(format!("{CASES}:\n  {}", faults.join("\n  ")).into());
    }
    let changed = TABLE.write(&table(&suite)?, args.check)?;
    let named: BTreeSet<_> = suite.case.iter().flat_map(|case| &case.tests).collect();
    let written = if changed { "; the table is new" } else { "" };
    print_line(format_args!(
        "{} cases have {} tests{written}",
        suite.case.len(),
        named.len()
    ));
    Ok(())
}

/// What the suite lacks by itself.
fn gaps(suite: &Suite) -> Vec<String> {
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    for case in &suite.case {
        let Case { id, tests, .. } = case;
        if !ids.insert(id.as_str()) {
            faults.push(format!("{id} is there twice"));
        }
        if tests.is_empty() {
            faults.push(format!("{id} ({}) has no test", case.attack));
        }
        let group = id.get(..1).unwrap_or_default();
        if !suite.groups.contains_key(group) {
            faults.push(format!("{id} belongs to no group"));
        }
    }
    for (letter, count) in FLOOR {
        for number in 1..=count {
            let id = format!("{letter}{number:02}");
            if !ids.contains(id.as_str()) {
                faults.push(format!("{id} is missing"));
            }
        }
    }
    faults
}

/// Tests that are named and are not there, or never run.
fn unknown(suite: &Suite, tests: &BTreeMap<String, bool>) -> Vec<String> {
    let mut faults = Vec::new();
    for case in &suite.case {
        for name in &case.tests {
            match tests.get(name) {
                None => faults.push(format!("{}: there is no test `{name}`", case.id)),
                Some(true) => faults.push(format!("{}: the test `{name}` is ignored", case.id)),
                Some(false) => {}
            }
        }
    }
    faults
}

/// All tests of the workspace by the names that cargo-nextest gives them, and whether they are
/// ignored. cargo-nextest itself need not be installed.
fn tests() -> Result<BTreeMap<String, bool>> {
    let mut build = cargo();
    build
        .args(["test", "--workspace", "--no-run"])
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit());
    let mut tests = BTreeMap::new();
    for line in output(&mut build)?.lines() {
        let message: Value = serde_json::from_str(line)?;
        let Some((id, program)) = test_binary(&message) else {
            continue;
        };
        let list = |more: &[&str]| -> Result<Vec<String>> {
            let mut command = Command::new(program);
            command.args(["--list", "--format", "terse"]).args(more);
            let names = output(&mut command)?;
            let names = names.lines().filter_map(|line| line.strip_suffix(": test"));
            Ok(names.map(|name| format!("{id} {name}")).collect())
        };
        tests.extend(list(&[])?.into_iter().map(|name| (name, false)));
        tests.extend(list(&["--ignored"])?.into_iter().map(|name| (name, true)));
    }
    Ok(tests)
}

/// The name and the path of a test binary, if that is what a message of cargo is about.
fn test_binary(message: &Value) -> Option<(String, &Path)> {
    if message.get("reason")? != "compiler-artifact" || message.pointer("/profile/test")? != true {
        return None;
    }
    let program = Path::new(message.get("executable")?.as_str()?);
    // …/name#1.0.0 or …/directory#name@1.0.0
    let (place, rest) = message.get("package_id")?.as_str()?.rsplit_once('#')?;
    let package = match rest.split_once('@') {
        Some((name, _)) => name,
        None => place.rsplit('/').next()?,
    };
    let name = message.pointer("/target/name")?.as_str()?;
    let id = match message.pointer("/target/kind/0")?.as_str()? {
        "test" => format!("{package}::{name}"),
        kind @ ("bin" | "example" | "bench") => format!("{package}::{kind}/{name}"),
        _ => package.to_owned(),
    };
    Some((id, program))
}

/// The table of the cases, group by group.
fn table(suite: &Suite) -> Result<String> {
    let mut text = String::new();
    for (letter, title) in &suite.groups {
        write!(
            text,
            "\n### {letter}. {title}\n\n| case | attack | expected | tests |\n|---|---|---|---|\n"
        )?;
        let cases = suite.case.iter().filter(|case| case.id.starts_with(letter));
        for case in cases {
            let tests: Vec<_> = case.tests.iter().map(|test| format!("`{test}`")).collect();
            writeln!(
                text,
                "| {} | {} | {} | {} |",
                case.id,
                cell(&case.attack),
                cell(&case.expected),
                tests.join("<br>")
            )?;
        }
    }
    Ok(text)
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(text: &str) -> Suite {
        toml::from_str(text).unwrap()
    }

    /// The whole floor, each case with one test.
    fn floor() -> Suite {
        let mut text = String::from("[groups]\n");
        for (letter, _) in FLOOR {
            text += &format!("{letter} = \"Group {letter}\"\n");
        }
        for (letter, count) in FLOOR {
            for number in 1..=count {
                text += &format!(
                    "[[case]]\nid = \"{letter}{number:02}\"\nattack = \"a|b\"\nexpected = \"refused\"\ntests = [\"x::y z\"]\n"
                );
            }
        }
        suite(&text)
    }

    #[test]
    fn whole_suite_has_no_gaps() {
        let suite = floor();
        assert_eq!(gaps(&suite), Vec::<String>::new());
        let there = BTreeMap::from([("x::y z".to_owned(), false)]);
        assert_eq!(unknown(&suite, &there), Vec::<String>::new());
    }

    #[test]
    fn gaps_are_named_with_their_case() {
        let mut suite = floor();
        suite.case.remove(0);
        suite.case[0].tests.clear();
        suite.case[1].id = "A04".to_owned();
        suite.case[3].id = "Z01".to_owned();
        let faults = gaps(&suite).join("\n");
        for fault in [
            "A01 is missing",
            "A02 (a|b) has no test",
            "A04 is there twice",
            "A03 is missing",
            "Z01 belongs to no group",
        ] {
            assert!(faults.contains(fault), "{fault}: {faults}");
        }
    }

    #[test]
    fn missing_and_ignored_tests_are_named() {
        let mut suite = floor();
        suite.case.truncate(1);
        let fault = |tests| unknown(&suite, &tests).join("\n");
        assert_eq!(fault(BTreeMap::new()), "A01: there is no test `x::y z`");
        let ignored = BTreeMap::from([("x::y z".to_owned(), true)]);
        assert_eq!(fault(ignored), "A01: the test `x::y z` is ignored");
    }

    #[test]
    fn table_has_a_row_for_every_case() {
        let table = table(&floor()).unwrap();
        assert!(table.contains("### A. Group A"));
        assert!(table.contains("| A01 | a\\|b | refused | `x::y z` |"));
    }

    #[test]
    fn binary_ids_are_those_of_nextest() {
        let message = |package: &str, kind: &str, name: &str| {
            serde_json::json!({
                "reason": "compiler-artifact", "package_id": package, "executable": "/x",
                "profile": { "test": true }, "target": { "kind": [kind], "name": name },
            })
        };
        for (package, kind, name, id) in [
            (
                "path+file:///w/cli#a-cli@0.1.0",
                "test",
                "e2e",
                "a-cli::e2e",
            ),
            ("path+file:///w/cli#a-cli@0.1.0", "lib", "a_cli", "a-cli"),
            (
                "path+file:///w/xtask#0.1.0",
                "bin",
                "xtask",
                "xtask::bin/xtask",
            ),
        ] {
            let message = message(package, kind, name);
            assert_eq!(test_binary(&message).unwrap().0, id);
        }
        let mut no_test = message("p#0.1.0", "lib", "p");
        no_test["profile"]["test"] = false.into();
        assert!(test_binary(&no_test).is_none());
    }
}
