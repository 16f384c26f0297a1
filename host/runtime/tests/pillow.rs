//! Decoded pixels are Pillow's: files in every mode and format, written by
//! `tests/parity/make_images.py` with the digests of what Pillow makes of them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::path::PathBuf;

use modelzoo_runtime::{
    Color, DecodeLimits, Error, Image, ImageReason, decode_image, decode_image_bytes,
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// What Pillow reads and this does not, with the words of the refusal.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("arithmetic.jpg", "arithmetic coding"),
    ("lab.tif", "L*a*b*"),
    ("lzma.tif", "LZMA"),
    ("two_tiff_ccitt.tif", "CCITT run lengths"),
];
/// What Pillow does not read and this does, as its format says.
const READ_ANYWAY: &[&str] = &["bgr_masks.bmp", "big_be.tif", "uint32_be.tif"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/fixtures/images")
}

fn rgb(image: &Image) -> Vec<u8> {
    match image.color() {
        Color::Rgb => image.pixels().to_vec(),
        Color::Gray => image
            .pixels()
            .iter()
            .flat_map(|&value| [value; 3])
            .collect(),
    }
}

/// Why the case is not as it should be, if it is not.
fn fault(name: &str, case: &Value) -> Option<String> {
    let decoded = decode_image(&folder().join(name), &DecodeLimits::default());
    let unsupported = UNSUPPORTED.iter().find(|(file, _)| *file == name);
    let refused = case.get("refused").is_some();
    match (decoded, unsupported) {
        (Ok(_), Some(_)) => Some("is read".to_owned()),
        (Ok(_), None) if refused => {
            (!READ_ANYWAY.contains(&name)).then(|| "is read, and Pillow refuses it".to_owned())
        }
        (Ok(image), None) => difference(&image, case),
        (Err(error), Some((_, words))) => {
            let reason = reason(error);
            let named = matches!(reason, ImageReason::Unsupported(_));
            (!named || !reason.to_string().contains(words)).then(|| reason.to_string())
        }
        (Err(error), None) => match reason(error) {
            ImageReason::Panic => Some("makes the decoder panic".to_owned()),
            reason => (!refused).then(|| reason.to_string()),
        },
    }
}

fn reason(error: Error) -> ImageReason {
    match error {
        Error::UnreadableImage { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// How an image differs from Pillow's.
fn difference(image: &Image, case: &Value) -> Option<String> {
    let size = [image.width(), image.height()].map(u64::from);
    let want = ["width", "height"].map(|side| case[side].as_u64().unwrap());
    if size != want {
        return Some(format!("is {size:?} instead of {want:?}"));
    }
    let digest = Sha256::digest(rgb(image));
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    (digest != case["rgb"]).then(|| "has other pixels".to_owned())
}

#[test]
fn pixels_of_every_mode_and_format_are_pillows() {
    let cases = std::fs::read(folder().join("images.json")).unwrap();
    let cases: Map<String, Value> = serde_json::from_slice(&cases).unwrap();
    assert!(cases.len() > 200, "only {} cases", cases.len());
    let faults: Vec<String> = cases
        .iter()
        .filter_map(|(name, case)| Some(format!("{name}: {}", fault(name, case)?)))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_cut_off_or_altered_anywhere_never_panic() {
    let limits = DecodeLimits {
        max_pixels: 1 << 20,
        ..DecodeLimits::default()
    };
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for file in std::fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        let file = std::fs::read(&path).unwrap();
        for round in 0..40 {
            let mut bytes = file.clone();
            match round % 4 {
                0 => bytes.truncate(random(file.len())),
                // Headers say the most.
                1 => bytes[random(file.len().min(64))] = random(256) as u8,
                _ => bytes[random(file.len())] ^= 1 << random(8),
            }
            let decoded = decode_image_bytes(&bytes, &limits);
            if let Err(ImageReason::Panic) = decoded {
                let place = std::env::temp_dir().join("modelzoo-panic");
                std::fs::write(&place, &bytes).unwrap();
                panic!("{}, round {round}: see {}", path.display(), place.display());
            }
        }
    }
}

#[test]
fn formats_that_are_not_read_are_refused_by_name() {
    let limits = DecodeLimits::default();
    let heif = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
    let avif = b"\0\0\0\x1cftypavif\0\0\0\0mif1avif";
    for (file, name) in [
        (&avif[..], "AVIF"),
        (heif, "HEIF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x0a\0", "JPEG XL"),
        (b"P6\n2 2\n255\n", "PPM"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "video"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a",
            "Git LFS pointer",
        ),
    ] {
        let error = decode_image_bytes(file, &limits).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.to_string().ends_with("is not supported"), "{error}");
    }
}

/// The chunk of a PNG.
fn chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(data);
    let length = (data.len() as u32).to_be_bytes();
    [&length[..], kind, data, &crc.sum().to_be_bytes()].concat()
}

#[test]
fn metadata_that_unpacks_to_much_is_not_unpacked() {
    // A profile of 256 MiB, packed.
    let file = std::fs::read(folder().join("rgb8.png")).unwrap();
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..256 {
        std::io::Write::write_all(&mut packed, &vec![0; 1 << 20]).unwrap();
    }
    let profile = [&b"p\0\0"[..], &packed.finish().unwrap()].concat();
    let large = [&file[..33], &chunk(b"iCCP", &profile), &file[33..]].concat();
    let before = peak();
    let image = decode_image_bytes(&large, &DecodeLimits::default()).unwrap();
    assert_eq!(image.width(), 17);
    assert!(peak() - before < 64 << 10, "{} KiB", peak() - before);
}

/// The most memory that this process has used, in KiB; 0 where the system does not say.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[test]
fn many_scans_of_a_jpeg_are_refused() {
    let file = std::fs::read(folder().join("sampling0_progressive.jpg")).unwrap();
    // Larger than it is, and with its last scan again and again.
    let start = file
        .windows(2)
        .rposition(|pair| pair == [0xff, 0xda])
        .unwrap();
    let (head, scan) = (&file[..start], &file[start..file.len() - 2]);
    let mut many = [head, &scan.repeat(3000), &[0xff, 0xd9]].concat();
    let frame = many
        .windows(2)
        .position(|pair| pair == [0xff, 0xc2])
        .unwrap();
    many[frame + 5..frame + 9].copy_from_slice(&[0x07, 0xd0, 0x07, 0xd0]);
    let error = decode_image_bytes(&many, &DecodeLimits::default()).unwrap_err();
    assert!(error.to_string().contains("cost more to decode"), "{error}");
}
