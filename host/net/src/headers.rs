//! Header fields: which a caller may send, and what is read from a response.

use std::time::Duration;

use modelzoo_base::text::excerpt;
use reqwest::header::{
    ACCEPT, ACCEPT_LANGUAGE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, SET_COOKIE,
};

use crate::policy::Refusal;

const MAX_FIELDS: usize = 32;
const MAX_BYTES: usize = 8 * 1024;

/// Fields that the client alone sets, or that belong to a connection.
const FORBIDDEN: &[&str] = &[
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "if-range",
    "keep-alive",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Reads the caller's header fields.
pub(crate) fn read_request(fields: &[(String, String)]) -> Result<HeaderMap, Refusal> {
    let refuse = |name: &str, reason| Refusal::Header {
        name: excerpt(name, 64),
        reason,
    };
    let bytes: usize = fields
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if fields.len() > MAX_FIELDS || bytes > MAX_BYTES {
        let name = fields.last().map_or("", |(name, _)| name);
        return Err(refuse(name, "there may be 32 fields with 8 KiB together"));
    }
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| refuse(name, "it is not a field name"))?;
        if FORBIDDEN.contains(&parsed.as_str()) || parsed.as_str().starts_with("proxy-") {
            return Err(refuse(name, "only modelzoo itself sets it"));
        }
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| refuse(name, "its value holds control characters"))?;
        // It may be a key; a debug log must not show it.
        value.set_sensitive(true);
        headers.append(parsed, value);
    }
    Ok(headers)
}

/// What is left of the caller's fields when a request goes to another origin than it asked for:
/// anything else could be a key.
pub(crate) fn harmless(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in [ACCEPT, ACCEPT_LANGUAGE] {
        if let Some(value) = headers.get(&name) {
            kept.insert(name, value.clone());
        }
    }
    kept
}

/// The fields of a response, without cookies. Bytes that are not UTF-8 are replaced.
pub(crate) fn read_answer(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| **name != SET_COOKIE)
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect()
}

/// The size of a header section in bytes, about as it was on the wire.
pub(crate) fn size(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum()
}

/// The text of a field, when it is there and is text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::trim)
}

/// A field that is a number.
pub(crate) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

/// `Retry-After`, as seconds or as a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = text(headers, RETRY_AFTER.as_str())?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = date(text)?.duration_since(jiff::Timestamp::now());
    Some(until.try_into().unwrap_or(Duration::ZERO))
}

/// When the quota is filled again, if it is used up; in seconds since 1970.
pub(crate) fn rate_limit_reset(headers: &HeaderMap) -> Option<u64> {
    (number(headers, "x-ratelimit-remaining")? == 0)
        .then(|| number(headers, "x-ratelimit-reset"))
        .flatten()
}

/// An HTTP date.
pub(crate) fn date(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()
}

/// The content encoding, when there is one.
pub(crate) fn encoding(headers: &HeaderMap) -> Option<&str> {
    text(headers, "content-encoding")
        .filter(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let after = |value| retry_after(&response(&[("retry-after", value)]));
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(after("Fri, 31 Dec 2100 23:59:59 GMT").is_some_and(|d| d.as_secs() > 1_000_000));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-1"), None);
    }

    #[test]
    fn rate_limit_counts_only_when_exhausted() {
        let reset = |left| {
            rate_limit_reset(&response(&[
                ("x-ratelimit-remaining", left),
                ("x-ratelimit-reset", "1700000000"),
            ]))
        };
        assert_eq!(reset("0"), Some(1_700_000_000));
        assert_eq!(reset("1"), None);
    }

    #[test]
    fn callers_cannot_set_client_headers() {
        for name in [
            "Authorization",
            "cookie",
            "HOST",
            "proxy-authorization",
            "Range",
            "a b",
            "",
        ] {
            let fields = [(name.to_owned(), "x".to_owned())];
            assert!(read_request(&fields).is_err(), "{name}");
        }
        let split = [("accept".to_owned(), "x\r\nhost: evil".to_owned())];
        assert!(read_request(&split).is_err());
        let many = vec![("x-a".to_owned(), "b".to_owned()); 33];
        assert!(read_request(&many).is_err());
        let long = [("x-a".to_owned(), "b".repeat(9000))];
        assert!(read_request(&long).is_err());
        let fine = [("Accept".to_owned(), "application/json".to_owned())];
        assert_eq!(read_request(&fine).map(|h| h.len()), Ok(1));
    }
}
