//! The ResNets of RT-DETR, with a stem of three convolutions and shortcuts that average (ResNet-D of
//! He et al., "Bag of Tricks for Image Classification", 2019), as transformers builds them.

use modelzoo_kernels::PoolKind;
use serde::Deserialize;
use serde_json::Value;

use crate::architectures::convnets::loader::LayerLoader;
use crate::architectures::convnets::steps::{Step, max_pool};
use crate::architectures::shared::config::ConfigChecker;
use crate::error::Error;
use crate::layers::{Activation, Conv2d, ConvGeometry, FeatureMap, Pool};

/// The configuration of such a ResNet: `rt_detr_resnet`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct Fields {
    num_channels: usize,
    embedding_size: usize,
    hidden_sizes: Vec<usize>,
    depths: Vec<usize>,
    layer_type: String,
    hidden_act: String,
    downsample_in_first_stage: bool,
    downsample_in_bottleneck: bool,
    out_features: Option<Vec<String>>,
    out_indices: Option<Vec<usize>>,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            num_channels: 3,
            embedding_size: 64,
            hidden_sizes: vec![256, 512, 1024, 2048],
            depths: vec![3, 4, 6, 3],
            layer_type: "bottleneck".to_owned(),
            hidden_act: "relu".to_owned(),
            downsample_in_first_stage: false,
            downsample_in_bottleneck: false,
            out_features: None,
            out_indices: None,
        }
    }
}

/// A checked configuration.
pub(super) struct ResNetVd {
    fields: Fields,
    bottleneck: bool,
    activation: Activation,
    /// The stages whose outputs are given, counted from 0.
    given: Vec<usize>,
}

/// The stages that `out_indices` or `out_features` name, whose numbers count from 1; the last one
/// without either.
pub(super) fn given(
    checker: &ConfigChecker,
    stages: usize,
    indices: Option<&[usize]>,
    names: Option<&[String]>,
) -> Result<Vec<usize>, Error> {
    let named = |name: &String| name.strip_prefix("stage")?.parse().ok();
    let found: Option<Vec<usize>> = match (indices, names) {
        (Some(indices), _) => Some(indices.to_vec()),
        (None, Some(names)) => names.iter().map(named).collect(),
        (None, None) => Some(vec![stages]),
    };
    let found = found.unwrap_or_default();
    let known = |at: &usize| (1..=stages).contains(at);
    if found.is_empty() || !found.iter().all(known) || !found.is_sorted_by(|a, b| a < b) {
        let reason = "must name stages in their order, as `[2, 3, 4]`";
        return Err(checker.error("out_indices", reason));
    }
    Ok(found.into_iter().map(|at| at - 1).collect())
}

