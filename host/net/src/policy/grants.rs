//! The decision about one URL, and about the addresses of its host.

use std::net::IpAddr;

use url::{Host, Url};

use super::address::check_address;
use super::exception::PrivateException;
use super::permission::Permissions;
use super::refusal::Refusal;

/// Who asked for a URL, and so what it may be.
#[derive(Debug, Clone, Copy)]
pub enum Grants<'a> {
    /// A source: only what was granted to it.
    Only(&'a Permissions),
    /// The user typed it, or the host itself makes the call: every public `https` host. Plain
    /// `http` only to a host that the user excepted.
    UserAsked,
}

/// What a decision is based on.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Who asked.
    pub grants: Grants<'a>,
    /// The user's exceptions for private networks.
    pub exceptions: &'a [PrivateException],
    /// Whether the bytes will be checked against a digest that was known before.
    pub digest: bool,
}

/// Decides about one URL before any name is resolved. The URL must come from
/// [`parse_url`](super::parse_url) or [`join_url`](super::join_url).
///
/// # Errors
/// [`Refusal::Host`], [`Refusal::PlainHttp`], [`Refusal::HttpWithoutDigest`], and
/// [`Refusal::Address`] for a literal address.
pub fn check(url: &Url, rules: &Rules<'_>) -> Result<(), Refusal> {
    if let Grants::Only(permissions) = rules.grants
        && !permissions.allows(url)
    {
        return Err(Refusal::host(url));
    }
    let excepted = rules.exceptions.iter().any(|e| e.names(url));
    if url.scheme() != "https" && !excepted {
        let url = super::redact(url);
        match rules.grants {
            Grants::UserAsked => return Err(Refusal::PlainHttp { url }),
            Grants::Only(_) if rules.digest => {}
            Grants::Only(_) => return Err(Refusal::HttpWithoutDigest { url }),
        }
    }
    let literal: IpAddr = match url.host() {
        Some(Host::Ipv4(v4)) => v4.into(),
        Some(Host::Ipv6(v6)) => v6.into(),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    match check_address(literal) {
        Err(kind) if !excepted => Err(Refusal::Address {
            host: literal.to_string(),
            address: literal,
            kind,
        }),
        _ => Ok(()),
    }
}

/// Decides about the addresses that a name resolved to: one bad address refuses them all, since a
/// connection could be made to any of them.
///
/// # Errors
/// [`Refusal::Address`], with the first address that is not allowed.
pub fn vet_addresses(
    name: &str,
    port: u16,
    addresses: &[IpAddr],
    exceptions: &[PrivateException],
) -> Result<(), Refusal> {
    if exceptions.iter().any(|e| e.covers_name(name, port)) {
        return Ok(());
    }
    for address in addresses.iter().copied() {
        if let Err(kind) = check_address(address)
            && !exceptions.iter().any(|e| e.covers_address(address, port))
        {
            return Err(Refusal::Address {
                host: name.to_owned(),
                address,
                kind,
            });
        }
    }
    Ok(())
}
