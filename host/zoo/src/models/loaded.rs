//! A model in memory.

use modelzoo_model::Model;
use modelzoo_model::plan::Plan;
use modelzoo_runtime::Device;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::store::in_use::InUse;
use crate::store::read_only::ResultsDir;
use crate::store::{ModelRecord, Receipt};

/// A model that is ready to run.
pub struct LoadedModel {
    /// The model's record.
    pub record: ModelRecord,
    /// The files it was built from.
    pub receipt: Receipt,
    /// The kwargs that its hook was given.
    pub kwargs: Map<String, Value>,
    /// The model, ready to run.
    pub model: Box<dyn Model>,
    /// The plan that it was built from.
    pub(super) plan: Plan,
    /// Where it runs, and in which precision.
    pub(super) device: Device,
    /// The digest of the component whose hook gave the plan; none if the manifest gave it.
    pub component: Option<String>,
    /// The directory of unfinished results.
    pub(crate) results_dir: ResultsDir,
    /// Keeps the files from being deleted.
    pub(super) _in_use: [InUse; 2],
}

impl LoadedModel {
    /// The plan that the hook or the manifest gave.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where the model runs, and in which precision.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The provenance of a label of this model, which is recorded beside the labels.
    #[must_use]
    pub fn provenance(&self) -> Value {
        serde_json::json!({
            "model": self.record.name(),
            "source": self.record.source.id,
            "commit": self.record.source.commit,
            "tree": self.record.source.tree,
            "component": self.component,
            "model_digest": self.receipt.digest(),
            "kwargs": self.kwargs,
            "device": self.device.to_string(),
            "precision": self.device.precision(),
            "version": env!("CARGO_PKG_VERSION"),
        })
    }

    /// Takes embeddings from the output of the layer of this name, or from its input if the name
    /// follows a `<`.
    pub(super) fn set_embeddings_layer(&mut self, layer: &str) -> Result<(), Error> {
        Ok(self.model.set_embeddings_layer(layer)?)
    }
}
