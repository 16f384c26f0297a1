//! Detection and keypoints: which candidates become labels, and where.

use super::*;
use crate::geometry::{Letterbox, Size, Transform};
use crate::output::{Boxes, Points, Scores};

fn detection() -> Detection {
    Detection {
        classes: ["cat", "dog"].map(str::to_owned).to_vec(),
        ..Detection::default()
    }
}

fn origin(transform: Transform) -> Origin {
    Origin {
        transform: Some(transform),
        ..Origin::default()
    }
}

/// 100x200 pixels.
fn image() -> Transform {
    Transform::identity(Size {
        height: 100,
        width: 200,
    })
}

fn decode(
    task: Detection,
    options: &PredictOptions,
    boxes: Boxes,
    by: Transform,
) -> Vec<(String, [f64; 4])> {
    let task = Task::Detection(task);
    let decoder = task.decoder(options).unwrap();
    match decoder.decode(Output::Boxes(boxes), &origin(by)).unwrap() {
        Some(Label::Detections(label)) => label
            .detections
            .into_iter()
            .map(|object| (object.label.unwrap(), object.bounding_box.unwrap()))
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn boxes(edges: &[[f32; 4]], confidences: &[f32], classes: &[u32]) -> Boxes {
    Boxes::new(edges.to_vec(), confidences.to_vec(), classes.to_vec()).unwrap()
}

#[test]
fn boxes_are_relative_and_cut_at_the_image() {
    let found = boxes(
        &[[-50.0, 25.0, 100.0, 300.0], [300.0, 0.0, 400.0, 50.0]],
        &[0.9, 0.8],
        &[1, 0],
    );
    let labels = decode(detection(), &PredictOptions::default(), found, image());
    assert_eq!(labels, [("dog".to_owned(), [0.0, 0.25, 0.5, 0.75])]);
}

#[test]
fn boxes_come_back_through_a_letterbox() {
    let to = Size {
        height: 64,
        width: 64,
    };
    let letterbox = Letterbox::new(image().original(), to, Some(16));
    let found = boxes(&[[16.0, 0.0, 32.0, 16.0]], &[0.9], &[0]);
    let labels = decode(
        detection(),
        &PredictOptions::default(),
        found,
        image().letterboxed(&letterbox),
    );
    let [(_, [left, top, width, height])] = labels[..] else {
        panic!("{labels:?}")
    };
    assert!((left - 0.25).abs() < 1e-9 && (width - 0.25).abs() < 1e-9);
    assert!(top.abs() < 1e-9 && (height - 0.5).abs() < 1e-9);
}

#[test]
fn candidates_are_chosen_by_class_confidence_and_overlap() {
    let near = [0.0, 0.0, 100.0, 50.0];
    let same = [0.0, 0.0, 100.0, 52.0];
    let found = || boxes(&[near, same, near], &[0.5, 0.9, 0.7], &[0, 0, 1]);
    let labels = |task: Detection, options: &PredictOptions| -> Vec<String> {
        let labels = decode(task, options, found(), image());
        labels.into_iter().map(|(label, _)| label).collect()
    };
    let options = PredictOptions::default();
    // All of them, most confident first.
    assert_eq!(labels(detection(), &options), ["cat", "dog", "cat"]);
    let nms = |across_classes| Detection {
        nms: Some(Nms {
            iou_thresh: 0.5,
            across_classes,
        }),
        ..detection()
    };
    assert_eq!(labels(nms(false), &options), ["cat", "dog"]);
    assert_eq!(labels(nms(true), &options), ["cat"]);
    let most = Detection {
        max_objects: Some(1),
        ..detection()
    };
    assert_eq!(labels(most, &options), ["cat"]);
    // What is not given suppresses nothing.
    let dogs = PredictOptions {
        classes: Some(vec!["dog".to_owned()]),
        ..PredictOptions::default()
    };
    assert_eq!(labels(nms(true), &dogs), ["dog"]);
    let sure = PredictOptions {
        confidence_thresh: Some(0.6),
        ..PredictOptions::default()
    };
    assert_eq!(labels(detection(), &sure), ["cat", "dog"]);
}

#[test]
fn outputs_that_do_not_fit_are_an_error() {
    let task = Task::Detection(detection());
    let decoder = task.decoder(&PredictOptions::default()).unwrap();
    let one = || boxes(&[[0.0, 0.0, 1.0, 1.0]], &[0.5], &[2]);
    let (classes, class) = (2, 2);
    assert_eq!(
        decoder.decode(Output::Boxes(one()), &origin(image())),
        Err(DecodeError::Class { classes, class })
    );
    assert_eq!(
        decoder.decode(Output::Boxes(one()), &Origin::default()),
        Err(DecodeError::NoImage)
    );
    let scores = Output::Scores(Scores::new(vec![0.0; 2]).unwrap());
    let error = decoder.decode(scores, &origin(image())).unwrap_err();
    assert!(matches!(error, DecodeError::WrongOutput { .. }), "{error}");
    let options = PredictOptions {
        store_logits: true,
        ..PredictOptions::default()
    };
    let Err(error) = task.decoder(&options) else {
        panic!("there are no logits")
    };
    assert_eq!(error.option, "store_logits");
}

#[test]
fn ten_thousand_boxes_are_decoded() {
    let count = 12_000;
    let edges = vec![[10.0, 10.0, 20.0, 20.0]; count];
    let found = || boxes(&edges, &vec![0.5; count], &vec![0; count]);
    let options = PredictOptions::default();
    assert_eq!(
        decode(detection(), &options, found(), image()).len(),
        10_000
    );
    let nms = Detection {
        nms: Some(Nms {
            iou_thresh: 0.5,
            across_classes: false,
        }),
        ..detection()
    };
    assert_eq!(decode(nms, &options, found(), image()).len(), 1);
}

fn keypoints() -> Keypoints {
    Keypoints {
        detection: detection(),
        points: ["eye", "ear"].map(str::to_owned).to_vec(),
        edges: vec![vec![0, 1]],
        point_thresh: Some(0.5),
    }
}

#[test]
fn points_that_are_not_seen_have_no_place() {
    let points = vec![[20.0, 50.0], [10.0, 10.0]];
    let points = Points::new(2, points, vec![0.9, 0.1]).unwrap();
    let found = boxes(&[[0.0, 0.0, 50.0, 50.0]], &[0.9], &[1]);
    let task = Task::Keypoints(keypoints());
    let decoder = task.decoder(&PredictOptions::default()).unwrap();
    let output = Output::Boxes(found.with_points(points).unwrap());
    let label = decoder.decode(output, &origin(image())).unwrap();
    let Some(Label::Keypoints(label)) = label else {
        panic!("no points")
    };
    let [object] = &label.keypoints[..] else {
        panic!("one object")
    };
    let [first, second] = object.points[..] else {
        panic!("two points")
    };
    assert_eq!((object.label.as_deref(), first), (Some("dog"), [0.1, 0.5]));
    assert!(second.iter().all(|at| at.is_nan()));
    let confidence = object.confidence.as_ref().unwrap();
    assert!((confidence[0] - 0.9).abs() < 1e-6 && (confidence[1] - 0.1).abs() < 1e-6);
    let skeleton = task.skeleton().unwrap();
    assert_eq!((skeleton.labels.len(), skeleton.edges.len()), (2, 1));
}

#[test]
fn objects_with_other_points_are_an_error() {
    let points = Points::new(3, vec![[0.0; 2]; 3], vec![1.0; 3]).unwrap();
    let found = || boxes(&[[0.0, 0.0, 50.0, 50.0]], &[0.9], &[1]);
    let task = Task::Keypoints(keypoints());
    let decoder = task.decoder(&PredictOptions::default()).unwrap();
    let output = Output::Boxes(found().with_points(points).unwrap());
    let (points, outputs) = (2, 3);
    assert_eq!(
        decoder.decode(output, &origin(image())),
        Err(DecodeError::PointCount { points, outputs })
    );
    assert_eq!(
        decoder.decode(Output::Boxes(found()), &origin(image())),
        Err(DecodeError::Part { what: "points" })
    );
}

#[test]
fn plans_of_objects_are_checked() {
    let refused = |task: Task| task.validate().unwrap_err().to_string();
    let nms = |iou_thresh| Detection {
        nms: Some(Nms {
            iou_thresh,
            across_classes: false,
        }),
        ..detection()
    };
    assert!(refused(Task::Detection(nms(1.5))).starts_with("`detection.nms.iou_thresh`"));
    let most = |max_objects| Detection {
        max_objects: Some(max_objects),
        ..detection()
    };
    for count in [0, 10_001] {
        let error = refused(Task::Detection(most(count)));
        assert!(
            error.starts_with("`detection.max_objects`: must be 1 to 10000"),
            "{error}"
        );
    }
    let edge = Keypoints {
        edges: vec![vec![0, 2]],
        ..keypoints()
    };
    let error = refused(Task::Keypoints(edge));
    assert_eq!(error, "`keypoints.edges`: names the point 2 of 2");
    for mask_thresh in [0.0, 1.0, f32::NAN] {
        let error = refused(Task::InstanceSegmentation(InstanceSegmentation {
            detection: detection(),
            mask_thresh,
        }));
        assert!(
            error.starts_with("`instance_segmentation.mask_thresh`"),
            "{error}"
        );
    }
    // The field of a part has the part's name before it.
    let error = refused(Task::OrientedBoxes(OrientedBoxes {
        detection: nms(f32::NAN),
    }));
    assert!(
        error.starts_with("`oriented_boxes.detection.nms.iou_thresh`"),
        "{error}"
    );
}

#[test]
fn weights_may_name_the_classes() {
    let task = Task::Detection(Detection {
        filter_classes: vec!["dog".to_owned()],
        ..Detection::default()
    });
    task.validate().unwrap();
    assert!(task.lacks_classes());
    let named = task
        .clone()
        .with_classes(&["cat".to_owned(), "dog".to_owned()]);
    let named = named.unwrap();
    assert!(!named.lacks_classes());
    assert_eq!(named.classes(), ["cat", "dog"]);
    let error = task.clone().with_classes(&["cat".to_owned()]).unwrap_err();
    assert!(error.to_string().contains("filter_classes"), "{error}");
    let error = task.with_classes(&[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`head.detection.classes`: is empty, and the weight files name no classes"
    );
    assert!(!Task::Depth(Depth {}).lacks_classes());
}
