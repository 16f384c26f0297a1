//! The engine that hooks run in, and components that are ready to run.

pub(crate) mod inspect;
mod ticker;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use modelzoo_base::text::excerpt;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, WasmBacktraceDetails, WasmFeatures};

use crate::compile::Compiler;
use crate::compile::cache::Cache;
use crate::engine::inspect::{ComponentInfo, scan};
use crate::engine::ticker::{Running, Ticker};
use crate::error::Error;
use crate::interfaces::bindings::{DownloadSource, DownloadSourcePre, LoadSource, LoadSourcePre};
use crate::interfaces::state::State;
use crate::interfaces::wasi;
use crate::limits::ERROR_BYTES;
use crate::limits::Limits;

/// The stack of a guest, in bytes.
const STACK_BYTES: usize = 1 << 20;
/// What its host calls may need beside it, in bytes.
const HOST_STACK_BYTES: usize = 1 << 20;
/// The most frames of a crash that the debug log shows.
const FRAMES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);

/// A component with nothing in it.
const SMALLEST: &[u8] = b"\0asm\x0d\0\x01\0";

/// Our own interfaces, as each phase has them.
const DOWNLOAD: &[&str] = &[
    "modelzoo:source/types@0.1.0",
    "modelzoo:source/log@0.1.0",
    "modelzoo:source/fetch@0.1.0",
    "modelzoo:source/artifacts@0.1.0",
];
const LOAD: &[&str] = &[
    "modelzoo:source/types@0.1.0",
    "modelzoo:source/log@0.1.0",
    "modelzoo:source/deployment@0.1.0",
];

/// The WebAssembly that components may be made of: version 2, and of version 3 what needs no
/// garbage collector, no threads and no 64-bit memories.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .difference(WasmFeatures::GC_TYPES)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::COMPONENT_MODEL);

/// The engine's settings. What guests compute depends on nothing but their input: no threads,
/// and one bit pattern for all that floating point leaves open.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(FEATURES, true)
        .max_wasm_stack(STACK_BYTES)
        .async_stack_size(STACK_BYTES + HOST_STACK_BYTES)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(Some(FRAMES))
        .generate_address_map(false);
    if cfg!(unix) {
        // For native debuggers only; wasmtime walks its own frames.
        config.native_unwind_info(false);
    }
    config
}

/// Compiles components and runs their hooks. Cheap to clone; made once for a process.
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
    download: OnceLock<Linker<State>>,
    load: OnceLock<Linker<State>>,
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
    /// `components-v1-<version of wasmtime>`. Where that directory cannot be made, or is not
    /// this user's own, components are compiled each time; in this process, with no limits but
    /// that of their size.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`] where this machine cannot run WebAssembly.
    pub fn new(cache_dir: Option<&Path>, limits: Limits) -> Result<Self, Error> {
        Self::with_compiler(cache_dir, limits, Compiler::InProcess)
    }

    /// [`new`](Self::new), with components compiled where `compiler` says.
    ///
    /// # Errors
    ///
    /// Those of `new`.
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
                download: OnceLock::new(),
                load: OnceLock::new(),
            }),
        })
    }

    /// The limits that components and hooks are held to.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Makes a component ready to run: from the cache, or by compiling it, which takes about a
    /// second a megabyte on one core and uses all that there are.
    ///
    /// # Errors
    ///
    /// Those of [`inspect`](crate::inspect()), [`Error::Unusable`], and where components are
    /// compiled in a process of their own [`Error::CompileLimit`], [`Error::CompilerCrashed`] and
    /// [`Error::NoCompiler`].
    pub fn load(&self, bytes: &[u8]) -> Result<Component, Error> {
        let info = scan(bytes, self.limits())?;
        let kept = self
            .inner
            .cache
            .as_ref()
            .and_then(|cache| cache.get(&self.inner.wasmtime, &info.sha256));
        if let Some(compiled) = kept {
            return Ok(self.component(info, compiled));
        }
        let inner = &*self.inner;
        let code = inner
            .compiler
            .compile(&inner.wasmtime, bytes, &inner.limits)?;
        // SAFETY: this is what the compiler of an engine with the same settings has just
        // returned: in this process, or in one that this process started from the program that
        // its embedder named, over a pipe that no other has. Whoever takes over the compiler
        // with a component decides what is run; that is so in either process, and the wall
        // around the hook's thread is what is left then.
        let compiled =
            unsafe { wasmtime::component::Component::deserialize(&self.inner.wasmtime, &code) }
                .map_err(|e| unusable(&e))?;
        let component = self.component(info, compiled);
        component.check()?;
        if let Some(cache) = &self.inner.cache {
            cache.put(&self.inner.wasmtime, &component.inner.info.sha256, &code);
        }
        Ok(component)
    }

    /// Compiles the smallest component there is, to find out whether that can be done.
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
        // One byte more than allowed tells a file that has grown.
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        self.load(&bytes)
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner.wasmtime
    }

    /// Lets the guests' clock run until the answer is dropped.
    pub(crate) fn tick(&self) -> std::io::Result<Running> {
        self.inner.ticker.run(&self.inner.wasmtime)
    }

    fn component(
        &self,
        info: ComponentInfo,
        compiled: wasmtime::component::Component,
    ) -> Component {
        Component {
            inner: Arc::new(ComponentInner {
                engine: self.clone(),
                info,
                compiled,
                download: OnceLock::new(),
                load: OnceLock::new(),
            }),
        }
    }
}

