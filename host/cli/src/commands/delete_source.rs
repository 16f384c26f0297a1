use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::console::Console;
use crate::failure::Failure;
use crate::names::flag;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  modelzoo delete-source acme/digits --yes")]
pub(crate) struct DeleteSourceArgs {
    /// The source, in any spelling of its reference
    source: String,
    /// Do not ask first; needed where there is no terminal
    #[arg(short, long = flag::YES)]
    yes: bool,
}

pub(crate) fn run(args: &DeleteSourceArgs, console: &Console) -> Result<ExitCode, Failure> {
    let zoo = console.zoo()?;
    if !args.yes {
        let id = zoo.source(&args.source)?.id;
        console.agree(&format!(
            "Delete {id} and all that was downloaded of its models?"
        ))?;
    }
    let deleted = zoo.delete_source(&args.source)?;
    if console.json() {
        console.print_json(&json!({ "deleted": deleted.id }))?;
    } else {
        console.note(&format!("deleted {}", deleted.id));
    }
    Ok(ExitCode::SUCCESS)
}
