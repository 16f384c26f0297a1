//! Why a hook has no result.

use std::fmt;
use std::io;
use std::time::Duration;

use modelzoo_base::Remedy;
use modelzoo_base::text::excerpt;
use serde::{Deserialize, Serialize};
use wasmtime::Trap;
use wasmtime::component::ResourceTableError;
use wasmtime_wasi::I32Exit;

use crate::error::Error;
use crate::interfaces::types::{self, RefusalCause};
use crate::limits::ERROR_BYTES;
use crate::limits::Limits;
use crate::limits::stop::{Activity, Limit, Stop};

/// The most bytes of the reason of a crash.
const REASON_BYTES: usize = 512;

/// What a hook runs for, as errors name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The source, as the user knows it.
    pub source: String,
    /// The model, with its version.
    pub model: String,
}

/// One of the two hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// `download-model`
    DownloadModel,
    /// `load-model`
    LoadModel,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DownloadModel => "download_model",
            Self::LoadModel => "load_model",
        })
    }
}

/// Which hook of which source was running, and for which model. As text:
/// ``download_model of `acme/digits` for `acme/digits-cnn@1.0` ``.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The source.
    pub source: String,
    /// The model.
    pub model: String,
    /// The hook.
    pub hook: Hook,
}

impl Site {
    pub(super) fn new(identity: &Identity, hook: Hook) -> Box<Self> {
        Box::new(Self {
            source: identity.source.clone(),
            model: identity.model.clone(),
            hook,
        })
    }

    /// The error for a failure of the host.
    pub(super) fn host_error(&self, doing: &str, source: io::Error) -> HookError {
        HookError::Host {
            at: Box::new(self.clone()),
            doing: doing.to_owned(),
            source,
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of `{}` for `{}`", self.hook, self.source, self.model)
    }
}

/// The kinds of `error` in `wit/v0.1/types.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestErrorKind {
    /// An argument was invalid.
    InvalidInput,
    /// Something does not exist.
    NotFound,
    /// A permission is missing.
    Denied,
    /// A server was not reached.
    Network,
    /// A server responded with a failure.
    Status,
    /// Bytes did not have the expected digest or length.
    Mismatch,
    /// A limit was reached.
    Limit,
    /// A file could not be read or written.
    Io,
    /// Something is not supported.
    Unsupported,
    /// Anything else.
    Other,
}

/// Why a hook has no result. Each variant names the source, the model and the hook.
///
/// The guest's own text is on one line, without control characters, and has at most 2 KiB.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The hook returned an error.
    #[error("{at} failed: {message}")]
    Guest {
        /// Where.
        at: Box<Site>,
        /// The kind that the guest gave.
        kind: GuestErrorKind,
        /// The guest's text.
        message: String,
        /// What the user can do, where the host knows.
        remedy: Option<Remedy>,
    },

    /// The hook crashed.
    #[error("{at} crashed: {reason}")]
    Trap {
        /// Where.
        at: Box<Site>,
        /// The guest's panic message where it printed one, else the machine's reason.
        reason: String,
    },

    /// The hook took too long.
    #[error("{at} was stopped: more than {} s for {activity}", .limit.as_secs_f64())]
    Timeout {
        /// Where.
        at: Box<Site>,
        /// What took so long.
        activity: Activity,
        /// How long it may take.
        limit: Duration,
    },

    /// The hook reached a limit.
    #[error("{at} was stopped: more than {}", .which.describe(*.limit))]
    Limit {
        /// Where.
        at: Box<Site>,
        /// Which limit.
        which: Limit,
        /// Its value, in the limit's unit.
        limit: u64,
    },

    /// The hook called an interface that it does not have.
    #[error("{at} was stopped: it called `{function}` of `{interface}`, which it may not have")]
    Forbidden {
        /// Where.
        at: Box<Site>,
        /// The interface, with its version.
        interface: String,
        /// The function.
        function: String,
    },

    /// The hook's result is invalid.
    #[error("{at} gave a bad answer: {reason}")]
    BadAnswer {
        /// Where.
        at: Box<Site>,
        /// What is wrong with it.
        reason: String,
    },

    /// An earlier call ended the session.
    #[error("{at} cannot be called again: an earlier call ended its session")]
    Ended {
        /// Where.
        at: Box<Site>,
    },

    /// The component cannot be run at all.
    #[error("{at} cannot be run: {source}")]
    Component {
        /// Where.
        at: Box<Site>,
        /// Why not.
        #[source]
        source: Error,
    },

    /// The host failed, not the guest.
    #[error("{at} could not go on: {doing}: {source}")]
    Host {
        /// Where.
        at: Box<Site>,
        /// What the host was doing.
        doing: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
}

