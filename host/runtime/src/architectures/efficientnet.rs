//! EfficientNet, as transformers builds it (`models/efficientnet`; Tan and Le, "EfficientNet:
//! Rethinking Model Scaling for Convolutional Neural Networks", 2019, with TensorFlow's padding).

mod tower;

use serde::Deserialize;
use serde_json::Value;

use modelzoo_kernels::Window;
use tower::{Block, EfficientNet};

use super::encoder::MAX_BLOCKS;
use super::huggingface::{self, Config, Labels};
use super::{Blueprint, Network, read};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, BatchNorm, Conv2d, ConvGeometry};
use crate::plan::Size;
use crate::weights::Scope;

pub(super) const NAME: &str = "efficientnet";

/// Channels of the last convolution, before they are scaled by the width.
const TOP: usize = 1280;

/// The configuration of `efficientnet`: a repository's `config.json`, `model_type` and all.
///
/// | field | | default |
/// |---|---|---|
/// | `num_channels` | channels of the input | 3 |
/// | `width_coefficient`, `depth_coefficient`, `depth_divisor` | how the sizes below are scaled | 2.0, 3.1, 8 |
/// | `in_channels`, `out_channels`, `kernel_sizes`, `strides`, `num_block_repeats`, `expand_ratios` | one value a stage | those of the paper |
/// | `depthwise_padding` | the blocks whose strided convolution is padded on all sides alike | none |
/// | `squeeze_expansion_ratio` | channels of a gate | 0.25 |
/// | `hidden_act` | | `"swish"` |
/// | `hidden_dim` | channels of the last convolution: 1280, scaled by the width | 2560 |
/// | `batch_norm_eps` | | 0.001 |
/// | `pooling_type` | `"mean"` | |
/// | `id2label` or `num_labels` | how many classes there are | 2 |
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
    /// What channels are a multiple of.
    pub depth_divisor: usize,
    /// The sides of the depthwise windows, one a stage.
    pub kernel_sizes: Vec<usize>,
    /// Channels before each stage, unscaled.
    pub in_channels: Vec<usize>,
    /// Channels after each stage, unscaled.
    pub out_channels: Vec<usize>,
    /// Numbers of blocks, counted from the first, that pad on all sides alike.
    pub depthwise_padding: Vec<usize>,
    /// The strides of each stage's first block.
    pub strides: Vec<usize>,
    /// Blocks of each stage, unscaled.
    pub num_block_repeats: Vec<usize>,
    /// How many times more channels there are inside a block.
    pub expand_ratios: Vec<usize>,
    /// A gate's channels as a part of the block's input.
    pub squeeze_expansion_ratio: f64,
    /// The activation.
    pub hidden_act: String,
    /// Channels of the last convolution.
    pub hidden_dim: usize,
    /// `"mean"`.
    pub pooling_type: String,
    /// What the norms add to the variance.
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
    /// Scales a number of channels: to the nearest multiple, but not down by more than a tenth.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the factors are checked, and a large result is refused"
    )]
    fn channels(&self, channels: usize) -> usize {
        let divisor = self.depth_divisor;
        let scaled = channels as f64 * self.width_coefficient;
        let nearest = (scaled + divisor as f64 / 2.0) as usize / divisor * divisor;
        let rounded = nearest.max(divisor);
        if (rounded as f64) < 0.9 * scaled {
            rounded + divisor
        } else {
            rounded
        }
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

/// The sizes of a block.
struct BlockSizes {
    inputs: usize,
    /// Channels inside; those of the input where it does not expand.
    inner: usize,
    expands: bool,
    outputs: usize,
    kernel: usize,
    stride: usize,
    /// Channels of the gate.
    gate: usize,
    /// Whether a strided window begins one pixel later, as TensorFlow's.
    late: bool,
    residual: bool,
}

/// A checked configuration.
pub(crate) struct Sizes {
    config: EfficientNetConfig,
    activation: Activation,
    blocks: Vec<BlockSizes>,
    labels: Labels,
}

impl Sizes {
    pub(super) fn parse(value: &Value) -> Result<Self, Error> {
        let sizes: EfficientNetConfig = read(NAME, String::new(), value)?;
        let config = Config {
            architecture: NAME,
            value,
        };
        for (field, factor) in [
            ("width_coefficient", sizes.width_coefficient),
            ("depth_coefficient", sizes.depth_coefficient),
            ("squeeze_expansion_ratio", sizes.squeeze_expansion_ratio),
        ] {
            if !(0.001..=1000.0).contains(&factor) {
                return Err(config.bad(field, "must be 0.001 to 1000"));
            }
        }
        config.check_eps("batch_norm_eps", sizes.batch_norm_eps)?;
        config.check_sizes(&[
            ("num_channels", sizes.num_channels),
            ("depth_divisor", sizes.depth_divisor),
            ("hidden_dim", sizes.hidden_dim),
        ])?;
        if sizes.pooling_type != "mean" {
            let reason = format!(
                "`{}` is not computed here",
                sizes.pooling_type.escape_debug()
            );
            return Err(config.bad("pooling_type", reason));
        }
        let blocks = blocks(&sizes, &config)?;
        if sizes.channels(TOP) != sizes.hidden_dim {
            let reason = format!("must be {}, as the width says", sizes.channels(TOP));
            return Err(config.bad("hidden_dim", reason));
        }
        let labels = config.labels()?;
        Ok(Self {
            activation: config.activation("hidden_act", &sizes.hidden_act)?,
            config: sizes,
            blocks,
            labels,
        })
    }

    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<EfficientNet, Error> {
        let base = huggingface::base(weights, NAME, "embeddings.convolution.weight");
        let build = Build {
            eps: self.config.batch_norm_eps,
            activation: self.activation,
            device,
        };
        let embeddings = base.child("embeddings");
        let stem = self.config.channels(32);
        let geometry = ConvGeometry::square(self.config.num_channels, stem, 3, 2, 1);
        let stem = build.late(&embeddings, ["convolution", "batchnorm"], geometry)?;
        let encoder = base.child("encoder");
        let mut blocks = Vec::new();
        let mut channels = self.config.channels(32);
        for (index, sizes) in self.blocks.iter().enumerate() {
            blocks.push(build.block(&encoder.child(&format!("blocks.{index}")), sizes)?);
            channels = sizes.outputs;
        }
        let geometry = ConvGeometry::square(channels, self.config.hidden_dim, 1, 1, 0);
        let top = build.normed(&encoder, ["top_conv", "top_bn"], geometry, self.activation)?;
        let classifier = huggingface::classifier(
            weights,
            "classifier",
            self.config.hidden_dim,
            self.labels,
            device,
        )?;
        Ok(EfficientNet {
            stem,
            blocks,
            top,
            classifier,
        })
    }
}

/// The sizes of all blocks.
fn blocks(sizes: &EfficientNetConfig, config: &Config<'_>) -> Result<Vec<BlockSizes>, Error> {
    let stages = sizes.in_channels.len();
    let fields = [
        ("out_channels", &sizes.out_channels),
        ("kernel_sizes", &sizes.kernel_sizes),
        ("strides", &sizes.strides),
        ("num_block_repeats", &sizes.num_block_repeats),
        ("expand_ratios", &sizes.expand_ratios),
    ];
    config.check_blocks("in_channels", stages)?;
    for (field, values) in fields {
        if values.len() != stages {
            let reason = format!("must have {stages} values, as `in_channels` has");
            return Err(config.bad(field, reason));
        }
        for &value in values {
            config.check_sizes(&[(field, value)])?;
        }
    }
    let mut blocks: Vec<BlockSizes> = Vec::new();
    let per_stage = sizes
        .in_channels
        .iter()
        .zip(&sizes.out_channels)
        .zip(sizes.kernel_sizes.iter().zip(&sizes.strides))
        .zip(sizes.num_block_repeats.iter().zip(&sizes.expand_ratios));
    let mut before = sizes.channels(32);
    for (((&inputs, &outputs), (&kernel, &stride)), (&repeats, &expansion)) in per_stage {
        let (inputs, outputs) = (sizes.channels(inputs), sizes.channels(outputs));
        if kernel % 2 == 0 || kernel > 64 {
            return Err(config.bad("kernel_sizes", "must be odd and at most 63"));
        }
        if stride > 2 {
            return Err(config.bad("strides", "must be 1 or 2"));
        }
        if inputs != before {
            let reason =
                "each must be what the stage before has in `out_channels`, and the first 32";
            return Err(config.bad("in_channels", reason));
        }
        config.check_sizes(&[("out_channels", outputs)])?;
        config.check_blocks("num_block_repeats", sizes.repeats(repeats))?;
        for index in 0..sizes.repeats(repeats) {
            let first = index == 0;
            let inputs = if first { inputs } else { outputs };
            let inner = inputs.saturating_mul(expansion);
            config.check_sizes(&[("expand_ratios", inner)])?;
            blocks.push(BlockSizes {
                inputs,
                inner,
                expands: expansion != 1,
                outputs,
                kernel,
                stride: if first { stride } else { 1 },
                gate: gate(inputs, sizes.squeeze_expansion_ratio),
                late: !sizes.depthwise_padding.contains(&blocks.len()),
                residual: !first,
            });
        }
        config.check_blocks("num_block_repeats", blocks.len())?;
        before = outputs;
    }
    debug_assert!(blocks.len() <= MAX_BLOCKS);
    Ok(blocks)
}

/// Channels of a gate.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "both factors are checked"
)]
fn gate(channels: usize, ratio: f64) -> usize {
    ((channels as f64 * ratio) as usize).max(1)
}

