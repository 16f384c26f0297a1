//! BEiT, as transformers builds it (`models/beit`; Bao et al., "BEiT: BERT Pre-Training of Image
//! Transformers", 2021).

use std::collections::TryReserveError;

use candle_core::Tensor;
use serde::Deserialize;
use serde_json::Value;

use super::huggingface::{self, Config, Labels, Sides};
use super::positions::{Grid, Interpolation};
use super::transformer::{Block, BlockSizes, Layout, MlpNames, Order, QkvNames};
use super::vision::{
    Attending, BySize, ClassToken, Cut, Head, Names, Patches, Plainly, Tokens, VisionTransformer,
    mean,
};
use super::{Blueprint, Network, read};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{LayerNorm, Linear, check_size};
use crate::plan::Size;
use crate::trace::Trace;
use crate::weights::Scope;

pub(super) const NAME: &str = "beit";

/// The configuration of `beit`: a repository's `config.json`, `model_type` and all.
///
/// | field | | default |
/// |---|---|---|
/// | `image_size`, `patch_size` | a side, or height and width; both sides alike | 224, 16 |
/// | `num_channels` | channels of the input | 3 |
/// | `hidden_size`, `num_hidden_layers`, `num_attention_heads`, `intermediate_size` | | 768, 12, 12, 3072 |
/// | `hidden_act` | | `"gelu"` |
/// | `layer_norm_eps` | | 1e-12 |
/// | `use_absolute_position_embeddings` | | false |
/// | `use_relative_position_bias` | one for each block | false |
/// | `use_shared_relative_position_bias` | one for all | false |
/// | `layer_scale_init_value` | above 0: the blocks' results are scaled | 0.1 |
/// | `use_mean_pooling` | of the patches, or else the class token | true |
/// | `id2label` or `num_labels` | how many classes there are | 2 |
///
/// The weights have the names of transformers' `BeitForImageClassification` or `BeitModel`:
/// `beit.embeddings.cls_token`, `beit.encoder.layer.0.lambda_1`, …, `classifier.weight`. Images
/// of other sizes are taken: positions are interpolated.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools, reason = "as in the repository's file")]
pub struct BeitConfig {
    /// The size of the images that the network was made for.
    image_size: Sides,
    /// The size of a patch.
    patch_size: Sides,
    /// Channels of the input.
    pub num_channels: usize,
    /// Channels of a token.
    pub hidden_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Heads of the attention.
    pub num_attention_heads: usize,
    /// Channels inside the network on each token.
    pub intermediate_size: usize,
    /// The activation.
    pub hidden_act: String,
    /// What the norms add to the variance.
    pub layer_norm_eps: f64,
    /// Whether tokens have learned positions.
    pub use_absolute_position_embeddings: bool,
    /// Whether each block has a bias by distance.
    pub use_relative_position_bias: bool,
    /// Whether all blocks have one bias by distance.
    pub use_shared_relative_position_bias: bool,
    /// Whether blocks scale their results: above 0.
    pub layer_scale_init_value: f64,
    /// Whether the patches' mean is classified, or the class token.
    pub use_mean_pooling: bool,
}

impl Default for BeitConfig {
    fn default() -> Self {
        Self {
            image_size: Sides::Both(224),
            patch_size: Sides::Both(16),
            num_channels: 3,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".to_owned(),
            layer_norm_eps: 1e-12,
            use_absolute_position_embeddings: false,
            use_relative_position_bias: false,
            use_shared_relative_position_bias: false,
            layer_scale_init_value: 0.1,
            use_mean_pooling: true,
        }
    }
}

/// The names of a block's tensors, besides the scales.
const LAYOUT: Layout = Layout {
    order: Order::NormFirst,
    norms: ["layernorm_before", "layernorm_after"],
    qkv: QkvNames::Apart([
        "attention.attention.query",
        "attention.attention.key",
        "attention.attention.value",
    ]),
    out: "attention.output.dense",
    mlp: MlpNames::Plain(["intermediate.dense", "output.dense"]),
    scales: None,
};

/// A checked configuration.
pub(crate) struct Sizes {
    config: BeitConfig,
    patches: Patches,
    grid: [usize; 2],
    block: BlockSizes,
    labels: Labels,
}

impl Sizes {
    pub(super) fn parse(value: &Value) -> Result<Self, Error> {
        let sizes: BeitConfig = read(NAME, String::new(), value)?;
        let config = Config {
            architecture: NAME,
            value,
        };
        config.check_sizes(&[("num_channels", sizes.num_channels)])?;
        let block = BlockSizes {
            width: sizes.hidden_size,
            heads: sizes.num_attention_heads,
            inner: sizes.intermediate_size,
            eps: sizes.layer_norm_eps,
            activation: config.activation("hidden_act", &sizes.hidden_act)?,
            qkv_bias: [true, false, true],
            out_bias: true,
            mlp_bias: true,
        };
        config.check_block(&block, sizes.num_hidden_layers)?;
        if sizes.use_relative_position_bias && sizes.use_shared_relative_position_bias {
            let reason = "is not computed together with `use_relative_position_bias`";
            return Err(config.bad("use_shared_relative_position_bias", reason));
        }
        let patches = Patches {
            channels: sizes.num_channels,
            size: sizes.patch_size.check(&config, "patch_size")?,
            cut: Cut::Floor,
        };
        let grid = config.grid(&patches, sizes.image_size.check(&config, "image_size")?)?;
        config.check_square(grid)?;
        let labels = config.labels()?;
        Ok(Self {
            config: sizes,
            patches,
            grid,
            block,
            labels,
        })
    }

    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<VisionTransformer, Error> {
        let base = huggingface::base(weights, NAME, "embeddings.cls_token");
        let encoder = base.child("encoder");
        let width = self.block.width;
        let scales = self.config.layer_scale_init_value > 0.0;
        let layout = Layout {
            scales: scales.then_some(["lambda_1", "lambda_2"]),
            ..LAYOUT
        };
        let scope = encoder.child("layer");
        let blocks = Block::load_all(
            &scope,
            &layout,
            &self.block,
            self.config.num_hidden_layers,
            device,
        )?;
        let scope = base.child("embeddings.patch_embeddings.projection");
        let norm = |scope| LayerNorm::load(&scope, width, self.block.eps, true, device);
        let last = if self.config.use_mean_pooling {
            None
        } else {
            Some(norm(base.child("layernorm"))?)
        };
        Ok(VisionTransformer {
            projection: self.patches.load(&scope, width, device)?,
            patches: self.patches,
            tokens: self.tokens(&base.child("embeddings"), device)?,
            attending: self.attending(&encoder, device)?,
            blocks,
            norm: last,
            head: self.head(weights, &base, device)?,
            names: Names::HUGGING_FACE,
            device: device.clone(),
        })
    }

