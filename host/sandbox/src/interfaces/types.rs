//! `modelzoo:source/types`: the types that the other interfaces share, and how a host function
//! fails.
//!
//! See `wit/v0.1/types.wit`. A host
//! function returns a [`HostError`]. Its [`Refusal`] becomes the guest's `error`, and the guest
//! goes on; everything else ends the guest's call.

use std::fmt::Display;
use std::io;

use modelzoo_base::Remedy;
use wasmtime::component::{HasData, Linker};

use super::bindings::types::add_to_linker as link;
pub(crate) use super::bindings::types::{Artifact, Error, Host, HttpFailure};
use crate::limits::ERROR_BYTES;
use crate::limits::stop::{Limit, Stop};
use modelzoo_base::text::excerpt;

/// Why a host function has no result for the guest.
#[derive(Debug)]
pub(crate) enum HostError {
    /// The guest receives an error.
    Refusal(Refusal),
    /// The guest is stopped.
    Stop(Stop),
}

impl From<Refusal> for HostError {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Stop> for HostError {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// An error for the guest, with what the host reports to the user if the hook passes it on.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What the guest receives.
    pub(crate) error: Error,
    /// What the host remembers.
    pub(crate) cause: RefusalCause,
}

/// What the host knows about a refusal and the error's text does not say.
#[derive(Debug, Default)]
pub(crate) struct RefusalCause {
    /// The limit that was reached, with its value.
    pub(crate) limit: Option<(Limit, u64)>,
    /// What the user can do about it.
    pub(crate) remedy: Option<Remedy>,
}

impl Refusal {
    pub(crate) fn new(error: Error) -> Self {
        Self {
            error,
            cause: RefusalCause::default(),
        }
    }

    /// Adds what the user can do about it.
    pub(crate) fn with_remedy(mut self, remedy: Option<Remedy>) -> Self {
        self.cause.remedy = remedy;
        self
    }

    /// The guest passed an invalid argument.
    pub(crate) fn invalid(text: impl Display) -> Self {
        Self::new(Error::InvalidInput(one_line(text)))
    }

    /// What the guest named does not exist.
    pub(crate) fn not_found(text: impl Display) -> Self {
        Self::new(Error::NotFound(one_line(text)))
    }

    /// It would be more than `limit` allows, which is `max`.
    pub(crate) fn limit(limit: Limit, max: u64) -> Self {
        let text = format!("more than {} ({limit})", limit.describe(max));
        let mut refusal = Self::new(Error::Limit(text));
        refusal.cause.limit = Some((limit, max));
        refusal
    }

    /// The system refused. The system's messages contain no paths of the host.
    pub(crate) fn io(doing: impl Display, error: &io::Error) -> Self {
        Self::new(Error::Io(one_line(format_args!("{doing}: {error}"))))
    }
}

fn one_line(text: impl Display) -> String {
    excerpt(&text.to_string(), ERROR_BYTES)
}

/// The errors of a guest's host calls, borrowed for one call.
pub(crate) struct TypesView<'a> {
    /// The last cause of each kind.
    pub(crate) last_refusal: &'a mut RefusalCause,
}

impl Host for TypesView<'_> {
    fn convert_error(&mut self, error: HostError) -> wasmtime::Result<Error> {
        let refusal = match error {
            HostError::Refusal(refusal) => refusal,
            HostError::Stop(stop) => return Err(stop.into()),
        };
        let RefusalCause { limit, remedy } = refusal.cause;
        if limit.is_some() {
            self.last_refusal.limit = limit;
        }
        if remedy.is_some() {
            self.last_refusal.remedy = remedy;
        }
        Ok(refusal.error)
    }
}

/// [`TypesView`] for a linker.
struct HasTypes;

impl HasData for HasTypes {
    type Data<'a> = TypesView<'a>;
}

/// Adds `modelzoo:source/types` to a linker.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> TypesView<'_>,
) -> wasmtime::Result<()> {
    link::<_, HasTypes>(linker, view)
}
