//! SegFormer (Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with
//! Transformers", 2021), as transformers builds it.

use candle_core::Tensor;
use modelzoo_model::plan::Size;
use serde::Deserialize;
use serde_json::Value;

use super::reduced_attention::ReducedAttention;
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::hugging_face::{self, Labels};
use crate::architectures::shared::maps::MapTower;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, BatchNorm, Conv2d, ConvGeometry, Dense, FeatureMap, LayerNorm, Linear, Sampling,
};
use crate::trace::Trace;
use crate::weights::Scope;

/// The epsilon of the layer norms, which the configuration does not set.
pub(super) const EPS: f64 = 1e-5;

/// The configuration of `segformer`: a repository's `config.json`, of a
/// `SegformerForSemanticSegmentation`.
///
/// | field | | default |
/// |---|---|---|
/// | `num_channels` | channels of the input | 3 |
/// | `depths` | blocks of each stage | `[2, 2, 2, 2]` |
/// | `hidden_sizes`, `num_attention_heads`, `mlp_ratios` | per stage | `[32, 64, 160, 256]`, `[1, 2, 5, 8]`, `[4, 4, 4, 4]` |
/// | `patch_sizes`, `strides` | kernel and stride of the convolution before each stage | `[7, 3, 3, 3]`, `[4, 2, 2, 2]` |
/// | `sr_ratios` | how many pixels each way become one key | `[8, 4, 2, 1]` |
/// | `hidden_act` | | `"gelu"` |
/// | `decoder_hidden_size` | features of the head | 256 |
/// | `id2label` or `num_labels` | the number of classes | 2 |
///
/// The weights have the names of published checkpoints:
/// `segformer.encoder.block.0.0.attention.self.query.weight`, …, `decode_head.linear_c.0.proj.weight`,
/// …. The output is a map of scores per class, a fourth of the input's size each way.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct SegformerConfig {
    /// Channels of the input.
    pub num_channels: usize,
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// Features of each stage.
    pub hidden_sizes: Vec<usize>,
    /// Heads of each stage.
    pub num_attention_heads: Vec<usize>,
    /// Hidden features of each stage's MLPs, as a multiple of its features.
    pub mlp_ratios: Vec<f64>,
    /// The kernel of the convolution before each stage.
    pub patch_sizes: Vec<usize>,
    /// Its stride.
    pub strides: Vec<usize>,
    /// How many pixels each way become one key.
    pub sr_ratios: Vec<usize>,
    /// The activation of the MLPs.
    pub hidden_act: String,
    /// Features of the head.
    pub decoder_hidden_size: usize,
}

impl Default for SegformerConfig {
    fn default() -> Self {
        Self {
            num_channels: 3,
            depths: vec![2; 4],
            hidden_sizes: vec![32, 64, 160, 256],
            num_attention_heads: vec![1, 2, 5, 8],
            mlp_ratios: vec![4.0; 4],
            patch_sizes: vec![7, 3, 3, 3],
            strides: vec![4, 2, 2, 2],
            sr_ratios: vec![8, 4, 2, 1],
            hidden_act: "gelu".to_owned(),
            decoder_hidden_size: 256,
        }
    }
}

/// The sizes of a stage.
#[derive(Clone, Copy, Debug)]
struct StageConfig {
    inputs: usize,
    width: usize,
    blocks: usize,
    heads: usize,
    inner: usize,
    patch: usize,
    stride: usize,
    reduction: usize,
    activation: Activation,
}

impl StageConfig {
    fn patches(&self) -> ConvGeometry {
        let padding = self.patch / 2;
        ConvGeometry::square(self.inputs, self.width, self.patch, self.stride, padding)
    }
}

/// A checked configuration.
pub(crate) struct Segformer {
    channels: usize,
    stages: Vec<StageConfig>,
    head: usize,
    labels: Labels,
}

/// The stages, whose fields are lists of one length.
fn stages(checker: &ConfigChecker, config: &SegformerConfig) -> Result<Vec<StageConfig>, Error> {
    let count = config.depths.len();
    checker.check_range("depths", count, 1..=16)?;
    let lengths = [
        ("hidden_sizes", config.hidden_sizes.len()),
        ("num_attention_heads", config.num_attention_heads.len()),
        ("mlp_ratios", config.mlp_ratios.len()),
        ("patch_sizes", config.patch_sizes.len()),
        ("strides", config.strides.len()),
        ("sr_ratios", config.sr_ratios.len()),
    ];
    for (field, length) in lengths {
        if length != count {
            let reason = format!("has {length} values for {count} stages");
            return Err(checker.error(field, reason));
        }
    }
    let activation = checker.activation("hidden_act", &config.hidden_act)?;
    let mut inputs = config.num_channels;
    let mut stages = Vec::with_capacity(count);
    let sizes = config.depths.iter().zip(&config.hidden_sizes);
    let sizes = sizes.zip(&config.num_attention_heads);
    let sizes = sizes.zip(&config.mlp_ratios).zip(&config.patch_sizes);
    let sizes = sizes.zip(&config.strides).zip(&config.sr_ratios);
    for ((((((&blocks, &width), &heads), &ratio), &patch), &stride), &reduction) in sizes {
        checker.check_count("depths", blocks)?;
        checker.check_sizes(&[("hidden_sizes", width), ("num_attention_heads", heads)])?;
        checker.check_factor("mlp_ratios", ratio)?;
        for (field, side) in [
            ("patch_sizes", patch),
            ("strides", stride),
            ("sr_ratios", reduction),
        ] {
            checker.check_range(field, side, 1..=256)?;
        }
        if !width.is_multiple_of(heads) {
            let reason = "must divide `hidden_sizes`, stage by stage";
            return Err(checker.error("num_attention_heads", reason));
        }
        let inner = scaled(width, ratio);
        checker.check_size("mlp_ratios", inner)?;
        stages.push(StageConfig {
            inputs,
            width,
            blocks,
            heads,
            inner,
            patch,
            stride,
            reduction,
            activation,
        });
        inputs = width;
    }
    Ok(stages)
}

