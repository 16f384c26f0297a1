//! The fixtures of `tests/parity`, and comparisons with them. A missing file is a failure.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device as Candle, Tensor};
use modelzoo_model::label::{Classification, Label};
use modelzoo_model::output::Output;
use modelzoo_model::sample::{ImageInput, Origin, Tokens};
use modelzoo_model::task::PredictOptions;
use modelzoo_runtime::{Color, Device, Image, Model, Plan};
use serde_json::{Value, json};

/// The largest absolute difference divided by the largest absolute value of the reference.
const TOLERANCE: f32 = 1e-4;

/// The folder of the cases: the committed ones, or `MODELZOO_PARITY`.
pub(crate) fn fixtures() -> PathBuf {
    std::env::var_os("MODELZOO_PARITY").map_or_else(committed, PathBuf::from)
}

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/fixtures")
}

pub(crate) fn read_json(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap()
}

pub(crate) fn read_tensor(path: &Path, name: &str) -> Tensor {
    let tensors = candle_core::safetensors::load(path, &Candle::Cpu);
    tensors.unwrap_or_else(|error| panic!("{}: {error}", path.display()))[name].clone()
}

/// The plan of a case, whose weights are written into `dir` by the recipe.
pub(crate) fn plan(case: &str, dir: &Path) -> Plan {
    let folder = fixtures().join(case);
    let recipe = read_json(&folder.join("recipe.json"));
    let seed = recipe["seed"].as_u64().unwrap();
    let gain = recipe["gain"].as_f64().unwrap_or(1.0);
    let shape = |shape: &Value| serde_json::from_value::<Vec<usize>>(shape.clone()).unwrap();
    let tensors: Vec<(String, Vec<usize>)> = read_json(&folder.join("tensors.json"))
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, dims)| (name.clone(), shape(dims)))
        .collect();
    super::write_magnified(&dir.join("weights.safetensors"), &tensors, seed, gain);
    serde_json::from_value(json!({
        "architecture": read_json(&folder.join("architecture.json")),
        "weights": ["weights.safetensors"],
        "preprocessing": { "color": "rgb", "steps": [] },
    }))
    .unwrap()
}

/// The plan of a case for texts, with a tokenizer, which is not used.
pub(crate) fn text_plan(case: &str, dir: &Path) -> Plan {
    let mut plan = serde_json::to_value(plan(case, dir)).unwrap();
    plan.as_object_mut().unwrap().remove("preprocessing");
    with_tokenizer(plan, dir)
}

/// A plan with a tokenizer without padding token, so that the network's is used.
fn with_tokenizer(mut plan: Value, dir: &Path) -> Plan {
    let file = "clip.json";
    std::fs::copy(committed().join("tokenizers").join(file), dir.join(file)).unwrap();
    plan["tokenizer"] = json!({ "format": { "json": { "file": file } } });
    serde_json::from_value(plan).unwrap()
}

/// The texts of a case: the first `lengths` of the `ids` of each row.
pub(crate) fn texts(case: &str) -> Vec<Tokens> {
    let inputs = fixtures().join(case).join("inputs.safetensors");
    let numbers = |name| read_tensor(&inputs, name).to_dtype(DType::U32).unwrap();
    let ids = numbers("ids").to_vec2::<u32>().unwrap();
    let lengths = numbers("lengths").to_vec1::<u32>().unwrap();
    ids.into_iter()
        .zip(lengths)
        .map(|(row, length)| Tokens::new(row[..length as usize].to_vec(), false))
        .collect()
}