    fn tokens(&self, embeddings: &Scope<'_>, device: &Device) -> Result<Tokens, Error> {
        let width = self.block.width;
        // It stands for patches that are hidden while the model is trained.
        embeddings.ignore("mask_token");
        let class = embeddings.get("cls_token", &[1, 1, width])?;
        let table = if self.config.use_absolute_position_embeddings {
            let [down, across] = self.grid;
            let dims = [1, 1 + down * across, width];
            let table = embeddings.get("position_embeddings", &dims)?;
            Some((table, self.grid, Interpolation::Bicubic))
        } else {
            None
        };
        Tokens::new(&[class], 1, table, device)
    }

    fn attending(&self, encoder: &Scope<'_>, device: &Device) -> Result<Box<dyn Attending>, Error> {
        let shared = self.config.use_shared_relative_position_bias;
        let tables = if shared {
            1
        } else {
            self.config.num_hidden_layers
        };
        let load = |scope: Scope<'_>| {
            let scope = scope.child("relative_position_bias");
            Distances::load(&scope, self.grid, [tables, self.block.heads], device)
        };
        let blocks = if shared {
            vec![load(encoder.clone())?]
        } else if self.config.use_relative_position_bias {
            (0..self.config.num_hidden_layers)
                .map(|block| load(encoder.child(&format!("layer.{block}.attention.attention"))))
                .collect::<Result<_, _>>()?
        } else {
            return Ok(Box::new(Plainly));
        };
        Ok(Box::new(Biases { blocks }))
    }

    fn head(
        &self,
        weights: &Scope<'_>,
        base: &Scope<'_>,
        device: &Device,
    ) -> Result<Box<dyn Head>, Error> {
        let width = self.block.width;
        let classifier =
            huggingface::classifier(weights, "classifier", width, self.labels, device)?;
        Ok(if self.config.use_mean_pooling {
            let scope = base.child("pooler.layernorm");
            let norm = LayerNorm::load(&scope, width, self.block.eps, true, device)?;
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

impl Blueprint for Sizes {
    fn in_channels(&self) -> Option<usize> {
        Some(self.patches.channels)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        self.patches.check(size)?;
        Ok(self.labels.known())
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.network(weights, device)?;
        let classifies = weights.has("classifier.weight");
        let head: &[&str] = if classifies {
            &["pooler_output", "classifier"]
        } else {
            &["pooler_output"]
        };
        let layers = network.layers(head);
        let embedding = Some("pooler_output".to_owned());
        Ok(Network::of_images(network, layers, embedding))
    }
}

/// The mean of the patches, normed, and a classifier where there is one.
struct Mean {
    norm: LayerNorm,
    classifier: Option<Linear>,
}

impl Head for Mean {
    fn forward(&self, tokens: &Tensor, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        trace.input("pooler_output", tokens)?;
        let pooled = self.norm.forward(&mean(tokens, 1)?)?;
        trace.output("pooler_output", &pooled)?;
        huggingface::classify(self.classifier.as_ref(), pooled, trace)
    }
}

/// What is added to the scores of the attention: for each block, or one for all.
struct Biases {
    blocks: Vec<Distances>,
}

impl Attending for Biases {
    fn bias(&self, block: usize, grid: [usize; 2]) -> Result<Option<Tensor>, Error> {
        let block = self.blocks.get(block).or_else(|| self.blocks.last());
        block.map(|distances| distances.at(grid)).transpose()
    }
}

/// A bias for each distance of two patches, and three for pairs with the class token.
struct Distances {
    /// By distance: `[2 * height - 1, 2 * width - 1, heads]`.
    grid: Grid,
    /// From the class token to a patch, from a patch to it, from it to itself: `[3, heads]`.
    class: Vec<f32>,
    /// How many blocks have a table of their own, all of which are kept.
    tables: usize,
    heads: usize,
    device: Device,
    tensors: BySize<Tensor>,
}

impl Distances {
    fn load(
        scope: &Scope<'_>,
        [height, width]: [usize; 2],
        [tables, heads]: [usize; 2],
        device: &Device,
    ) -> Result<Self, Error> {
        // The distances that older checkpoints list are the same for all models.
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
            tensors: BySize::new(),
        })
    }

    /// `[1, heads, tokens, tokens]` for a grid of patches.
    fn at(&self, grid: [usize; 2]) -> Result<Tensor, Error> {
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
