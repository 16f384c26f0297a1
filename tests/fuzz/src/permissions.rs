//! URLs, permissions, origins and exceptions: the displayed form has the same meaning.
//!
//! An input is a permission or a URL; after a line feed, a URL that is checked against it, and after
//! another one a `Location` that is followed from that.

use modelzoo_net::policy::{
    Grants, Origin, Permission, Permissions, PrivateException, Rules, check, join_url, parse_url,
    redact,
};
use url::Url;

use crate::{Target, assert_one_line, seeds};

pub(crate) const TARGET: Target = Target {
    name: "permissions",
    run,
    seeds: || seeds::texts(&SEEDS),
    words: &[
        "https://",
        "http://",
        "*.",
        "://",
        "@",
        ":443",
        ":80",
        ":0",
        "[::1]",
        "127.0.0.1",
        "0x7f",
        "xn--",
        "%2e",
        "%00",
        "\\",
        "..",
        "/../",
        "?",
        "#",
        "\n",
        "\t",
        "//",
        "localhost",
        "/8",
        "\u{3002}",
        "\u{ff0e}",
        "\u{202e}",
        "\u{ad}",
        "ß",
        "ﷺ",
    ],
};

const SEEDS: [&str; 16] = [
    "https://huggingface.co\nhttps://huggingface.co/a/b?x=1\n/c",
    "https://*.hf.co\nhttps://cdn.hf.co/f\nhttps://other.example/",
    "https://*.hf.co:8443\nhttps://a.b.hf.co:8443/\n//x.example/y",
    "http://example.org\nhttp://example.org:80/\n../z",
    "https://[2001:db8::1]:444\nhttps://[2001:db8::1]:444/",
    "https://8.8.8.8\nhttps://0x08080808/\n?q",
    "HTTPS://EXAMPLE.ORG.\nhttps://example.org/",
    "https://bücher.example\nhttps://xn--bcher-kva.example/",
    "https://user:secret@example.org/path\n",
    "localhost:8080\nhttp://localhost:8080/",
    "10.0.0.0/8\nhttps://10.1.2.3/",
    "fd00::/8\nhttps://[fd00::1]/",
    "[::1]:8080\nhttps://[::1]:8080/",
    "nas.lan\nhttps://nas.lan/",
    "https://example.org/a b\\c\nhttps://ex%61mple.org/",
    "https://*.com\nhttps://a.com/",
];

fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let mut lines = text.splitn(3, '\n');
    let first = lines.next().unwrap_or_default();
    let url = url(lines.next().unwrap_or_default());
    let own = self::url(first);
    let permission = permission(first, url.as_ref());
    origin(first, own.as_ref());
    let excepted = exception(first, url.as_ref());
    if let (Some(url), Some(location)) = (&url, lines.next()) {
        match join_url(url, location) {
            Ok(joined) => canonical(&joined),
            Err(refusal) => assert_one_line(&refusal.to_string()),
        }
    }
    own.is_some() || permission || excepted
}

/// An accepted URL has one canonical spelling.
fn url(text: &str) -> Option<Url> {
    match parse_url(text) {
        Ok(url) => {
            canonical(&url);
            Some(url)
        }
        Err(refusal) => {
            assert_one_line(&refusal.to_string());
            None
        }
    }
}

fn canonical(url: &Url) {
    let text = url.as_str();
    assert_eq!(parse_url(text).as_ref(), Ok(url), "{text:?}");
    assert!(matches!(url.scheme(), "https" | "http"), "{text:?}");
    assert!(
        url.username().is_empty() && url.password().is_none() && url.fragment().is_none(),
        "{text:?}"
    );
    let host = url.host_str().unwrap_or_default();
    assert!(!host.is_empty() && host.is_ascii(), "{text:?}");
    assert!(!host.ends_with('.') && url.port() != Some(0), "{text:?}");
    let shown = redact(url);
    assert_one_line(&shown);
    if let Some(query) = url.query().filter(|query| query.len() > 8) {
        let path = text.split('?').next().unwrap_or_default();
        assert!(path.contains(query) || !shown.contains(query), "{shown:?}");
    }
    // Nothing is allowed.
    let rules = Rules {
        grants: Grants::Only(&Permissions::none()),
        exceptions: &[],
        digest: true,
    };
    assert!(check(url, &rules).is_err(), "{text:?}");
}

fn permission(text: &str, url: Option<&Url>) -> bool {
    let permission: Permission = match text.parse() {
        Ok(permission) => permission,
        Err(error) => {
            assert_one_line(&error.to_string());
            return false;
        }
    };
    let shown = permission.to_string();
    assert_eq!(shown.parse().as_ref(), Ok(&permission), "{text:?}");
    let json = serde_json::to_string(&permission).expect("a permission has a JSON form");
    let read: Permission = serde_json::from_str(&json).expect("its JSON form can be read");
    assert_eq!(read, permission, "{json}");
    assert!(permission.covers(&permission), "{shown}");
    if let Some(url) = url {
        assert_eq!(
            permission.allows(url),
            meant(&shown, url),
            "`{shown}` and {url}"
        );
    }
    true
}

/// Whether a permission allows a URL, by their text.
fn meant(permission: &str, url: &Url) -> bool {
    let origin = url.origin().ascii_serialization();
    let Some((scheme, pattern)) = permission.split_once("://*.") else {
        return origin == permission;
    };
    let address = matches!(url.host(), Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)));
    let rest = origin.strip_prefix(&format!("{scheme}://"));
    let below = rest.and_then(|rest| rest.strip_suffix(&format!(".{pattern}")));
    below.is_some_and(|name| !name.is_empty()) && !address
}

fn origin(text: &str, url: Option<&Url>) {
    let origin: Origin = match text.parse() {
        Ok(origin) => origin,
        Err(error) => return assert_one_line(&error.to_string()),
    };
    let shown = origin.to_string();
    assert_eq!(shown.parse().as_ref(), Ok(&origin), "{text:?}");
    let url = url.expect("an origin is a URL");
    assert_eq!(url.origin().ascii_serialization(), shown, "{text:?}");
}

fn exception(text: &str, url: Option<&Url>) -> bool {
    let exception: PrivateException = match text.parse() {
        Ok(exception) => exception,
        Err(_) => return false,
    };
    let shown = exception.to_string();
    assert_one_line(&shown);
    assert_eq!(shown.parse().as_ref(), Ok(&exception), "{text:?}");
    if let Some(url) = url.filter(|url| exception.names(url)) {
        // An exception for one host or network covers no names of another.
        let host = url.host_str().unwrap_or_default();
        let named = shown == host || shown.starts_with(&format!("{host}:"));
        let address = !matches!(url.host(), Some(url::Host::Domain(_)) | None);
        assert!(named || address, "`{shown}` and {url}");
    }
    true
}
