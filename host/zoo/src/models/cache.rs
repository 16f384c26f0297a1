//! The models that are loaded now, so that loading one again returns it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::loaded::LoadedModel;

/// Loaded models by what decides how they are built. A model is dropped with its last user.
#[derive(Default)]
pub(crate) struct ModelCache {
    models: Mutex<HashMap<String, Weak<LoadedModel>>>,
}

impl ModelCache {
    pub(super) fn get(&self, key: &str) -> Option<Arc<LoadedModel>> {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.get(key)?.upgrade()
    }

    pub(super) fn insert(&self, key: String, model: &Arc<LoadedModel>) {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.retain(|_, model| model.strong_count() > 0);
        models.insert(key, Arc::downgrade(model));
    }
}
