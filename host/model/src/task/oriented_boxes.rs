use serde::{Deserialize, Serialize};

use super::objects::{self, Object, Objects};
use super::places::transform;
use super::{Decode, DecodeError, Definition, Detection, OptionError, PredictOptions};
use crate::check::PlanError;
use crate::label::{self, Label, LabelType, Polylines};
use crate::output::{Output, OutputKind};
use crate::sample::Origin;

/// Objects in an image, each a rotated box with a class: a closed polyline of four points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrientedBoxes {
    /// Which boxes are objects. Rotated ones are compared as normal distributions.
    pub detection: Detection,
}

impl Definition for OrientedBoxes {
    fn name(&self) -> &'static str {
        "oriented_boxes"
    }

    fn validate(&self) -> Result<(), PlanError> {
        self.detection.validate().map_err(|e| e.within("detection"))
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
        LabelType::Polylines
    }

    fn decoder<'a>(
        &'a self,
        options: &PredictOptions,
    ) -> Result<Box<dyn Decode + 'a>, OptionError> {
        Ok(Box::new(Rotated {
            objects: Objects::new(&self.detection, options)?,
        }))
    }
}

/// Gives the corners of each object.
struct Rotated<'a> {
    objects: Objects<'a>,
}

impl Decode for Rotated<'_> {
    fn decode(&self, output: Output, origin: &Origin) -> Result<Option<Label>, DecodeError> {
        let (boxes, transform) = (objects::boxes(output)?, transform(origin)?);
        if boxes.angles().is_none() {
            return Err(DecodeError::Part { what: "angles" });
        }
        let polylines = self
            .objects
            .choose(&boxes)?
            .into_iter()
            .filter_map(|object| {
                let points = corners(&object).map(|corner| transform.point_to_original(corner));
                is_seen(&points).then(|| label::Polyline {
                    label: Some(object.label.to_owned()),
                    points: vec![points.to_vec()],
                    confidence: Some(f64::from(object.confidence)),
                    closed: true,
                    ..label::Polyline::default()
                })
            });
        Ok(Some(Label::Polylines(Polylines {
            polylines: polylines.collect(),
            ..Polylines::default()
        })))
    }
}

/// The corners, one after the other.
fn corners(object: &Object<'_>) -> [[f32; 2]; 4] {
    let [left, top, right, bottom] = object.edges;
    let (sin, cos) = object.angle.sin_cos();
    let (x, y) = (left.midpoint(right), top.midpoint(bottom));
    let (along, across) = ((right - left) / 2.0, (bottom - top) / 2.0);
    [(1.0, 1.0), (1.0, -1.0), (-1.0, -1.0), (-1.0, 1.0)].map(|(one, other)| {
        let (along, across) = (along * one, across * other);
        [
            x + along * cos - across * sin,
            y + along * sin + across * cos,
        ]
    })
}

/// Whether anything of the points' bounding box is in the image.
fn is_seen(points: &[[f64; 2]]) -> bool {
    let any = |axis: usize, is: fn(f64) -> bool| {
        points
            .iter()
            .any(|point| point.get(axis).copied().is_some_and(is))
    };
    (0..2).all(|axis| any(axis, |at| at > 0.0) && any(axis, |at| at < 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Size, Transform};
    use crate::output::Boxes;

    #[test]
    fn corners_are_rotated_clockwise() {
        let task = OrientedBoxes {
            detection: Detection {
                classes: vec!["ship".to_owned()],
                ..Detection::default()
            },
        };
        let size = Size {
            height: 10,
            width: 20,
        };
        let origin = Origin {
            transform: Some(Transform::identity(size)),
            ..Origin::default()
        };
        let boxes = |count| {
            let edges = vec![[2.0, 4.0, 10.0, 6.0], [100.0, 4.0, 110.0, 6.0]];
            let edges: Vec<_> = edges.into_iter().take(count).collect();
            Boxes::new(edges, vec![0.5; count], vec![0; count]).unwrap()
        };
        let decoder = task.decoder(&PredictOptions::default()).unwrap();
        let quarter = std::f32::consts::FRAC_PI_2;
        let rotated = boxes(2).with_angles(vec![quarter; 2]).unwrap();
        let label = decoder.decode(Output::Boxes(rotated), &origin).unwrap();
        let Some(Label::Polylines(label)) = label else {
            panic!("no polylines")
        };
        // The second one is beyond the image.
        let [line] = &label.polylines[..] else {
            panic!("one polyline")
        };
        assert!(line.closed && !line.filled);
        // Its middle is (6, 5); it is 2 wide and 8 high now.
        let want = [[5.0, 9.0], [7.0, 9.0], [7.0, 1.0], [5.0, 1.0]];
        for (got, want) in line.points.iter().flatten().zip(want) {
            let got = [got[0] * 20.0, got[1] * 10.0];
            assert!((got[0] - want[0]).abs() < 1e-5, "{got:?}");
            assert!((got[1] - want[1]).abs() < 1e-5, "{got:?}");
        }
        let error = decoder.decode(Output::Boxes(boxes(1)), &origin);
        assert_eq!(error, Err(DecodeError::Part { what: "angles" }));
    }
}
