//! The host's side of `wit/v0.1`, generated. Both worlds share their types.

#[allow(missing_docs, unreachable_pub, reason = "generated code")]
mod download {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        world: "download-source",
        imports: { default: async | trappable },
        exports: { default: async },
        trappable_error_type: {
            "modelzoo:source/types.error" => crate::interfaces::types::HostError,
        },
    });
}

#[allow(missing_docs, unreachable_pub, reason = "generated code")]
mod load {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        world: "load-source",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "modelzoo:source/types": super::download::modelzoo::source::types,
            "modelzoo:source/log": super::download::modelzoo::source::log,
        },
    });
}

pub(crate) use download::modelzoo::source::{artifacts, fetch, log, types};
pub(crate) use download::{DownloadSource, DownloadSourcePre};
pub(crate) use load::exports::modelzoo::source::loader::LoadedModel;
pub(crate) use load::modelzoo::source::deployment;
pub(crate) use load::{LoadSource, LoadSourcePre};
