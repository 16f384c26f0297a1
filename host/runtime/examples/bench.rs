//! How long networks of the published sizes take, with weights and inputs by the recipe of
//! `tests/parity/README.md` (seed 1), which Python can make too.
//!
//! ```text
//! cargo run --release -p modelzoo-runtime --example bench -- [--threads N] [--batch N] [--runs N] [--plain] [MODEL]...
//! cargo run --release -p modelzoo-runtime --example bench -- --serve [--threads N]
//! ```
//!
//! The first prints one JSON object a line: the model, the batch, the threads, and the median of
//! the runs in milliseconds; with `--plain` the same through candle's own operations. The second
//! answers lines of `MODEL BATCH RUNS` on standard input with the milliseconds of each run and the
//! first values of the output, so that `cargo xtask bench models` can run several engines in turns.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program for its developers"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::collections::HashMap;
use std::fs;
use std::io::BufRead as _;
use std::path::Path;
use std::time::Instant;

use modelzoo_runtime::{Device, Model, Plan};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MODELS: [&str; 4] = ["resnet50", "clip_vit_b32", "vit_b16", "minilm_l6"];
const SEED: u64 = 1;
const SIDE: usize = 224;
const CLASSES: usize = 1000;
/// Tokens of a text, and of MiniLM's vocabulary.
const TOKENS: usize = 128;
const VOCABULARY: usize = 30_522;
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// Outputs that are shown, for comparing engines.
const SHOWN: usize = 8;

type Tensors = Vec<(String, Vec<usize>)>;

fn main() {
    let mut options = Options::parse();
    if let Some(threads) = options.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build_global().unwrap();
    }
    let device = if options.plain {
        Device::cpu_reference()
    } else {
        Device::cpu()
    };
    if options.serve {
        return serve(&device);
    }
    if options.models.is_empty() {
        options.models = MODELS.map(str::to_owned).into();
    }
    for model in &options.models {
        let case = Case::build(model, &device);
        for &batch in &options.batches {
            let run = case.prepare(batch);
            run();
            let times: Vec<f64> = (0..options.runs).map(|_| timed(&run).0).collect();
            let answer = json!({
                "model": model, "batch": batch, "threads": rayon::current_num_threads(),
                "milliseconds": median(times),
            });
            println!("{answer}");
        }
    }
}

struct Options {
    threads: Option<usize>,
    batches: Vec<usize>,
    runs: usize,
    plain: bool,
    serve: bool,
    models: Vec<String>,
}

impl Options {
    fn parse() -> Self {
        let mut options = Self {
            threads: None,
            batches: vec![1, 8],
            runs: 15,
            plain: false,
            serve: false,
            models: Vec::new(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().and_then(|value| value.parse().ok());
            match argument.as_str() {
                "--threads" => options.threads = Some(number().unwrap()),
                "--batch" => options.batches = vec![number().unwrap()],
                "--runs" => options.runs = number().unwrap(),
                "--plain" => options.plain = true,
                "--serve" => options.serve = true,
                model if MODELS.contains(&model) => options.models.push(argument),
                other => panic!("`{other}` is none of {MODELS:?} and no option"),
            }
        }
        options
    }
}

/// Answers requests until there are no more.
fn serve(device: &Device) {
    let mut cases: HashMap<String, Case> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let [model, batch, runs] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("`{line}` is not MODEL BATCH RUNS");
        };
        let case = cases
            .entry(model.to_owned())
            .or_insert_with(|| Case::build(model, device));
        let run = case.prepare(batch.parse().unwrap());
        let mut output = run();
        output.truncate(SHOWN);
        let times: Vec<f64> = (0..runs.parse().unwrap()).map(|_| timed(&run).0).collect();
        println!("{}", json!({ "milliseconds": times, "output": output }));
    }
}

