//! Swin Transformer V2, as transformers builds it (`models/swinv2`; Liu et al., "Swin Transformer
//! V2: Scaling Up Capacity and Resolution", 2021): cosine attention within windows, which every
//! second block shifts by half a window.

mod config;
mod windows;

use std::sync::Arc;

use candle_core::Tensor;
use modelzoo_model::plan::Size;
use serde_json::Value;

use config::StageConfig;
pub(crate) use config::SwinV2;
pub use config::SwinV2Config;
use windows::{Bias, Windows};

use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::grid::GridCache;
use crate::architectures::shared::hugging_face;
use crate::architectures::shared::network::{ArchitectureConfig, ImageTower, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, Conv2d, ConvGeometry, Dense, FeatureMap, FeedForward, FirstHeads, Gather,
    LayerNorm, Linear, Mask, SelfAttention, check_size, normalize_heads,
};
use crate::precision::in_full;
use crate::trace::Trace;
use crate::weights::Scope;

/// The epsilon of the norms of patches and of merged patches.
const EPS: f64 = 1e-5;
/// The least norm that a head is divided by.
const FLOOR: f32 = 1e-12;
/// The logarithm of the largest scale of a cosine: 100.
const MAX_SCALE: f32 = 4.605_170_2;

impl SwinV2 {
    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<SwinV2Network, Error> {
        let base = hugging_face::base(
            weights,
            "swinv2",
            "embeddings.patch_embeddings.projection.weight",
        );
        let embeddings = base.child("embeddings");
        // It replaces masked patches in training.
        embeddings.ignore("mask_token");
        let width = self.config.embed_dim;
        let geometry = ConvGeometry::patches([self.config.num_channels, width], self.patch);
        let scope = embeddings.child("patch_embeddings.projection");
        let patches = Conv2d::load(&scope, geometry, true, None, Activation::Identity, device)?;
        let norm = LayerNorm::load(&embeddings.child("norm"), width, EPS, true, device)?;
        let mut stages = Vec::new();
        let mut channels = width;
        for (index, sizes) in self.stages.iter().enumerate() {
            let scope = base.child(&format!("encoder.layers.{index}"));
            let last = index + 1 == self.stages.len();
            stages.push(self.stage(&scope, sizes, !last, device)?);
            channels = sizes.width;
        }
        let (last, eps) = (base.child("layernorm"), self.config.layer_norm_eps);
        Ok(SwinV2Network {
            patch: self.patch,
            patches,
            norm,
            stages,
            last: LayerNorm::load(&last, channels, eps, true, device)?,
            classifier: hugging_face::classifier(
                weights,
                "classifier",
                channels,
                self.labels,
                device,
            )?,
        })
    }

    fn stage(
        &self,
        scope: &Scope<'_>,
        sizes: &StageConfig,
        merges: bool,
        device: &Device,
    ) -> Result<Stage, Error> {
        let blocks = (0..sizes.depth)
            .map(|block| {
                let shift = if block % 2 == 0 { 0 } else { sizes.shift };
                let scope = scope.child(&format!("blocks.{block}"));
                self.block(&scope, sizes, shift, device)
            })
            .collect::<Result<_, _>>()?;
        let merging = if merges {
            let (scope, width) = (scope.child("downsample"), sizes.width);
            let reduction = scope.child("reduction");
            let plain = Activation::Identity;
            let reduced = [4 * width, 2 * width];
            Some(Merging {
                reduction: Linear::load(&reduction, reduced, false, None, plain, device)?,
                norm: LayerNorm::load(&scope.child("norm"), 2 * width, EPS, true, device)?,
                neighbours: GridCache::new(),
                device: device.clone(),
            })
        } else {
            None
        };
        Ok(Stage { blocks, merging })
    }

    fn block(
        &self,
        scope: &Scope<'_>,
        sizes: &StageConfig,
        shift: usize,
        device: &Device,
    ) -> Result<Block, Error> {
        let StageConfig { width, heads, .. } = *sizes;
        let attention = scope.child("attention.self");
        // Buffers of older checkpoints, the same for all models of a size.
        attention.ignore("relative_coords_table");
        attention.ignore("relative_position_index");
        let part = |name: &str, bias| Dense::load(&attention.child(name), [width; 2], bias);
        let bias = self.config.qkv_bias;
        let qkv = [
            part("query", bias)?,
            part("key", false)?,
            part("value", bias)?,
        ];
        let out = Dense::load(&scope.child("attention.output.dense"), [width; 2], true)?;
        let scales = attention
            .get("logit_scale", &[heads, 1, 1])?
            .flatten_all()?;
        let scales = scales.to_vec1::<f32>()?.into_iter();
        let scales = scales.map(|scale| scale.min(MAX_SCALE).exp()).collect();
        let norm = |name: &str| {
            let eps = self.config.layer_norm_eps;
            LayerNorm::load(&scope.child(name), width, eps, true, device)
        };
        let linear = |name: &str, sizes, activation| {
            Linear::load(&scope.child(name), sizes, true, None, activation, device)
        };
        let (inner, activation) = (sizes.inner, self.activation);
        Ok(Block {
            attention: SelfAttention::new(attention.name(), qkv, out, heads, device)?
                .with_scales(scales),
            heads: FirstHeads {
                count: 2 * heads,
                size: width / heads,
            },
            windows: Windows {
                side: sizes.window,
                shift,
                bias: Bias::load(&attention, sizes)?,
            },
            partitions: GridCache::new(),
            before: norm("layernorm_before")?,
            mlp: FeedForward::new(
                linear("intermediate.dense", [width, inner], activation)?,
                linear("output.dense", [inner, width], Activation::Identity)?,
            ),
            after: norm("layernorm_after")?,
            device: device.clone(),
        })
    }
}

