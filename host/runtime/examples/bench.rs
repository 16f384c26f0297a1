//! Ratios of times, measured in one run: this crate's kernels against candle's plain operations,
//! the same weights, on the CPU.
//!
//! ```text
//! RAYON_NUM_THREADS=1 cargo run --release -p modelzoo-runtime --example bench -- [--ours] [resnet50 [batch]]
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for its developers"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use candle_core::Tensor;
use modelzoo_runtime::{Device, Model, Plan};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long each of the two is run, at least, and how often.
const PERIOD: Duration = Duration::from_secs(2);
const TIMES: usize = 5;

struct Case {
    name: &'static str,
    config: serde_json::Value,
    tensors: Vec<(String, Vec<usize>)>,
    side: usize,
}

fn cases() -> Vec<Case> {
    let resnet = |name, depth: u32, bottleneck, layers, width, groups| Case {
        name,
        config: serde_json::json!({ "depth": depth, "width_per_group": width, "groups": groups }),
        tensors: common::resnet_tensors(bottleneck, layers, 1000, width, groups),
        side: 224,
    };
    vec![
        resnet("resnet18", 18, false, [2, 2, 2, 2], 64, 1),
        resnet("resnet50", 50, true, [3, 4, 6, 3], 64, 1),
        resnet("resnext50_32x4d", 50, true, [3, 4, 6, 3], 4, 32),
    ]
}

/// The model, and how long it took to build.
fn build(case: &Case, device: &Device) -> (Model, Duration) {
    let dir = tempfile::tempdir().unwrap();
    common::write_recipe(&dir.path().join("weights.safetensors"), &case.tensors, 1);
    let plan: Plan = serde_json::from_value(serde_json::json!({
        "architecture": { "name": "resnet", "config": case.config },
        "weights": ["weights.safetensors"],
        "preprocessing": { "color": "rgb", "steps": [] },
        "head": { "classification": { "classes": vec!["x"; 1000] } },
    }))
    .unwrap();
    let begin = Instant::now();
    let model = Model::build(&plan, dir.path(), device).unwrap();
    (model, begin.elapsed())
}

/// The least time of one run.
fn time(model: &Model, x: &Tensor) -> Duration {
    let (start, mut best, mut times) = (Instant::now(), Duration::MAX, 0);
    while start.elapsed() < PERIOD || times < TIMES {
        let begin = Instant::now();
        model.forward(x).unwrap();
        best = best.min(begin.elapsed());
        times += 1;
    }
    best
}

fn main() {
    let (flags, arguments): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.starts_with("--"));
    let ours_only = flags.iter().any(|flag| flag == "--ours");
    let wanted = arguments.first();
    let batch = arguments.get(1).map(|batch| batch.parse().unwrap());
    println!("threads: {}", rayon::current_num_threads());
    println!(
        "{:<18} {:>5} {:>10} {:>10} {:>10} {:>6}",
        "model", "batch", "load", "ours", "candle", "ratio"
    );
    for case in cases() {
        if wanted.is_some_and(|wanted| case.name != wanted) {
            continue;
        }
        let (ours, load) = build(&case, &Device::cpu());
        let plain = (!ours_only).then(|| build(&case, &Device::cpu_reference()).0);
        for batch in batch.map_or(vec![1, 8], |batch| vec![batch]) {
            let x = common::recipe("x", &[batch, 3, case.side, case.side], 7);
            let mine = millis(time(&ours, &x));
            print!(
                "{:<18} {batch:>5} {:>8.0}ms {mine:>8.1}ms",
                case.name,
                millis(load)
            );
            match &plain {
                None => println!(),
                Some(plain) => {
                    let theirs = millis(time(plain, &x));
                    println!(" {theirs:>8.1}ms {:>6.2}", mine / theirs);
                }
            }
        }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
