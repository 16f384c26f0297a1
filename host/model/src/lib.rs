//! What a model is and what it answers: plans, tasks and labels.
//!
//! This crate computes nothing and opens no file. A source's hook answers with a [`plan::Plan`],
//! the runtime builds it, and what the network gives becomes [`label`]s in FiftyOne's types.
//!
//! Plans and labels are untrusted input: a plan comes from a source, a label from a dataset.
//! [`plan::Plan::validate`] is the one place that says which plans are acceptable.

pub mod label;
pub mod plan;
pub mod task;