impl HookError {
    /// Which hook of which source it was.
    pub fn site(&self) -> &Site {
        match self {
            Self::Guest { at, .. }
            | Self::Trap { at, .. }
            | Self::Timeout { at, .. }
            | Self::Limit { at, .. }
            | Self::Forbidden { at, .. }
            | Self::BadAnswer { at, .. }
            | Self::Ended { at }
            | Self::Component { at, .. }
            | Self::Host { at, .. } => at,
        }
    }

    /// What to do about it, where there is something.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Guest {
                remedy: Some(remedy),
                ..
            } => Some(remedy.clone()),
            Self::Guest {
                at,
                kind: GuestErrorKind::InvalidInput,
                ..
            } if at.hook == Hook::LoadModel => Some(Remedy::GiveArguments),
            Self::Guest { .. } | Self::Ended { .. } => None,
            Self::Timeout { activity, .. } => Some(Remedy::advice(format!(
                "a slow machine can be given more time: `limits.{}`",
                match activity {
                    Activity::Guest => "wall",
                    Activity::Disk => "disk_wall",
                    Activity::Network => "network_wall",
                }
            ))),
            Self::Limit {
                which: Limit::DownloadBytes,
                ..
            } => Some(Remedy::advice(
                "the source's manifest sets `permissions.max_download_bytes`; its author can raise it",
            )),
            Self::Limit { which, .. } => Some(Remedy::advice(format!(
                "if you trust the source, raise `limits.{which}`"
            ))),
            Self::Trap { .. } | Self::Forbidden { .. } | Self::BadAnswer { .. } => Some(
                Remedy::advice("this is a fault of the source: tell its author"),
            ),
            Self::Component { source, .. } => source.remedy(),
            Self::Host { source, .. } => source
                .get_ref()
                .and_then(|source| source.downcast_ref::<modelzoo_net::Error>())
                .and_then(modelzoo_net::Error::remedy),
        }
    }

    /// For an error that a hook returned. `last_refusal` is the cause of the host's last errors.
    pub(super) fn from_guest(
        at: Box<Site>,
        error: types::Error,
        last_refusal: RefusalCause,
    ) -> Self {
        use types::Error as Wit;
        let (kind, text) = match error {
            Wit::InvalidInput(text) => (GuestErrorKind::InvalidInput, text),
            Wit::NotFound(text) => (GuestErrorKind::NotFound, text),
            Wit::Denied(text) => (GuestErrorKind::Denied, text),
            Wit::Network(text) => (GuestErrorKind::Network, text),
            Wit::Status(failure) => (
                GuestErrorKind::Status,
                format!(
                    "{} answered with status {}",
                    without_secrets(&failure.url),
                    failure.status
                ),
            ),
            Wit::Mismatch(text) => (GuestErrorKind::Mismatch, text),
            Wit::Limit(text) => {
                // Most likely the host's error, passed on; and if not, it is true all the same.
                if let Some((which, limit)) = last_refusal.limit {
                    return Self::Limit { at, which, limit };
                }
                (GuestErrorKind::Limit, text)
            }
            Wit::Io(text) => (GuestErrorKind::Io, text),
            Wit::Unsupported(text) => (GuestErrorKind::Unsupported, text),
            Wit::Other(text) => (GuestErrorKind::Other, text),
        };
        let message = match excerpt(text.trim(), ERROR_BYTES) {
            text if text.is_empty() => "it gives no reason".to_owned(),
            text => text,
        };
        Self::Guest {
            at,
            kind,
            message,
            remedy: last_refusal.remedy,
        }
    }

    /// For what ended a guest's call. `tail` are the last lines of its standard error.
    pub(super) fn from_run(
        at: Box<Site>,
        error: wasmtime::Error,
        tail: &[String],
        limits: &Limits,
    ) -> Self {
        let error = match error.downcast::<Stop>() {
            Ok(stop) => return Self::from_stop(at, stop, limits),
            Err(error) => error,
        };
        if matches!(
            error.downcast_ref::<ResourceTableError>(),
            Some(ResourceTableError::Full)
        ) {
            return Self::Limit {
                at,
                which: Limit::Resources,
                limit: limits.resources.into(),
            };
        }
        let text = format!("{:#}", error);
        if let Some((which, limit)) = engine_limit(&text, limits) {
            return Self::Limit { at, which, limit };
        }
        let reason = if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
            format!("it exited with status {status}")
        } else if let Some(panic) = panic_message(tail) {
            panic
        } else {
            let reason = match error.downcast_ref::<Trap>() {
                Some(trap) => trap.to_string(),
                None => error.root_cause().to_string(),
            };
            match tail.last() {
                Some(last) => format!("{reason}; it last said: {last}"),
                None => reason,
            }
        };
        Self::Trap {
            at,
            reason: excerpt(&reason, REASON_BYTES),
        }
    }

    fn from_stop(at: Box<Site>, stop: Stop, limits: &Limits) -> Self {
        match stop {
            Stop::Limit(which, limit) => Self::Limit { at, which, limit },
            Stop::Time(activity) => Self::Timeout {
                at,
                activity,
                limit: match activity {
                    Activity::Guest => limits.wall,
                    Activity::Disk => limits.disk_wall,
                    Activity::Network => limits.network_wall,
                },
            },
            Stop::Forbidden {
                interface,
                function,
            } => Self::Forbidden {
                at,
                interface: excerpt(&interface, REASON_BYTES),
                function: excerpt(&function, REASON_BYTES),
            },
            Stop::Host { doing, source } => Self::Host { at, doing, source },
        }
    }
}

