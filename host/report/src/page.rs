//! The frame around the samples: markup, style, script and the policy that binds them.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("../page/page.css");
const SCRIPT: &str = include_str!("../page/page.js");
const BODY: &str = include_str!("../page/body.html");

/// Writes everything up to the first sample.
pub(crate) fn write_head(out: &mut impl Write, title: &str) -> io::Result<()> {
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
         style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{BODY}\
         <script type=\"application/json\" id=\"samples\">[\n",
        digest(STYLE),
        digest(SCRIPT),
        escaped(title),
    )
}

/// Writes what follows the last sample.
pub(crate) fn write_tail(out: &mut impl Write, about: &impl Serialize) -> io::Result<()> {
    out.write_all(b"\n]</script>\n<script type=\"application/json\" id=\"about\">")?;
    write_json(out, about)?;
    write!(
        out,
        "</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

/// Writes JSON that may stand in a script element: without `<`, which could end it.
pub(crate) fn write_json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string(value)?;
    out.write_all(text.replace('<', "\\u003c").as_bytes())
}

/// What the content security policy knows an inline element by.
fn digest(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// Text as it may stand in an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
