//! The region proposal network: boxes that may have an object.

use candle_core::Tensor;
use modelzoo_model::nms;

use super::super::anchors::{
    AnchorGrid, all_finite, around, at_least, clipped, largest, moved, sigmoid,
};
use super::super::fpn::{CHANNELS, conv, either};
use super::super::frame::Framed;
use super::config::RcnnConfig;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Conv2d, FeatureMap};
use crate::precision::full;
use crate::weights::Scope;

/// The side of the anchors of the largest feature map; each next one's is twice as long.
const SIDE: f32 = 32.0;
/// Heights of anchors, as multiples of their widths.
const RATIOS: [f32; 3] = [0.5, 1.0, 2.0];
/// The least side of a proposal.
const LEAST: f32 = 1e-3;

/// A built region proposal network.
pub(super) struct ProposalNetwork {
    hidden: Conv2d,
    objectness: Conv2d,
    deltas: Conv2d,
    per_map: usize,
    per_image: usize,
    overlap: f32,
    threshold: f32,
}

/// What it says of each anchor of a feature map: `[batch, anchors]` and `[batch, anchors * 4]`, f32.
struct Scored {
    objectness: Vec<Vec<f32>>,
    deltas: Vec<Vec<f32>>,
    size: [usize; 2],
}

impl ProposalNetwork {
    pub(super) fn load(
        scope: &Scope<'_>,
        config: &RcnnConfig,
        device: &Device,
    ) -> Result<Self, Error> {
        let head = scope.child("head");
        let hidden = either(&head, "conv.0.0", "conv");
        let count = RATIOS.len();
        let layer = |name: &str, outputs| {
            let sizes = [CHANNELS, outputs, 1, 1];
            conv(&head.child(name), sizes, Activation::Identity, device)
        };
        Ok(Self {
            hidden: conv(
                &hidden,
                [CHANNELS, CHANNELS, 3, 1],
                Activation::Relu,
                device,
            )?,
            objectness: layer("cls_logits", count)?,
            deltas: layer("bbox_pred", 4 * count)?,
            per_map: config.rpn_pre_nms_top_n,
            per_image: config.rpn_post_nms_top_n,
            overlap: config.rpn_nms_thresh,
            threshold: config.rpn_score_thresh,
        })
    }

    /// The proposals `[left, top, right, bottom]` of each image, in pixels of the resized image, the
    /// most confident first; [`None`] where what the network gives is not finite.
    pub(super) fn forward(
        &self,
        maps: &[FeatureMap],
        framed: Framed,
    ) -> Result<Vec<Option<Vec<[f32; 4]>>>, Error> {
        let batch = maps
            .first()
            .map_or(Ok(0), |map| Ok::<_, Error>(map.shape()?.batch))?;
        let mut scored = Vec::with_capacity(maps.len());
        for map in maps {
            scored.push(self.score(map)?);
        }
        Ok((0..batch)
            .map(|image| self.choose(&scored, image, framed))
            .collect())
    }

    /// The scores of a feature map, before a sigmoid, and its deltas: for comparing.
    pub(super) fn logits(&self, map: &FeatureMap) -> Result<[FeatureMap; 2], Error> {
        let hidden = self.hidden.forward(map, None)?;
        Ok([
            self.objectness.forward(&hidden, None)?,
            self.deltas.forward(&hidden, None)?,
        ])
    }

    fn score(&self, map: &FeatureMap) -> Result<Scored, Error> {
        let shape = map.shape()?;
        let [objectness, deltas] = self.logits(map)?;
        let rows = |map: &FeatureMap| -> Result<Vec<Vec<f32>>, Error> {
            let tokens: Tensor = full(&map.to_tokens()?)?;
            Ok(tokens.flatten_from(1)?.to_vec2::<f32>()?)
        };
        Ok(Scored {
            objectness: rows(&objectness)?,
            deltas: rows(&deltas)?,
            size: [shape.height, shape.width],
        })
    }

    fn choose(&self, scored: &[Scored], image: usize, framed: Framed) -> Option<Vec<[f32; 4]>> {
        let (mut boxes, mut scores, mut levels) = (Vec::new(), Vec::new(), Vec::new());
        let mut side = SIDE;
        for (level, map) in (0..).zip(scored) {
            let anchors = around(&[side], &RATIOS);
            side *= 2.0;
            let (Some(objectness), Some(deltas)) =
                (map.objectness.get(image), map.deltas.get(image))
            else {
                continue;
            };
            if !all_finite(objectness) || !all_finite(deltas) {
                return None;
            }
            let (deltas, _) = deltas.as_chunks::<4>();
            let [rows, columns] = map.size;
            let [height, width] = framed.padded;
            let grid = AnchorGrid {
                around: &anchors,
                columns,
                stride: [height / rows.max(1), width / columns.max(1)],
            };
            let best = largest(objectness.iter().copied(), f32::NEG_INFINITY, self.per_map);
            for (index, score) in best {
                let (Some(anchor), Some(&by)) = (grid.get(index), deltas.get(index)) else {
                    continue;
                };
                let found = clipped(moved(anchor, by, [1.0; 4]), framed.resized);
                let score = sigmoid(score);
                if at_least(found, LEAST) && score >= self.threshold {
                    boxes.push(found);
                    scores.push(score);
                    levels.push(level);
                }
            }
        }
        let (overlap, most) = (self.overlap, self.per_image);
        let kept = nms::suppress(&boxes, &scores, Some(&levels), overlap, most);
        let kept = kept.into_iter();
        Some(kept.filter_map(|index| boxes.get(index).copied()).collect())
    }
}
