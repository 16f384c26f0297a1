//! A list of layers that the plan describes.

mod check;
mod config;

use candle_core::Tensor;
use modelzoo_base::nearest;
use modelzoo_base::text::escape;
use modelzoo_model::plan::Size;
use serde_json::Value;

pub use config::{Approximation, Pair, SequentialConfig, SequentialLayer};

use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::network::{ArchitectureConfig, ImageTower, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, BatchNorm, ChannelScale, Conv2d, FeatureMap, Linear, Pool, activate, global_average,
};
use crate::trace::{Trace, Traced};
use crate::weights::Scope;

/// A checked list of layers.
pub(crate) struct Sequential {
    checker: ConfigChecker,
    layers: Vec<SequentialLayer>,
}

impl Sequential {
    /// Builds the layers, each with the batch norm and the activation that follow it.
    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<SequentialNetwork, Error> {
        let mut nodes = Vec::new();
        let mut rest = &self.layers[..];
        while let Some((layer, after)) = rest.split_first() {
            let index = self.layers.len() - rest.len();
            rest = after;
            let node = match layer {
                SequentialLayer::Conv2d { name, bias, .. } => {
                    let norm = take_norm(&mut rest, weights)?;
                    let activation = take_activation(&mut rest);
                    let geometry = layer.geometry().ok_or_else(|| {
                        let at = check::layer_checker(&self.checker, index);
                        at.error("", "is not a convolution")
                    })?;
                    let weights = weights.child(name);
                    Node::Conv(Conv2d::load(
                        &weights,
                        geometry,
                        *bias,
                        norm.as_ref(),
                        activation,
                        device,
                    )?)
                }
                SequentialLayer::Linear {
                    name,
                    in_features,
                    out_features,
                    bias,
                } => {
                    let norm = take_norm(&mut rest, weights)?;
                    let activation = take_activation(&mut rest);
                    let sizes = [*in_features, *out_features];
                    Node::Linear(Linear::load(
                        &weights.child(name),
                        sizes,
                        *bias,
                        norm.as_ref(),
                        activation,
                        device,
                    )?)
                }
                SequentialLayer::BatchNorm {
                    name,
                    features,
                    eps,
                    affine,
                } => {
                    let norm = BatchNorm::load(&weights.child(name), *features, *eps, *affine)?;
                    Node::Norm(norm.into_layer(name, take_activation(&mut rest), device)?)
                }
                SequentialLayer::GlobalAvgPool {} => Node::GlobalAverage,
                SequentialLayer::Flatten {} => Node::Flatten,
                other => match (other.pool(), activation(other)) {
                    (Some((window, kind)), _) => Node::Pool(Pool {
                        name: format!("layers[{index}]"),
                        window,
                        kind,
                    }),
                    (None, Some(Activation::Identity) | None) => continue,
                    (None, Some(activation)) => Node::Activation(activation),
                },
            };
            let name = match layer {
                SequentialLayer::Conv2d { name, .. } | SequentialLayer::Linear { name, .. } => {
                    Some(name.clone())
                }
                _ => None,
            };
            nodes.push((name, node));
        }
        Ok(SequentialNetwork {
            nodes,
            device: device.clone(),
        })
    }
}

/// Checks the type of a layer; an unknown one is answered with the nearest.
fn check_type(at: &ConfigChecker, layer: &Value) -> Result<(), Error> {
    let Some(found) = layer.get("type").and_then(Value::as_str) else {
        return Err(at.error("type", "must be given, and be the name of a kind of layer"));
    };
    if config::TYPES.contains(&found) {
        return Ok(());
    }
    let near = nearest(found, config::TYPES.iter().copied());
    let known = if near.is_empty() {
        format!("the types are {}", config::TYPES.join(", "))
    } else {
        format!("nearest: {}", near.join(", "))
    };
    let reason = format!("unknown type `{}` ({known})", escape(found));
    Err(at.error("type", reason))
}

