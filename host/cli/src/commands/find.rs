use std::process::ExitCode;

use clap::Args;

use crate::console::Console;
use crate::failure::Failure;
use crate::names::flag;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  modelzoo find acme/digits-cnn")]
pub(crate) struct FindArgs {
    /// The model
    name: String,
    /// The source that declares it
    #[arg(short, long = flag::SOURCE, value_name = "SOURCE")]
    source: Option<String>,
}

pub(crate) fn run(args: &FindArgs, console: &Console) -> Result<ExitCode, Failure> {
    let record = console.zoo()?.model(&args.name, args.source.as_deref())?;
    record.require()?;
    let path = record.place();
    if console.json() {
        console.print_json(&serde_json::json!({ "name": record.name(), "path": path }))?;
    } else {
        console.print_path(&path)?;
    }
    Ok(ExitCode::SUCCESS)
}
