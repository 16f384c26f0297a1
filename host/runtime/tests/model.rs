//! Building models and predicting, with the public interface.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::path::Path;

use modelzoo_base::Remedy;
use modelzoo_model::Model as _;
use modelzoo_model::label::{Classification, Label};
use modelzoo_model::output::Output;
use modelzoo_model::sample::{
    Fields, ImageInput, Input, Media, MediaKind, Origin, Prepared, Sample, Tokens,
};
use modelzoo_model::task::PredictOptions;
use modelzoo_runtime::{Color, Device, Error, Image, Model, Plan, architectures};
use serde_json::{Value, json};

const CLASSES: [&str; 3] = ["red", "green", "blue"];

/// A network whose outputs are ten times the mean of each channel, after a 1x1 convolution with the
/// weights `weight`.
fn colors(dir: &Path, weight: [f32; 9]) -> Plan {
    let weight =
        candle_core::Tensor::from_vec(weight.to_vec(), (3, 3, 1, 1), &candle_core::Device::Cpu)
            .unwrap();
    candle_core::safetensors::save(
        &[("mix.weight", weight)].into(),
        dir.join("mix.safetensors"),
    )
    .unwrap();
    serde_json::from_value(json!({
        "architecture": { "name": "sequential", "config": { "layers": [
            { "type": "conv2d", "name": "mix", "in_channels": 3, "out_channels": 3, "kernel_size": 1, "bias": false },
            { "type": "global_avg_pool" },
            { "type": "flatten" },
        ] } },
        "weights": ["mix.safetensors"],
        "preprocessing": { "color": "rgb", "steps": [] },
        "head": { "classification": { "classes": CLASSES } },
    }))
    .unwrap()
}

const TEN: [f32; 9] = [10., 0., 0., 0., 10., 0., 0., 0., 10.];

fn plain(width: u32, height: u32, color: [u8; 3]) -> Image {
    Image::from_pixels(
        width,
        height,
        Color::Rgb,
        color.repeat((width * height) as usize),
    )
    .unwrap()
}

/// The label that the task gives for an output.
fn label(model: &Model, output: &Output, options: &PredictOptions) -> Option<Classification> {
    let decoder = model.task().unwrap().decoder(options).unwrap();
    match decoder.decode(output.clone(), &Origin::default()).unwrap() {
        None => None,
        Some(Label::Classification(label)) => Some(label),
        Some(other) => panic!("{other:?}"),
    }
}

/// The class of one image.
fn class(model: &Model, input: ImageInput, options: &PredictOptions) -> Option<String> {
    let outputs = model.predict_images(&[input]).unwrap();
    label(model, &outputs[0], options)?.label
}

#[test]
fn mixed_sizes_keep_order_and_equal_their_singles() {
    let dir = tempfile::tempdir().unwrap();
    for device in [Device::cpu(), Device::cpu_reference()] {
        let model = Model::build(&colors(dir.path(), TEN), dir.path(), &device).unwrap();
        let images = [
            (3, 2, [9, 200, 3]),
            (5, 5, [200, 9, 3]),
            (3, 2, [1, 2, 250]),
            (1, 1, [0, 255, 0]),
            (5, 5, [0, 0, 200]),
        ];
        let inputs: Vec<_> = images
            .iter()
            .map(|&(width, height, color)| model.preprocess(&plain(width, height, color)).unwrap())
            .collect();
        let options = PredictOptions {
            store_logits: true,
            ..PredictOptions::default()
        };
        let outputs = model.predict_images(&inputs).unwrap();
        let labels: Vec<_> = outputs
            .iter()
            .map(|output| label(&model, output, &options).unwrap())
            .collect();
        let classes: Vec<_> = labels.iter().map(|label| label.label.as_deref()).collect();
        let want = ["green", "red", "blue", "green", "blue"].map(Some);
        assert_eq!(classes, want);
        for (input, output) in inputs.iter().zip(&outputs) {
            assert_eq!(&model.predict_images(&[input]).unwrap()[0], output);
        }
        let Classification {
            confidence, logits, ..
        } = &labels[3];
        assert_eq!(logits.as_deref(), Some(&[0.0, 10.0, 0.0][..]));
        let expected = 1.0 / (1.0 + 2.0 * (-10f64).exp());
        assert!((confidence.unwrap() - expected).abs() < 1e-6);
        let none: [ImageInput; 0] = [];
        assert!(model.predict_images(&none).unwrap().is_empty());
    }
}

