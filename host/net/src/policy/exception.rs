//! The user's exceptions for private networks.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use url::{Host, Url};

/// A private host, address or network that the user lets modelzoo reach.
///
/// | spelling | what it covers |
/// |---|---|
/// | `localhost`, `nas.lan` | that name, whatever it resolves to, every port |
/// | `nas.lan:443` | that name on that port |
/// | `127.0.0.1`, `::1` | that address, also when a name resolves to it |
/// | `127.0.0.1:8080`, `[::1]:8080` | that address on that port |
/// | `10.0.0.0/8`, `fd00::/8` | every address of the network |
///
/// An exception lifts the rule against private addresses, and the rule against plain `http` where
/// the URL itself is spelled with the excepted name or address. A name that only *resolves* to an
/// excepted address still needs `https`: its certificate then proves that the private host is the
/// one which was named, so a name that a stranger points at a private address gains nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PrivateException {
    host: Covered,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Covered {
    Name(String),
    /// The addresses that share the first `prefix` bits.
    Network {
        address: IpAddr,
        prefix: u8,
    },
}

/// Why a text is no [`PrivateException`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a host, an address or a network such as `nas.lan`, `127.0.0.1:8080` or `10.0.0.0/8`"
)]
pub struct ParseExceptionError {
    /// The text.
    pub text: String,
}

impl PrivateException {
    /// The exception for exactly the host and port of a URL; `None` when it has no host.
    pub(crate) fn for_url(url: &Url) -> Option<Self> {
        let host = match url.host()? {
            Host::Domain(name) => Covered::Name(name.to_owned()),
            Host::Ipv4(v4) => Covered::single(v4.into()),
            Host::Ipv6(v6) => Covered::single(v6.into()),
        };
        Some(Self {
            host,
            port: url.port_or_known_default(),
        })
    }

    /// Whether the exception covers the host of `url` as it is spelled, before any lookup.
    pub fn names(&self, url: &Url) -> bool {
        let Some(port) = url.port_or_known_default() else {
            return false;
        };
        match url.host() {
            Some(Host::Domain(name)) => self.covers_name(name, port),
            Some(Host::Ipv4(v4)) => self.covers_address(v4.into(), port),
            Some(Host::Ipv6(v6)) => self.covers_address(v6.into(), port),
            None => false,
        }
    }

    /// Whether the exception is for this name.
    pub fn covers_name(&self, name: &str, port: u16) -> bool {
        let same = matches!(&self.host, Covered::Name(own) if own == name);
        same && self.port.is_none_or(|own| own == port)
    }

    /// Whether the exception is for this address, or for a network that it is in.
    pub fn covers_address(&self, address: IpAddr, port: u16) -> bool {
        let inside = match &self.host {
            Covered::Network {
                address: own,
                prefix,
            } => in_network(address, *own, *prefix),
            Covered::Name(_) => false,
        };
        inside && self.port.is_none_or(|own| own == port)
    }
}

impl Covered {
    fn single(address: IpAddr) -> Self {
        Self::Network {
            address,
            prefix: if address.is_ipv4() { 32 } else { 128 },
        }
    }
}

/// An IPv4 address inside an IPv6 one is not looked for: such spellings stay refused.
fn in_network(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let differ = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(u32::from(a) ^ u32::from(b)) << 96,
        (IpAddr::V6(a), IpAddr::V6(b)) => u128::from(a) ^ u128::from(b),
        _ => return false,
    };
    differ.leading_zeros() >= u32::from(prefix)
}

impl FromStr for PrivateException {
    type Err = ParseExceptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ParseExceptionError {
            text: super::url::redact_text(text),
        })
    }
}

fn parse(text: &str) -> Option<PrivateException> {
    if let Some((address, prefix)) = text.split_once('/') {
        let address: IpAddr = address.parse().ok()?;
        let prefix: u8 = prefix.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        return (prefix <= longest).then_some(PrivateException {
            host: Covered::Network { address, prefix },
            port: None,
        });
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Some(PrivateException {
            host: Covered::single(address),
            port: None,
        });
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(PrivateException {
            host: Covered::single(socket.ip()),
            port: Some(socket.port()),
        });
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok().filter(|port| *port != 0)?)),
        None => (text, None),
    };
    // The URL reader knows what a host name is.
    let url = super::parse_url(&format!("https://{name}")).ok()?;
    match url.host()? {
        Host::Domain(host) if url.path() == "/" && url.query().is_none() => {
            Some(PrivateException {
                host: Covered::Name(host.to_owned()),
                port,
            })
        }
        _ => None,
    }
}

impl fmt::Display for PrivateException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (Covered::Name(name), None) => f.write_str(name),
            (Covered::Name(name), Some(port)) => write!(f, "{name}:{port}"),
            (Covered::Network { address, .. }, Some(port)) => {
                write!(f, "{}", SocketAddr::new(*address, port))
            }
            (Covered::Network { address, prefix }, None) => match (address, prefix) {
                (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => write!(f, "{address}"),
                _ => write!(f, "{address}/{prefix}"),
            },
        }
    }
}
