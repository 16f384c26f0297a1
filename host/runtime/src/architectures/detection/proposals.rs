//! The first boxes of queries that begin with the best places of an image.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Tensor};

use super::attention::{BoxHead, linear, norm};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Conv2d, FeatureMap, LayerNorm, Linear};
use crate::precision::full;
use crate::weights::Scope;

/// Pixels that are nearer to the edge than this have no box.
const MARGIN: f64 = 1e-2;
/// The side of the boxes of the largest feature map.
const SIDE: f64 = 0.05;

/// The boxes of all places: `[places, 4]` before a sigmoid, f32, and `[places, 1]`, 1 where a place
/// has a box and 0 where it is too near to the edge.
type Places = (Tensor, Tensor);

/// One box per pixel of each feature map, kept for feature maps of the same sizes.
struct Anchors {
    device: Device,
    last: Mutex<Option<(Vec<[usize; 2]>, Places)>>,
}

impl Anchors {
    fn new(device: &Device) -> Self {
        Self {
            device: device.clone(),
            last: Mutex::new(None),
        }
    }

    /// For feature maps of these rows and columns.
    fn of(&self, levels: &[[usize; 2]]) -> Result<Places, Error> {
        let kept = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, places)) = &*kept
            && of == levels
        {
            return Ok(places.clone());
        }
        drop(kept);
        let places = self.compute(levels)?;
        let mut kept = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some((levels.to_vec(), places.clone()));
        Ok(places)
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "positions of a few thousand pixels, relative to the image"
    )]
    fn compute(&self, levels: &[[usize; 2]]) -> Result<Places, Error> {
        let (mut boxes, mut inside) = (Vec::new(), Vec::new());
        let mut side = SIDE;
        for &[rows, columns] in levels {
            for row in 0..rows {
                for column in 0..columns {
                    let x = (column as f64 + 0.5) / columns as f64;
                    let y = (row as f64 + 0.5) / rows as f64;
                    let place = [x, y, side, side];
                    let valid = place.iter().all(|at| (MARGIN..1.0 - MARGIN).contains(at));
                    let logit = |at: f64| (at / (1.0 - at)).ln() as f32;
                    boxes.extend(place.map(|at| if valid { logit(at) } else { f32::MAX }));
                    inside.push(f32::from(u8::from(valid)));
                }
            }
            side *= 2.0;
        }
        let (count, device) = (inside.len(), self.device.candle());
        let boxes = Tensor::from_vec(boxes, (count, 4), device)?;
        let inside = Tensor::from_vec(inside, (count, 1), &candle_core::Device::Cpu)?;
        Ok((boxes, self.device.place(&inside)?))
    }
}

/// The places of the `count` largest scores, the largest first.
fn chosen(scores: &[f32], count: usize) -> Vec<u32> {
    let mut places: Vec<(u32, f32)> = (0..).zip(scores.iter().copied()).collect();
    places.sort_by(|a, b| b.1.total_cmp(&a.1));
    places.truncate(count);
    places.into_iter().map(|(place, _)| place).collect()
}

/// The inverse of a sigmoid, for values that are kept away from 0 and 1.
pub(super) fn inverse_sigmoid(x: &Tensor) -> Result<Tensor, Error> {
    let least = |x: &Tensor| x.clamp(1e-5f32, 1f32);
    let x = x.to_dtype(DType::F32)?.clamp(0f32, 1f32)?;
    let other = x.affine(-1.0, 1.0)?;
    Ok((least(&x)? / least(&other)?)?.log()?)
}

/// The pixels of the encoder that queries begin with.
pub(super) struct Proposals {
    output: Linear,
    norm: LayerNorm,
    scores: Linear,
    boxes: BoxHead,
    count: usize,
    anchors: Anchors,
}

