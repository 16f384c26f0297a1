//! What may be reached: pure rules over URLs, permissions and addresses. Nothing here does I/O.
//!
//! A request passes four gates, in this order; each has its own [`Refusal`]:
//!
//! | gate | what it asks | where |
//! |---|---|---|
//! | shape | is this one unmistakable `https` or `http` URL? | [`parse_url`] |
//! | grant | do the [`Permissions`] (or the user) name this scheme, host and port? | [`check`] |
//! | scheme | plain `http` only with a digest, or to a host that the user excepted | [`check`] |
//! | address | is every address of the host public unicast, or excepted by the user? | [`check`] for literal addresses, [`vet_addresses`] for names |
//!
//! The caller repeats all four at every redirect. Names are looked up only after the first three,
//! so a host that is not granted never causes a DNS query.

mod address;
mod exception;
mod grants;
mod origin;
mod permission;
mod refusal;
mod url;

pub use self::url::{join_url, parse_url, redact, redact_text};
pub use address::{AddressKind, check_address};
pub use exception::{ParseExceptionError, PrivateException};
pub use grants::{Grants, Rules, check, vet_addresses};
pub use origin::{Origin, ParseOriginError};
pub use permission::{ParsePermissionError, Permission, Permissions};
pub use refusal::Refusal;
