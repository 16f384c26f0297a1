//! The format of `torch.save` before PyTorch 1.6.
//!
//! Five pickles (a magic number, the version of the format, the properties of the machine, the
//! object, and the keys of its storages), and after them the storages in the order of the keys:
//! eight bytes of little-endian count, and the elements.

use std::collections::HashMap;

use super::checkpoint::{self, Place};
use super::entry::Entry;
use super::pickle::{Item, Pickle, Storage, Value};
use super::refusal::Refusal;

/// The magic number, as a little-endian integer.
const MAGIC: &[u8] = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
/// The only version of the format.
const VERSION: i64 = 1001;

/// Reads the checkpoint `file`.
///
/// # Errors
/// [`Refusal`].
pub(super) fn read(file: &[u8]) -> Result<Vec<(String, Entry)>, Refusal> {
    let mut rest = file;
    let magic = next(&mut rest)?;
    if !matches!(magic.root, Value::Long(number) if magic.span(number) == MAGIC) {
        return Err("is a pickle, but not one that `torch.save` wrote".into());
    }
    let version = next(&mut rest)?;
    if !matches!(version.root, Value::Int(VERSION)) {
        return Err("is a checkpoint of an unknown version".into());
    }
    check_machine(&next(&mut rest)?)?;
    let object = next(&mut rest)?;
    let keys = next(&mut rest)?;
    let places = places(&object, &keys, rest, file.len() - rest.len())?;
    checkpoint::tensors(&object, &places, file.len())
}

/// Reads the pickle at the start of `rest`, which then starts after it.
fn next<'a>(rest: &mut &'a [u8]) -> Result<Pickle<'a>, Refusal> {
    let pickle = Pickle::read(rest, false)?;
    *rest = rest.get(pickle.length..).unwrap_or_default();
    Ok(pickle)
}

/// Checks the properties of the machine: only the byte order matters.
fn check_machine(machine: &Pickle<'_>) -> Result<(), Refusal> {
    let Some(Item::Dict(properties)) = machine.item(machine.root) else {
        return Err("is a checkpoint that does not say which machine wrote it".into());
    };
    let is_order =
        |key: Value| matches!(key, Value::Text(key) if machine.text(key) == "little_endian");
    match properties.iter().rfind(|&&(key, _)| is_order(key)) {
        Some((_, Value::Bool(true))) => Ok(()),
        Some((_, Value::Bool(false))) => {
            Err("has its numbers in big-endian order, which is not read".into())
        }
        _ => Err("is a checkpoint that does not say in which order its bytes are".into()),
    }
}

/// The places of the storages in `data`, which starts at `start` in the file.
fn places(
    object: &Pickle<'_>,
    keys: &Pickle<'_>,
    data: &[u8],
    start: usize,
) -> Result<HashMap<String, Place>, Refusal> {
    let Some(Item::List(list)) = keys.item(keys.root) else {
        return Err("is a checkpoint without a list of storages".into());
    };
    let known: HashMap<&str, &Storage> = object
        .storages()
        .map(|storage| (object.text(storage.key), storage))
        .collect();
    let mut places = HashMap::new();
    let mut left = data;
    for &key in list {
        let Value::Text(key) = key else {
            return Err("is a checkpoint with a storage that has no name".into());
        };
        let key = keys.text(key);
        let storage = known
            .get(key)
            .ok_or("is a checkpoint with a storage that nothing uses")?;
        let cut_off = || Refusal::from("is a checkpoint that is cut off in its storages");
        let (count, rest) = left.split_first_chunk::<8>().ok_or_else(cut_off)?;
        if u64::from_le_bytes(*count) != storage.total {
            return Err("is a checkpoint with a storage that has two lengths".into());
        }
        let length = checkpoint::needed(storage)?;
        let from = start + (data.len() - rest.len());
        left = rest.get(length..).ok_or_else(cut_off)?;
        let place = Place {
            source: 0,
            bytes: from..from + length,
        };
        if places.insert(key.to_owned(), place).is_some() {
            return Err("is a checkpoint that lists a storage twice".into());
        }
    }
    match left.len() {
        0 => Ok(places),
        left => Err(format!("has {left} bytes that belong to no storage").into()),
    }
}
