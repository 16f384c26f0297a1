//! Configurations of transformer encoders.

use serde::{Deserialize, Deserializer};

use super::block::{Block, BlockConfig, BlockLayout};
use super::config::ConfigChecker;
use super::hugging_face::Sides;
use super::patches::{ImageSizes, Patches};
use crate::device::Device;
use crate::error::Error;
use crate::layers::Activation;
use crate::weights::Scope;

/// An encoder: a number of equal blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncoderConfig {
    pub(crate) blocks: usize,
    pub(crate) block: BlockConfig,
}

impl EncoderConfig {
    /// The fields of [`check`](Self::check) in most of transformers' configurations.
    pub(crate) const FIELDS: [&'static str; 4] = [
        "hidden_size",
        "num_attention_heads",
        "intermediate_size",
        "num_hidden_layers",
    ];

    /// From the width, the heads, the features of the MLP and the number of blocks. All layers have
    /// biases.
    pub(crate) const fn new(
        [width, heads, inner, blocks]: [usize; 4],
        eps: f64,
        activation: Activation,
    ) -> Self {
        Self {
            blocks,
            block: BlockConfig {
                width,
                heads,
                inner,
                eps,
                activation,
                qkv_bias: [true; 3],
                out_bias: true,
                mlp_bias: true,
            },
        }
    }

    /// Checks the values that a configuration has in these fields: width, heads, features of the
    /// MLP, blocks.
    pub(crate) fn check(
        &self,
        config: &ConfigChecker,
        [width, heads, inner, blocks]: [&str; 4],
    ) -> Result<(), Error> {
        let block = &self.block;
        config.check_sizes(&[
            (width, block.width),
            (heads, block.heads),
            (inner, block.inner),
        ])?;
        config.check_count(blocks, self.blocks)?;
        if !block.width.is_multiple_of(block.heads) {
            return Err(config.error(heads, format!("must divide `{width}`")));
        }
        config.check_eps("layer_norm_eps", block.eps)
    }

    /// Loads the blocks, which `scope` has by their numbers.
    pub(crate) fn load(
        &self,
        scope: &Scope<'_>,
        layout: &BlockLayout,
        device: &Device,
    ) -> Result<Vec<Block>, Error> {
        let load = |scope| Block::load(&scope, layout, &self.block, device);
        (0..self.blocks)
            .map(|index| load(scope.child(&index.to_string())))
            .collect()
    }
}

/// The fields that the configurations of transformers' encoders share. A field that is absent has
/// the architecture's default; `null` is refused.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EncoderFields {
    #[serde(deserialize_with = "given")]
    image_size: Option<Sides>,
    #[serde(deserialize_with = "given")]
    patch_size: Option<Sides>,
    #[serde(deserialize_with = "given")]
    num_channels: Option<usize>,
    #[serde(deserialize_with = "given")]
    hidden_size: Option<usize>,
    #[serde(deserialize_with = "given")]
    num_hidden_layers: Option<usize>,
    #[serde(deserialize_with = "given")]
    num_attention_heads: Option<usize>,
    #[serde(deserialize_with = "given")]
    intermediate_size: Option<usize>,
    #[serde(deserialize_with = "given")]
    hidden_act: Option<String>,
    #[serde(deserialize_with = "given")]
    layer_norm_eps: Option<f64>,
}

/// The value of a field that is there. It is not `null`, which transformers refuses too.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// An architecture's defaults of [`EncoderFields`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncoderDefaults {
    pub(crate) width: usize,
    pub(crate) blocks: usize,
    pub(crate) heads: usize,
    /// Features of the MLP.
    pub(crate) inner: usize,
    pub(crate) activation: &'static str,
    pub(crate) eps: f64,
    /// The side of an image, in pixels.
    pub(crate) image: usize,
    /// The side of a patch, in pixels.
    pub(crate) patch: usize,
}

