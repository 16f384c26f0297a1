use std::process::ExitCode;

use clap::Args;
use modelzoo::sources::{Grant, Registered, UpdateOptions};

use super::register_source;
use crate::args::GrantArgs;
use crate::console::Console;
use crate::failure::Failure;
use crate::names::flag;

const EXAMPLES: &str = "\
A branch is followed to the commit that it is at now. What was downloaded stays. What lacks a model
that was there, or has only lower versions of it, could be an older source that somebody wants you
to have: it is refused, unless you ask for it.

Examples:
  modelzoo update-source --check
  modelzoo update-source acme/digits
  modelzoo update-source acme/digits --allow-rollback";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UpdateArgs {
    /// The sources; all of them without one
    sources: Vec<String>,
    /// Show what would change, and change nothing
    #[arg(long)]
    check: bool,
    /// Take also what lacks a model that was there, or has only lower versions of it
    #[arg(long = flag::ALLOW_ROLLBACK)]
    allow_rollback: bool,
    #[command(flatten)]
    grant: GrantArgs,
}

pub(crate) async fn run(args: &UpdateArgs, console: &Console) -> Result<ExitCode, Failure> {
    let zoo = console.zoo()?;
    let sources = match args.sources.is_empty() {
        true => zoo
            .list_sources()?
            .iter()
            .map(|s| s.locked.id.to_string())
            .collect(),
        false => args.sources.clone(),
    };
    let mut updated: Vec<Registered> = Vec::new();
    let mut failure = None;
    for source in &sources {
        let result = match args.check {
            true => zoo.check_source(source).await,
            false => {
                let update = async |grant: Grant<'_>| {
                    let options = UpdateOptions {
                        allow_rollback: args.allow_rollback,
                        grant,
                    };
                    zoo.update_source(source, options).await
                };
                console.with_grant(&args.grant, update).await?
            }
        };
        match result {
            Ok(result) => {
                if !console.json() {
                    let replaced = if args.check {
                        "has changed"
                    } else {
                        "was updated"
                    };
                    register_source::report(&result, replaced, console);
                }
                updated.push(result);
            }
            // The others are updated all the same.
            Err(error) => {
                if let Some(earlier) = failure.replace(Failure::from(error)) {
                    earlier.report(console);
                }
            }
        }
    }
    if console.json() {
        console.print_json(&updated)?;
    }
    failure.map_or(Ok(ExitCode::SUCCESS), Err)
}
