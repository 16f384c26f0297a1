//! The two towers of a network that compares images with texts in one space of features (Radford et
//! al., "Learning Transferable Visual Models From Natural Language Supervision", 2021; Zhai et
//! al., "Sigmoid Loss for Language Image Pre-Training", 2023).
//!
//! CLIP, OpenCLIP and SigLIP differ in the choice of these parts and in the names of the weights.

mod blocks;
mod hugging_face;
mod image;
mod text;

pub(super) use blocks::{Blocks, Projection};
pub(super) use hugging_face::{LAYOUT, TextTowerConfig};
pub(super) use image::{AttentionPool, ClipImageTower, ImagePool, check_patches};
pub(super) use text::{ClipTextTower, TextPool};

use crate::architectures::shared::network::{Network, Similarity};
use crate::error::Error;
use crate::weights::Scope;

/// The network of both towers.
pub(super) fn network(
    images: ClipImageTower,
    texts: ClipTextTower,
    similarity: Similarity,
) -> Network {
    let layers = images.layers().chain(texts.layers()).collect();
    Network {
        images: Some(Box::new(images)),
        texts: Some(Box::new(texts)),
        similarity: Some(similarity),
        layers,
        hidden: Vec::new(),
        embedding: None,
        class_count: None,
        class_names: None,
    }
}

/// A single number from the weights, in a tensor of the shape `shape`.
pub(super) fn number(scope: &Scope<'_>, name: &str, shape: &[usize]) -> Result<f32, Error> {
    Ok(scope.get(name, shape)?.flatten_all()?.get(0)?.to_scalar()?)
}
