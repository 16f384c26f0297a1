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

mod acquire;
mod apply;
mod audit;
mod bundle;
mod catalog;
mod checks;
mod config;
mod configuration;
mod disk;
mod doctor;
mod download;
mod embed;
mod error;
mod files;
mod github;
mod grant;
mod in_use;
mod inspect;
mod load;
mod lock;
mod managed;
mod receipt;
mod register;
mod rollback;
mod run;
mod store;
mod update;
mod verify;
mod zoo;

pub mod license;
pub mod manifest;
pub mod name;
pub mod reference;
pub mod requirements;
pub mod text;
pub mod translate;
pub mod version;

pub use apply::ApplyOptions;
pub use audit::{
    AuditOptions, AuditReport, BadDate, Denied, Narrower, Needed, OriginUse, Since, SourceAudit,
    Trouble,
};
pub use bundle::{BundleError, Exported, ImportOptions, Imported, ImportedModel};
pub use catalog::{Filter, ModelRecord, ModelSummary};
pub use checks::age_of;
pub use config::{Config, ENVIRONMENT};
pub use configuration::{LimitInForce, LimitOrigin, configuration_page};
pub use disk::{Garbage, Usage};
pub use doctor::{CompilerState, DeviceState, Diagnosis, StoreState};
pub use download::{DownloadOptions, Downloaded};
pub use embed::EmbedOptions;
pub use error::Error;
pub use grant::{Grant, PermissionRequest};
pub use inspect::{
    ImportAnswer, InspectedComponent, InspectedFile, InspectedImport, InspectedKind,
    InspectedManifest, InspectedModel, Inspection, RefusedComponent,
};
pub use load::LoadedModel;
pub use lock::LockedSource;
pub use modelzoo_data::{Dataset, OpenOptions};
pub use modelzoo_net::policy::{Permission, Permissions};
pub use modelzoo_net::{Progress, Task};
pub use modelzoo_runtime::{Device, DeviceSpec, Precision, PrecisionSpec};
pub use modelzoo_sandbox::{Compiler, Level, WallStatus, compile_child};
pub use receipt::{Receipt, ReceiptFile};
pub use register::{Changes, RegisterOptions, RegisterOutcome, Registered, SourceInfo};
pub use run::{Applied, Watch};
pub use update::UpdateOptions;
pub use verify::{Verified, VerifiedKind};

pub use zoo::{Messages, Zoo};
