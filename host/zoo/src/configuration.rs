//! The page that documents every setting, made from the settings themselves.

use std::fmt::Write as _;

use modelzoo_sandbox::Limits;
use serde::Serialize;
use serde_json::Value;

use crate::config::{Config, ENVIRONMENT};
use crate::error::Error;

/// A limit of hooks: its name, its unit, and the least and the most that `config.toml` may say.
struct Bound {
    name: &'static str,
    unit: &'static str,
    least: f64,
    most: f64,
    what: &'static str,
}

const MIB: f64 = 1_048_576.0;
const TIB: f64 = 1_099_511_627_776.0;

/// The upper bounds are what a machine can bear; the lower bounds what a hook that copies a file
/// needs.
const BOUNDS: &[Bound] = &[
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

/// All limits in force.
pub(crate) fn in_force(config: &Config) -> Vec<LimitInForce> {
    let (values, defaults) = (values(&config.limits), values(&Limits::default()));
    let limit = |bound: &Bound| {
        let value = values.get(bound.name).cloned().unwrap_or_default();
        let from = if config.limits_set.contains(bound.name) {
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

fn values(limits: &Limits) -> Value {
    serde_json::to_value(limits).unwrap_or_default()
}

const INTRODUCTION: &str = "\
# Configuration

This page is made from the settings themselves; `cargo xtask docs` writes it, and a test fails if it is out of date.

The store is the directory that `MODELZOO_HOME` names, by default `modelzoo` in the platform's data directory. Every command reads `config.toml` in it. The environment overrides the file, and options of the command override both.

## config.toml

An unknown key is an error.

| key | type | meaning |
|---|---|---|
| `offline` | boolean | open no socket |
| `allow_private` | list of text | private hosts (`nas.lan:443`), addresses (`10.0.0.7`) or networks (`10.0.0.0/8`) that may be reached; single hosts and addresses also by plain http |
| `ca_bundle` | path | a PEM file with further certificate authorities |
| `github.api_url` | URL | another API endpoint, such as a GitHub Enterprise server's |
| `mirrors.\"<origin>\"` | URL | the place to fetch from instead of this origin |

```toml
allow_private = [\"models.lan\"]
ca_bundle = \"/etc/ssl/company.pem\"

[mirrors]
\"https://huggingface.co\" = \"https://models.lan/huggingface\"

[limits]
wall = 120
```

### [limits]

What one call of a hook may use. A value outside its bounds is an error.

| key | default | least | most | what is limited |
|---|---:|---:|---:|---|
";

/// The page, as Markdown.
#[must_use]
pub fn configuration_page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let defaults = values(&Limits::default());
    for Bound {
        name,
        unit,
        least,
        most,
        what,
    } in BOUNDS
    {
        let default = defaults.get(*name).cloned().unwrap_or_default();
        let _ = writeln!(
            page,
            "| `{name}` | {default} | {least} | {most} | {unit} {what} |"
        );
    }
    page += "\n## Environment\n\n| variable | meaning |\n|---|---|\n";
    for (name, meaning) in ENVIRONMENT {
        let _ = writeln!(page, "| `{name}` | {meaning} |");
    }
    page += "\nWithout a proxy, a name is resolved once and the connection goes to an address that was checked. A proxy resolves names itself, so that only the rules about names and literal addresses apply then. Certificates are always verified.\n";
    page
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

    /// `cargo xtask docs` writes the page.
    #[test]
    fn configuration_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let page = configuration_page();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            page,
            "run `cargo xtask docs`"
        );
    }
}
