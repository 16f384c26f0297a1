//! What permissions say and allow.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use modelzoo_net::policy::*;

#[test]
fn permissions_have_one_canonical_form() {
    for (text, canonical) in [
        ("https://example.org", "https://example.org"),
        ("HTTPS://Example.ORG:443", "https://example.org"),
        ("https://example.org:8443", "https://example.org:8443"),
        ("https://*.example.org", "https://*.example.org"),
        ("https://*.hf.co:444", "https://*.hf.co:444"),
        ("http://example.org:80", "http://example.org"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://127.0.0.1:8443", "https://127.0.0.1:8443"),
        ("https://[::1]", "https://[::1]"),
    ] {
        let permission: Permission = text.parse().unwrap();
        assert_eq!(permission.to_string(), canonical);
        assert_eq!(canonical.parse::<Permission>().unwrap(), permission);
    }
    for text in [
        "*",
        "https://*",
        "https://*.org",
        "https://*.localhost",
        "https://a.*.org",
        "https://*a.org",
        "https://*.*.org",
        "https://example.org/",
        "https://example.org/a",
        "https://example.org?a",
        "https://u@example.org",
        "https://*.10.0.0.1",
        "https://*.[::1]",
        "ftp://example.org",
        "example.org",
        "https:example.org",
        "https://",
        "https://*.",
        "",
        "https://a b.org",
        "*://a.org",
    ] {
        assert!(text.parse::<Permission>().is_err(), "{text}");
    }
}

#[test]
fn permissions_match_their_origins() {
    for (permission, url, allowed) in [
        ("https://a.org", "https://a.org/x", true),
        ("https://a.org", "https://a.org:443/x?y", true),
        ("https://a.org", "https://A.ORG./", true),
        ("https://a.org", "http://a.org/", false),
        ("https://a.org", "https://a.org:444/", false),
        ("https://a.org", "https://b.a.org/", false),
        ("https://a.org", "https://a.org.evil/", false),
        ("https://a.org", "https://nota.org/", false),
        ("https://*.a.org", "https://b.a.org/", true),
        ("https://*.a.org", "https://c.b.a.org/", true),
        ("https://*.a.org", "https://a.org/", false),
        ("https://*.a.org", "https://ba.org/", false),
        ("https://*.a.org", "https://b.a.org:444/", false),
        ("https://*.a.org:444", "https://b.a.org:444/", true),
        ("http://a.org", "http://a.org/", true),
        ("http://a.org", "https://a.org/", false),
        ("https://127.0.0.1", "https://2130706433/", true),
        ("https://127.0.0.1", "https://127.0.0.2/", false),
    ] {
        let parsed: Permission = permission.parse().unwrap();
        assert_eq!(
            parsed.allows(&parse_url(url).unwrap()),
            allowed,
            "{permission} {url}"
        );
    }
}

#[test]
fn request_beyond_the_grant_is_found() {
    let set = |list: &[&str]| {
        list.iter()
            .map(|p| p.parse().unwrap())
            .collect::<Permissions>()
    };
    for (asked, granted, missing) in [
        (&["https://a.org"][..], &["https://a.org"][..], &[][..]),
        (&["https://a.org"], &[], &["https://a.org"]),
        (
            &["https://b.a.org", "https://*.b.a.org"],
            &["https://*.a.org"],
            &[],
        ),
        (
            &["https://*.a.org"],
            &["https://b.a.org"],
            &["https://*.a.org"],
        ),
        (&["https://a.org"], &["https://*.a.org"], &["https://a.org"]),
        (&["http://a.org"], &["https://a.org"], &["http://a.org"]),
        (
            &["https://a.org:444"],
            &["https://a.org"],
            &["https://a.org:444"],
        ),
        (
            &["https://*.xa.org"],
            &["https://*.a.org"],
            &["https://*.xa.org"],
        ),
    ] {
        let found: Permissions = set(asked).missing_from(&set(granted)).into_iter().collect();
        assert_eq!(found, set(missing), "{asked:?} {granted:?}");
    }
}

#[test]
fn permissions_are_a_json_list() {
    let text = r#"["https://b.org","https://a.org","https://a.org"]"#;
    let set: Permissions = serde_json::from_str(text).unwrap();
    assert_eq!(
        serde_json::to_string(&set).unwrap(),
        r#"["https://a.org","https://b.org"]"#
    );
    assert!(serde_json::from_str::<Permissions>(r#"["*"]"#).is_err());
}