/// Checks the outputs for texts: `y`, and every `layer:<name>`, as [`check`] does for images. Padding
/// is not compared.
pub(crate) fn check_texts(case: &str) {
    let dir = tempfile::tempdir().unwrap();
    let plan = text_plan(case, dir.path());
    let texts = texts(case);
    let outputs = fixtures().join(case).join("outputs.safetensors");
    let outputs = candle_core::safetensors::load(outputs, &Candle::Cpu).unwrap();
    for device in [Device::cpu(), Device::cpu_reference()] {
        let mut model = Model::build(&plan, dir.path(), &device).unwrap();
        for (name, want) in outputs.iter().filter(|(name, _)| !is_of_images(name)) {
            let ours = match name.strip_prefix("layer:") {
                Some(layer) => model.forward_texts_to(&texts, layer).unwrap(),
                None => model.forward_texts(&texts).unwrap(),
            };
            let what = format!("{case} {name} on {device:?}");
            close(&what, &own(&ours, &texts), &own(want, &texts));
        }
        let want = outputs.get("texts").unwrap_or_else(|| &outputs["y"]);
        let other = |layer: &str| outputs.contains_key("images") && image_layer(layer);
        check_layers(case, &mut model, other, |model, layer| {
            model.forward_texts_to(&texts, layer).is_ok()
        });
        for (index, text) in texts.iter().enumerate() {
            let alone = model.forward_texts(std::slice::from_ref(text)).unwrap();
            let mut want = want.narrow(0, index, 1).unwrap();
            if want.rank() == 3 {
                want = want.narrow(1, 0, text.ids().len()).unwrap();
            }
            close(&format!("{case} {index} on {device:?}"), &alone, &want);
        }
    }
}

/// Whether an output of a case with images and texts belongs to the images, or to both.
pub(crate) fn is_of_images(name: &str) -> bool {
    matches!(name, "images" | "logits") || name.starts_with("layer:vis")
}

fn image_layer(name: &str) -> bool {
    name.starts_with("vis")
}

/// Whether it belongs to the texts, or to both.
pub(crate) fn is_of_texts(name: &str) -> bool {
    matches!(name, "texts" | "logits") || name.starts_with("layer:text")
}

/// Checks of each listed layer, except those of the `other` tower, that exactly those values exist
/// that the model accepts for embeddings: the output, with a `<` the input, or one of them where
/// modules are fused.
fn check_layers(
    case: &str,
    model: &mut Model,
    other: impl Fn(&str) -> bool,
    seen: impl Fn(&Model, &str) -> bool,
) {
    let layers = model.layers().to_vec();
    for layer in layers.iter().filter(|layer| !other(layer)) {
        let forms = [layer.clone(), format!("<{layer}")];
        let taken = forms.map(|form| {
            let taken = model.set_embeddings_layer(&form).is_ok();
            assert_eq!(taken, seen(model, &form), "{case}: layer {form}");
            taken
        });
        let either = taken.contains(&true);
        assert!(either, "{case}: layer {layer} is listed, but never seen");
    }
}

/// Features of tokens without padding: `[tokens of all texts, features]`; features of texts
/// unchanged.
pub(crate) fn own(values: &Tensor, texts: &[Tokens]) -> Tensor {
    if values.rank() != 3 {
        return values.clone();
    }
    let rows: Vec<Tensor> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let row = values.get(index).unwrap();
            row.narrow(0, 0, text.ids().len()).unwrap()
        })
        .collect();
    Tensor::cat(&rows, 0).unwrap()
}

/// Checks the outputs for images: `y`, and every `layer:<name>`, with our kernels and with candle's
/// operations; and that each image of the batch has the output that it has alone.
pub(crate) fn check(case: &str) {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan(case, dir.path());
    let folder = fixtures().join(case);
    let x = read_tensor(&folder.join("inputs.safetensors"), "x");
    let outputs = folder.join("outputs.safetensors");
    let outputs = candle_core::safetensors::load(outputs, &Candle::Cpu).unwrap();
    for device in [Device::cpu(), Device::cpu_reference()] {
        let mut model = Model::build(&plan, dir.path(), &device).unwrap();
        for (name, want) in outputs.iter().filter(|(name, _)| !is_of_texts(name)) {
            let ours = match name.strip_prefix("layer:") {
                Some(layer) => model.forward_to(&x, layer).unwrap(),
                None => model.forward(&x).unwrap(),
            };
            close(&format!("{case} {name} on {device:?}"), &ours, want);
        }
        let want = outputs.get("images").unwrap_or_else(|| &outputs["y"]);
        for index in 0..x.dim(0).unwrap() {
            let alone = model.forward(&x.narrow(0, index, 1).unwrap()).unwrap();
            let want = want.narrow(0, index, 1).unwrap();
            close(&format!("{case} {index} on {device:?}"), &alone, &want);
        }
        let other = |layer: &str| outputs.contains_key("texts") && !image_layer(layer);
        check_layers(case, &mut model, other, |model, layer| {
            model.forward_to(&x, layer).is_ok()
        });
    }
}

