use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use modelzoo::sources::{RegisterOptions, Registered};
use modelzoo::store::{Changes, RegisterOutcome};

use crate::args::GrantArgs;
use crate::console::{Console, shown};
use crate::failure::Failure;
use crate::hints;
use crate::names::flag;

const EXAMPLES: &str = "\
A reference is one of
  <user>/<repo>[/<ref>]                              a GitHub repository, at a branch, tag or commit
  https://github.com/<user>/<repo>[/tree/<ref>]      the same
  https://host/path/archive.zip                      a zip or a tar, compressed or not
  ./directory or ./archive.zip                       on this machine

Examples:
  modelzoo register-source acme/digits
  modelzoo register-source https://github.com/acme/digits/tree/v1 --grant https://huggingface.co
  modelzoo register-source ./my-source --overwrite";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RegisterArgs {
    /// What to register
    reference: String,
    /// Fetch it again if it is registered
    #[arg(short, long = flag::OVERWRITE)]
    overwrite: bool,
    /// Take a commit that is on no branch or tag of its repository
    #[arg(long = flag::ALLOW_UNREACHABLE_COMMIT)]
    allow_unreachable_commit: bool,
    #[command(flatten)]
    grant: GrantArgs,
}

pub(crate) async fn run(args: &RegisterArgs, console: &Console) -> Result<ExitCode, Failure> {
    let zoo = console.zoo()?;
    let registered = console
        .with_grant(&args.grant, async |grant| {
            let options = RegisterOptions {
                overwrite: args.overwrite,
                allow_unreachable_commit: args.allow_unreachable_commit,
                grant,
            };
            zoo.register_source(&args.reference, options).await
        })
        .await??;
    if console.json() {
        for warning in &registered.warnings {
            console.warn(warning);
        }
        console.print_json(&registered)?;
        return Ok(ExitCode::SUCCESS);
    }
    report(&registered, "was updated", console);
    let mut out = console.stdout();
    for model in &registered.source.models {
        writeln!(out, "{}", shown(model))?;
    }
    Ok(out.flush().map(|()| ExitCode::SUCCESS)?)
}

/// Prints what happened to a source; `replaced` says what happened to a changed one.
pub(super) fn report(registered: &Registered, replaced: &str, console: &Console) {
    for warning in &registered.warnings {
        console.warn(warning);
    }
    let id = registered.source.locked.id.to_string();
    let id = shown(&id);
    match &registered.outcome {
        RegisterOutcome::New => console.note(&format!("{id} is registered")),
        RegisterOutcome::AlreadyRegistered => {
            console.note(&format!(
                "{id} is registered already; {} fetches it again",
                hints::switch(flag::OVERWRITE)
            ));
        }
        RegisterOutcome::Granted => console.note(&format!("{id} has other permissions now")),
        RegisterOutcome::Unchanged => console.note(&format!("{id} has not changed")),
        RegisterOutcome::Replaced(changes) => {
            console.note(&format!("{id} {replaced}"));
            describe(changes, console);
        }
    }
}

fn describe(changes: &Changes, console: &Console) {
    if let Some((old, new)) = &changes.commit {
        console.note(&format!("  commit {old} -> {new}"));
    }
    if let Some((old, new)) = &changes.component {
        console.note(&format!("  component {old} -> {new}"));
    }
    for (sign, names) in [
        ("+ model", &changes.models_added),
        ("- model", &changes.models_removed),
        ("+ permission", &changes.permissions_added),
    ] {
        for name in names {
            console.note(&format!("  {sign} {}", shown(name)));
        }
    }
    for step in &changes.rollback {
        console.warn(&format!("a step back: {step}"));
    }
}
