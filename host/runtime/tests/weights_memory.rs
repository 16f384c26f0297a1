//! Files with false sizes need no more than a fixed amount of memory.
//!
//! One test in a process of its own, because it counts every allocation.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Cursor, Write};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use modelzoo_runtime::Weights;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The system's allocator, with a count of the allocated bytes.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is forwarded unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(
            NOW.fetch_add(layout.size(), Relaxed) + layout.size(),
            Relaxed,
        );
        // SAFETY: the caller's guarantee.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's guarantee.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Counted as if the old and the new memory never existed together, as for large blocks.
        NOW.fetch_sub(layout.size(), Relaxed);
        PEAK.fetch_max(NOW.fetch_add(size, Relaxed) + size, Relaxed);
        // SAFETY: the caller's guarantee.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MIB: usize = 1 << 20;

fn archive(pickle: &[u8], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let entries: [(&str, &[u8]); 2] = [("m/data.pkl", pickle), ("m/data/0", &[0; 24])];
    for (name, content) in entries {
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn pickle(parts: &[&[u8]]) -> Vec<u8> {
    archive(
        &[b"\x80\x04".as_slice(), &parts.concat()].concat(),
        CompressionMethod::Stored,
    )
}

/// A dictionary with one tensor of this shape over a storage of six floats.
fn tensor(elements: &[u8; 8]) -> Vec<u8> {
    pickle(&[
        b"}\x8c\x01wctorch._utils\n_rebuild_tensor\n(",
        b"(\x8c\x07storagectorch\nFloatStorage\n\x8c\x010\x8c\x03cpuK\x06tQ",
        b"K\0\x8a\x08",
        elements,
        b"\x85K\0\x85tRs.",
    ])
}

/// A safetensors file with this header.
fn safetensors(length: u64, header: &str) -> Vec<u8> {
    [&length.to_le_bytes(), header.as_bytes()].concat()
}

#[test]
fn weights_files_stay_within_the_memory_limit() {
    let million = |code: &[u8]| code.repeat(1_000_000);
    let empty = r#"{"a":{"dtype":"F32","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}"#;
    // The limit for each, without the file itself.
    let cases: Vec<(&str, Vec<u8>, usize)> = vec![
        ("a header of 16 EiB", safetensors(u64::MAX, "{}"), MIB),
        ("a header of 90 MB", safetensors(90_000_000, "{}"), MIB),
        (
            "a tensor of 32 EiB",
            safetensors(empty.len() as u64, empty),
            MIB,
        ),
        ("a text of 4 GiB", pickle(&[b"X\xff\xff\xff\xff."]), MIB),
        (
            "a text of 16 EiB",
            pickle(&[b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff."]),
            MIB,
        ),
        (
            "one element 2^62 times",
            tensor(&(1_i64 << 62).to_le_bytes()),
            MIB,
        ),
        (
            "one element 2^40 times",
            tensor(&(1_i64 << 40).to_le_bytes()),
            MIB,
        ),
        ("lists", pickle(&[&million(b"]"), b"."]), 128 * MIB),
        (
            "lists in a list",
            pickle(&[b"](", &million(b"]"), b"e."]),
            128 * MIB,
        ),
        (
            "remembered lists",
            pickle(&[&million(b"]\x94"), b"."]),
            128 * MIB,
        ),
        ("marks", pickle(&[&million(b"(((("), b"."]), 128 * MIB),
        ("nothing", pickle(&[&million(b"NNNN"), b"."]), 128 * MIB),
        (
            "nothing twice",
            pickle(&[b"(", &million(b"NNN"), b"t."]),
            128 * MIB,
        ),
        (
            "a pickle of 1 GiB of zeros",
            archive(&vec![0; 1 << 30], CompressionMethod::Deflated),
            4 * MIB,
        ),
    ];
    for (case, content, limit) in cases {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("w.pth"), &content).unwrap();
        let length = content.len();
        drop(content);
        let before = NOW.load(Relaxed);
        PEAK.store(before, Relaxed);
        let refused = Weights::open(dir.path(), &["w.pth".to_owned()]).is_err();
        let taken = PEAK.load(Relaxed) - before;
        assert!(refused, "{case}");
        assert!(
            taken <= limit + length,
            "{case}: {taken} bytes are more than {limit}"
        );
    }
}