#[test]
fn user_threshold_overrides_the_plan() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = serde_json::to_value(colors(dir.path(), TEN)).unwrap();
    plan["head"]["classification"]["confidence_thresh"] = json!(0.9);
    let model = Model::build(
        &serde_json::from_value(plan).unwrap(),
        dir.path(),
        &Device::cpu(),
    )
    .unwrap();
    let unsure = || model.preprocess(&plain(2, 2, [100, 110, 100])).unwrap();
    let with = |confidence_thresh| PredictOptions {
        confidence_thresh,
        classes: None,
        store_logits: false,
    };
    assert_eq!(class(&model, unsure(), &with(None)), None);
    assert_eq!(
        class(&model, unsure(), &with(Some(0.1))).as_deref(),
        Some("green")
    );
    for bad in [-0.1, 1.1, f32::NAN] {
        let Err(error) = model.task().unwrap().decoder(&with(Some(bad))) else {
            panic!("{bad} is not a confidence")
        };
        assert_eq!(error.option, "confidence_thresh", "{error}");
    }
}

#[test]
fn non_finite_output_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut weight = TEN;
    weight[4] = f32::NAN;
    let model = Model::build(&colors(dir.path(), weight), dir.path(), &Device::cpu()).unwrap();
    let input = model.preprocess(&plain(2, 2, [1, 2, 3])).unwrap();
    let error = model.predict_images(&[input]).unwrap_err();
    assert!(
        matches!(error, Error::NotFinite { index: 0, .. }),
        "{error}"
    );
    // It was computed in full precision, so the remedy is not full precision.
    assert_eq!(error.remedy(), None);
}

#[test]
fn model_can_be_shared_between_threads() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::build(&colors(dir.path(), TEN), dir.path(), &Device::cpu()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let model = &model;
            scope.spawn(move || {
                for round in 0..20 {
                    let mut color = [10, 10, 10];
                    color[(thread + round) % 3] = 200;
                    let input = model.preprocess(&plain(20, 10, color)).unwrap();
                    let class = class(model, input, &PredictOptions::default());
                    assert_eq!(class.as_deref(), Some(CLASSES[(thread + round) % 3]));
                }
            });
        }
    });
}

/// Changes a valid plan and expects building it to fail.
fn refused(change: impl FnOnce(&mut Value, &Path)) -> Error {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = serde_json::to_value(colors(dir.path(), TEN)).unwrap();
    change(&mut plan, dir.path());
    match Model::build(
        &serde_json::from_value(plan).unwrap(),
        dir.path(),
        &Device::cpu(),
    ) {
        Ok(_) => panic!("the plan was built"),
        Err(error) => error,
    }
}

