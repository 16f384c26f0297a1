//! The limits of hooks that a user can set, and their bounds.

use std::collections::BTreeSet;

use modelzoo_sandbox::Limits;
use serde::Serialize;
use serde_json::Value;

use crate::error::Error;

/// A limit of hooks: its name, its unit, and the least and the most that `config.toml` may say.
pub(crate) struct Bound {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) what: &'static str,
}

const MIB: f64 = 1_048_576.0;
const TIB: f64 = 1_099_511_627_776.0;

/// The upper bounds are what a machine can bear; the lower bounds what a hook that copies a file
/// needs.
pub(crate) const BOUNDS: &[Bound] = &[
    bound(
        "component_bytes",
        "bytes",
        1024.0,
        1024.0 * MIB,
        "of a component file",
    ),
    bound(
        "compile_memory_bytes",
        "bytes",
        256.0 * MIB,
        65_536.0 * MIB,
        "of memory that compiling a component takes",
    ),
    bound(
        "compile_wall",
        "seconds",
        0.000_001,
        86_400.0,
        "that compiling a component takes",
    ),
    bound(
        "memory_bytes",
        "bytes",
        MIB,
        4096.0 * MIB,
        "of linear memory, all of a call together",
    ),
    bound(
        "table_elements",
        "elements",
        1024.0,
        10_000_000.0,
        "of tables, all of a call together",
    ),
    bound(
        "instances",
        "instances",
        1.0,
        10_000.0,
        "of core modules that a component makes",
    ),
    bound("tables", "tables", 1.0, 10_000.0, "that a component makes"),
    bound(
        "memories",
        "memories",
        1.0,
        1000.0,
        "that a component makes",
    ),
    bound(
        "resources",
        "handles",
        16.0,
        1_000_000.0,
        "that are open at the same time",
    ),
    bound(
        "hostcall_bytes",
        "bytes",
        65_536.0,
        1024.0 * MIB,
        "handed to the host in one call",
    ),
    bound(
        "wall",
        "seconds",
        0.000_001,
        86_400.0,
        "that the guest itself takes",
    ),
    bound(
        "disk_wall",
        "seconds",
        0.000_001,
        604_800.0,
        "that writing and unpacking take",
    ),
    bound(
        "network_wall",
        "seconds",
        0.000_001,
        604_800.0,
        "that requests take",
    ),
    bound("requests", "requests", 1.0, 1_000_000.0, "of one call"),
    bound(
        "staging_bytes",
        "bytes",
        1024.0,
        64.0 * TIB,
        "of all files of a model",
    ),
    bound("staging_files", "files", 1.0, 1_000_000.0, "of a model"),
    bound(
        "log_bytes",
        "bytes",
        1024.0,
        64.0 * MIB,
        "of messages that are passed on",
    ),
];

const fn bound(
    name: &'static str,
    unit: &'static str,
    least: f64,
    most: f64,
    what: &'static str,
) -> Bound {
    Bound {
        name,
        unit,
        least,
        most,
        what,
    }
}

/// Checks limits against their bounds.
pub(crate) fn check(limits: &Limits) -> Result<(), Error> {
    let values = values(limits);
    for bound in BOUNDS {
        let value = values
            .get(bound.name)
            .and_then(Value::as_f64)
            .unwrap_or_default();
        if !(bound.least..=bound.most).contains(&value) {
            return Err(Error::Config {
                setting: format!("limits.{}", bound.name),
                reason: format!(
                    "it is {value} {unit}, and may be {least} to {most}",
                    unit = bound.unit,
                    least = bound.least,
                    most = bound.most,
                ),
            });
        }
    }
    Ok(())
}

/// A limit in force.
#[derive(Debug, Clone, Serialize)]
pub struct LimitInForce {
    /// The key of `[limits]` in `config.toml`.
    pub name: &'static str,
    /// Its value, in `unit`.
    pub value: Value,
    /// `bytes`, `seconds`, or what is counted.
    pub unit: &'static str,
    /// What is limited: reads on from the unit.
    pub what: &'static str,
    /// Where it is set.
    pub from: LimitOrigin,
}

/// Where a limit is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum LimitOrigin {
    /// Nowhere: it is the default.
    #[serde(rename = "default")]
    Default,
    /// `config.toml` in the store's home.
    #[serde(rename = "config.toml")]
    File,
    /// The program that embeds modelzoo.
    #[serde(rename = "program")]
    Program,
}

impl std::fmt::Display for LimitOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Default => "default",
            Self::File => "config.toml",
            Self::Program => "program",
        })
    }
}

/// All limits in force; `set` are the names of those that `config.toml` sets.
pub(crate) fn in_force(limits: &Limits, set: &BTreeSet<String>) -> Vec<LimitInForce> {
    let (values, defaults) = (values(limits), values(&Limits::default()));
    let limit = |bound: &Bound| {
        let value = values.get(bound.name).cloned().unwrap_or_default();
        let from = if set.contains(bound.name) {
            LimitOrigin::File
        } else if defaults.get(bound.name) == Some(&value) {
            LimitOrigin::Default
        } else {
            LimitOrigin::Program
        };
        LimitInForce {
            name: bound.name,
            value,
            unit: bound.unit,
            what: bound.what,
            from,
        }
    };
    BOUNDS.iter().map(limit).collect()
}

/// The limits by name.
pub(crate) fn values(limits: &Limits) -> Value {
    serde_json::to_value(limits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_limit_is_within_its_bounds() {
        let names: Vec<_> = BOUNDS.iter().map(|b| b.name).collect();
        let fields = values(&Limits::default());
        let fields: Vec<_> = fields.as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, fields);
        check(&Limits::default()).unwrap();
    }

    #[test]
    fn limit_out_of_bounds_is_named() {
        let limits = Limits {
            memory_bytes: u64::MAX,
            ..Limits::default()
        };
        let error = check(&limits).unwrap_err().to_string();
        assert!(
            error.contains("limits.memory_bytes") && error.contains("4294967296"),
            "{error}"
        );
    }
}
