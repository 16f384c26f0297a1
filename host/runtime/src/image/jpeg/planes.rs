//! The samples of all components, and the coefficients of a progressive image.

use modelzoo_kernels::Isa;

use super::header::{Component, Frame};
use super::idct;
use super::scan::Block;
use super::upsample::Plane;

struct Place {
    factors: [usize; 2],
    /// Columns and rows of blocks that the component needs.
    needed: [usize; 2],
    /// Columns and rows of blocks that there are in whole units.
    blocks: [usize; 2],
    quant: [u16; 64],
    plane: Plane,
    /// Of a progressive image.
    coefficients: Vec<Block>,
}

/// All components of an image.
pub(super) struct Planes {
    isa: Isa,
    places: Vec<Place>,
}

/// Bytes that the planes of a frame need.
pub(super) fn bytes(frame: &Frame) -> u64 {
    let [across, down] = frame.units();
    let blocks = |component: &Component| -> u64 {
        let [h, v] = component.factors;
        (across * h) as u64 * (down * v) as u64
    };
    let per_block = if frame.progressive { 64 + 128 } else { 64 };
    frame.components.iter().map(blocks).sum::<u64>() * per_block
}

impl Planes {
    /// Grey planes for a frame.
    pub(super) fn new(frame: &Frame) -> Self {
        let [units_across, units_down] = frame.units();
        let place = |component: &Component| {
            let [width, height] = frame.samples(component);
            let [across, down] = component.factors;
            let blocks = [units_across * across, units_down * down];
            let count = blocks[0] * blocks[1];
            let [most_across, most_down] = frame.most;
            Place {
                factors: component.factors,
                needed: [width.div_ceil(8), height.div_ceil(8)],
                blocks,
                quant: [0; 64],
                plane: Plane {
                    // What no scan has is grey.
                    samples: vec![128; count * 64],
                    stride: blocks[0] * 8,
                    width,
                    height,
                    across: most_across / across,
                    down: most_down / down,
                },
                coefficients: if frame.progressive {
                    vec![[0; 64]; count]
                } else {
                    Vec::new()
                },
            }
        };
        Self {
            isa: Isa::detect(),
            places: frame.components.iter().map(place).collect(),
        }
    }

    /// Takes over the quantisation tables, as far as they are known.
    pub(super) fn set_quantization(&mut self, frame: &Frame) {
        for (place, component) in self.places.iter_mut().zip(&frame.components) {
            place.quant = component.quant.unwrap_or([0; 64]);
        }
    }

    /// How many blocks a component has.
    pub(super) fn count(&self, component: usize) -> u64 {
        let blocks = self
            .places
            .get(component)
            .map_or([0; 2], |place| place.blocks);
        blocks[0] as u64 * blocks[1] as u64
    }

    /// Columns and rows of the blocks that a component needs.
    pub(super) fn blocks(&self, component: usize) -> [usize; 2] {
        self.places
            .get(component)
            .map_or([0; 2], |place| place.needed)
    }

    /// Columns and rows of the blocks that a component has in a unit.
    pub(super) fn factors(&self, component: usize) -> [usize; 2] {
        self.places
            .get(component)
            .map_or([0; 2], |place| place.factors)
    }

    /// The coefficients of a block of a progressive image.
    pub(super) fn coefficients(
        &mut self,
        component: usize,
        [x, y]: [usize; 2],
    ) -> Option<&mut Block> {
        let place = self.places.get_mut(component)?;
        place.coefficients.get_mut(y * place.blocks[0] + x)
    }

    /// Writes the samples of a block.
    pub(super) fn put(&mut self, component: usize, [x, y]: [usize; 2], block: &Block) {
        if let Some(place) = self.places.get_mut(component) {
            let stride = place.plane.stride;
            let start = y * 8 * stride + x * 8;
            let samples = place.plane.samples.get_mut(start..).unwrap_or_default();
            self.isa.run(
                #[inline(always)]
                || idct::transform(block, &place.quant, samples, stride),
            );
        }
    }

    /// The samples, once all scans have been read.
    pub(super) fn finish(mut self) -> Vec<Plane> {
        for index in 0..self.places.len() {
            let coefficients = self.places.get_mut(index).map(|place| {
                (
                    std::mem::take(&mut place.coefficients),
                    place.blocks[0].max(1),
                )
            });
            let (coefficients, across) = coefficients.unwrap_or_default();
            for (at, block) in coefficients.iter().enumerate() {
                self.put(index, [at % across, at / across], block);
            }
        }
        self.places.into_iter().map(|place| place.plane).collect()
    }
}
