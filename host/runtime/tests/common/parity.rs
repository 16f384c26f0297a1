//! The fixtures of `tests/parity`: a reference's answers, and the check that ours are the same. A
//! missing file fails: these tests never pass for want of something to compare.

use std::path::{Path, PathBuf};

use candle_core::{Device as Candle, Tensor};
use modelzoo_runtime::{Device, Model, Plan};
use serde_json::{Value, json};

/// The largest absolute difference divided by the largest absolute value of the reference.
const TOLERANCE: f32 = 1e-4;

/// Where the cases are: the committed ones, or those in `MODELZOO_PARITY`.
pub(crate) fn fixtures() -> PathBuf {
    match std::env::var_os("MODELZOO_PARITY") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/fixtures"),
    }
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
    let seed = read_json(&folder.join("recipe.json"))["seed"]
        .as_u64()
        .unwrap();
    let shape = |shape: &Value| serde_json::from_value::<Vec<usize>>(shape.clone()).unwrap();
    let tensors: Vec<(String, Vec<usize>)> = read_json(&folder.join("tensors.json"))
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, dims)| (name.clone(), shape(dims)))
        .collect();
    super::write_recipe(&dir.join("weights.safetensors"), &tensors, seed);
    serde_json::from_value(json!({
        "architecture": read_json(&folder.join("architecture.json")),
        "weights": ["weights.safetensors"],
        "preprocessing": { "color": "rgb", "steps": [] },
    }))
    .unwrap()
}

/// Checks the answers to images: `y`, and every `layer:<name>`, on our kernels and on candle's
/// operations; and that each image of the batch has the answer that it has alone.
pub(crate) fn check(case: &str) {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan(case, dir.path());
    let folder = fixtures().join(case);
    let x = read_tensor(&folder.join("inputs.safetensors"), "x");
    let outputs = folder.join("outputs.safetensors");
    let outputs = candle_core::safetensors::load(outputs, &Candle::Cpu).unwrap();
    for device in [Device::cpu(), Device::cpu_reference()] {
        let model = Model::build(&plan, dir.path(), &device).unwrap();
        for (name, want) in &outputs {
            let ours = match name.strip_prefix("layer:") {
                Some(layer) => model.forward_to(&x, layer).unwrap(),
                None => model.forward(&x).unwrap(),
            };
            close(&format!("{case} {name} on {device:?}"), &ours, want);
        }
        let want = &outputs["y"];
        for index in 0..x.dim(0).unwrap() {
            let alone = model.forward(&x.narrow(0, index, 1).unwrap()).unwrap();
            let want = want.narrow(0, index, 1).unwrap();
            close(&format!("{case} {index} on {device:?}"), &alone, &want);
        }
        for layer in model.layers() {
            let seen = model.forward_to(&x, layer).is_ok()
                || model.forward_to(&x, &format!("<{layer}")).is_ok();
            assert!(seen, "{case}: layer {layer} is listed, but never seen");
        }
    }
}

/// The relative error of `y` for images on our kernels, for sizes that are too large for
/// [`check`].
pub(crate) fn error_of(case: &str) -> f32 {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan(case, dir.path());
    let folder = fixtures().join(case);
    let x = read_tensor(&folder.join("inputs.safetensors"), "x");
    let want = read_tensor(&folder.join("outputs.safetensors"), "y");
    let model = Model::build(&plan, dir.path(), &Device::cpu()).unwrap();
    let ours = model.forward(&x).unwrap();
    assert_eq!(ours.dims(), want.dims(), "{case}");
    largest(&(ours - &want).unwrap()) / largest(&want)
}

/// Checks shape, values and, for rows, where the largest value is.
pub(crate) fn close(what: &str, ours: &Tensor, want: &Tensor) {
    assert_eq!(ours.dims(), want.dims(), "{what}");
    let error = largest(&(ours - want).unwrap()) / largest(want);
    assert!(error <= TOLERANCE, "{what}: relative error {error}");
    if want.rank() == 2 {
        let best = |y: &Tensor| y.argmax(1).unwrap().to_vec1::<u32>().unwrap();
        assert_eq!(best(ours), best(want), "{what}");
    }
}

fn largest(x: &Tensor) -> f32 {
    let largest = x.abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    largest.to_scalar().unwrap()
}
