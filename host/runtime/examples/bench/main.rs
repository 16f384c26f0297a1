//! The time of networks of the published sizes, with weights and inputs by the recipe of
//! `tests/parity/README.md` (seed 1), which Python can make too.
//!
//! ```text
//! cargo run --release -p modelzoo-runtime --example bench -- [--threads N] [--batch N] [--runs N] [--plain | --compare] [MODEL]...
//! cargo run --release -p modelzoo-runtime --example bench -- --serve [--threads N]
//! ```
//!
//! The first prints one JSON object per line: the model, the batch, the threads, and the median of
//! the runs in milliseconds; with `--plain` that of candle's operations. `--compare` also runs the
//! same weights in candle-transformers, in turns, and prints a table with the ratios. The second
//! form answers lines of `MODEL BATCH RUNS` on standard input with the milliseconds of each run and
//! the first values of the output, for `cargo xtask bench models`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program for developers"
)]

#[path = "../../tests/common/mod.rs"]
mod common;

mod candle;
mod cases;

use std::collections::HashMap;
use std::fs;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::Tensor;
use cases::{MODELS, VOCABULARY};
use modelzoo_model::sample::Tokens;
use modelzoo_runtime::{Device, Model, Plan};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEED: u64 = 1;
const SIDE: usize = 224;
/// Tokens per text.
const TOKENS: usize = 128;
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// Outputs that are printed, to compare engines.
const SHOWN: usize = 8;

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
    if options.compare {
        println!(
            "| network | batch | modelzoo, ms | candle-transformers, ms | ratio | difference |"
        );
        println!("|---|---|---|---|---|---|");
    }
    for model in &options.models {
        let case = Case::build(model, &device);
        for &batch in &options.batches {
            let input = case.input(batch);
            if options.compare {
                compare(model, &case, &input, batch, options.runs);
                continue;
            }
            case.run(&input);
            let times = (0..options.runs).map(|_| timed(|| case.run(&input)).0);
            let answer = json!({
                "model": model, "batch": batch, "threads": rayon::current_num_threads(),
                "milliseconds": median(times.collect()),
            });
            println!("{answer}");
        }
    }
}

/// Runs a batch here and in candle-transformers, in turns, and prints a row of the table: the
/// medians, their ratio, and the largest difference of the outputs relative to the largest of them.
fn compare(name: &str, case: &Case, input: &Input, batch: usize, runs: usize) {
    let theirs = candle::Network::load(name, &case.weights());
    let (ours, reference) = (case.run(input), theirs.run(input));
    let pairs = ours.iter().zip(&reference);
    let apart = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let largest = reference.iter().map(|b| b.abs()).fold(0.0, f32::max);
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        here.push(timed(|| case.run(input)).0);
        there.push(timed(|| theirs.run(input)).0);
    }
    let (here, there) = (median(here), median(there));
    let ratio = there / here;
    let apart = apart / largest;
    println!("| {name} | {batch} | {here:.1} | {there:.1} | {ratio:.2} | {apart:.0e} |");
}

struct Options {
    threads: Option<usize>,
    batches: Vec<usize>,
    runs: usize,
    plain: bool,
    compare: bool,
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
            compare: false,
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
                "--compare" => options.compare = true,
                "--serve" => options.serve = true,
                model if MODELS.contains(&model) => options.models.push(argument),
                other => panic!("`{other}` is not an option and not one of {MODELS:?}"),
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
        let input = case.input(batch.parse().unwrap());
        let mut output = case.run(&input);
        output.truncate(SHOWN);
        let times = (0..runs.parse().unwrap()).map(|_| timed(|| case.run(&input)).0);
        let times: Vec<f64> = times.collect();
        println!("{}", json!({ "milliseconds": times, "output": output }));
    }
}

fn timed<R>(run: impl FnOnce() -> R) -> (f64, R) {
    let begin = Instant::now();
    let result = run();
    (begin.elapsed().as_secs_f64() * 1e3, result)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A batch.
enum Input {
    Images(Tensor),
    Texts(Vec<Tokens>),
}

/// A built network.
struct Case {
    model: Model,
    texts: bool,
    dir: tempfile::TempDir,
}

impl Case {
    fn build(name: &str, device: &Device) -> Self {
        let (architecture, tensors) = cases::network(name);
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
        Self { model, texts, dir }
    }

    fn weights(&self) -> PathBuf {
        self.dir.path().join("weights.safetensors")
    }

    fn input(&self, batch: usize) -> Input {
        if self.texts {
            let texts = (0..batch).map(|row| self.model.tokenize(&text(row)).unwrap());
            return Input::Texts(texts.collect());
        }
        Input::Images(common::recipe("x", &[batch, 3, SIDE, SIDE], SEED))
    }

    /// The output of the first sample.
    fn run(&self, input: &Input) -> Vec<f32> {
        match input {
            Input::Images(x) => {
                let y = self.model.forward(x).unwrap();
                y.get(0).unwrap().to_vec1::<f32>().unwrap()
            }
            Input::Texts(texts) => self.model.embed_texts(texts).unwrap().swap_remove(0),
        }
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

/// Words of one token each; with the two special tokens, [`TOKENS`].
fn text(row: usize) -> String {
    let id = |at: usize| SPECIAL.len() + (row * TOKENS + at) * 7919 % (VOCABULARY - SPECIAL.len());
    let words: Vec<String> = (0..TOKENS - 2).map(|at| format!("w{}", id(at))).collect();
    words.join(" ")
}
