//! The `modelzoo` command.
fn main() {}
