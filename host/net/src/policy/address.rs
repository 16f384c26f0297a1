//! Which IP addresses are public unicast.
//!
//! The tables follow IANA's special-purpose registries for IPv4 and IPv6 (RFC 6890 and its
//! updates). IPv6 is an allow list: only `2000::/3` is global unicast, and the parts of it that
//! carry an IPv4 address inside are looked into or refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressKind {
    /// `0.0.0.0/8`, `::`: this host or this network.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// `10/8`, `172.16/12`, `192.168/16`, `fc00::/7`, `fec0::/10`.
    Private,
    /// `169.254/16`, `fe80::/10`: the home of most clouds' metadata services.
    LinkLocal,
    /// `100.64/10`: carrier-grade NAT.
    Shared,
    /// `224/4`, `ff00::/8`.
    Multicast,
    /// Documentation, benchmarking, broadcast and other reserved ranges.
    Reserved,
    /// `168.63.129.16`: a cloud's metadata service in public address space.
    Metadata,
    /// `::ffff:0:0/96`, `::/96`, `::ffff:0:0:0/96`: an IPv4 address written as IPv6.
    Mapped,
    /// 6to4, Teredo, NAT64 or ISATAP around an address that is not public, or a tunnel that
    /// is retired.
    Tunnel,
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Shared => "a carrier-grade NAT address",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
            Self::Metadata => "a cloud metadata address",
            Self::Mapped => "an IPv4 address written as IPv6",
            Self::Tunnel => "an IPv4 address inside an IPv6 tunnel address",
        })
    }
}

/// Accepts public unicast addresses only.
///
/// # Errors
/// What kind of address it is instead.
pub fn check_address(address: IpAddr) -> Result<(), AddressKind> {
    match address {
        IpAddr::V4(v4) => check_v4(v4),
        IpAddr::V6(v6) => check_v6(v6),
    }
}

fn check_v4(address: Ipv4Addr) -> Result<(), AddressKind> {
    let refused = match address.octets() {
        [0, ..] => AddressKind::Unspecified,
        [127, ..] => AddressKind::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => AddressKind::Private,
        [169, 254, ..] => AddressKind::LinkLocal,
        [100, 64..=127, ..] => AddressKind::Shared,
        [168, 63, 129, 16] => AddressKind::Metadata,
        // Protocol assignments, documentation (three blocks), 6to4 relays, benchmarking.
        [192, 0, 0 | 2, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [192, 88, 99, _]
        | [198, 18..=19, ..] => AddressKind::Reserved,
        [224..=239, ..] => AddressKind::Multicast,
        [240..=255, ..] => AddressKind::Reserved,
        _ => return Ok(()),
    };
    Err(refused)
}

fn check_v6(address: Ipv6Addr) -> Result<(), AddressKind> {
    let segments = address.segments();
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => return Err(AddressKind::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => return Err(AddressKind::Loopback),
        // Mapped (RFC 4291), translated (RFC 2765) and compatible (deprecated).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0, 0, 0, 0, 0, 0, ..] => {
            return Err(AddressKind::Mapped);
        }
        // NAT64's well-known prefix: on an IPv6-only network every IPv4 host looks like this.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            return check_v4(embedded(high, low)).map_err(|_| AddressKind::Tunnel);
        }
        // NAT64's local prefix.
        [0x64, 0xff9b, 1, ..] => return Err(AddressKind::Tunnel),
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => return Err(AddressKind::Private),
        [0xfe80..=0xfebf, ..] => return Err(AddressKind::LinkLocal),
        [0xff00..=0xffff, ..] => return Err(AddressKind::Multicast),
        // Teredo and 6to4: both are retired, so no real host is lost.
        [0x2001, 0, ..] | [0x2002, ..] => return Err(AddressKind::Tunnel),
        // Protocol assignments 2001::/23, documentation 2001:db8::/32 and 3fff::/20.
        [0x2001, 0x0001..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => {
            return Err(AddressKind::Reserved);
        }
        // ISATAP: the interface identifier holds an IPv4 address.
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => {
            check_v4(embedded(high, low)).map_err(|_| AddressKind::Tunnel)?;
        }
        _ => {}
    }
    match segments {
        [0x2000..=0x3fff, ..] => Ok(()),
        _ => Err(AddressKind::Reserved),
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}
