use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use modelzoo::Remedy;
use modelzoo::device::DeviceSpec;
use modelzoo::models::ErrorLevel;

use crate::console::{Console, shown};
use crate::failure::Failure;
use crate::names::flag;

const EXAMPLES: &str = "\
Packages are never installed: what they compute in FiftyOne is part of modelzoo. A package that
modelzoo does not replace may change the labels of the model, or may not matter.

Examples:
  modelzoo requirements acme/digits-cnn
  modelzoo requirements acme/digits-cnn --ensure --error-level 1";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RequirementsArgs {
    /// The model
    name: String,
    /// Print the requirements; the default without --ensure
    #[arg(short, long)]
    print: bool,
    /// Fail if this machine does not meet them
    #[arg(short, long)]
    ensure: bool,
    /// A requirement that is not met is 0: an error, 1: a warning, 2: ignored
    #[arg(long = flag::ERROR_LEVEL, value_name = "LEVEL", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    error_level: u8,
    /// The source that declares the model
    #[arg(short, long = flag::SOURCE, value_name = "SOURCE")]
    source: Option<String>,
}

pub(crate) fn run(args: &RequirementsArgs, console: &Console) -> Result<ExitCode, Failure> {
    let record = console.zoo()?.model(&args.name, args.source.as_deref())?;
    let device = DeviceSpec::Auto.open().map_err(modelzoo::Error::from)?;
    let on_gpu = !device.is_cpu();
    let requirements = &record.entry.requirements;
    let packages = requirements.packages(on_gpu);
    if console.json() {
        console.print_json(
            &serde_json::json!({ "requirements": requirements, "packages": packages }),
        )?;
    } else if args.print || !args.ensure {
        let mut out = console.stdout();
        for package in &packages {
            let state = if package.satisfied {
                "part of modelzoo"
            } else {
                "not part of modelzoo"
            };
            writeln!(out, "{:<30}{state}", shown(&package.package))?;
        }
        for (name, support) in [("cpu", requirements.cpu), ("gpu", requirements.gpu)] {
            if let Some(support) = support {
                writeln!(
                    out,
                    "{name:<30}{}",
                    if support {
                        "supported"
                    } else {
                        "not supported"
                    }
                )?;
            }
        }
        out.flush()?;
    }
    if args.ensure {
        let checked = record.check_requirements(&device, error_level(args.error_level));
        checked.map_err(|error| match error {
            // This verb has no other device to choose.
            error @ modelzoo::Error::Requirement { .. } => {
                Failure::hinted(error.to_string(), Remedy::IgnoreRequirement)
            }
            error => error.into(),
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the value of `--error-level` stands for.
pub(super) fn error_level(level: u8) -> ErrorLevel {
    match level {
        0 => ErrorLevel::Error,
        1 => ErrorLevel::Warn,
        _ => ErrorLevel::Ignore,
    }
}
