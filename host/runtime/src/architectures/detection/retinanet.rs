//! RetinaNet (Lin et al., "Focal Loss for Dense Object Detection", 2017), as torchvision builds it over
//! a ResNet with a feature pyramid.

use candle_core::Tensor;
use modelzoo_model::nms;
use modelzoo_model::output::{Boxes, Output, OutputError, OutputKind};
use modelzoo_model::plan::Size;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::anchors::{AnchorGrid, all_finite, around, clipped, largest, moved, sigmoid};
use super::fpn::{CHANNELS, Extra, Pyramid, conv, either};
use super::frame::{Frame, FrameConfig, Framed};
use crate::architectures::convnets::ResNetLayers;
use crate::architectures::convnets::loader::LayerLoader;
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::network::{ArchitectureConfig, ImageTower, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Conv2d, FeatureMap};
use crate::precision::full;
use crate::trace::Trace;
use crate::weights::Scope;

/// The configuration of `retinanet`.
///
/// | field | | default |
/// |---|---|---|
/// | `depth` | of the ResNet: 18, 34, 50, 101 or 152 | 50 |
/// | `num_classes` | classes; the first, 0, is the background | 91 |
/// | `norm_eps` | the epsilon of the batch norms: 0 for torchvision's first weights | 1e-5 |
/// | `frame` | [`FrameConfig`]: the sizes that images are brought to, their mean and deviation | |
/// | `score_thresh`, `nms_thresh`, `detections_per_img`, `topk_candidates` | the choice of objects | 0.05, 0.5, 300, 1000 |
///
/// The weights have torchvision's names, those of older checkpoints included. Images of values 0 to 1
/// go in, of any size: the network normalises and resizes them. Overlapping boxes of a class are
/// suppressed by the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetinaNetConfig {
    /// Of the ResNet.
    pub depth: u32,
    /// Classes, the background included.
    pub num_classes: usize,
    /// The epsilon of the batch norms.
    pub norm_eps: f64,
    /// What is done to images.
    pub frame: FrameConfig,
    /// Objects have a higher score.
    pub score_thresh: f32,
    /// Objects of a class that overlap more are one.
    pub nms_thresh: f32,
    /// The most objects of an image.
    pub detections_per_img: usize,
    /// The most candidates of a feature map.
    pub topk_candidates: usize,
}

impl Default for RetinaNetConfig {
    fn default() -> Self {
        Self {
            depth: 50,
            num_classes: 91,
            norm_eps: 1e-5,
            frame: FrameConfig::default(),
            score_thresh: 0.05,
            nms_thresh: 0.5,
            detections_per_img: 300,
            topk_candidates: 1000,
        }
    }
}

/// The side of the smallest anchors of the largest feature map; each next one's is twice as long.
const SIDE: f32 = 32.0;
/// Anchors of each ratio: three sizes from one side to less than twice as much.
const SIZES: usize = 3;
/// Heights of anchors, as multiples of their widths.
const RATIOS: [f32; 3] = [0.5, 1.0, 2.0];
/// Convolutions before the last layer of a head.
const LAYERS: usize = 4;

/// A checked configuration.
pub(crate) struct RetinaNet {
    config: RetinaNetConfig,
    layers: ResNetLayers,
}

impl ArchitectureConfig for RetinaNet {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let config: RetinaNetConfig = checker.read(config)?;
        checker.check_size("num_classes", config.num_classes)?;
        checker.check_eps("norm_eps", config.norm_eps)?;
        config.frame.check(&checker.child("frame"))?;
        for (field, most) in [
            ("detections_per_img", config.detections_per_img),
            ("topk_candidates", config.topk_candidates),
        ] {
            checker.check_range(field, most, 1..=10_000)?;
        }
        checker.check_range("score_thresh", config.score_thresh, 0.0..=1.0)?;
        checker.check_range("nms_thresh", config.nms_thresh, 0.0..=1.0)?;
        let layers = ResNetLayers::of_depth(config.depth);
        let layers =
            layers.ok_or_else(|| checker.error("depth", "must be 18, 34, 50, 101 or 152"))?;
        Ok(Self { config, layers })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(3)
    }

    fn outputs(&self, _: usize, _: Option<Size>) -> Result<Option<usize>, Error> {
        Ok(Some(self.config.num_classes))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let mut loader = LayerLoader::new(weights, device).child("backbone");
        loader.eps = self.config.norm_eps;
        let count = SIZES * RATIOS.len();
        let head = weights.child("head");
        let classes = self.config.num_classes;
        let network = RetinaNetTower {
            frame: Frame::new(self.config.frame, device)?,
            pyramid: Pyramid::load(&loader, &self.layers, 1, Extra::Convolutions)?,
            scores: Head::load(
                &head.child("classification_head"),
                "cls_logits",
                count * classes,
                device,
            )?,
            deltas: Head::load(
                &head.child("regression_head"),
                "bbox_reg",
                count * 4,
                device,
            )?,
            config: self.config,
        };
        Ok(Network::of_images(network, Vec::new(), None))
    }
}

/// Convolutions that all feature maps share.
struct Head {
    convolutions: Vec<Conv2d>,
    last: Conv2d,
}

impl Head {
    fn load(scope: &Scope<'_>, last: &str, outputs: usize, device: &Device) -> Result<Self, Error> {
        let layer = |index: usize| {
            // In older checkpoints a ReLU has a number of its own.
            let before = format!("conv.{}", 2 * index);
            let layer = either(scope, &format!("conv.{index}.0"), &before);
            conv(&layer, [CHANNELS, CHANNELS, 3, 1], Activation::Relu, device)
        };
        Ok(Self {
            convolutions: (0..LAYERS).map(layer).collect::<Result<_, _>>()?,
            last: conv(
                &scope.child(last),
                [CHANNELS, outputs, 3, 1],
                Activation::Identity,
                device,
            )?,
        })
    }

