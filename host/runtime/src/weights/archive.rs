//! Checkpoints that are zip archives: `torch.save` since PyTorch 1.6, and TorchScript.
//!
//! All entries lie in one directory: `data.pkl` is the pickle, `data/<key>` are the storages,
//! `byteorder`, if present, must be `little`. A TorchScript archive also has `constants.pkl` and
//! `code/`, which are not read. Storages are uncompressed, and used in place in the mapped file;
//! those that another program has compressed are unpacked, within a limit.
//!
//! Checksums are ignored: PyTorch can omit them, and the digest of the whole file protects it.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::checkpoint::{self, Place};
use super::configuration;
use super::entry::Entry;
use super::pickle::{self, Pickle};
use super::refusal::Refusal;

/// The most entries, and the most bytes of the central directory.
const MAX_ENTRIES: u64 = 200_000;
const MAX_DIRECTORY: u64 = 32 << 20;
/// The most bytes of unpacked storages, as a multiple of the file's length.
const MAX_RATIO: u64 = 8;

/// What a file has.
pub(super) struct Contents {
    /// The tensors.
    pub(super) tensors: Vec<(String, Entry)>,
    /// The parts of the file that had to be unpacked: the sources 1, 2, …
    pub(super) unpacked: Vec<Vec<u8>>,
    /// What a pickled module says about itself.
    pub(super) configuration: Option<Value>,
}

/// Reads the zip archive `file`; a panic of the zip parser is an error.
///
/// # Errors
/// [`Refusal`].
pub(super) fn read(file: &[u8]) -> Result<Contents, Refusal> {
    catch_unwind(AssertUnwindSafe(|| read_within(file)))
        .unwrap_or_else(|_| Err("is a zip archive that cannot be read".into()))
}

fn read_within(file: &[u8]) -> Result<Contents, Refusal> {
    let mut archive = Archive::open(file)?;
    let script = archive.places.contains_key("constants.pkl");
    if let Some(order) = archive.read_small("byteorder", 16)? {
        match order.trim_ascii() {
            b"little" => {}
            b"big" => return Err("has its numbers in big-endian order, which is not read".into()),
            _ => return Err("has its numbers in an unknown order".into()),
        }
    }
    let bytes = archive.read_small("data.pkl", pickle::MAX_BYTES)?;
    let bytes = bytes.ok_or("is a zip archive, but holds no checkpoint: it has no `data.pkl`")?;
    let pickle = Pickle::read(&bytes, script)?;
    if pickle.length != bytes.len() {
        return Err("has something after its pickle".into());
    }
    let mut places = HashMap::new();
    for storage in pickle.storages() {
        let key = pickle.text(storage.key);
        if !places.contains_key(key)
            && let Some(place) = archive.storage(key)?
        {
            places.insert(key.to_owned(), place);
        }
    }
    let unpacked: usize = archive.unpacked.iter().map(Vec::len).sum();
    let tensors = checkpoint::tensors(&pickle, &places, file.len() + unpacked)?;
    Ok(Contents {
        tensors,
        unpacked: archive.unpacked,
        configuration: configuration::read(&pickle)?,
    })
}

/// The place of an entry in the file.
#[derive(Clone, Debug)]
struct Packed {
    bytes: std::ops::Range<usize>,
    size: u64,
    method: CompressionMethod,
}

struct Archive<'a> {
    file: &'a [u8],
    /// The entries by name, without their common directory.
    places: HashMap<String, Packed>,
    unpacked: Vec<Vec<u8>>,
    /// Bytes that may still be unpacked.
    left: u64,
}

impl<'a> Archive<'a> {
    fn open(file: &'a [u8]) -> Result<Self, Refusal> {
        check_end(file)?;
        let config = Config {
            archive_offset: ArchiveOffset::Known(0),
        };
        let mut zip = ZipArchive::with_config(config, Cursor::new(file)).map_err(refused)?;
        // Checks that every local header agrees with the directory, that no entries overlap, and
        // that names are unique.
        zip.validate_header_consistency().map_err(refused)?;
        let mut root = None;
        let mut places = HashMap::new();
        for index in 0..zip.len() {
            let entry = zip.by_index_raw(index).map_err(refused)?;
            let name = entry.name().map_err(refused)?;
            let (top, rest) = name
                .split_once('/')
                .ok_or("is a zip archive, but no checkpoint: its entries are in no directory")?;
            if root.get_or_insert_with(|| top.to_owned()) != top {
                return Err(
                    "is a zip archive, but no checkpoint: it has several directories".into(),
                );
            }
            if entry.encrypted() {
                return Err("is an encrypted zip archive".into());
            }
            let bytes = entry
                .data_start()
                .and_then(|start| Some(start..start.checked_add(entry.compressed_size())?))
                .filter(|bytes| bytes.end <= file.len() as u64)
                .ok_or("is a zip archive with an entry outside of it")?;
            let packed = Packed {
                bytes: bytes.start as usize..bytes.end as usize,
                size: entry.size(),
                method: entry.compression(),
            };
            if packed.method == CompressionMethod::Stored
                && packed.bytes.len() as u64 != packed.size
            {
                return Err("is a zip archive with an entry that has two lengths".into());
            }
            places.insert(rest.to_owned(), packed);
        }
        Ok(Self {
            file,
            places,
            unpacked: Vec::new(),
            left: (file.len() as u64).saturating_mul(MAX_RATIO),
        })
    }

