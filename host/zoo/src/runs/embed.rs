//! Embeddings of a dataset's images or texts.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use modelzoo_data::{Dataset, Label, LabelType, Sample};
use modelzoo_runtime::{Input, Tokens};

use crate::error::Error;
use crate::models::loaded::LoadedModel;
use crate::runs::run::{Applied, Place, Watch, Work, image, run};

/// How to embed.
#[derive(Debug, Clone)]
pub struct EmbedOptions {
    /// The field that the embeddings are written to; `embeddings` by default.
    pub field: String,
    /// Samples a batch; [`None`] for the default.
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

impl LoadedModel {
    /// Computes an embedding of every sample of a dataset, images or texts, and writes them.
    ///
    /// A sample that cannot be read fails alone: it keeps what it had. Embeddings become visible
    /// all at once, at the end; a run that was interrupted goes on where it stopped.
    ///
    /// # Errors
    /// [`Error::WrongSamples`] when the model does not take such samples, [`Error::Data`] when the
    /// dataset cannot be read or the embeddings written; [`Error::Runtime`] when the model fails on
    /// every sample of a batch.
    pub fn embed(
        &self,
        dataset: &Dataset,
        options: &EmbedOptions,
        watch: &dyn Watch,
    ) -> Result<Applied, Error> {
        let place = Place {
            field: &options.field,
            batch_size: options.batch_size,
            output: options.output.as_deref(),
            overwrite: options.overwrite_output,
        };
        let wrong = |takes| Error::WrongSamples {
            model: self.record.name(),
            takes,
            gives: dataset.kind(),
        };
        match dataset.is_of_texts() {
            true if !self.model.takes_texts() => Err(wrong("images")),
            false if !self.model.takes_images() => Err(wrong("texts")),
            true => {
                let work = Texts {
                    model: self,
                    cut: AtomicUsize::new(0),
                };
                let mut applied = run(self, &work, dataset, &place, watch)?;
                applied.cut = work.cut.into_inner();
                Ok(applied)
            }
            false => run(self, &Images { model: self }, dataset, &place, watch),
        }
    }
}

/// Images to vectors.
struct Images<'a> {
    model: &'a LoadedModel,
}

impl Work for Images<'_> {
    type Input = Input;

    fn kind(&self) -> LabelType {
        LabelType::Vector
    }

    fn fingerprint(&self) -> serde_json::Value {
        serde_json::json!(["embedding", self.model.model.embeddings()])
    }

    fn prepare(&self, sample: Sample) -> Result<Input, String> {
        image(self.model, sample)
    }

    fn forward(&self, inputs: &[Input]) -> Result<Vec<Option<Label>>, Error> {
        Ok(vectors(self.model.model.embed(inputs)?))
    }
}

/// Texts to vectors.
struct Texts<'a> {
    model: &'a LoadedModel,
    /// How many texts lost their end.
    cut: AtomicUsize,
}

impl Work for Texts<'_> {
    type Input = Tokens;

    fn kind(&self) -> LabelType {
        LabelType::Vector
    }

    fn fingerprint(&self) -> serde_json::Value {
        serde_json::json!(["embedding", self.model.model.embeddings()])
    }

    fn prepare(&self, sample: Sample) -> Result<Tokens, String> {
        let text = sample.into_text().map_err(|e| e.to_string())?;
        let tokens = self
            .model
            .model
            .tokenize(&text)
            .map_err(|e| e.to_string())?;
        if tokens.is_cut() {
            self.cut.fetch_add(1, Ordering::Relaxed);
        }
        Ok(tokens)
    }

    fn forward(&self, inputs: &[Tokens]) -> Result<Vec<Option<Label>>, Error> {
        Ok(vectors(self.model.model.embed_texts(inputs)?))
    }
}

fn vectors(rows: Vec<Vec<f32>>) -> Vec<Option<Label>> {
    rows.into_iter()
        .map(|row| Some(Label::Vector(row)))
        .collect()
}
