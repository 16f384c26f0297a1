//! The real `modelzoo` binary against real components, real archives and a real HTTP server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on should stop with a panic"
)]

mod apply;
mod attacks;
mod audit;
mod bundle;
mod chaos;
mod concurrent;
mod doctor;
mod downloads;
mod embed;
mod errors;
mod examples;
mod faults;
mod finding;
mod github;
mod hints;
mod inspect;
mod main_path;
mod managed;
mod pins;
mod read_only;
mod references;
mod server;
mod settings;
mod source;
mod translated;
mod updates;
mod upkeep;
mod verbs;
mod view;
mod walls;
mod world;
