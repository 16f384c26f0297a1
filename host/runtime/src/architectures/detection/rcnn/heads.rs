//! What R-CNNs make of regions: classes and boxes, masks, points.

use candle_core::{D, Tensor};
use modelzoo_model::nms;

use super::super::anchors::{all_finite, at_least, clipped, moved};
use super::super::fpn::{CHANNELS, conv, either};
use super::super::frame::Framed;
use super::config::RcnnConfig;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, Conv2d, ConvTranspose2d, Dense, FeatureMap, Linear, Region, Sampling,
    TransposedGeometry, roi_align,
};
use crate::precision::full;
use crate::weights::Scope;

/// Rows and columns of a region for the box head.
const SIDE: usize = 7;
/// Features of the box head.
const HIDDEN: usize = 1024;
/// What the box head's deltas are divided by.
const WEIGHTS: [f32; 4] = [10.0, 10.0, 5.0, 5.0];
/// The least side of an object.
const LEAST: f32 = 1e-2;
/// The side of a region that is looked up in the feature map of the fifth level.
const CANONICAL: f32 = 224.0;

/// A proposal with its scores of all classes and its boxes of all classes.
type Proposal<'a> = (&'a [f32; 4], (&'a Vec<f32>, &'a Vec<f32>));

/// The feature maps that regions are cut from: all but the smallest, each with its pixels per pixel
/// of the image.
pub(super) struct Levels(Vec<(FeatureMap, f32)>);

impl Levels {
    #[allow(
        clippy::cast_precision_loss,
        reason = "sides of images and of feature maps"
    )]
    pub(super) fn new(maps: &[FeatureMap], framed: Framed) -> Result<Self, Error> {
        let (_, used) = maps.split_last().ok_or_else(|| {
            Error::bad_input("regions", "there are no feature maps to cut them from")
        })?;
        let [height, _] = framed.resized;
        let mut levels = Vec::with_capacity(used.len());
        for map in used {
            let rows = map.shape()?.height as f32;
            let scale = (rows / height as f32).log2().round().exp2();
            levels.push((map.clone(), scale));
        }
        Ok(Self(levels))
    }

    /// The regions at a fixed size; each has the image that it is of. There is at least one.
    pub(super) fn cut(
        &self,
        regions: &[(usize, [f32; 4])],
        side: usize,
        device: &Device,
    ) -> Result<FeatureMap, Error> {
        let regions: Vec<_> = regions
            .iter()
            .map(|&(image, edges)| Region {
                image,
                level: self.level(edges),
                edges,
            })
            .collect();
        roi_align(&self.0, &regions, side, device)
    }

    /// The feature map that suits the size of a region.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few levels"
    )]
    fn level(&self, [left, top, right, bottom]: [f32; 4]) -> usize {
        let Some((_, first)) = self.0.first() else {
            return 0;
        };
        let lowest = -first.log2();
        let side = ((right - left) * (bottom - top)).sqrt();
        let level = (4.0 + (side / CANONICAL).log2() + 1e-6).floor();
        let last = self.0.len().saturating_sub(1) as f32;
        (level - lowest).clamp(0.0, last) as usize
    }
}

/// An object of an image, in pixels of the resized image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object {
    pub(super) edges: [f32; 4],
    pub(super) class: u32,
    pub(super) score: f32,
}

/// The classes and boxes of regions.
pub(super) struct BoxHead {
    first: Linear,
    second: Linear,
    scores: Linear,
    deltas: Linear,
    classes: usize,
    threshold: f32,
    overlap: f32,
    most: usize,
}

