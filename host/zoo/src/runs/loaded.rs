//! Runs of models that were loaded from the zoo.

use modelzoo_data::Dataset;

use crate::error::Error;
use crate::models::loaded::LoadedModel;
use crate::runs::apply::ApplyOptions;
use crate::runs::embed::EmbedOptions;
use crate::runs::run::{Applied, Runner, Watch};

impl LoadedModel {
    /// The model, ready to be run over datasets.
    fn runner(&self) -> Runner<'_> {
        // The plan says all that the hook, the manifest and the arguments decided.
        let fingerprint = serde_json::json!(self.plan());
        Runner::new(
            self.model.as_ref(),
            self.record.name(),
            fingerprint,
            self.results_dir.path(),
        )
        .with_provenance(self.provenance())
    }

    /// Applies the model to every sample of a dataset and writes the labels.
    ///
    /// # Errors
    /// As [`Runner::apply`].
    pub fn apply(
        &self,
        dataset: &Dataset,
        options: &ApplyOptions,
        watch: &dyn Watch,
    ) -> Result<Applied, Error> {
        self.runner().apply(dataset, options, watch)
    }

    /// Computes an embedding of every sample of a dataset, images or texts, and writes them.
    ///
    /// # Errors
    /// As [`Runner::embed`].
    pub fn embed(
        &self,
        dataset: &Dataset,
        options: &EmbedOptions,
        watch: &dyn Watch,
    ) -> Result<Applied, Error> {
        self.runner().embed(dataset, options, watch)
    }
}
