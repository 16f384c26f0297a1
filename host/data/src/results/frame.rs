//! Frames: a stretch of bytes with its length and checksums, so that a flipped bit is found
//! and costs one frame.
//!
//! | bytes | |
//! |---|---|
//! | 4 | length of the payload, little-endian as all numbers |
//! | 4 | CRC-32 of the payload |
//! | 4 | CRC-32 of the eight bytes before |
//! | length | the payload |

use std::io::{self, Read};

use flate2::Crc;

/// Bytes before a payload.
pub(crate) const HEAD: usize = 12;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A payload, as it was written.
    Whole,
    /// A payload that was changed since it was written; the next frame can be read.
    Damaged,
    /// No frame, or an incomplete one; nothing after it can be read.
    Torn,
}

/// Puts a frame into `frame`, with the payload that `fill` appends.
pub(crate) fn write(frame: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    frame.clear();
    frame.resize(HEAD, 0);
    fill(frame);
    let Some((head, payload)) = frame.split_first_chunk_mut::<HEAD>() else {
        return;
    };
    *head = header(payload.len() as u32, crc(payload));
}

/// Reads a frame; `payload` is its payload afterwards.
pub(crate) fn read(source: &mut impl Read, payload: &mut Vec<u8>) -> io::Result<Frame> {
    payload.clear();
    source.take(HEAD as u64).read_to_end(payload)?;
    let &[a, b, c, d, e, f, g, h, ..] = payload.as_slice() else {
        return Ok(Frame::Torn);
    };
    let length = u32::from_le_bytes([a, b, c, d]);
    let sum = u32::from_le_bytes([e, f, g, h]);
    if payload.as_slice() != header(length, sum) {
        return Ok(Frame::Torn);
    }
    payload.clear();
    source.take(u64::from(length)).read_to_end(payload)?;
    Ok(if payload.len() != length as usize {
        Frame::Torn
    } else if crc(payload) != sum {
        Frame::Damaged
    } else {
        Frame::Whole
    })
}

fn header(length: u32, sum: u32) -> [u8; HEAD] {
    let [a, b, c, d] = length.to_le_bytes();
    let [e, f, g, h] = sum.to_le_bytes();
    let [i, j, k, l] = crc(&[a, b, c, d, e, f, g, h]).to_le_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use super::*;

    fn frames() -> Vec<u8> {
        let mut one = Vec::new();
        write(&mut one, |payload| payload.extend_from_slice(b"first"));
        let mut two = Vec::new();
        write(&mut two, |_| {});
        [one, two].concat()
    }

    fn all(mut bytes: &[u8]) -> Vec<(Frame, Vec<u8>)> {
        let mut read_back = Vec::new();
        loop {
            let mut payload = Vec::new();
            let frame = read(&mut bytes, &mut payload).unwrap();
            if frame == Frame::Torn {
                return read_back;
            }
            read_back.push((frame, payload));
        }
    }

    #[test]
    fn frames_read_back_as_written() {
        let want = [
            (Frame::Whole, b"first".to_vec()),
            (Frame::Whole, Vec::new()),
        ];
        assert_eq!(all(&frames()), want);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let good = frames();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            *bad.get_mut(bit / 8).unwrap() ^= 1 << (bit % 8);
            let wrong = |(frame, payload): &(Frame, Vec<u8>)| {
                *frame == Frame::Whole && !(payload == b"first" || payload.is_empty())
            };
            let read_back = all(&bad);
            assert!(!read_back.iter().any(wrong), "bit {bit}: {read_back:?}");
            let whole = read_back.iter().filter(|(frame, _)| *frame == Frame::Whole);
            assert!(whole.count() < 2, "bit {bit}");
        }
        for cut in 0..good.len() {
            let whole = usize::from(cut >= HEAD + 5);
            assert_eq!(all(good.get(..cut).unwrap()).len(), whole, "cut {cut}");
        }
    }
}