#[test]
fn invalid_plan_is_refused_with_its_field() {
    let cases: [(&str, &str, Value, &str); 8] = [
        ("/weights", "weights", json!([]), "names no file"),
        (
            "/weights",
            "weights",
            json!(["../mix.safetensors"]),
            "not a name inside",
        ),
        (
            "/weights",
            "weights",
            json!(["/mix.safetensors"]),
            "not a name inside",
        ),
        (
            "/preprocessing/steps",
            "steps",
            json!([{ "center_crop": { "height": 0, "width": 3 } }]),
            "preprocessing.steps[0]",
        ),
        (
            "/preprocessing/steps",
            "steps",
            json!([{ "resize_shortest": { "to": 100_000, "resampling": "nearest" } }]),
            "preprocessing.steps[0]",
        ),
        (
            "/preprocessing",
            "normalize",
            json!({ "color": "rgb", "steps": [], "normalize": { "mean": [0.5], "std": [1.0, 1.0, 1.0] } }),
            "mean`: has 1 values for 3 channels",
        ),
        (
            "/preprocessing",
            "normalize",
            json!({ "color": "rgb", "steps": [], "normalize": { "mean": [0.5, 0.5, 0.5], "std": [1.0, 0.0, 1.0] } }),
            "zero",
        ),
        (
            "/head/classification/classes",
            "classes",
            json!([]),
            "is empty",
        ),
    ];
    for (pointer, what, value, expected) in cases {
        let error = refused(|plan, _| *plan.pointer_mut(pointer).unwrap() = value);
        assert!(matches!(error, Error::BadPlan { .. }), "{what}: {error:?}");
        assert!(
            error.to_string().contains(expected),
            "{error} should tell of {expected}"
        );
    }
    let error = refused(|plan, _| plan["preprocessing"]["color"] = json!("gray"));
    assert!(error.to_string().contains("the network takes 3"), "{error}");
    let error = refused(|plan, _| plan["head"]["classification"]["classes"] = json!(["a", "b"]));
    assert!(
        matches!(
            error,
            Error::ClassCount {
                classes: 2,
                outputs: 3
            }
        ),
        "{error}"
    );
}

/// A linear search for each class of the filter would take hours.
#[test]
fn long_class_lists_are_checked_in_linear_time() {
    let error = refused(|plan, _| {
        let classes: Vec<String> = (0..500_000).map(|class| class.to_string()).collect();
        let filter: Vec<String> = classes.iter().rev().cloned().collect();
        plan["head"]["classification"] = json!({ "classes": classes, "filter_classes": filter });
    });
    assert!(matches!(error, Error::ClassCount { .. }), "{error}");
    let error = refused(|plan, _| {
        plan["head"]["classification"]["filter_classes"] = json!(["red", "cow"]);
    });
    assert!(error.to_string().contains("`cow`"), "{error}");
}

#[test]
fn configuration_that_is_not_an_object_is_refused() {
    for config in [json!([50]), json!(null), json!("resnet")] {
        let error = refused(|plan, _| plan["architecture"]["config"] = config);
        let text = error.to_string();
        assert!(matches!(error, Error::BadPlan { .. }), "{error:?}");
        assert!(text.contains("is not a JSON object"), "{text}");
    }
}

#[test]
fn unknown_architecture_suggests_the_nearest() {
    let error = refused(|plan, _| plan["architecture"]["name"] = json!("resnett"));
    assert_eq!(error.to_string(), "unknown architecture `resnett`");
    assert_eq!(
        error.remedy(),
        Some(Remedy::DidYouMean(vec!["resnet".to_owned()]))
    );
    let error = refused(|plan, _| plan["architecture"]["name"] = json!("\u{1b}[2J"));
    assert!(!error.to_string().contains('\u{1b}'), "{error:?}");
    let error = refused(|plan, _| plan["architecture"]["name"] = json!("zzz"));
    let hint = error.remedy().unwrap().to_string();
    assert!(
        architectures()
            .iter()
            .all(|known| hint.contains(known.name)),
        "{hint}"
    );
}

#[test]
fn plans_with_unknown_fields_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = serde_json::to_value(colors(dir.path(), TEN)).unwrap();
    for pointer in [
        "",
        "/architecture",
        "/preprocessing",
        "/head/classification",
    ] {
        let mut plan = good.clone();
        plan.pointer_mut(pointer).unwrap()["extra"] = json!(1);
        let error = serde_json::from_value::<Plan>(plan)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("unknown field `extra`"),
            "{pointer}: {error}"
        );
    }
}

