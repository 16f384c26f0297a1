use serde::{Deserialize, Serialize};

use super::objects::{self, Objects};
use super::places::transform;
use super::{Decode, DecodeError, Definition, Detection, OptionError, PredictOptions, Skeleton};
use crate::check::{self, PlanError};
use crate::geometry::Transform;
use crate::label::{self, Label, LabelType};
use crate::output::{Output, OutputKind};
use crate::sample::Origin;

/// The most points of an object, and the most lines between them.
const MAX_POINTS: usize = 10_000;

/// Objects in an image, each a group of points with a class: poses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keypoints {
    /// Which boxes are objects.
    pub detection: Detection,
    /// The names of an object's points, in the order of the network's.
    pub points: Vec<String>,
    /// The lines of the skeleton, each the numbers of points that it connects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<Vec<u32>>,
    /// Below this confidence (0 to 1) a point has no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_thresh: Option<f32>,
}

impl Definition for Keypoints {
    fn name(&self) -> &'static str {
        "keypoints"
    }

    fn validate(&self) -> Result<(), PlanError> {
        self.detection
            .validate()
            .map_err(|e| e.within("detection"))?;
        if self.points.is_empty() {
            return Err(PlanError::new("points", "is empty"));
        }
        super::classes::check_names("points", &self.points, "names", MAX_POINTS)?;
        check::count("edges", self.edges.len(), MAX_POINTS, "lines")?;
        let ends: usize = self.edges.iter().map(Vec::len).sum();
        check::count("edges", ends, MAX_POINTS, "numbers of points")?;
        let known = |&point: &u32| (point as usize) < self.points.len();
        if let Some(point) = self.edges.iter().flatten().find(|point| !known(point)) {
            let reason = format!("names the point {point} of {}", self.points.len());
            return Err(PlanError::new("edges", reason));
        }
        match self.point_thresh {
            Some(threshold) => check::confidence("point_thresh", threshold),
            None => Ok(()),
        }
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
        LabelType::Keypoints
    }

    fn skeleton(&self) -> Option<Skeleton<'_>> {
        Some(Skeleton {
            labels: &self.points,
            edges: &self.edges,
        })
    }

    fn decoder<'a>(
        &'a self,
        options: &PredictOptions,
    ) -> Result<Box<dyn Decode + 'a>, OptionError> {
        Ok(Box::new(Pointed {
            objects: Objects::new(&self.detection, options)?,
            points: self.points.len(),
            threshold: self.point_thresh,
        }))
    }
}

/// Gives the points of each object.
struct Pointed<'a> {
    objects: Objects<'a>,
    /// Of each object.
    points: usize,
    threshold: Option<f32>,
}

impl Decode for Pointed<'_> {
    fn decode(&self, output: Output, origin: &Origin) -> Result<Option<Label>, DecodeError> {
        let (boxes, transform) = (objects::boxes(output)?, transform(origin)?);
        let points = boxes.points().ok_or(DecodeError::Part { what: "points" })?;
        let groups: Vec<_> = points.groups().collect();
        let objects = self.objects.choose(&boxes)?;
        let mut keypoints = Vec::with_capacity(objects.len());
        for object in objects {
            let Some(&(places, confidences)) = groups.get(object.index) else {
                continue;
            };
            if places.len() != self.points {
                return Err(DecodeError::PointCount {
                    points: self.points,
                    outputs: places.len(),
                });
            }
            keypoints.push(label::Keypoint {
                label: Some(object.label.to_owned()),
                points: self.places(places, confidences, &transform),
                confidence: Some(confidences.iter().copied().map(f64::from).collect()),
                ..label::Keypoint::default()
            });
        }
        Ok(Some(Label::Keypoints(label::Keypoints {
            keypoints,
            ..label::Keypoints::default()
        })))
    }
}

impl Pointed<'_> {
    /// The points in the original image, moved to its edges where they are beyond; not a number
    /// where the network is not confident enough.
    fn places(&self, places: &[[f32; 2]], confidences: &[f32], by: &Transform) -> Vec<[f64; 2]> {
        let is_seen = |confidence: f32| self.threshold.is_none_or(|least| confidence >= least);
        let each = places.iter().zip(confidences);
        each.map(|(&place, &confidence)| match is_seen(confidence) {
            true => by.point_to_original(place).map(|at| at.clamp(0.0, 1.0)),
            false => [f64::NAN; 2],
        })
        .collect()
    }
}
