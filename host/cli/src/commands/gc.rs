use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use indicatif::DecimalBytes;

use crate::console::{Console, shown};
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  modelzoo gc --dry-run")]
pub(crate) struct GcArgs {
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &GcArgs, console: &Console) -> Result<ExitCode, Failure> {
    let zoo = console.zoo()?;
    let garbage = match args.dry_run {
        true => zoo.garbage()?,
        false => zoo.collect_garbage()?,
    };
    if console.json() {
        console.print_json(&garbage)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = console.stdout();
    for item in &garbage {
        writeln!(
            out,
            "{}  {} ({})",
            shown(&item.path.to_string_lossy()),
            DecimalBytes(item.bytes),
            item.reason
        )?;
    }
    out.flush()?;
    let bytes = DecimalBytes(garbage.iter().map(|g| g.bytes).sum());
    let verb = if args.dry_run {
        "would be freed"
    } else {
        "freed"
    };
    console.note(&format!("{bytes} {verb}"));
    Ok(ExitCode::SUCCESS)
}
