//! Name resolution, once per connection, which connects only to checked addresses.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::policy::{PrivateException, vet_addresses};

/// What [`Resolver::lookup`] returns.
pub type Lookup<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Resolves host names. [`SystemResolver`] is the usual one; another can be given to
/// [`Client::with_resolver`](crate::Client::with_resolver), for example to pin names in a test.
/// Its results are checked too.
pub trait Resolver: Send + Sync {
    /// The addresses of a name.
    fn lookup<'a>(&'a self, name: &'a str) -> Lookup<'a>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn lookup<'a>(&'a self, name: &'a str) -> Lookup<'a> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// A name without an address.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub(crate) struct Unresolved {
    pub(crate) host: String,
    pub(crate) kind: io::ErrorKind,
    source: io::Error,
}

impl Unresolved {
    /// The error again: this one stays in the chain that it was found in.
    pub(crate) fn error(&self) -> io::Error {
        io::Error::new(self.kind, self.source.to_string())
    }
}

/// The resolver of the connections to one origin. reqwest asks it once for a connection and
/// connects to the addresses that it returns, so what is checked is what is connected to; and it
/// knows no name but the origin's, and that of the proxy.
pub(crate) struct CheckedResolver {
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) exceptions: Arc<[PrivateException]>,
    /// The user's own proxy may live anywhere.
    pub(crate) proxy: Option<String>,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = Arc::clone(&self.resolver);
        let exceptions = Arc::clone(&self.exceptions);
        let name = name.as_str().to_owned();
        let port = self.port;
        let is_proxy = self.proxy.as_deref() == Some(name.as_str());
        let is_known = is_proxy || self.host == name;
        Box::pin(async move {
            let lookup = if is_known {
                resolver.lookup(&name).await
            } else {
                Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "not the host that was asked for",
                ))
            };
            let found = lookup.and_then(|found| {
                if found.is_empty() {
                    Err(io::Error::new(io::ErrorKind::NotFound, "it has no address"))
                } else {
                    Ok(found)
                }
            });
            let found = found.map_err(|source| Unresolved {
                host: name.clone(),
                kind: source.kind(),
                source,
            })?;
            if !is_proxy {
                vet_addresses(&name, port, &found, &exceptions)?;
            }
            // Port 0 stands for the port of the URL.
            let addresses = found.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}
