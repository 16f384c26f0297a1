use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::console::Console;
use crate::failure::Failure;
use crate::names::flag;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  modelzoo delete acme/digits-cnn --yes")]
pub(crate) struct DeleteArgs {
    /// The model
    name: String,
    /// The source that declares it
    #[arg(short, long = flag::SOURCE, value_name = "SOURCE")]
    source: Option<String>,
    /// Do not ask first; needed where there is no terminal
    #[arg(short, long = flag::YES)]
    yes: bool,
}

pub(crate) fn run(args: &DeleteArgs, console: &Console) -> Result<ExitCode, Failure> {
    let zoo = console.zoo()?;
    let record = zoo.model(&args.name, args.source.as_deref())?;
    if !args.yes && record.has_files() {
        console.agree(&format!("Delete the files of {}?", record.name()))?;
    }
    let record = zoo.delete(&args.name, args.source.as_deref())?;
    if console.json() {
        console.print_json(&json!({ "deleted": record.name() }))?;
    } else {
        console.note(&format!("deleted the files of {}", record.name()));
    }
    Ok(ExitCode::SUCCESS)
}
