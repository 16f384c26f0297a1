//! Decoding of images: formats, limits, and damaged files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::path::Path;

use modelzoo_runtime::{
    Color, DecodeLimits, Device, Error, Image, ImageReason, Model, decode_image, decode_image_bytes,
};
use serde_json::json;

/// A file of each format: 17 by 8 pixels, the JPEG 21 by 18.
const FILES: &[&str] = &[
    "rgb8.png",
    "sampling2.jpg",
    "rgb24.bmp",
    "plain.gif",
    "strips.tif",
    "lossy.webp",
];

fn encoded(name: &str) -> Vec<u8> {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/fixtures/images");
    std::fs::read(images.join(name)).unwrap()
}

fn reason(bytes: &[u8], limits: &DecodeLimits) -> ImageReason {
    decode_image_bytes(bytes, limits).unwrap_err()
}

#[test]
fn image_format_is_detected_by_content() {
    let dir = tempfile::tempdir().unwrap();
    for name in FILES {
        let path = dir.path().join("picture.txt");
        std::fs::write(&path, encoded(name)).unwrap();
        let image = decode_image(&path, &DecodeLimits::default()).unwrap();
        let size = if name.ends_with(".jpg") {
            (21, 18)
        } else {
            (17, 8)
        };
        assert_eq!((image.width(), image.height()), size, "{name}");
        assert_eq!(image.color(), Color::Rgb, "{name}");
    }
}

#[test]
fn files_that_are_not_images_are_refused() {
    let limits = DecodeLimits::default();
    for bytes in [&b""[..], b"x", b"<html>Not found</html>", &[0; 100]] {
        assert!(matches!(reason(bytes, &limits), ImageReason::UnknownFormat));
    }
    let dir = tempfile::tempdir().unwrap();
    let error = decode_image(dir.path(), &limits).unwrap_err();
    assert!(error.to_string().ends_with("not a regular file"), "{error}");
    let missing = dir.path().join("missing.png");
    let error = decode_image(&missing, &limits).unwrap_err();
    assert!(error.to_string().contains("missing.png"), "{error}");
    #[cfg(unix)]
    for device in ["/dev/zero", "/dev/null"] {
        let error = decode_image(Path::new(device), &limits).unwrap_err();
        assert!(error.to_string().ends_with("not a regular file"), "{error}");
    }
}

#[test]
fn image_header_beyond_the_limits_is_refused_before_allocation() {
    // A BMP header of 2^31-1 by 100 pixels and nothing behind it, and a PNG's of 20000 by 20000.
    let mut bmp = encoded("rgb24.bmp");
    bmp[18..22].copy_from_slice(&i32::MAX.to_le_bytes());
    bmp[22..26].copy_from_slice(&100_i32.to_le_bytes());
    let limits = DecodeLimits::default();
    let found = reason(&bmp, &limits);
    assert!(
        matches!(found, ImageReason::TooManyPixels { .. }),
        "{found:?}"
    );

    let mut png = encoded("rgb8.png");
    png[16..20].copy_from_slice(&20_000_u32.to_be_bytes());
    png[20..24].copy_from_slice(&20_000_u32.to_be_bytes());
    let checksum = crc(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    let found = reason(&png, &limits);
    assert!(
        matches!(
            found,
            ImageReason::TooManyPixels {
                width: 20_000,
                height: 20_000,
                ..
            }
        ),
        "{found:?}"
    );
}

/// The CRC of PNG's chunks.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 {
                0xedb8_8320 ^ (crc >> 1)
            } else {
                crc >> 1
            }
        })
    })
}

#[test]
fn decode_limits_are_enforced() {
    let png = encoded("rgb8.png");
    let mut limits = DecodeLimits {
        max_pixels: 17 * 8,
        ..DecodeLimits::default()
    };
    assert!(decode_image_bytes(&png, &limits).is_ok());
    limits.max_pixels = 17 * 8 - 1;
    assert!(matches!(
        reason(&png, &limits),
        ImageReason::TooManyPixels {
            width: 17,
            height: 8,
            limit: 135
        }
    ));
    let limits = DecodeLimits {
        max_bytes: png.len() as u64 - 1,
        ..DecodeLimits::default()
    };
    assert!(matches!(
        reason(&png, &limits),
        ImageReason::TooManyBytes { .. }
    ));
}

#[test]
fn damaged_images_do_not_panic() {
    let limits = DecodeLimits::default();
    let mut state = 1_u64;
    for name in FILES {
        let good = encoded(name);
        for _ in 0..200 {
            let mut bytes = good.clone();
            for _ in 0..3 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let at = (state >> 33) as usize % bytes.len();
                bytes[at] ^= (state >> 20) as u8;
            }
            if let Ok(image) = decode_image_bytes(&bytes, &limits) {
                let area = image.width() as usize * image.height() as usize;
                assert_eq!(image.pixels().len(), area * image.color().channels());
            }
        }
    }
}

