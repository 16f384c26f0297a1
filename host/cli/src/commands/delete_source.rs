use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::console::Console;
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  modelzoo delete-source acme/digits --yes")]
pub(crate) struct DeleteSourceArgs {
    /// The source, in any spelling of its reference
    source: String,
    /// Do not ask first
    #[arg(short, long)]
    yes: bool,
}

pub(crate) fn run(args: &DeleteSourceArgs, console: &Console) -> Result<ExitCode, Failure> {
    let zoo = console.zoo()?;
    if !args.yes && console.interactive() {
        let question = format!(
            "Delete {} and all that was downloaded of its models?",
            modelzoo::text::escape(&args.source)
        );
        if !console.confirm(&question) {
            return Err(Failure::plain("nothing was deleted"));
        }
    }
    let deleted = zoo.delete_source(&args.source)?;
    if console.json() {
        console.print_json(&json!({ "deleted": deleted.id }))?;
    } else {
        console.note(&format!("deleted {}", deleted.id));
    }
    Ok(ExitCode::SUCCESS)
}
