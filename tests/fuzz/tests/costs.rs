//! What the worst inputs cost that are known for each reader: `docs/security.md` says what a
//! reader may take, and here it is counted.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what was counted"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use modelzoo::manifest::{Manifest, ManifestError};
use modelzoo::sources::RegisterOptions;
use modelzoo::{Config, Zoo};
use modelzoo_archive::{ErrorKind, Limits};
use modelzoo_data::Dataset;
use modelzoo_fuzz::cost::{Bound, Cost, measure};
use modelzoo_runtime::{DecodeLimits, ImageReason, Weights, decode_image_bytes};
use zip::write::SimpleFileOptions;

const MIB: usize = 1 << 20;

/// So many bytes of memory and work for each byte, and a mebibyte.
fn each(peak: usize, total: usize) -> Bound {
    Bound {
        peak: [peak, MIB],
        total: [total, MIB],
    }
}

/// So many mebibytes of memory, whatever the input's length; and so many bytes of work for each.
fn fixed(peak: usize, total: usize) -> Bound {
    Bound {
        peak: [0, peak * MIB],
        total: [total, MIB],
    }
}

/// Prints what an input cost, and compares it with what it may.
fn check(cost: Cost, bound: Bound, length: usize) {
    let mib = |bytes: usize| bytes as f64 / MIB as f64;
    println!(
        "{:.3} MiB cost {:.2} MiB of memory, and {:.2} MiB were allocated",
        mib(length),
        mib(cost.peak),
        mib(cost.total),
    );
    cost.assert_within(bound, length);
}

