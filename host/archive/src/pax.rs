//! The extended headers of a POSIX (pax) tar.
//!
//! The format is that of POSIX.1-2017, `pax`, "pax Extended Header": records of
//! `<length> <key>=<value>\n`, where the length counts the whole record.

use crate::error::ErrorKind;

/// What an extended header says about the entry after it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Extended {
    /// The name, in place of the header's.
    pub(crate) path: Option<Vec<u8>>,
    /// The size in bytes, in place of the header's.
    pub(crate) size: Option<u64>,
    /// Whether the entry is a sparse file in one of GNU's encodings.
    pub(crate) sparse: bool,
}

/// Reads a header. Times, owners, attributes and comments are checked for their form and dropped.
pub(crate) fn parse(mut bytes: &[u8]) -> Result<Extended, ErrorKind> {
    let mut extended = Extended::default();
    while !bytes.is_empty() {
        let (key, value, rest) = record(bytes)
            .ok_or_else(|| ErrorKind::malformed("an extended header has a broken record"))?;
        bytes = rest;
        match key {
            b"path" if extended.path.is_none() => extended.path = Some(value.to_vec()),
            b"size" if extended.size.is_none() => extended.size = Some(number(value)?),
            b"path" | b"size" => {
                return Err(ErrorKind::malformed(
                    "an extended header says one thing twice",
                ));
            }
            key if key.starts_with(b"GNU.sparse.") => extended.sparse = true,
            _ => {}
        }
    }
    Ok(extended)
}

/// The first record as key and value, and what follows it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().position(|&byte| byte == b' ')?;
    let length = std::str::from_utf8(bytes.get(..space)?).ok()?;
    if !length.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (record, rest) = bytes.split_at_checked(length.parse().ok()?)?;
    let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|&byte| byte == b'=')?;
    let (key, value) = body.split_at_checked(equals)?;
    (!key.is_empty()).then_some((key, value.get(1..)?, rest))
}

fn number(value: &[u8]) -> Result<u64, ErrorKind> {
    std::str::from_utf8(value)
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| ErrorKind::malformed("an extended header has a size that is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_split_by_their_length() {
        // A value may hold anything, newlines and equal signs included.
        let header = b"19 path=a/long/name\n28 SCHILY.xattr.user.x=1\n=2\n11 size=12\n";
        assert_eq!(
            parse(&header[..20]).ok(),
            None,
            "a length that is one short"
        );
        let header = b"20 path=a/long/name\n28 SCHILY.xattr.user.x=1\n=2\n11 size=12\n";
        assert_eq!(
            parse(header).unwrap(),
            Extended {
                path: Some(b"a/long/name".to_vec()),
                size: Some(12),
                sparse: false
            }
        );
        assert!(parse(b"22 GNU.sparse.major=1\n").unwrap().sparse);
        assert_eq!(parse(b"").unwrap(), Extended::default());
    }

    #[test]
    fn broken_records_are_refused() {
        for header in [
            b"path=x\n".as_slice(),
            b"9 path=x",
            b"99 path=x\n",
            b"0 path=x\n",
            b"+9 path=x\n",
            b"-9 path=x\n",
            b"8 pathx\n\n",
            b"5 =x\n",
            b"9 path=x\n\0\0\0",
            b"10 size=-1\n",
            b"10 size=+1\n",
            b"8 size=\n",
            b"28 size=99999999999999999999\n",
            b"9 path=x\n9 path=y\n",
            b"9 size=1\n9 size=2\n",
        ] {
            assert!(parse(header).is_err(), "{}", header.escape_ascii());
        }
    }
}
