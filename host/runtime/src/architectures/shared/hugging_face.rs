//! What the configurations and weights of Hugging Face's repositories have in common.
//!
//! A repository's `config.json` is used as it is: fields that do not affect inference are ignored,
//! and a value that asks for something that is not implemented is an error.

use candle_core::Tensor;
use serde::Deserialize;
use serde_json::Value;

use super::config::ConfigChecker;
use super::network::{ImageTower, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Linear};
use crate::trace::Trace;
use crate::weights::Scope;

/// One side or two: `224` or `[224, 224]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Sides {
    Both(usize),
    Each([usize; 2]),
}

impl Sides {
    /// `[height, width]`.
    pub(crate) const fn pair(self) -> [usize; 2] {
        match self {
            Self::Both(side) => [side; 2],
            Self::Each(sides) => sides,
        }
    }
}

/// The classes of a network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Labels {
    pub(crate) count: usize,
    /// Whether the configuration is that of a classifier, and not of a base model.
    pub(crate) expected: bool,
}

impl Labels {
    /// Reads `id2label` or `num_labels`, and `architectures`.
    pub(crate) fn read(config: &ConfigChecker, value: &Value) -> Result<Self, Error> {
        let named = value.get("id2label").and_then(Value::as_object);
        let count = value.get("num_labels").and_then(Value::as_u64);
        let count = match (named, count) {
            (Some(named), _) => named.len(),
            (None, Some(count)) => usize::try_from(count).unwrap_or(usize::MAX),
            // The default of transformers.
            (None, None) => 2,
        };
        config.check_size("num_labels", count)?;
        let class = value.get("architectures").and_then(|all| all.get(0));
        let class = class.and_then(Value::as_str).unwrap_or_default();
        Ok(Self {
            count,
            expected: class.contains("ForImageClassification"),
        })
    }

    /// The number of classes, where it is known without the weights.
    pub(crate) fn known(self) -> Option<usize> {
        self.expected.then_some(self.count)
    }
}

/// The scope of a base model's weights: under its name, as in a classifier's checkpoint, or at the
/// top, as in its own. `probe` is one of its tensors.
pub(crate) fn base<'a>(weights: &Scope<'a>, prefix: &str, probe: &str) -> Scope<'a> {
    let child = weights.child(prefix);
    if child.has(probe) {
        child
    } else {
        weights.clone()
    }
}

/// The linear layer `name`, where the weights have one; an error where they do not although the
/// configuration is that of a classifier.
pub(crate) fn classifier(
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
    let (sizes, activation) = ([inputs, labels.count], Activation::Identity);
    Linear::load(&scope, sizes, true, None, activation, device).map(Some)
}

/// The network of a tower that names its values as transformers does: the hidden states 0 to
/// `states`, the outputs of the last norm and of the pooler, and the scores of a classifier.
pub(crate) fn network(
    tower: impl ImageTower + 'static,
    states: usize,
    classifies: bool,
) -> Network {
    let states = (0..=states).map(|at| format!("hidden_states.{at}"));
    let mut layers: Vec<String> = states.collect();
    layers.extend(["last_hidden_state", "pooler_output"].map(str::to_owned));
    layers.extend(classifies.then(|| "classifier".to_owned()));
    Network::of_images(tower, layers, Some("pooler_output".to_owned()))
}

/// The scores of the classifier `name`, or without a classifier the features.
pub(crate) fn classify(
    name: &str,
    classifier: Option<&Linear>,
    pooled: Tensor,
    trace: &mut Trace<'_>,
) -> Result<Tensor, Error> {
    let Some(classifier) = classifier else {
        return Ok(pooled);
    };
    trace.input(name, &pooled)?;
    let scores = classifier.forward(&pooled)?;
    trace.output(name, &scores)?;
    Ok(scores)
}
