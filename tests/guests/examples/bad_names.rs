//! Uses artifact names outside of the directory, and names that are equal to others on some file
//! system, in every function with a name. When the host refuses all of them, it passes on one
//! refusal; otherwise it reports what was accepted, or refused for another reason.

use modelzoo_guest::prelude::*;
use test_guests::{FetchTarget, WEIGHTS};

struct Guest;

/// A valid archive in the source, so that only the name can be the reason of a refusal.
const ARCHIVE: &str = "archive.bin";

/// The function that a name is passed to.
type Attempt = (&'static str, fn(&str) -> Result<()>);

const ATTEMPTS: &[Attempt] = &[
    ("write", |name| artifacts::write(name, "x").map(drop)),
    ("append", |name| artifacts::append(name, "x").map(drop)),
    ("copy-from-source", |name| {
        artifacts::copy_from_source(WEIGHTS, name).map(drop)
    }),
    ("rename to", |name| {
        artifacts::rename("good", name).map(drop)
    }),
    ("rename from", |name| {
        artifacts::rename(name, "other").map(drop)
    }),
    ("remove", |name| artifacts::remove(name)),
    ("extract", |name| {
        artifacts::extract(name).into_model_dir().map(drop)
    }),
];

impl DownloadSource for Guest {
    fn download_model(_: &str, _: &ModelPath) -> Result<()> {
        artifacts::write("good", "good")?;
        artifacts::copy_from_source(ARCHIVE, ARCHIVE)?;
        // If the host test grants a download, names are tried with that as well.
        let wanted = FetchTarget::read().ok();
        let mut slips = Vec::new();
        let mut refusal = None;
        let mut judge = |what: &str, name: &str, result: Result<()>| match result {
            Err(error @ Error::InvalidInput(_)) => refusal = Some(error),
            other => slips.push(format!("{what} {}: {other:?}", shown(name))),
        };
        for name in names() {
            for (what, attempt) in ATTEMPTS {
                judge(what, &name, attempt(&name));
            }
            if let Some(wanted) = &wanted {
                judge(
                    "download",
                    &name,
                    wanted.request().download(name.as_str()).map(drop),
                );
            }
            // An empty name is the model's directory there.
            if !name.is_empty() {
                let result = artifacts::extract(ARCHIVE).into_dir(name.as_str());
                judge("extract into", &name, result.map(drop));
            }
        }
        for path in ["../x", "/etc/passwd", "a/../../x", "a\0b", ""] {
            match artifacts::copy_from_source(path, "copied") {
                Err(Error::InvalidInput(_)) => {}
                other => slips.push(format!("copy-from-source from {path:?}: {other:?}")),
            }
        }
        let left: Vec<_> = artifacts::list().into_iter().map(|a| a.name).collect();
        if left.len() != 2 {
            slips.push(format!("left behind: {left:?}"));
        }
        match refusal {
            Some(refusal) if slips.is_empty() => Err(refusal),
            _ => Err(Error::other(slips.join("; "))),
        }
    }
}

/// The names. The host's error quotes only a part of the long ones, so they come last.
fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "",
        ".",
        "..",
        "../x",
        "a/../x",
        "a/../../x",
        "./x",
        "a/./x",
        "a//x",
        "a/",
        "/",
        "/x",
        "//x/y",
        "/etc/x",
        "/model/x",
        "..\\x",
        "a\\x",
        "\\\\server\\share\\x",
        "C:x",
        "C:\\x",
        "a:stream",
        "a\0x",
        "a\nx",
        "a\u{1b}[2Jx",
        "a\u{7f}x",
        "a\u{85}x",
        "CON",
        "nul.txt",
        "a/Aux",
        "COM1",
        "COM\u{b9}",
        "lpt9.safetensors",
        "x.",
        "x ",
        "a./x",
        "a /x",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("n".repeat(256));
    names.push(format!("{}x", "a/".repeat(16)));
    names.push("n/".repeat(100_000) + "n");
    names.push("n".repeat(1 << 20));
    names
}

/// A name for a message, shortened.
fn shown(name: &str) -> String {
    let start: String = name.chars().take(40).collect();
    format!("{start:?} ({} bytes)", name.len())
}

modelzoo_guest::export!(Guest, download);
