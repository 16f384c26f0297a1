//! Blocks of transformers: attention between all tokens and a small network on each, both added to
//! what comes in (Vaswani et al., "Attention Is All You Need", 2017), with the norms before them
//! (Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020) or after.
//!
//! Families differ in the names of the tensors ([`Layout`]) and in what acts on the attention
//! ([`Extras`]). A scale on a result is folded into the weights that make it; the three
//! projections of the attention are one.

use candle_core::Tensor;

use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, Dense, FeedForward, FirstHeads, LayerNorm, Linear, Mask, Rotary, SelfAttention,
    gate,
};
use crate::weights::Scope;

/// Reads the factors on the outputs of a layer, and folds them into it.
pub(super) fn scaled(
    dense: Dense,
    scope: &Scope<'_>,
    name: &str,
    outputs: usize,
) -> Result<Dense, Error> {
    dense.scaled(&scope.get(name, &[outputs])?)
}

/// The sizes of all blocks of a network.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockSizes {
    /// Channels of a token.
    pub(super) width: usize,
    /// Divides the width.
    pub(super) heads: usize,
    /// Channels inside the network on each token.
    pub(super) inner: usize,
    /// What the norms add to the variance.
    pub(super) eps: f64,
    pub(super) activation: Activation,
    /// Which of queries, keys and values have a bias.
    pub(super) qkv_bias: [bool; 3],
    /// Whether the result of the attention has one.
    pub(super) out_bias: bool,
    /// Whether the network on each token has them.
    pub(super) mlp_bias: bool,
}

/// Where the norms are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// Before the attention and before the network on each token.
    NormFirst,
    /// After each of them and what comes in was added.
    NormLast,
}

/// The names of a block's tensors, and their order.
pub(super) struct Layout {
    pub(super) order: Order,
    pub(super) norms: [&'static str; 2],
    pub(super) qkv: QkvNames,
    pub(super) out: &'static str,
    pub(super) mlp: MlpNames,
    /// The scales on the results of the attention and of the network on each token.
    pub(super) scales: Option<[&'static str; 2]>,
}

/// The names of queries, keys and values.
pub(super) enum QkvNames {
    Apart([&'static str; 3]),
    /// One layer.
    Joined(&'static str),
    /// The full names of one layer's weight and bias.
    Tensors([&'static str; 2]),
}

/// The names of the network on each token.
pub(super) enum MlpNames {
    Plain([&'static str; 2]),
    /// Gate, values, result.
    Gated([&'static str; 3]),
    /// Gate and values in one layer, in this order; result.
    GatedJoined([&'static str; 2]),
}

/// What acts on the attention of a block besides its tokens.
#[derive(Clone, Copy, Default)]
pub(super) struct Extras<'a> {
    pub(super) mask: Mask<'a>,
    /// Turns queries and keys.
    pub(super) rotary: Option<&'a Rotary>,
}

/// A block.
pub(super) struct Block {
    order: Order,
    norms: [LayerNorm; 2],
    attention: SelfAttention,
    /// Those of queries and keys.
    heads: FirstHeads,
    mlp: Mlp,
}

/// The network on each token.
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
    pub(super) fn load(
        scope: &Scope<'_>,
        layout: &Layout,
        sizes: &BlockSizes,
        device: &Device,
    ) -> Result<Self, Error> {
        let BlockSizes { width, heads, .. } = *sizes;
        let [first, second] = layout.norms;
        let norm = |name| LayerNorm::load(&scope.child(name), width, sizes.eps, true, device);
        let out = Dense::load(&scope.child(layout.out), [width; 2], sizes.out_bias)?;
        let out = match layout.scales {
            Some([scale, _]) => scaled(out, scope, scale, width)?,
            None => out,
        };
        let qkv = qkv(scope, layout, sizes)?;
        Ok(Self {
            order: layout.order,
            norms: [norm(first)?, norm(second)?],
            attention: SelfAttention::from_fused(scope.name(), qkv, out, heads, device)?,
            heads: FirstHeads {
                count: 2 * heads,
                size: width / heads,
            },
            mlp: Mlp::load(scope, layout, sizes, device)?,
        })
    }

    /// So many blocks, named by their numbers in `scope`.
    pub(super) fn load_all(
        scope: &Scope<'_>,
        layout: &Layout,
        sizes: &BlockSizes,
        count: usize,
        device: &Device,
    ) -> Result<Vec<Self>, Error> {
        (0..count)
            .map(|index| Self::load(&scope.child(&index.to_string()), layout, sizes, device))
            .collect()
    }

    /// `[batch, tokens, width]`, twice.
    pub(super) fn forward(&self, x: &Tensor, extras: Extras<'_>) -> Result<Tensor, Error> {
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

    /// The first `count` tokens alone, `[batch, count, width]`, which see all others: the rest is
    /// not computed where nothing reads it.
    pub(super) fn forward_first(
        &self,
        x: &Tensor,
        count: usize,
        extras: Extras<'_>,
    ) -> Result<Tensor, Error> {
        let residual = x.narrow(1, 0, count)?.contiguous()?;
        self.compute(x, |normed| {
            let residual = Some(&residual);
            let turn = |qkv: Tensor| match extras.rotary {
                Some(rotary) => rotary.forward(&qkv, self.heads),
                None => Ok(qkv),
            };
            self.attention
                .forward_first(normed, count, residual, extras.mask, turn)
        })
    }

    /// The block, given the attention with what comes in added.
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

fn qkv(scope: &Scope<'_>, layout: &Layout, sizes: &BlockSizes) -> Result<Dense, Error> {
    let width = sizes.width;
    let (joined, biased) = ([width, 3 * width], sizes.qkv_bias == [true; 3]);
    match layout.qkv {
        QkvNames::Joined(name) => Dense::load(&scope.child(name), joined, biased),
        QkvNames::Tensors([weight, bias]) => {
            let weight = scope.get(weight, &[3 * width, width])?;
            let bias = biased.then(|| scope.get(bias, &[3 * width])).transpose()?;
            Dense::new(&weight, bias.as_ref())
        }
        QkvNames::Apart(names) => {
            let parts = names.iter().zip(sizes.qkv_bias);
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
        layout: &Layout,
        sizes: &BlockSizes,
        device: &Device,
    ) -> Result<Self, Error> {
        let BlockSizes {
            width,
            inner,
            mlp_bias: bias,
            activation,
            ..
        } = *sizes;
        let read = |name: &str, sizes| Dense::load(&scope.child(name), sizes, bias);
        let build = |dense, activation| Linear::new(scope.name(), dense, activation, device);
        let (up, down) = match layout.mlp {
            MlpNames::Plain([up, down]) | MlpNames::GatedJoined([up, down]) => {
                let parts = match layout.mlp {
                    MlpNames::GatedJoined(_) => 2,
                    _ => 1,
                };
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
