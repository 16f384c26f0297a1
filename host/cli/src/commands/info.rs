use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use modelzoo::store::StoredModel;
use serde_json::{Value, json};

use super::list_sources::FROM_BUNDLE;
use crate::console::{Console, shown};
use crate::failure::Failure;
use crate::names::flag;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  modelzoo info acme/digits-cnn --json")]
pub(crate) struct InfoArgs {
    /// The model
    name: String,
    /// The source that declares it
    #[arg(short, long = flag::SOURCE, value_name = "SOURCE")]
    source: Option<String>,
}

pub(crate) fn run(args: &InfoArgs, console: &Console) -> Result<ExitCode, Failure> {
    let record = console.zoo()?.model(&args.name, args.source.as_deref())?;
    let stored = record.stored();
    let problem = stored.problem();
    let receipt = match stored {
        StoredModel::Complete(receipt) => Some(receipt),
        StoredModel::Nothing | StoredModel::Outdated | StoredModel::Damaged(_) => None,
    };
    let path = receipt.as_ref().map(|_| record.place());
    if console.json() {
        console.print_json(&json!({
            "name": record.name(),
            "source": record.source,
            "manifest": record.entry.raw(),
            "path": path,
            "receipt": receipt,
            "imported": record.is_imported(),
            "problem": problem,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = console.stdout();
    let mut row = |key: &str, value: &str| {
        if value.is_empty() {
            Ok(())
        } else {
            writeln!(out, "{:<14}{}", shown(key), shown(value))
        }
    };
    row("name", &record.name())?;
    row("source", record.source.id.as_str())?;
    if record.source.imported {
        row("", FROM_BUNDLE)?;
    }
    row(
        "commit",
        record.source.commit.as_deref().unwrap_or_default(),
    )?;
    for (key, value) in record.entry.raw().as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "base_name" | "version") {
            row(&format!("{key} "), &plain(value))?;
        }
    }
    match (&receipt, &path) {
        (Some(receipt), Some(path)) => {
            row("downloaded", &receipt.downloaded)?;
            row("path", &path.display().to_string())?;
            row("digest", &receipt.digest())?;
            for file in &receipt.files {
                row(
                    "file",
                    &format!(
                        "{} ({} bytes, sha256 {})",
                        file.name, file.size, file.sha256
                    ),
                )?;
            }
        }
        _ => row("downloaded", "no")?,
    }
    if record.is_imported() {
        row("imported", FROM_BUNDLE)?;
    }
    row("problem", problem.as_deref().unwrap_or_default())?;
    Ok(out.flush().map(|()| ExitCode::SUCCESS)?)
}

/// A manifest's value on one line.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().map(plain).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}
