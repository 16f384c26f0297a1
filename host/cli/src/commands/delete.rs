use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::console::Console;
use crate::failure::Failure;
use crate::names::flag;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  modelzoo delete acme/digits-cnn")]
pub(crate) struct DeleteArgs {
    /// The model
    name: String,
    /// The source that declares it
    #[arg(short, long = flag::SOURCE, value_name = "SOURCE")]
    source: Option<String>,
    /// Do not ask first
    #[arg(short, long)]
    yes: bool,
}

pub(crate) fn run(args: &DeleteArgs, console: &Console) -> Result<ExitCode, Failure> {
    let zoo = console.zoo()?;
    let record = zoo.model(&args.name, args.source.as_deref())?;
    let ask = !args.yes && console.interactive() && record.receipt().is_some();
    if ask && !console.confirm(&format!("Delete the files of {}?", record.name())) {
        return Err(Failure::plain("nothing was deleted"));
    }
    let record = zoo.delete(&args.name, args.source.as_deref())?;
    if console.json() {
        console.print_json(&json!({ "deleted": record.name() }))?;
    } else {
        console.note(&format!("deleted the files of {}", record.name()));
    }
    Ok(ExitCode::SUCCESS)
}
