//! Faster R-CNN (Ren et al., 2015), Mask R-CNN (He et al., "Mask R-CNN", 2017) and its variant for
//! points, as torchvision builds them over a ResNet with a feature pyramid.

mod config;
mod heads;
mod points;
mod proposals;

use candle_core::Tensor;
use modelzoo_model::output::{Boxes, Map, MaskExtent, Masks, Output, OutputError, OutputKind};
use modelzoo_model::plan::Size;
use serde_json::Value;

pub use config::RcnnConfig;
use heads::{BoxHead, Levels, MaskHead, Object, PointHead};
use proposals::ProposalNetwork;

use super::anchors::sigmoid;
use super::fpn::{Extra, Pyramid};
use super::frame::{Frame, Framed};
use crate::architectures::convnets::ResNetLayers;
use crate::architectures::convnets::loader::LayerLoader;
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::network::{ArchitectureConfig, ImageTower, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::FeatureMap;
use crate::precision::full;
use crate::trace::Trace;
use crate::weights::Scope;

/// What an R-CNN finds beside boxes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Finds {
    Boxes,
    Masks,
    Points,
}

/// A checked configuration.
pub(crate) struct Rcnn {
    config: RcnnConfig,
    layers: ResNetLayers,
    classes: usize,
    finds: Finds,
}

impl ArchitectureConfig for Rcnn {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let config: RcnnConfig = checker.read(config)?;
        config.check(checker)?;
        let layers = ResNetLayers::of_depth(config.depth);
        let layers =
            layers.ok_or_else(|| checker.error("depth", "must be 18, 34, 50, 101 or 152"))?;
        let finds = match checker.architecture() {
            "mask_rcnn" => Finds::Masks,
            "keypoint_rcnn" => Finds::Points,
            _ => Finds::Boxes,
        };
        let classes = if finds == Finds::Points { 2 } else { 91 };
        Ok(Self {
            classes: config.num_classes.unwrap_or(classes),
            config,
            layers,
            finds,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(3)
    }

    fn outputs(&self, _: usize, _: Option<Size>) -> Result<Option<usize>, Error> {
        Ok(Some(self.classes))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let config = &self.config;
        let mut loader = LayerLoader::new(weights, device).child("backbone");
        loader.eps = config.norm_eps;
        let heads = weights.child("roi_heads");
        let more = match self.finds {
            Finds::Boxes => More::Nothing,
            Finds::Masks => {
                let head = MaskHead::load(&heads, self.classes, device)?;
                More::Masks(Box::new(head))
            }
            Finds::Points => {
                let head = PointHead::load(&heads, config.num_keypoints, device)?;
                More::Points(Box::new(head))
            }
        };
        let network = RcnnTower {
            frame: Frame::new(config.frame, device)?,
            pyramid: Pyramid::load(&loader, &self.layers, 0, Extra::Pool)?,
            proposals: ProposalNetwork::load(&weights.child("rpn"), config, device)?,
            boxes: BoxHead::load(&heads, config, self.classes, device)?,
            more,
            points: config.num_keypoints,
            device: device.clone(),
        };
        let layers = RcnnTower::LAYERS.map(str::to_owned).to_vec();
        Ok(Network {
            // They have several.
            hidden: RcnnTower::LAYERS.map(|layer| format!("<{layer}")).to_vec(),
            ..Network::of_images(network, layers, None)
        })
    }
}

/// The objects of an image; [`None`] where what the network gives is not finite.
type Found = Option<Vec<Object>>;

/// A built R-CNN.
struct RcnnTower {
    frame: Frame,
    pyramid: Pyramid,
    proposals: ProposalNetwork,
    boxes: BoxHead,
    more: More,
    points: usize,
    device: Device,
}

enum More {
    Nothing,
    Masks(Box<MaskHead>),
    Points(Box<PointHead>),
}

impl RcnnTower {
    const LAYERS: [&'static str; 7] = [
        "backbone.0",
        "backbone.1",
        "backbone.2",
        "backbone.3",
        "backbone.pool",
        "rpn.head.cls_logits",
        "rpn.head.bbox_pred",
    ];

    /// The objects of each image.
    fn find(&self, x: &FeatureMap) -> Result<(Levels, Vec<Found>, Framed), Error> {
        let (x, framed) = self.frame.forward(x)?;
        let maps = self.pyramid.forward(&x)?;
        let proposals = self.proposals.forward(&maps, framed)?;
        let levels = Levels::new(&maps, framed)?;
        let found = self
            .boxes
            .forward(&levels, &proposals, framed, &self.device)?;
        Ok((levels, found, framed))
    }
}

impl ImageTower for RcnnTower {
    /// The smallest feature map of the pyramid: the boxes have no fixed number.
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        let (x, _) = self.frame.forward(&x)?;
        let maps = self.pyramid.forward(&x)?;
        for (name, map) in Self::LAYERS.iter().zip(&maps) {
            trace.output(name, map)?;
        }
        let Some(smallest) = maps.last() else {
            return Err(Error::bad_input("backbone", "gives nothing"));
        };
        let [objectness, deltas] = self.proposals.logits(smallest)?;
        trace.output("rpn.head.cls_logits", &objectness)?;
        trace.output("rpn.head.bbox_pred", &deltas)?;
        smallest.to_channels_first()
    }

    fn gives(&self) -> OutputKind {
        OutputKind::Boxes
    }

    fn outputs(&self, x: FeatureMap) -> Result<Vec<Result<Output, OutputError>>, Error> {
        let (levels, found, framed) = self.find(&x)?;
        let mut outputs = Vec::with_capacity(found.len());
        for (image, objects) in found.iter().enumerate() {
            let Some(objects) = objects else {
                outputs.push(Err(OutputError::NotFinite));
                continue;
            };
            let own: Vec<_> = objects.iter().map(|&object| (image, object)).collect();
            let boxes = boxes(objects, framed);
            outputs.push(match (&self.more, boxes) {
                (_, Err(error)) => Err(error),
                (More::Nothing, boxes) => boxes,
                (More::Masks(head), Ok(boxes)) => {
                    let (masks, size) = if own.is_empty() {
                        (Vec::new(), [1; 2])
                    } else {
                        head.forward(&levels, &own, &self.device)?
                    };
                    masked(boxes, masks, size)
                }
                (More::Points(head), Ok(boxes)) => {
                    let maps = match own.is_empty() {
                        true => None,
                        false => Some(full(&head.forward(&levels, &own, &self.device)?)?),
                    };
                    let places = points::places(maps.as_ref(), objects, framed)?;
                    points::pointed(boxes, self.points, places)
                }
            });
        }
        let outputs = outputs.into_iter();
        Ok(outputs.map(|boxes| Ok(Output::Boxes(boxes?))).collect())
    }
}

fn boxes(objects: &[Object], framed: Framed) -> Result<Boxes, OutputError> {
    let edges = objects.iter().map(|object| framed.box_back(object.edges));
    Boxes::new(
        edges.collect(),
        objects.iter().map(|object| object.score).collect(),
        objects.iter().map(|object| object.class).collect(),
    )
}

/// Boxes with a mask each, which covers its box.
fn masked(
    boxes: Boxes,
    masks: Vec<Vec<f32>>,
    [height, width]: [usize; 2],
) -> Result<Boxes, OutputError> {
    let sizes = [masks.len(), height, width];
    // Probabilities are what torchvision interpolates when it pastes masks.
    let values = masks.into_iter().flatten().map(sigmoid);
    let map = Map::new(sizes, values.collect())?;
    let masks = Masks::new(map).covering(MaskExtent::Box);
    boxes.with_masks(masks)
}
