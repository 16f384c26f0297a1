//! The policy as data: what is allowed, what is refused, and why.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::net::IpAddr;

use modelzoo_net::policy::*;
use url::Url;

#[test]
fn urls_are_normalised() {
    // Written, and canonical.
    for (text, canonical) in [
        ("https://example.org", "https://example.org/"),
        ("HTTPS://EXAMPLE.ORG:443/A", "https://example.org/A"),
        (
            "https://example.org:8443/a?b#c",
            "https://example.org:8443/a?b",
        ),
        ("https://example.org./a", "https://example.org/a"),
        ("https://example.org/a/../b", "https://example.org/b"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://ＧＩＴＨＵＢ.com/", "https://github.com/"),
        (
            "https://example.org/@scope/pkg",
            "https://example.org/@scope/pkg",
        ),
        ("https://example.org/?q=a@b", "https://example.org/?q=a@b"),
        // Every spelling of an IPv4 address is that address.
        ("https://2130706433/", "https://127.0.0.1/"),
        ("https://0x7f.1/", "https://127.0.0.1/"),
        ("https://0177.0.0.1/", "https://127.0.0.1/"),
        ("https://127.1/", "https://127.0.0.1/"),
        ("https://127.0.0.1./", "https://127.0.0.1/"),
        ("https://127。0。0。1/", "https://127.0.0.1/"),
        ("https://0/", "https://0.0.0.0/"),
        ("https://[::FFFF:127.0.0.1]/", "https://[::ffff:7f00:1]/"),
    ] {
        assert_eq!(
            parse_url(text).map(String::from),
            Ok(canonical.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn ambiguous_urls_are_refused() {
    let long = format!("https://example.org/{}", "a".repeat(8 * 1024));
    let host = format!("https://{}.org/", "a".repeat(64));
    let name = format!("https://{}example.org/", "abcdefgh.".repeat(30));
    for text in [
        "https://github.com@evil.example/u/r",
        "https://github.com%2f@evil.example/",
        "https://github.com%2fevil.example/",
        "https://github.com\\@evil.example/",
        "https://user:password@example.org/",
        "https://@example.org/",
        "https://exa%6dple.org/",
        "https:example.org",
        "https:/example.org",
        "https:///example.org/",
        "https://",
        "https://?a",
        "https://#a",
        "https://:443/",
        "https://example.org:0/",
        "https://example.org:65536/",
        "https://example.org:x/",
        "https://exa mple.org/",
        "https://example.org/a b",
        " https://example.org/",
        "https://example.org/\n",
        "ht\ttps://example.org/",
        "https://example.org/\u{0}",
        "https://example.org/\u{85}",
        "https://a..b/",
        "https://.example.org/",
        "https://*/",
        "https://a&b.org/",
        "https://a.org;b/",
        "https://256.256.256.256/",
        "https://1.2.3.4.5/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "example.org",
        "//example.org/",
        "",
        &long,
        &host,
        &name,
    ] {
        let refusal = parse_url(text).unwrap_err();
        assert_eq!(refusal.kind(), "url", "{text}");
        assert!(
            matches!(refusal, Refusal::BadUrl { .. }),
            "{text}: {refusal}"
        );
    }
    for text in [
        "file:///etc/passwd",
        "ftp://example.org/",
        "data:text/plain,x",
        "gopher://a/",
        "ws://a/",
    ] {
        assert!(
            matches!(parse_url(text), Err(Refusal::BadScheme { .. })),
            "{text}"
        );
    }
}

#[test]
fn refusal_shows_no_token() {
    for text in [
        "https://user:canary@example.org/",
        "https://canary@example.org/",
        "https:\\\\canary@example.org",
        "https://exa mple.org/?token=canary",
        "ftp://example.org/?token=canary",
        "https://example.org /#canary",
    ] {
        let shown = format!(
            "{0} {0:?} {1:?}",
            parse_url(text).unwrap_err(),
            text.parse::<Permission>()
        );
        assert!(!shown.contains("canary"), "{shown}");
    }
    let url = parse_url("https://example.org/a?token=canary").unwrap();
    assert_eq!(redact(&url), "https://example.org/a?…");
}

#[test]
fn redirects_follow_the_rules_of_urls() {
    let base = parse_url("https://a.example/x/y?z").unwrap();
    for (location, expected) in [
        ("/b", Some("https://a.example/b")),
        ("c?d", Some("https://a.example/x/c?d")),
        ("../../../e", Some("https://a.example/e")),
        ("//b.example/f", Some("https://b.example/f")),
        ("https://b.example/g h", Some("https://b.example/g%20h")),
        ("?q", Some("https://a.example/x/y?q")),
        ("//u@b.example/", None),
        ("//evil.example\\@a.example/", None),
        ("/\\evil.example/", None),
        ("\\\\evil.example/", None),
        ("file:///etc/passwd", None),
        ("data:text/html,x", None),
        ("https:b.example", None),
        ("/a\u{1}", None),
    ] {
        let joined = join_url(&base, location).map(String::from).ok();
        assert_eq!(joined.as_deref(), expected, "{location}");
    }
}

#[test]
fn only_public_unicast_addresses_pass() {
    use AddressKind::*;
    for (address, expected) in [
        ("1.1.1.1", Ok(())),
        ("11.0.0.1", Ok(())),
        ("100.63.255.255", Ok(())),
        ("100.128.0.0", Ok(())),
        ("172.15.0.1", Ok(())),
        ("172.32.0.1", Ok(())),
        ("192.0.1.1", Ok(())),
        ("198.17.0.1", Ok(())),
        ("223.255.255.255", Ok(())),
        ("0.0.0.0", Err(Unspecified)),
        ("0.1.2.3", Err(Unspecified)),
        ("10.0.0.1", Err(Private)),
        ("100.64.0.1", Err(Shared)),
        ("100.100.100.200", Err(Shared)),
        ("127.0.0.1", Err(Loopback)),
        ("127.255.0.1", Err(Loopback)),
        ("168.63.129.16", Err(Metadata)),
        ("169.254.169.254", Err(LinkLocal)),
        ("172.16.0.1", Err(Private)),
        ("172.31.255.255", Err(Private)),
        ("192.0.0.192", Err(Reserved)),
        ("192.0.2.1", Err(Reserved)),
        ("192.88.99.1", Err(Reserved)),
        ("192.168.1.1", Err(Private)),
        ("198.18.0.1", Err(Reserved)),
        ("198.19.255.255", Err(Reserved)),
        ("198.51.100.1", Err(Reserved)),
        ("203.0.113.1", Err(Reserved)),
        ("224.0.0.1", Err(Multicast)),
        ("239.255.255.255", Err(Multicast)),
        ("240.0.0.1", Err(Reserved)),
        ("255.255.255.255", Err(Reserved)),
        ("2606:4700::1111", Ok(())),
        ("2a00:1450:4001::1", Ok(())),
        ("2001:4860:4860::8888", Ok(())),
        ("2001:200::1", Ok(())),
        ("::", Err(Unspecified)),
        ("::1", Err(Loopback)),
        ("::2", Err(Mapped)),
        ("::127.0.0.1", Err(Mapped)),
        ("::ffff:127.0.0.1", Err(Mapped)),
        ("::ffff:1.1.1.1", Err(Mapped)),
        ("::ffff:0:127.0.0.1", Err(Mapped)),
        ("64:ff9b::1.1.1.1", Ok(())),
        ("64:ff9b::7f00:1", Err(Tunnel)),
        ("64:ff9b::169.254.169.254", Err(Tunnel)),
        ("64:ff9b::1:1.1.1.1", Err(Reserved)),
        ("64:ff9b:1::1.1.1.1", Err(Tunnel)),
        ("100::1", Err(Reserved)),
        ("2001::1", Err(Tunnel)),
        ("2001:0:53aa:64c::1", Err(Tunnel)),
        ("2001:2::1", Err(Reserved)),
        ("2001:10::1", Err(Reserved)),
        ("2001:db8::1", Err(Reserved)),
        ("2002:7f00:1::", Err(Tunnel)),
        ("2002:101:101::", Err(Tunnel)),
        ("3fff::1", Err(Reserved)),
        ("3fff:1000::1", Ok(())),
        ("2a00::5efe:10.0.0.1", Err(Tunnel)),
        ("2a00::200:5efe:127.0.0.1", Err(Tunnel)),
        ("2a00::5efe:1.1.1.1", Ok(())),
        ("4000::1", Err(Reserved)),
        ("5f00::1", Err(Reserved)),
        ("fc00::1", Err(Private)),
        ("fd00:ec2::254", Err(Private)),
        ("fe80::1", Err(LinkLocal)),
        ("febf::1", Err(LinkLocal)),
        ("fec0::1", Err(Private)),
        ("ff02::1", Err(Multicast)),
    ] {
        assert_eq!(
            check_address(address.parse().unwrap()),
            expected,
            "{address}"
        );
    }
}

#[test]
fn exceptions_cover_their_hosts_and_networks() {
    let names = |entry: &str, url: &str| {
        let entry: PrivateException = entry.parse().unwrap();
        entry.names(&parse_url(url).unwrap())
    };
    for (entry, url, covered) in [
        ("127.0.0.1", "http://127.0.0.1:8080/", true),
        ("127.0.0.1", "http://2130706433/", true),
        ("127.0.0.1", "http://127.0.0.2/", false),
        ("127.0.0.1", "http://localhost/", false),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]/", false),
        ("127.0.0.1:8080", "http://127.0.0.1:8080/", true),
        ("127.0.0.1:8080", "http://127.0.0.1:8081/", false),
        ("10.0.0.0/8", "https://10.255.0.1/", true),
        ("10.0.0.0/8", "https://11.0.0.1/", false),
        ("0.0.0.0/0", "https://11.0.0.1/", true),
        ("192.168.7.0/25", "https://192.168.7.127/", true),
        ("192.168.7.0/25", "https://192.168.7.128/", false),
        ("fd00::/8", "https://[fd12::1]/", true),
        ("fd00::/8", "https://[fe80::1]/", false),
        ("::1", "http://[::1]:9/", true),
        ("[::1]", "http://[::1]:9/", true),
        ("[::1]:9", "http://[::1]:9/", true),
        ("[::1]:9", "http://[::1]:10/", false),
        ("localhost", "http://localhost:1/", true),
        ("LocalHost", "http://localhost:1/", true),
        ("nas.lan:443", "https://nas.lan/", true),
        ("nas.lan:443", "https://nas.lan:444/", false),
        ("nas.lan", "https://a.nas.lan/", false),
    ] {
        assert_eq!(names(entry, url), covered, "{entry} {url}");
    }
    for text in [
        "",
        "10.0.0.0/33",
        "fd00::/129",
        "10.0.0.0/x",
        "a/8",
        "nas.lan:0",
        "nas.lan:x",
        "a b",
        "u@h",
        "http://a",
        "nas.lan/a",
        "*",
    ] {
        assert!(text.parse::<PrivateException>().is_err(), "{text}");
    }
    for text in [
        "127.0.0.1",
        "[::1]:9",
        "10.0.0.0/8",
        "localhost",
        "nas.lan:443",
    ] {
        assert_eq!(text.parse::<PrivateException>().unwrap().to_string(), text);
    }
}

/// What a request is, and what becomes of it.
struct Case {
    url: &'static str,
    granted: Option<&'static [&'static str]>,
    excepted: &'static [&'static str],
    digest: bool,
    expected: Result<(), &'static str>,
}

#[test]
fn decisions_of_the_policy() {
    let user = |url, excepted, expected| Case {
        url,
        granted: None,
        excepted,
        digest: false,
        expected,
    };
    let source = |url, granted, excepted, digest, expected| Case {
        url,
        granted: Some(granted),
        excepted,
        digest,
        expected,
    };
    for case in [
        user("https://a.org/", &[], Ok(())),
        user("http://a.org/", &[], Err("http")),
        user("http://nas.lan/", &["nas.lan"], Ok(())),
        user("http://nas.lan/", &["10.0.0.0/8"], Err("http")),
        user("http://10.1.1.1/", &["10.0.0.0/8"], Ok(())),
        user("https://10.1.1.1/", &[], Err("address")),
        user("https://2130706433/", &[], Err("address")),
        user(
            "https://[::ffff:127.0.0.1]/",
            &["127.0.0.1"],
            Err("address"),
        ),
        user("https://127.0.0.1:8/", &["127.0.0.1:9"], Err("address")),
        source("https://a.org/", &["https://a.org"], &[], false, Ok(())),
        source("https://a.org/", &[], &[], true, Err("host")),
        source("https://a.org/", &[], &["a.org"], true, Err("host")),
        source("http://a.org/", &["https://a.org"], &[], true, Err("host")),
        source("http://a.org/", &["http://a.org"], &[], true, Ok(())),
        source("http://a.org/", &["http://a.org"], &[], false, Err("http")),
        source(
            "http://a.org/",
            &["http://a.org"],
            &["a.org"],
            false,
            Ok(()),
        ),
        source(
            "https://127.0.0.1/",
            &["https://127.0.0.1"],
            &[],
            true,
            Err("address"),
        ),
        source(
            "https://127.0.0.1/",
            &["https://127.0.0.1"],
            &["127.0.0.1"],
            false,
            Ok(()),
        ),
    ] {
        let permissions = case.granted.map(|list| {
            list.iter()
                .map(|p| p.parse().unwrap())
                .collect::<Permissions>()
        });
        let exceptions: Vec<PrivateException> =
            case.excepted.iter().map(|e| e.parse().unwrap()).collect();
        let rules = Rules {
            grants: permissions.as_ref().map_or(Grants::UserAsked, Grants::Only),
            exceptions: &exceptions,
            digest: case.digest,
        };
        let decision =
            check(&parse_url(case.url).unwrap(), &rules).map_err(|refusal| refusal.kind());
        assert_eq!(decision, case.expected, "{} {:?}", case.url, case.granted);
    }
}

#[test]
fn name_with_one_private_address_is_refused() {
    let vet = |name, addresses: &[&str], exceptions: &[&str]| {
        let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let exceptions: Vec<PrivateException> =
            exceptions.iter().map(|e| e.parse().unwrap()).collect();
        vet_addresses(name, 443, &addresses, &exceptions).is_ok()
    };
    assert!(vet("a.org", &["1.1.1.1", "2606:4700::1111"], &[]));
    assert!(!vet("a.org", &["1.1.1.1", "10.0.0.1"], &[]));
    assert!(!vet(
        "a.org",
        &["1.1.1.1", "::ffff:10.0.0.1"],
        &["10.0.0.0/8"]
    ));
    assert!(vet("a.org", &["1.1.1.1", "10.0.0.1"], &["10.0.0.0/8"]));
    assert!(vet("nas.lan", &["10.0.0.1", "fe80::1"], &["nas.lan"]));
    assert!(!vet("nas.lan", &["10.0.0.1"], &["nas.lan:80"]));
    assert!(!vet("other.lan", &["10.0.0.1"], &["nas.lan"]));
}

#[test]
fn remedies_name_the_setting() {
    let rules = Rules {
        grants: Grants::UserAsked,
        exceptions: &[],
        digest: false,
    };
    for url in ["http://nas.lan/", "https://127.0.0.1/"] {
        let hint = check(&parse_url(url).unwrap(), &rules)
            .unwrap_err()
            .remedy()
            .unwrap()
            .to_string();
        assert!(
            hint.contains("MODELZOO_ALLOW_PRIVATE=") && hint.contains("allow_private"),
            "{hint}"
        );
    }
    let none = Permissions::none();
    let rules = Rules {
        grants: Grants::Only(&none),
        ..rules
    };
    let refusal = check(&parse_url("https://a.org:444/x").unwrap(), &rules).unwrap_err();
    assert!(
        refusal
            .remedy()
            .unwrap()
            .to_string()
            .contains("`https://a.org:444`")
    );
}

#[test]
fn origins_are_scheme_host_and_port() {
    let of = |text: &str| Origin::of(&Url::parse(text).unwrap());
    assert_eq!(of("https://a.org/x"), of("https://a.org:443/y?z"));
    assert_ne!(of("https://a.org/"), of("http://a.org/"));
    assert_ne!(of("https://a.org/"), of("https://a.org:444/"));
    assert_ne!(of("https://a.org/"), of("https://b.a.org/"));
    assert_eq!(of("file:///etc"), None);
    assert_eq!(
        "https://A.org:443/".parse::<Origin>().unwrap().to_string(),
        "https://a.org"
    );
    assert!("https://a.org/x".parse::<Origin>().is_err());
}
