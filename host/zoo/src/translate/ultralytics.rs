//! `FiftyOneYOLOModel`: the networks of Ultralytics, by the names of their checkpoints.
//!
//! A checkpoint carries the description of its network and the names of its classes. What FiftyOne
//! leaves to Ultralytics' predictor is here as the predictor has it: the letterbox, the thresholds
//! and the most objects of an image.

use modelzoo_model::plan::{
    Architecture, Color, Embeddings, Plan, Preprocessing, Resampling, Step,
};
use modelzoo_model::task::{
    Classification, Detection, InstanceSegmentation, Keypoints, Nms, OrientedBoxes, Task,
};
use serde_json::{Value, json};

use super::error::TranslateError as Error;
use super::images::{sides, square};
use super::settings::{Settings, count};

/// The output processors, by the ends of their names.
const PROCESSORS: [(&str, Finds); 5] = [
    ("UltralyticsDetectionOutputProcessor", Finds::Boxes),
    ("UltralyticsSegmentationOutputProcessor", Finds::Masks),
    ("UltralyticsPoseOutputProcessor", Finds::Points),
    ("UltralyticsOBBOutputProcessor", Finds::RotatedBoxes),
    ("UltralyticsClassificationOutputProcessor", Finds::Classes),
];

/// What a network finds.
#[derive(Clone, Copy)]
enum Finds {
    Boxes,
    Masks,
    Points,
    RotatedBoxes,
    Classes,
}

/// Ultralytics' own thresholds, and its most objects of an image.
const CONFIDENCE: f32 = 0.25;
const OVERLAP: f32 = 0.7;
const MOST: u32 = 300;
/// Below this confidence, Ultralytics takes a point as not visible.
const SEEN: f32 = 0.5;
/// The sides of the frame, and what the sides of the frame that is left are multiples of.
const SIDE: u32 = 640;
const MULTIPLE: u32 = 32;
/// The sides of the images that classifiers take.
const CLASSIFIED: u32 = 224;

/// The names of the families whose heads give one box per object.
const WITHOUT_NMS: [&str; 2] = ["yolov10", "yolo26"];

/// The joints of a person in COCO, and the lines between them.
const JOINTS: [&str; 17] = [
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
];
const LIMBS: [[u32; 2]; 19] = [
    [15, 13],
    [13, 11],
    [16, 14],
    [14, 12],
    [11, 12],
    [5, 11],
    [6, 12],
    [5, 6],
    [5, 7],
    [6, 8],
    [7, 9],
    [8, 10],
    [1, 2],
    [0, 1],
    [0, 2],
    [1, 3],
    [2, 4],
    [3, 5],
    [4, 6],
];

/// The plan of a network whose checkpoint is the file `weights`.
pub(super) fn plan(settings: &Settings, weights: String) -> Result<Plan, Error> {
    let checkpoint = checkpoint(settings)?;
    let finds = finds(settings)?;
    let (confidence, filter) = (
        settings.confidence("confidence_thresh")?,
        settings.texts("filter_classes")?.unwrap_or_default(),
    );
    // Those of the checkpoint, unless others are given.
    let classes = settings.texts("classes")?.unwrap_or_default();
    let has_nms = !WITHOUT_NMS
        .iter()
        .any(|family| checkpoint.starts_with(family));
    let detection = || Detection {
        classes: classes.clone(),
        confidence_thresh: confidence.or(Some(CONFIDENCE)),
        filter_classes: filter.clone(),
        nms: has_nms.then_some(Nms {
            iou_thresh: OVERLAP,
            across_classes: false,
        }),
        max_objects: Some(MOST),
    };
    let head = match finds {
        Finds::Boxes => Task::Detection(detection()),
        Finds::Masks => Task::InstanceSegmentation(InstanceSegmentation {
            detection: detection(),
            mask_thresh: 0.5,
        }),
        Finds::Points => Task::Keypoints(Keypoints {
            detection: detection(),
            points: JOINTS.map(str::to_owned).to_vec(),
            edges: LIMBS.map(|limb| limb.to_vec()).to_vec(),
            point_thresh: Some(SEEN),
        }),
        Finds::RotatedBoxes => Task::OrientedBoxes(OrientedBoxes {
            detection: detection(),
        }),
        Finds::Classes => Task::Classification(Classification {
            classes: classes.clone(),
            confidence_thresh: confidence,
            filter_classes: filter.clone(),
        }),
    };
    let layer = settings.text("embeddings_layer")?.map(str::to_owned);
    Ok(Plan {
        architecture: Architecture {
            name: "yolo".to_owned(),
            config: json!({}),
        },
        weights: vec![weights],
        preprocessing: Some(preprocessing(settings, finds)?),
        tokenizer: None,
        head: Some(head),
        embeddings: layer.map(|layer| Embeddings {
            layer: Some(layer),
            ..Embeddings::default()
        }),
    })
}

/// The name of the checkpoint, which tells the family.
fn checkpoint(settings: &Settings) -> Result<&str, Error> {
    let entrypoint = settings.text("entrypoint_fcn")?.unwrap_or_default();
    if entrypoint != "ultralytics.YOLO" {
        return Err(Error::UnknownEntrypoint {
            name: entrypoint.to_owned(),
            nearest: vec!["ultralytics.YOLO".to_owned()],
        });
    }
    let checkpoint = settings.inner("entrypoint_args", "model");
    let checkpoint = checkpoint.and_then(Value::as_str).unwrap_or_default();
    if checkpoint.contains("yoloe") || checkpoint.contains("world") {
        return Err(Error::NotYet {
            name: checkpoint.to_owned(),
            reason: "finds what texts or examples describe",
        });
    }
    Ok(checkpoint)
}

fn finds(settings: &Settings) -> Result<Finds, Error> {
    let name = settings.text("output_processor_cls")?.unwrap_or_default();
    let class = name.rsplit('.').next().unwrap_or(name);
    let known = PROCESSORS.iter().find(|(known, _)| *known == class);
    known.map(|(_, finds)| *finds).ok_or_else(|| {
        let known = PROCESSORS.map(|(known, _)| format!("`{known}`")).join(", ");
        Error::unknown(
            "output_processor_cls",
            format!("`{name}` is not one of {known}"),
        )
    })
}

fn preprocessing(settings: &Settings, finds: Finds) -> Result<Preprocessing, Error> {
    let usual = match finds {
        Finds::Classes => CLASSIFIED,
        Finds::Boxes | Finds::Masks | Finds::Points | Finds::RotatedBoxes => SIDE,
    };
    let to = match settings.get("image_size") {
        None => square(usual),
        Some(size) => sides(size)
            .or_else(|| count(size).map(square))
            .ok_or_else(|| Error::bad("image_size", "is not a height and a width"))?,
    };
    let steps = match finds {
        Finds::Classes => vec![
            Step::ResizeShortest {
                to: to.height.min(to.width),
                resampling: Resampling::Bilinear,
            },
            Step::CenterCrop(to),
        ],
        Finds::Boxes | Finds::Masks | Finds::Points | Finds::RotatedBoxes => {
            vec![Step::Letterbox {
                to,
                multiple: Some(MULTIPLE),
            }]
        }
    };
    Ok(Preprocessing {
        color: Color::Rgb,
        steps,
        normalize: None,
    })
}
