//! How a command fails: a line on standard error, a hint, and an exit status.

use std::process::ExitCode;

use crate::console::Console;
use crate::hints::Hint;

/// Some samples failed.
pub(crate) const SOME_FAILED: u8 = 3;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Zoo(Box<modelzoo::Error>),
    Usage {
        message: String,
        hint: Option<Hint>,
    },
    /// A failure that is not an error of the library.
    Plain {
        message: String,
        hint: Option<Hint>,
    },
    /// Standard output was closed: nobody reads the error.
    Closed,
}

impl Failure {
    pub(crate) fn plain(message: impl Into<String>) -> Self {
        Self::Plain {
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hinted(message: impl Into<String>, hint: impl Into<Hint>) -> Self {
        Self::Plain {
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<Hint>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    pub(crate) fn report(&self, console: &Console) -> ExitCode {
        let (message, hint, code) = match self {
            Self::Zoo(error) => {
                let code = if error.needs_permission() { 4 } else { 1 };
                (
                    error.to_string(),
                    error.remedy().map(|remedy| Hint::from(remedy).text()),
                    code,
                )
            }
            Self::Usage { message, hint } => (message.clone(), hint.as_ref().map(Hint::text), 2),
            Self::Plain { message, hint } => (message.clone(), hint.as_ref().map(Hint::text), 1),
            Self::Closed => return ExitCode::SUCCESS,
        };
        console.fail(&message, hint.as_deref());
        ExitCode::from(code)
    }
}

impl From<modelzoo::Error> for Failure {
    fn from(error: modelzoo::Error) -> Self {
        Self::Zoo(Box::new(error))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::plain(format!("cannot write the output: {error}")),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        std::io::Error::from(error).into()
    }
}
