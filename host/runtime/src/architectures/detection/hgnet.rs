//! HGNetV2, the backbone of D-FINE (PaddlePaddle's PP-HGNetV2), as transformers builds it.

use modelzoo_kernels::PoolKind;
use serde::Deserialize;
use serde_json::Value;

use super::resnet_vd::given;
use crate::architectures::convnets::loader::LayerLoader;
use crate::architectures::shared::config::ConfigChecker;
use crate::error::Error;
use crate::layers::{Activation, Conv2d, ConvGeometry, FeatureMap, Pool, concat};

/// The configuration of such a network: `hgnet_v2`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct Fields {
    num_channels: usize,
    hidden_act: String,
    stem_channels: [usize; 3],
    stem_strides: [usize; 5],
    stage_in_channels: Vec<usize>,
    stage_mid_channels: Vec<usize>,
    stage_out_channels: Vec<usize>,
    stage_num_blocks: Vec<usize>,
    stage_downsample: Vec<bool>,
    stage_downsample_strides: Vec<usize>,
    stage_light_block: Vec<bool>,
    stage_kernel_size: Vec<usize>,
    stage_numb_of_layers: Vec<usize>,
    use_learnable_affine_block: bool,
    out_features: Option<Vec<String>>,
    out_indices: Option<Vec<usize>>,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            num_channels: 3,
            hidden_act: "relu".to_owned(),
            stem_channels: [3, 32, 48],
            stem_strides: [2, 1, 1, 2, 1],
            stage_in_channels: vec![48, 128, 512, 1024],
            stage_mid_channels: vec![48, 96, 192, 384],
            stage_out_channels: vec![128, 512, 1024, 2048],
            stage_num_blocks: vec![1, 1, 3, 1],
            stage_downsample: vec![false, true, true, true],
            stage_downsample_strides: vec![2; 4],
            stage_light_block: vec![false, false, true, true],
            stage_kernel_size: vec![3, 3, 5, 5],
            stage_numb_of_layers: vec![6; 4],
            use_learnable_affine_block: false,
            out_features: None,
            out_indices: None,
        }
    }
}

/// The sizes of a stage.
#[derive(Clone, Copy, Debug)]
struct StageConfig {
    inputs: usize,
    middle: usize,
    outputs: usize,
    blocks: usize,
    layers: usize,
    kernel: usize,
    /// Of the convolution before the blocks, where there is one.
    stride: Option<usize>,
    light: bool,
}

/// A checked configuration.
pub(super) struct HgNet {
    fields: Fields,
    stages: Vec<StageConfig>,
    activation: Activation,
    given: Vec<usize>,
}

fn stages(checker: &ConfigChecker, fields: &Fields) -> Result<Vec<StageConfig>, Error> {
    let count = fields.stage_in_channels.len();
    checker.check_range("stage_in_channels", count, 1..=16)?;
    for (field, length) in [
        ("stage_mid_channels", fields.stage_mid_channels.len()),
        ("stage_out_channels", fields.stage_out_channels.len()),
        ("stage_num_blocks", fields.stage_num_blocks.len()),
        ("stage_downsample", fields.stage_downsample.len()),
        (
            "stage_downsample_strides",
            fields.stage_downsample_strides.len(),
        ),
        ("stage_light_block", fields.stage_light_block.len()),
        ("stage_kernel_size", fields.stage_kernel_size.len()),
        ("stage_numb_of_layers", fields.stage_numb_of_layers.len()),
    ] {
        if length != count {
            let reason = format!("has {length} values for {count} stages");
            return Err(checker.error(field, reason));
        }
    }
    let widths = fields.stage_in_channels.iter();
    let widths = widths
        .zip(&fields.stage_mid_channels)
        .zip(&fields.stage_out_channels);
    let counts = fields.stage_num_blocks.iter();
    let counts = counts.zip(&fields.stage_numb_of_layers);
    let strides = fields.stage_downsample.iter();
    let strides = strides.zip(&fields.stage_downsample_strides);
    let kinds = fields.stage_kernel_size.iter();
    let kinds = kinds.zip(&fields.stage_light_block);
    let mut stages = Vec::with_capacity(count);
    let [.., mut before] = fields.stem_channels;
    for ((((inputs, middle), outputs), (blocks, layers)), ((down, stride), (kernel, light))) in
        widths.zip(counts).zip(strides.zip(kinds))
    {
        checker.check_sizes(&[
            ("stage_in_channels", *inputs),
            ("stage_mid_channels", *middle),
            ("stage_out_channels", *outputs / 2),
        ])?;
        checker.check_count("stage_num_blocks", *blocks)?;
        checker.check_count("stage_numb_of_layers", *layers)?;
        checker.check_range("stage_downsample_strides", *stride, 1..=16)?;
        checker.check_range("stage_kernel_size", *kernel, 1..=31)?;
        if kernel % 2 == 0 {
            return Err(checker.error("stage_kernel_size", "must be odd numbers"));
        }
        if *inputs != before {
            let reason = format!("has {inputs} where the layers before give {before}");
            return Err(checker.error("stage_in_channels", reason));
        }
        before = *outputs;
        stages.push(StageConfig {
            inputs: *inputs,
            middle: *middle,
            outputs: *outputs,
            blocks: *blocks,
            layers: *layers,
            kernel: *kernel,
            stride: down.then_some(*stride),
            light: *light,
        });
    }
    Ok(stages)
}

