//! Whether a downloaded file can be what its name says.
//!
//! Servers answer with 200 and an error page, a JSON message, or nothing at all; repositories hold
//! Git LFS pointers in the place of files. Whatever is pinned once counts as the file from then on.
//! So a file is refused whose first bytes are not those of the format that its name ends in, whose
//! declared lengths do not fit, or that is text where there should be weights. What is refused here
//! could not be loaded either; a file whose name says nothing is accepted.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use modelzoo_base::file::open_regular;

use super::safetensors;

/// How much of a file's beginning is looked at.
const HEAD: usize = 4096;
/// How much of a file's end is looked at.
const TAIL: u64 = 256;
/// How a Git LFS pointer begins.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1";
/// How a pointer of git-annex begins.
const ANNEX: &[u8] = b"/annex/objects/";
/// The longest pointer.
const MAX_POINTER: u64 = 4096;

/// What the ending of a name says about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It begins with one of these, at an offset.
    Starts(&'static [(usize, &'static [u8])]),
    /// With the header and the length that safetensors has.
    Safetensors,
    /// What `torch.save` writes; or safetensors, because weights are told apart by their content.
    Torch,
    /// One JSON value.
    Json,
    /// Anything that is not text and not empty.
    Binary,
    /// A web page.
    Page,
    /// Text, or nothing that is known.
    Any,
}

const ZIP: &[(usize, &[u8])] = &[(0, b"PK\x03\x04"), (0, b"PK\x05\x06"), (0, b"PK\x07\x08")];
/// A zip, a pickle, or a tar: what `torch.save` has written over time.
const TORCH: &[(usize, &[u8])] = &[(0, b"PK\x03\x04"), (0, b"\x80"), (257, b"ustar")];
/// Images are told apart by their first bytes everywhere, so that one of them may have the name of
/// another.
const IMAGE: &[(usize, &[u8])] = &[
    (0, b"\x89PNG\r\n\x1a\n"),
    (0, b"\xff\xd8\xff"),
    (0, b"GIF8"),
    (8, b"WEBP"),
    (0, b"BM"),
    (0, b"II*\0"),
    (0, b"MM\0*"),
    (0, b"II+\0"),
    (0, b"MM\0+"),
    (4, b"ftyp"),
];
const HDF5: &[(usize, &[u8])] = &[
    (0, b"\x89HDF\r\n\x1a\n"),
    (512, b"\x89HDF\r\n\x1a\n"),
    (1024, b"\x89HDF\r\n\x1a\n"),
    (2048, b"\x89HDF\r\n\x1a\n"),
];

impl Kind {
    /// `main` says whether it is the file that a model is named after.
    fn of(name: &str, main: bool) -> Self {
        let name = name.to_ascii_lowercase();
        let file = name.rsplit('/').next().unwrap_or_default();
        // `model_best.pth.tar` is not a tar.
        let file = match file.strip_suffix(".tar") {
            Some(stem) if stem.ends_with(".pth") || stem.ends_with(".pt") => stem,
            _ => file,
        };
        let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending);
        match ending {
            "safetensors" => Self::Safetensors,
            "pth" | "pt" => Self::Torch,
            "json" => Self::Json,
            "zip" | "npz" | "jar" | "whl" => Self::Starts(ZIP),
            "npy" => Self::Starts(&[(0, b"\x93NUMPY")]),
            "gguf" => Self::Starts(&[(0, b"GGUF")]),
            "gz" | "tgz" => Self::Starts(&[(0, b"\x1f\x8b")]),
            "bz2" | "tbz2" => Self::Starts(&[(0, b"BZh")]),
            "xz" | "txz" => Self::Starts(&[(0, b"\xfd7zXZ\0")]),
            "zst" | "tzst" => Self::Starts(&[(0, b"\x28\xb5\x2f\xfd")]),
            "7z" => Self::Starts(&[(0, b"7z\xbc\xaf\x27\x1c")]),
            "parquet" => Self::Starts(&[(0, b"PAR1")]),
            "wasm" => Self::Starts(&[(0, b"\0asm")]),
            "h5" | "hdf5" => Self::Starts(HDF5),
            "png" | "jpg" | "jpeg" | "jpe" | "jfif" | "gif" | "webp" | "bmp" | "tif" | "tiff"
            | "avif" => Self::Starts(IMAGE),
            "bin" | "ckpt" | "onnx" | "pb" | "tflite" | "msgpack" | "model" | "weights"
            | "caffemodel" | "params" | "engine" | "ot" | "t7" | "keras" | "joblib" | "tar"
            | "ggml" | "spm" | "pkl" | "pickle" => Self::Binary,
            "html" | "htm" => Self::Page,
            "txt" | "md" | "csv" | "tsv" | "jsonl" | "yaml" | "yml" | "toml" | "xml" | "py"
            | "cfg" | "ini" | "names" | "labels" | "vocab" | "prototxt" => Self::Any,
            _ if main => Self::Binary,
            _ => Self::Any,
        }
    }
}

