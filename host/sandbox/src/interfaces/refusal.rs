//! What the host answers a guest that asked for something it does not get.

use std::fmt::Display;
use std::io;

use modelzoo_base::Remedy;
use modelzoo_base::text::excerpt;

use crate::interfaces::bindings::source::types;
use crate::limits::ERROR_BYTES;
use crate::limits::stop::Limit;

/// An error for the guest, with what the host wants to remember of it.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What the guest is told.
    pub(crate) error: types::Error,
    /// The limit that was reached, with its value.
    pub(crate) limit: Option<(Limit, u64)>,
    /// What the user can do about it.
    pub(crate) remedy: Option<Remedy>,
}

impl Refusal {
    pub(crate) fn new(error: types::Error) -> Self {
        Self {
            error,
            limit: None,
            remedy: None,
        }
    }

    /// The guest asked for something that makes no sense.
    pub(crate) fn invalid(text: impl Display) -> Self {
        Self::new(types::Error::InvalidInput(say(text)))
    }

    /// There is no such thing.
    pub(crate) fn not_found(text: impl Display) -> Self {
        Self::new(types::Error::NotFound(say(text)))
    }

    /// It would be more than `limit` allows, which is `max`.
    pub(crate) fn limit(limit: Limit, max: u64) -> Self {
        Self {
            limit: Some((limit, max)),
            ..Self::new(types::Error::Limit(format!(
                "more than {} ({limit})",
                limit.describe(max)
            )))
        }
    }

    /// The system refused. Its messages name no paths of the host.
    pub(crate) fn io(doing: impl Display, error: &io::Error) -> Self {
        Self::new(types::Error::Io(say(format_args!("{doing}: {error}"))))
    }
}

fn say(text: impl Display) -> String {
    excerpt(&text.to_string(), ERROR_BYTES)
}
