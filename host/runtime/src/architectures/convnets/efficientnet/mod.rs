//! EfficientNet, as transformers builds it (`models/efficientnet`; Tan and Le, "EfficientNet:
//! Rethinking Model Scaling for Convolutional Neural Networks", 2019, with TensorFlow's padding).

mod tower;

use modelzoo_kernels::Window;
use modelzoo_model::plan::Size;
use serde::Deserialize;
use serde_json::Value;
use tower::{Block, Tower};

use super::loader::{LayerLoader, make_divisible};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::hugging_face::{self, Labels};
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Conv2d, ConvGeometry};
use crate::weights::Scope;

/// Channels of the last convolution, before they are scaled by the width.
const TOP: usize = 1280;

/// The configuration of `efficientnet`: a repository's `config.json`, `model_type` and all.
///
/// | field | | default |
/// |---|---|---|
/// | `num_channels` | channels of the input | 3 |
/// | `width_coefficient`, `depth_coefficient`, `depth_divisor` | the scaling of the sizes below | 2.0, 3.1, 8 |
/// | `in_channels`, `out_channels`, `kernel_sizes`, `strides`, `num_block_repeats`, `expand_ratios` | one value per stage | those of the paper |
/// | `depthwise_padding` | the blocks whose strided convolution has the same padding on all sides | none |
/// | `squeeze_expansion_ratio` | channels of the squeeze-and-excitation layers, as a part of the block's input | 0.25 |
/// | `hidden_act` | | `"swish"` |
/// | `hidden_dim` | channels of the last convolution: 1280, scaled by the width | 2560 |
/// | `batch_norm_eps` | | 0.001 |
/// | `pooling_type` | `"mean"` | |
/// | `id2label` or `num_labels` | the number of classes | 2 |
///
/// The weights have the names of transformers' `EfficientNetForImageClassification` or
/// `EfficientNetModel`: `efficientnet.embeddings.convolution.weight`,
/// `efficientnet.encoder.blocks.0.depthwise_conv.depthwise_conv.weight`, …, `classifier.weight`.
/// Published: `google/efficientnet-b0` to `-b7`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct EfficientNetConfig {
    /// Channels of the input.
    pub num_channels: usize,
    /// Scales the channels.
    pub width_coefficient: f64,
    /// Scales the numbers of blocks.
    pub depth_coefficient: f64,
    /// The divisor of the channels.
    pub depth_divisor: usize,
    /// The sides of the depthwise windows, one per stage.
    pub kernel_sizes: Vec<usize>,
    /// Channels before each stage, unscaled.
    pub in_channels: Vec<usize>,
    /// Channels after each stage, unscaled.
    pub out_channels: Vec<usize>,
    /// The numbers of blocks, counted from 0, whose padding is the same on all sides.
    pub depthwise_padding: Vec<usize>,
    /// The strides of each stage's first block.
    pub strides: Vec<usize>,
    /// Blocks of each stage, unscaled.
    pub num_block_repeats: Vec<usize>,
    /// The channels inside a block, as a multiple of its input.
    pub expand_ratios: Vec<usize>,
    /// Channels of the squeeze-and-excitation layers, as a part of the block's input.
    pub squeeze_expansion_ratio: f64,
    /// The activation.
    pub hidden_act: String,
    /// Channels of the last convolution.
    pub hidden_dim: usize,
    /// `"mean"`.
    pub pooling_type: String,
    /// The epsilon of the norms.
    pub batch_norm_eps: f64,
}

impl Default for EfficientNetConfig {
    fn default() -> Self {
        Self {
            num_channels: 3,
            width_coefficient: 2.0,
            depth_coefficient: 3.1,
            depth_divisor: 8,
            kernel_sizes: vec![3, 3, 5, 3, 5, 5, 3],
            in_channels: vec![32, 16, 24, 40, 80, 112, 192],
            out_channels: vec![16, 24, 40, 80, 112, 192, 320],
            depthwise_padding: Vec::new(),
            strides: vec![1, 2, 2, 2, 1, 2, 1],
            num_block_repeats: vec![1, 2, 2, 3, 3, 4, 1],
            expand_ratios: vec![1, 6, 6, 6, 6, 6, 6],
            squeeze_expansion_ratio: 0.25,
            hidden_act: "swish".to_owned(),
            hidden_dim: 2560,
            pooling_type: "mean".to_owned(),
            batch_norm_eps: 1e-3,
        }
    }
}

impl EfficientNetConfig {
    /// Scales a number of channels.
    fn channels(&self, channels: usize) -> usize {
        make_divisible(channels, self.width_coefficient, self.depth_divisor)
    }

