//! The pages that are made from the program.

use crate::command::{self, cargo};
use crate::{Result, attacks};

/// The end of the names of the tests that check pages, and write them where the environment says.
const TESTS: &str = "page_is_up_to_date";
/// Makes those tests write.
const UPDATE: &str = "UPDATE_DOCS";

pub(crate) fn run() -> Result<()> {
    let mut tests = cargo();
    tests
        .args(["test", "-p", "modelzoo", "--lib"])
        .args(["-p", "modelzoo-cli", "--bin", "modelzoo", TESTS])
        .env(UPDATE, "1");
    command::run(&mut tests)?;
    attacks::run(&attacks::AttacksArgs { check: false })
}