impl BoxHead {
    pub(super) fn load(
        scope: &Scope<'_>,
        config: &RcnnConfig,
        classes: usize,
        device: &Device,
    ) -> Result<Self, Error> {
        let (head, predictor) = (scope.child("box_head"), scope.child("box_predictor"));
        let linear = |scope: &Scope<'_>, name: &str, sizes, activation| {
            Linear::load(&scope.child(name), sizes, true, None, activation, device)
        };
        let (relu, plain) = (Activation::Relu, Activation::Identity);
        Ok(Self {
            first: by_pixel(&head.child("fc6"), HIDDEN, device)?,
            second: linear(&head, "fc7", [HIDDEN; 2], relu)?,
            scores: linear(&predictor, "cls_score", [HIDDEN, classes], plain)?,
            deltas: linear(&predictor, "bbox_pred", [HIDDEN, 4 * classes], plain)?,
            classes,
            threshold: config.box_score_thresh,
            overlap: config.box_nms_thresh,
            most: config.box_detections_per_img,
        })
    }

    /// The objects of each image among its proposals, the most confident first; [`None`] where what
    /// the network gives is not finite, or gave before.
    pub(super) fn forward(
        &self,
        levels: &Levels,
        proposals: &[Option<Vec<[f32; 4]>>],
        framed: Framed,
        device: &Device,
    ) -> Result<Vec<Option<Vec<Object>>>, Error> {
        let regions: Vec<(usize, [f32; 4])> = proposals
            .iter()
            .enumerate()
            .flat_map(|(image, boxes)| {
                let boxes = boxes.iter().flatten();
                boxes.map(move |&edges| (image, edges))
            })
            .collect();
        if regions.is_empty() {
            let none = |boxes: &Option<_>| boxes.as_ref().map(|_| Vec::new());
            return Ok(proposals.iter().map(none).collect());
        }
        let cut = levels.cut(&regions, SIDE, device)?.to_tokens()?;
        let x = self.first.forward(&cut.flatten_from(1)?)?;
        let x = self.second.forward(&x)?;
        let scores = full(&self.scores.forward(&x)?)?;
        let scores = candle_nn::ops::softmax(&scores, D::Minus1)?.to_vec2::<f32>()?;
        let deltas = full(&self.deltas.forward(&x)?)?.to_vec2::<f32>()?;
        let mut rows = scores.iter().zip(&deltas);
        let choose = |boxes: &Option<Vec<[f32; 4]>>| {
            let own: Vec<_> = boxes.as_ref()?.iter().zip(rows.by_ref()).collect();
            let finite = own
                .iter()
                .all(|(_, (scores, deltas))| all_finite(scores) && all_finite(deltas));
            finite.then(|| self.choose(&own, framed))
        };
        Ok(proposals.iter().map(choose).collect())
    }

    fn choose(&self, proposals: &[Proposal<'_>], framed: Framed) -> Vec<Object> {
        let (mut boxes, mut scores, mut classes) = (Vec::new(), Vec::new(), Vec::new());
        for &(&proposal, (own, deltas)) in proposals {
            let (deltas, _) = deltas.as_chunks::<4>();
            let each = (0..).zip(own.iter().zip(deltas)).take(self.classes);
            // The first class is the background.
            for (class, (&score, &by)) in each.skip(1) {
                if score > self.threshold {
                    let found = clipped(moved(proposal, by, WEIGHTS), framed.resized);
                    if at_least(found, LEAST) {
                        boxes.push(found);
                        scores.push(score);
                        classes.push(class);
                    }
                }
            }
        }
        let (overlap, most) = (self.overlap, self.most);
        let kept = nms::suppress(&boxes, &scores, Some(&classes), overlap, most);
        let object = |index: usize| {
            Some(Object {
                edges: *boxes.get(index)?,
                class: *classes.get(index)?,
                score: *scores.get(index)?,
            })
        };
        kept.into_iter().filter_map(object).collect()
    }
}

/// A linear layer of all pixels of a region, with a ReLU. Its weights have the pixels of a channel
/// one after another; regions have the channels of a pixel.
fn by_pixel(scope: &Scope<'_>, outputs: usize, device: &Device) -> Result<Linear, Error> {
    let inputs = CHANNELS * SIDE * SIDE;
    let weight = scope.get("weight", &[outputs, inputs])?;
    let weight = weight
        .reshape((outputs, CHANNELS, SIDE * SIDE))?
        .transpose(1, 2)?
        .contiguous()?
        .reshape((outputs, inputs))?;
    let dense = Dense::new(&weight, Some(&scope.get("bias", &[outputs])?))?;
    Linear::new(scope.name(), dense, Activation::Relu, device)
}

/// The masks of objects.
pub(super) struct MaskHead {
    convolutions: Vec<Conv2d>,
    larger: ConvTranspose2d,
    logits: Conv2d,
}

impl MaskHead {
    /// Rows and columns of a region.
    const SIDE: usize = 14;
    /// Convolutions before the last layers.
    const LAYERS: usize = 4;