impl EncoderDefaults {
    /// Those of ViT-B/16, which most architectures start from.
    pub(crate) const VIT: Self = Self {
        width: 768,
        blocks: 12,
        heads: 12,
        inner: 3072,
        activation: "gelu",
        eps: 1e-12,
        image: 224,
        patch: 16,
    };
}

impl EncoderFields {
    /// The encoder, checked; all layers have biases.
    pub(crate) fn encoder(
        &self,
        config: &ConfigChecker,
        defaults: &EncoderDefaults,
    ) -> Result<EncoderConfig, Error> {
        let encoder = self.unchecked_encoder(config, defaults)?;
        encoder.check(config, EncoderConfig::FIELDS)?;
        Ok(encoder)
    }

    /// The encoder, whose sizes the caller checks after changing them.
    pub(crate) fn unchecked_encoder(
        &self,
        config: &ConfigChecker,
        defaults: &EncoderDefaults,
    ) -> Result<EncoderConfig, Error> {
        let activation = self.hidden_act.as_deref().unwrap_or(defaults.activation);
        let sizes = [
            self.hidden_size.unwrap_or(defaults.width),
            self.num_attention_heads.unwrap_or(defaults.heads),
            self.intermediate_size.unwrap_or(defaults.inner),
            self.num_hidden_layers.unwrap_or(defaults.blocks),
        ];
        Ok(EncoderConfig::new(
            sizes,
            self.layer_norm_eps.unwrap_or(defaults.eps),
            config.activation("hidden_act", activation)?,
        ))
    }

    /// The patches of images of any size.
    pub(crate) fn patches(
        &self,
        config: &ConfigChecker,
        defaults: &EncoderDefaults,
    ) -> Result<Patches, Error> {
        let channels = self.num_channels.unwrap_or(3);
        config.check_size("num_channels", channels)?;
        let size = self.patch_size.unwrap_or(Sides::Both(defaults.patch));
        Ok(Patches {
            channels,
            size: config.check_sides("patch_size", size.pair())?,
            images: ImageSizes::Any,
        })
    }

    /// The size of the images that the network was configured for, `[height, width]`.
    pub(crate) fn image_size(
        &self,
        config: &ConfigChecker,
        defaults: &EncoderDefaults,
    ) -> Result<[usize; 2], Error> {
        let size = self.image_size.unwrap_or(Sides::Both(defaults.image));
        config.check_sides("image_size", size.pair())
    }

    /// The patches of images of one size only, and their grid.
    pub(crate) fn fixed_patches(
        &self,
        config: &ConfigChecker,
        defaults: &EncoderDefaults,
    ) -> Result<(Patches, [usize; 2]), Error> {
        let size = self.image_size(config, defaults)?;
        let patches = Patches {
            images: ImageSizes::Fixed(size),
            ..self.patches(config, defaults)?
        };
        Ok((patches, patches.configured_grid(config, size)?))
    }

    /// The patches of images of any size, and the grid of the size that the network was configured
    /// for, which has as many rows as columns.
    pub(crate) fn square_patches(
        &self,
        config: &ConfigChecker,
        defaults: &EncoderDefaults,
    ) -> Result<(Patches, [usize; 2]), Error> {
        let patches = self.patches(config, defaults)?;
        let size = self.image_size(config, defaults)?;
        let [rows, columns] = patches.configured_grid(config, size)?;
        if rows != columns {
            return Err(config.error("image_size", "must have as many patches each way"));
        }
        Ok((patches, [rows, columns]))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::EncoderFields;

    #[test]
    fn absent_field_has_the_default_and_null_is_refused() {
        let read = |value| serde_json::from_value::<EncoderFields>(value);
        let fields = read(json!({"hidden_size": 8, "image_size": [32, 16]})).unwrap();
        assert_eq!((fields.hidden_size, fields.num_channels), (Some(8), None));
        for name in [
            "image_size",
            "patch_size",
            "num_channels",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "hidden_act",
            "layer_norm_eps",
        ] {
            assert!(read(json!({ name: null })).is_err(), "{name}");
        }
    }
}
