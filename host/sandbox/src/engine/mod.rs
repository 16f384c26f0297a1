//! The engine that hooks run in.

mod component;
pub(crate) mod inspect;
pub(crate) mod ticker;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

pub use self::component::Component;
use self::component::Linkers;
use self::inspect::scan;
use self::ticker::{TickGuard, Ticker};
use crate::compile::Compiler;
use crate::compile::cache::Cache;
use crate::compile::config::config;
use crate::error::Error;
use crate::limits::Limits;

/// The smallest component: nothing but a header.
const SMALLEST: &[u8] = b"\0asm\x0d\0\x01\0";

/// Compiles components and runs their hooks. Cheap to clone; make one per process.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    wasmtime: wasmtime::Engine,
    limits: Limits,
    compiler: Compiler,
    cache: Option<Cache>,
    ticker: Ticker,
    linkers: Arc<Linkers>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("limits", &self.inner.limits)
            .field("compiler", &self.inner.compiler)
            .field("cache", &self.inner.cache)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine that keeps compiled components below `cache_dir`, in
    /// `components-v1-<version of wasmtime>`. If that directory cannot be created, or is not this
    /// user's own, the engine compiles components each time. It compiles in this process and
    /// limits only their size.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`] if this machine cannot run WebAssembly.
    pub fn new(cache_dir: Option<&Path>, limits: Limits) -> Result<Self, Error> {
        Self::with_compiler(cache_dir, limits, Compiler::InProcess)
    }

    /// [`new`](Self::new), with a choice of where components are compiled.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn with_compiler(
        cache_dir: Option<&Path>,
        limits: Limits,
        compiler: Compiler,
    ) -> Result<Self, Error> {
        let wasmtime = wasmtime::Engine::new(&config()).map_err(|e| Error::Engine {
            reason: format!("{e:#}"),
        })?;
        Ok(Self {
            inner: Arc::new(Inner {
                wasmtime,
                limits,
                compiler,
                cache: cache_dir.and_then(Cache::open),
                ticker: Ticker::new(),
                linkers: Arc::default(),
            }),
        })
    }

    /// The limits of components and hooks.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Makes a component ready to run: from the cache, or by compiling it, which takes about one
    /// second per megabyte and core, and uses all cores.
    ///
    /// # Errors
    ///
    /// Those of [`inspect`](crate::inspect()), [`Error::Unusable`], and if components are compiled
    /// in a process of their own [`Error::CompileLimit`], [`Error::CompilerCrashed`] and
    /// [`Error::NoCompiler`].
    pub fn load(&self, bytes: &[u8]) -> Result<Component, Error> {
        let info = scan(bytes, self.limits())?;
        let kept = self
            .inner
            .cache
            .as_ref()
            .and_then(|cache| cache.get(&self.inner.wasmtime, &info.sha256));
        if let Some(compiled) = kept {
            return Ok(Component::new(self.inner.linkers.clone(), info, compiled));
        }
        let inner = &*self.inner;
        let code = inner
            .compiler
            .compile(&inner.wasmtime, bytes, &inner.limits)?;
        // SAFETY: the compiler of an engine with the same settings has just returned this code: in
        // this process, or in one that this process started from the program that its embedder
        // named, over a pipe that no other process has. An attacker who takes over the compiler
        // with a component decides what runs; that holds for either process, and the confinement
        // of the hook's thread is what remains then.
        let compiled =
            unsafe { wasmtime::component::Component::deserialize(&self.inner.wasmtime, &code) }
                .map_err(|e| Error::unusable(&e))?;
        let component = Component::new(self.inner.linkers.clone(), info, compiled);
        component.check()?;
        if let Some(cache) = &self.inner.cache {
            cache.put(&self.inner.wasmtime, &component.info().sha256, &code);
        }
        Ok(component)
    }

    /// Compiles the smallest component, to find out whether the compiler works.
    ///
    /// # Errors
    ///
    /// Those of compiling, as [`load`](Self::load) has them.
    pub fn check_compiler(&self) -> Result<(), Error> {
        let inner = &*self.inner;
        inner
            .compiler
            .compile(&inner.wasmtime, SMALLEST, &inner.limits)
            .map(drop)
    }

    /// [`load`](Self::load) from a file.
    ///
    /// # Errors
    ///
    /// Those of `load`, and [`Error::Io`].
    pub fn load_file(&self, path: &Path) -> Result<Component, Error> {
        let failed = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let limit = self.limits().component_bytes;
        if size > limit {
            return Err(Error::TooLarge { size, limit });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        // One byte more than allowed reveals a file that has grown.
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        self.load(&bytes)
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner.wasmtime
    }

    /// Interrupts running guests regularly until the guard is dropped.
    pub(crate) fn tick(&self) -> std::io::Result<TickGuard> {
        self.inner.ticker.run(&self.inner.wasmtime)
    }
}
