//! Weights with the public interface: valid and invalid safetensors files, and their paths.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use modelzoo_runtime::{Error, Weights};

fn file(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.resize(file.len() + data, 0);
    file
}

fn try_open(content: &[u8]) -> Result<Weights, Error> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("w.safetensors"), content).unwrap();
    Weights::open(dir.path(), &["w.safetensors".to_owned()])
}

fn entry(dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
}

fn one(dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#"{{"a":{}}}"#, entry(dtype, shape, offsets))
}

#[test]
fn file_whose_length_resembles_another_format_is_read() {
    // The first bytes are those of a pickle (0x80 0x02) and of a zip archive ("PK\x03\x04").
    for length in [0x0280, 0x0403_4b50] {
        let mut header = one("F32", "[2]", "[0,8]");
        header.push_str(&" ".repeat(length - header.len()));
        let mut content = file(&header, 8);
        let at = content.len() - 4;
        content[at..].copy_from_slice(&1.5_f32.to_le_bytes());
        assert_eq!(try_open(&content).unwrap().values("a").unwrap(), [0.0, 1.5]);
    }
}

#[test]
fn false_headers_are_refused() {
    let max = u64::MAX.to_string();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "length of 16 EiB",
            u64::MAX.to_le_bytes().to_vec(),
            "not a safetensors file",
        ),
        (
            "length beyond the limit",
            file(&one("F32", "[1]", "[0,4]"), 4).split_off(1),
            "safetensors",
        ),
        (
            "length beyond the file",
            [&99_u64.to_le_bytes()[..], b"{}"].concat(),
            "cut off",
        ),
        ("cut off in the length", vec![0; 7], "too short"),
        (
            "cut off in the elements",
            file(&one("F32", "[2]", "[0,8]"), 7),
            "outside",
        ),
        (
            "offsets of 16 EiB",
            file(&one("F32", "[2]", &format!("[0,{max}]")), 8),
            "outside",
        ),
        (
            "offsets beyond 64 bits",
            file(&one("F32", "[2]", &format!("[0,{max}0]")), 8),
            "malformed",
        ),
        (
            "offsets backwards",
            file(&one("F32", "[2]", "[8,0]"), 8),
            "outside",
        ),
        (
            "offsets below zero",
            file(&one("F32", "[2]", "[-8,0]"), 8),
            "malformed",
        ),
        (
            "a fractional offset",
            file(&one("F32", "[2]", "[0,8.5]"), 8),
            "malformed",
        ),
        (
            "three offsets",
            file(&one("F32", "[2]", "[0,4,8]"), 8),
            "malformed",
        ),
        (
            "overlap",
            file(
                &format!(
                    r#"{{"a":{},"b":{}}}"#,
                    entry("F32", "[1]", "[0,4]"),
                    entry("F32", "[1]", "[3,7]")
                ),
                7,
            ),
            "overlaps",
        ),
        (
            "the same bytes twice",
            file(
                &format!(
                    r#"{{"a":{},"b":{}}}"#,
                    entry("F32", "[1]", "[0,4]"),
                    entry("F32", "[1]", "[0,4]")
                ),
                4,
            ),
            "overlaps",
        ),
        (
            "hole at the start",
            file(&one("F32", "[1]", "[4,8]"), 8),
            "hole",
        ),
        (
            "hole between",
            file(
                &format!(
                    r#"{{"a":{},"b":{}}}"#,
                    entry("F32", "[1]", "[0,4]"),
                    entry("F32", "[1]", "[8,12]")
                ),
                12,
            ),
            "hole",
        ),
        (
            "hole at the end",
            file(&one("F32", "[1]", "[0,4]"), 5),
            "1 bytes that belong to no tensor",
        ),
        (
            "a name twice",
            file(
                &format!(
                    r#"{{"a":{},"a":{}}}"#,
                    entry("F32", "[1]", "[0,4]"),
                    entry("F32", "[1]", "[4,8]")
                ),
                8,
            ),
            "occurs twice",
        ),
        (
            "the metadata twice",
            file(r#"{"__metadata__":{},"__metadata__":{}}"#, 0),
            "occurs twice",
        ),
        (
            "a key of a tensor twice",
            file(
                r#"{"a":{"dtype":"F32","dtype":"F16","shape":[],"data_offsets":[0,4]}}"#,
                4,
            ),
            "malformed",
        ),
        (
            "another key",
            file(
                r#"{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"x":1}}"#,
                4,
            ),
            "malformed",
        ),
        (
            "a key less",
            file(r#"{"a":{"dtype":"F32","shape":[]}}"#, 0),
            "malformed",
        ),
        (
            "dimensions overflow",
            file(&one("F32", "[4294967296,4294967296,4]", "[0,8]"), 8),
            "too large",
        ),
        (
            "bytes overflow",
            file(&one("F64", &format!("[{}]", u64::MAX / 8 + 1), "[0,0]"), 0),
            "too large",
        ),
        (
            "dimensions of nothing overflow",
            file(&one("F32", &format!("[0,{max},{max}]"), "[0,0]"), 0),
            "too large",
        ),
        (
            "dimension beyond 64 bits",
            file(&one("F32", &format!("[{max}0]"), "[0,8]"), 8),
            "malformed",
        ),
        (
            "dimension below zero",
            file(&one("F32", "[-1]", "[0,8]"), 8),
            "malformed",
        ),
        (
            "shape of another length",
            file(&one("F32", "[3]", "[0,8]"), 8),
            "need 12",
        ),
        (
            "unknown type",
            file(&one("F128", "[1]", "[0,16]"), 16),
            "unknown type",
        ),
        (
            "type in lower case",
            file(&one("f32", "[1]", "[0,4]"), 4),
            "unknown type",
        ),
        ("a list", file("[]", 0), "malformed"),
        ("no JSON", file("{a}", 0), "malformed"),
        ("no UTF-8", file("{\"a\u{7f}", 0), "malformed"),
        ("something after the header", file("{} x", 0), "malformed"),
        (
            "deep",
            file(&format!(r#"{{"a":{}"#, "[".repeat(1_000_000)), 0),
            "malformed",
        ),
        (
            "deep metadata",
            file(&format!(r#"{{"__metadata__":{}"#, "[".repeat(1_000_000)), 0),
            "malformed",
        ),
    ];
    for (case, content, want) in &cases {
        let Some(error) = try_open(content).err() else {
            panic!("{case}: was read");
        };
        let Error::WeightsFile { reason, path } = &error else {
            panic!("{case}: {error:?}");
        };
        assert!(
            reason.contains(want),
            "{case}: {reason:?} should tell of {want:?}"
        );
        assert!(path.ends_with("w.safetensors"));
    }
}

#[test]
fn truncated_weights_file_is_refused() {
    let content = file(&one("F32", "[2]", "[0,8]"), 8);
    assert!(try_open(&content).is_ok());
    for length in 0..content.len() {
        let error = try_open(&content[..length]).err().unwrap();
        assert!(
            matches!(error, Error::WeightsFile { .. }),
            "{length}: {error:?}"
        );
    }
}

#[test]
fn names_from_a_file_are_escaped() {
    let weights = try_open(&file(
        &format!(r#"{{"a\u001b[2J":{}}}"#, entry("I8", "[1]", "[0,1]")),
        1,
    ));
    let weights = weights.unwrap();
    let name = weights.tensors().next().unwrap().0.to_owned();
    let error = weights.values(&name).unwrap_err();
    assert!(!error.to_string().contains(char::is_control), "{error}");
    let error = weights.values("a").unwrap_err();
    assert!(
        !format!("{error} {:?}", error.remedy()).contains('\u{1b}'),
        "{error}"
    );
}

#[test]
fn files_outside_of_the_directory_are_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("w.pth"), file("{}", 0)).unwrap();
    let inner = dir.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let absolute = dir.path().join("w.pth").to_str().unwrap().to_owned();
    for name in [
        "../w.pth",
        "",
        ".",
        "..",
        "./../w.pth",
        "a/../../w.pth",
        &absolute,
    ] {
        let error = Weights::open(&inner, &[name.to_owned()]).err().unwrap();
        assert!(matches!(error, Error::BadPlan { .. }), "{name}: {error:?}");
    }
}

/// A directory with a file of one number, `value`, per tensor.
fn shard(dir: &std::path::Path, file_name: &str, tensors: &[(&str, f32)]) {
    let entries: Vec<String> = tensors
        .iter()
        .enumerate()
        .map(|(at, (name, _))| {
            let offsets = format!("[{},{}]", at * 4, at * 4 + 4);
            format!(r#""{name}":{}"#, entry("F32", "[1]", &offsets))
        })
        .collect();
    let mut content = file(&format!("{{{}}}", entries.join(",")), 0);
    content.extend(tensors.iter().flat_map(|(_, value)| value.to_le_bytes()));
    std::fs::write(dir.join(file_name), content).unwrap();
}

fn index(dir: &std::path::Path, map: &str) -> Result<Weights, Error> {
    let name = "model.safetensors.index.json";
    let text = format!(r#"{{"metadata":{{"total_size":12}},"weight_map":{{{map}}}}}"#);
    std::fs::write(dir.join(name), text).unwrap();
    Weights::open(dir, &[name.to_owned()])
}

#[test]
fn index_stands_for_its_shards() {
    let dir = tempfile::tempdir().unwrap();
    shard(dir.path(), "m-1.safetensors", &[("a", 1.0), ("b", 2.0)]);
    shard(dir.path(), "m-2.safetensors", &[("c", 3.0)]);
    shard(dir.path(), "other.safetensors", &[("d", 4.0)]);
    let map = r#""a":"m-1.safetensors","b":"m-1.safetensors","c":"m-2.safetensors""#;
    let weights = index(dir.path(), map).unwrap();
    let names: Vec<&str> = weights.tensors().map(|(name, ..)| name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(weights.values("c").unwrap(), [3.0]);
    // A shard that the plan names too is there twice.
    let both = ["model.safetensors.index.json", "m-2.safetensors"].map(str::to_owned);
    let error = Weights::open(dir.path(), &both).err().unwrap();
    assert!(
        error.to_string().contains("another of the weight files"),
        "{error}"
    );
}

#[test]
fn index_that_lies_about_its_shards_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    shard(dir.path(), "outside.safetensors", &[("a", 1.0)]);
    shard(&inner, "m.safetensors", &[("a", 1.0), ("b", 2.0)]);
    for (map, expected) in [
        (
            r#""a":"m.safetensors""#,
            r#"m.safetensors: holds the tensor "b""#,
        ),
        (
            r#""a":"m.safetensors","b":"m.safetensors","c":"m.safetensors""#,
            r#"lacks the tensor "c""#,
        ),
        (r#""a":"gone.safetensors""#, "gone.safetensors"),
        (r#""a":"../outside.safetensors""#, "not beside it"),
        (r#""a":"m.safetensors","a":"m.safetensors""#, "occurs twice"),
    ] {
        let error = index(&inner, map).err().unwrap();
        assert!(
            matches!(error, Error::WeightsFile { .. } | Error::WeightsIo { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains(expected), "{error}");
    }
}