/// A URL without the parts that could hold a secret. The host's URLs have none; a guest's may.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.find('/').unwrap_or(rest.len());
            let start = rest
                .get(..authority)
                .and_then(|authority| authority.rfind('@'))
                .map_or(0, |at| at + 1);
            format!("{scheme}://{}", rest.get(start..).unwrap_or_default())
        }
        None => url.to_owned(),
    }
}

/// Limits that the engine enforces itself and reports as text only.
fn engine_limit(text: &str, limits: &Limits) -> Option<(Limit, u64)> {
    if text.contains("fuel allocated for hostcalls has been exhausted") {
        return Some((Limit::Hostcall, limits.hostcall_bytes));
    }
    if text.contains("resource limit exceeded:") {
        return Some((Limit::Instances, limits.instances.into()));
    }
    None
}

/// The message of a Rust panic: `panicked at src/lib.rs:1:2: the message`.
fn panic_message(tail: &[String]) -> Option<String> {
    let start = tail
        .iter()
        .rposition(|line| line.contains("panicked at "))?;
    let mut lines = tail.iter().skip(start);
    let (_, place) = lines.next()?.split_once("panicked at ")?;
    let message = lines
        .take_while(|line| !line.starts_with("note: "))
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ");
    Some(
        format!("panicked at {place} {message}")
            .trim_end()
            .to_owned(),
    )
}

#[cfg(test)]
mod tests;
