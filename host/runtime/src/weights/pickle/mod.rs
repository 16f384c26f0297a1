//! Reading pickles without unpickling them.
//!
//! A pickle is a program for a small stack machine, and Python's machine imports and calls whatever
//! the program names. This one cannot: its values are plain data, the names that it knows are a
//! closed list (`globals.rs`), and "calling" one of them builds a description of a tensor. Anything
//! else is refused.
//!
//! The result is a list of items that refer to each other by number. It may be a graph with cycles,
//! so code that walks it must count steps. Nothing here recurses, and no number in a pickle decides
//! how much memory is allocated: each instruction adds at most one value, and limits keep the total
//! below about 128 MiB.
//!
//! A module of PyTorch (Ultralytics' checkpoints are pickled modules) is its attributes: its class is
//! one of a closed list of names (`modules.rs`), and names nothing that is imported or run.
//!
//! The instructions are those that `torch.save` and TorchScript write in the protocols 2 to 5, and
//! those of Python 2 for the same values.

mod build;
mod globals;
mod machine;
mod modules;

use super::entry::Type;
use super::refusal::Refusal;
use globals::Global;

/// The longest pickle, in bytes. Those of real checkpoints have about 100 bytes per tensor.
pub(super) const MAX_BYTES: usize = 32 << 20;
/// The most instructions, and elements moved by them. A real tensor needs about 40.
const MAX_STEPS: usize = 4_000_000;
/// The most items (lists, tensors, …), and the most remembered values.
const MAX_ITEMS: usize = 500_000;
/// The longest name in a `GLOBAL`, in bytes.
const MAX_GLOBAL: usize = 1024;
/// The longest integer, in bytes. The magic number of old checkpoints has 10.
const MAX_INTEGER: usize = 32;
/// The most dimensions of a tensor.
const MAX_RANK: usize = 16;

/// A piece of the pickle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: u32,
    length: u32,
}

/// A value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    /// A value without information about tensors: `None`, bytes, devices.
    Opaque,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// An integer of more than eight bytes, little-endian.
    Long(Span),
    /// Valid UTF-8.
    Text(Span),
    Global(Global),
    /// An index into the items.
    Item(u32),
}

/// A value that has parts.
#[derive(Debug)]
pub(super) enum Item {
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// An object of a TorchScript class: its state, usually a dictionary of attributes.
    Object(Option<Value>),
    /// An object of a class of modules ([`modules`]): its state, a dictionary of attributes.
    Module(Option<Value>),
    Storage(Box<Storage>),
    Tensor(Box<View>),
}

/// A run of elements elsewhere in the file, as the pickle describes it, unchecked.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    /// The name of the whole run.
    pub(super) key: Span,
    /// None: plain bytes.
    pub(super) dtype: Option<Type>,
    /// The whole run's length, in elements.
    pub(super) total: u64,
    /// The part that this storage is, in elements; the whole, except in very old files.
    pub(super) start: u64,
    pub(super) length: u64,
}

/// A tensor as the pickle describes it, unchecked.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) storage: Storage,
    /// The type of the elements, if it is not the storage's.
    pub(super) dtype: Option<Type>,
    /// The first element, from the start of the storage.
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    /// As many as the shape has.
    pub(super) strides: Vec<u64>,
}

/// The contents of a pickle.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    bytes: &'a [u8],
    items: Vec<Item>,
    /// The value of the pickle.
    pub(super) root: Value,
    /// The pickle's own length; there may be more after it.
    pub(super) length: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle at the start of `bytes`. `script` is whether it belongs to a
    /// TorchScript archive, which may use its own classes.
    ///
    /// # Errors
    /// [`Refusal::Unsafe`] for a name that is not in the list, [`Refusal::Malformed`] for
    /// everything else.
    pub(super) fn read(bytes: &'a [u8], script: bool) -> Result<Self, Refusal> {
        let bytes = bytes.get(..MAX_BYTES).unwrap_or(bytes);
        machine::Machine::new(bytes, script).run()
    }

    /// The item that a value is, if it is one.
    pub(super) fn item(&self, value: Value) -> Option<&Item> {
        match value {
            Value::Item(index) => self.items.get(index as usize),
            _ => None,
        }
    }

    /// All storages that the pickle mentions.
    pub(super) fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.items.iter().filter_map(|item| match item {
            Item::Storage(storage) => Some(&**storage),
            _ => None,
        })
    }

    /// The states of all modules that the pickle has.
    pub(super) fn modules(&self) -> impl Iterator<Item = Value> {
        self.items.iter().filter_map(|item| match item {
            Item::Module(state) => *state,
            _ => None,
        })
    }

    /// A piece of the pickle.
    pub(super) fn span(&self, span: Span) -> &'a [u8] {
        slice(self.bytes, span)
    }

    /// A text of the pickle.
    pub(super) fn text(&self, span: Span) -> &'a str {
        // Checked when it was read.
        std::str::from_utf8(self.span(span)).unwrap_or_default()
    }
}

fn slice(bytes: &[u8], span: Span) -> &[u8] {
    let start = span.start as usize;
    bytes
        .get(start..start + span.length as usize)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Item, Value};

    #[test]
    fn pickle_values_are_small() {
        // A pickle can create one value per byte, up to the limits.
        assert!(size_of::<Value>() <= 16);
        assert!(size_of::<Item>() <= 32);
    }
}
