//! The named tensors of a PyTorch checkpoint, from its pickle.
//!
//! The rules:
//! - A pickled module (Ultralytics' checkpoints), alone or under one of the keys [`MODULES`] of a
//!   dictionary, has its parameters, its buffers and those of its parts, named as in its state dict:
//!   `model.0.conv.weight`.
//! - A TorchScript archive has the tensor attributes of its modules, named as in the module's state
//!   dict: `visual.conv1.weight`.
//! - A dictionary that has a dictionary under one of the keys [`STATES`] stands for that one,
//!   whatever is beside it: the state of an optimizer, an epoch, or other tensors.
//! - Any other dictionary that has a tensor among its values is a state dict.
//! - Any other dictionary with one of the keys [`WRAPPERS`] stands for the dictionary under the first
//!   such key.
//! - The names of nested dictionaries and lists are joined with dots. Values that are not tensors (an
//!   epoch, a learning rate) are ignored.

use std::collections::HashMap;
use std::ops::Range;

use super::entry::{self, Entry};
use super::pickle::{Item, Pickle, Storage, Value, View};
use super::refusal::Refusal;

/// The keys that only state dicts have.
const STATES: &[&str] = &["state_dict", "model_state_dict"];
/// The keys under which checkpoints with other values have their state dict, and which a network
/// may have as names of its parts.
const WRAPPERS: &[&str] = &[
    "model_state",
    "model",
    "module",
    "net",
    "params_ema",
    "params",
    "weights",
];
/// The keys under which a dictionary has a pickled module, the one that is used first.
const MODULES: &[&str] = &["ema", "model"];
/// The attributes of a pickled module in which its tensors and its parts are.
const PARTS: &[&str] = &["_parameters", "_buffers", "_modules"];
/// The greatest depth of nested dictionaries and modules.
const MAX_DEPTH: usize = 64;
/// The most values, and the most bytes of joined names.
const MAX_VALUES: usize = 1_000_000;
const MAX_NAMES: usize = 32 << 20;
/// The longest name of a tensor, in bytes.
const MAX_NAME: usize = 1024;
/// The most bytes that tensors may use in total, as a multiple of those of the file.
const MAX_SHARING: usize = 16;

/// The bytes of a storage: the source of the file, and the place in it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) source: usize,
    pub(super) bytes: Range<usize>,
}

/// The bytes that a storage needs according to the pickle.
pub(super) fn needed(storage: &Storage) -> Result<usize, Refusal> {
    let size = storage.dtype.map_or(1, |dtype| dtype.size());
    let total = usize::try_from(storage.total).ok();
    total
        .and_then(|total| total.checked_mul(size))
        .ok_or_else(|| "holds a storage that is too large".into())
}

/// The tensors of a checkpoint. `places` has the storages by key; `available` is the number of bytes
/// of the file and of its unpacked parts.
pub(super) fn tensors(
    pickle: &Pickle<'_>,
    places: &HashMap<String, Place>,
    available: usize,
) -> Result<Vec<(String, Entry)>, Refusal> {
    let mut tensors = Vec::new();
    let mut used = 0_usize;
    for (name, view) in named(pickle)? {
        let place = places.get(pickle.text(view.storage.key));
        let entry = place
            .ok_or_else(|| Refusal::from("lies in a storage that is missing"))
            .and_then(|place| entry_of(view, place));
        let entry = entry.map_err(|refusal| match refusal {
            Refusal::Malformed(reason) => Refusal::Malformed(format!("tensor {name:?} {reason}")),
            refusal @ Refusal::Unsafe(_) => refusal,
        })?;
        used = used.saturating_add(entry.bytes.len());
        if used > available.saturating_mul(MAX_SHARING) {
            return Err(format!(
                "has tensors that use its bytes more than {MAX_SHARING} times over"
            )
            .into());
        }
        tensors.push((name, entry));
    }
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let twice = tensors.windows(2).find_map(|pair| match pair {
        [(a, _), (b, _)] if a == b => Some(a),
        _ => None,
    });
    match twice {
        Some(name) => Err(format!("has the tensor {name:?} twice").into()),
        None if tensors.is_empty() => Err("holds no named tensors".into()),
        None => Ok(tensors),
    }
}

