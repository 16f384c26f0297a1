//! Published sizes against their references. `cargo xtask parity --full` makes the cases, which need
//! Python and much memory, and runs this test.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and this one reports"
)]

mod common;

use common::parity;

#[test]
#[ignore = "needs cases that `cargo xtask parity --full` makes"]
fn published_sizes_match_their_references() {
    let mut names: Vec<String> = std::fs::read_dir(parity::fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(!names.is_empty(), "there is no case");
    let mut failures = Vec::new();
    println!("| case | relative error |\n| --- | --- |");
    for name in names {
        for off in parity::compare(&name) {
            let what = match off.answer.as_str() {
                "y" => name.clone(),
                tower => format!("{name}, {tower}"),
            };
            println!("| {what} | {:.1e} |", off.error);
            failures.extend(off.wrong.map(|wrong| format!("{what}: {wrong}")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
