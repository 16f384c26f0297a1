//! WASI 0.2 for guests: enough for the standard libraries of most languages, and nothing that
//! reaches outside.
//!
//! `wasi:io`, a read-only `wasi:filesystem` with `/model` and `/source` ([`filesystem`]),
//! `wasi:clocks` that reveal nothing ([`clocks`]), `wasi:random` with the same numbers in every
//! run, and `wasi:cli` with no arguments, no environment and an empty standard input; output goes
//! to the log ([`stdio`]). [`INTERFACES`](super::table::INTERFACES) lists what is linked.

pub(crate) mod clocks;
pub(crate) mod filesystem;
mod stdio;

use std::path::Path;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use wasmtime::component::{HasData, ResourceTable};
use wasmtime_wasi::cli::WasiCliCtxView;
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi::{FsPerms, WasiCtx};

use self::clocks::{Clock, ClocksView};
use self::filesystem::{FilesystemState, FilesystemView};
use self::stdio::Output;
use super::log::{LogCtx, Stream};
use crate::limits::Limits;

/// The seed of all randomness. Any number will do, but it must never change.
const SEED: [u8; 32] = *b"modelzoo: the same in every run.";
/// The answer of `wasi:random/insecure-seed`.
const INSECURE_SEED: [u8; 16] = *b"modelzoo: a seed";
/// The most random bytes in one call.
const RANDOM_BYTES: u64 = 1 << 20;

/// What the host holds for a guest's WASI interfaces.
pub(crate) struct WasiState {
    ctx: WasiCtx,
    table: ResourceTable,
    clock: Clock,
    filesystem: FilesystemState,
}

impl WasiState {
    /// A guest that sees `source_dir` as `/source` and `model_dir` as `/model`, and whose output
    /// goes to `log`.
    ///
    /// # Errors
    ///
    /// A directory cannot be opened.
    pub(crate) fn new(
        source_dir: &Path,
        model_dir: &Path,
        log: &LogCtx,
        limits: &Limits,
    ) -> wasmtime::Result<Self> {
        let [secure, insecure] = [0, 1].map(|stream| {
            let mut seed = SEED;
            seed[0] ^= stream;
            StdRng::from_seed(seed)
        });
        let mut builder = WasiCtx::builder();
        builder
            // Reads are short and local; handing each to another thread costs more.
            .allow_blocking_current_thread(true)
            .preopened_dir(source_dir, "/source", FsPerms::ReadOnly)?
            .preopened_dir(model_dir, "/model", FsPerms::ReadOnly)?
            .stdout(Output::new(log.clone(), Stream::Out))
            .stderr(Output::new(log.clone(), Stream::Err))
            .secure_random(secure)
            .insecure_random(insecure)
            .insecure_random_seed(u128::from_le_bytes(INSECURE_SEED))
            .max_random_size(RANDOM_BYTES);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources as usize);
        Ok(Self {
            ctx: builder.build(),
            table,
            clock: Clock::default(),
            filesystem: FilesystemState::default(),
        })
    }

    /// The guest's resources.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    pub(crate) fn clocks(&mut self) -> ClocksView<'_> {
        ClocksView {
            clock: &self.clock,
            table: &mut self.table,
        }
    }

    pub(crate) fn filesystem(&mut self) -> FilesystemView<'_> {
        FilesystemView {
            inner: WasiFilesystemCtxView {
                ctx: self.ctx.filesystem(),
                table: &mut self.table,
            },
            state: &mut self.filesystem,
        }
    }

    pub(crate) fn random(&mut self) -> &mut WasiRandomCtx {
        self.ctx.random()
    }

    pub(crate) fn cli(&mut self) -> WasiCliCtxView<'_> {
        WasiCliCtxView {
            ctx: self.ctx.cli(),
            table: &mut self.table,
        }
    }
}

/// The table of resources, for a linker.
pub(crate) struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}