/// The error of an output.
pub(crate) struct Off {
    /// `y`, `images` or `texts`.
    pub(crate) answer: String,
    /// The largest absolute difference divided by the largest absolute value of the reference.
    pub(crate) error: f32,
    /// The description of a failure.
    pub(crate) wrong: Option<String>,
}

/// Compares the outputs of our kernels, for sizes that are too large for [`check`] and
/// [`check_texts`]: `y` of images or texts, or `images` and `texts`.
pub(crate) fn compare(case: &str) -> Vec<Off> {
    let dir = tempfile::tempdir().unwrap();
    let folder = fixtures().join(case);
    let load = |file: &str| candle_core::safetensors::load(folder.join(file), &Candle::Cpu);
    let inputs = load("inputs.safetensors").unwrap();
    let (x, ids) = (inputs.get("x"), inputs.contains_key("ids"));
    let plan = match (x, ids) {
        (Some(_), false) => plan(case, dir.path()),
        (None, _) => text_plan(case, dir.path()),
        (Some(_), true) => {
            let plan = serde_json::to_value(plan(case, dir.path())).unwrap();
            with_tokenizer(plan, dir.path())
        }
    };
    let model = Model::build(&plan, dir.path(), &Device::cpu()).unwrap();
    let answers = load("outputs.safetensors").unwrap().into_iter();
    let mut compared: Vec<Off> = answers
        .map(|(answer, want)| {
            let of_images = answer == "images" || (answer == "y" && !ids);
            let ours = match x.filter(|_| of_images) {
                Some(x) => model.forward(x).unwrap(),
                None => {
                    let texts = texts(case);
                    let ours = model.forward_texts(&texts).unwrap();
                    return off(answer, &own(&ours, &texts), &own(&want, &texts));
                }
            };
            off(answer, &ours, &want)
        })
        .collect();
    compared.sort_by(|a, b| a.answer.cmp(&b.answer));
    compared
}

fn off(answer: String, ours: &Tensor, want: &Tensor) -> Off {
    let (error, wrong) = difference(ours, want);
    Off {
        answer,
        error,
        wrong,
    }
}

/// Checks shape, values and, for rows, the place of the largest value.
pub(crate) fn close(what: &str, ours: &Tensor, want: &Tensor) {
    if let (_, Some(wrong)) = difference(ours, want) {
        panic!("{what}: {wrong}");
    }
}

/// The relative error, and the description of a failure.
fn difference(ours: &Tensor, want: &Tensor) -> (f32, Option<String>) {
    if ours.dims() != want.dims() {
        let (ours, want) = (ours.dims(), want.dims());
        return (
            f32::NAN,
            Some(format!("shape {ours:?} instead of {want:?}")),
        );
    }
    let error = largest(&(ours - want).unwrap()) / largest(want);
    if error.is_nan() || error > TOLERANCE {
        return (error, Some(format!("relative error {error}")));
    }
    let best = |y: &Tensor| y.argmax(1).unwrap().to_vec1::<u32>().unwrap();
    let wrong = (want.rank() == 2 && best(ours) != best(want))
        .then(|| format!("the best are {:?} instead of {:?}", best(ours), best(want)));
    (error, wrong)
}

/// The largest absolute value; NaN if there is one.
pub(crate) fn largest(x: &Tensor) -> f32 {
    let values = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let larger = |largest: f32, value: f32| {
        if value.is_nan() || value.abs() > largest {
            value.abs()
        } else {
            largest
        }
    };
    values.into_iter().fold(0.0, larger)
}