/// All tensors of the pickle with their names, in any order.
fn named<'p>(pickle: &'p Pickle<'_>) -> Result<Vec<(String, &'p View)>, Refusal> {
    let root = unwrapped(pickle)?;
    let mut found = Vec::new();
    let mut left = vec![(String::new(), root, 0)];
    let (mut values, mut names) = (0, 0);
    while let Some((name, value, depth)) = left.pop() {
        if depth > MAX_DEPTH {
            return Err(format!("is nested more than {MAX_DEPTH} deep").into());
        }
        let mut add = |key: &str, value: Value| {
            values += 1;
            // Numbers and texts are ignored, and need no name.
            if !matches!(value, Value::Item(_)) && values <= MAX_VALUES {
                return Ok(());
            }
            let full = if depth == 0 {
                key.to_owned()
            } else {
                format!("{name}.{key}")
            };
            names += full.len();
            if full.len() > MAX_NAME {
                return Err(format!("has a name of more than {MAX_NAME} bytes"));
            }
            if values > MAX_VALUES || names > MAX_NAMES {
                return Err(format!("holds more than {MAX_VALUES} values"));
            }
            left.push((full, value, depth + 1));
            Ok(())
        };
        match pickle.item(value) {
            Some(Item::Tensor(view)) => found.push((name, &**view)),
            Some(Item::Dict(pairs)) => {
                for &(key, value) in pairs {
                    match key {
                        Value::Text(key) => add(pickle.text(key), value)?,
                        Value::Int(key) => add(&key.to_string(), value)?,
                        _ => return Err("has a key that is neither a text nor a number".into()),
                    }
                }
            }
            Some(Item::List(list) | Item::Tuple(list)) => {
                for (index, &value) in list.iter().enumerate() {
                    add(&index.to_string(), value)?;
                }
            }
            Some(Item::Object(Some(state))) => {
                for &(key, value) in attributes(pickle, *state) {
                    if let Value::Text(key) = key
                        && is_part(pickle, value)
                    {
                        add(pickle.text(key), value)?;
                    }
                }
            }
            Some(Item::Module(Some(state))) => {
                for &(key, value) in attributes(pickle, *state) {
                    let Value::Text(key) = key else { continue };
                    if !PARTS.contains(&pickle.text(key)) {
                        continue;
                    }
                    for &(key, value) in attributes(pickle, value) {
                        if let Value::Text(key) = key
                            && is_part(pickle, value)
                        {
                            add(pickle.text(key), value)?;
                        }
                    }
                }
            }
            Some(Item::Object(None) | Item::Module(None) | Item::Storage(_)) | None => {}
        }
    }
    Ok(found)
}

/// A module's attributes that are parts of its state dict: tensors and other modules.
fn is_part(pickle: &Pickle<'_>, value: Value) -> bool {
    matches!(
        pickle.item(value),
        Some(Item::Tensor(_) | Item::Object(_) | Item::Module(_))
    )
}

/// The attributes that are an object's state.
pub(super) fn attributes<'p>(pickle: &'p Pickle<'_>, state: Value) -> &'p [(Value, Value)] {
    match pickle.item(state) {
        Some(Item::Dict(attributes)) => attributes,
        _ => &[],
    }
}

