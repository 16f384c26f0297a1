//! What the configurations of Hugging Face's repositories have in common.
//!
//! A repository's `config.json` is taken as it is: fields that say nothing about inference are
//! passed over, and a value that would ask for something else than is computed is an error.

use candle_core::Tensor;
use serde::Deserialize;
use serde_json::Value;

use super::encoder::{self, MAX_BLOCKS, MAX_SIZE};
use super::transformer::BlockSizes;
use super::vision::Patches;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Linear};
use crate::trace::Trace;
use crate::weights::Scope;

/// The most pixels along a side.
const MAX_SIDE: usize = 1 << 14;

/// A side, or two: `224` or `[224, 224]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Sides {
    Both(usize),
    Each([usize; 2]),
}

impl Sides {
    /// `[height, width]`, each checked.
    pub(super) fn check(self, config: &Config<'_>, field: &str) -> Result<[usize; 2], Error> {
        let sides = match self {
            Self::Both(side) => [side; 2],
            Self::Each(sides) => sides,
        };
        if sides.iter().all(|side| (1..=MAX_SIDE).contains(side)) {
            Ok(sides)
        } else {
            Err(config.bad(field, format!("must be 1 to {MAX_SIDE}")))
        }
    }
}

/// The configuration of one of the architectures here, for messages.
#[derive(Clone, Copy)]
pub(super) struct Config<'a> {
    pub(super) architecture: &'static str,
    pub(super) value: &'a Value,
}

impl Config<'_> {
    pub(super) fn bad(&self, field: &str, reason: impl Into<String>) -> Error {
        Error::BadConfig {
            architecture: self.architecture,
            field: field.to_owned(),
            reason: reason.into(),
        }
    }

    /// Checks numbers of channels, heads and the like.
    pub(super) fn check_sizes(&self, sizes: &[(&str, usize)]) -> Result<(), Error> {
        for (field, size) in sizes {
            if !(1..=MAX_SIZE).contains(size) {
                return Err(self.bad(field, format!("must be 1 to {MAX_SIZE}")));
            }
        }
        Ok(())
    }

    /// Checks the number of blocks.
    pub(super) fn check_blocks(&self, field: &str, blocks: usize) -> Result<(), Error> {
        if (1..=MAX_BLOCKS).contains(&blocks) {
            Ok(())
        } else {
            Err(self.bad(field, format!("must be 1 to {MAX_BLOCKS}")))
        }
    }

    /// Checks the blocks of a transformer.
    pub(super) fn check_block(&self, block: &BlockSizes, blocks: usize) -> Result<(), Error> {
        self.check_sizes(&[
            ("hidden_size", block.width),
            ("num_attention_heads", block.heads),
            ("intermediate_size", block.inner),
        ])?;
        if !block.width.is_multiple_of(block.heads) {
            return Err(self.bad("num_attention_heads", "must divide `hidden_size`"));
        }
        self.check_eps("layer_norm_eps", block.eps)?;
        self.check_blocks("num_hidden_layers", blocks)
    }

    /// The patches of an image of the size that the network was made for.
    pub(super) fn grid(&self, patches: &Patches, size: [usize; 2]) -> Result<[usize; 2], Error> {
        let [down, across] = [0, 1].map(|side| match (size.get(side), patches.size.get(side)) {
            (Some(pixels), Some(patch)) => pixels / patch,
            _ => 0,
        });
        if down == 0 || across == 0 {
            return Err(self.bad("patch_size", "is larger than `image_size`"));
        }
        Ok([down, across])
    }

    /// Checks that as many patches are below each other as beside each other.
    pub(super) fn check_square(&self, [down, across]: [usize; 2]) -> Result<(), Error> {
        if down == across {
            Ok(())
        } else {
            Err(self.bad("image_size", "must have as many patches each way"))
        }
    }

    /// Checks what a norm adds to the variance.
    pub(super) fn check_eps(&self, field: &str, eps: f64) -> Result<(), Error> {
        if (0.0..=1.0).contains(&eps) {
            Ok(())
        } else {
            Err(self.bad(field, "must be 0 to 1"))
        }
    }

    /// An activation by its name in transformers.
    pub(super) fn activation(&self, field: &str, name: &str) -> Result<Activation, Error> {
        encoder::activation(name).ok_or_else(|| {
            let reason = format!("`{}` is not computed here", name.escape_debug());
            self.bad(field, reason)
        })
    }

    /// The classes that a classifier tells apart.
    pub(super) fn labels(&self) -> Result<Labels, Error> {
        let named = self.value.get("id2label").and_then(Value::as_object);
        let count = self.value.get("num_labels").and_then(Value::as_u64);
        let count = match (named, count) {
            (Some(named), _) => named.len(),
            (None, Some(count)) => usize::try_from(count).unwrap_or(usize::MAX),
            // As many as transformers has where a configuration says nothing.
            (None, None) => 2,
        };
        self.check_sizes(&[("num_labels", count)])?;
        let class = self.value.get("architectures").and_then(|all| all.get(0));
        let class = class.and_then(Value::as_str).unwrap_or_default();
        Ok(Labels {
            count,
            expected: class.contains("ForImageClassification"),
        })
    }
}

/// The classes of a network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Labels {
    pub(super) count: usize,
    /// Whether the configuration is a classifier's, and not a base model's.
    pub(super) expected: bool,
}

impl Labels {
    /// How many classes the network tells apart, where that is known without its weights.
    pub(super) fn known(self) -> Option<usize> {
        self.expected.then_some(self.count)
    }
}

/// The part of the weights where a base model's are: under its name, as in a classifier's
/// checkpoint, or at the top, as in its own.
pub(super) fn base<'a>(weights: &Scope<'a>, prefix: &str, probe: &str) -> Scope<'a> {
    let child = weights.child(prefix);
    if child.has(probe) {
        child
    } else {
        weights.clone()
    }
}

/// The linear layer `name`, where the weights have one; they must where the configuration is a
/// classifier's.
pub(super) fn classifier(
    weights: &Scope<'_>,
    name: &str,
    inputs: usize,
    labels: Labels,
    device: &Device,
) -> Result<Option<Linear>, Error> {
    let scope = weights.child(name);
    if !labels.expected && !scope.has("weight") {
        return Ok(None);
    }
    let (sizes, plain) = ([inputs, labels.count], Activation::Identity);
    Linear::load(&scope, sizes, true, None, plain, device).map(Some)
}

/// The classifier's scores, or where there is none what would go into it.
pub(super) fn classify(
    classifier: Option<&Linear>,
    pooled: Tensor,
    trace: &mut Trace<'_>,
) -> Result<Tensor, Error> {
    let Some(classifier) = classifier else {
        return Ok(pooled);
    };
    trace.input("classifier", &pooled)?;
    let scores = classifier.forward(&pooled)?;
    trace.output("classifier", &scores)?;
    Ok(scores)
}
