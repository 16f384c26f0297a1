//! BEiT, as transformers builds it (`models/beit`; Bao et al., "BEiT: BERT Pre-Training of Image
//! Transformers", 2021).

use std::collections::TryReserveError;

use candle_core::Tensor;
use modelzoo_model::plan::Size;
use serde::Deserialize;
use serde_json::Value;

use super::vit;
use super::vit_tower::{
    AttentionPositions, ClassToken, Head, NoAttentionPositions, PositionTable, PrefixTokens,
    TraceNames, ViTTower, mean,
};
use crate::architectures::shared::block::BlockLayout;
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::encoder::{EncoderConfig, EncoderDefaults, EncoderFields};
use crate::architectures::shared::grid::{Grid, GridCache, Interpolation};
use crate::architectures::shared::hugging_face::{self, Labels};
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::architectures::shared::patches::Patches;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{LayerNorm, Linear, check_size};
use crate::trace::Trace;
use crate::weights::Scope;

/// The configuration of `beit`: a repository's `config.json`, `model_type` and all.
///
/// | field | | default |
/// |---|---|---|
/// | `image_size`, `patch_size` | a side, or height and width; as many patches each way | 224, 16 |
/// | `num_channels` | channels of the input | 3 |
/// | `hidden_size`, `num_hidden_layers`, `num_attention_heads`, `intermediate_size` | | 768, 12, 12, 3072 |
/// | `hidden_act` | | `"gelu"` |
/// | `layer_norm_eps` | | 1e-12 |
/// | `use_absolute_position_embeddings` | | false |
/// | `use_relative_position_bias` | one per block | false |
/// | `use_shared_relative_position_bias` | one for all blocks | false |
/// | `layer_scale_init_value` | above 0: blocks have layer scale | 0.1 |
/// | `use_mean_pooling` | the mean of the patches, or else the class token | true |
/// | `id2label` or `num_labels` | the number of classes | 2 |
///
/// The weights have the names of transformers' `BeitForImageClassification` or `BeitModel`:
/// `beit.embeddings.cls_token`, `beit.encoder.layer.0.lambda_1`, …, `classifier.weight`. Images
/// of other sizes work: position embeddings are interpolated.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools, reason = "as in the repository's file")]
pub struct BeitConfig {
    #[serde(flatten)]
    fields: EncoderFields,
    /// Whether tokens have absolute position embeddings.
    pub use_absolute_position_embeddings: bool,
    /// Whether each block has a relative position bias of its own.
    pub use_relative_position_bias: bool,
    /// Whether all blocks share one relative position bias.
    pub use_shared_relative_position_bias: bool,
    /// Above 0: blocks have layer scale.
    pub layer_scale_init_value: f64,
    /// Whether the mean of the patches is classified, or the class token.
    pub use_mean_pooling: bool,
}

impl Default for BeitConfig {
    fn default() -> Self {
        Self {
            fields: EncoderFields::default(),
            use_absolute_position_embeddings: false,
            use_relative_position_bias: false,
            use_shared_relative_position_bias: false,
            layer_scale_init_value: 0.1,
            use_mean_pooling: true,
        }
    }
}

/// A checked configuration.
pub(crate) struct Beit {
    config: BeitConfig,
    patches: Patches,
    grid: [usize; 2],
    encoder: EncoderConfig,
    labels: Labels,
}