/// What all layers are built with.
struct Build<'a> {
    eps: f64,
    activation: Activation,
    device: &'a Device,
}

impl Build<'_> {
    /// A convolution without bias and its norm.
    fn normed(
        &self,
        scope: &Scope<'_>,
        [conv, norm]: [&str; 2],
        geometry: ConvGeometry,
        activation: Activation,
    ) -> Result<Conv2d, Error> {
        let norm = BatchNorm::load(&scope.child(norm), geometry.out_channels, self.eps, true)?;
        let scope = scope.child(conv);
        Conv2d::load(
            &scope,
            geometry,
            false,
            Some(&norm),
            activation,
            self.device,
        )
    }

    /// The same where the padding before the image is one less than that behind it: as a window
    /// that has a row and a column of zeros before the others.
    fn late(
        &self,
        scope: &Scope<'_>,
        [conv, norm]: [&str; 2],
        geometry: ConvGeometry,
    ) -> Result<Conv2d, Error> {
        let norm = BatchNorm::load(&scope.child(norm), geometry.out_channels, self.eps, true)?;
        let scope = scope.child(conv);
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
            self.device,
        )
    }

    fn block(&self, scope: &Scope<'_>, sizes: &BlockSizes) -> Result<Block, Error> {
        let point = |inputs, outputs| ConvGeometry::square(inputs, outputs, 1, 1, 0);
        let expansion = if sizes.expands {
            Some(self.normed(
                &scope.child("expansion"),
                ["expand_conv", "expand_bn"],
                point(sizes.inputs, sizes.inner),
                self.activation,
            )?)
        } else {
            None
        };
        let (depthwise, names) = (
            scope.child("depthwise_conv"),
            ["depthwise_conv", "depthwise_norm"],
        );
        let (kernel, inner) = (sizes.kernel, sizes.inner);
        let geometry = ConvGeometry::square(inner, inner, kernel, sizes.stride, kernel / 2);
        let geometry = geometry.grouped(inner);
        let depthwise = if sizes.stride == 2 && sizes.late {
            self.late(&depthwise, names, geometry)?
        } else {
            self.normed(&depthwise, names, geometry, self.activation)?
        };
        let gate = scope.child("squeeze_excite");
        let gate_layer = |name: &str, inputs, outputs, activation| {
            let scope = gate.child(name);
            Conv2d::load(
                &scope,
                point(inputs, outputs),
                true,
                None,
                activation,
                self.device,
            )
        };
        Ok(Block {
            expansion,
            depthwise,
            reduce: gate_layer("reduce", inner, sizes.gate, self.activation)?,
            expand: gate_layer("expand", sizes.gate, inner, Activation::Sigmoid)?,
            projection: self.normed(
                &scope.child("projection"),
                ["project_conv", "project_bn"],
                point(inner, sizes.outputs),
                Activation::Identity,
            )?,
            residual: sizes.residual,
        })
    }
}

impl Blueprint for Sizes {
    fn in_channels(&self) -> Option<usize> {
        Some(self.config.num_channels)
    }

    fn outputs(&self, _: usize, _: Option<Size>) -> Result<Option<usize>, Error> {
        Ok(self.labels.known())
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.network(weights, device)?;
        let states = (0..=self.blocks.len()).map(|index| format!("hidden_states.{index}"));
        let mut layers: Vec<String> = states.collect();
        layers.extend(["last_hidden_state", "pooler_output"].map(str::to_owned));
        if network.classifier.is_some() {
            layers.push("classifier".to_owned());
        }
        let embedding = Some("pooler_output".to_owned());
        Ok(Network::of_images(network, layers, embedding))
    }
}