    /// Scales a number of blocks.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the factor is checked, and a large result is refused"
    )]
    fn repeats(&self, repeats: usize) -> usize {
        (self.depth_coefficient * repeats as f64).ceil() as usize
    }
}

/// The configuration of a block.
struct BlockConfig {
    inputs: usize,
    /// Channels inside; those of the input where it does not expand.
    inner: usize,
    expands: bool,
    outputs: usize,
    kernel: usize,
    stride: usize,
    /// Channels of the squeeze-and-excitation layers.
    gate: usize,
    /// Whether the padding of a strided window is one less at the start, as in TensorFlow.
    late: bool,
    residual: bool,
}

/// A checked configuration.
pub(crate) struct EfficientNet {
    config: EfficientNetConfig,
    activation: Activation,
    blocks: Vec<BlockConfig>,
    labels: Labels,
}

impl EfficientNet {
    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<Tower, Error> {
        let base = hugging_face::base(weights, "efficientnet", "embeddings.convolution.weight");
        let base = LayerLoader {
            eps: self.config.batch_norm_eps,
            ..LayerLoader::new(&base, device)
        };
        let mut channels = self.config.channels(32);
        let geometry = ConvGeometry::square(self.config.num_channels, channels, 3, 2, 1);
        let embeddings = base.child("embeddings");
        let stem = self.late(&embeddings, ["convolution", "batchnorm"], geometry)?;
        let encoder = base.child("encoder");
        let mut blocks = Vec::new();
        for (index, config) in self.blocks.iter().enumerate() {
            blocks.push(self.block(&encoder.child(&format!("blocks.{index}")), config)?);
            channels = config.outputs;
        }
        let geometry = ConvGeometry::square(channels, self.config.hidden_dim, 1, 1, 0);
        let top = encoder.normed(["top_conv", "top_bn"], geometry, self.activation)?;
        let classifier = hugging_face::classifier(
            weights,
            "classifier",
            self.config.hidden_dim,
            self.labels,
            device,
        )?;
        Ok(Tower {
            stem,
            blocks,
            top,
            classifier,
        })
    }
}

/// The configurations of all blocks.
fn blocks(config: &EfficientNetConfig, checker: &ConfigChecker) -> Result<Vec<BlockConfig>, Error> {
    let stages = config.in_channels.len();
    let fields = [
        ("out_channels", &config.out_channels),
        ("kernel_sizes", &config.kernel_sizes),
        ("strides", &config.strides),
        ("num_block_repeats", &config.num_block_repeats),
        ("expand_ratios", &config.expand_ratios),
    ];
    checker.check_count("in_channels", stages)?;
    for (field, values) in fields {
        if values.len() != stages {
            let reason = format!("must have {stages} values, as `in_channels`");
            return Err(checker.error(field, reason));
        }
        for &value in values {
            checker.check_sizes(&[(field, value)])?;
        }
    }
    let mut blocks: Vec<BlockConfig> = Vec::new();
    let per_stage = config
        .in_channels
        .iter()
        .zip(&config.out_channels)
        .zip(config.kernel_sizes.iter().zip(&config.strides))
        .zip(config.num_block_repeats.iter().zip(&config.expand_ratios));
    let mut before = config.channels(32);
    for (((&inputs, &outputs), (&kernel, &stride)), (&repeats, &expansion)) in per_stage {
        let (inputs, outputs) = (config.channels(inputs), config.channels(outputs));
        if kernel % 2 == 0 || kernel > 64 {
            return Err(checker.error("kernel_sizes", "must be odd and at most 63"));
        }
        if stride > 2 {
            return Err(checker.error("strides", "must be 1 or 2"));
        }
        if inputs != before {
            let reason = "each must be the `out_channels` of the stage before, and the first 32";
            return Err(checker.error("in_channels", reason));
        }
        checker.check_sizes(&[("out_channels", outputs)])?;
        checker.check_count("num_block_repeats", config.repeats(repeats))?;
        for index in 0..config.repeats(repeats) {
            let first = index == 0;
            let inputs = if first { inputs } else { outputs };
            let inner = inputs.saturating_mul(expansion);
            checker.check_sizes(&[("expand_ratios", inner)])?;
            blocks.push(BlockConfig {
                inputs,
                inner,
                expands: expansion != 1,
                outputs,
                kernel,
                stride: if first { stride } else { 1 },
                gate: gate(inputs, config.squeeze_expansion_ratio),
                late: !config.depthwise_padding.contains(&blocks.len()),
                residual: !first,
            });
        }
        checker.check_count("num_block_repeats", blocks.len())?;
        before = outputs;
    }
    Ok(blocks)
}

