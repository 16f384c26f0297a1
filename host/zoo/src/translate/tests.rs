#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use modelzoo_model::plan::Step;
use modelzoo_model::task::Task;
use serde_json::{Value, json};

use super::*;

mod places;

fn deployment(kind: &str, config: Value) -> Deployment {
    Deployment {
        kind: kind.to_owned(),
        config: config.as_object().unwrap().clone(),
    }
}

fn torchvision(entrypoint: &str) -> Deployment {
    deployment(
        "fiftyone.zoo.models.torch.TorchvisionImageModel",
        json!({
            "entrypoint_fcn": entrypoint,
            "entrypoint_args": {"weights": "X.DEFAULT"},
            "output_processor_cls": "fiftyone.utils.torch.ClassifierOutputProcessor",
            "labels_path": "{{eta-resources}}/imagenet-labels-no-background.txt",
            "image_min_dim": 224,
            "image_max_dim": 2048,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
            "embeddings_layer": "<fc",
        }),
    )
}

fn translated(deployment: &Deployment, kwargs: Value) -> Result<Plan, TranslateError> {
    let file = RelPath::parse("w.pth").unwrap();
    let dir = Path::new("nowhere");
    let kwargs = kwargs.as_object().unwrap();
    Ok(translate(deployment, kwargs, Some(&file), dir)?.plan)
}

fn refused(deployment: &Deployment, kwargs: Value) -> String {
    translated(deployment, kwargs).unwrap_err().to_string()
}

#[test]
fn torchvision_model_becomes_a_plan() {
    let resnet = torchvision("torchvision.models.resnet.resnet50");
    let plan = translated(&resnet, json!({})).unwrap();
    assert_eq!(plan.architecture.name, "resnet");
    assert_eq!(plan.architecture.config, json!({"depth": 50}));
    assert_eq!(plan.weights, ["w.pth"]);
    let steps = plan.preprocessing.unwrap().steps;
    assert!(matches!(
        steps[..],
        [Step::ResizeMin { .. }, Step::ResizeMax { .. }]
    ));
    let Some(Task::Classification(head)) = plan.head else {
        panic!("no classification");
    };
    assert_eq!(head.classes.len(), 1000);
    assert_eq!(
        (head.classes[0].as_str(), head.classes[999].as_str()),
        ("tench", "toilet tissue")
    );
    assert_eq!(plan.embeddings.unwrap().layer.as_deref(), Some("<fc"));
}

#[test]
fn kwargs_override_the_manifest() {
    let resnet = torchvision("torchvision.models.resnet18");
    let kwargs = json!({"classes": ["a", "b"], "confidence_thresh": 0.5, "filter_classes": ["a"], "image_size": [8, 9]});
    let plan = translated(&resnet, kwargs).unwrap();
    assert_eq!(
        plan.architecture.config,
        json!({"depth": 18, "num_classes": 2})
    );
    let Some(Task::Classification(head)) = plan.head else {
        panic!("no classification");
    };
    assert_eq!(
        (head.confidence_thresh, head.filter_classes),
        (Some(0.5), vec!["a".to_owned()])
    );
    let error = translated(&resnet, json!({"confidence_tresh": 0.5})).unwrap_err();
    assert!(error.to_string().contains("`confidence_tresh`"), "{error}");
    assert!(
        error
            .remedy()
            .unwrap()
            .to_string()
            .contains("confidence_thresh")
    );
    for (kwargs, field) in [
        (json!({"confidence_thresh": 2}), "confidence_thresh"),
        (json!({"image_size": 3}), "image_size"),
        (json!({"image_std": null}), "image_std"),
        (json!({"classes": [1]}), "classes"),
        (json!({"labels_path": "/etc/passwd"}), "labels_path"),
        (
            json!({"output_processor_cls": "os.system"}),
            "output_processor_cls",
        ),
    ] {
        let reason = refused(&resnet, kwargs);
        assert!(reason.starts_with(&format!("`{field}`")), "{reason}");
    }
}

