//! A model zoo whose sources are remote and untrusted.
//!
//! A *source* is a directory, an archive or a GitHub repository with a `manifest.json` and a
//! WebAssembly component. The component's hooks download and load the source's models in a
//! sandbox; the host fetches, writes and computes for them. [`Zoo`] has every operation:
//!
//! ```no_run
//! use modelzoo::data::Dataset;
//! use modelzoo::models::LoadOptions;
//! use modelzoo::runs::ApplyOptions;
//! use modelzoo::sources::{Grant, RegisterOptions};
//! use modelzoo::{Config, Error, Zoo};
//!
//! # async fn example() -> Result<(), Error> {
//! let zoo = Zoo::open(Config::from_env()?);
//! let options = RegisterOptions { grant: Grant::All, ..RegisterOptions::default() };
//! zoo.register_source("acme/digits", options).await?;
//!
//! // Downloads the model if necessary.
//! let model = zoo.load_model("acme/digits-cnn", LoadOptions::default()).await?;
//!
//! let options = ApplyOptions {
//!     label_field: "predictions".into(),
//!     output: Some("labelled".into()),
//!     ..ApplyOptions::default()
//! };
//! model.apply(&Dataset::open("photos".as_ref())?, &options, &())?;
//!
//! let labelled = Dataset::open("labelled".as_ref())?;
//! println!("{:?}", labelled.label(0, "predictions")?);
//! # Ok(())
//! # }
//! ```
//!
//! Inside the crate, each part uses only the parts above it in this list:
//!
//! | part | is about |
//! |---|---|
//! | [`name`], [`version`], [`license`], [`requirements`], [`reference`], [`manifest`], [`translate`] | what users and manifests write |
//! | [`Error`], [`Config`] | errors and settings |
//! | [`store`] | what is on disk |
//! | [`sources`] | sources: register, update, inspect, delete, bundles |
//! | [`models`] | models: list, download, load, delete |
//! | [`runs`] | models applied to datasets |
//! | [`Zoo`] | the façade over all of them |

mod config;
mod configuration;
mod context;
mod doctor;
mod error;
mod limits;
mod zoo;

pub mod license;
pub mod manifest;
pub mod models;
pub mod name;
pub mod reference;
pub mod requirements;
pub mod runs;
pub mod sources;
pub mod store;
pub mod translate;
pub mod version;

pub use config::{Config, ENVIRONMENT};
pub use configuration::configuration_page;
pub use context::Messages;
pub use doctor::{CompilerState, DeviceState, Diagnosis, StoreState};
pub use error::{BundleError, Error};
pub use limits::{LimitInForce, LimitOrigin};
pub use modelzoo_base::{Remedy, text};
pub use zoo::Zoo;

/// Plans, tasks and labels: what a model is and what it gives.
pub mod model {
    pub use modelzoo_model::*;
}

/// Datasets: read, and written with labels.
pub mod data {
    pub use modelzoo_data::{Dataset, OpenOptions};
}

/// Where models compute.
pub mod device {
    pub use modelzoo_runtime::{Device, DeviceSpec, Precision, PrecisionSpec};
}

/// Permissions and the progress of downloads.
pub mod net {
    pub use modelzoo_net::policy::{Permission, Permissions};
    pub use modelzoo_net::{Progress, Task};
}

/// Where components are compiled, and how hooks are confined.
pub mod sandbox {
    pub use modelzoo_sandbox::{Compiler, ConfinementStatus, Level, compile_child};
}
