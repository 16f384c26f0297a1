//! The outbound network policy of modelzoo, and the only client that reaches the network.
//!
//! [`policy`] is pure: it decides about URLs, hosts and addresses, and is tested without a socket.
//! [`Client`] applies it to every hop of every request:
//!
//! 1. The URL is read strictly and made canonical ([`policy::parse_url`]).
//! 2. Its scheme, host and port must be granted ([`policy::check`]).
//! 3. Its name is looked up once, all addresses are checked, and the connection goes to exactly
//!    those, with the name in TLS and in `host`.
//! 4. A redirect starts again at 1. There are at most five, none leads from `https` to `http`,
//!    and credentials are those of the origin that the hop goes to, or none.
//! 5. Header section, body and time have limits; a body ends at its cap.
//!
//! [`Client::get`] fetches a small document into memory. [`Client::download`] streams a file to
//! the disk while it is hashed, goes on where an earlier process stopped, and puts the file in
//! place only when it is whole and has the expected digest.
//!
//! The user's [`Config`] alone can widen this: by [exceptions](policy::PrivateException) for
//! private hosts (which may then also be reached by plain `http`), by [mirrors](Mirror), by
//! certificate authorities of their own, and by a [proxy](Proxy). Through a proxy, names are
//! looked up by the proxy, so only the rules about names and literal addresses hold there.
//! Certificate verification cannot be turned off.

mod audit;
mod body;
mod client;
mod config;
mod download;
mod error;
mod exchange;
mod headers;
mod no_proxy;
pub mod policy;
mod progress;
mod proxy;
mod resolve;
mod retry;
mod secret;
mod tls;
mod transport;

pub use audit::{Audit, Hop, NoAudit, Outcome, RequestRecord};
pub use client::{Access, Client, Request, Response};
pub use config::{Config, Mirror, Proxy, check_ca_bundle, check_environment};
pub use download::{Download, Downloaded};
pub use error::{Error, ProxyFault, TimeoutKind};
pub use policy::{Grants, Refusal};
pub use progress::{NoProgress, Progress, Task};
pub use resolve::{Lookup, Resolver, SystemResolver};
pub use secret::{Credential, Secret};
