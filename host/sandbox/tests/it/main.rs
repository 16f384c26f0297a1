//! The engine and its edges: components written by hand, and every guest of `tests/guests`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod caching;
mod compiling;
mod confined;
mod download;
mod guest;
mod guests;
mod inspecting;
mod interfaces;
mod limits;
mod load;
mod server;
mod session;