impl ArchitectureConfig for SwinV2 {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        Self::read(checker, config)
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
            self.stages.len(),
            classifies,
        ))
    }
}

/// A built Swin Transformer V2.
pub(crate) struct SwinV2Network {
    patch: [usize; 2],
    patches: Conv2d,
    norm: LayerNorm,
    stages: Vec<Stage>,
    last: LayerNorm,
    classifier: Option<Linear>,
}

struct Stage {
    blocks: Vec<Block>,
    merging: Option<Merging>,
}

/// Attention within windows and an MLP, each followed by a norm and its residual.
struct Block {
    attention: SelfAttention,
    heads: FirstHeads,
    windows: Windows,
    partitions: GridCache<Arc<windows::Partition>>,
    before: LayerNorm,
    mlp: FeedForward,
    after: LayerNorm,
    device: Device,
}

/// Merges four neighbouring tokens into one.
struct Merging {
    reduction: Linear,
    norm: LayerNorm,
    neighbours: GridCache<Arc<Gather>>,
    device: Device,
}

impl SwinV2Network {
    /// Elements of the biases that all blocks keep for a grid of tokens.
    fn elements(&self, mut size: [usize; 2]) -> usize {
        let mut elements = 0_usize;
        for stage in &self.stages {
            for block in &stage.blocks {
                elements = elements.saturating_add(block.windows.elements(size));
            }
            size = size.map(|side| side.div_ceil(2));
        }
        elements
    }
}

impl ImageTower for SwinV2Network {
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        let shape = x.shape()?;
        let [down, across] = self.patch;
        trace.input("hidden_states.0", &x)?;
        let padded = x.pad(windows::margins(
            [shape.height, shape.width],
            [down, across],
        ))?;
        let x = self.patches.forward(&padded, None)?;
        let shape = x.shape()?;
        let mut size = [shape.height, shape.width];
        check_size("windows", &[self.elements(size)])?;
        let mut x = self.norm.forward(&x.to_tokens()?)?;
        trace.output("hidden_states.0", &x)?;
        for (index, stage) in self.stages.iter().enumerate() {
            let name = format!("hidden_states.{}", index + 1);
            trace.input(&name, &x)?;
            for block in &stage.blocks {
                x = block.forward(&x, size)?;
            }
            if let Some(merging) = &stage.merging {
                (x, size) = merging.forward(&x, size)?;
            }
            trace.output(&name, &x)?;
        }
        trace.input("last_hidden_state", &x)?;
        let x = self.last.forward(&x)?;
        trace.output("last_hidden_state", &x)?;
        trace.input("pooler_output", &x)?;
        let pooled = in_full(&x, |x| x.mean(1))?;
        trace.output("pooler_output", &pooled)?;
        debug_assert_eq!(size.iter().product::<usize>(), x.dim(1)?);
        hugging_face::classify("classifier", self.classifier.as_ref(), pooled, trace)
    }
}

impl Block {
    fn forward(&self, x: &Tensor, size: [usize; 2]) -> Result<Tensor, Error> {
        let partition = self.partitions.get(size, || {
            self.windows.partition(size, &self.device).map(Arc::new)
        })?;
        let attended = partition.split(x, &self.device)?;
        let mask = Mask {
            bias: Some(partition.bias()),
            ..Mask::default()
        };
        let cosine = |qkv: Tensor| normalize_heads(&qkv, self.heads, FLOOR, &self.device);
        let attended = self.attention.forward_with(&attended, None, mask, cosine)?;
        let attended = partition.merge(&attended)?;
        let x = self.before.forward_add(&attended, x)?;
        self.after.forward_add(&self.mlp.forward(&x, None)?, &x)
    }
}

impl Merging {
    fn forward(&self, x: &Tensor, size: [usize; 2]) -> Result<(Tensor, [usize; 2]), Error> {
        let x = FeatureMap::from_tokens(x, size, &self.device)?;
        let x = x.pad(windows::margins(size, [2; 2]))?.to_tokens()?;
        let merged = size.map(|side| side.div_ceil(2));
        let neighbours = self.neighbours.get(size, || {
            Gather::new(windows::neighbours(merged), &self.device).map(Arc::new)
        })?;
        let (batch, _, width) = x.dims3()?;
        let count = merged.iter().product::<usize>();
        let x = neighbours.forward(&x)?.reshape((batch, count, 4 * width))?;
        Ok((self.norm.forward(&self.reduction.forward(&x)?)?, merged))
    }
}
