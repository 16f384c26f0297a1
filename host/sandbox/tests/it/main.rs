//! Components written by hand against the engine: well-behaved and hostile ones.

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
mod inspecting;
mod limits;
mod load;
mod server;
mod session;
