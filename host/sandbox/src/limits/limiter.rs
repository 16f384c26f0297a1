//! What the engine may allocate for one store.

use wasmtime::ResourceLimiter;

use super::Limits;
use super::stop::{Limit, Stop};

/// Counts memories and tables of one store together, and stops the guest at the limit.
#[derive(Debug)]
pub(crate) struct StoreLimiter {
    memory: Meter,
    tables: Meter,
    instance_count: usize,
    table_count: usize,
    memory_count: usize,
}

/// One quantity that only grows.
#[derive(Debug)]
struct Meter {
    what: Limit,
    used: u64,
    /// The last growth, which is undone when the engine cannot allocate it.
    last: u64,
    max: u64,
}

impl Meter {
    fn new(what: Limit, max: u64) -> Self {
        Self {
            what,
            used: 0,
            last: 0,
            max,
        }
    }

    fn grow(&mut self, from: usize, to: usize) -> wasmtime::Result<bool> {
        self.last = to.saturating_sub(from) as u64;
        self.used = self.used.saturating_add(self.last);
        if self.used > self.max {
            return Err(Stop::Limit(self.what, self.max).into());
        }
        Ok(true)
    }

    fn undo(&mut self) {
        self.used = self.used.saturating_sub(self.last);
        self.last = 0;
    }
}

impl StoreLimiter {
    /// Nothing is used yet.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory: Meter::new(Limit::Memory, limits.memory_bytes),
            tables: Meter::new(Limit::TableElements, limits.table_elements),
            instance_count: limits.instances as usize,
            table_count: limits.tables as usize,
            memory_count: limits.memories as usize,
        }
    }
}

impl ResourceLimiter for StoreLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.memory.grow(current, desired)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.undo();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.tables.grow(current, desired)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.tables.undo();
        Ok(())
    }

    fn instances(&self) -> usize {
        self.instance_count
    }

    fn tables(&self) -> usize {
        self.table_count
    }

    fn memories(&self) -> usize {
        self.memory_count
    }
}
