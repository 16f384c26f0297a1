use serde::{Deserialize, Serialize};

use super::objects::{self, Object, Objects};
use super::places::{Region, Sampler, sides, transform};
use super::{Decode, DecodeError, Definition, Detection, OptionError, PredictOptions};
use crate::check::PlanError;
use crate::geometry::{Size, Transform};
use crate::label::{self, Array, Detections, Label, LabelType};
use crate::output::{MaskExtent, Masks, Output, OutputKind};
use crate::sample::Origin;

/// The most pixels of all masks of an image, a byte each.
const MAX_PIXELS: u64 = 1 << 28;

/// Objects in an image, each a box with a class and a mask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSegmentation {
    /// Which boxes are objects.
    pub detection: Detection,
    /// Above this probability (0 to 1) a pixel belongs to the object.
    #[serde(default = "half")]
    pub mask_thresh: f32,
}

fn half() -> f32 {
    0.5
}

impl Definition for InstanceSegmentation {
    fn name(&self) -> &'static str {
        "instance_segmentation"
    }

    fn validate(&self) -> Result<(), PlanError> {
        self.detection
            .validate()
            .map_err(|e| e.within("detection"))?;
        if self.mask_thresh > 0.0 && self.mask_thresh < 1.0 {
            return Ok(());
        }
        let reason = format!("must be between 0 and 1, and is {}", self.mask_thresh);
        Err(PlanError::new("mask_thresh", reason))
    }

    fn classes(&self) -> &[String] {
        &self.detection.classes
    }

    fn classes_mut(&mut self) -> Option<&mut Vec<String>> {
        Some(&mut self.detection.classes)
    }

    fn output(&self) -> OutputKind {
        OutputKind::Boxes
    }

    fn label_type(&self) -> LabelType {
        LabelType::Detections
    }

    fn decoder<'a>(
        &'a self,
        options: &PredictOptions,
    ) -> Result<Box<dyn Decode + 'a>, OptionError> {
        Ok(Box::new(Masked {
            objects: Objects::new(&self.detection, options)?,
            threshold: self.mask_thresh,
        }))
    }
}

/// Gives the box and the mask of each object.
struct Masked<'a> {
    objects: Objects<'a>,
    threshold: f32,
}

impl Decode for Masked<'_> {
    fn decode(&self, output: Output, origin: &Origin) -> Result<Option<Label>, DecodeError> {
        let (boxes, transform) = (objects::boxes(output)?, transform(origin)?);
        let masks = boxes.masks().ok_or(DecodeError::Part { what: "masks" })?;
        let objects = self.objects.choose(&boxes)?;
        check_pixels(&objects, &transform)?;
        let detections = objects.into_iter().filter_map(|object| {
            let bounding_box = transform.box_to_original(object.edges)?;
            Some(label::Detection {
                label: Some(object.label.to_owned()),
                bounding_box: Some(bounding_box),
                mask: self.mask(masks, &object, bounding_box, &transform),
                confidence: Some(f64::from(object.confidence)),
                ..label::Detection::default()
            })
        });
        Ok(Some(Label::Detections(Detections {
            detections: detections.collect(),
            ..Detections::default()
        })))
    }
}

/// Refuses masks that together have more pixels than are worth their memory.
fn check_pixels(objects: &[Object<'_>], transform: &Transform) -> Result<(), DecodeError> {
    let area = |object: &Object<'_>| {
        let bounding_box = transform.box_to_original(object.edges)?;
        Some(
            Region::of_box(bounding_box, transform.original())
                .size
                .area(),
        )
    };
    let pixels: u64 = objects.iter().filter_map(area).sum();
    if pixels > MAX_PIXELS {
        let limit = MAX_PIXELS;
        return Err(DecodeError::MaskPixels { pixels, limit });
    }
    Ok(())
}