/// A component that is ready to run. Cheap to clone.
#[derive(Clone)]
pub struct Component {
    inner: Arc<ComponentInner>,
}

struct ComponentInner {
    engine: Engine,
    info: ComponentInfo,
    compiled: wasmtime::component::Component,
    download: OnceLock<DownloadSourcePre<State>>,
    load: OnceLock<LoadSourcePre<State>>,
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Component").field(&self.inner.info).finish()
    }
}

impl Component {
    /// What it is and asks for.
    pub fn info(&self) -> &ComponentInfo {
        &self.inner.info
    }

    /// Whether everything that it imports is there, with the types that it expects.
    fn check(&self) -> Result<(), Error> {
        if self.inner.info.hooks.download {
            self.download_hook()?;
        }
        if self.inner.info.hooks.load {
            self.load_hook()?;
        }
        Ok(())
    }

    /// The component with everything linked that `download-model` has.
    pub(crate) fn download_hook(&self) -> Result<&DownloadSourcePre<State>, Error> {
        let inner = &*self.inner;
        if !inner.info.hooks.download {
            return Err(self.no_hook());
        }
        get_or_try_init(&inner.download, || {
            let linker = get_or_try_init(&inner.engine.inner.download, || {
                let mut linker = Linker::new(inner.compiled.engine());
                wasi::link(&mut linker)?;
                DownloadSource::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
                Ok(linker)
            })?;
            let mut linker = linker.clone();
            wasi::forbid_the_rest(&mut linker, &inner.compiled, DOWNLOAD)?;
            DownloadSourcePre::new(linker.instantiate_pre(&inner.compiled)?)
        })
        .map_err(|e| unusable(&e))
    }

    /// The component with everything linked that `load-model` has.
    pub(crate) fn load_hook(&self) -> Result<&LoadSourcePre<State>, Error> {
        let inner = &*self.inner;
        if !inner.info.hooks.load {
            return Err(self.no_hook());
        }
        get_or_try_init(&inner.load, || {
            let linker = get_or_try_init(&inner.engine.inner.load, || {
                let mut linker = Linker::new(inner.compiled.engine());
                wasi::link(&mut linker)?;
                LoadSource::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
                Ok(linker)
            })?;
            let mut linker = linker.clone();
            wasi::forbid_the_rest(&mut linker, &inner.compiled, LOAD)?;
            LoadSourcePre::new(linker.instantiate_pre(&inner.compiled)?)
        })
        .map_err(|e| unusable(&e))
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

pub(crate) fn unusable(error: &wasmtime::Error) -> Error {
    Error::Unusable {
        reason: excerpt(&format!("{error:#}"), ERROR_BYTES),
    }
}