#[test]
fn half_precision_changes_the_device_not_the_plan() {
    let resnet = torchvision("torchvision.models.resnet18");
    let mut half = resnet.clone();
    half.config
        .insert("use_half_precision".to_owned(), json!(true));
    let file = RelPath::parse("w.pth").unwrap();
    let dir = Path::new("nowhere");
    let wants = |deployment: &Deployment, kwargs: Value| {
        let kwargs = kwargs.as_object().unwrap();
        let translated = translate(deployment, kwargs, Some(&file), dir);
        translated.unwrap().half
    };
    assert!(!wants(&resnet, json!({})));
    assert!(!wants(&resnet, json!({"use_half_precision": null})));
    assert!(wants(&resnet, json!({"use_half_precision": true})));
    assert!(wants(&half, json!({})));
    assert!(!wants(&half, json!({"use_half_precision": false})));
    let plan = translated(&half, json!({})).unwrap();
    assert_eq!(plan, translated(&resnet, json!({})).unwrap());
    let reason = refused(&resnet, json!({"use_half_precision": "yes"}));
    assert!(reason.starts_with("`use_half_precision`"), "{reason}");
}

#[test]
fn kwargs_cannot_change_the_downloaded_files() {
    let vit = deployment(
        "fiftyone.utils.transformers.FiftyOneTransformerForImageClassification",
        json!({"name_or_path": "google/vit-base-patch16-224"}),
    );
    let resnet = torchvision("torchvision.models.resnet.resnet50");
    for (model, kwargs) in [
        (&vit, json!({"name_or_path": "acme/other"})),
        (&vit, json!({"revision": "other"})),
        (&resnet, json!({"entrypoint_args": {"weights": null}})),
    ] {
        assert!(refused(model, kwargs).contains("downloaded"));
    }
    // What would change the numbers is not passed over either.
    let reason = refused(&resnet, json!({"transforms_args": {"size": 3}}));
    assert!(reason.contains("`transforms_args`: `size`"), "{reason}");
    let reason = refused(&resnet, json!({"device": "cuda"}));
    assert!(reason.contains("`device`"), "{reason}");
}

#[test]
fn unknown_names_suggest_known_ones() {
    let error = translated(
        &torchvision("torchvision.models.resnet.resnet51"),
        json!({}),
    );
    let error = error.unwrap_err();
    assert!(
        error
            .remedy()
            .unwrap()
            .to_string()
            .contains("torchvision.models.resnet5"),
        "{error}"
    );
    assert!(refused(&torchvision("os.system"), json!({})).contains("`os.system` is not known"));
    let detector = torchvision("torchvision.models.detection.faster_rcnn.fasterrcnn_resnet50_fp");
    let error = translated(&detector, json!({})).unwrap_err();
    let remedy = error.remedy().unwrap().to_string();
    assert!(
        remedy.contains("torchvision.models.detection.fasterrcnn_resnet50_fpn"),
        "{remedy}"
    );
    let unknown = deployment("fiftyone.utils.clip.TorchCLIPMode", json!({}));
    let error = translated(&unknown, json!({})).unwrap_err();
    assert!(
        error
            .remedy()
            .unwrap()
            .to_string()
            .contains("TorchCLIPModel"),
        "{error}"
    );
}

#[test]
fn clip_fetches_its_merges_and_compares_with_prompts() {
    let clip = deployment(
        "fiftyone.utils.clip.TorchCLIPModel",
        json!({
            "entrypoint_fcn": "",
            "labels_path": "{{eta-resources}}/voc-labels.txt",
            "image_size": [224, 224],
            "embeddings_layer": "visual",
            "tokenizer_base_filename": "merges.gz",
            "tokenizer_base_url": "https://example.org/merges.gz",
            "context_length": 77,
            "text_prompt": "A photo of",
        }),
    );
    let files = fetches(&clip).unwrap();
    assert_eq!(
        (files[0].name.as_str(), files[0].url.as_str()),
        ("merges.gz", "https://example.org/merges.gz")
    );
    let plan = translated(&clip, json!({"classes": ["cat"]})).unwrap();
    assert_eq!(plan.weights, ["w.pth"]);
    let Some(Task::ZeroShot(head)) = plan.head else {
        panic!("not zero-shot");
    };
    assert_eq!(head.prompts, ["A photo of cat"]);
    let open_clip = deployment(
        "fiftyone.utils.open_clip.TorchOpenClipModel",
        json!({"text_prompt": "A"}),
    );
    let files = fetches(&open_clip).unwrap();
    assert!(files.iter().any(|file| file.name == "ViT-B-32.pt"));
    let plan = translated(&open_clip, json!({"classes": ["cat"]})).unwrap();
    assert_eq!(plan.weights, ["ViT-B-32.pt"]);
}