impl Masked<'_> {
    /// The pixels of the original image that are in the object's box, and whether each belongs to
    /// the object.
    fn mask(
        &self,
        masks: &Masks,
        object: &Object<'_>,
        bounding_box: [f64; 4],
        transform: &Transform,
    ) -> Option<Array> {
        let region = Region::of_box(bounding_box, transform.original());
        let mut values = masks.mask(object.index)?;
        let mut shape = sides(masks.map());
        let sampler = match masks.extent() {
            MaskExtent::Input => Sampler::new(transform, region, shape),
            MaskExtent::Box => {
                let place = Pasted::new(object.edges, transform, shape)?;
                values = framed(&values, shape);
                shape = shape.map(|side| side + 2);
                Sampler::new(&place.transform(transform.original())?, region, shape)
            }
        };
        let Size { height, width } = region.size;
        let (height, width) = (height as usize, width as usize);
        let threshold = masks.values().of(self.threshold);
        let mut belongs = Vec::with_capacity(height * width);
        let mut line = vec![0.0; width];
        for row in sampler.rows() {
            row.sample(&values, f32::NEG_INFINITY, &mut line);
            belongs.extend(line.iter().map(|&value| value > threshold));
        }
        Array::from_bool(vec![height, width], &belongs)
    }
}

/// A mask with a border of zeros, one place wide.
fn framed(values: &[f32], [height, width]: [usize; 2]) -> Vec<f32> {
    let row = width + 2;
    let mut framed = vec![0.0; row * (height + 2)];
    let lines = framed.chunks_exact_mut(row.max(1)).skip(1);
    for (line, values) in lines.zip(values.chunks_exact(width.max(1))) {
        for (place, value) in line.iter_mut().skip(1).zip(values) {
            *place = *value;
        }
    }
    framed
}

/// Where the mask of a box lies in the original image, with its border: whole pixels, as
/// torchvision's `paste_masks_in_image` has it.
struct Pasted {
    left: i64,
    top: i64,
    size: Size,
}

