//! Depth Anything, 1 and 2 (Yang et al., "Depth Anything V2", 2024): DINOv2 with the head of DPT,
//! as transformers builds it.

use modelzoo_model::plan::Size;
use serde::Deserialize;
use serde_json::Value;

use super::dpt_neck::{DepthHead, Factor, Neck, NeckConfig, patch_map};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::maps::MapTower;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::architectures::transformers::{Dinov2, ViTTower};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, FeatureMap};
use crate::trace::Trace;
use crate::weights::Scope;

/// The configuration of `depth_anything`: a repository's `config.json`, of a
/// `DepthAnythingForDepthEstimation`.
///
/// | field | | default |
/// |---|---|---|
/// | `backbone_config` | that of [`dinov2`](crate::architectures::transformers::Dinov2Config), with `out_indices` or `out_features` | |
/// | `patch_size` | that of the backbone | 14 |
/// | `reassemble_hidden_size` | features of the backbone | 384 |
/// | `reassemble_factors` | how each map is resized | `[4, 2, 1, 0.5]` |
/// | `neck_hidden_sizes` | channels of each map | `[48, 96, 192, 384]` |
/// | `fusion_hidden_size`, `head_hidden_size` | channels of the joined maps and of the head | 64, 32 |
/// | `depth_estimation_type` | `"relative"` or `"metric"` | `"relative"` |
/// | `max_depth` | what the result is multiplied by | 1 |
///
/// The weights have transformers' names: `backbone.embeddings.cls_token`, …,
/// `neck.reassemble_stage.layers.0.projection.weight`, …, `head.conv3.bias`. The output is one number
/// per pixel of the patches' area, at the resolution of the input: for `"relative"` the inverse of a
/// depth, larger where it is nearer.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct DepthAnythingConfig {
    /// Pixels along a side of a patch.
    pub patch_size: usize,
    /// Features of the backbone.
    pub reassemble_hidden_size: usize,
    /// How each map is resized.
    pub reassemble_factors: Vec<f64>,
    /// Channels of each map.
    pub neck_hidden_sizes: Vec<usize>,
    /// Channels of the joined maps.
    pub fusion_hidden_size: usize,
    /// Channels of the head.
    pub head_hidden_size: usize,
    /// `relative` or `metric`.
    pub depth_estimation_type: String,
    /// What the result is multiplied by.
    pub max_depth: Option<f64>,
}

impl Default for DepthAnythingConfig {
    fn default() -> Self {
        Self {
            patch_size: 14,
            reassemble_hidden_size: 384,
            reassemble_factors: vec![4.0, 2.0, 1.0, 0.5],
            neck_hidden_sizes: vec![48, 96, 192, 384],
            fusion_hidden_size: 64,
            head_hidden_size: 32,
            depth_estimation_type: "relative".to_owned(),
            max_depth: None,
        }
    }
}

/// A checked configuration.
pub(crate) struct DepthAnything {
    config: DepthAnythingConfig,
    backbone: Dinov2,
    /// The blocks whose outputs are read, counted from 1.
    after: Vec<usize>,
    neck: NeckConfig,
    last: Activation,
}

/// The hidden states of a backbone's configuration that are read: `out_indices`, or `out_features`
/// (`"stage3"`), where 0 is before the first block.
fn out_indices(checker: &ConfigChecker, config: &Value) -> Result<Vec<usize>, Error> {
    let list = |field: &str| config.get(field).and_then(Value::as_array);
    let count = |value: &Value| value.as_u64().and_then(|at| usize::try_from(at).ok());
    let stage = |value: &Value| value.as_str()?.strip_prefix("stage")?.parse().ok();
    let found: Option<Vec<usize>> = match (list("out_indices"), list("out_features")) {
        (Some(indices), _) => indices.iter().map(count).collect(),
        (None, Some(names)) => names.iter().map(stage).collect(),
        (None, None) => None,
    };
    let found = found.filter(|found| !found.is_empty());
    found.ok_or_else(|| {
        checker.error(
            "out_indices",
            "must be a list of the backbone's stages, as `[3, 6, 9, 12]`",
        )
    })
}

/// How a map is resized by a factor: a whole one, or one divided by a whole number.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole numbers from 1 to 64"
)]
fn factor(checker: &ConfigChecker, factor: f64) -> Result<Factor, Error> {
    let whole = |value: f64| (1.0..=64.0).contains(&value) && value.fract() == 0.0;
    match factor {
        _ if factor == 1.0 => Ok(Factor::Same),
        up if whole(up) => Ok(Factor::Up(up as usize)),
        down if down > 0.0 && whole(1.0 / down) => Ok(Factor::Down((1.0 / down) as usize)),
        other => {
            let reason = format!("has {other}, which is not a whole number or one divided by it");
            Err(checker.error("reassemble_factors", reason))
        }
    }
}

