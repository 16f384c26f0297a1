//! Encoders of texts: blocks of attention between all tokens and of a small network on each
//! (Vaswani et al., "Attention Is All You Need", 2017), with the norms before or after them.

use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Dense, FeedForward, LayerNorm, Linear, Mask, SelfAttention};
use crate::weights::Scope;
use candle_core::Tensor;

/// The most features, heads, tokens or classes that are believed before the weights are looked at.
pub(super) const MAX_SIZE: usize = 1 << 20;
/// The most blocks of a network.
pub(super) const MAX_BLOCKS: usize = 1000;

/// The sizes of all blocks of a network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Features of a token.
    pub(super) width: usize,
    /// Divides the width.
    pub(super) heads: usize,
    /// Features inside the network on each token.
    pub(super) inner: usize,
    pub(super) blocks: usize,
    /// What the norms add to the variance.
    pub(super) eps: f64,
    pub(super) activation: Activation,
}

impl Sizes {
    /// The fields of [`check`](Self::check) in most of transformers' configurations.
    pub(super) const FIELDS: [&str; 4] = [
        "hidden_size",
        "num_attention_heads",
        "intermediate_size",
        "num_hidden_layers",
    ];

    /// Checks what comes from a configuration, whose fields for the width, the heads, the inner
    /// features and the blocks are `fields`.
    pub(super) fn check(
        &self,
        fields: [&str; 4],
        bad: impl Fn(&str, String) -> Error,
    ) -> Result<(), Error> {
        let [width, heads, inner, blocks] = fields;
        let sizes = [
            (width, self.width, MAX_SIZE),
            (heads, self.heads, MAX_SIZE),
            (inner, self.inner, MAX_SIZE),
            (blocks, self.blocks, MAX_BLOCKS),
        ];
        for (field, size, most) in sizes {
            if !(1..=most).contains(&size) {
                return Err(bad(field, format!("must be 1 to {most}")));
            }
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(bad(heads, format!("must divide `{width}`")));
        }
        if !(0.0..=1.0).contains(&self.eps) {
            return Err(bad("layer_norm_eps", "must be 0 to 1".to_owned()));
        }
        Ok(())
    }
}

/// Where the norms are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// Before the attention and before the network on each token.
    NormFirst,
    /// After each of them and what comes in was added.
    NormLast,
}

/// The names of a block's tensors.
pub(super) struct Names {
    pub(super) order: Order,
    pub(super) qkv: Projections,
    pub(super) out: &'static str,
    pub(super) norms: [&'static str; 2],
    pub(super) mlp: [&'static str; 2],
}

/// The names of what makes queries, keys and values.
pub(super) enum Projections {
    /// One layer each.
    Apart([&'static str; 3]),
    /// `in_proj_weight` and `in_proj_bias` of PyTorch's `MultiheadAttention`.
    Joined(&'static str),
}

/// A block.
pub(super) struct Block {
    order: Order,
    attention: SelfAttention,
    norms: [LayerNorm; 2],
    mlp: FeedForward,
}

impl Block {
    pub(super) fn load(
        scope: &Scope<'_>,
        names: &Names,
        sizes: &Sizes,
        device: &Device,
    ) -> Result<Self, Error> {
        let Sizes {
            width,
            heads,
            inner,
            eps,
            activation,
            ..
        } = *sizes;
        let dense = |name: &str| Dense::load(&scope.child(name), [width; 2], true);
        let out = dense(names.out)?;
        let attention = match names.qkv {
            Projections::Apart([q, k, v]) => {
                let parts = [dense(q)?, dense(k)?, dense(v)?];
                SelfAttention::new(scope.name(), parts, out, heads, device)?
            }
            Projections::Joined(name) => {
                let qkv = joined(&scope.child(name), width)?;
                SelfAttention::from_fused(scope.name(), qkv, out, heads, device)?
            }
        };
        let norm = |name: &str| LayerNorm::load(&scope.child(name), width, eps, true, device);
        let [first, second] = names.norms;
        let linear = |name: &str, sizes, activation| {
            Linear::load(&scope.child(name), sizes, true, None, activation, device)
        };
        let [up, down] = names.mlp;
        Ok(Self {
            order: names.order,
            attention,
            norms: [norm(first)?, norm(second)?],
            mlp: FeedForward::new(
                linear(up, [width, inner], activation)?,
                linear(down, [inner, width], Activation::Identity)?,
            ),
        })
    }

    /// All blocks of a network, named by their numbers in `scope`.
    pub(super) fn load_all(
        scope: &Scope<'_>,
        names: &Names,
        sizes: &Sizes,
        device: &Device,
    ) -> Result<Vec<Self>, Error> {
        (0..sizes.blocks)
            .map(|index| Self::load(&scope.child(&index.to_string()), names, sizes, device))
            .collect()
    }

    /// `[batch, tokens, width]`, twice.
    pub(super) fn forward(&self, x: &Tensor, mask: Mask<'_>) -> Result<Tensor, Error> {
        let [first, second] = &self.norms;
        match self.order {
            Order::NormFirst => {
                let x = self.attention.forward(&first.forward(x)?, Some(x), mask)?;
                self.mlp.forward(&second.forward(&x)?, Some(&x))
            }
            Order::NormLast => {
                let x = first.forward(&self.attention.forward(x, Some(x), mask)?)?;
                second.forward(&self.mlp.forward(&x, Some(&x))?)
            }
        }
    }
}

/// The joined projections of PyTorch's `MultiheadAttention`.
pub(super) fn joined(scope: &Scope<'_>, width: usize) -> Result<Dense, Error> {
    let weight = scope.get("in_proj_weight", &[3 * width, width])?;
    let bias = scope.get("in_proj_bias", &[3 * width])?;
    Dense::new(&weight, Some(&bias))
}

/// The same as three layers.
pub(super) fn joined_parts(scope: &Scope<'_>, width: usize) -> Result<[Dense; 3], Error> {
    let weight = scope.get("in_proj_weight", &[3 * width, width])?;
    let bias = scope.get("in_proj_bias", &[3 * width])?;
    let part = |at: usize| {
        let weight = weight.narrow(0, at * width, width)?;
        let bias = bias.narrow(0, at * width, width)?;
        Dense::new(&weight, Some(&bias))
    };
    Ok([part(0)?, part(1)?, part(2)?])
}

/// An activation by its name in transformers.
pub(super) fn activation(name: &str) -> Option<Activation> {
    Some(match name {
        "gelu" | "gelu_python" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
        "quick_gelu" => Activation::QuickGelu,
        "relu" => Activation::Relu,
        "relu6" => Activation::Relu6,
        "silu" | "swish" => Activation::Silu,
        "sigmoid" => Activation::Sigmoid,
        "tanh" => Activation::Tanh,
        _ => return None,
    })
}