/// Why a file cannot be what its name says; `None` if it can. `main` says whether it is the file
/// that the model is named after: that one is not text, unless its name says so.
///
/// # Errors
/// The file cannot be read.
pub(super) fn problem(path: &Path, name: &str, main: bool) -> io::Result<Option<String>> {
    let mut file = open_regular(path)?;
    let size = file.metadata()?.len();
    let mut head = Vec::new();
    file.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    let kind = Kind::of(name, main);
    if let Some(pointer) = pointer(&head, size) {
        return Ok(Some(pointer));
    }
    if matches!(kind, Kind::Any | Kind::Page) {
        let page = kind == Kind::Any && is_page(&head);
        return Ok(page.then(|| "it is a web page".to_owned()));
    }
    if size == 0 {
        return Ok(Some("it is empty".to_owned()));
    }
    let right = match kind {
        Kind::Starts(starts) => starts_as(&head, starts),
        Kind::Torch => {
            starts_as(&head, TORCH)
                || !is_text(&head) && safetensors_problem(file, size, &head)?.is_none()
        }
        Kind::Safetensors => return safetensors_problem(file, size, &head),
        Kind::Json => is_json(&mut file, size, &head)?,
        Kind::Binary => !is_text(&head),
        Kind::Page | Kind::Any => true,
    };
    Ok((!right).then(|| misnamed(&head, name)))
}

fn starts_as(head: &[u8], starts: &[(usize, &[u8])]) -> bool {
    starts.iter().any(|(at, magic)| {
        let found = head.get(*at..).unwrap_or_default();
        found.starts_with(magic)
    })
}

/// Whether a file is a pointer in the place of a file, which nothing can use.
pub(super) fn is_pointer(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = open_regular(path).and_then(|file| {
        let size = file.metadata()?.len();
        file.take(HEAD as u64).read_to_end(&mut head)?;
        Ok(size)
    });
    read.is_ok_and(|size| pointer(&head, size).is_some())
}

/// What kind of pointer a file of `size` bytes is, if it is one.
fn pointer(head: &[u8], size: u64) -> Option<String> {
    let kinds = [
        (LFS, "it is a Git LFS pointer, not the file"),
        (ANNEX, "it is a pointer of git-annex, not the file"),
    ];
    let found = kinds.iter().find(|(start, _)| head.starts_with(start));
    let (_, reason) = found.filter(|_| size <= MAX_POINTER)?;
    Some((*reason).to_owned())
}

fn safetensors_problem(mut file: File, size: u64, head: &[u8]) -> io::Result<Option<String>> {
    if is_text(head) {
        return Ok(Some(misnamed(head, ".safetensors")));
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(safetensors::problem(BufReader::new(file), size))
}

/// What a file is that is not what its name says.
fn misnamed(head: &[u8], name: &str) -> String {
    let file = match name.rsplit_once('.') {
        Some((_, ending)) => format!("a .{ending} file"),
        None => "weights".to_owned(),
    };
    match head {
        head if is_page(head) => format!("it is a web page, not {file}"),
        head if is_text(head) && starts_json(head) => format!("it is JSON, not {file}"),
        head if is_text(head) => format!("it is text, not {file}"),
        _ => format!("it does not begin as {file} does"),
    }
}

/// Whether bytes are the beginning of a text: UTF-8 without control characters.
fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may be cut off.
        Err(error) if error.error_len().is_none() => {
            let valid = head.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(valid).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}'))
}

fn is_page(head: &[u8]) -> bool {
    let head = without_mark(head).trim_ascii_start();
    ["<!doctype html", "<html", "<head", "<body"]
        .iter()
        .any(|tag| {
            let start = head.get(..tag.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
        })
}

fn without_mark(head: &[u8]) -> &[u8] {
    head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head)
}

