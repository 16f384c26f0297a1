//! The settings of wasmtime, and the WebAssembly features that components may use.

use std::num::NonZeroUsize;

use wasmtime::{Config, WasmBacktraceDetails, WasmFeatures};

/// The stack of a guest, in bytes.
const STACK_BYTES: usize = 1 << 20;
/// The stack that host functions may use beside it, in bytes.
const HOST_STACK_BYTES: usize = 1 << 20;
/// The most frames of a crash that the debug log shows.
const FRAMES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);

/// The features of components: WebAssembly 2, and those of version 3 that need no garbage
/// collector, no threads and no 64-bit memories.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .difference(WasmFeatures::GC_TYPES)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::COMPONENT_MODEL);

/// The engine's settings. They make guests deterministic: no threads, and one bit pattern for
/// every result that floating point leaves open.
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
