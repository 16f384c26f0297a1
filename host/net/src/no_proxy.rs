//! Who is reached without a proxy: what `NO_PROXY` lists.

use std::net::IpAddr;

use ipnet::IpNet;
use modelzoo_base::text::excerpt;
use url::{Host, Url};

/// The longest entry that an error shows whole, in bytes.
const SHOWN: usize = 80;

/// The hosts of a list.
///
/// Entries are separated by commas or white space. An entry is `*`, an address, a network such as
/// `10.0.0.0/8`, or a name, which stands for all names below it too, written `example.org`,
/// `.example.org` or `*.example.org`. A port after it, as in `example.org:8080` or `[::1]:8080`,
/// restricts it to that port.
#[derive(Debug, Default)]
pub(crate) struct NoProxy(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    who: Who,
    port: Option<u16>,
}

#[derive(Debug)]
enum Who {
    Everybody,
    Network(IpNet),
    Name(String),
}

impl NoProxy {
    /// Reads a list.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        text.split(|c: char| c == ',' || c.is_whitespace())
            .filter(|entry| !entry.is_empty())
            .map(|entry| {
                Entry::parse(entry).ok_or_else(|| {
                    let shown = excerpt(entry, SHOWN);
                    format!("`{shown}` is neither a host, nor an address, nor a network")
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether the host of `url` is in the list.
    pub(crate) fn contains(&self, url: &Url) -> bool {
        self.0.iter().any(|entry| entry.contains(url))
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        let network = |network| Self {
            who: Who::Network(network),
            port: None,
        };
        if let Ok(found) = text.parse::<IpNet>() {
            return Some(network(found));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(network(address.into()));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !text.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (text, None),
        };
        Some(Self {
            who: Who::parse(host)?,
            port,
        })
    }

    fn contains(&self, url: &Url) -> bool {
        let port = |port| url.port_or_known_default() == Some(port);
        self.port.is_none_or(port) && self.who.contains(url)
    }
}

impl Who {
    fn parse(host: &str) -> Option<Self> {
        if host == "*" {
            return Some(Self::Everybody);
        }
        let below = host.strip_prefix("*.").or_else(|| host.strip_prefix('.'));
        match Host::parse(below.unwrap_or(host)).ok()? {
            Host::Ipv4(address) if below.is_none() => {
                Some(Self::Network(IpAddr::V4(address).into()))
            }
            Host::Ipv6(address) if below.is_none() => {
                Some(Self::Network(IpAddr::V6(address).into()))
            }
            Host::Domain(name) if !name.contains('*') => {
                Some(Self::Name(name.trim_end_matches('.').to_owned()))
            }
            Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_) => None,
        }
    }

    fn contains(&self, url: &Url) -> bool {
        match (self, url.host()) {
            (Self::Everybody, _) => true,
            (Self::Network(network), Some(Host::Ipv4(v4))) => network.contains(&IpAddr::V4(v4)),
            (Self::Network(network), Some(Host::Ipv6(v6))) => network.contains(&IpAddr::V6(v6)),
            (Self::Name(name), Some(Host::Domain(host))) => {
                let above = host.trim_end_matches('.').strip_suffix(name.as_str());
                above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
            (Self::Network(_), Some(Host::Domain(_)) | None)
            | (Self::Name(_), Some(Host::Ipv4(_) | Host::Ipv6(_)) | None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn hits(list: &str, url: &str) -> bool {
        NoProxy::parse(list)
            .unwrap()
            .contains(&Url::parse(url).unwrap())
    }

    #[test]
    fn names_stand_for_all_names_below_them() {
        for list in [
            "example.org",
            ".example.org",
            "*.Example.org",
            "a, ,example.org.",
        ] {
            assert!(hits(list, "https://example.org/"), "{list}");
            assert!(hits(list, "https://a.b.example.org:8443/"), "{list}");
            assert!(!hits(list, "https://notexample.org/"), "{list}");
            assert!(!hits(list, "https://example.org.evil.test/"), "{list}");
        }
        assert!(hits("a.test b.test\n", "https://b.test/"));
        assert!(hits("*", "https://10.0.0.1/"));
        assert!(!hits("", "https://example.org/"));
    }

    #[test]
    fn addresses_and_networks_match_literal_addresses() {
        for (list, url) in [
            ("10.0.0.0/8", "https://10.1.2.3/"),
            ("192.0.2.7", "https://192.0.2.7/"),
            ("2001:db8::/32", "https://[2001:db8::1]/"),
            ("2001:db8::1", "https://[2001:db8::1]/"),
            ("[2001:db8::1]", "https://[2001:db8::1]/"),
        ] {
            assert!(hits(list, url), "{list}");
        }
        assert!(!hits("10.0.0.0/8", "https://11.0.0.1/"));
        assert!(!hits("10.0.0.0/8", "https://ten.test/"));
    }

    #[test]
    fn port_restricts_an_entry() {
        for (list, url, hit) in [
            ("a.test:8080", "http://a.test:8080/", true),
            ("a.test:8080", "http://a.test/", false),
            ("a.test:443", "https://a.test/", true),
            ("10.0.0.1:443", "https://10.0.0.1/", true),
            ("[::2]:443", "https://[::2]/", true),
            ("[::2]:444", "https://[::2]/", false),
        ] {
            assert_eq!(hits(list, url), hit, "{list}");
        }
    }

    #[test]
    fn entry_that_can_never_match_is_refused() {
        for entry in [
            "10.0.0.0/99",
            "999.1.1.1",
            "https://a.test",
            "<local>",
            "a*b.test",
            "*a.test",
            "a.test:port",
            "a.test:99999",
            "*.10.0.0.1",
            "[::1",
            ".",
            "a/b",
        ] {
            let reason = NoProxy::parse(&format!("ok.test,{entry}")).unwrap_err();
            assert!(reason.starts_with(&format!("`{entry}` is ")), "{reason}");
        }
    }
}