/// A manifest with this model.
fn manifest(model: &str) -> String {
    format!(r#"{{"name":"a/b","models":[{model}]}}"#)
}

fn parse(text: &str) -> (Result<Manifest, ManifestError>, Cost) {
    measure(|| Manifest::parse(text.as_bytes()))
}

#[test]
fn manifest_of_too_many_values_is_refused() {
    for value in [
        "0,",
        "{},",
        r#"{"":0},"#,
        "[[]],",
        r#"{"a":{"b":{"c":[]}}},"#,
    ] {
        let list = value.repeat((15 << 20) / value.len());
        let text = manifest(&format!(r#"{{"base_name":"m","x":[{list}0]}}"#));
        let (parsed, cost) = parse(&text);
        assert!(matches!(parsed, Err(ManifestError::TooManyValues { .. })));
        check(cost, fixed(1, 0), text.len());
    }
}

#[test]
fn manifest_of_as_many_values_as_are_read_is_bounded() {
    for (value, each) in [("0,", 1), (r#"{"":0},"#, 2), (r#"{"a":{"b":[]}},"#, 3)] {
        let list = value.repeat(131_000 / each);
        let text = manifest(&format!(r#"{{"base_name":"m","x":[{list}0]}}"#));
        let (parsed, cost) = parse(&text);
        assert!(!parsed.unwrap().models[0].raw()["x"][1].is_null());
        check(cost, fixed(96, 256), text.len());
    }
}

/// The work for twice as many artifacts is about twice as much.
#[test]
fn many_artifacts_cost_in_proportion() {
    let of = |count: usize| {
        let mut list = String::new();
        for n in 0..count {
            write!(
                list,
                r#"{{"path":"d{}/f{n}","url":"https://x/{n}"}},"#,
                n % 7
            )
            .unwrap();
        }
        list.pop();
        let text = manifest(&format!(r#"{{"base_name":"m","artifacts":[{list}]}}"#));
        let (parsed, cost) = parse(&text);
        assert_eq!(parsed.unwrap().models[0].artifacts.len(), count);
        check(cost, each(64, 128), text.len());
        cost.total
    };
    let (some, many) = (of(4000), of(16_000));
    assert!(many < some * 5, "{some} for 4000, {many} for 16,000");
}

/// The place of an error is found in one walk, whatever leads to it.
#[test]
fn long_key_before_a_large_array_costs_in_proportion() {
    let key = "k".repeat(2 << 20);
    let zeros = "0,".repeat(100_000);
    for text in [
        format!(r#"{{"{key}":[{zeros}0],"name":"a","models":1}}"#),
        format!(
            r#"{{"name":"a","models":[{{"base_name":"m","{key}":[{zeros}0],"artifacts":1}}]}}"#
        ),
        format!(
            r#"{{"{}":[{zeros}0],"name":"a","models":1}}"#,
            "a.b[".repeat(500_000)
        ),
    ] {
        let (parsed, cost) = parse(&text);
        let error = parsed.unwrap_err().to_string();
        assert!(error.contains(" is not a list"), "{error}");
        check(cost, each(16, 32), text.len());
    }
}

/// Registers a directory or an archive as a source; the error and the cost.
fn register(source: &Path) -> (String, Cost) {
    let home = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let zoo = Zoo::open(Config::new(home.path().join("home")).unwrap());
    let source = source.to_str().unwrap();
    let registering = zoo.register_source(source, RegisterOptions::default());
    measure(|| {
        runtime
            .block_on(registering)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    })
}

#[test]
fn directory_that_is_named_again_and_again_is_listed_once() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("weights/a/b/c");
    fs::create_dir_all(&directory).unwrap();
    for n in 0..500 {
        fs::write(directory.join(format!("f{n}")), b"x").unwrap();
    }
    fs::write(place.path().join("source.wasm"), b"not a component").unwrap();
    let names = r#""weights","weights/a","weights/a/b/","#.repeat(33_000);
    let text = format!(
        r#"{{"name":"a/b","models":[],"component":{{"path":"source.wasm","files":[{names}"weights"]}}}}"#
    );
    fs::write(place.path().join("manifest.json"), &text).unwrap();
    let (error, cost) = register(place.path());
    assert!(error.contains("source.wasm"), "{error}");
    check(cost, each(64, 256), text.len());
}

#[test]
fn manifests_of_a_source_are_bounded_together() {
    let place = tempfile::tempdir().unwrap();
    let archive = place.path().join("source.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&archive).unwrap());
    // Enough that does not compress for the ratio of the archive.
    let noise = |n: u32| n.wrapping_mul(2_654_435_761).to_string();
    let noise: String = (0..40_000).map(noise).collect();
    let text = manifest(&format!(r#"{{"base_name":"m","description":"{noise}"}}"#));
    let text = text + &" ".repeat(15 << 20);
    for directory in ["", "a/", "b/", "c/"] {
        let name = format!("{directory}manifest.json");
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    let (error, cost) = register(&archive);
    assert!(
        error.contains("the manifests of the source have more than"),
        "{error}"
    );
    check(cost, fixed(40, 2), 4 * text.len());
}

/// The directories that entries lie in count as entries.
#[test]
fn directories_of_an_archive_are_bounded() {
    let mut tar = tar::Builder::new(Vec::new());
    for n in 0..20_000 {
        let name = format!("a{n}/b/c/d/e/f/g/h/i/j/k/l/m/n/o/f");
        let mut header = tar::Header::new_ustar();
        header.set_path(&name).unwrap();
        header.set_size(0);
        header.set_cksum();
        tar.append(&header, std::io::empty()).unwrap();
    }
    let bytes = tar.into_inner().unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&bytes).unwrap();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.tar.gz");
    fs::write(&path, packed.finish().unwrap()).unwrap();
    let (listed, cost) = measure(|| modelzoo_archive::list(&path, &Limits::default()));
    let kind = listed.unwrap_err().kind;
    assert!(
        matches!(kind, ErrorKind::TooManyEntries { limit: 100_000 }),
        "{kind:?}"
    );
    check(cost, fixed(32, 8), bytes.len());
}

/// Opens a dataset, with the cost.
fn open(name: &str, bytes: &[u8]) -> (Result<Dataset, modelzoo_data::Error>, Cost) {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join(name);
    fs::write(&file, bytes).unwrap();
    let path = match name {
        "samples.json" => place.path(),
        _ => file.as_path(),
    };
    measure(|| Dataset::open(path))
}

#[test]
fn index_of_short_lines_takes_a_small_multiple_of_them() {
    for line in ["a\n", "\n", "a\r\n", "longer\n"] {
        let text = "a\n".to_owned() + &line.repeat((8 << 20) / line.len());
        let (dataset, cost) = open("texts.txt", text.as_bytes());
        assert_eq!(dataset.unwrap().len(), 1 + (8 << 20) / line.len());
        check(cost, each(4, 6), text.len());
    }
}

#[test]
fn index_of_empty_samples_takes_about_as_much_as_they() {
    for sample in ["{},", "{} ,\n", r#"{"a":1}, "#] {
        let count = (8 << 20) / sample.len();
        let text = format!(r#"{{"samples":[{}{{}}]}}"#, sample.repeat(count));
        let (dataset, cost) = open("samples.json", text.as_bytes());
        assert_eq!(dataset.unwrap().len(), count + 1);
        check(cost, each(3, 6), text.len());
    }
}

#[test]
fn document_of_too_many_values_has_no_filepath() {
    for values in [r#""":0,"#, r#""a":[[]],"#, r#""a":{"":{}},"#] {
        let members = values.repeat((12 << 20) / values.len());
        let text = format!(r#"{{"samples":[{{{members}"filepath":"a.png"}}]}}"#);
        let (dataset, _) = open("samples.json", text.as_bytes());
        let dataset = dataset.unwrap();
        let (sample, cost) = measure(|| dataset.sample(0).unwrap().unwrap());
        let error = sample.path.unwrap_err().to_string();
        assert!(error.contains("more than 524288 values"), "{error}");
        check(cost, each(8, 16), text.len());
    }
}

#[test]
fn csv_of_many_cells_is_refused() {
    let header = ",".repeat(15 << 20) + "text\na\n";
    let row = "text\n".to_owned() + &",".repeat(15 << 20) + "\n";
    let names = "a,".repeat(20_000) + "text\n";
    for (text, reason) in [
        (header, "cells"),
        (row, "cells"),
        (names, "at most 16384 are read"),
    ] {
        let (dataset, cost) = open("texts.csv", text.as_bytes());
        let Err(error) = dataset else {
            panic!("{reason}: is read")
        };
        let error = format!("{error}");
        assert!(error.contains(reason), "{error}");
        check(cost, fixed(64, 64), text.len());
    }
}

/// Opens a file of weights, with the cost.
fn weights(name: &str, bytes: &[u8]) -> (String, Cost) {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join(name), bytes).unwrap();
    let (opened, cost) = measure(|| Weights::open(place.path(), &[name.to_owned()]));
    (opened.map(|_| ()).unwrap_err().to_string(), cost)
}

/// A safetensors file with this header.
fn safetensors(header: &str) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
}

#[test]
fn header_of_tiny_tensors_is_refused() {
    let mut header = String::from("{");
    for n in 0..600_000 {
        let shape = r#"{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#;
        write!(header, r#""{n}":{shape},"#).unwrap();
    }
    header.pop();
    header.push('}');
    let (error, cost) = weights("w.safetensors", &safetensors(&header));
    assert!(error.contains("more than 262144 tensors"), "{error}");
    check(cost, fixed(96, 8), header.len());
    let long = format!(
        r#"{{"a":{{"dtype":"F32","shape":[{}0]}}}}"#,
        "0,".repeat(16 << 20)
    );
    let (error, cost) = weights("w.safetensors", &safetensors(&long));
    assert!(error.contains("more than 64 dimensions"), "{error}");
    check(cost, fixed(1, 0), long.len());
}

#[test]
fn index_of_many_tensors_is_refused() {
    let mut index = String::from(r#"{"weight_map":{"#);
    for n in 0..2_000_000 {
        write!(index, r#""{n}":"a","#).unwrap();
    }
    index.pop();
    index.push_str("}}");
    let (error, cost) = weights("w.safetensors.index.json", index.as_bytes());
    assert!(error.contains("more than 262144 tensors"), "{error}");
    check(cost, fixed(64, 8), index.len());
}

/// An image may cost so many bytes of memory for each pixel, and the bytes of its file.
fn image(bytes: &[u8], pixels: usize) -> Result<(), ImageReason> {
    let (decoded, cost) = measure(|| decode_image_bytes(bytes, &DecodeLimits::default()));
    let bound = Bound {
        peak: [2, pixels * 24 + 2 * MIB],
        total: [8, pixels * 64 + 4 * MIB],
    };
    check(cost, bound, bytes.len());
    decoded.map(|_| ())
}

#[test]
fn images_cost_what_their_pixels_and_bytes_explain() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../parity/fixtures/images");
    let mut seen = 0;
    for file in fs::read_dir(folder).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        if let Ok(decoded) = decode_image_bytes(&bytes, &DecodeLimits::default()) {
            let pixels = decoded.width() as usize * decoded.height() as usize;
            image(&bytes, pixels).unwrap();
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen} images");
}

/// Chunks of a RIFF file.
fn riff(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (kind, data) in chunks {
        body.extend_from_slice(*kind);
        body.extend_from_slice(&(data.len() as u32).to_le_bytes());
        body.extend_from_slice(data);
        body.resize(body.len().next_multiple_of(2), 0);
    }
    [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat()
}

#[test]
fn picture_of_another_size_than_its_webp_is_refused() {
    // Key frames of 16383 by 16383 pixels, in files of one pixel.
    let side = 16_383_u16.to_le_bytes();
    let picture = [&[0x10, 0, 0, 0x9d, 0x01, 0x2a][..], &side, &side, &[0; 64]].concat();
    let lossless = [&[0x2f, 0xff, 0xff, 0xff, 0x0f][..], &[0; 64]].concat();
    let animation = [0_u8; 6];
    for (kind, picture) in [(b"VP8 ", &picture), (b"VP8L", &lossless)] {
        let still = riff(&[(b"VP8X", &[0; 10]), (kind, picture)]);
        let inner = riff(&[(kind, picture)]);
        let frame = [&[0; 16][..], &inner[12..]].concat();
        let flags = [2, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let moving = riff(&[(b"VP8X", &flags), (b"ANIM", &animation), (b"ANMF", &frame)]);
        for file in [still, moving] {
            let reason = image(&file, 1).unwrap_err().to_string();
            assert!(reason.contains("a picture of another size"), "{reason}");
        }
    }
}

/// A little-endian TIFF: entries of tag, type, count and value, and then more bytes.
fn tiff(entries: &[(u16, u16, u32, u32)], more: &[u8]) -> Vec<u8> {
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend_from_slice(&(entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        file.extend_from_slice(&tag.to_le_bytes());
        file.extend_from_slice(&kind.to_le_bytes());
        file.extend_from_slice(&count.to_le_bytes());
        file.extend_from_slice(&value.to_le_bytes());
    }
    file.extend_from_slice(&[0; 4]);
    file.extend_from_slice(more);
    file
}

#[test]
fn strips_of_a_tiff_that_share_bytes_are_bounded() {
    const ROWS: u32 = 20_000;
    let entries = |compression| {
        let start = 8 + 2 + 9 * 12 + 4;
        [
            (256, 4, 1, 8),
            (257, 4, 1, ROWS),
            (258, 3, 1, 8),
            (259, 3, 1, compression),
            (262, 3, 1, 1),
            (273, 4, ROWS, start),
            (277, 3, 1, 1),
            (278, 4, 1, 1),
            (279, 4, ROWS, start + 4 * ROWS),
        ]
    };
    // All strips are the last megabyte, which unpacks to nothing.
    let data = 8 + 2 + 9 * 12 + 4 + 8 * ROWS;
    let mut more = data.to_le_bytes().repeat(ROWS as usize);
    more.extend(1_000_000_u32.to_le_bytes().repeat(ROWS as usize));
    more.extend(vec![0x80; 1_000_000]);
    let reason = image(&tiff(&entries(32_773), &more), 8 * ROWS as usize).unwrap_err();
    assert!(matches!(reason, ImageReason::TooMuchWork(_)), "{reason}");
    // Strips that are not packed have what their pixels have.
    image(&tiff(&entries(1), &more), 8 * ROWS as usize).unwrap();
}

#[test]
fn offsets_of_a_tiff_stay_in_the_file() {
    let many = 16 << 20;
    let entries = [
        (256, 4, 1, 1),
        (257, 4, 1, 1),
        (258, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 1, many, 8),
        (279, 1, many, 8),
    ];
    image(&tiff(&entries, &vec![8; many as usize]), 1).unwrap();
}

#[test]
fn tiles_are_not_much_larger_than_their_image() {
    let entries = [
        (256, 4, 1, 1),
        (257, 4, 1, 1_000_000),
        (258, 3, 1, 8),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (322, 4, 1, 65_536),
        (323, 4, 1, 16),
        (324, 4, 1, 8),
        (325, 4, 1, 8),
    ];
    let reason = image(&tiff(&entries, &[0; 64]), 1_000_000).unwrap_err();
    assert!(
        matches!(reason, ImageReason::TooManyPixels { .. }),
        "{reason}"
    );
}
