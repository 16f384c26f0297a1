//! The stack machine.

use std::collections::HashMap;

use super::globals::{self, Global};
use super::{Item, MAX_GLOBAL, MAX_INTEGER, MAX_ITEMS, MAX_STEPS, Pickle, Span, Value};
use crate::weights::refusal::Refusal;

/// A pickle that is being read.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether classes of `__torch__` are allowed.
    script: bool,
    stack: Vec<Value>,
    /// The heights of the stack at each `MARK`.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    items: Vec<Item>,
    /// The remaining steps.
    steps: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8], script: bool) -> Self {
        Self {
            bytes,
            at: 0,
            script,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            items: Vec::new(),
            steps: MAX_STEPS,
        }
    }

    pub(super) fn run(mut self) -> Result<Pickle<'a>, Refusal> {
        loop {
            self.spend(1)?;
            let [code] = self.take()?;
            match code {
                b'.' => break,
                b'\x80' => self.protocol()?,
                // The length of a frame, which has no meaning here.
                b'\x95' => drop(self.take::<8>()?),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_to_mark()?),
                b'2' => {
                    let top = self.pop()?;
                    self.stack.extend([top, top]);
                }
                b'q' | b'r' | b'\x94' | b'h' | b'j' => self.remember(code)?,
                b'c' | b'\x93' | b'i' | b'\x82' | b'\x83' | b'\x84' => self.name(code)?,
                b'R' | b'\x81' | b'b' | b'Q' => self.call(code)?,
                b')' | b'\x85' | b'\x86' | b'\x87' | b't' | b']' | b'l' | b'}' | b'd' | b'a'
                | b'e' | b's' | b'u' => self.collect(code)?,
                _ => {
                    let value = self.scalar(code)?;
                    self.stack.push(value);
                }
            }
        }
        match *self.stack {
            [root] if self.marks.is_empty() => Ok(Pickle {
                bytes: self.bytes,
                items: self.items,
                root,
                length: self.at,
            }),
            _ => Err("holds a pickle that ends in the middle of a value".into()),
        }
    }

    /// Counts steps against the limit.
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Refusal> {
        let left = self.steps.checked_sub(steps);
        self.steps =
            left.ok_or_else(|| format!("holds a pickle of more than {MAX_STEPS} steps"))?;
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.first_chunk::<N>().ok_or_else(cut_off)?;
        self.at += N;
        Ok(*taken)
    }

    fn take_span(&mut self, length: u64) -> Result<Span, Refusal> {
        let left = self.bytes.len().saturating_sub(self.at) as u64;
        if length > left {
            return Err(cut_off());
        }
        // The pickle's length fits in 32 bits.
        let span = Span {
            start: self.at as u32,
            length: length as u32,
        };
        self.at += length as usize;
        Ok(span)
    }

    fn protocol(&mut self) -> Result<(), Refusal> {
        let [version] = self.take()?;
        if version > 5 {
            return Err(format!("holds a pickle of the unknown protocol {version}").into());
        }
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Result<Value, Refusal> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let value = (self.stack.len() > floor).then(|| self.stack.pop());
        value.flatten().ok_or_else(underflow)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, Refusal> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        // Values below the mark cannot have been popped.
        let values = self.stack.split_off(mark.min(self.stack.len()));
        self.spend(values.len())?;
        Ok(values)
    }

    pub(super) fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    pub(super) fn push_item(&mut self, item: Item) -> Result<(), Refusal> {
        if self.items.len() >= MAX_ITEMS {
            return Err(format!("holds a pickle of more than {MAX_ITEMS} values").into());
        }
        self.stack.push(Value::Item(self.items.len() as u32));
        self.items.push(item);
        Ok(())
    }

    /// The item that a value is, if it is one.
    pub(super) fn item(&self, value: Value) -> Option<&Item> {
        match value {
            Value::Item(index) => self.items.get(index as usize),
            _ => None,
        }
    }

    /// A piece of the pickle.
    pub(super) fn slice(&self, span: Span) -> &'a [u8] {
        super::slice(self.bytes, span)
    }

    /// The item on top of the stack, without popping it.
    fn top_item(&mut self) -> Result<&mut Item, Refusal> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.get(floor..).and_then(<[_]>::last) {
            Some(&Value::Item(index)) => self.items.get_mut(index as usize),
            _ => None,
        }
        .ok_or_else(|| "holds a pickle that adds to something that is not a collection".into())
    }

    /// A value without parts: a number or a text.
    fn scalar(&mut self, code: u8) -> Result<Value, Refusal> {
        Ok(match code {
            b'N' => Value::Opaque,
            b'\x88' => Value::Bool(true),
            b'\x89' => Value::Bool(false),
            b'K' => Value::Int(self.take::<1>().map(u8::from_le_bytes)?.into()),
            b'M' => Value::Int(self.take().map(u16::from_le_bytes)?.into()),
            b'J' => Value::Int(self.take().map(i32::from_le_bytes)?.into()),
            b'\x8a' => self.integer()?,
            b'G' => Value::Float(self.take().map(f64::from_be_bytes)?),
            b'\x8c' | b'U' => {
                let length = self.take::<1>().map(u8::from_le_bytes)?;
                self.text(code, length.into())?
            }
            b'X' | b'T' => {
                let length = self.take().map(u32::from_le_bytes)?;
                self.text(code, length.into())?
            }
            b'\x8d' => {
                let length = self.take().map(u64::from_le_bytes)?;
                self.text(code, length)?
            }
            b'C' => {
                let length = self.take::<1>().map(u8::from_le_bytes)?;
                self.take_span(length.into())?;
                Value::Opaque
            }
            b'B' => {
                let length = self.take().map(u32::from_le_bytes)?;
                self.take_span(length.into())?;
                Value::Opaque
            }
            _ => {
                return Err(format!(
                    "holds a pickle with the instruction {code:#04x}, which no checkpoint needs"
                )
                .into());
            }
        })
    }

    /// `LONG1`: an integer with its number of bytes in the first byte.
    fn integer(&mut self) -> Result<Value, Refusal> {
        let [length] = self.take()?;
        let span = self.take_span(length.into())?;
        let bytes = self.slice(span);
        if bytes.len() > MAX_INTEGER {
            return Err(format!("holds a pickle with an integer of {length} bytes").into());
        }
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        let (Some(place), true) = (wide.get_mut(..bytes.len()), bytes.len() <= 8) else {
            return Ok(Value::Long(span));
        };
        place.copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    /// A text; those of Python 2 (`U`, `T`) may also be bytes.
    fn text(&mut self, code: u8, length: u64) -> Result<Value, Refusal> {
        let span = self.take_span(length)?;
        match std::str::from_utf8(self.slice(span)) {
            Ok(_) => Ok(Value::Text(span)),
            Err(_) if matches!(code, b'U' | b'T') => Ok(Value::Opaque),
            Err(error) => Err(format!("holds a pickle with a malformed text: {error}").into()),
        }
    }

    /// Copies the top of the stack into the memo, or a value from the memo onto the stack.
    fn remember(&mut self, code: u8) -> Result<(), Refusal> {
        let index = match code {
            b'q' | b'h' => self.take::<1>().map(u8::from_le_bytes)?.into(),
            b'r' | b'j' => self.take().map(u32::from_le_bytes)?,
            _ => self.memo.len() as u32,
        };
        if matches!(code, b'h' | b'j') {
            let value = self.memo.get(&index).copied();
            let value = value.ok_or_else(|| {
                format!("holds a pickle that recalls value {index} before memoizing it")
            })?;
            self.stack.push(value);
            return Ok(());
        }
        let top = self.pop()?;
        self.stack.push(top);
        if self.memo.len() >= MAX_ITEMS {
            return Err(
                format!("holds a pickle that memoizes more than {MAX_ITEMS} values").into(),
            );
        }
        self.memo.insert(index, top);
        Ok(())
    }

    /// A global by its name, which must be in the list.
    fn name(&mut self, code: u8) -> Result<(), Refusal> {
        let (module, name) = match code {
            b'c' | b'i' => (self.line()?, self.line()?),
            b'\x93' => {
                let name = self.pop_text()?;
                (self.pop_text()?, name)
            }
            // EXT1, EXT2 and EXT4: a number in a registry of the unpickling process.
            b'\x82' => return Err(extension(self.take::<1>().map(u8::from_le_bytes)?.into())),
            b'\x83' => return Err(extension(self.take().map(u16::from_le_bytes)?.into())),
            _ => return Err(extension(self.take().map(u32::from_le_bytes)?)),
        };
        match globals::find(module, name, self.script) {
            Some(global) if code != b'i' => {
                self.stack.push(Value::Global(global));
                Ok(())
            }
            // INST calls a class directly; no version of PyTorch writes it.
            _ => Err(Refusal::Unsafe(format!("{module}.{name}"))),
        }
    }

    fn line(&mut self) -> Result<&'a str, Refusal> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let rest = rest.get(..MAX_GLOBAL + 1).unwrap_or(rest);
        let length = rest.iter().position(|&byte| byte == b'\n');
        let length = length.ok_or("holds a pickle with a name that does not end")?;
        self.at += length + 1;
        let line = rest.get(..length).unwrap_or_default();
        std::str::from_utf8(line).map_err(|_| "holds a pickle with a name that is not UTF-8".into())
    }

    fn pop_text(&mut self) -> Result<&'a str, Refusal> {
        match self.pop()? {
            Value::Text(span) if span.length as usize <= MAX_GLOBAL => {
                Ok(std::str::from_utf8(self.slice(span)).unwrap_or_default())
            }
            _ => Err("holds a pickle with a name that is not a text".into()),
        }
    }

    /// Creates a collection, or adds to one.
    fn collect(&mut self, code: u8) -> Result<(), Refusal> {
        match code {
            b')' => self.push_item(Item::Tuple(Vec::new())),
            b']' => self.push_item(Item::List(Vec::new())),
            b'}' => self.push_item(Item::Dict(Vec::new())),
            b'\x85'..=b'\x87' => {
                let mut values = Vec::new();
                for _ in b'\x85'..=code {
                    values.push(self.pop()?);
                }
                values.reverse();
                self.push_item(Item::Tuple(values))
            }
            b't' => {
                let values = self.pop_to_mark()?;
                self.push_item(Item::Tuple(values))
            }
            b'l' => {
                let values = self.pop_to_mark()?;
                self.push_item(Item::List(values))
            }
            b'd' => {
                let values = self.pop_to_mark()?;
                self.push_item(Item::Dict(pairs(&values)?))
            }
            b'a' | b'e' => {
                let values = if code == b'a' {
                    vec![self.pop()?]
                } else {
                    self.pop_to_mark()?
                };
                match self.top_item()? {
                    Item::List(list) => list.extend(values),
                    _ => {
                        return Err(
                            "holds a pickle that appends to something that is not a list".into(),
                        );
                    }
                }
                Ok(())
            }
            _ => {
                let values = if code == b's' {
                    let value = self.pop()?;
                    vec![self.pop()?, value]
                } else {
                    self.pop_to_mark()?
                };
                match self.top_item()? {
                    Item::Dict(dict) => dict.extend(pairs(&values)?),
                    _ => {
                        return Err(
                            "holds a pickle that sets items of something that has none".into()
                        );
                    }
                }
                Ok(())
            }
        }
    }

    /// The call of a known name.
    fn call(&mut self, code: u8) -> Result<(), Refusal> {
        let argument = self.pop()?;
        match code {
            b'Q' => self.storage(argument),
            b'b' => self.state(argument),
            _ => match self.pop()? {
                Value::Global(Global::Class) if code == b'\x81' => {
                    self.push_item(Item::Object(None))
                }
                Value::Global(Global::Module) if code == b'\x81' => {
                    self.push_item(Item::Module(None))
                }
                Value::Global(Global::Inert) => {
                    self.push(Value::Opaque);
                    Ok(())
                }
                Value::Global(global) if code == b'R' => self.reduce(global, argument),
                _ => Err("holds a pickle that calls something that is not callable".into()),
            },
        }
    }

    /// `BUILD`: sets the state of the object on top of the stack.
    fn state(&mut self, state: Value) -> Result<(), Refusal> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if let Some(Value::Opaque) = self.stack.get(floor..).and_then(<[_]>::last) {
            return Ok(());
        }
        match self.top_item()? {
            Item::Object(attributes) | Item::Module(attributes) => {
                *attributes = Some(state);
                Ok(())
            }
            // The attribute `_metadata` of a state dict, with versions of layers.
            Item::Dict(_) => Ok(()),
            Item::List(_) | Item::Tuple(_) | Item::Storage(_) | Item::Tensor(_) => {
                Err("holds a pickle that sets attributes of something that has none".into())
            }
        }
    }
}

/// Alternating keys and values.
fn pairs(values: &[Value]) -> Result<Vec<(Value, Value)>, Refusal> {
    let (pairs, rest) = values.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("holds a pickle with a key that has no value".into());
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}

fn cut_off() -> Refusal {
    "holds a pickle that is cut off".into()
}

fn underflow() -> Refusal {
    "holds a pickle that pops from an empty stack".into()
}

fn extension(code: u32) -> Refusal {
    Refusal::Unsafe(format!("extension {code}"))
}