impl Proposals {
    /// Reads `enc_output`, `enc_score_head` and `enc_bbox_head`; `sizes` are the width, the classes and
    /// the queries.
    pub(super) fn load(
        model: &Scope<'_>,
        [width, classes, count]: [usize; 3],
        device: &Device,
    ) -> Result<Self, Error> {
        let plain = Activation::Identity;
        let boxes = model.child("enc_bbox_head");
        Ok(Self {
            output: linear(model, "enc_output.0", [width; 2], plain, device)?,
            norm: norm(model, "enc_output.1", width, device)?,
            scores: linear(model, "enc_score_head", [width, classes], plain, device)?,
            boxes: BoxHead::load(&boxes, [width, width, 4], 3, device)?,
            count,
            anchors: Anchors::new(device),
        })
    }

    /// The features of the queries, `[batch, queries, width]`, and their first boxes,
    /// `[batch, queries, 4]`, f32.
    pub(super) fn choose(
        &self,
        tokens: &Tensor,
        levels: &[[usize; 2]],
    ) -> Result<(Tensor, Tensor), Error> {
        let (anchors, inside) = self.anchors.of(levels)?;
        let memory = tokens.broadcast_mul(&inside)?;
        let memory = self.norm.forward(&self.output.forward(&memory)?)?;
        let scores = full(&self.scores.forward(&memory)?)?;
        let (batch, count, _) = scores.dims3()?;
        if count < self.count {
            let reason = format!(
                "the image has {count} places for {} queries: it is too small",
                self.count
            );
            return Err(Error::bad_input("queries", reason));
        }
        let best = scores.max(2)?.to_vec2::<f32>()?;
        let (mut features, mut places) = (Vec::with_capacity(batch), Vec::with_capacity(batch));
        for (index, scores) in best.iter().enumerate() {
            let chosen = chosen(scores, self.count);
            let chosen = Tensor::new(chosen.as_slice(), tokens.device())?;
            features.push(memory.get(index)?.index_select(&chosen, 0)?);
            places.push(anchors.index_select(&chosen, 0)?);
        }
        let features = Tensor::stack(&features, 0)?;
        let boxes = (full(&self.boxes.forward(&features)?)? + Tensor::stack(&places, 0)?)?;
        Ok((features, candle_nn::ops::sigmoid(&boxes)?))
    }
}

/// Each feature map through its own layer.
pub(super) fn project(layers: &[Conv2d], maps: &[FeatureMap]) -> Result<Vec<FeatureMap>, Error> {
    let pairs = layers.iter().zip(maps);
    pairs.map(|(layer, map)| layer.forward(map, None)).collect()
}

/// The tokens of all feature maps one after another, and their rows and columns.
pub(super) fn flattened(maps: &[FeatureMap]) -> Result<(Tensor, Vec<[usize; 2]>), Error> {
    let (mut levels, mut tokens) = (Vec::new(), Vec::new());
    for map in maps {
        let shape = map.shape()?;
        levels.push([shape.height, shape.width]);
        tokens.push(map.to_tokens()?);
    }
    Ok((Tensor::cat(&tokens, 1)?, levels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_places_come_first_and_ties_in_order() {
        assert_eq!(chosen(&[0.5, 2.0, 0.5, -1.0, 2.0], 3), [1, 4, 0]);
        assert_eq!(chosen(&[1.0], 4), [0]);
    }

    #[test]
    fn places_at_the_edge_have_no_box() {
        let anchors = Anchors::new(&Device::cpu());
        let (boxes, inside) = anchors.of(&[[1, 80], [1, 2]]).unwrap();
        assert_eq!(boxes.dims(), [82, 4]);
        let inside = inside.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(inside[..2], [0.0, 1.0]);
        assert_eq!(inside[79..], [0.0, 1.0, 1.0]);
        let first = boxes.get(0).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(first, [f32::MAX; 4]);
        let last = boxes.get(81).unwrap().to_vec1::<f32>().unwrap();
        assert!((last[0] - 3f32.ln()).abs() < 1e-6, "{last:?}");
        assert!((last[2] - (0.1f32 / 0.9).ln()).abs() < 1e-6, "{last:?}");
    }
}