fn save(dir: &Path, tensors: &[(&str, candle_core::Tensor)]) {
    let tensors = tensors
        .iter()
        .cloned()
        .collect::<std::collections::HashMap<_, _>>();
    candle_core::safetensors::save(&tensors, dir.join("mix.safetensors")).unwrap();
}

fn zeros(dims: &[usize], dtype: candle_core::DType) -> candle_core::Tensor {
    candle_core::Tensor::zeros(dims, dtype, &candle_core::Device::Cpu).unwrap()
}

#[test]
fn mismatched_weights_are_named() {
    use candle_core::DType::{F32, I64};
    let error = refused(|_, dir| {
        save(
            dir,
            &[
                ("module.mix.weight", zeros(&[3, 3, 1, 1], F32)),
                ("other", zeros(&[1], F32)),
            ],
        )
    });
    assert_eq!(error.to_string(), "weights: no tensor `mix.weight`");
    assert_eq!(
        error.remedy(),
        Some(Remedy::DidYouMean(vec!["module.mix.weight".to_owned()]))
    );

    let error = refused(|_, dir| save(dir, &[("mix.weight", zeros(&[3, 3, 3, 3], F32))]));
    assert_eq!(
        error.to_string(),
        "weights: tensor `mix.weight` has the shape [3, 3, 3, 3], the architecture needs [3, 3, 1, 1]"
    );

    let error = refused(|_, dir| save(dir, &[("mix.weight", zeros(&[3, 3, 1, 1], I64))]));
    assert_eq!(
        error.to_string(),
        "weights: tensor `mix.weight` has elements of the type I64"
    );

    let weight = ("mix.weight", zeros(&[3, 3, 1, 1], F32));
    let error = refused(|_, dir| {
        save(
            dir,
            &[
                weight.clone(),
                ("mix.weights", zeros(&[3], F32)),
                ("z", zeros(&[3], F32)),
            ],
        )
    });
    assert_eq!(
        error.to_string(),
        "weights: tensor `mix.weights` is not used by the architecture (nor are 1 others)"
    );
    assert!(error.remedy().unwrap().to_string().contains("mix.weight"));

    let error = refused(|plan, dir| {
        std::fs::copy(dir.join("mix.safetensors"), dir.join("more.safetensors")).unwrap();
        plan["weights"] = json!(["mix.safetensors", "more.safetensors"]);
    });
    assert!(
        error
            .to_string()
            .contains("\"mix.weight\" is in another of the weight files too"),
        "{error}"
    );
}

#[test]
fn batch_counts_are_ignored_and_f16_weights_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let plan = colors(dir.path(), TEN);
    for dtype in [
        candle_core::DType::F16,
        candle_core::DType::BF16,
        candle_core::DType::F64,
    ] {
        let weight =
            candle_core::Tensor::from_vec(TEN.to_vec(), (3, 3, 1, 1), &candle_core::Device::Cpu)
                .unwrap();
        save(
            dir.path(),
            &[
                ("mix.weight", weight.to_dtype(dtype).unwrap()),
                (
                    "bn.num_batches_tracked",
                    zeros(&[], candle_core::DType::I64),
                ),
            ],
        );
        let model = Model::build(&plan, dir.path(), &Device::cpu()).unwrap();
        let input = model.preprocess(&plain(2, 2, [0, 0, 255])).unwrap();
        assert_eq!(
            class(&model, input, &PredictOptions::default()).as_deref(),
            Some("blue")
        );
    }
}