fn starts_json(head: &[u8]) -> bool {
    let head = without_mark(head).trim_ascii_start();
    let first = head.first().copied().unwrap_or_default();
    let word = |word: &[u8]| head.starts_with(word);
    matches!(first, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9')
        || [&b"true"[..], b"false", b"null", b"NaN", b"Infinity"]
            .into_iter()
            .any(word)
}

/// Whether a file begins and ends as JSON does; what lies between is for its reader.
fn is_json(file: &mut File, size: u64, head: &[u8]) -> io::Result<bool> {
    if !starts_json(head) {
        return Ok(false);
    }
    let first = without_mark(head).trim_ascii_start().first().copied();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    let last = tail.trim_ascii_end().last().copied();
    Ok(match first {
        Some(b'{') => last == Some(b'}'),
        Some(b'[') => last == Some(b']'),
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::problem;

    fn problem_of(name: &str, bytes: &[u8]) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, bytes).unwrap();
        problem(&path, name, false).unwrap()
    }

    fn safetensors(header: &str, data: usize) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.resize(file.len() + data, 0);
        file
    }

    const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n";

    #[test]
    fn files_of_their_format_are_accepted() {
        let tensor = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (name, bytes) in [
            ("a.safetensors", safetensors(tensor, 4)),
            ("a.safetensors", safetensors("{}  ", 0)),
            ("a.PTH", b"\x80\x02}q\0.".to_vec()),
            ("a.pt", b"PK\x03\x04rest".to_vec()),
            ("a.pt", tar),
            ("a.pth.tar", b"\x80\x02}q\0.".to_vec()),
            ("config.json", b"\xef\xbb\xbf {\"eps\": NaN}\n".to_vec()),
            ("list.json", b"[1, 2]".to_vec()),
            ("one.json", b"1.5\n".to_vec()),
            ("a.zip", b"PK\x05\x06\0\0".to_vec()),
            ("a.npy", b"\x93NUMPY\x01\0".to_vec()),
            // An image may have the name of another kind.
            ("a.png", b"\xff\xd8\xff\xe0".to_vec()),
            ("a.webp", b"RIFF\0\0\0\0WEBPVP8 ".to_vec()),
            ("a.onnx", b"\x08\x07\x12\x07pytorch".to_vec()),
            ("a.bin", vec![0; 9]),
            ("merges.txt", b"a b\n".to_vec()),
            ("__init__.py", Vec::new()),
            ("README.md", b"# A model\n".to_vec()),
            ("page.html", b"<!doctype html>".to_vec()),
            ("weights", b"anything".to_vec()),
        ] {
            assert_eq!(problem_of(name, &bytes), None, "{name}");
        }
    }

    #[test]
    fn answers_in_place_of_files_are_refused() {
        let page = b"<!DOCTYPE html><html>quota exceeded</html>";
        let json = br#"{"error": "Repository not found"}"#;
        for name in [
            "a.safetensors",
            "a.pth",
            "a.pt",
            "a.pth.tar",
            "a.bin",
            "a.zip",
            "a.npy",
            "a.npz",
            "a.png",
            "a.jpg",
            "a.onnx",
            "a.gguf",
            "a.h5",
            "a.tar",
            "a.tar.gz",
            "a.pkl",
            "a.parquet",
            "d/tokenizer.model",
        ] {
            for (bytes, says) in [
                (&page[..], "a web page"),
                (json, "JSON"),
                (b"Not Found", "text"),
                ("zu viele Anfragen für heute".as_bytes(), "text"),
                (b"", "empty"),
                (LFS, "Git LFS"),
                (b"/annex/objects/SHA256E-s1--0\n", "git-annex"),
            ] {
                let problem = problem_of(name, bytes).unwrap_or_default();
                assert!(problem.contains(says), "{name}: {problem:?}, not {says}");
            }
        }
        for (name, bytes) in [
            ("config.json", &page[..]),
            ("config.json", b"Not Found"),
            ("config.json", b""),
            ("config.json", LFS),
            ("config.json", b"{\"cut\": [1, 2"),
            ("vocab.txt", page),
            ("vocab.txt", LFS),
            ("weights", LFS),
            ("weights", page),
            ("a.png", b"\x89PN"),
            ("a.safetensors", b"\x80\x02}q\0."),
            ("a.npy", b"PK\x03\x04"),
        ] {
            assert!(problem_of(name, bytes).is_some(), "{name}");
        }
    }

    #[test]
    fn file_that_a_model_is_named_after_is_not_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for (name, bytes, refused) in [
            ("weights", &b"{}"[..], true),
            ("yolo.v3", b"Not Found", true),
            ("weights", b"", true),
            ("weights", b"\0\x01", false),
            ("classes.txt", b"cat", false),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let found = problem(&path, name, true).unwrap();
            assert_eq!(found.is_some(), refused, "{name}: {found:?}");
        }
    }

    #[test]
    fn broken_safetensors_are_refused() {
        let tensor =
            |end: u64| format!(r#"{{"a":{{"dtype":"F32","shape":[9],"data_offsets":[0,{end}]}}}}"#);
        for (what, bytes) in [
            ("short", vec![0; 7]),
            ("long header", (1_u64 << 40).to_le_bytes().to_vec()),
            ("cut", safetensors(&tensor(36), 35)),
            ("no object", safetensors("[]", 0)),
            ("no JSON", safetensors("{{{{", 0)),
            ("no offsets", safetensors(r#"{"a": 1}"#, 0)),
        ] {
            assert!(problem_of("a.safetensors", &bytes).is_some(), "{what}");
        }
        assert_eq!(
            problem_of("a.safetensors", &safetensors(&tensor(36), 36)),
            None
        );
    }
}