#[test]
fn hub_model_has_a_known_address() {
    let dinov2 = |model: &str| {
        deployment(
            "fiftyone.utils.torch.TorchImageModel",
            json!({
                "entrypoint_fcn": "fiftyone.utils.torch.load_torch_hub_raw_model",
                "entrypoint_args": {"repo_or_dir": "facebookresearch/dinov2", "model": model},
                "image_patch_size": 14,
                "image_min_dim": 14,
                "embeddings_layer": "head",
            }),
        )
    };
    let files = fetches(&dinov2("dinov2_vitg14_reg")).unwrap();
    assert!(
        files[0]
            .url
            .ends_with("/dinov2/dinov2_vitg14/dinov2_vitg14_reg4_pretrain.pth")
    );
    let plan = translated(&dinov2("dinov2_vits14"), json!({})).unwrap();
    assert_eq!(
        plan.architecture.config,
        json!({"variant": "dinov2_vits14"})
    );
    assert!(plan.head.is_none() && plan.embeddings.is_none());
    let steps = plan.preprocessing.unwrap().steps;
    assert!(matches!(
        steps[..],
        [Step::ResizeMin { .. }, Step::CropToMultiple(14)]
    ));
    assert!(refused(&dinov2("dinov2_vits15"), json!({})).contains("dinov2_vits14"));
}

/// A repository's files, in a directory.
fn repository(config: &Value, processor: &Value) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, value: &Value| {
        std::fs::write(dir.path().join(name), value.to_string()).unwrap();
    };
    write("config.json", config);
    write("preprocessor_config.json", processor);
    std::fs::write(dir.path().join("model.safetensors"), "").unwrap();
    dir
}

