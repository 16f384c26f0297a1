//! Numbers at places of a file.

use super::reason::ImageReason;

/// `N` bytes at `at`.
///
/// # Errors
/// [`ImageReason::CutOff`].
pub(super) fn array<const N: usize>(file: &[u8], at: usize) -> Result<[u8; N], ImageReason> {
    let rest = file.get(at..).and_then(|rest| rest.first_chunk());
    rest.copied().ok_or(ImageReason::CutOff)
}

/// A little-endian number of 16 bits at `at`.
///
/// # Errors
/// [`ImageReason::CutOff`].
pub(super) fn u16_le(file: &[u8], at: usize) -> Result<u16, ImageReason> {
    array(file, at).map(u16::from_le_bytes)
}

/// A little-endian number of 32 bits at `at`.
///
/// # Errors
/// [`ImageReason::CutOff`].
pub(super) fn u32_le(file: &[u8], at: usize) -> Result<u32, ImageReason> {
    array(file, at).map(u32::from_le_bytes)
}
