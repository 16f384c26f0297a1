//! Networks that find things in images.

use modelzoo_model::plan::{Resampling, Size, Step};
use modelzoo_model::task::Task;
use serde_json::{Map, Value, json};

use super::{deployment, refused, repository, translated};
use crate::manifest::Deployment;
use crate::translate::translate;

fn torchvision(entrypoint: &str, processor: &str, more: &Value) -> Deployment {
    let mut config = json!({
        "entrypoint_fcn": format!("torchvision.models.{entrypoint}"),
        "entrypoint_args": {"weights": "X.DEFAULT"},
        "output_processor_cls": format!("fiftyone.utils.torch.{processor}"),
    });
    let fields = config.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    deployment("fiftyone.zoo.models.torch.TorchvisionImageModel", config)
}

#[test]
fn detectors_of_torchvision_resize_for_themselves() {
    let labels =
        json!({"labels_path": "{{eta-resources}}/ms-coco-labels.txt", "confidence_thresh": 0.3});
    for (entrypoint, name) in [
        (
            "detection.faster_rcnn.fasterrcnn_resnet50_fpn",
            "faster_rcnn",
        ),
        ("detection.retinanet.retinanet_resnet50_fpn", "retinanet"),
    ] {
        let model = torchvision(entrypoint, "DetectorOutputProcessor", &labels);
        let plan = translated(&model, json!({})).unwrap();
        assert_eq!(plan.architecture.name, name);
        let config = json!({"depth": 50, "norm_eps": 0.0});
        assert_eq!(plan.architecture.config, config);
        let preprocessing = plan.preprocessing.unwrap();
        assert!(preprocessing.steps.is_empty() && preprocessing.normalize.is_none());
        let Some(Task::Detection(task)) = plan.head else {
            panic!("{:?}", plan.head)
        };
        assert_eq!(
            (task.classes.len(), task.classes[1].as_str()),
            (91, "person")
        );
        assert_eq!(task.confidence_thresh, Some(0.3));
    }
}

#[test]
fn masks_and_points_of_torchvision_have_their_tasks() {
    let labels = json!({"labels_path": "{{eta-resources}}/ms-coco-labels.txt"});
    let masks = "detection.mask_rcnn.maskrcnn_resnet50_fpn";
    let masks = torchvision(masks, "InstanceSegmenterOutputProcessor", &labels);
    let plan = translated(&masks, json!({})).unwrap();
    let Some(Task::InstanceSegmentation(task)) = plan.head else {
        panic!("{:?}", plan.head)
    };
    assert_eq!(task.detection.classes.len(), 91);
    let points = "detection.keypoint_rcnn.keypointrcnn_resnet50_fpn";
    let skeleton = json!({"labels": ["nose", "left eye"], "edges": [[0, 1]]});
    let points = |more: &Value| torchvision(points, "KeypointDetectorOutputProcessor", more);
    let model = points(&json!({"labels_string": "other,person", "skeleton": skeleton}));
    let plan = translated(&model, json!({})).unwrap();
    assert_eq!(plan.architecture.config["num_classes"], Value::Null);
    let Some(Task::Keypoints(task)) = plan.head else {
        panic!("{:?}", plan.head)
    };
    assert_eq!(task.detection.classes, ["other", "person"]);
    assert_eq!(task.points, ["nose", "left eye"]);
    assert_eq!(task.edges, [[0, 1]]);
    let without = points(&json!({"labels_string": "other,person"}));
    assert!(refused(&without, json!({})).contains("`skeleton`"));
}

#[test]
fn segmenters_of_torchvision_have_the_classes_of_their_masks() {
    let more = json!({
        "output_processor_args": {"has_softmax_out": false},
        "mask_targets_path": "{{eta-resources}}/voc-labels.txt",
        "image_dim": 520,
    });
    let entrypoint = "segmentation.deeplabv3_resnet101";
    let model = torchvision(entrypoint, "SemanticSegmenterOutputProcessor", &more);
    let plan = translated(&model, json!({})).unwrap();
    assert_eq!(plan.architecture.name, "deeplabv3");
    assert_eq!(plan.architecture.config, json!({"depth": 101}));
    let Some(Task::SemanticSegmentation(task)) = plan.head else {
        panic!("{:?}", plan.head)
    };
    assert_eq!((task.classes.len(), task.no_background), (21, false));
    let other = torchvision(entrypoint, "DetectorOutputProcessor", &more);
    assert!(refused(&other, json!({})).contains("DetectorOutputProcessor"));
}

/// The plan of a repository with this configuration and processor.
fn plan(class: &str, more: Value, config: &Value, processor: &Value) -> modelzoo_model::plan::Plan {
    let mut own = json!({"name_or_path": "user/model"});
    own.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let model = deployment(&format!("fiftyone.utils.transformers.{class}"), own);
    let dir = repository(config, processor);
    translate(&model, &Map::new(), None, dir.path())
        .unwrap()
        .plan
}

#[test]
fn repositories_become_detectors_segmenters_and_depths() {
    let mean = json!({"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]});
    let with = |more: Value| {
        let mut all = mean.clone();
        all.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        all
    };
    let config = json!({"model_type": "detr", "id2label": {"0": "N/A", "1": "person"}});
    for size in [
        json!({"size": 800, "max_size": 1333}),
        json!({"size": {"shortest_edge": 800, "longest_edge": 1333}}),
        json!({"size": 800}),
    ] {
        let mut processor = with(size);
        processor["feature_extractor_type"] = json!("DetrFeatureExtractor");
        let class = "FiftyOneTransformerForObjectDetection";
        let detr = plan(class, json!({}), &config, &processor);
        assert_eq!(detr.architecture.name, "detr");
        let Some(Task::Detection(task)) = detr.head else {
            panic!("{:?}", detr.head)
        };
        assert_eq!(task.classes, ["N/A", "person"]);
        let within = Step::ResizeWithin {
            shortest: 800,
            longest: 1333,
            resampling: Resampling::Bilinear,
        };
        assert_eq!(detr.preprocessing.unwrap().steps, [within]);
    }
    let args =
        json!({"output_processor_args": {"no_background_cls": true, "has_softmax_out": false}});
    let config = json!({"model_type": "segformer", "id2label": {"0": "wall"}});
    let processor =
        with(json!({"feature_extractor_type": "SegformerFeatureExtractor", "size": 512}));
    let class = "FiftyOneTransformerForSemanticSegmentation";
    let segformer = plan(class, args, &config, &processor);
    let Some(Task::SemanticSegmentation(task)) = segformer.head else {
        panic!("{:?}", segformer.head)
    };
    assert!(task.no_background);
    let side = |side| Size {
        height: side,
        width: side,
    };
    let resize = Step::Resize {
        to: side(512),
        resampling: Resampling::Bilinear,
    };
    assert_eq!(segformer.preprocessing.unwrap().steps, [resize]);
    let processor = with(
        json!({"image_processor_type": "DPTImageProcessor", "size": {"height": 518, "width": 518},
        "keep_aspect_ratio": true, "ensure_multiple_of": 14}),
    );
    let config = json!({"model_type": "depth_anything"});
    let class = "FiftyOneTransformerForDepthEstimation";
    let depth = plan(class, json!({}), &config, &processor);
    assert!(matches!(depth.head, Some(Task::Depth(_))));
    let fitted = Step::ResizeToMultiple {
        to: side(518),
        multiple: 14,
        resampling: Resampling::Bicubic,
    };
    assert_eq!(depth.preprocessing.unwrap().steps, [fitted]);
}