impl Pasted {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "positions are those of pixels, and saturate"
    )]
    fn new(
        [left, top, right, bottom]: [f32; 4],
        by: &Transform,
        shape: [usize; 2],
    ) -> Option<Self> {
        let original = by.original();
        let pixels = |point: [f32; 2]| {
            let [x, y] = by.point_to_original(point);
            // Boxes end at the edges of the image.
            [
                x.clamp(0.0, 1.0) * f64::from(original.width),
                y.clamp(0.0, 1.0) * f64::from(original.height),
            ]
        };
        let ([left, top], [right, bottom]) = (pixels([left, top]), pixels([right, bottom]));
        let span = |start: f64, end: f64, places: usize| {
            let more = (places as f64 + 2.0) / (places.max(1) as f64);
            let (middle, half) = (start.midpoint(end), (end - start) / 2.0 * more);
            let (first, last) = ((middle - half) as i64, (middle + half) as i64);
            let length = u32::try_from(last - first + 1).ok()?;
            Some((first, length.max(1)))
        };
        let [rows, columns] = shape;
        let (left, width) = span(left, right, columns)?;
        let (top, height) = span(top, bottom, rows)?;
        Some(Self {
            left,
            top,
            size: Size { height, width },
        })
    }

    /// From the original image to the part that the mask covers.
    fn transform(&self, original: Size) -> Option<Transform> {
        (original.area() > 0)
            .then(|| Transform::identity(original).cut(self.left, self.top, self.size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Boxes, Map};

    fn task() -> InstanceSegmentation {
        InstanceSegmentation {
            detection: Detection {
                classes: vec!["cat".to_owned()],
                ..Detection::default()
            },
            mask_thresh: 0.5,
        }
    }

    fn boxes(edges: [f32; 4]) -> Boxes {
        Boxes::new(vec![edges], vec![0.9], vec![0]).unwrap()
    }

    /// The shape of the one mask, and which of its pixels belong to the object.
    fn decode(boxes: Boxes, transform: Transform) -> (Vec<usize>, Vec<u8>) {
        let (task, options) = (task(), PredictOptions::default());
        let origin = Origin {
            transform: Some(transform),
            ..Origin::default()
        };
        let decoder = task.decoder(&options).unwrap();
        let label = decoder.decode(Output::Boxes(boxes), &origin).unwrap();
        let Some(Label::Detections(mut label)) = label else {
            panic!("no detections")
        };
        let mask = label.detections.pop().unwrap().mask.unwrap();
        (mask.shape().to_vec(), mask.bytes().to_vec())
    }

    const SIZE: Size = Size {
        height: 4,
        width: 4,
    };

    #[test]
    fn mask_is_cut_to_its_box() {
        let values = (0..16).map(|at| if at % 4 < 2 { 1.0 } else { 0.0 });
        let masks = Masks::new(Map::new([1, 4, 4], values.collect()).unwrap());
        // Beyond the image on the left, which an index from the end would take as its end.
        let boxes = boxes([-2.0, 1.0, 3.0, 3.0]).with_masks(masks).unwrap();
        let (shape, pixels) = decode(boxes, Transform::identity(SIZE));
        assert_eq!(shape, [2, 3]);
        assert_eq!(pixels, [1, 1, 0, 1, 1, 0]);
    }

    #[test]
    fn logits_and_prototypes_have_their_middle_at_zero() {
        let prototypes = Map::new([1, 1, 2], vec![-0.25, 0.25]).unwrap();
        let masks = Masks::from_prototypes(prototypes, vec![-1.0]).unwrap();
        let boxes = boxes([0.0, 0.0, 4.0, 4.0]).with_masks(masks).unwrap();
        let (_, pixels) = decode(boxes, Transform::identity(SIZE));
        assert_eq!(pixels, [[1, 1, 0, 0]; 4].concat());
    }

    #[test]
    fn mask_of_a_box_is_stretched_over_it() {
        let masks = Masks::new(Map::new([1, 2, 2], vec![1.0, 0.0, 1.0, 0.0]).unwrap());
        let masks = masks.covering(MaskExtent::Box);
        let large = Size {
            height: 40,
            width: 40,
        };
        let boxes = boxes([10.0, 10.0, 30.0, 30.0]).with_masks(masks).unwrap();
        let (shape, pixels) = decode(boxes, Transform::identity(large));
        assert_eq!(shape, [20, 20]);
        let row: Vec<u8> = pixels.iter().skip(200).take(20).copied().collect();
        assert_eq!(row.iter().filter(|&&belongs| belongs == 1).count(), 10);
        assert_eq!(row.get(..10), Some([1; 10].as_slice()));
    }

    #[test]
    fn masks_of_too_many_pixels_are_an_error() {
        let large = Size {
            height: 10_000,
            width: 10_000,
        };
        let count = 3;
        let masks = Masks::new(Map::new([count, 1, 1], vec![1.0; count]).unwrap());
        let edges = vec![[0.0, 0.0, 1e4, 1e4]; count];
        let boxes = Boxes::new(edges, vec![0.9; count], vec![0; count]).unwrap();
        let (task, options) = (task(), PredictOptions::default());
        let decoder = task.decoder(&options).unwrap();
        let origin = Origin {
            transform: Some(Transform::identity(large)),
            ..Origin::default()
        };
        let output = Output::Boxes(boxes.with_masks(masks).unwrap());
        let (pixels, limit) = (300_000_000, MAX_PIXELS);
        let error = DecodeError::MaskPixels { pixels, limit };
        assert_eq!(decoder.decode(output, &origin), Err(error));
    }

    #[test]
    fn boxes_without_masks_are_an_error() {
        let (task, options) = (task(), PredictOptions::default());
        let decoder = task.decoder(&options).unwrap();
        let origin = Origin {
            transform: Some(Transform::identity(SIZE)),
            ..Origin::default()
        };
        let error = decoder.decode(Output::Boxes(boxes([0.0, 0.0, 1.0, 1.0])), &origin);
        assert_eq!(error, Err(DecodeError::Part { what: "masks" }));
    }
}
