//! Sources: registered, updated, inspected and deleted; exported to bundles and imported.
//!
//! `Registry` owns the operations. `acquire` fetches a source to staging, `component` and
//! `grant` check it, and `register` publishes it.

pub(crate) mod acquire;
pub(crate) mod bundle;
pub(crate) mod component;
pub(crate) mod fetch_list;
pub(crate) mod github;
pub(crate) mod grant;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod origin;
pub(crate) mod publish;
pub(crate) mod reachable;
pub(crate) mod register;
pub(crate) mod registry;
pub(crate) mod rollback;
pub(crate) mod snapshot;
pub(crate) mod update;

pub(crate) use registry::Registry;

pub use bundle::{Exported, ImportOptions, Imported, ImportedModel};
pub use grant::{Grant, PermissionRequest};
pub use info::SourceInfo;
pub use inspect::{
    ImportAnswer, InspectedComponent, InspectedFile, InspectedImport, InspectedKind,
    InspectedManifest, InspectedModel, Inspection, RefusedComponent,
};
pub use register::{RegisterOptions, Registered};
pub use registry::AuditOptions;
pub use update::UpdateOptions;