#[test]
fn files_that_are_not_weights_are_refused() {
    let error = refused(|_, dir| std::fs::remove_file(dir.join("mix.safetensors")).unwrap());
    assert!(matches!(error, Error::WeightsIo { .. }), "{error:?}");
    let contents: [&[u8]; 4] = [
        b"",
        b"<html>Not found</html>",
        &[0xff; 64],
        b"\x02\0\0\0\0\0\0\0{}extra",
    ];
    for content in contents {
        let error = refused(|_, dir| std::fs::write(dir.join("mix.safetensors"), content).unwrap());
        assert!(matches!(error, Error::WeightsFile { .. }), "{error:?}");
        assert!(error.to_string().contains("mix.safetensors"), "{error}");
    }
    let error = refused(|plan, dir| {
        std::fs::create_dir(dir.join("folder")).unwrap();
        plan["weights"] = json!(["folder"]);
    });
    assert!(error.to_string().contains("not a regular file"), "{error}");
}

/// A BMP of one pixel column: `height` rows of one color.
fn column(height: u32, [red, green, blue]: [u8; 3]) -> Vec<u8> {
    let row = [blue, green, red, 0];
    let size = 54 + height * 4;
    let mut bytes = b"BM".to_vec();
    for field in [
        size,
        0,
        54,
        40,
        1,
        height,
        1 | 24 << 16,
        0,
        height * 4,
        0,
        0,
        0,
        0,
    ] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(row.repeat(height as usize));
    bytes
}

#[test]
fn samples_are_prepared_with_what_is_remembered_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = serde_json::to_value(colors(dir.path(), TEN)).unwrap();
    let half = json!([{ "center_crop": { "height": 2, "width": 1 } }]);
    plan["preprocessing"]["steps"] = half;
    let plan = serde_json::from_value(plan).unwrap();
    let model = Model::build(&plan, dir.path(), &Device::cpu()).unwrap();
    assert!(model.takes(MediaKind::Images) && !model.takes(MediaKind::Texts));
    let fields: Fields = serde_json::from_value(json!({ "prompt": "a cat" })).unwrap();
    let sample = |media| Sample {
        media,
        fields: fields.clone(),
    };
    let red = model
        .prepare(sample(Media::Image(column(4, [255, 0, 0]))))
        .unwrap();
    assert_eq!(red.origin.fields, fields);
    let transform = red.origin.transform.unwrap();
    assert_eq!(
        (transform.original().height, transform.input().height),
        (4, 2)
    );
    // The first row of the input is the second of the image.
    assert_eq!(transform.point_to_original([0.0, 0.0]), [0.0, 0.25]);
    let blue = model
        .prepare(sample(Media::Image(column(4, [0, 0, 255]))))
        .unwrap();
    let outputs = model.predict(&[red, blue.clone()]).unwrap();
    assert_eq!(outputs[1], model.predict(&[blue]).unwrap()[0]);
    let options = PredictOptions::default();
    let classes = outputs.iter().map(|output| label(&model, output, &options));
    let classes: Vec<_> = classes.map(|label| label.unwrap().label.unwrap()).collect();
    assert_eq!(classes, ["red", "blue"]);
}

#[test]
fn samples_of_another_kind_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::build(&colors(dir.path(), TEN), dir.path(), &Device::cpu()).unwrap();
    let sample = |media| Sample {
        media,
        fields: Fields::new(),
    };
    let error = model
        .prepare(sample(Media::Text("a".to_owned())))
        .unwrap_err();
    assert_eq!(error.to_string(), "the model takes no texts");
    assert!(error.remedy().is_some());
    let error = model
        .prepare(sample(Media::Image(b"GIF".to_vec())))
        .unwrap_err();
    assert!(error.to_string().contains("not an image"), "{error}");
    let text = || Prepared {
        input: Input::Text(Tokens::new(vec![1], false)),
        origin: Origin::default(),
    };
    assert!(model.predict(&[text()]).is_err());
    assert!(model.embed(&[text()]).is_err());
    let image = model
        .prepare(sample(Media::Image(column(1, [0; 3]))))
        .unwrap();
    let error = model.predict(&[image, text()]).unwrap_err();
    assert!(error.to_string().contains("together"), "{error}");
}