impl Beit {
    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<ViTTower, Error> {
        let base = hugging_face::base(weights, "beit", "embeddings.cls_token");
        let encoder = base.child("encoder");
        let width = self.encoder.block.width;
        let scales = self.config.layer_scale_init_value > 0.0;
        let layout = BlockLayout {
            scales: scales.then_some(["lambda_1", "lambda_2"]),
            ..vit::LAYOUT
        };
        let scope = encoder.child("layer");
        let blocks = self.encoder.load(&scope, &layout, device)?;
        let scope = base.child("embeddings.patch_embeddings.projection");
        let eps = self.encoder.block.eps;
        let norm = |scope| LayerNorm::load(&scope, width, eps, true, device);
        let last = if self.config.use_mean_pooling {
            None
        } else {
            Some(norm(base.child("layernorm"))?)
        };
        Ok(ViTTower {
            projection: self.patches.load(&scope, width, true, device)?,
            patches: self.patches,
            prefix: self.prefix(&base.child("embeddings"), device)?,
            attention: self.positions(&encoder, device)?,
            blocks,
            norm: last,
            head: self.head(weights, &base, device)?,
            names: TraceNames::HUGGING_FACE,
            device: device.clone(),
        })
    }

    fn prefix(&self, embeddings: &Scope<'_>, device: &Device) -> Result<PrefixTokens, Error> {
        let width = self.encoder.block.width;
        // It replaces masked patches in training.
        embeddings.ignore("mask_token");
        let class = embeddings.get("cls_token", &[1, 1, width])?;
        let table = if self.config.use_absolute_position_embeddings {
            let [rows, columns] = self.grid;
            let dims = [1, 1 + rows * columns, width];
            Some(PositionTable {
                values: embeddings.get("position_embeddings", &dims)?,
                grid: self.grid,
                interpolation: Interpolation::Bicubic,
            })
        } else {
            None
        };
        PrefixTokens::new(&[class], 1, table, device)
    }

    fn positions(
        &self,
        encoder: &Scope<'_>,
        device: &Device,
    ) -> Result<Box<dyn AttentionPositions>, Error> {
        let shared = self.config.use_shared_relative_position_bias;
        let tables = if shared { 1 } else { self.encoder.blocks };
        let load = |scope: Scope<'_>| {
            let scope = scope.child("relative_position_bias");
            RelativeBias::load(
                &scope,
                self.grid,
                [tables, self.encoder.block.heads],
                device,
            )
        };
        let blocks = if shared {
            vec![load(encoder.clone())?]
        } else if self.config.use_relative_position_bias {
            (0..self.encoder.blocks)
                .map(|block| load(encoder.child(&format!("layer.{block}.attention.attention"))))
                .collect::<Result<_, _>>()?
        } else {
            return Ok(Box::new(NoAttentionPositions));
        };
        Ok(Box::new(RelativeBiases { blocks }))
    }

    fn head(
        &self,
        weights: &Scope<'_>,
        base: &Scope<'_>,
        device: &Device,
    ) -> Result<Box<dyn Head>, Error> {
        let width = self.encoder.block.width;
        let classifier =
            hugging_face::classifier(weights, "classifier", width, self.labels, device)?;
        Ok(if self.config.use_mean_pooling {
            let scope = base.child("pooler.layernorm");
            let norm = LayerNorm::load(&scope, width, self.encoder.block.eps, true, device)?;
            Box::new(Mean { norm, classifier })
        } else {
            Box::new(ClassToken {
                pooled: Some("pooler_output"),
                name: "classifier",
                classifier,
            })
        })
    }
}