impl ArchitectureConfig for Sequential {
    /// Reads the layers one by one, so that an error names the layer.
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Unread {
            layers: Vec<Value>,
        }
        let Unread { layers } = checker.read(config)?;
        let mut checked = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate() {
            let at = check::layer_checker(checker, index);
            check_type(&at, layer)?;
            checked.push(at.read(layer)?);
        }
        check::check(checker, &checked)?;
        Ok(Self {
            checker: checker.clone(),
            layers: checked,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        check::in_channels(&self.layers)
    }

    fn outputs(&self, channels: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        check::outputs(&self.checker, &self.layers, channels, size)
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.network(weights, device)?;
        let layers = network.nodes.iter().filter_map(|(name, _)| name.clone());
        let layers: Vec<String> = layers.collect();
        // The input of the last layer, which usually is the classifier.
        let embedding = layers.last().map(|layer| format!("<{layer}"));
        Ok(Network::of_images(network, layers, embedding))
    }
}

/// The activation that a layer is; dropout does nothing.
fn activation(layer: &SequentialLayer) -> Option<Activation> {
    Some(match *layer {
        SequentialLayer::Dropout { .. } | SequentialLayer::Identity {} => Activation::Identity,
        SequentialLayer::Relu {} => Activation::Relu,
        SequentialLayer::Relu6 {} => Activation::Relu6,
        SequentialLayer::LeakyRelu { negative_slope } => Activation::LeakyRelu { negative_slope },
        SequentialLayer::Elu { alpha } => Activation::Elu { alpha },
        SequentialLayer::Gelu {
            approximate: Approximation::None,
        } => Activation::Gelu,
        SequentialLayer::Gelu {
            approximate: Approximation::Tanh,
        } => Activation::GeluTanh,
        SequentialLayer::Silu {} => Activation::Silu,
        SequentialLayer::Sigmoid {} => Activation::Sigmoid,
        SequentialLayer::Tanh {} => Activation::Tanh,
        SequentialLayer::Hardsigmoid {} => Activation::Hardsigmoid,
        SequentialLayer::Hardswish {} => Activation::Hardswish,
        _ => return None,
    })
}

/// Takes the batch norm, if it is the next layer.
fn take_norm(
    rest: &mut &[SequentialLayer],
    weights: &Scope<'_>,
) -> Result<Option<BatchNorm>, Error> {
    let Some((
        SequentialLayer::BatchNorm {
            name,
            features,
            eps,
            affine,
        },
        after,
    )) = rest.split_first()
    else {
        return Ok(None);
    };
    *rest = after;
    BatchNorm::load(&weights.child(name), *features, *eps, *affine).map(Some)
}

/// Takes the activation, if it is the next layer; skips layers that do nothing.
fn take_activation(rest: &mut &[SequentialLayer]) -> Activation {
    while let Some((layer, after)) = rest.split_first() {
        let Some(activation) = activation(layer) else {
            break;
        };
        *rest = after;
        if activation != Activation::Identity {
            return activation;
        }
    }
    Activation::Identity
}

/// A built list of layers.
struct SequentialNetwork {
    /// The layers; convolutions and linear layers have the names of their weights.
    nodes: Vec<(Option<String>, Node)>,
    device: Device,
}

enum Node {
    Conv(Conv2d),
    Norm(ChannelScale),
    Activation(Activation),
    Pool(Pool),
    GlobalAverage,
    Flatten,
    Linear(Linear),
}

/// The value between two layers.
enum Flow {
    Map(FeatureMap),
    Rows(Tensor),
}

impl Traced for Flow {
    fn traced(&self) -> Result<Tensor, Error> {
        match self {
            Self::Map(map) => map.traced(),
            Self::Rows(rows) => rows.traced(),
        }
    }
}

impl ImageTower for SequentialNetwork {
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        let mut flow = Flow::Map(x);
        for (name, node) in &self.nodes {
            if let Some(name) = name {
                trace.input(name, &flow)?;
            }
            flow = node.forward(flow, &self.device)?;
            if let Some(name) = name {
                trace.output(name, &flow)?;
            }
        }
        match flow {
            Flow::Rows(rows) => Ok(rows),
            Flow::Map(_) => Err(Error::bad_input("sequential", "ends with a feature map")),
        }
    }
}

impl Node {
    fn forward(&self, x: Flow, device: &Device) -> Result<Flow, Error> {
        Ok(match (self, x) {
            (Self::Conv(layer), Flow::Map(x)) => Flow::Map(layer.forward(&x, None)?),
            (Self::Norm(layer), Flow::Map(x)) => Flow::Map(layer.forward(&x)?),
            (Self::Norm(layer), Flow::Rows(x)) => Flow::Rows(layer.forward_rows(&x, device)?),
            (Self::Activation(activation), Flow::Map(x)) => Flow::Map(x.activate(*activation)?),
            (Self::Activation(activation), Flow::Rows(x)) => {
                Flow::Rows(activate(&x, *activation, device.kernels())?)
            }
            (Self::Pool(pool), Flow::Map(x)) => Flow::Map(pool.forward(&x)?),
            (Self::GlobalAverage, Flow::Map(x)) => Flow::Map(global_average(&x)?),
            (Self::Flatten, Flow::Map(x)) => Flow::Rows(x.flatten()?),
            (Self::Flatten, Flow::Rows(x)) => Flow::Rows(x),
            (Self::Linear(layer), Flow::Rows(x)) => Flow::Rows(layer.forward(&x)?),
            // `check` has refused these.
            (Self::Conv(_) | Self::Pool(_) | Self::GlobalAverage, Flow::Rows(_))
            | (Self::Linear(_), Flow::Map(_)) => {
                let reason = "a layer gets an input of the wrong kind";
                return Err(Error::bad_input("sequential", reason));
            }
        })
    }
}
