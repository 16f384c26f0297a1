//! The networks of Ultralytics: YOLOv5u, YOLOv8, YOLOv9, YOLOv10, YOLO11, YOLO12 and YOLO26, for
//! classes, boxes, masks, poses and rotated boxes.
//!
//! A network is built from the description that its weights carry (the `yaml` of a `.pt` file), line
//! by line; the sizes of the layers are those of the weights. The blocks are written from the papers
//! and the descriptions: CSP and C2f (arXiv 1911.11929), ELAN (2402.13616), partial self-attention and
//! heads without NMS (2405.14458), area attention (2502.12524), the distributions of sides
//! (2006.04388) and prototypes of masks (1904.02689).

mod attention;
mod blocks;
mod decode;
mod description;
mod elan;
mod fuse;
mod graph;
mod head;
mod loader;

use candle_core::Tensor;
use modelzoo_model::output::{Output, OutputError, OutputKind, Scores};
use modelzoo_model::plan::Size;
use serde_json::Value;

use super::shared::config::ConfigChecker;
use super::shared::network::{ArchitectureConfig, ImageTower, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::FeatureMap;
use crate::precision::full;
use crate::trace::Trace;
use crate::weights::Scope;
use description::Description;
use graph::{Built, Graph};
use head::Head;
use loader::Loader;

/// The configuration of `yolo`: `{}` for the description that the weights carry, or that
/// description, the `yaml` of Ultralytics as JSON.
///
/// | field | |
/// |---|---|
/// | `backbone`, `head` | the layers, each `[from, repeats, module, arguments]` |
/// | `end2end` | whether the head gives one box per object where the weights can (YOLO26) |
/// | `kpt_shape` | of poses, the points of an object and the numbers of each |
/// | `names` | the names of the classes, in their order or by their numbers |
/// | `eps` | the epsilon of batch norms; 0.001, and 0.00001 for classifiers, without it |
///
/// Modules: `Conv`, `DWConv`, `Bottleneck`, `C2f`, `C2fCIB`, `C3`, `C3k2`, `SPPF`, `SPPELAN`, `PSA`,
/// `C2PSA`, `A2C2f`, `SCDown`, `RepNCSPELAN4`, `ELAN1`, `AConv`, `ADown`, `CBLinear`, `CBFuse`,
/// `Concat`, `nn.Upsample`, `nn.Identity`; heads: `Detect`, `v10Detect`, `Segment`, `Segment26`, `Pose`,
/// `Pose26`, `OBB`, `OBB26`, `Classify`. Factors of depth and width (`scales`) have no effect: the
/// weights show them.
///
/// The weights have Ultralytics' names: `model.0.conv.weight`, `model.0.bn.weight`, …
///
/// Layers for embeddings: the inputs and outputs of `model.0`, `model.1`, … but the head. The
/// default is the last of them.
pub(crate) struct Yolo {
    checker: ConfigChecker,
    /// A description, where the plan has one.
    description: Option<Description>,
}

/// The epsilon of batch norms that Ultralytics sets, and PyTorch's, which its classifiers keep.
const EPS: f64 = 1e-3;
const EPS_OF_CLASSIFIERS: f64 = 1e-5;

impl ArchitectureConfig for Yolo {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        Description::check_fields(checker, config)?;
        let is_empty = config.as_object().is_some_and(serde_json::Map::is_empty);
        let description = match is_empty {
            true => None,
            false => Some(Description::read(checker, config, None, None)?),
        };
        Ok(Self {
            checker: checker.clone(),
            description,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(3)
    }

    fn outputs(&self, _: usize, _: Option<Size>) -> Result<Option<usize>, Error> {
        Ok(None)
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let Self {
            checker,
            description,
        } = *self;
        let description = match description {
            Some(description) => description,
            None => carried(&checker, weights)?,
        };
        let is_classifier = description
            .lines
            .last()
            .is_some_and(|line| line.module == "Classify");
        let usual = if is_classifier {
            EPS_OF_CLASSIFIERS
        } else {
            EPS
        };
        let loader = Loader {
            scope: weights.clone(),
            device,
            eps: description.eps.unwrap_or(usual),
        };
        let Built { graph, head } = graph::build(&checker, &description, &loader)?;
        let layers: Vec<String> = graph.names().map(str::to_owned).collect();
        let embedding = layers.last().cloned();
        let class_count = head.class_count();
        Ok(Network {
            class_count,
            class_names: description.names,
            ..Network::of_images(Tower { graph, head }, layers, embedding)
        })
    }
}

/// The description that the weights carry.
fn carried(checker: &ConfigChecker, weights: &Scope<'_>) -> Result<Description, Error> {
    let carried = weights.configuration();
    let yaml = carried.and_then(|carried| carried.get("yaml"));
    let yaml = yaml.ok_or_else(|| {
        let reason = "is missing, and the weights carry no description of the network";
        checker.error("backbone", reason)
    })?;
    let beside = |name: &str| carried.and_then(|carried| carried.get(name));
    let eps = beside("eps").and_then(Value::as_f64);
    Description::read(checker, yaml, beside("names"), eps)
}

/// A built network.
struct Tower {
    graph: Graph,
    head: Head,
}

impl ImageTower for Tower {
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        let maps = self.graph.forward(&x, trace)?;
        self.head.forward(&maps)
    }

    fn gives(&self) -> OutputKind {
        self.head.gives()
    }

    fn outputs(&self, x: FeatureMap) -> Result<Vec<Result<Output, OutputError>>, Error> {
        let shape = x.shape()?;
        let maps = self.graph.forward(&x, &mut Trace::off())?;
        if let Some(outputs) = self.head.outputs(&maps, [shape.height, shape.width])? {
            return Ok(outputs);
        }
        let scores = full(&self.head.forward(&maps)?)?.to_vec2::<f32>()?;
        let outputs = scores
            .into_iter()
            .map(|row| Ok(Output::Scores(Scores::new(row)?)));
        Ok(outputs.collect())
    }
}