impl ArchitectureConfig for DepthAnything {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let parsed: DepthAnythingConfig = checker.read(config)?;
        let child = checker.child("backbone_config");
        let Some(backbone) = config.get("backbone_config").filter(|own| own.is_object()) else {
            return Err(checker.error("backbone_config", "must be the configuration of DINOv2"));
        };
        let kind = backbone.get("model_type").and_then(Value::as_str);
        if kind.is_some_and(|kind| kind != "dinov2") {
            return Err(child.unsupported("model_type", kind.unwrap_or_default()));
        }
        let after = out_indices(&child, backbone)?;
        for (field, asked) in [("apply_layernorm", true), ("reshape_hidden_states", false)] {
            let given = backbone.get(field).and_then(Value::as_bool);
            if given.unwrap_or(asked) != asked {
                return Err(child.unsupported(field, if asked { "false" } else { "true" }));
            }
        }
        let backbone = Dinov2::parse(&child, backbone)?;
        checker.check_sizes(&[
            ("fusion_hidden_size", parsed.fusion_hidden_size / 2),
            ("head_hidden_size", parsed.head_hidden_size),
        ])?;
        for (field, found, wanted) in [
            ("patch_size", [parsed.patch_size; 2], backbone.patch()),
            (
                "reassemble_hidden_size",
                [parsed.reassemble_hidden_size; 2],
                [backbone.width(); 2],
            ),
        ] {
            if found != wanted {
                let reason = format!("is {}, but the backbone has {}", found[0], wanted[0]);
                return Err(checker.error(field, reason));
            }
        }
        let sizes = &parsed.neck_hidden_sizes;
        for (field, length) in [
            ("neck_hidden_sizes", sizes.len()),
            ("reassemble_factors", parsed.reassemble_factors.len()),
        ] {
            if length != after.len() {
                let reason = format!("has {length} values for {} stages", after.len());
                return Err(checker.error(field, reason));
            }
        }
        let mut maps = Vec::with_capacity(sizes.len());
        for (&size, &by) in sizes.iter().zip(&parsed.reassemble_factors) {
            checker.check_size("neck_hidden_sizes", size)?;
            maps.push((size, factor(checker, by)?));
        }
        if after.iter().any(|&at| at > backbone.blocks()) {
            let reason = format!("names stages beyond the {} blocks", backbone.blocks());
            return Err(child.error("out_indices", reason));
        }
        if !after.is_sorted() {
            return Err(child.error("out_indices", "must be in ascending order"));
        }
        let last = match parsed.depth_estimation_type.as_str() {
            "relative" => Activation::Relu,
            "metric" => Activation::Sigmoid,
            other => return Err(checker.unsupported("depth_estimation_type", other)),
        };
        if let Some(max) = parsed.max_depth {
            checker.check_range("max_depth", max, 1e-6..=1e9)?;
        }
        let neck = NeckConfig {
            width: parsed.reassemble_hidden_size,
            maps,
            fusion: parsed.fusion_hidden_size,
        };
        Ok(Self {
            config: parsed,
            backbone,
            after,
            neck,
            last,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        self.backbone.in_channels()
    }

    fn outputs(&self, channels: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        // The backbone knows what sizes it takes.
        self.backbone.outputs(channels, size)?;
        Ok(None)
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let head = DepthHead::load(
            &weights.child("head"),
            [self.config.fusion_hidden_size, self.config.head_hidden_size],
            self.last,
            self.config.max_depth.unwrap_or(1.0),
            device,
        )?;
        let network = DepthAnythingTower {
            backbone: self.backbone.tower(&weights.child("backbone"), device)?,
            after: self.after,
            neck: Neck::load(&weights.child("neck"), &self.neck, device)?,
            head,
            patch: self.config.patch_size,
            device: device.clone(),
        };
        let layers = ["neck", "predicted_depth"].map(str::to_owned).to_vec();
        Ok(Network {
            // It has several.
            hidden: vec!["<neck".to_owned()],
            ..Network::of_maps(network, layers)
        })
    }
}

/// A built Depth Anything.
struct DepthAnythingTower {
    backbone: ViTTower,
    after: Vec<usize>,
    neck: Neck,
    head: DepthHead,
    patch: usize,
    device: Device,
}

impl MapTower for DepthAnythingTower {
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<FeatureMap, Error> {
        let shape = x.shape()?;
        let grid = [shape.height / self.patch, shape.width / self.patch];
        let states = self.backbone.states(&x, &self.after)?;
        let maps = states
            .iter()
            .map(|tokens| patch_map(tokens, 1, grid, &self.device));
        let joined = self.neck.forward(maps.collect::<Result<_, _>>()?)?;
        trace.output("neck", &joined)?;
        trace.input("predicted_depth", &joined)?;
        let size = grid.map(|side| side * self.patch);
        let depth = self.head.forward(&joined, size)?;
        trace.output("predicted_depth", &depth)?;
        Ok(depth)
    }
}
