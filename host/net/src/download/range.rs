//! Validators and ranges (RFC 9110, sections 8.8, 13.1.5 and 14).

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, IF_RANGE, RANGE};
use serde::{Deserialize, Serialize};

use crate::headers::{date, text};

/// Something that changes whenever the bytes do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Validator {
    /// A strong entity tag, with its quotes.
    Etag(String),
    /// A modification time that lies far enough back.
    LastModified(String),
}

impl Validator {
    /// The strong validator of a response, if it has one.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        if let Some(etag) = text(headers, "etag")
            && etag.starts_with('"')
        {
            return Some(Self::Etag(etag.to_owned()));
        }
        let modified = text(headers, "last-modified")?;
        let age = date(text(headers, "date")?)?.duration_since(date(modified)?);
        // Within the same second the file could have changed once more.
        (age.as_secs() >= 1).then(|| Self::LastModified(modified.to_owned()))
    }

    /// Whether a response that has a validator of this kind has this very one.
    pub(crate) fn agrees(&self, headers: &HeaderMap) -> bool {
        let (name, own) = match self {
            Self::Etag(own) => ("etag", own),
            Self::LastModified(own) => ("last-modified", own),
        };
        text(headers, name).is_none_or(|other| other == own)
    }

    fn value(&self) -> &str {
        match self {
            Self::Etag(value) | Self::LastModified(value) => value,
        }
    }
}

/// The header fields that ask for everything from `offset` on.
pub(crate) fn ask(offset: u64, validator: Option<&Validator>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(RANGE, &format!("bytes={offset}-"));
    if let Some(validator) = validator {
        set(IF_RANGE, validator.value());
    }
    headers
}

/// A `Content-Range` with a range in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// The offset of the first byte.
    pub(crate) first: u64,
    /// The offset of the last byte.
    pub(crate) last: u64,
    /// The length of the whole.
    pub(crate) total: Option<u64>,
}

impl ContentRange {
    /// Reads `bytes 0-9/10` or `bytes 0-9/*`.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let (range, total) = text(headers, "content-range")?
            .strip_prefix("bytes ")?
            .split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let read = Self {
            first: first.trim().parse().ok()?,
            last: last.trim().parse().ok()?,
            total: match total.trim() {
                "*" => None,
                total => Some(total.parse().ok()?),
            },
        };
        let sane = read.first <= read.last && read.total.is_none_or(|total| read.last < total);
        sane.then_some(read)
    }
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
    fn weak_validators_are_ignored() {
        const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        const NOW: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
        let etag = |v: &str| Some(Validator::Etag(v.to_owned()));
        let modified = Some(Validator::LastModified(OLD.to_owned()));
        for (fields, expected) in [
            (vec![("etag", "\"a\"")], etag("\"a\"")),
            (vec![("etag", "W/\"a\"")], None),
            (vec![("etag", "a")], None),
            (
                vec![("etag", "W/\"a\""), ("last-modified", OLD), ("date", NOW)],
                modified.clone(),
            ),
            (vec![("last-modified", OLD), ("date", NOW)], modified),
            (vec![("last-modified", OLD), ("date", OLD)], None),
            (vec![("last-modified", OLD)], None),
            (vec![("last-modified", "yesterday"), ("date", NOW)], None),
            (vec![], None),
        ] {
            assert_eq!(Validator::of(&response(&fields)), expected, "{fields:?}");
        }
    }

    #[test]
    fn content_ranges_are_parsed_strictly() {
        let read = |value| ContentRange::of(&response(&[("content-range", value)]));
        let range = |first, last, total| Some(ContentRange { first, last, total });
        assert_eq!(read("bytes 5-9/10"), range(5, 9, Some(10)));
        assert_eq!(read("bytes 5-9/*"), range(5, 9, None));
        for bad in [
            "bytes 5-9",
            "bytes */10",
            "bytes 9-5/10",
            "bytes 5-10/10",
            "items 5-9/10",
            "",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
