//! Formats, found by content.

use super::reason::ImageReason;

/// A format that is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Bmp,
    Gif,
    Jpeg,
    Png,
    Tiff,
    WebP,
}

/// The first bytes of the formats that are read.
const READ: &[(&[u8], Format)] = &[
    (b"BM", Format::Bmp),
    (b"GIF87a", Format::Gif),
    (b"GIF89a", Format::Gif),
    (b"\xff\xd8\xff", Format::Jpeg),
    (b"\x89PNG\r\n\x1a\n", Format::Png),
    (b"II*\0", Format::Tiff),
    (b"MM\0*", Format::Tiff),
    (b"II+\0", Format::Tiff),
    (b"MM\0+", Format::Tiff),
];

/// The first bytes of formats that are refused by name.
const REFUSED: &[(&[u8], &str)] = &[
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"8BPS", "a Photoshop document"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"<svg", "SVG"),
    (b"\0\0\x01\0", "an icon (ICO)"),
    (b"\0\0\x02\0", "a cursor (CUR)"),
    (b"icns", "an icon (ICNS)"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"P1", "PBM"),
    (b"P2", "PGM"),
    (b"P3", "PPM"),
    (b"P4", "PBM"),
    (b"P5", "PGM"),
    (b"P6", "PPM"),
    (b"P7", "PAM"),
    (b"Pf", "PFM"),
    (b"PF", "PFM"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"SIMPLE  =", "FITS"),
    (b"\x59\xa6\x6a\x95", "Sun raster"),
    (b"\x01\xda", "SGI"),
    (b"\x0a\x05\x01", "PCX"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (
        b"version https://git-lfs",
        "a Git LFS pointer, which stands for a file that was not fetched,",
    ),
];

/// The brands of files of the ISO base media format, by their first letters.
const BRANDS: &[(&[u8], &str)] = &[
    (b"avi", "AVIF"),
    (b"hei", "HEIF"),
    (b"hev", "HEIF"),
    (b"mif1", "HEIF"),
    (b"msf1", "HEIF"),
    (b"crx", "Canon CR3"),
    (b"", "a video (MP4 or QuickTime)"),
];

impl Format {
    /// The format of a file.
    ///
    /// # Errors
    /// [`ImageReason::Unsupported`] names a format that is known and not read;
    /// [`ImageReason::UnknownFormat`].
    pub(super) fn of(file: &[u8]) -> Result<Self, ImageReason> {
        if let Some(&(_, format)) = READ.iter().find(|(magic, _)| file.starts_with(magic)) {
            return Ok(format);
        }
        let refused = |name: &str| Err(ImageReason::unsupported(name));
        match (file.get(..4), file.get(4..8), file.get(8..)) {
            (Some(b"RIFF"), Some(_), Some(rest)) if rest.starts_with(b"WEBP") => {
                return Ok(Self::WebP);
            }
            (Some(b"RIFF"), Some(_), Some(rest)) if rest.starts_with(b"AVI ") => {
                return refused("a video (AVI)");
            }
            (Some(_), Some(b"ftyp"), Some(rest)) => {
                let brand = BRANDS.iter().find(|(brand, _)| rest.starts_with(brand));
                return refused(brand.map_or("a video", |(_, name)| name));
            }
            _ => {}
        }
        if file.get(128..132) == Some(b"DICM") {
            return refused("DICOM");
        }
        match REFUSED.iter().find(|(magic, _)| file.starts_with(magic)) {
            Some((_, name)) => refused(name),
            None => Err(ImageReason::UnknownFormat),
        }
    }
}
