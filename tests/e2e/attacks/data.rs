//! Malformed weights, datasets and images.

use std::process::Command;

use serde_json::{Value, json};

use super::testbed::Testbed;

/// A safetensors file: the declared length of its header, the header, and the data.
fn safetensors(length: u64, header: &str, data: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes(), header.as_bytes(), data].concat()
}

/// A header with its right length.
fn headed(header: &str, data: &[u8]) -> Vec<u8> {
    safetensors(header.len() as u64, header, data)
}

#[test]
fn malformed_weights_are_refused() {
    let tensor = |dtype: &str, shape: &str, from: u64, to: u64| {
        format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let whole = tensor("F32", "[2,4]", 0, 32);
    let named = |tensor: &str| format!(r#"{{"fc.weight":{tensor}}}"#);
    let testbed = Testbed::new();
    for (n, (what, bytes)) in [
        ("empty", vec![]),
        ("short", vec![0; 7]),
        ("length without end", safetensors(u64::MAX, "{}", &[])),
        ("length beyond the file", safetensors(1 << 40, "{}", &[])),
        (
            "length of two lengths",
            safetensors(1 << 62, "{}", &[0; 64]),
        ),
        ("no JSON", headed("{{{{", &[])),
        ("deep", headed(&"[".repeat(100_000), &[])),
        ("no object", headed("[]", &[])),
        (
            "overlap",
            headed(
                &format!(
                    r#"{{"fc.weight":{whole},"fc.bias":{}}}"#,
                    tensor("F32", "[2]", 16, 24)
                ),
                &[0; 32],
            ),
        ),
        (
            "hole",
            headed(&named(&tensor("F32", "[2]", 24, 32)), &[0; 32]),
        ),
        (
            "beyond the file",
            headed(&named(&tensor("F32", "[2,4]", 0, 32)), &[0; 16]),
        ),
        (
            "backwards",
            headed(&named(&tensor("F32", "[2]", 8, 0)), &[0; 8]),
        ),
        (
            "huge dimensions",
            headed(&named(&tensor("F32", "[4294967296,4294967296]", 0, 0)), &[]),
        ),
        (
            "dimensions that overflow",
            headed(
                &named(&tensor("F32", "[18446744073709551615,2]", 0, 32)),
                &[0; 32],
            ),
        ),
        (
            "many dimensions",
            headed(
                &named(&tensor("F32", &format!("[{}1]", "1,".repeat(10_000)), 0, 4)),
                &[0; 4],
            ),
        ),
        (
            "negative dimensions",
            headed(&named(&tensor("F32", "[-2,-4]", 0, 32)), &[0; 32]),
        ),
        (
            "unknown type",
            headed(&named(&tensor("X7", "[2]", 0, 8)), &[0; 8]),
        ),
        (
            "other size",
            headed(&named(&tensor("F32", "[2]", 0, 32)), &[0; 32]),
        ),
        (
            "twice",
            headed(
                &format!(r#"{{"fc.weight":{whole},"fc.weight":{whole}}}"#),
                &[0; 32],
            ),
        ),
        (
            "pickle",
            b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00ls />R.".to_vec(),
        ),
        ("zip", crate::source::pack_zip(&[("x".into(), vec![0; 64])])),
        ("html", b"<!DOCTYPE html><html></html>".to_vec()),
    ]
    .into_iter()
    .enumerate()
    {
        // What one case left is not what the next one gets.
        let error = testbed
            .attack(test_artifacts::OK_COPY, &format!("case{n}"))
            .weights(bytes)
            .refused_weights();
        assert!(error.contains("weights.safetensors"), "{what}: {error}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn malformed_weights_use_little_memory() {
    let testbed = Testbed::new();
    let world = &testbed.world;
    for (n, bytes) in [
        safetensors(1 << 40, "{}", &[]),
        headed(
            r#"{"fc.weight":{"dtype":"F32","shape":[4294967296,1024],"data_offsets":[0,17592186044416]}}"#,
            &[],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let case = format!("case{n}");
        let model = format!("test/{case}");
        let attack = testbed
            .attack(test_artifacts::OK_COPY, &case)
            .weights(bytes);
        attack.refused_weights();
        let args = ["apply", &model, "images", "p", "--output", "x.jsonl"];
        let usage = super::memory::measure(world, &args);
        assert!(usage.peak_bytes < 512 << 20, "{usage:?}");
    }
}

/// A dataset whose samples name these files, and one good one.
fn dataset(testbed: &Testbed, files: &[String]) -> usize {
    let dir = testbed.world.path("dataset");
    crate::source::digits_dataset(&dir);
    let path = dir.join("samples.json");
    let mut document: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let samples = document["samples"].as_array_mut().unwrap();
    samples.truncate(files.len() + 1);
    for (sample, file) in samples.iter_mut().zip(files) {
        sample["filepath"] = json!(file);
    }
    std::fs::write(path, document.to_string()).unwrap();
    files.len()
}

#[cfg(unix)]
#[test]
fn dataset_paths_outside_the_dataset_are_not_read() {
    use std::os::unix::fs::symlink;

    let testbed = Testbed::new();
    let world = &testbed.world;
    let image = std::fs::read_dir(world.path("images"))
        .unwrap()
        .next()
        .unwrap();
    let image = image.unwrap().path();
    let data = world.path("dataset/data");
    std::fs::create_dir_all(&data).unwrap();
    symlink(&image, data.join("link.png")).unwrap();
    symlink("/dev/zero", data.join("zero.png")).unwrap();
    symlink(world.path("images"), data.join("images")).unwrap();
    let made = Command::new("mkfifo").arg(data.join("pipe.png")).status();
    assert!(made.unwrap().success());
    let inside = image.file_name().unwrap().to_str().unwrap();
    let files = [
        image.to_str().unwrap().to_owned(),
        format!("../images/{inside}"),
        format!("data/../../images/{inside}"),
        format!("data/images/{inside}"),
        "data/link.png".into(),
        "data/zero.png".into(),
        "data/pipe.png".into(),
        "data".into(),
        "/dev/zero".into(),
        "/dev/stdin".into(),
        "/proc/self/environ".into(),
        "/etc/passwd".into(),
        testbed.canary.url("/secret.png"),
        format!("file://{}", image.display()),
        format!("s3://bucket/{inside}"),
        "\\\\server\\share\\x.png".into(),
        "data/\0.png".into(),
        "data/\u{1b}[2J.png".into(),
        "x".repeat(100_000),
    ];
    let count = dataset(&testbed, &files);
    let args = [
        "apply",
        "good/model",
        "dataset",
        "p",
        "--output",
        "labels.jsonl",
    ];
    let run = world.run(&args);
    assert_eq!(run.code, Some(3), "{run:#?}");
    super::testbed::assert_terminal_safe(&run.stderr);
    assert!(
        run.stderr.contains(&format!("{count} failed")),
        "{}",
        run.stderr
    );
    let text = std::fs::read_to_string(world.path("labels.jsonl")).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(lines.len(), count + 1);
    for (line, file) in lines.iter().zip(&files) {
        assert!(
            line["p"].is_null() && line["error"].is_string(),
            "{file}: {line}"
        );
    }
    assert!(lines[count]["p"]["label"].is_string(), "{}", lines[count]);
    assert!(!testbed.canary.was_called());
    testbed.still_works();
}

/// Images that declare far more than they hold, or hold something else.
#[test]
fn malformed_images_fail_alone() {
    let testbed = Testbed::new();
    let world = &testbed.world;
    let good = std::fs::read_dir(world.path("images"))
        .unwrap()
        .next()
        .unwrap();
    let good = std::fs::read(good.unwrap().path()).unwrap();
    // The first chunk of a PNG holds width and height with a checksum.
    let mut huge = good.clone();
    huge[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    let checksum = crc32(&huge[12..29]).to_be_bytes();
    huge[29..33].copy_from_slice(&checksum);
    let bmp = [b"BM".as_slice(), &[0xff; 52]].concat();
    let gif = [b"GIF89a\xff\xff\xff\xff\x80\0\0".as_slice(), &[0; 6]].concat();
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>";
    let files: [(&str, Vec<u8>); 7] = [
        ("huge.png", huge),
        ("cut.png", good[..good.len() / 2].to_vec()),
        ("empty.png", vec![]),
        ("bmp.png", bmp),
        ("gif.png", gif),
        ("svg.png", svg.to_vec()),
        ("text.png", b"not an image".to_vec()),
    ];
    std::fs::create_dir(world.path("lies")).unwrap();
    for (name, bytes) in &files {
        std::fs::write(world.path("lies").join(name), bytes).unwrap();
    }
    std::fs::write(world.path("lies/good.png"), &good).unwrap();
    let run = world.run(&[
        "apply",
        "good/model",
        "lies",
        "p",
        "--output",
        "labels.jsonl",
    ]);
    assert_eq!(run.code, Some(3), "{run:#?}");
    let failed = format!("{} failed", files.len());
    assert!(run.stderr.contains(&failed), "{}", run.stderr);
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    testbed.still_works();
}

/// The CRC-32 of PNG and zip.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| match crc & 1 {
            1 => (crc >> 1) ^ 0xedb8_8320,
            _ => crc >> 1,
        })
    };
    !bytes.iter().fold(!0, step)
}
