//! Images: no panic, as many pixels as the size says, and no more memory than they explain.

use modelzoo_runtime::{DecodeLimits, ImageReason, decode_image_bytes};

use crate::cost::{Bound, measure};
use crate::{Target, assert_one_line, seeds};

pub(crate) const TARGET: Target = Target {
    name: "images",
    run,
    seeds,
    words: &[
        "\u{89}PNG\r\n\u{1a}\n",
        "IHDR",
        "PLTE",
        "tRNS",
        "IDAT",
        "IEND",
        "GIF89a",
        "BM",
        "II*\0",
        "MM\0*",
        "II+\0",
        "RIFF",
        "WEBP",
        "VP8 ",
        "VP8L",
        "VP8X",
        "ANMF",
        "JFIF",
        "Adobe",
    ],
};

/// The largest file of Pillow's that is a seed.
const MAX_SEED: u64 = 4 << 10;

/// The most pixels of an input.
const MAX_PIXELS: usize = 1 << 16;
/// 32 bytes for each pixel, and the parts of a WebP, which may say that they have 16 MiB.
const BOUND: Bound = Bound {
    peak: [4, 32 * MAX_PIXELS + (18 << 20)],
    total: [64, 256 * MAX_PIXELS + (128 << 20)],
};

fn run(data: &[u8]) -> bool {
    let limits = DecodeLimits {
        max_pixels: MAX_PIXELS as u64,
        ..DecodeLimits::default()
    };
    let (decoded, cost) = measure(|| decode_image_bytes(data, &limits));
    cost.assert_within(BOUND, data.len());
    match decoded {
        Ok(image) => {
            let area = image.width() as usize * image.height() as usize;
            assert_eq!(image.pixels().len(), area * image.color().channels());
            true
        }
        Err(reason) => {
            assert!(!matches!(reason, ImageReason::Panic), "a decoder panicked");
            assert_one_line(&reason.to_string());
            false
        }
    }
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let kinds = [".png", ".jpg", ".gif", ".bmp", ".tif", ".webp"];
    seeds::files("tests/parity/fixtures/images", &kinds, MAX_SEED)
}
