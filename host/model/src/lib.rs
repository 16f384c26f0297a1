//! What a model is and what it answers: plans, tasks, samples, outputs and labels.
//!
//! This crate computes no network and opens no file. A source's hook answers with a
//! [`plan::Plan`], and whoever can build it makes a [`Model`] of it:
//!
//! ```text
//! Sample ── Model::prepare ──▶ Prepared ── Model::predict ──▶ Output ── Task::decoder ──▶ Label
//! ```
//!
//! - [`sample`]: what a model is given, and what is remembered of it;
//! - [`output`]: what a network gives, with its shapes and units;
//! - [`task`]: what an output means; one file per task;
//! - [`label`]: FiftyOne's types and their JSON; one file per type;
//! - [`nms`]: which of overlapping boxes remain;
//! - [`geometry`]: sizes, and the way from the network's input back to the original.
//!
//! Plans and labels are untrusted input: a plan comes from a source, a label from a dataset.
//! [`plan::Plan::validate`] is the one place that says which plans are acceptable.

mod check;
pub mod geometry;
pub mod label;
mod model;
pub mod nms;
pub mod output;
pub mod plan;
pub mod sample;
pub mod task;

pub use model::{Model, ModelError};
