//! References to what is on this machine.

use std::path::{Path, PathBuf};

use modelzoo_base::text::escape;

use super::ReferenceContext;
use super::error::ReferenceError;

/// Whether a text can only be meant as a path: it says so by how it starts.
pub(super) fn is_explicit(text: &str) -> bool {
    let starts = ["./", "../", "/", "~", ".\\", "..\\", "\\"];
    text == "." || text == ".." || starts.iter().any(|s| text.starts_with(s)) || has_drive(text)
}

/// `C:\` or `C:/`.
fn has_drive(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.next() == Some(b':')
        && matches!(bytes.next(), Some(b'\\' | b'/'))
}

/// The absolute path that a text means; links in it are not followed.
pub(super) fn parse(text: &str, context: &ReferenceContext<'_>) -> Result<PathBuf, ReferenceError> {
    let bad = |reason| ReferenceError::bad_path(text, reason);
    if text.contains('\0') {
        return Err(bad("it holds a NUL character"));
    }
    let path = match text.strip_prefix('~') {
        None => PathBuf::from(text),
        Some(rest) => {
            let home = context
                .home
                .as_ref()
                .ok_or_else(|| bad("the home directory is not known"))?;
            match rest.strip_prefix('/').or_else(|| rest.strip_prefix('\\')) {
                Some(below) => home.join(below.trim_start_matches(['/', '\\'])),
                None if rest.is_empty() => home.clone(),
                None => return Err(bad("other users' home directories are not looked up")),
            }
        }
    };
    Ok(tidy(&context.current_dir.join(path)))
}

/// The path of a `file:` reference.
pub(super) fn parse_file_url(
    rest: &str,
    context: &ReferenceContext<'_>,
) -> Result<PathBuf, ReferenceError> {
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(authority) => {
            let (host, _) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
            if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
                return Err(ReferenceError::bad_path(
                    &format!("file:{rest}"),
                    "a file on another host cannot be read",
                ));
            }
            authority.get(host.len()..).unwrap_or_default()
        }
    };
    if path.is_empty() {
        return Err(ReferenceError::bad_path(
            &format!("file:{rest}"),
            "it names no path",
        ));
    }
    Ok(tidy(&context.current_dir.join(decode(path)?)))
}

/// Without `.` parts and slashes at the end. `..` stays: what it leads to depends on links.
fn tidy(path: &Path) -> PathBuf {
    path.components().collect()
}

/// A path as text that gives it back: `%`, control and invisible characters and bytes that are not
/// UTF-8 are percent-encoded.
pub(super) fn encode(path: &Path) -> String {
    let path = tidy(path);
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            let mut buffer = [0; 4];
            let one = c.encode_utf8(&mut buffer);
            if c == '%' || escape(one) != *one {
                push_encoded(&mut text, one.as_bytes());
            } else {
                text.push(c);
            }
        }
        push_encoded(&mut text, chunk.invalid());
    }
    text
}

fn push_encoded(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push('%');
        text.push_str(&hex::encode_upper([*byte]));
    }
}

/// The path that [`encode`] wrote, or that a `file:` URL holds.
pub(super) fn decode(text: &str) -> Result<PathBuf, ReferenceError> {
    let bytes = percent_decode(text);
    if bytes.contains(&0) {
        return Err(ReferenceError::bad_path(text, "it holds a NUL character"));
    }
    path_of(bytes).ok_or_else(|| ReferenceError::bad_path(text, "it is not UTF-8"))
}

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "elsewhere there is a failure")]
fn path_of(bytes: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;
    Some(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn path_of(bytes: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

/// Decodes `%XX`; a `%` that is followed by something else stands for itself.
pub(super) fn percent_decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let mut decoded = [0];
        match after {
            [high, low, tail @ ..]
                if *first == b'%' && hex::decode_to_slice([*high, *low], &mut decoded).is_ok() =>
            {
                bytes.extend(decoded);
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}
