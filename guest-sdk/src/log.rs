//! Messages for the person who runs the host.
//!
//! Use the macros [`debug!`](crate::debug!), [`info!`](crate::info!), [`warn!`](crate::warn!) and
//! [`error!`](crate::error!). Lines that a source prints to its standard output and standard error
//! become messages of the levels `info` and `warn`.

use std::fmt;

/// The severity of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For the author of the source; shown only with `--verbose`.
    Debug,
    /// What the hook is doing.
    Info,
    /// Something that the user should know, and that does not stop the work.
    Warn,
    /// Something that stops the work.
    Error,
}

/// Logs one message. Outside a component (in a test of the source) it goes to standard error.
pub fn log(level: Level, message: impl fmt::Display) {
    #[cfg(target_family = "wasm")]
    {
        use crate::bindings::modelzoo::source::log as wit;
        let level = match level {
            Level::Debug => wit::Level::Debug,
            Level::Info => wit::Level::Info,
            Level::Warn => wit::Level::Warn,
            Level::Error => wit::Level::Error,
        };
        wit::log(level, &message.to_string());
    }
    #[cfg(not(target_family = "wasm"))]
    {
        #[expect(clippy::print_stderr, reason = "there is no host to log to")]
        {
            eprintln!("{level:?}: {message}");
        }
    }
}

/// Logs for the author of the source; the arguments are those of [`format!`].
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => {
        $crate::log::log($crate::log::Level::Debug, ::core::format_args!($($message)+))
    };
}

/// Logs what the hook is doing; the arguments are those of [`format!`].
#[macro_export]
macro_rules! info {
    ($($message:tt)+) => {
        $crate::log::log($crate::log::Level::Info, ::core::format_args!($($message)+))
    };
}

/// Logs something that the user should know; the arguments are those of [`format!`].
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => {
        $crate::log::log($crate::log::Level::Warn, ::core::format_args!($($message)+))
    };
}

/// Logs something that stops the work; the arguments are those of [`format!`].
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => {
        $crate::log::log($crate::log::Level::Error, ::core::format_args!($($message)+))
    };
}