    /// The contents of an entry of at most `limit` bytes; none if there is no such entry.
    fn read_small(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(packed) = self.places.get(name) else {
            return Ok(None);
        };
        if packed.size > limit as u64 {
            return Err(format!("has a `{name}` of more than {limit} bytes").into());
        }
        self.unpack(packed).map(Some)
    }

    /// The place of a storage, unpacked if it is compressed; none if there is no such storage.
    fn storage(&mut self, key: &str) -> Result<Option<Place>, Refusal> {
        let Some(packed) = self.places.get(&format!("data/{key}")) else {
            return Ok(None);
        };
        if packed.method == CompressionMethod::Stored {
            return Ok(Some(Place {
                source: 0,
                bytes: packed.bytes.clone(),
            }));
        }
        let left = self.left.checked_sub(packed.size);
        self.left = left.ok_or_else(|| {
            format!("has compressed tensors of more than {MAX_RATIO} times its own length")
        })?;
        let bytes = self.unpack(packed)?;
        let length = bytes.len();
        self.unpacked.push(bytes);
        Ok(Some(Place {
            source: self.unpacked.len(),
            bytes: 0..length,
        }))
    }

    /// The contents of an entry, of exactly the size that the directory states. The caller has
    /// limited the size.
    fn unpack(&self, packed: &Packed) -> Result<Vec<u8>, Refusal> {
        let bytes = self.file.get(packed.bytes.clone()).unwrap_or_default();
        let mut unpacked = Vec::new();
        match packed.method {
            CompressionMethod::Stored => unpacked.extend_from_slice(bytes),
            CompressionMethod::Deflated => {
                flate2::read::DeflateDecoder::new(bytes)
                    .take(packed.size.saturating_add(1))
                    .read_to_end(&mut unpacked)
                    .map_err(|error| format!("has a malformed compressed entry: {error}"))?;
            }
            method => {
                return Err(
                    format!("has an entry compressed by {method}, which is not read").into(),
                );
            }
        }
        if unpacked.len() as u64 != packed.size {
            return Err("has an entry that is not as long as the directory says".into());
        }
        Ok(unpacked)
    }
}

/// Checks the end of the archive before the zip crate reads its directory into memory: the end
/// record is at the end of the file (PyTorch writes no comment), and the directory is right before
/// it and not too long.
fn check_end(file: &[u8]) -> Result<(), Refusal> {
    let wrong = || Refusal::from("is a zip archive that is cut off, or that something follows");
    let record = file.last_chunk::<22>().ok_or_else(wrong)?;
    if !record.starts_with(b"PK\x05\x06") {
        return Err(wrong());
    }
    let mut entries = u64::from(u16::from_le_bytes(field(record, 10)));
    let mut size = u64::from(u32::from_le_bytes(field(record, 12)));
    let mut start = u64::from(u32::from_le_bytes(field(record, 16)));
    let before = file.get(..file.len() - 22).unwrap_or_default();
    let mut end = before.len() as u64;
    if let Some(locator) = before.last_chunk::<20>()
        && locator.starts_with(b"PK\x06\x07")
    {
        // The directory is before the ZIP64 record of 56 bytes.
        let before = before.get(..before.len() - 20).unwrap_or_default();
        let record = before.last_chunk::<56>().ok_or_else(wrong)?;
        end = before.len() as u64 - 56;
        let here = u64::from_le_bytes(field(locator, 8)) == end;
        if !here || !record.starts_with(b"PK\x06\x06") {
            return Err("is a zip archive with a long end record elsewhere".into());
        }
        // A field of the short record is either equal or all ones.
        for (short, ones, long) in [
            (&mut entries, 0xffff, field(record, 32)),
            (&mut size, 0xffff_ffff, field(record, 40)),
            (&mut start, 0xffff_ffff, field(record, 48)),
        ] {
            let long = u64::from_le_bytes(long);
            if *short != ones && *short != long {
                return Err("is a zip archive with two end records that differ".into());
            }
            *short = long;
        }
    }
    if start.checked_add(size) != Some(end) {
        return Err("is a zip archive whose directory does not lie before its end record".into());
    }
    if entries > MAX_ENTRIES || size > MAX_DIRECTORY {
        return Err(
            format!("is a zip archive of {entries} entries, listed in {size} bytes").into(),
        );
    }
    Ok(())
}

/// The bytes of a field; zeros outside of the record.
fn field<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    let field = record.get(at..).and_then(|rest| rest.first_chunk());
    field.copied().unwrap_or([0; N])
}

/// The refusal of an error of the zip crate.
fn refused(error: ZipError) -> Refusal {
    format!("is a malformed zip archive: {error}").into()
}
