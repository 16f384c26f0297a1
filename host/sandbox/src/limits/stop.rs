//! Why the host stops a guest.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A limit that a hook can reach. Each is a field of [`Limits`](crate::Limits) except
/// `DownloadBytes`, which the manifest sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// `memory_bytes`
    Memory,
    /// `table_elements`
    TableElements,
    /// `instances`, `tables` or `memories`
    Instances,
    /// `resources`
    Resources,
    /// `hostcall_bytes`
    Hostcall,
    /// `requests`
    Requests,
    /// `staging_bytes`
    StagingBytes,
    /// `staging_files`
    StagingFiles,
    /// The manifest's `max_download_bytes`.
    DownloadBytes,
}

impl Limit {
    /// `amount`, in this limit's unit, of what it limits.
    pub(crate) fn describe(self, amount: u64) -> String {
        match self {
            Self::Memory => format!("{amount} bytes of memory"),
            Self::TableElements => format!("{amount} table elements"),
            Self::Instances => "instances, tables or memories".to_owned(),
            Self::Resources => format!("{amount} open handles"),
            Self::Hostcall => format!("{amount} bytes handed to the host in one call"),
            Self::Requests => format!("{amount} requests"),
            Self::StagingBytes => format!("{amount} bytes of artifacts"),
            Self::StagingFiles => format!("{amount} artifacts"),
            Self::DownloadBytes => format!("{amount} bytes of downloads"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory_bytes",
            Self::TableElements => "table_elements",
            Self::Instances => "instances",
            Self::Resources => "resources",
            Self::Hostcall => "hostcall_bytes",
            Self::Requests => "requests",
            Self::StagingBytes => "staging_bytes",
            Self::StagingFiles => "staging_files",
            Self::DownloadBytes => "max_download_bytes",
        })
    }
}

/// What the time of a hook call goes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activity {
    /// The guest itself: [`Limits::wall`](crate::Limits::wall).
    Guest,
    /// `artifacts`: [`Limits::disk_wall`](crate::Limits::disk_wall).
    Disk,
    /// `fetch`: [`Limits::network_wall`](crate::Limits::network_wall).
    Network,
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guest => "its own work",
            Self::Disk => "writing files",
            Self::Network => "the network",
        })
    }
}

/// Ends a guest's call from within a host function; becomes a [`HookError`](crate::HookError).
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// A limit was reached; with its value.
    #[error("more than {}", .0.describe(*.1))]
    Limit(Limit, u64),
    /// The time for an activity is used up.
    #[error("out of time for {0}")]
    Time(Activity),
    /// The guest called a function that its phase does not have.
    #[error("`{interface}` is not available ({function})")]
    Forbidden {
        /// The interface, with its version.
        interface: String,
        /// The function.
        function: String,
    },
    /// The host itself failed.
    #[error("{doing}")]
    Host {
        /// What the host was doing.
        doing: String,
        /// What the system reports.
        source: std::io::Error,
    },
}
