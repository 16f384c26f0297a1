use serde::{Deserialize, Serialize};

use super::classes;
use super::objects::{MAX_OBJECTS, Nms, Objects};
use super::places::transform;
use super::{Decode, DecodeError, Definition, OptionError, PredictOptions};
use crate::check::{self, PlanError};
use crate::label::{self, Detections, Label, LabelType};
use crate::output::{Output, OutputKind};
use crate::sample::Origin;

/// Objects in an image, each a box with a class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detection {
    /// The names of the network's classes, in their order; empty for those that the weight files
    /// name.
    pub classes: Vec<String>,
    /// Below this confidence (0 to 1) a box is no object. The user's own threshold wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence_thresh: Option<f32>,
    /// The classes that are given as labels; empty for all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter_classes: Vec<String>,
    /// Which of the boxes that overlap remain; without it all of them, for a network that gives one
    /// box per object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nms: Option<Nms>,
    /// The most objects of an image, the most confident ones; without it 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_objects: Option<u32>,
}

impl Definition for Detection {
    fn name(&self) -> &'static str {
        "detection"
    }

    fn validate(&self) -> Result<(), PlanError> {
        classes::check_or_none(&self.classes)?;
        classes::check_choice(&self.classes, self.confidence_thresh, &self.filter_classes)?;
        if let Some(nms) = &self.nms {
            check::confidence("iou_thresh", nms.iou_thresh).map_err(|e| e.within("nms"))?;
        }
        match self.max_objects {
            Some(most) if !(1..=MAX_OBJECTS).contains(&most) => {
                let reason = format!("must be 1 to {MAX_OBJECTS}, and is {most}");
                Err(PlanError::new("max_objects", reason))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn classes_mut(&mut self) -> Option<&mut Vec<String>> {
        Some(&mut self.classes)
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
        Ok(Box::new(Boxed {
            objects: Objects::new(self, options)?,
        }))
    }
}

/// Gives the box of each object.
struct Boxed<'a> {
    objects: Objects<'a>,
}

impl Decode for Boxed<'_> {
    fn decode(&self, output: Output, origin: &Origin) -> Result<Option<Label>, DecodeError> {
        let (boxes, transform) = (super::objects::boxes(output)?, transform(origin)?);
        let objects = self.objects.choose(&boxes)?;
        let detections = objects.into_iter().filter_map(|object| {
            Some(label::Detection {
                label: Some(object.label.to_owned()),
                bounding_box: Some(transform.box_to_original(object.edges)?),
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
