//! What the configurations of encoders say: their sizes, and what of them is believed.

use super::transformer::BlockSizes;
use crate::error::Error;
use crate::layers::Activation;

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

    /// Those of a block, all of whose layers have biases.
    pub(super) const fn block(&self) -> BlockSizes {
        BlockSizes {
            width: self.width,
            heads: self.heads,
            inner: self.inner,
            eps: self.eps,
            activation: self.activation,
            qkv_bias: [true; 3],
            out_bias: true,
            mlp_bias: true,
        }
    }

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