impl ArchitectureConfig for Beit {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let parsed: BeitConfig = checker.read(config)?;
        let mut encoder = parsed.fields.encoder(checker, &EncoderDefaults::VIT)?;
        encoder.block.qkv_bias = [true, false, true];
        if parsed.use_relative_position_bias && parsed.use_shared_relative_position_bias {
            let reason = "is not supported together with `use_relative_position_bias`";
            return Err(checker.error("use_shared_relative_position_bias", reason));
        }
        let (patches, grid) = parsed
            .fields
            .square_patches(checker, &EncoderDefaults::VIT)?;
        Ok(Self {
            config: parsed,
            patches,
            grid,
            encoder,
            labels: Labels::read(checker, config)?,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(self.patches.channels)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        self.patches.check_plan(size)?;
        Ok(self.labels.known())
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.network(weights, device)?;
        Ok(network.into_pooled(weights.has("classifier.weight")))
    }
}

/// The norm of the mean of the patches, and a classifier where there is one.
struct Mean {
    norm: LayerNorm,
    classifier: Option<Linear>,
}

impl Head for Mean {
    fn forward(&self, tokens: &Tensor, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        trace.input("pooler_output", tokens)?;
        let pooled = self.norm.forward(&mean(tokens, 1)?)?;
        trace.output("pooler_output", &pooled)?;
        hugging_face::classify("classifier", self.classifier.as_ref(), pooled, trace)
    }
}

/// The relative position biases: one per block, or one for all.
struct RelativeBiases {
    blocks: Vec<RelativeBias>,
}

impl AttentionPositions for RelativeBiases {
    fn bias(&self, block: usize, grid: [usize; 2]) -> Result<Option<Tensor>, Error> {
        let block = self.blocks.get(block).or_else(|| self.blocks.last());
        block.map(|bias| bias.resized(grid)).transpose()
    }
}

/// A bias on attention scores by the distance of two patches, and three for pairs with the class
/// token.
struct RelativeBias {
    /// By distance: `[2 * height - 1, 2 * width - 1, heads]`.
    grid: Grid,
    /// From the class token to a patch, from a patch to it, from it to itself: `[3, heads]`.
    class: Vec<f32>,
    /// The number of blocks that keep a table of their own.
    tables: usize,
    heads: usize,
    device: Device,
    tensors: GridCache<Tensor>,
}

impl RelativeBias {
    fn load(
        scope: &Scope<'_>,
        [height, width]: [usize; 2],
        [tables, heads]: [usize; 2],
        device: &Device,
    ) -> Result<Self, Error> {
        // A buffer of older checkpoints, the same for all models.
        scope.ignore("relative_position_index");
        let size = [2 * height - 1, 2 * width - 1];
        let [down, across] = size;
        let table = scope.get("relative_position_bias_table", &[down * across + 3, heads])?;
        let mut values = table.flatten_all()?.to_vec1::<f32>()?;
        let class = values.split_off(down * across * heads);
        let grid = Grid::new(values, size);
        let grid = grid.ok_or_else(|| Error::bad_input(scope.name(), "is of another grid"))?;
        Ok(Self {
            grid,
            class,
            tables,
            heads,
            device: device.clone(),
            tensors: GridCache::new(),
        })
    }

    /// `[1, heads, tokens, tokens]` for a grid of patches.
    fn resized(&self, grid: [usize; 2]) -> Result<Tensor, Error> {
        self.tensors.get(grid, || {
            let count = grid.iter().product::<usize>() + 1;
            let dims = [self.tables, self.heads, count, count];
            check_size("relative_position_bias", &dims)?;
            let values = self.values(grid).map_err(candle_core::Error::wrap)?;
            let dims = (1, self.heads, count, count);
            Ok(Tensor::from_vec(values, dims, self.device.candle())?)
        })
    }

    #[allow(
        clippy::indexing_slicing,
        reason = "distances are within the table that is made for the grid"
    )]
    fn values(&self, [height, width]: [usize; 2]) -> Result<Vec<f32>, TryReserveError> {
        let across = 2 * width - 1;
        let table = self
            .grid
            .resized([2 * height - 1, across], Interpolation::Bilinear);
        let count = height * width + 1;
        let mut values = Vec::new();
        values.try_reserve_exact(self.heads * count * count)?;
        for head in 0..self.heads {
            let class = |pair: usize| self.class[pair * self.heads + head];
            values.push(class(2));
            values.extend(std::iter::repeat_n(class(0), count - 1));
            for from in 0..count - 1 {
                values.push(class(1));
                let (y, x) = (from / width, from % width);
                for to in 0..count - 1 {
                    let down = y + height - 1 - to / width;
                    let right = x + width - 1 - to % width;
                    values.push(table[(down * across + right) * self.heads + head]);
                }
            }
        }
        Ok(values)
    }
}
