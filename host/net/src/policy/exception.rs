//! The user's exceptions for private networks.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
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
/// one which was named, so a name that an attacker points at a private address gains nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PrivateException {
    host: Covered,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Covered {
    Name(String),
    /// An IPv4 address inside an IPv6 one is not looked for: such spellings stay refused.
    Network(IpNet),
}

/// Why a text is not a [`PrivateException`].
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
            Host::Ipv4(v4) => Covered::Network(IpAddr::from(v4).into()),
            Host::Ipv6(v6) => Covered::Network(IpAddr::from(v6).into()),
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
            Covered::Network(network) => network.contains(&address),
            Covered::Name(_) => false,
        };
        inside && self.port.is_none_or(|own| own == port)
    }
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
    if text.contains('/') {
        return Some(PrivateException {
            host: Covered::Network(text.parse().ok()?),
            port: None,
        });
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Some(PrivateException {
            host: Covered::Network(address.into()),
            port: None,
        });
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(PrivateException {
            host: Covered::Network(socket.ip().into()),
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
            (Covered::Network(network), Some(port)) => {
                write!(f, "{}", SocketAddr::new(network.addr(), port))
            }
            (Covered::Network(network), None)
                if network.prefix_len() == network.max_prefix_len() =>
            {
                write!(f, "{}", network.addr())
            }
            (Covered::Network(network), None) => write!(f, "{network}"),
        }
    }
}
