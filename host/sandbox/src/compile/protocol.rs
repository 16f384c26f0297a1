//! The first byte of the compiler process's answer; compiled code, or a reason, follows.

/// Compiled code follows.
pub(super) const CODE: u8 = b'+';
/// The component cannot be compiled; the reason follows.
pub(super) const UNUSABLE: u8 = b'-';
/// There was not enough memory.
pub(super) const MEMORY: u8 = b'm';
