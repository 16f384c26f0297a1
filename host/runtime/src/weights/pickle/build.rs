//! The values that the known names build: descriptions of tensors and their storages.

use super::globals::Global;
use super::machine::Machine;
use super::{Item, MAX_RANK, Storage, Value, View};
use crate::weights::refusal::Refusal;

impl Machine<'_> {
    /// `REDUCE`: the known name `global` with its arguments.
    pub(super) fn reduce(&mut self, global: Global, arguments: Value) -> Result<(), Refusal> {
        let Some(Item::Tuple(arguments)) = self.item(arguments) else {
            return Err(
                "holds a pickle that calls with something that is not a tuple of arguments".into(),
            );
        };
        match (global, arguments.as_slice()) {
            (Global::RebuildTensor, &[storage, offset, shape, strides])
            | (Global::RebuildTensor, &[storage, offset, shape, strides, _, _])
            | (Global::RebuildTensor, &[storage, offset, shape, strides, _, _, _]) => {
                let view = self.view(storage, offset, shape, strides)?;
                self.push_item(Item::Tensor(Box::new(view)))
            }
            (
                Global::RebuildTyped,
                &[
                    storage,
                    offset,
                    shape,
                    strides,
                    _,
                    _,
                    Value::Global(Global::Dtype(dtype)),
                ]
                | &[
                    storage,
                    offset,
                    shape,
                    strides,
                    _,
                    _,
                    Value::Global(Global::Dtype(dtype)),
                    _,
                ],
            ) => {
                let mut view = self.view(storage, offset, shape, strides)?;
                view.dtype = Some(dtype);
                self.push_item(Item::Tensor(Box::new(view)))
            }
            (Global::RebuildParameter, &[tensor, _, _] | &[tensor, _, _, _]) => {
                let Some(Item::Tensor(_)) = self.item(tensor) else {
                    return Err("holds a parameter that is not a tensor".into());
                };
                self.push(tensor);
                Ok(())
            }
            (Global::OrderedDict, []) => self.push_item(Item::Dict(Vec::new())),
            (Global::OrderedDict, &[items]) => {
                let pairs = self.ordered(items)?;
                self.push_item(Item::Dict(pairs))
            }
            (Global::Size | Global::Same, &[value]) | (Global::Same, &[value, _]) => {
                self.push(value);
                Ok(())
            }
            (Global::Device, _) => {
                self.push(Value::Opaque);
                Ok(())
            }
            _ => Err("holds a pickle that calls with the wrong arguments".into()),
        }
    }

    /// `BINPERSID`: a storage, `("storage", type, key, location, elements)`, in old files with a
    /// sixth value: none, or `(key, start, length)` for a part of the storage.
    pub(super) fn storage(&mut self, id: Value) -> Result<(), Refusal> {
        let wrong = || Refusal::from("holds a pickle with a malformed reference to a storage");
        let Some(Item::Tuple(id)) = self.item(id) else {
            return Err(wrong());
        };
        let (
            &[
                Value::Text(kind),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                Value::Text(_),
                total,
            ],
            part,
        ) = id.split_first_chunk::<5>().ok_or_else(wrong)?
        else {
            return Err(wrong());
        };
        if self.slice(kind) != b"storage" {
            return Err(wrong());
        }
        let total = natural(total)?;
        let (start, length) = match part {
            [] | [Value::Opaque] => (0, total),
            &[part] => match self.item(part) {
                Some(Item::Tuple(part)) => match part.as_slice() {
                    &[Value::Text(_), start, length] => (natural(start)?, natural(length)?),
                    _ => return Err(wrong()),
                },
                _ => return Err(wrong()),
            },
            _ => return Err(wrong()),
        };
        if start.checked_add(length).is_none_or(|end| end > total) {
            return Err("holds a partial storage that reaches beyond the whole".into());
        }
        self.push_item(Item::Storage(Box::new(Storage {
            key,
            dtype,
            total,
            start,
            length,
        })))
    }

    fn view(
        &self,
        storage: Value,
        offset: Value,
        shape: Value,
        strides: Value,
    ) -> Result<View, Refusal> {
        let Some(Item::Storage(storage)) = self.item(storage) else {
            return Err("holds a tensor without a storage".into());
        };
        let view = View {
            storage: (**storage).clone(),
            dtype: None,
            offset: natural(offset)?,
            shape: self.naturals(shape)?,
            strides: self.naturals(strides)?,
        };
        if view.shape.len() != view.strides.len() {
            return Err("holds a tensor whose shape and strides differ in length".into());
        }
        Ok(view)
    }

    /// A tuple (or, in old files, a list) of natural numbers.
    fn naturals(&self, value: Value) -> Result<Vec<u64>, Refusal> {
        match self.item(value) {
            Some(Item::Tuple(values) | Item::List(values)) if values.len() <= MAX_RANK => {
                values.iter().map(|&value| natural(value)).collect()
            }
            Some(Item::Tuple(_) | Item::List(_)) => {
                Err(format!("holds a tensor of more than {MAX_RANK} dimensions").into())
            }
            _ => Err("holds a tensor without a shape or strides".into()),
        }
    }

    /// The argument of an `OrderedDict` as Python 2 wrote it: a list of pairs.
    fn ordered(&mut self, items: Value) -> Result<Vec<(Value, Value)>, Refusal> {
        let wrong = || Refusal::from("holds an ordered dictionary that is not a list of pairs");
        let Some(Item::List(items)) = self.item(items) else {
            return Err(wrong());
        };
        let count = items.len();
        let pair = |&item: &Value| match self.item(item) {
            Some(Item::List(pair) | Item::Tuple(pair)) => match pair.as_slice() {
                &[key, value] => Some((key, value)),
                _ => None,
            },
            _ => None,
        };
        let pairs: Option<Vec<_>> = items.iter().map(pair).collect();
        // The same list may be an argument many times.
        self.spend(count)?;
        pairs.ok_or_else(wrong)
    }
}

fn natural(value: Value) -> Result<u64, Refusal> {
    match value {
        Value::Int(value) => u64::try_from(value)
            .map_err(|_| format!("holds the size or offset {value} of a tensor").into()),
        _ => Err("holds a size or offset of a tensor that is not a number".into()),
    }
}
