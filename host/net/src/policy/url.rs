//! Reading URLs so that every program that sees one agrees on its host.

use modelzoo_base::text::excerpt;
use url::Url;

use super::refusal::Refusal;

/// The longest URL that is accepted, in bytes.
pub(crate) const MAX_URL: usize = 8 * 1024;
/// The longest host name, in bytes (RFC 1035).
const MAX_HOST: usize = 253;
/// The longest part of a host name, in bytes.
const MAX_LABEL: usize = 63;

/// Reads an absolute `https` or `http` URL, and refuses every spelling that two parsers could
/// read differently: user names and passwords, backslashes, percent signs in the host, missing or
/// extra slashes, white space and control characters.
///
/// The result is canonical: lower-case ASCII host (IDNA), IPv4 addresses in dotted form whatever
/// their spelling, no default port, no final dot on the host, no fragment.
///
/// # Errors
/// [`Refusal::BadUrl`] and [`Refusal::BadScheme`].
pub fn parse_url(text: &str) -> Result<Url, Refusal> {
    let bad = |reason: &str| Refusal::BadUrl {
        url: redact_text(text),
        reason: reason.to_owned(),
    };
    if text.len() > MAX_URL {
        return Err(bad("it is longer than 8 KiB"));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(bad("it holds white space or control characters"));
    }
    if text.contains('\\') {
        return Err(bad("it holds a backslash"));
    }
    let Some(scheme) = scheme_of(text) else {
        return Err(bad("it does not start with `https://`"));
    };
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return Err(Refusal::BadScheme {
            url: redact_text(text),
            scheme: scheme.to_ascii_lowercase(),
        });
    }
    let authority = text
        .get(scheme.len() + 1..)
        .and_then(|rest| rest.strip_prefix("//"))
        .map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default())
        .ok_or_else(|| bad("the scheme is not followed by `//`"))?;
    if authority.contains('@') {
        return Err(bad("it holds a user name or password"));
    }
    if authority.contains('%') {
        return Err(bad("its host is percent-encoded"));
    }
    if authority.is_empty() {
        return Err(bad("it has no host"));
    }
    let mut url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    check_host(&mut url).map_err(bad)?;
    url.set_fragment(None);
    Ok(url)
}

/// Follows a `Location` header from `base`, with the rules of [`parse_url`].
///
/// # Errors
/// [`Refusal::BadUrl`] and [`Refusal::BadScheme`].
pub fn join_url(base: &Url, location: &str) -> Result<Url, Refusal> {
    let location = location.trim_matches([' ', '\t']);
    let bad = |reason: &str| Refusal::BadUrl {
        url: redact_text(location),
        reason: reason.to_owned(),
    };
    if location.len() > MAX_URL {
        return Err(bad("it is longer than 8 KiB"));
    }
    // Servers do send blanks in file names; every client encodes them.
    let location = location.replace(' ', "%20");
    if scheme_of(&location).is_some() {
        return parse_url(&location);
    }
    if location.starts_with("//") {
        return parse_url(&format!("{}:{location}", base.scheme()));
    }
    if location.contains('\\')
        || location
            .chars()
            .any(|c| c.is_control() || c.is_whitespace())
    {
        return Err(bad(
            "it holds a backslash, white space or control characters",
        ));
    }
    let joined = base
        .join(&location)
        .map_err(|error| bad(&error.to_string()))?;
    parse_url(joined.as_str())
}

/// A URL as it may be shown: the query, which can hold a signature or a token, is cut off.
pub fn redact(url: &Url) -> String {
    let mut shown = url.clone();
    // Neither can fail for a URL with a host, and one without has no user name.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    shown.set_query(url.query().map(|_| "…"));
    let mut text = shown.to_string();
    // `…` is percent-encoded by the parser; keep what people can read.
    if let Some(cut) = text.find('?') {
        text.truncate(cut);
        text.push_str("?…");
    }
    text
}

/// A text that ought to be a URL, as it may be shown: shortened, escaped, and without what comes
/// before an `@` or after a `?`.
#[must_use]
pub fn redact_text(text: &str) -> String {
    const SHOWN: usize = 200;
    let (head, cut) = match text.find(['?', '#']) {
        Some(at) => (text.get(..at).unwrap_or_default(), true),
        None => (text, false),
    };
    let (prefix, rest) = match head.rsplit_once('@') {
        Some((before, after)) => {
            // What only looks like a scheme may be a secret, or control a terminal.
            let scheme = scheme_of(before)
                .map(|scheme| scheme.len() + 3)
                .filter(|end| before.get(..*end).is_some_and(|head| head.ends_with("://")))
                .unwrap_or_default();
            (
                format!("{}…@", before.get(..scheme).unwrap_or_default()),
                after,
            )
        }
        None => (String::new(), head),
    };
    let mut shown = prefix + &excerpt(rest, SHOWN);
    if cut {
        shown.push_str("?…");
    }
    shown
}

/// The scheme of an absolute URL (RFC 3986, 3.1), as written.
fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let mut chars = scheme.chars();
    let first = chars.next()?.is_ascii_alphabetic();
    (first && chars.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))).then_some(scheme)
}

fn check_host(url: &mut Url) -> Result<(), &'static str> {
    if url.port() == Some(0) {
        return Err("its port is 0");
    }
    let Some(url::Host::Domain(name)) = url.host() else {
        return if url.host().is_some() {
            Ok(())
        } else {
            Err("it has no host")
        };
    };
    // A fully qualified name is the same host, and must not dodge a rule.
    let name = name.strip_suffix('.').unwrap_or(name).to_owned();
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > MAX_HOST || !name.split('.').all(is_label) {
        return Err("its host is not a valid name");
    }
    url.set_host(Some(&name))
        .map_err(|_| "its host is not a valid name")
}

#[cfg(test)]
mod tests {
    use super::redact_text;

    #[test]
    fn possible_secrets_are_redacted() {
        for (text, shown) in [
            ("https://user:tok@host/x", "https://…@host/x"),
            ("https:\\\\user:tok@host", "…@host"),
            ("https://a@b@c/d?token=x", "https://…@c/d?…"),
            ("user:tok@host", "…@host"),
            ("user:tok@x://y@host", "…@host"),
            ("h\u{2}tps://user:tok@host", "…@host"),
            ("https://h/\u{1b}[31m", "https://h/\\u{1b}[31m"),
        ] {
            assert_eq!(redact_text(text), shown);
        }
        assert!(redact_text(&"x".repeat(10_000)).chars().count() < 250);
    }
}
