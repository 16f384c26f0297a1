use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;

use crate::console::{Console, shown};
use crate::failure::Failure;
use crate::hints::Hint;
use crate::names::flag;

const EXAMPLES: &str = "\
Examples:
  modelzoo verify
  modelzoo verify acme/digits-cnn --repair
  modelzoo verify --accept-lock";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// The models; everything that is stored without one
    names: Vec<String>,
    /// Download the models again that are not what was recorded
    #[arg(long = flag::REPAIR)]
    repair: bool,
    /// First accept modelzoo.lock as it is, although it was edited
    #[arg(long = flag::ACCEPT_LOCK)]
    accept_lock: bool,
}

pub(crate) async fn run(args: &VerifyArgs, console: &Console) -> Result<ExitCode, Failure> {
    let zoo = console.zoo()?;
    if args.accept_lock {
        zoo.accept_lock()?;
    }
    let results = match args.repair {
        true => zoo.repair(&args.names).await?,
        false => zoo.verify(&args.names)?,
    };
    if console.json() {
        console.print_json(&results)?;
    } else {
        let mut out = console.stdout();
        for result in &results {
            let state = match (result.problems.is_empty(), result.repaired) {
                (true, _) => "ok",
                (false, true) => "repaired",
                (false, false) => "BAD",
            };
            writeln!(out, "{state:<10}{}", shown(&result.name))?;
            for problem in &result.problems {
                writeln!(out, "          {}", shown(problem))?;
            }
        }
        out.flush()?;
    }
    let bad = results
        .iter()
        .filter(|r| !r.problems.is_empty() && !r.repaired)
        .count();
    match bad {
        0 => Ok(ExitCode::SUCCESS),
        n => Err(Failure::hinted(
            format!("{n} of {} are not what was recorded", results.len()),
            Hint::ReplaceDamaged,
        )),
    }
}
