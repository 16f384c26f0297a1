//! Loading a model by name, with everything that has to be done first.

use std::sync::Arc;

use modelzoo_runtime::{Device, DeviceSpec, PrecisionSpec};
use serde_json::{Map, Value};

use super::catalog::Models;
use super::download::DownloadOptions;
use super::loaded::LoadedModel;
use super::requirements::ErrorLevel;
use crate::error::Error;
use crate::sources::Grant;
use crate::store::ModelRecord;

/// Options of loading a model. The defaults are those of FiftyOne's `load_zoo_model`.
pub struct LoadOptions<'a> {
    /// The model, if a source is named instead of a model.
    pub model_name: Option<String>,
    /// The source that declares the model.
    pub source: Option<String>,
    /// Download the model if it is not downloaded; true by default.
    pub download: bool,
    /// Who grants permissions if the source has to be registered first.
    pub grant: Grant<'a>,
    /// What happens if the manifest excludes the device.
    pub error_level: ErrorLevel,
    /// Arguments for the source's `load_model` hook.
    pub kwargs: Map<String, Value>,
    /// Where to compute.
    pub device: DeviceSpec,
    /// Full or half precision.
    pub precision: PrecisionSpec,
    /// Take embeddings from the output of the layer of this name, or from its input if the name
    /// follows a `<`.
    pub embeddings_layer: Option<String>,
    /// Return the model that is loaded already with the same options, and keep this one for later
    /// calls as long as it is used; true by default.
    pub cache: bool,
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self {
            model_name: None,
            source: None,
            download: true,
            grant: Grant::default(),
            error_level: ErrorLevel::default(),
            kwargs: Map::new(),
            device: DeviceSpec::default(),
            precision: PrecisionSpec::default(),
            embeddings_layer: None,
            cache: true,
        }
    }
}

impl Models<'_> {
    /// Loads a model; registers its source and downloads it first if necessary.
    pub(crate) async fn load_model(
        &self,
        name_or_source: &str,
        options: LoadOptions<'_>,
    ) -> Result<Arc<LoadedModel>, Error> {
        // What can fail without any work fails first.
        let device = options.device.open()?;
        options.precision.on(&device, false)?;
        let choice = DownloadOptions {
            model_name: options.model_name,
            source: options.source,
            overwrite: false,
            accept_changes: false,
            grant: options.grant,
        };
        let record = match options.download {
            true => self.download(name_or_source, choice).await?.record,
            false => self.choose(name_or_source, choice).await?,
        };
        record.check_requirements(&device, options.error_level)?;
        let key = options.cache.then(|| {
            let layer = options.embeddings_layer.as_deref();
            cache_key(&record, &options.kwargs, &device, options.precision, layer)
        });
        if let Some(model) = key.as_deref().and_then(|key| self.cache.get(key)) {
            return Ok(model);
        }
        let mut model = self
            .load(&record, options.kwargs, &device, options.precision)
            .await?;
        if let Some(layer) = &options.embeddings_layer {
            model.set_embeddings_layer(layer)?;
        }
        let model = Arc::new(model);
        if let Some(key) = key {
            self.cache.insert(key, &model);
        }
        Ok(model)
    }
}

/// Everything that decides how a model is built.
fn cache_key(
    record: &ModelRecord,
    kwargs: &Map<String, Value>,
    device: &Device,
    precision: PrecisionSpec,
    layer: Option<&str>,
) -> String {
    let digest = record.receipt().map(|receipt| receipt.digest());
    let source = &record.source;
    let device = device.to_string();
    serde_json::json!([
        source.id,
        source.tree,
        record.name(),
        digest,
        kwargs,
        device,
        format!("{precision:?}"),
        layer
    ])
    .to_string()
}