    /// The outputs for each anchor: `[batch, anchors, outputs]`, f32.
    fn forward(&self, map: &FeatureMap, each: usize) -> Result<Tensor, Error> {
        let mut x = map.clone();
        for convolution in &self.convolutions {
            x = convolution.forward(&x, None)?;
        }
        let tokens = full(&self.last.forward(&x, None)?.to_tokens()?)?;
        let (batch, places, width) = tokens.dims3()?;
        Ok(tokens.reshape((batch, places * (width / each.max(1)), each))?)
    }
}

/// A built RetinaNet.
struct RetinaNetTower {
    frame: Frame,
    pyramid: Pyramid,
    scores: Head,
    deltas: Head,
    config: RetinaNetConfig,
}

/// What the heads say of a feature map: scores and deltas of each anchor.
struct Scored {
    scores: Tensor,
    deltas: Tensor,
    size: [usize; 2],
}

/// The sides of a feature map's anchors: thirds of a doubling, rounded down.
fn sides(side: f32) -> [f32; SIZES] {
    [0.0, 1.0 / 3.0, 2.0 / 3.0].map(|power: f64| {
        #[allow(clippy::cast_possible_truncation, reason = "a whole number of pixels")]
        let side = (f64::from(side) * power.exp2()).floor() as f32;
        side
    })
}

impl RetinaNetTower {
    fn score(&self, x: &FeatureMap) -> Result<Vec<Scored>, Error> {
        let classes = self.config.num_classes;
        let maps = self.pyramid.forward(x)?;
        maps.iter()
            .map(|map| {
                let shape = map.shape()?;
                Ok(Scored {
                    scores: self.scores.forward(map, classes)?,
                    deltas: self.deltas.forward(map, 4)?,
                    size: [shape.height, shape.width],
                })
            })
            .collect()
    }

    fn choose(
        &self,
        scored: &[Scored],
        image: usize,
        framed: Framed,
    ) -> Result<Result<Boxes, OutputError>, Error> {
        let RetinaNetConfig {
            num_classes,
            score_thresh,
            nms_thresh,
            detections_per_img,
            topk_candidates,
            ..
        } = self.config;
        let (mut boxes, mut scores, mut classes) = (Vec::new(), Vec::new(), Vec::new());
        let mut side = SIDE;
        for map in scored {
            let anchors = around(&sides(side), &RATIOS);
            side *= 2.0;
            let values = map.scores.get(image)?.flatten_all()?.to_vec1::<f32>()?;
            let deltas = map.deltas.get(image)?.flatten_all()?.to_vec1::<f32>()?;
            if !all_finite(&values) || !all_finite(&deltas) {
                return Ok(Err(OutputError::NotFinite));
            }
            let (deltas, _) = deltas.as_chunks::<4>();
            let [rows, columns] = map.size;
            let [height, width] = framed.padded;
            let grid = AnchorGrid {
                around: &anchors,
                columns,
                stride: [height / rows.max(1), width / columns.max(1)],
            };
            let values = values.into_iter().map(sigmoid);
            for (index, score) in largest(values, score_thresh, topk_candidates) {
                let (at, class) = (index / num_classes, index % num_classes);
                let (Some(anchor), Some(&by)) = (grid.get(at), deltas.get(at)) else {
                    continue;
                };
                boxes.push(clipped(moved(anchor, by, [1.0; 4]), framed.resized));
                scores.push(score);
                classes.push(u32::try_from(class).unwrap_or(u32::MAX));
            }
        }
        let most = detections_per_img;
        let kept = nms::suppress(&boxes, &scores, Some(&classes), nms_thresh, most);
        let (mut edges, mut confidences, mut chosen) = (Vec::new(), Vec::new(), Vec::new());
        for index in kept {
            if let (Some(&found), Some(&score), Some(&class)) =
                (boxes.get(index), scores.get(index), classes.get(index))
            {
                edges.push(framed.box_back(found));
                confidences.push(score);
                chosen.push(class);
            }
        }
        Ok(Boxes::new(edges, confidences, chosen))
    }
}

impl ImageTower for RetinaNetTower {
    /// `[batch, anchors, classes + 4]`: the scores and the deltas of each anchor.
    fn forward(&self, x: FeatureMap, _: &mut Trace<'_>) -> Result<Tensor, Error> {
        let (x, _) = self.frame.forward(&x)?;
        let scored = self.score(&x)?;
        let rows = scored
            .iter()
            .map(|map| Tensor::cat(&[&map.scores, &map.deltas], 2));
        Ok(Tensor::cat(
            &rows.collect::<candle_core::Result<Vec<_>>>()?,
            1,
        )?)
    }

    fn gives(&self) -> OutputKind {
        OutputKind::Boxes
    }

    fn outputs(&self, x: FeatureMap) -> Result<Vec<Result<Output, OutputError>>, Error> {
        let batch = x.shape()?.batch;
        let (x, framed) = self.frame.forward(&x)?;
        let scored = self.score(&x)?;
        (0..batch)
            .map(|image| Ok(self.choose(&scored, image, framed)?.map(Output::Boxes)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::sides;

    #[test]
    fn sides_match_torchvision() {
        assert_eq!(sides(32.0), [32.0, 40.0, 50.0]);
        assert_eq!(sides(128.0), [128.0, 161.0, 203.0]);
        assert_eq!(sides(512.0), [512.0, 645.0, 812.0]);
    }
}
