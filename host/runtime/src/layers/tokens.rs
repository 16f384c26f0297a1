//! Sequences of tokens: `[batch, tokens, features]`, contiguous.

use candle_core::Tensor;
use modelzoo_kernels::{self as kernels, Activation, Isa};

use super::activate::with_candle;
use super::cpu;
use super::size::check_size;
use crate::device::{Device, Kernels};
use crate::error::Error;
use crate::weights::Scope;

/// An embedding table: one row of features per token id, position or type.
pub(crate) struct Embedding {
    name: String,
    table: Tensor,
    kernels: Kernels,
}

impl Embedding {
    /// Reads `weight`, `[rows, features]`.
    pub(crate) fn load(
        scope: &Scope<'_>,
        [rows, features]: [usize; 2],
        device: &Device,
    ) -> Result<Self, Error> {
        let table = scope.get("weight", &[rows, features])?;
        Self::new(scope.name(), &table, device)
    }

    /// From a table `[rows, features]`; `name` is for messages.
    pub(crate) fn new(name: &str, table: &Tensor, device: &Device) -> Result<Self, Error> {
        table.dims2()?;
        Ok(Self {
            name: name.to_owned(),
            table: device.place_weights(name, table)?.contiguous()?,
            kernels: device.kernels(),
        })
    }

    /// The rows of `ids`, of `len` tokens per sample: `[batch, len, features]`.
    pub(crate) fn forward(&self, ids: &[u32], len: usize) -> Result<Tensor, Error> {
        let (rows, features) = self.table.dims2()?;
        if len == 0 || ids.is_empty() || !ids.len().is_multiple_of(len) {
            let reason = format!("{} ids are not texts of {len}", ids.len());
            return Err(Error::bad_input(&self.name, reason));
        }
        if let Some(id) = ids.iter().find(|&&id| id as usize >= rows) {
            let reason = format!("has {rows} rows, and no row {id}");
            return Err(Error::bad_input(&self.name, reason));
        }
        let dims = [ids.len() / len, len, features];
        check_size(&self.name, &dims)?;
        match self.kernels {
            Kernels::Own => Ok(cpu::unary("embedding", &self.table, &dims, |table| {
                kernels::gather_rows(table, [1, rows, features], ids)
            })?),
            Kernels::Candle => {
                let ids = Tensor::from_slice(ids, ids.len(), self.table.device())?;
                Ok(self.table.index_select(&ids, 0)?.reshape(&dims)?)
            }
        }
    }

    /// The first `count` rows, `[count, features]`.
    pub(crate) fn first(&self, count: usize) -> Result<Tensor, Error> {
        if count > self.table.dim(0)? {
            let reason = format!("has {} rows, not {count}", self.table.dim(0)?);
            return Err(Error::bad_input(&self.name, reason));
        }
        Ok(self.table.narrow(0, 0, count)?)
    }
}

/// Adds `rows`, `[tokens, features]`, to each sample of `[batch, tokens, features]`.
pub(crate) fn add_rows(x: &Tensor, rows: &Tensor, device: &Device) -> Result<Tensor, Error> {
    let (_, tokens, features) = x.dims3()?;
    if rows.dims() != [tokens, features] || tokens * features == 0 {
        let reason = format!("{:?} cannot be added to {:?}", rows.dims(), x.dims());
        return Err(Error::bad_input("add_rows", reason));
    }
    Ok(match device.kernels() {
        Kernels::Candle => x.broadcast_add(rows)?,
        Kernels::Own => cpu::binary("add_rows", x, rows, x.dims(), |x, rows| {
            kernels::add_repeated(Isa::detect(), x, rows)
        })?,
    })
}

/// Prepends `rows`, `[n, features]` (a class token, registers), to the tokens of each sample of
/// `[batch, tokens, features]`.
pub(crate) fn prepend_rows(x: &Tensor, rows: &Tensor) -> Result<Tensor, Error> {
    let (batch, tokens, features) = x.dims3()?;
    let (count, of_rows) = rows.dims2()?;
    if of_rows != features {
        let reason = format!("{:?} before {:?}", rows.dims(), x.dims());
        return Err(Error::bad_input("prepend_rows", reason));
    }
    check_size("prepend_rows", &[batch, tokens + count, features])?;
    let rows = rows.unsqueeze(0)?.expand((batch, count, features))?;
    Ok(Tensor::cat(&[&rows.contiguous()?, x], 1)?)
}

/// Takes tokens by their places: `[batch, tokens, features]` to `[batch, index, features]`. It cuts
/// windows out and puts them together, rolls feature maps and merges patches.
pub(crate) struct Gather {
    index: Vec<u32>,
    /// For candle's operations, on the device.
    tensor: Option<Tensor>,
}

impl Gather {
    /// Takes the tokens at the places of `index`, in its order.
    pub(crate) fn new(index: Vec<u32>, device: &Device) -> Result<Self, Error> {
        let tensor = match device.kernels() {
            Kernels::Own => None,
            Kernels::Candle => Some(Tensor::from_slice(&index, index.len(), device.candle())?),
        };
        Ok(Self { index, tensor })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, Error> {
        let (batch, tokens, features) = x.dims3()?;
        if self.index.iter().any(|&at| at as usize >= tokens) {
            let reason = format!("takes places beyond the {tokens} tokens");
            return Err(Error::bad_input("gather", reason));
        }
        let dims = [batch, self.index.len(), features];
        check_size("gather", &dims)?;
        Ok(match &self.tensor {
            Some(index) => x.index_select(index, 1)?,
            None => cpu::unary("gather", x, &dims, |x| {
                kernels::gather_rows(x, [batch, tokens, features], &self.index)
            })?,
        })
    }
}

/// A gated linear unit: `activation(a) * b` of `[…, 2 n]`, which has `a` and then `b`.
pub(crate) fn gate(x: &Tensor, activation: Activation, device: &Device) -> Result<Tensor, Error> {
    let mut dims = x.dims().to_vec();
    let both = dims.pop().unwrap_or_default();
    let size = both / 2;
    if size == 0 || !both.is_multiple_of(2) {
        return Err(Error::bad_input(
            "gate",
            format!("{both} features are not two halves"),
        ));
    }
    dims.push(size);
    Ok(match device.kernels() {
        Kernels::Own => cpu::unary("gate", x, &dims, |x| {
            kernels::gate_rows(Isa::detect(), x, size, activation)
        })?,
        Kernels::Candle => {
            let last = dims.len() - 1;
            let gates = with_candle(&x.narrow(last, 0, size)?.contiguous()?, activation)?;
            (gates * x.narrow(last, size, size)?)?
        }
    })
}