impl ResNetVd {
    pub(super) fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let fields: Fields = checker.read(config)?;
        checker.check_sizes(&[
            ("num_channels", fields.num_channels),
            ("embedding_size", fields.embedding_size / 2),
        ])?;
        let stages = fields.depths.len();
        checker.check_range("depths", stages, 1..=16)?;
        if fields.hidden_sizes.len() != stages {
            let reason = format!(
                "has {} values for {stages} stages",
                fields.hidden_sizes.len()
            );
            return Err(checker.error("hidden_sizes", reason));
        }
        for (&size, &depth) in fields.hidden_sizes.iter().zip(&fields.depths) {
            checker.check_size("hidden_sizes", size)?;
            checker.check_count("depths", depth)?;
        }
        let bottleneck = match fields.layer_type.as_str() {
            "bottleneck" => true,
            "basic" => false,
            other => return Err(checker.unsupported("layer_type", other)),
        };
        let first = fields.hidden_sizes.first().copied().unwrap_or_default();
        if !bottleneck && !fields.downsample_in_first_stage && first != fields.embedding_size {
            let reason = "must begin with `embedding_size`";
            return Err(checker.error("hidden_sizes", reason));
        }
        if bottleneck && fields.hidden_sizes.iter().any(|size| size % 4 != 0) {
            return Err(checker.error("hidden_sizes", "must be multiples of 4"));
        }
        Ok(Self {
            given: given(
                checker,
                stages,
                fields.out_indices.as_deref(),
                fields.out_features.as_deref(),
            )?,
            activation: checker.activation("hidden_act", &fields.hidden_act)?,
            bottleneck,
            fields,
        })
    }

    pub(super) fn in_channels(&self) -> usize {
        self.fields.num_channels
    }

    /// Channels of the outputs.
    pub(super) fn channels(&self) -> Vec<usize> {
        let sizes = &self.fields.hidden_sizes;
        let given = self.given.iter();
        given
            .filter_map(|&stage| sizes.get(stage).copied())
            .collect()
    }

    pub(super) fn load(&self, weights: &LayerLoader<'_>) -> Result<ResNetVdBackbone, Error> {
        let (channels, width) = (self.fields.num_channels, self.fields.embedding_size);
        let half = width / 2;
        let embedder = weights.child("embedder.embedder");
        let sizes = [(channels, half, 2), (half, half, 1), (half, width, 1)];
        let mut stem = Vec::with_capacity(sizes.len());
        for (index, (from, to, stride)) in sizes.into_iter().enumerate() {
            let geometry = ConvGeometry::square(from, to, 3, stride, 1);
            let layer = embedder.child(&index.to_string());
            stem.push(conv(&layer, geometry, self.activation)?);
        }
        let mut stages = Vec::new();
        let mut inputs = width;
        let sizes = self.fields.hidden_sizes.iter().zip(&self.fields.depths);
        for (stage, (&outputs, &depth)) in sizes.enumerate() {
            let scope = weights.child(&format!("encoder.stages.{stage}.layers"));
            let strided = stage > 0 || self.fields.downsample_in_first_stage;
            let mut blocks = Vec::with_capacity(depth);
            for index in 0..depth {
                let first = index == 0;
                let stride = if first && strided { 2 } else { 1 };
                let scope = scope.child(&index.to_string());
                blocks.push(self.block(&scope, [inputs, outputs], stride, first)?);
                inputs = outputs;
            }
            stages.push(blocks);
        }
        Ok(ResNetVdBackbone {
            stem,
            pool: max_pool("pooler", [3, 2, 1], false),
            stages,
            given: self.given.clone(),
        })
    }

    fn block(
        &self,
        weights: &LayerLoader<'_>,
        [inputs, outputs]: [usize; 2],
        stride: usize,
        first: bool,
    ) -> Result<Block, Error> {
        let square = ConvGeometry::square;
        let geometries = if self.bottleneck {
            let inner = outputs / 4;
            let early = self.fields.downsample_in_bottleneck;
            let (one, two) = if early { (stride, 1) } else { (1, stride) };
            vec![
                square(inputs, inner, 1, one, 0),
                square(inner, inner, 3, two, 1),
                square(inner, outputs, 1, 1, 0),
            ]
        } else {
            vec![
                square(inputs, outputs, 3, stride, 1),
                square(outputs, outputs, 3, 1, 1),
            ]
        };
        let mut convolutions = Vec::with_capacity(geometries.len());
        let last = geometries.len().saturating_sub(1);
        for (index, geometry) in geometries.into_iter().enumerate() {
            let layer = weights.child("layer").child(&index.to_string());
            // The layers inside have a ReLU, whatever the configuration says of the others.
            let activation = if index == last {
                self.activation
            } else {
                Activation::Relu
            };
            convolutions.push(conv(&layer, geometry, activation)?);
        }
        let changes = inputs != outputs || stride != 1;
        let projects = if self.bottleneck { changes } else { first };
        let averages = if self.bottleneck {
            stride == 2
        } else {
            inputs != outputs
        };
        let shortcut = if projects {
            let (name, stride) = if averages {
                ("shortcut.1", 1)
            } else {
                ("shortcut", stride)
            };
            let geometry = square(inputs, outputs, 1, stride, 0);
            Some(conv(&weights.child(name), geometry, Activation::Identity)?)
        } else {
            None
        };
        Ok(Block {
            convolutions,
            average: (averages && projects).then(average),
            shortcut,
        })
    }
}

/// A convolution without bias, a batch norm and an activation.
fn conv(
    weights: &LayerLoader<'_>,
    geometry: ConvGeometry,
    activation: Activation,
) -> Result<Conv2d, Error> {
    weights.normed(["convolution", "normalization"], geometry, activation)
}

/// Averages squares of two by two pixels, and what there is of them at the edges.
fn average() -> Pool {
    let kind = PoolKind::Average {
        count_padding: true,
    };
    Pool::square("shortcut.0", [2, 2, 0], true, kind)
}

/// A built ResNet.
pub(super) struct ResNetVdBackbone {
    stem: Vec<Conv2d>,
    pool: Box<dyn Step>,
    stages: Vec<Vec<Block>>,
    given: Vec<usize>,
}

impl ResNetVdBackbone {
    pub(super) fn forward(&self, x: &FeatureMap) -> Result<Vec<FeatureMap>, Error> {
        let mut x = x.clone();
        for convolution in &self.stem {
            x = convolution.forward(&x, None)?;
        }
        x = self.pool.forward(x)?;
        let mut outputs = Vec::with_capacity(self.given.len());
        for (stage, blocks) in self.stages.iter().enumerate() {
            for block in blocks {
                x = block.forward(&x)?;
            }
            if self.given.contains(&stage) {
                outputs.push(x.clone());
            }
        }
        Ok(outputs)
    }
}

/// Convolutions with a residual, which the last of them adds before its activation.
struct Block {
    convolutions: Vec<Conv2d>,
    average: Option<Pool>,
    shortcut: Option<Conv2d>,
}

impl Block {
    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let mut residual = match &self.average {
            Some(pool) => pool.forward(x)?,
            None => x.clone(),
        };
        if let Some(projection) = &self.shortcut {
            residual = projection.forward(&residual, None)?;
        }
        let Some((last, before)) = self.convolutions.split_last() else {
            return Ok(residual);
        };
        let mut inner = x.clone();
        for convolution in before {
            inner = convolution.forward(&inner, None)?;
        }
        last.forward(&inner, Some(&residual))
    }
}
