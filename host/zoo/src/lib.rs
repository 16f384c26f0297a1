//! A model zoo whose sources are remote and untrusted.
//!
//! A *source* is a directory, an archive or a GitHub repository with a `manifest.json` and a
//! WebAssembly component. The component's hooks download and load the source's models in a
//! sandbox; the host fetches, writes and computes for them. See [`Zoo`].
//!
//! ```no_run
//! # async fn example() -> Result<(), modelzoo::Error> {
//! use modelzoo::{
//!     Config, DeviceSpec, DownloadOptions, Grant, PrecisionSpec, RegisterOptions, Zoo,
//! };
//!
//! let zoo = Zoo::open(Config::from_env()?);
//! let options = RegisterOptions { overwrite: false, grant: Grant::All };
//! zoo.register_source("acme/digits", options).await?;
//!
//! let options = DownloadOptions { model_name: None, source: None, overwrite: false, grant: Grant::Nothing };
//! let downloaded = zoo.download("acme/digits-cnn", options).await?;
//!
//! let device = DeviceSpec::Auto.open()?;
//! let kwargs = serde_json::Map::new();
//! let model = zoo.load(&downloaded.record, kwargs, &device, PrecisionSpec::Auto).await?;
//! println!("{}", model.plan().architecture.name);
//! # Ok(())
//! # }
//! ```

mod config;
mod configuration;
mod doctor;
mod error;
mod models;
mod runs;
mod sources;
mod store;
mod zoo;

pub mod license;
pub mod manifest;
pub mod name;
pub mod reference;
pub mod requirements;
pub mod translate;
pub mod version;

pub use config::{Config, ENVIRONMENT};
pub use configuration::{LimitInForce, LimitOrigin, configuration_page};
pub use doctor::{CompilerState, DeviceState, Diagnosis, StoreState};
pub use error::Error;
pub use models::catalog::{Filter, ModelRecord, ModelSummary};
pub use models::download::{DownloadOptions, Downloaded};
pub use models::load::LoadedModel;
pub use modelzoo_base::Remedy;
pub use modelzoo_base::text;
pub use modelzoo_data::{Dataset, OpenOptions};
pub use modelzoo_net::policy::{Permission, Permissions};
pub use modelzoo_net::{Progress, Task};
pub use modelzoo_runtime::{Device, DeviceSpec, Precision, PrecisionSpec};
pub use modelzoo_sandbox::{Compiler, Level, WallStatus, compile_child};
pub use runs::apply::ApplyOptions;
pub use runs::embed::EmbedOptions;
pub use runs::run::{Applied, Watch};
pub use sources::bundle::{BundleError, Exported, ImportOptions, Imported, ImportedModel};
pub use sources::grant::{Grant, PermissionRequest};
pub use sources::inspect::{
    ImportAnswer, InspectedComponent, InspectedFile, InspectedImport, InspectedKind,
    InspectedManifest, InspectedModel, Inspection, RefusedComponent,
};
pub use sources::register::{Changes, RegisterOptions, RegisterOutcome, Registered, SourceInfo};
pub use sources::update::UpdateOptions;
pub use store::audit::{
    AuditOptions, AuditReport, BadDate, Denied, Narrower, Needed, OriginUse, Since, SourceAudit,
    Trouble,
};
pub use store::checks::age_of;
pub use store::disk::{Garbage, Usage};
pub use store::lock::LockedSource;
pub use store::receipt::{Receipt, ReceiptFile};
pub use store::verify::{Verified, VerifiedKind};

pub use zoo::{Messages, Zoo};