#[test]
fn truncated_image_is_refused() {
    let limits = DecodeLimits::default();
    for name in FILES {
        let bytes = encoded(name);
        let cut = &bytes[..bytes.len() * 2 / 3];
        assert!(decode_image_bytes(cut, &limits).is_err(), "{name}");
    }
    // Without its last two bytes, the end marker, a JPEG is refused, though all pixels are there.
    let jpeg = encoded("sampling2.jpg");
    assert!(matches!(
        reason(&jpeg[..jpeg.len() - 2], &limits),
        ImageReason::CutOff
    ));
    // Bytes after the end are ignored, and an end marker inside a segment is not the end.
    assert!(decode_image_bytes(&[&jpeg[..], b"more"].concat(), &limits).is_ok());
    let comment = [0xff, 0xfe, 0, 4, 0xff, 0xd9];
    let with_comment = [&jpeg[..2], &comment, &jpeg[2..jpeg.len() - 2]].concat();
    assert!(matches!(
        reason(&with_comment, &limits),
        ImageReason::CutOff
    ));
}

#[test]
fn extreme_image_shapes_are_resized_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    candle_core::safetensors::save(
        &std::collections::HashMap::<String, candle_core::Tensor>::new(),
        dir.path().join("w"),
    )
    .unwrap();
    let model = |steps: serde_json::Value| {
        let plan = serde_json::from_value(json!({
            "architecture": { "name": "sequential", "config": { "layers": [{ "type": "global_avg_pool" }, { "type": "flatten" }] } },
            "weights": ["w"],
            "preprocessing": { "color": "gray", "steps": steps },
            "head": { "classification": { "classes": ["mean"] } },
        }));
        Model::build(&plan.unwrap(), dir.path(), &Device::cpu()).unwrap()
    };
    let strip = Image::from_pixels(100_000, 1, Color::Gray, vec![100; 100_000]).unwrap();
    let point = Image::from_pixels(1, 1, Color::Gray, vec![255]).unwrap();
    for resampling in ["nearest", "bilinear", "bicubic", "lanczos"] {
        let shortest =
            model(json!([{ "resize_shortest": { "to": 1024, "resampling": resampling } }]));
        let error = shortest.preprocess(&strip).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Preprocess {
                    width: 100_000,
                    height: 1,
                    ..
                }
            ),
            "{error}"
        );
        let squash = model(
            json!([{ "resize": { "to": { "height": 7, "width": 5 }, "resampling": resampling } }]),
        );
        for (image, value) in [(&strip, 100.0 / 255.0), (&point, 1.0)] {
            let input = squash.preprocess(image).unwrap();
            assert_eq!((input.height(), input.width(), input.channels()), (7, 5, 1));
            assert!(
                input
                    .values()
                    .iter()
                    .all(|&found| (found - value).abs() < 1e-6),
                "{resampling}"
            );
        }
    }
    // The width comes first: an image of one column would have 224 of them on the way.
    let column = Image::from_pixels(1, 400_000, Color::Gray, vec![100; 400_000]).unwrap();
    let line = Image::from_pixels(1 << 21, 1, Color::Gray, vec![100; 1 << 21]).unwrap();
    for resampling in ["bilinear", "bicubic", "lanczos"] {
        let square = model(
            json!([{ "resize": { "to": { "height": 224, "width": 224 }, "resampling": resampling } }]),
        );
        let error = square.preprocess(&column).unwrap_err().to_string();
        assert!(error.contains("widened to 224x400000"), "{error}");
        let error = square.preprocess(&line).unwrap_err().to_string();
        assert!(
            error.contains("a side of more than 1048576 pixels"),
            "{error}"
        );
    }
    // The input of a network may have 2048x2048 pixels at most; a larger crop allocates nothing.
    let most = Image::from_pixels(2048, 2048, Color::Gray, vec![0; 1 << 22]).unwrap();
    assert!(model(json!([])).preprocess(&most).is_ok());
    let crop = model(json!([{ "center_crop": { "height": 16_384, "width": 16_384 } }]));
    let error = crop.preprocess(&most).unwrap_err().to_string();
    assert!(error.contains("cropped to 16384x16384"), "{error}");
    // Nothing in the plan makes it smaller.
    let large = Image::from_pixels(10_000, 7_000, Color::Gray, vec![0; 70_000_000]).unwrap();
    let error = model(json!([])).preprocess(&large).unwrap_err();
    assert!(
        error.to_string().contains("10000x7000, more than 4194304"),
        "{error}"
    );
}
