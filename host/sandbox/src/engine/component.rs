//! Components that are ready to run.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::inspect::ComponentInfo;
use crate::error::Error;
use crate::interfaces::linker::PhaseLinker;
use crate::interfaces::state::{Download, Load, Phase};

/// The linkers of an engine, made when the first component needs them.
#[derive(Default)]
pub(super) struct Linkers {
    download: OnceLock<PhaseLinker<Download>>,
    load: OnceLock<PhaseLinker<Load>>,
}

/// A component that is ready to run. Cheap to clone.
#[derive(Clone)]
pub struct Component {
    inner: Arc<Inner>,
}

struct Inner {
    linkers: Arc<Linkers>,
    info: ComponentInfo,
    compiled: wasmtime::component::Component,
    download: OnceLock<<Download as Phase>::Linked>,
    load: OnceLock<<Load as Phase>::Linked>,
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Component").field(&self.inner.info).finish()
    }
}

impl Component {
    pub(super) fn new(
        linkers: Arc<Linkers>,
        info: ComponentInfo,
        compiled: wasmtime::component::Component,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                linkers,
                info,
                compiled,
                download: OnceLock::new(),
                load: OnceLock::new(),
            }),
        }
    }

    /// What it is and asks for.
    pub fn info(&self) -> &ComponentInfo {
        &self.inner.info
    }

    /// Checks that the host has everything that it imports, with the types that it expects.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.inner.info.hooks.download {
            self.for_download()?;
        }
        if self.inner.info.hooks.load {
            self.for_load()?;
        }
        Ok(())
    }

    /// The component, linked for `download-model`.
    pub(crate) fn for_download(&self) -> Result<&<Download as Phase>::Linked, Error> {
        let inner = &*self.inner;
        if !inner.info.hooks.download {
            return Err(self.no_hook());
        }
        let linker = &inner.linkers.download;
        self.linked(&inner.download, linker, PhaseLinker::download)
    }

    /// The component, linked for `load-model`.
    pub(crate) fn for_load(&self) -> Result<&<Load as Phase>::Linked, Error> {
        let inner = &*self.inner;
        if !inner.info.hooks.load {
            return Err(self.no_hook());
        }
        let linker = &inner.linkers.load;
        self.linked(&inner.load, linker, PhaseLinker::load)
    }

    fn linked<'a, P: Phase>(
        &self,
        linked: &'a OnceLock<P::Linked>,
        linker: &OnceLock<PhaseLinker<P>>,
        new_linker: fn(&wasmtime::Engine) -> wasmtime::Result<PhaseLinker<P>>,
    ) -> Result<&'a P::Linked, Error> {
        let compiled = &self.inner.compiled;
        get_or_try_init(linked, || {
            get_or_try_init(linker, || new_linker(compiled.engine()))?.link(compiled)
        })
        .map_err(|e| Error::unusable(&e))
    }

    fn no_hook(&self) -> Error {
        Error::NoHook {
            exports: self.inner.info.exports.clone(),
        }
    }
}

/// `OnceLock::get_or_try_init`, which is not stable. Two threads may both do the work.
fn get_or_try_init<T>(
    cell: &OnceLock<T>,
    make: impl FnOnce() -> wasmtime::Result<T>,
) -> wasmtime::Result<&T> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = make()?;
    Ok(cell.get_or_init(|| value))
}
