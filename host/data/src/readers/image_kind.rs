//! Whether a file is an image, by its name or by how it begins.

use std::io::{self, Read};
use std::path::Path;

use modelzoo_base::file::open_regular;

/// What the name of an image ends in, in lower case.
pub(crate) const EXTENSIONS: [&str; 8] =
    ["bmp", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// Bytes that are enough to tell.
const HEAD: u64 = 32;

/// Whether the name of a file is one of an image. What such a file holds is looked at when it is
/// decoded, so that one that is not an image is reported and not left out.
pub(crate) fn has_image_name(path: &Path) -> bool {
    path.extension()
        .and_then(|end| end.to_str())
        .is_some_and(|end| EXTENSIONS.contains(&end.to_ascii_lowercase().as_str()))
}

/// Whether a file begins as images do, those in formats that are not decoded included.
pub(crate) fn holds_image(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    open_regular(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(is_image(&head))
}

fn is_image(head: &[u8]) -> bool {
    match head {
        // JPEG; PNG; GIF; JPEG XL, bare and in a container; JPEG 2000.
        [0xff, 0xd8, 0xff, ..] => true,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => true,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => true,
        [0xff, 0x0a, ..] => true,
        [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => true,
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] => true,
        // TIFF and BigTIFF, in either byte order.
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => true,
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => true,
        // AVIF and HEIF.
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => brand
            .first_chunk::<4>()
            .is_some_and(|brand| HEIF_BRANDS.contains(&brand)),
        // BMP has two letters only, so the size of its header is looked at too.
        [b'B', b'M', rest @ ..] => match rest.get(12..16) {
            Some(&[size, 0, 0, 0]) => BMP_HEADERS.contains(&size),
            _ => false,
        },
        _ => false,
    }
}

const HEIF_BRANDS: [&[u8; 4]; 9] = [
    b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1",
];
const BMP_HEADERS: [u8; 7] = [12, 16, 40, 52, 56, 108, 124];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_told_from_other_files() {
        let bmp = [b"BM".as_slice(), &[0; 12], &[40, 0, 0, 0]].concat();
        for head in [
            b"\xff\xd8\xff\xe0\0\x10JFIF".as_slice(),
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"II*\0\x08\0\0\0",
            b"MM\0+\0\x08\0\0",
            b"RIFF\x24\0\0\0WEBPVP8 ",
            b"\0\0\0\x1cftypavif",
            b"\0\0\0\x0cJXL \r\n\x87\n",
            b"\0\0\0\x0cjP  \r\n\x87\n",
            &bmp,
        ] {
            assert!(is_image(head), "{head:?}");
        }
        for head in [
            b"".as_slice(),
            b"BM is not a bitmap",
            b"RIFF\x24\0\0\0WAVEfmt ",
            b"\0\0\0\x20ftypisom",
            b"# .PCD v0.7",
            b"{\"a\": 1}",
        ] {
            assert!(!is_image(head), "{head:?}");
        }
    }
}
