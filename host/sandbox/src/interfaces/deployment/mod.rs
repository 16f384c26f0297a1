//! `modelzoo:source/deployment`: from the plan that `load-model` returns to the host's [`Plan`].
//!
//! See `wit/v0.1/deployment.wit`. A plan is untrusted input. [`Plan::validate`] says which plans
//! are acceptable; this module converts it into the host's types and checks that the files that it
//! names are among the model's artifacts. The runtime decides whether it knows the architecture
//! and accepts its configuration.

mod tasks;

use std::path::Path;

use modelzoo_archive::RelPath;
use modelzoo_base::text::excerpt;
use modelzoo_model::plan::{
    Architecture, Color, Embeddings, Normalization, Plan, PlanError, Pooling, Preprocessing,
    Resampling, Size, Step, Tokenizer, TokenizerFormat,
};
use wasmtime::component::{HasData, Linker};

use super::bindings::deployment::{self as wit, add_to_linker as link};
use crate::files;

/// The interface has types only, and therefore no context.
pub(crate) struct DeploymentView;

impl wit::Host for DeploymentView {}

/// [`DeploymentView`] for a linker.
struct HasDeployment;

impl HasData for HasDeployment {
    type Data<'a> = DeploymentView;
}

/// Adds `modelzoo:source/deployment` to a linker.
pub(crate) fn add_to_linker<T: Send + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    link::<_, HasDeployment>(linker, |_| DeploymentView)
}

/// The plan in the host's types, checked; `model_dir` has the artifacts.
pub(crate) fn plan(given: wit::Plan, model_dir: &Path) -> Result<Plan, PlanError> {
    let wit::Plan {
        architecture,
        weights,
        preprocessing,
        tokenizer,
        head,
        embeddings,
    } = given;
    let plan = Plan {
        architecture: Architecture::parse(architecture.name, &architecture.config)?,
        weights,
        preprocessing: preprocessing.map(self::preprocessing),
        tokenizer: tokenizer.map(self::tokenizer),
        head: head.map(tasks::head),
        embeddings: embeddings.map(self::embeddings),
    };
    plan.validate()?;
    for (index, name) in plan.weights.iter().enumerate() {
        artifact(&format!("weights[{index}]"), name, model_dir)?;
    }
    if let Some(tokenizer) = &plan.tokenizer {
        artifact("tokenizer.format", tokenizer.format.file(), model_dir)?;
    }
    Ok(plan)
}

/// Checks that `name` is one of the model's artifacts.
fn artifact(field: &str, name: &str, model_dir: &Path) -> Result<(), PlanError> {
    let shown = excerpt(name, 200);
    let path = RelPath::parse(name)
        .map_err(|e| PlanError::new(field, format!("`{shown}` is not a name: {e}")))?;
    match files::open_below(model_dir, &path) {
        Ok(_) => Ok(()),
        Err(_) => Err(PlanError::new(
            field,
            format!("there is no such artifact as `{shown}`"),
        )),
    }
}

fn tokenizer(given: wit::Tokenizer) -> Tokenizer {
    Tokenizer {
        format: match given.format {
            wit::TokenizerFormat::Json(file) => TokenizerFormat::Json { file },
            wit::TokenizerFormat::ClipBpe(merges) => TokenizerFormat::ClipBpe { merges },
            wit::TokenizerFormat::WordPiece(wit::WordPiece { vocab, lowercase }) => {
                TokenizerFormat::WordPiece { vocab, lowercase }
            }
        },
        max_tokens: given.max_tokens,
        pad_to_max: given.pad_to_max,
    }
}

fn embeddings(given: wit::Embeddings) -> Embeddings {
    Embeddings {
        layer: given.layer,
        pooling: match given.pooling {
            wit::Pooling::None => Pooling::None,
            wit::Pooling::First => Pooling::First,
            wit::Pooling::Mean => Pooling::Mean,
            wit::Pooling::Max => Pooling::Max,
        },
        normalize: given.normalize,
    }
}

fn preprocessing(given: wit::Preprocessing) -> Preprocessing {
    Preprocessing {
        color: match given.color {
            wit::Color::Rgb => Color::Rgb,
            wit::Color::Gray => Color::Gray,
        },
        steps: given.steps.into_iter().map(step).collect(),
        normalize: given
            .normalize
            .map(|wit::Normalization { mean, std }| Normalization { mean, std }),
    }
}

fn step(given: wit::Step) -> Step {
    match given {
        wit::Step::Resize(r) => Step::Resize {
            to: size(r.to),
            resampling: resampling(r.resampling),
        },
        wit::Step::ResizeShortest(r) => Step::ResizeShortest {
            to: r.to,
            resampling: resampling(r.resampling),
        },
        wit::Step::ResizeWithin(r) => Step::ResizeWithin {
            shortest: r.shortest,
            longest: r.longest,
            resampling: resampling(r.resampling),
        },
        wit::Step::ResizeToMultiple(r) => Step::ResizeToMultiple {
            to: size(r.to),
            multiple: r.multiple,
            resampling: resampling(r.resampling),
        },
        wit::Step::CenterCrop(to) => Step::CenterCrop(size(to)),
        wit::Step::ResizeMin(r) => Step::ResizeMin {
            to: size(r.to),
            resampling: resampling(r.resampling),
        },
        wit::Step::ResizeMax(r) => Step::ResizeMax {
            to: size(r.to),
            resampling: resampling(r.resampling),
        },
        wit::Step::CropToMultiple(of) => Step::CropToMultiple(of),
        wit::Step::Letterbox(given) => Step::Letterbox {
            to: size(given.to),
            multiple: given.multiple,
        },
    }
}

fn resampling(given: wit::Resampling) -> Resampling {
    match given {
        wit::Resampling::Nearest => Resampling::Nearest,
        wit::Resampling::Bilinear => Resampling::Bilinear,
        wit::Resampling::Bicubic => Resampling::Bicubic,
        wit::Resampling::Lanczos => Resampling::Lanczos,
    }
}

fn size(wit::Size { height, width }: wit::Size) -> Size {
    Size { height, width }
}

#[cfg(test)]
mod tests;
