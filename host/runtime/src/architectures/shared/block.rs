//! Blocks of transformers: self-attention and an MLP, each with a residual (Vaswani et al.,
//! "Attention Is All You Need", 2017), with the norms before them (Dosovitskiy et al., "An Image is
//! Worth 16x16 Words", 2020) or after.
//!
//! Families differ in the names of the tensors ([`BlockLayout`]) and in masks and positions
//! ([`AttentionExtras`]). Layer scale is folded into the weights; queries, keys and values are one
//! projection.

use candle_core::Tensor;

use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, Dense, FeedForward, FirstHeads, LayerNorm, Linear, Mask, Rotary, SelfAttention,
    gate,
};
use crate::weights::Scope;

/// Reads the layer scale of a layer, and folds it into the weights.
pub(crate) fn scaled(
    dense: Dense,
    scope: &Scope<'_>,
    name: &str,
    outputs: usize,
) -> Result<Dense, Error> {
    dense.scaled(&scope.get(name, &[outputs])?)
}

/// The configuration of the blocks of a network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockConfig {
    /// Features per token.
    pub(crate) width: usize,
    /// Divides the width.
    pub(crate) heads: usize,
    /// Hidden features of the MLP.
    pub(crate) inner: usize,
    /// The epsilon of the norms.
    pub(crate) eps: f64,
    pub(crate) activation: Activation,
    /// Which of queries, keys and values have a bias.
    pub(crate) qkv_bias: [bool; 3],
    /// Whether the projection after the attention has a bias.
    pub(crate) out_bias: bool,
    /// Whether the MLP has biases.
    pub(crate) mlp_bias: bool,
}

/// The position of the norms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    /// Before the attention and before the MLP (pre-norm).
    NormFirst,
    /// After each of them and its residual (post-norm).
    NormLast,
}