fn timed<R>(run: impl Fn() -> R) -> (f64, R) {
    let begin = Instant::now();
    let result = run();
    (begin.elapsed().as_secs_f64() * 1e3, result)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A network that is built.
struct Case {
    model: Model,
    texts: bool,
}

impl Case {
    fn build(name: &str, device: &Device) -> Self {
        let (architecture, tensors) = match name {
            "resnet50" => resnet50(),
            "clip_vit_b32" => clip_vit_b32(),
            "vit_b16" => vit_b16(),
            "minilm_l6" => minilm_l6(),
            other => panic!("unknown model `{other}`"),
        };
        let texts = name == "minilm_l6";
        let dir = tempfile::tempdir().unwrap();
        common::write_recipe(&dir.path().join("weights.safetensors"), &tensors, SEED);
        let mut plan = json!({ "architecture": architecture, "weights": ["weights.safetensors"] });
        if texts {
            write_vocabulary(&dir.path().join("vocab.txt"));
            let format = json!({ "word_piece": { "vocab": "vocab.txt", "lowercase": true } });
            plan["tokenizer"] = json!({ "format": format });
            plan["embeddings"] = json!({ "pooling": "mean" });
        } else {
            plan["preprocessing"] = json!({ "color": "rgb", "steps": [] });
            plan["embeddings"] = json!({});
        }
        let plan: Plan = serde_json::from_value(plan).unwrap();
        let model = Model::build(&plan, dir.path(), device).unwrap();
        Self { model, texts }
    }

    /// What runs a batch and returns the output of its first sample.
    fn prepare(&self, batch: usize) -> Box<dyn Fn() -> Vec<f32> + '_> {
        if self.texts {
            let texts: Vec<_> = (0..batch)
                .map(|row| self.model.tokenize(&text(row)).unwrap())
                .collect();
            return Box::new(move || self.model.embed_texts(&texts).unwrap().swap_remove(0));
        }
        let x = common::recipe("x", &[batch, 3, SIDE, SIDE], SEED);
        Box::new(move || {
            let y = self.model.forward(&x).unwrap();
            y.get(0).unwrap().to_vec1::<f32>().unwrap()
        })
    }
}

fn write_vocabulary(path: &Path) {
    let words = (SPECIAL.len()..VOCABULARY).map(|id| format!("w{id}"));
    let lines: Vec<String> = SPECIAL
        .map(str::to_owned)
        .into_iter()
        .chain(words)
        .collect();
    fs::write(path, lines.join("\n")).unwrap();
}

/// Words that are one token each, and with the two around them [`TOKENS`].
fn text(row: usize) -> String {
    let id = |at: usize| SPECIAL.len() + (row * TOKENS + at) * 7919 % (VOCABULARY - SPECIAL.len());
    let words: Vec<String> = (0..TOKENS - 2).map(|at| format!("w{}", id(at))).collect();
    words.join(" ")
}

fn resnet50() -> (Value, Tensors) {
    let tensors = common::resnet_tensors(true, [3, 4, 6, 3], CLASSES, 64, 1);
    (
        json!({ "name": "resnet", "config": { "depth": 50 } }),
        tensors,
    )
}

/// The names of a block's linear layers and norms, and their sizes.
fn block(tensors: &mut Tensors, prefix: &str, layers: &[(&str, [usize; 2])], norms: [&str; 2]) {
    let width = layers[0].1[0];
    for &(name, [inputs, outputs]) in layers {
        tensors.push((format!("{prefix}.{name}.weight"), vec![outputs, inputs]));
        tensors.push((format!("{prefix}.{name}.bias"), vec![outputs]));
    }
    for name in norms {
        norm(tensors, &format!("{prefix}.{name}"), width);
    }
}

fn norm(tensors: &mut Tensors, name: &str, width: usize) {
    for part in ["weight", "bias"] {
        tensors.push((format!("{name}.{part}"), vec![width]));
    }
}