    pub(super) fn load(scope: &Scope<'_>, classes: usize, device: &Device) -> Result<Self, Error> {
        let (head, predictor) = (scope.child("mask_head"), scope.child("mask_predictor"));
        let layer = |index: usize| {
            let before = format!("mask_fcn{}", index + 1);
            let layer = either(&head, &format!("{index}.0"), &before);
            conv(&layer, [CHANNELS, CHANNELS, 3, 1], Activation::Relu, device)
        };
        let geometry = TransposedGeometry {
            in_channels: CHANNELS,
            out_channels: CHANNELS,
            stride: 2,
            padding: 0,
        };
        Ok(Self {
            convolutions: (0..Self::LAYERS).map(layer).collect::<Result<_, _>>()?,
            larger: ConvTranspose2d::load(
                &predictor.child("conv5_mask"),
                geometry,
                true,
                None,
                Activation::Relu,
                device,
            )?,
            logits: conv(
                &predictor.child("mask_fcn_logits"),
                [CHANNELS, classes, 1, 1],
                Activation::Identity,
                device,
            )?,
        })
    }

    /// The logits of each object's mask, of its class, `[objects, height, width]`; and height and
    /// width. There is at least one object.
    pub(super) fn forward(
        &self,
        levels: &Levels,
        objects: &[(usize, Object)],
        device: &Device,
    ) -> Result<(Vec<Vec<f32>>, [usize; 2]), Error> {
        let regions: Vec<_> = objects
            .iter()
            .map(|(image, object)| (*image, object.edges))
            .collect();
        let mut x = levels.cut(&regions, Self::SIDE, device)?;
        for convolution in &self.convolutions {
            x = convolution.forward(&x, None)?;
        }
        let logits = self.logits.forward(&self.larger.forward(&x)?, None)?;
        let shape = logits.shape()?;
        let values = full(&logits.to_channels_first()?)?;
        let mut masks = Vec::with_capacity(objects.len());
        for (index, (_, object)) in objects.iter().enumerate() {
            let mask = values.get(index)?.get(object.class as usize)?;
            masks.push(mask.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok((masks, [shape.height, shape.width]))
    }
}

/// The points of objects.
pub(super) struct PointHead {
    convolutions: Vec<Conv2d>,
    scores: ConvTranspose2d,
}

impl PointHead {
    /// Rows and columns of a region.
    const SIDE: usize = 14;
    /// Channels of each convolution.
    const WIDTH: usize = 512;
    /// Convolutions before the last layer.
    const LAYERS: usize = 8;

    pub(super) fn load(scope: &Scope<'_>, points: usize, device: &Device) -> Result<Self, Error> {
        let head = scope.child("keypoint_head");
        let layer = |index: usize| {
            let inputs = if index == 0 { CHANNELS } else { Self::WIDTH };
            let before = format!("conv_fcn{}", index + 1);
            // A ReLU has a number of its own.
            let layer = either(&head, &(2 * index).to_string(), &before);
            conv(
                &layer,
                [inputs, Self::WIDTH, 3, 1],
                Activation::Relu,
                device,
            )
        };
        let geometry = TransposedGeometry {
            in_channels: Self::WIDTH,
            out_channels: points,
            stride: 2,
            padding: 1,
        };
        Ok(Self {
            convolutions: (0..Self::LAYERS).map(layer).collect::<Result<_, _>>()?,
            scores: ConvTranspose2d::load(
                &scope.child("keypoint_predictor.kps_score_lowres"),
                geometry,
                true,
                None,
                Activation::Identity,
                device,
            )?,
        })
    }

    /// A heat map per point of each object, `[objects, points, height, width]`. There is at least one
    /// object.
    pub(super) fn forward(
        &self,
        levels: &Levels,
        objects: &[(usize, Object)],
        device: &Device,
    ) -> Result<Tensor, Error> {
        let regions: Vec<_> = objects
            .iter()
            .map(|(image, object)| (*image, object.edges))
            .collect();
        let mut x = levels.cut(&regions, Self::SIDE, device)?;
        for convolution in &self.convolutions {
            x = convolution.forward(&x, None)?;
        }
        let x = self.scores.forward(&x)?;
        let shape = x.shape()?;
        let size = [2 * shape.height, 2 * shape.width];
        Ok(full(
            &x.resized(size, Sampling::Bilinear)?.to_channels_first()?,
        )?)
    }
}