/// The classes of the cases that compare images with texts.
pub(crate) const CLASSES: [&str; 3] = ["cat", "dog", "car"];

/// The plan of such a case, with a tokenizer, a zero-shot head and a change.
pub(crate) fn zero_shot_plan(case: &str, dir: &Path, change: impl FnOnce(&mut Value)) -> Plan {
    let siglip = case.starts_with("siglip");
    let (family, file) = if siglip {
        ("siglip-tiny", "unigram.json")
    } else {
        ("clip-tiny", "merges.txt.gz")
    };
    let tokenizers = fixtures().join("tokenizers");
    std::fs::copy(tokenizers.join(file), dir.join(file)).unwrap();
    let format = if siglip {
        json!({ "json": { "file": file } })
    } else {
        json!({ "clip_bpe": { "merges": file } })
    };
    let mut plan = serde_json::to_value(plan(case, dir)).unwrap();
    plan["tokenizer"] = json!({ "format": format, "max_tokens": 12, "pad_to_max": siglip });
    plan["head"] = json!({ "zero_shot": {
        "classes": CLASSES,
        "prompts": read_json(&fixtures().join(family).join("prompts.json")),
        "scoring": if siglip { "sigmoid" } else { "softmax" },
    } });
    change(&mut plan);
    serde_json::from_value(plan).unwrap()
}

/// The images of a case, as pixels.
pub(crate) fn images(case: &str) -> Vec<Image> {
    let x = read_tensor(&fixtures().join(case).join("inputs.safetensors"), "x");
    let (batch, _, height, width) = x.dims4().unwrap();
    (0..batch)
        .map(|index| {
            let last = x.get(index).unwrap().permute((1, 2, 0)).unwrap();
            let values = last.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let pixels = values.iter().map(|value| (value * 255.0).round() as u8);
            let (width, height) = (width as u32, height as u32);
            Image::from_pixels(width, height, Color::Rgb, pixels.collect()).unwrap()
        })
        .collect()
}

/// The images of a case, as a model takes them.
pub(crate) fn inputs(case: &str, model: &Model) -> Vec<ImageInput> {
    let images = images(case);
    let inputs = images.iter().map(|image| model.preprocess(image).unwrap());
    inputs.collect()
}

/// The label that the task of a model gives for an output, with its scores.
pub(crate) fn classification(model: &Model, output: &Output) -> Classification {
    let options = PredictOptions {
        store_logits: true,
        ..PredictOptions::default()
    };
    let task = model.plan().head.as_ref().unwrap();
    let decoder = task.decoder(&options).unwrap();
    match decoder.decode(output.clone(), &Origin::default()).unwrap() {
        Some(Label::Classification(label)) => label,
        other => panic!("{other:?}"),
    }
}

/// Checks the predictions for the images of a case: the logits with `close`, and the labels, which
/// are the best of the reference's.
pub(crate) fn check_zero_shot(
    case: &str,
    model: &Model,
    inputs: &[ImageInput],
    close: impl Fn(&str, &Tensor, &Tensor),
) -> Vec<Output> {
    let want = read_tensor(&fixtures().join(case).join("outputs.safetensors"), "logits");
    assert_eq!(want.dims(), [inputs.len(), CLASSES.len()]);
    let outputs = model.predict_images(inputs).unwrap();
    for (index, output) in outputs.iter().enumerate() {
        let Classification { label, logits, .. } = classification(model, output);
        let want = want.get(index).unwrap();
        let ours = Tensor::new(logits.as_deref().unwrap(), want.device()).unwrap();
        let device = model.device();
        close(&format!("{case} {index} on {device:?}"), &ours, &want);
        let best = want.argmax(0).unwrap().to_scalar::<u32>().unwrap();
        assert_eq!(label.as_deref(), Some(CLASSES[best as usize]));
    }
    outputs
}