#[test]
fn configuration_as_python_writes_it_is_read() {
    let name = "fiftyone.utils.transformers.FiftyOneTransformerForImageClassification";
    let model = deployment(name, json!({"name_or_path": "user/model"}));
    let processor = json!({"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875, "resample": 3,
        "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]});
    let dir = repository(&json!({}), &processor);
    let config = r#"{"model_type": "convnext", "layer_scale": NaN, "range": [-Infinity, Infinity],
        "id2label": {"1": 7, "0": "NaN", "2": true}}"#;
    std::fs::write(dir.path().join("config.json"), config).unwrap();
    std::fs::rename(
        dir.path().join("model.safetensors"),
        dir.path().join("model.safetensors.index.json"),
    )
    .unwrap();
    let plan = translate(&model, &Map::new(), None, dir.path())
        .unwrap()
        .plan;
    assert_eq!(plan.weights, ["model.safetensors.index.json"]);
    assert_eq!(plan.architecture.config["layer_scale"], Value::Null);
    let Some(Task::Classification(head)) = plan.head else {
        panic!("no classification");
    };
    assert_eq!(head.classes, ["NaN", "7", "true"]);
}

#[test]
fn repository_brings_its_own_configuration() {
    let name = "fiftyone.utils.transformers.FiftyOneTransformerForImageClassification";
    let convnext = deployment(
        name,
        json!({"name_or_path": "facebook/convnext-tiny-224", "channels_last": false}),
    );
    let files = fetches(&convnext).unwrap();
    let prefix = "https://huggingface.co/facebook/convnext-tiny-224/resolve/main/";
    assert!(files.iter().all(|file| file.url.starts_with(prefix)));
    let config = json!({"model_type": "convnext", "id2label": {"10": "k", "2": "c", "0": "a"}});
    let processor = json!({"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875, "resample": 3,
        "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]});
    let dir = repository(&config, &processor);
    let convnext = translate(&convnext, &Map::new(), None, dir.path());
    let plan = convnext.unwrap().plan;
    assert_eq!(plan.architecture.name, "convnext");
    assert_eq!(plan.weights, ["model.safetensors"]);
    let Some(Task::Classification(head)) = plan.head else {
        panic!("no classification");
    };
    assert_eq!(head.classes, ["a", "c", "k"]);
    let steps = plan.preprocessing.unwrap().steps;
    assert!(matches!(
        steps[..],
        [Step::ResizeShortest { to: 256, .. }, Step::CenterCrop(_)]
    ));
}

#[test]
fn unknown_repository_is_refused() {
    let name = "FiftyOneTransformer";
    for repository in ["a", "a/b/c", "../b", "a/..", "a/b?c", "a/ b"] {
        let dinov3 = deployment(name, json!({"name_or_path": repository}));
        let error = fetches(&dinov3).unwrap_err();
        assert!(error.to_string().contains("user/name"), "{error}");
    }
    let dinov3 = deployment(name, json!({"name_or_path": "facebook/dinov3"}));
    let dir = repository(&json!({"model_type": "dinov3_vim"}), &json!({}));
    let error = translate(&dinov3, &Map::new(), None, dir.path()).unwrap_err();
    assert!(
        error.remedy().unwrap().to_string().contains("dinov3_vit"),
        "{error}"
    );
    let error = translate(&dinov3, &Map::new(), None, Path::new("nowhere")).unwrap_err();
    assert!(matches!(error, TranslateError::File { .. }), "{error}");
}

fn yolo(checkpoint: &str, processor: &str) -> Deployment {
    deployment(
        "fiftyone.utils.ultralytics.FiftyOneYOLOModel",
        json!({
            "entrypoint_fcn": "ultralytics.YOLO",
            "entrypoint_args": {"model": checkpoint},
            "output_processor_cls": format!("fiftyone.utils.ultralytics.{processor}"),
        }),
    )
}

#[test]
fn yolo_becomes_a_plan_as_its_predictor_has_it() {
    let found = yolo("yolo11n.pt", "UltralyticsDetectionOutputProcessor");
    let plan = translated(&found, json!({})).unwrap();
    assert_eq!(
        (plan.architecture.name.as_str(), &plan.architecture.config),
        ("yolo", &json!({}))
    );
    let Some(Step::Letterbox { to, multiple }) = plan.preprocessing.unwrap().steps.first().copied()
    else {
        panic!("no letterbox")
    };
    assert_eq!((to.height, to.width, multiple), (640, 640, Some(32)));
    let Some(Task::Detection(head)) = plan.head else {
        panic!("no detection")
    };
    assert_eq!(head.confidence_thresh, Some(0.25));
    assert_eq!(head.nms.map(|nms| nms.iou_thresh), Some(0.7));
    assert_eq!((head.max_objects, head.classes.len()), (Some(300), 0));
    // These give one box per object.
    for checkpoint in ["yolov10n.pt", "yolo26n-seg.pt"] {
        let found = yolo(checkpoint, "UltralyticsSegmentationOutputProcessor");
        let plan = translated(&found, json!({"confidence_thresh": 0.4})).unwrap();
        let Some(Task::InstanceSegmentation(head)) = plan.head else {
            panic!("no masks")
        };
        assert_eq!(head.detection.nms, None);
        assert_eq!(head.detection.confidence_thresh, Some(0.4));
    }
    let found = yolo("yolo26n-pose.pt", "UltralyticsPoseOutputProcessor");
    let Some(Task::Keypoints(head)) = translated(&found, json!({})).unwrap().head else {
        panic!("no points")
    };
    assert_eq!((head.points.len(), head.edges.len()), (17, 19));
}

#[test]
fn argument_that_an_output_processor_does_not_read_is_refused() {
    let mut found = yolo("yolov8n-seg.pt", "UltralyticsSegmentationOutputProcessor");
    let arguments = json!({"mask_thresh": 0.9});
    found
        .config
        .insert("output_processor_args".into(), arguments);
    assert!(refused(&found, json!({})).contains("`mask_thresh` is not known"));
}

#[test]
fn yolo_of_another_kind_is_not_built() {
    let found = yolo("yolov8s-world.pt", "UltralyticsDetectionOutputProcessor");
    assert!(refused(&found, json!({})).contains("texts or examples"));
    let found = yolo("yolo11n.pt", "os.system");
    assert!(refused(&found, json!({})).contains("is not one of"));
    let mut found = yolo("yolo11n.pt", "UltralyticsDetectionOutputProcessor");
    found
        .config
        .insert("entrypoint_fcn".to_owned(), json!("ultralytics.NAS"));
    assert!(refused(&found, json!({})).contains("`ultralytics.NAS` is not known"));
    found.kind = "fiftyone.utils.ultralytics.FiftyOneRTDETRModel".to_owned();
    assert!(refused(&found, json!({})).contains("not built"));
}