fn vit_b16() -> (Value, Tensors) {
    let mut tensors = vec![
        ("vit.embeddings.cls_token".to_owned(), vec![1, 1, 768]),
        (
            "vit.embeddings.position_embeddings".to_owned(),
            vec![1, 197, 768],
        ),
        (
            "vit.embeddings.patch_embeddings.projection.weight".to_owned(),
            vec![768, 3, 16, 16],
        ),
        (
            "vit.embeddings.patch_embeddings.projection.bias".to_owned(),
            vec![768],
        ),
        ("classifier.weight".to_owned(), vec![CLASSES, 768]),
        ("classifier.bias".to_owned(), vec![CLASSES]),
    ];
    for layer in 0..12 {
        let layers = [
            ("attention.attention.query", [768, 768]),
            ("attention.attention.key", [768, 768]),
            ("attention.attention.value", [768, 768]),
            ("attention.output.dense", [768, 768]),
            ("intermediate.dense", [768, 3072]),
            ("output.dense", [3072, 768]),
        ];
        let prefix = format!("vit.encoder.layer.{layer}");
        block(
            &mut tensors,
            &prefix,
            &layers,
            ["layernorm_before", "layernorm_after"],
        );
    }
    norm(&mut tensors, "vit.layernorm", 768);
    let config = json!({
        "model_type": "vit", "architectures": ["ViTForImageClassification"], "num_labels": CLASSES,
    });
    (json!({ "name": "vit", "config": config }), tensors)
}

fn clip_block(tensors: &mut Tensors, prefix: &str, [width, inner]: [usize; 2]) {
    let layers = [
        ("self_attn.q_proj", [width, width]),
        ("self_attn.k_proj", [width, width]),
        ("self_attn.v_proj", [width, width]),
        ("self_attn.out_proj", [width, width]),
        ("mlp.fc1", [width, inner]),
        ("mlp.fc2", [inner, width]),
    ];
    block(tensors, prefix, &layers, ["layer_norm1", "layer_norm2"]);
}

/// The published image tower, beside a text tower that is as good as none.
fn clip_vit_b32() -> (Value, Tensors) {
    let (images, texts) = ("vision_model", "text_model");
    let mut tensors = vec![
        (format!("{images}.embeddings.class_embedding"), vec![768]),
        (
            format!("{images}.embeddings.patch_embedding.weight"),
            vec![768, 3, 32, 32],
        ),
        (
            format!("{images}.embeddings.position_embedding.weight"),
            vec![50, 768],
        ),
        (
            format!("{texts}.embeddings.token_embedding.weight"),
            vec![64, 16],
        ),
        (
            format!("{texts}.embeddings.position_embedding.weight"),
            vec![8, 16],
        ),
        ("visual_projection.weight".to_owned(), vec![512, 768]),
        ("text_projection.weight".to_owned(), vec![512, 16]),
        ("logit_scale".to_owned(), vec![]),
    ];
    for layer in 0..12 {
        clip_block(
            &mut tensors,
            &format!("{images}.encoder.layers.{layer}"),
            [768, 3072],
        );
    }
    clip_block(&mut tensors, &format!("{texts}.encoder.layers.0"), [16, 16]);
    norm(&mut tensors, &format!("{images}.pre_layrnorm"), 768);
    norm(&mut tensors, &format!("{images}.post_layernorm"), 768);
    norm(&mut tensors, &format!("{texts}.final_layer_norm"), 16);
    let text_config = json!({
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 64,
        "num_attention_heads": 1, "max_position_embeddings": 8, "eos_token_id": 63,
    });
    let config = json!({ "model_type": "clip", "text_config": text_config });
    (json!({ "name": "clip", "config": config }), tensors)
}

/// all-MiniLM-L6-v2.
fn minilm_l6() -> (Value, Tensors) {
    let mut tensors = vec![
        (
            "embeddings.word_embeddings.weight".to_owned(),
            vec![VOCABULARY, 384],
        ),
        (
            "embeddings.position_embeddings.weight".to_owned(),
            vec![512, 384],
        ),
        (
            "embeddings.token_type_embeddings.weight".to_owned(),
            vec![2, 384],
        ),
    ];
    norm(&mut tensors, "embeddings.LayerNorm", 384);
    for layer in 0..6 {
        let layers = [
            ("attention.self.query", [384, 384]),
            ("attention.self.key", [384, 384]),
            ("attention.self.value", [384, 384]),
            ("attention.output.dense", [384, 384]),
            ("intermediate.dense", [384, 1536]),
            ("output.dense", [1536, 384]),
        ];
        let norms = ["attention.output.LayerNorm", "output.LayerNorm"];
        block(
            &mut tensors,
            &format!("encoder.layer.{layer}"),
            &layers,
            norms,
        );
    }
    let config = json!({
        "model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": 384,
        "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536,
    });
    (json!({ "name": "bert", "config": config }), tensors)
}