impl HgNet {
    pub(super) fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let fields: Fields = checker.read(config)?;
        let [channels, first, last] = fields.stem_channels;
        checker.check_sizes(&[
            ("num_channels", fields.num_channels),
            ("stem_channels", first / 2),
            ("stem_channels", last),
        ])?;
        if channels != fields.num_channels {
            return Err(checker.error("stem_channels", "must begin with `num_channels`"));
        }
        for stride in fields.stem_strides {
            checker.check_range("stem_strides", stride, 1..=16)?;
        }
        let stages = stages(checker, &fields)?;
        let (indices, names) = (&fields.out_indices, &fields.out_features);
        Ok(Self {
            given: given(checker, stages.len(), indices.as_deref(), names.as_deref())?,
            activation: checker.activation("hidden_act", &fields.hidden_act)?,
            stages,
            fields,
        })
    }

    pub(super) fn in_channels(&self) -> usize {
        self.fields.num_channels
    }

    /// Channels of the outputs.
    pub(super) fn channels(&self) -> Vec<usize> {
        let given = self.given.iter();
        given
            .filter_map(|&stage| Some(self.stages.get(stage)?.outputs))
            .collect()
    }

    pub(super) fn load(&self, weights: &LayerLoader<'_>) -> Result<HgNetBackbone, Error> {
        let affine = self.fields.use_learnable_affine_block;
        let embedder = weights.child("embedder");
        let [inputs, first, last] = self.fields.stem_channels;
        let [one, two, three, four, five] = self.fields.stem_strides;
        let square = ConvGeometry::square;
        let stem = |name: &str, geometry| {
            Layer::load(&embedder.child(name), geometry, self.activation, affine)
        };
        let mut stages = Vec::with_capacity(self.stages.len());
        for (index, config) in self.stages.iter().enumerate() {
            let scope = weights.child(&format!("encoder.stages.{index}"));
            stages.push(Stage::load(&scope, config, affine)?);
        }
        Ok(HgNetBackbone {
            stem: [
                stem("stem1", square(inputs, first, 3, one, 1))?,
                stem("stem2a", square(first, first / 2, 2, two, 0))?,
                stem("stem2b", square(first / 2, first, 2, three, 0))?,
                stem("stem3", square(2 * first, first, 3, four, 1))?,
                stem("stem4", square(first, last, 1, five, 0))?,
            ],
            pool: Pool::square("embedder.pool", [2, 1, 0], true, PoolKind::Max),
            stages,
            given: self.given.clone(),
        })
    }
}

/// A built HGNetV2.
pub(super) struct HgNetBackbone {
    stem: [Layer; 5],
    pool: Pool,
    stages: Vec<Stage>,
    given: Vec<usize>,
}

impl HgNetBackbone {
    pub(super) fn forward(&self, x: &FeatureMap) -> Result<Vec<FeatureMap>, Error> {
        // A row and a column at the ends, for kernels of two pixels.
        const ENDS: [[usize; 2]; 2] = [[0, 1], [0, 1]];
        let [first, left, right, third, fourth] = &self.stem;
        let x = first.forward(x)?.pad(ENDS)?;
        let branch = right.forward(&left.forward(&x)?.pad(ENDS)?)?;
        let joined = concat("embedder", &[self.pool.forward(&x)?, branch])?;
        let mut x = fourth.forward(&third.forward(&joined)?)?;
        let mut outputs = Vec::with_capacity(self.given.len());
        for (index, stage) in self.stages.iter().enumerate() {
            x = stage.forward(&x)?;
            if self.given.contains(&index) {
                outputs.push(x.clone());
            }
        }
        Ok(outputs)
    }
}

