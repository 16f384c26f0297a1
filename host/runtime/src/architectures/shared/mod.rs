//! What several families of architectures build on.

pub(super) mod block;
pub(super) mod config;
pub(super) mod encoder;
pub(super) mod grid;
pub(super) mod hugging_face;
pub(super) mod maps;
pub(super) mod network;
pub(super) mod patches;