/// The names of a block's tensors, and the order of its layers.
pub(crate) struct BlockLayout {
    pub(crate) order: Order,
    pub(crate) norms: [&'static str; 2],
    pub(crate) qkv: QkvNames,
    pub(crate) out: &'static str,
    pub(crate) mlp: MlpNames,
    /// The layer scales of the attention and of the MLP.
    pub(crate) scales: Option<[&'static str; 2]>,
}

/// The names of queries, keys and values.
pub(crate) enum QkvNames {
    Separate([&'static str; 3]),
    /// One layer.
    Joined(&'static str),
    /// The full names of one layer's weight and bias.
    Tensors([&'static str; 2]),
}

/// The names of the MLP's layers.
pub(crate) enum MlpNames {
    Plain([&'static str; 2]),
    /// Gate, up, down.
    Gated([&'static str; 3]),
    /// Gate and up in one layer, in this order; down.
    GatedJoined([&'static str; 2]),
}

/// The mask and the position embedding of an attention.
#[derive(Clone, Copy, Default)]
pub(crate) struct AttentionExtras<'a> {
    pub(crate) mask: Mask<'a>,
    /// Rotates queries and keys.
    pub(crate) rotary: Option<&'a Rotary>,
}

/// A built block.
pub(crate) struct Block {
    order: Order,
    norms: [LayerNorm; 2],
    attention: SelfAttention,
    /// The heads of queries and keys.
    heads: FirstHeads,
    mlp: Mlp,
}

/// A built MLP.
enum Mlp {
    Plain(FeedForward),
    Gated {
        up: Linear,
        activation: Activation,
        down: Linear,
        device: Device,
    },
}

impl Block {
    pub(crate) fn load(
        scope: &Scope<'_>,
        layout: &BlockLayout,
        config: &BlockConfig,
        device: &Device,
    ) -> Result<Self, Error> {
        let BlockConfig { width, heads, .. } = *config;
        let [first, second] = layout.norms;
        let norm = |name| LayerNorm::load(&scope.child(name), width, config.eps, true, device);
        let out = Dense::load(&scope.child(layout.out), [width; 2], config.out_bias)?;
        let out = match layout.scales {
            Some([scale, _]) => scaled(out, scope, scale, width)?,
            None => out,
        };
        let qkv = qkv(scope, layout, config)?;
        Ok(Self {
            order: layout.order,
            norms: [norm(first)?, norm(second)?],
            attention: SelfAttention::from_fused(scope.name(), qkv, out, heads, device)?,
            heads: FirstHeads {
                count: 2 * heads,
                size: width / heads,
            },
            mlp: Mlp::load(scope, layout, config, device)?,
        })
    }

    /// `[batch, tokens, width]` to the same shape.
    pub(crate) fn forward(&self, x: &Tensor, extras: AttentionExtras<'_>) -> Result<Tensor, Error> {
        self.compute(x, |normed| {
            let (attention, residual) = (&self.attention, Some(x));
            match extras.rotary {
                None => attention.forward(normed, residual, extras.mask),
                Some(rotary) => attention.forward_with(normed, residual, extras.mask, |qkv| {
                    rotary.forward(&qkv, self.heads)
                }),
            }
        })
    }

    /// The first `count` tokens only, `[batch, count, width]`; they attend to all tokens. For last
    /// blocks of which nothing else is read.
    pub(crate) fn forward_first(
        &self,
        x: &Tensor,
        count: usize,
        extras: AttentionExtras<'_>,
    ) -> Result<Tensor, Error> {
        let residual = x.narrow(1, 0, count)?.contiguous()?;
        self.compute(x, |normed| {
            let residual = Some(&residual);
            let rotate = |qkv: Tensor| match extras.rotary {
                Some(rotary) => rotary.forward(&qkv, self.heads),
                None => Ok(qkv),
            };
            self.attention
                .forward_first(normed, count, residual, extras.mask, rotate)
        })
    }

    /// The block, given the attention with its residual.
    fn compute(
        &self,
        x: &Tensor,
        attend: impl FnOnce(&Tensor) -> Result<Tensor, Error>,
    ) -> Result<Tensor, Error> {
        let [first, second] = &self.norms;
        match self.order {
            Order::NormFirst => {
                let x = attend(&first.forward(x)?)?;
                self.mlp.forward(&second.forward(&x)?, &x)
            }
            Order::NormLast => {
                let x = first.forward(&attend(x)?)?;
                second.forward(&self.mlp.forward(&x, &x)?)
            }
        }
    }
}

fn qkv(scope: &Scope<'_>, layout: &BlockLayout, config: &BlockConfig) -> Result<Dense, Error> {
    let width = config.width;
    let (joined, biased) = ([width, 3 * width], config.qkv_bias == [true; 3]);
    match layout.qkv {
        QkvNames::Joined(name) => Dense::load(&scope.child(name), joined, biased),
        QkvNames::Tensors([weight, bias]) => {
            let weight = scope.get(weight, &[3 * width, width])?;
            let bias = biased.then(|| scope.get(bias, &[3 * width])).transpose()?;
            Dense::new(&weight, bias.as_ref())
        }
        QkvNames::Separate(names) => {
            let parts = names.iter().zip(config.qkv_bias);
            let parts = parts.map(|(name, bias)| Dense::load(&scope.child(name), [width; 2], bias));
            Dense::stack(&parts.collect::<Result<Vec<_>, _>>()?)
        }
    }
}

impl Mlp {
    fn forward(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor, Error> {
        match self {
            Self::Plain(layers) => layers.forward(x, Some(residual)),
            Self::Gated {
                up,
                activation,
                down,
                device,
            } => down.forward_add(&gate(&up.forward(x)?, *activation, device)?, residual),
        }
    }

    fn load(
        scope: &Scope<'_>,
        layout: &BlockLayout,
        config: &BlockConfig,
        device: &Device,
    ) -> Result<Self, Error> {
        let BlockConfig {
            width,
            inner,
            mlp_bias: bias,
            activation,
            ..
        } = *config;
        let read = |name: &str, sizes| Dense::load(&scope.child(name), sizes, bias);
        let build = |dense, activation| Linear::new(scope.name(), dense, activation, device);
        let (up, down) = match layout.mlp {
            MlpNames::Plain([up, down]) | MlpNames::GatedJoined([up, down]) => {
                let gated = matches!(layout.mlp, MlpNames::GatedJoined(_));
                let parts = if gated { 2 } else { 1 };
                (read(up, [width, parts * inner])?, down)
            }
            MlpNames::Gated([gate, up, down]) => {
                let parts = [read(gate, [width, inner])?, read(up, [width, inner])?];
                (Dense::stack(&parts)?, down)
            }
        };
        let down = read(down, [inner, width])?;
        let down = match layout.scales {
            Some([_, scale]) => scaled(down, scope, scale, width)?,
            None => down,
        };
        let down = build(down, Activation::Identity)?;
        Ok(match layout.mlp {
            MlpNames::Plain(_) => Self::Plain(FeedForward::new(build(up, activation)?, down)),
            MlpNames::Gated(_) | MlpNames::GatedJoined(_) => Self::Gated {
                up: build(up, Activation::Identity)?,
                activation,
                down,
                device: device.clone(),
            },
        })
    }
}