/// A width times a ratio, rounded down.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "both are far below the limits of the types"
)]
fn scaled(width: usize, ratio: f64) -> usize {
    (width as f64 * ratio) as usize
}

impl Segformer {
    /// The layers from each stage's features to those of the head: a projection, the stage's part of
    /// the convolution of all of them, and the norm. Between these the reference enlarges the smaller
    /// maps, which gives the same before as after them, and is less work after.
    fn projections(&self, decoder: &Scope<'_>, device: &Device) -> Result<Vec<Linear>, Error> {
        let (head, count) = (self.head, self.stages.len());
        let norm = decoder.child("batch_norm");
        let norm = BatchNorm::load(&norm, head, BatchNorm::EPS, true)?;
        let fuse = decoder.child("linear_fuse");
        let fuse = fuse.get("weight", &[head, count * head, 1, 1])?;
        let fuse = fuse.reshape((head, count * head))?;
        let layer = |(index, config): (usize, &StageConfig)| {
            let scope = decoder.child(&format!("linear_c.{index}.proj"));
            // The last stage comes first.
            let part = fuse.narrow(1, (count - 1 - index) * head, head)?;
            let part = part.contiguous()?;
            let weight = part.matmul(&scope.get("weight", &[head, config.width])?)?;
            let bias = scope.get("bias", &[head])?.unsqueeze(1)?;
            let bias = part.matmul(&bias)?.squeeze(1)?;
            let dense = Dense::new(&weight, Some(&bias))?;
            // The first one gets the sum of the others.
            let (norm, activation) = if index == 0 {
                (norm.clone(), Activation::Relu)
            } else {
                (norm.without_shift(), Activation::Identity)
            };
            let dense = dense.normed(Some(&norm));
            Linear::new(scope.name(), dense, activation, device)
        };
        self.stages.iter().enumerate().map(layer).collect()
    }

    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<SegformerTower, Error> {
        let probe = "encoder.patch_embeddings.0.proj.weight";
        let encoder = hugging_face::base(weights, "segformer", probe).child("encoder");
        let mut stages = Vec::with_capacity(self.stages.len());
        for (index, config) in self.stages.iter().enumerate() {
            stages.push(Stage::load(&encoder, index, config, device)?);
        }
        let decoder = weights.child("decode_head");
        let projections = self.projections(&decoder, device)?;
        let classifier = Conv2d::load(
            &decoder.child("classifier"),
            ConvGeometry::square(self.head, self.labels.count, 1, 1, 0),
            true,
            None,
            Activation::Identity,
            device,
        )?;
        Ok(SegformerTower {
            stages,
            projections,
            classifier,
            device: device.clone(),
        })
    }
}

