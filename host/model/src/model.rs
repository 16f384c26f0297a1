use std::error::Error;

use modelzoo_base::Remedy;

use crate::output::Output;
use crate::plan::Embeddings;
use crate::sample::{MediaKind, Prepared, Sample};
use crate::task::Task;

/// A model that is ready to run: a plan that was built, or anything else that answers as one.
///
/// Any number of threads may [`prepare`](Self::prepare) samples while others
/// [`predict`](Self::predict) or [`embed`](Self::embed). Each sample has the result that it would
/// have alone, to the bit, whatever else is in its batch; where a method fails, it fails for the
/// whole batch.
pub trait Model: Send + Sync {
    /// Whether it takes samples of a kind.
    fn takes(&self, kind: MediaKind) -> bool;

    /// Whether it gives labels of samples of a kind.
    fn predicts(&self, kind: MediaKind) -> bool {
        self.task().is_some() && self.takes(kind)
    }

    /// What its outputs mean; [`None`] for a model that gives embeddings alone.
    fn task(&self) -> Option<&Task>;

    /// Where its embeddings come from.
    fn embeddings(&self) -> &Embeddings;

    /// Takes embeddings from the output of another layer, or from its input where the name follows
    /// a `<`.
    ///
    /// # Errors
    /// The model has no such layer.
    fn set_embeddings_layer(&mut self, layer: &str) -> Result<(), ModelError>;

    /// Whether it wants the fields of a sample's document. Those of a large dataset are only read
    /// for a model that does.
    fn reads_fields(&self) -> bool {
        false
    }

    /// Decodes a sample and brings it to the network's input, on the calling thread alone.
    ///
    /// # Errors
    /// The sample cannot be decoded, or is too large.
    fn prepare(&self, sample: Sample) -> Result<Prepared, ModelError>;

    /// One output per sample, in their order, of the kind that the [`task`](Self::task) reads.
    ///
    /// # Errors
    /// The network cannot compute one of them.
    fn predict(&self, samples: &[Prepared]) -> Result<Vec<Output>, ModelError>;

    /// One vector per sample, in their order.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    fn embed(&self, samples: &[Prepared]) -> Result<Vec<Vec<f32>>, ModelError>;
}

/// What went wrong in a model, whichever kind of model it is.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct ModelError {
    source: Box<dyn Error + Send + Sync>,
    remedy: Option<Remedy>,
}

impl ModelError {
    /// Any error, with what would fix it.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>, remedy: Option<Remedy>) -> Self {
        Self {
            source: source.into(),
            remedy,
        }
    }

    /// What would fix it, where there is something.
    #[must_use]
    pub fn remedy(&self) -> Option<Remedy> {
        self.remedy.clone()
    }
}
