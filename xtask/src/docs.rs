//! The pages that are made from the program.

use clap::Args;

use crate::command::{self, cargo};
use crate::{Result, attacks};

/// Write the pages that are made from the program: docs/configuration.md, docs/commands.md, the
/// verbs of README.md and the cases of docs/security.md
///
/// The tests check that these pages are up to date.
#[derive(Debug, Args)]
pub(crate) struct DocsArgs {}

/// The end of the names of the tests that check pages, and write them where the environment says.
const TESTS: &str = "page_is_up_to_date";
/// Makes those tests write.
const UPDATE: &str = "UPDATE_DOCS";

pub(crate) fn run(_: &DocsArgs) -> Result<()> {
    let mut tests = cargo();
    tests
        .args(["test", "-p", "modelzoo", "--lib"])
        .args(["-p", "modelzoo-cli", "--bin", "modelzoo", TESTS])
        .env(UPDATE, "1");
    command::run(&mut tests)?;
    attacks::run(&attacks::AttacksArgs { check: false })
}
