//! Embeddings of a dataset's images or texts.

use std::path::PathBuf;

use modelzoo_data::{Dataset, Label, LabelType};
use modelzoo_model::Model;
use modelzoo_model::sample::Prepared;
use serde_json::Value;

use crate::error::Error;
use crate::runs::run::{Applied, Place, Runner, Watch, Work};

/// How to embed.
#[derive(Debug, Clone)]
pub struct EmbedOptions {
    /// The field that the embeddings are written to; `embeddings` by default.
    pub field: String,
    /// Samples per batch; [`None`] for the default.
    pub batch_size: Option<usize>,
    /// Where the embeddings go: a `.jsonl`, `.npy` or `.parquet` file, or a directory for a new
    /// dataset. [`None`] for the dataset itself.
    pub output: Option<PathBuf>,
    /// Replace an output that is there.
    pub overwrite_output: bool,
}

impl Default for EmbedOptions {
    fn default() -> Self {
        Self {
            field: "embeddings".to_owned(),
            batch_size: None,
            output: None,
            overwrite_output: false,
        }
    }
}

impl Runner<'_> {
    /// Computes an embedding of every sample of a dataset, images or texts, and writes them.
    ///
    /// A sample that cannot be read fails alone: it keeps what it had. Embeddings become visible
    /// all at once, at the end; a run that was interrupted is resumed where it stopped.
    ///
    /// # Errors
    /// [`Error::WrongSamples`] when the model does not take such samples, [`Error::Data`] when the
    /// dataset cannot be read or the embeddings written; [`Error::Model`] when the model fails on
    /// every sample of a batch.
    pub fn embed(
        &self,
        dataset: &Dataset,
        options: &EmbedOptions,
        watch: &dyn Watch,
    ) -> Result<Applied, Error> {
        self.check_samples(dataset, |kind| self.model.takes(kind))?;
        let place = Place {
            field: &options.field,
            batch_size: options.batch_size,
            output: options.output.as_deref(),
            overwrite: options.overwrite_output,
        };
        let work = Vectors { model: self.model };
        self.run(&work, dataset, &place, watch)
    }
}

/// From samples to vectors.
struct Vectors<'a> {
    model: &'a dyn Model,
}

impl Work for Vectors<'_> {
    fn kind(&self) -> LabelType {
        LabelType::Vector
    }

    fn fingerprint(&self) -> Value {
        serde_json::json!(["embedding", self.model.embeddings()])
    }

    fn forward(&self, samples: &[Prepared]) -> Result<Vec<Option<Label>>, Error> {
        let vectors = self.model.embed(samples)?.into_iter();
        Ok(vectors.map(|vector| Some(Label::Vector(vector))).collect())
    }
}