/// Channels of squeeze-and-excitation layers.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "both factors are checked"
)]
fn gate(channels: usize, ratio: f64) -> usize {
    ((channels as f64 * ratio) as usize).max(1)
}

impl EfficientNet {
    /// A convolution without bias and its norm, where the padding at the start is one less than at
    /// the end: a window with a row and a column of zeros before the others.
    fn late(
        &self,
        weights: &LayerLoader<'_>,
        [conv, norm]: [&str; 2],
        geometry: ConvGeometry,
    ) -> Result<Conv2d, Error> {
        let norm = weights.norm(norm, geometry.out_channels)?;
        let scope = weights.scope.child(conv);
        let weight = scope
            .get("weight", &geometry.weight_dims())?
            .pad_with_zeros(2, 1, 0)?
            .pad_with_zeros(3, 1, 0)?;
        let [height, width] = geometry.window.kernel;
        let geometry = ConvGeometry {
            window: Window {
                kernel: [height + 1, width + 1],
                ..geometry.window
            },
            ..geometry
        };
        Conv2d::new(
            scope.name(),
            geometry,
            &weight,
            None,
            Some(&norm),
            self.activation,
            weights.device,
        )
    }

    fn block(&self, weights: &LayerLoader<'_>, config: &BlockConfig) -> Result<Block, Error> {
        let point = |inputs, outputs| ConvGeometry::square(inputs, outputs, 1, 1, 0);
        let (inner, kernel) = (config.inner, config.kernel);
        let expansion = if config.expands {
            let expansion = weights.child("expansion");
            let geometry = point(config.inputs, inner);
            Some(expansion.normed(["expand_conv", "expand_bn"], geometry, self.activation)?)
        } else {
            None
        };
        let depthwise = weights.child("depthwise_conv");
        let names = ["depthwise_conv", "depthwise_norm"];
        let geometry = ConvGeometry::square(inner, inner, kernel, config.stride, kernel / 2);
        let geometry = geometry.grouped(inner);
        let depthwise = if config.stride == 2 && config.late {
            self.late(&depthwise, names, geometry)?
        } else {
            depthwise.normed(names, geometry, self.activation)?
        };
        let gate = weights.scope.child("squeeze_excite");
        let gate_layer = |name: &str, geometry, activation| {
            let scope = gate.child(name);
            Conv2d::load(&scope, geometry, true, None, activation, weights.device)
        };
        let projection = weights.child("projection");
        Ok(Block {
            expansion,
            depthwise,
            reduce: gate_layer("reduce", point(inner, config.gate), self.activation)?,
            expand: gate_layer("expand", point(config.gate, inner), Activation::Sigmoid)?,
            projection: projection.normed(
                ["project_conv", "project_bn"],
                point(inner, config.outputs),
                Activation::Identity,
            )?,
            residual: config.residual,
        })
    }
}

impl ArchitectureConfig for EfficientNet {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let parsed: EfficientNetConfig = checker.read(config)?;
        checker.check_factor("width_coefficient", parsed.width_coefficient)?;
        checker.check_factor("depth_coefficient", parsed.depth_coefficient)?;
        checker.check_factor("squeeze_expansion_ratio", parsed.squeeze_expansion_ratio)?;
        checker.check_eps("batch_norm_eps", parsed.batch_norm_eps)?;
        checker.check_sizes(&[
            ("num_channels", parsed.num_channels),
            ("depth_divisor", parsed.depth_divisor),
            ("hidden_dim", parsed.hidden_dim),
        ])?;
        if parsed.pooling_type != "mean" {
            return Err(checker.unsupported("pooling_type", &parsed.pooling_type));
        }
        let blocks = blocks(&parsed, checker)?;
        let top = parsed.channels(TOP);
        if top != parsed.hidden_dim {
            let reason = format!("must be {top}, as the width says");
            return Err(checker.error("hidden_dim", reason));
        }
        Ok(Self {
            activation: checker.activation("hidden_act", &parsed.hidden_act)?,
            labels: Labels::read(checker, config)?,
            config: parsed,
            blocks,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(self.config.num_channels)
    }

    fn outputs(&self, _: usize, _: Option<Size>) -> Result<Option<usize>, Error> {
        Ok(self.labels.known())
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.network(weights, device)?;
        let classifies = network.classifier.is_some();
        Ok(hugging_face::network(
            network,
            self.blocks.len(),
            classifies,
        ))
    }
}