impl ArchitectureConfig for Segformer {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let parsed: SegformerConfig = checker.read(config)?;
        checker.check_sizes(&[
            ("num_channels", parsed.num_channels),
            ("decoder_hidden_size", parsed.decoder_hidden_size),
        ])?;
        if config.get("reshape_last_stage") == Some(&Value::Bool(false)) {
            return Err(checker.unsupported("reshape_last_stage", "false"));
        }
        Ok(Self {
            channels: parsed.num_channels,
            stages: stages(checker, &parsed)?,
            head: parsed.decoder_hidden_size,
            labels: Labels::read(checker, config)?,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(self.channels)
    }

    fn outputs(&self, _: usize, _: Option<Size>) -> Result<Option<usize>, Error> {
        Ok(Some(self.labels.count))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.network(weights, device)?;
        let states = (0..self.stages.len()).map(|at| format!("hidden_states.{at}"));
        let layers = states.chain(["classifier".to_owned()]).collect();
        Ok(Network::of_maps(network, layers))
    }
}

/// A built SegFormer.
struct SegformerTower {
    stages: Vec<Stage>,
    /// From each stage's features to those of the head.
    projections: Vec<Linear>,
    classifier: Conv2d,
    device: Device,
}

impl MapTower for SegformerTower {
    fn forward(&self, mut x: FeatureMap, trace: &mut Trace<'_>) -> Result<FeatureMap, Error> {
        let mut maps = Vec::with_capacity(self.stages.len());
        for (index, stage) in self.stages.iter().enumerate() {
            let name = format!("hidden_states.{index}");
            trace.input(&name, &x)?;
            x = stage.forward(&x, &self.device)?;
            trace.output(&name, &x)?;
            maps.push(x.clone());
        }
        let fused = self.joined(&maps)?;
        trace.input("classifier", &fused)?;
        let scores = self.classifier.forward(&fused, None)?;
        trace.output("classifier", &scores)?;
        Ok(scores)
    }
}

impl SegformerTower {
    /// The features of the head, from the maps of all stages.
    fn joined(&self, maps: &[FeatureMap]) -> Result<FeatureMap, Error> {
        let mut layers = maps.iter().zip(&self.projections);
        let Some((largest, first)) = layers.next() else {
            return Err(Error::bad_input("decode_head", "there are no stages"));
        };
        let shape = largest.shape()?;
        let size = [shape.height, shape.width];
        let mut sum: Option<FeatureMap> = None;
        for (map, layer) in layers {
            let shape = map.shape()?;
            let tokens = layer.forward(&map.to_tokens()?)?;
            let own = [shape.height, shape.width];
            let map = FeatureMap::from_tokens(&tokens, own, &self.device)?;
            let map = map.resized(size, Sampling::Bilinear)?;
            sum = Some(match sum {
                None => map,
                Some(sum) => sum.plus(&map)?,
            });
        }
        let tokens = largest.to_tokens()?;
        let tokens = match sum {
            Some(sum) => first.forward_add(&tokens, &sum.to_tokens()?)?,
            None => first.forward(&tokens)?,
        };
        FeatureMap::from_tokens(&tokens, size, &self.device)
    }
}

/// Patches that overlap, blocks, and a norm.
struct Stage {
    patches: Conv2d,
    patch_norm: LayerNorm,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl Stage {
    fn load(
        encoder: &Scope<'_>,
        index: usize,
        config: &StageConfig,
        device: &Device,
    ) -> Result<Self, Error> {
        let number = index.to_string();
        let patches = encoder.child("patch_embeddings").child(&number);
        let blocks = encoder.child("block").child(&number);
        let block = |at: usize| Block::load(&blocks.child(&at.to_string()), config, device);
        Ok(Self {
            patches: Conv2d::load(
                &patches.child("proj"),
                config.patches(),
                true,
                None,
                Activation::Identity,
                device,
            )?,
            patch_norm: norm(&patches.child("layer_norm"), config, device)?,
            blocks: (0..config.blocks).map(block).collect::<Result<_, _>>()?,
            norm: norm(&encoder.child("layer_norm").child(&number), config, device)?,
        })
    }

    fn forward(&self, x: &FeatureMap, device: &Device) -> Result<FeatureMap, Error> {
        let x = self.patches.forward(x, None)?;
        let shape = x.shape()?;
        let size = [shape.height, shape.width];
        let mut tokens = self.patch_norm.forward(&x.to_tokens()?)?;
        for block in &self.blocks {
            tokens = block.forward(&tokens, size, device)?;
        }
        FeatureMap::from_tokens(&self.norm.forward(&tokens)?, size, device)
    }
}

fn norm(scope: &Scope<'_>, config: &StageConfig, device: &Device) -> Result<LayerNorm, Error> {
    LayerNorm::load(scope, config.width, EPS, true, device)
}

/// Attention whose keys and values are those of fewer pixels, and an MLP with a depthwise
/// convolution between its layers.
struct Block {
    norms: [LayerNorm; 2],
    attention: ReducedAttention,
    up: Linear,
    between: Conv2d,
    down: Linear,
}

impl Block {
    fn load(scope: &Scope<'_>, config: &StageConfig, device: &Device) -> Result<Self, Error> {
        let &StageConfig {
            width,
            inner,
            activation,
            ..
        } = config;
        let mlp = scope.child("mlp");
        let linear = |name: &str, sizes| {
            let none = Activation::Identity;
            Linear::load(&mlp.child(name), sizes, true, None, none, device)
        };
        Ok(Self {
            norms: [
                norm(&scope.child("layer_norm_1"), config, device)?,
                norm(&scope.child("layer_norm_2"), config, device)?,
            ],
            attention: ReducedAttention::load(
                &scope.child("attention"),
                [width, config.heads],
                config.reduction,
                device,
            )?,
            up: linear("dense1", [width, inner])?,
            between: Conv2d::load(
                &mlp.child("dwconv.dwconv"),
                ConvGeometry::square(inner, inner, 3, 1, 1).grouped(inner),
                true,
                None,
                activation,
                device,
            )?,
            down: linear("dense2", [inner, width])?,
        })
    }

    fn forward(&self, x: &Tensor, size: [usize; 2], device: &Device) -> Result<Tensor, Error> {
        let [first, second] = &self.norms;
        let x = self
            .attention
            .forward(&first.forward(x)?, x, size, device)?;
        let inner = self.up.forward(&second.forward(&x)?)?;
        let inner = FeatureMap::from_tokens(&inner, size, device)?;
        let inner = self.between.forward(&inner, None)?.to_tokens()?;
        self.down.forward_add(&inner, &x)
    }
}