/// The dictionary or the module that has the tensors.
pub(super) fn unwrapped(pickle: &Pickle<'_>) -> Result<Value, Refusal> {
    let mut root = pickle.root;
    for _ in 0..MAX_DEPTH {
        let pairs = match pickle.item(root) {
            Some(Item::Dict(pairs)) => pairs,
            Some(Item::Object(_) | Item::Module(_)) => return Ok(root),
            Some(Item::Tensor(_)) => {
                return Err("holds a single tensor without a name".into());
            }
            _ => {
                return Err(
                    "holds neither a dictionary of tensors nor a TorchScript module".into(),
                );
            }
        };
        let is_dict = |value: &Value| matches!(pickle.item(*value), Some(Item::Dict(_)));
        let is_module = |value: &Value| matches!(pickle.item(*value), Some(Item::Module(_)));
        let of = |key: &&str| attribute(pickle, pairs, key);
        if let Some(module) = MODULES.iter().find_map(|key| of(key).filter(is_module)) {
            return Ok(module);
        }
        let under = |wrapper: &&str| of(wrapper).filter(is_dict);
        let is_tensor =
            |&(_, value): &(Value, Value)| matches!(pickle.item(value), Some(Item::Tensor(_)));
        let inner = STATES.iter().find_map(under);
        let inner = inner.or_else(|| match pairs.iter().any(is_tensor) {
            true => None,
            false => WRAPPERS.iter().find_map(under),
        });
        match inner {
            Some(inner) => root = inner,
            None => return Ok(root),
        }
    }
    Err(format!("is nested more than {MAX_DEPTH} deep").into())
}

/// The value of a key; as in Python, the last one of several.
pub(super) fn attribute(
    pickle: &Pickle<'_>,
    pairs: &[(Value, Value)],
    wanted: &str,
) -> Option<Value> {
    let is = |key: Value| matches!(key, Value::Text(key) if pickle.text(key) == wanted);
    let found = pairs.iter().rfind(|&&(key, _)| is(key));
    found.map(|&(_, value)| value)
}

/// Checks a tensor against the bytes of its storage.
fn entry_of(view: &View, place: &Place) -> Result<Entry, Refusal> {
    let storage = &view.storage;
    let needed = needed(storage)?;
    if place.bytes.len() != needed {
        return Err(format!(
            "lies in a storage of {} bytes that is said to have {needed}",
            place.bytes.len()
        )
        .into());
    }
    let dtype = view.dtype.or(storage.dtype);
    let dtype = dtype.ok_or("lies in a storage without a type")?;
    let unit = storage.dtype.map_or(1, |dtype| dtype.size());
    let part = (number(storage.start)?, number(storage.length)?);
    let bytes = place.bytes.start + part.0 * unit..place.bytes.start + (part.0 + part.1) * unit;
    let shape = numbers(&view.shape)?;
    let strides = numbers(&view.strides)?;
    let count = entry::elements(&shape).ok_or("has dimensions whose product is too large")?;
    let held = bytes.len() / dtype.size();
    let offset = number(view.offset)?;
    let span = span(&shape, &strides, count).filter(|span| {
        let end = offset.checked_add(*span);
        end.is_some_and(|end| end <= held)
    });
    let span = span.ok_or("lies outside of its storage")?;
    if count > held {
        return Err("has more elements than its storage".into());
    }
    let start = bytes.start + offset * dtype.size();
    Ok(Entry {
        dtype,
        strides: (!is_contiguous(&shape, &strides, count)).then_some(strides),
        shape,
        source: place.source,
        bytes: start..start + span * dtype.size(),
    })
}

/// The number of elements from the first to the last; none if it overflows.
fn span(shape: &[usize], strides: &[usize], count: usize) -> Option<usize> {
    if count == 0 {
        return Some(0);
    }
    let mut dims = shape.iter().zip(strides);
    dims.try_fold(1_usize, |span, (&dim, &stride)| {
        span.checked_add(dim.saturating_sub(1).checked_mul(stride)?)
    })
}

/// Whether the elements are contiguous.
fn is_contiguous(shape: &[usize], strides: &[usize], count: usize) -> bool {
    let mut expected = 1_usize;
    count == 0
        || shape.iter().zip(strides).rev().all(|(&dim, &stride)| {
            let fits = dim == 1 || stride == expected;
            expected = expected.saturating_mul(dim);
            fits
        })
}

fn number(value: u64) -> Result<usize, Refusal> {
    usize::try_from(value).map_err(|_| "has a size or offset that is too large".into())
}

fn numbers(values: &[u64]) -> Result<Vec<usize>, Refusal> {
    values.iter().map(|&value| number(value)).collect()
}