/// A convolution without bias, a batch norm, an activation, and perhaps one factor and one number
/// for all values.
struct Layer {
    convolution: Conv2d,
    affine: Option<[f64; 2]>,
}

impl Layer {
    fn load(
        weights: &LayerLoader<'_>,
        geometry: ConvGeometry,
        activation: Activation,
        affine: bool,
    ) -> Result<Self, Error> {
        let value = |name: &str| -> Result<f64, Error> {
            let value = weights.scope.get(name, &[1])?.to_vec1::<f32>()?;
            Ok(f64::from(value.first().copied().unwrap_or_default()))
        };
        // What has no activation has none of these either.
        let affine = affine && activation != Activation::Identity;
        Ok(Self {
            convolution: weights.normed(["convolution", "normalization"], geometry, activation)?,
            affine: affine
                .then(|| Ok::<_, Error>([value("lab.scale")?, value("lab.bias")?]))
                .transpose()?,
        })
    }

    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let x = self.convolution.forward(x, None)?;
        match self.affine {
            Some([scale, bias]) => x.affine(scale, bias),
            None => Ok(x),
        }
    }
}

/// A convolution that makes the map smaller, and blocks.
struct Stage {
    smaller: Option<Layer>,
    blocks: Vec<Block>,
}

impl Stage {
    fn load(weights: &LayerLoader<'_>, config: &StageConfig, affine: bool) -> Result<Self, Error> {
        let inputs = config.inputs;
        let smaller = |stride| {
            let geometry = ConvGeometry::square(inputs, inputs, 3, stride, 1).grouped(inputs);
            let scope = weights.child("downsample");
            Layer::load(&scope, geometry, Activation::Identity, affine)
        };
        let block = |index: usize| {
            let scope = weights.child(&format!("blocks.{index}"));
            let from = if index == 0 { inputs } else { config.outputs };
            Block::load(&scope, config, from, index > 0, affine)
        };
        Ok(Self {
            smaller: config.stride.map(smaller).transpose()?,
            blocks: (0..config.blocks).map(block).collect::<Result<_, _>>()?,
        })
    }

    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let mut x = match &self.smaller {
            Some(layer) => layer.forward(x)?,
            None => x.clone(),
        };
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        Ok(x)
    }
}

/// Layers after one another, all of whose results are joined.
struct Block {
    layers: Vec<Vec<Layer>>,
    joined: [Layer; 2],
    residual: bool,
}

impl Block {
    fn load(
        weights: &LayerLoader<'_>,
        config: &StageConfig,
        inputs: usize,
        residual: bool,
        affine: bool,
    ) -> Result<Self, Error> {
        let (middle, outputs, kernel) = (config.middle, config.outputs, config.kernel);
        let (relu, none) = (Activation::Relu, Activation::Identity);
        let square = ConvGeometry::square;
        let layer = |index: usize| {
            let scope = weights.child(&format!("layers.{index}"));
            let from = if index == 0 { inputs } else { middle };
            if !config.light {
                let geometry = square(from, middle, kernel, 1, kernel / 2);
                return Ok::<_, Error>(vec![Layer::load(&scope, geometry, relu, affine)?]);
            }
            let each = square(middle, middle, kernel, 1, kernel / 2).grouped(middle);
            Ok(vec![
                Layer::load(
                    &scope.child("conv1"),
                    square(from, middle, 1, 1, 0),
                    none,
                    affine,
                )?,
                Layer::load(&scope.child("conv2"), each, relu, affine)?,
            ])
        };
        let joined = |name: &str, [from, to]: [usize; 2]| {
            let scope = weights.child("aggregation").child(name);
            Layer::load(&scope, square(from, to, 1, 1, 0), relu, affine)
        };
        let all = inputs + config.layers * middle;
        Ok(Self {
            layers: (0..config.layers).map(layer).collect::<Result<_, _>>()?,
            joined: [
                joined("0", [all, outputs / 2])?,
                joined("1", [outputs / 2, outputs])?,
            ],
            residual,
        })
    }

    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let mut parts = vec![x.clone()];
        let mut current = x.clone();
        for layers in &self.layers {
            for layer in layers {
                current = layer.forward(&current)?;
            }
            parts.push(current.clone());
        }
        let [first, second] = &self.joined;
        let y = second.forward(&first.forward(&concat("aggregation", &parts)?)?)?;
        if self.residual { y.plus(x) } else { Ok(y) }
    }
}
