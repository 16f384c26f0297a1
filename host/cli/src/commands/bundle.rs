use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use indicatif::DecimalBytes;
use modelzoo::sources::ImportOptions;
use modelzoo::store::RegisterOutcome;

use super::register_source;
use crate::args::GrantArgs;
use crate::console::{Console, shown};
use crate::failure::Failure;
use crate::names::flag;

const EXAMPLES: &str = "\
A bundle is a tar with a source, its entry of modelzoo.lock, and downloaded models. Permissions are
not in it.

Examples:
  modelzoo bundle export acme/digits --output digits.tar
  modelzoo bundle import digits.tar";

const EXPORT_EXAMPLES: &str = "\
Examples:
  modelzoo bundle export acme/digits --output digits.tar
  modelzoo bundle export acme/digits -n acme/digits-cnn --output digits.tar";

const IMPORT_EXAMPLES: &str = "\
Everything is checked before anything is visible. A bundle is not signed: trust it as
far as you trust where it is from. `update-source` compares the source with its origin, and
`download --overwrite` the models; until then they are shown as imported.

Examples:
  modelzoo bundle import digits.tar
  modelzoo bundle import digits.tar --overwrite --grant https://huggingface.co";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BundleArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write a source and its downloaded models into one file
    Export(ExportArgs),
    /// Register the source of a bundle and import its models, without a network
    Import(ImportArgs),
}

#[derive(Debug, Args)]
#[command(after_help = EXPORT_EXAMPLES)]
struct ExportArgs {
    /// The source
    source: String,
    /// Only these models; without one, all that are downloaded
    #[arg(short = 'n', long = flag::MODEL_NAME, value_name = "MODEL", num_args = 1..)]
    model_name: Vec<String>,
    /// The file to write; it must not exist yet
    #[arg(long = flag::OUTPUT, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = IMPORT_EXAMPLES)]
struct ImportArgs {
    /// The file that `bundle export` wrote
    file: PathBuf,
    /// Replace a source that is registered with another tree, and models that exist already
    #[arg(short, long = flag::OVERWRITE)]
    overwrite: bool,
    /// Accept files of models that differ from those that were downloaded before
    #[arg(long = flag::ACCEPT_CHANGES)]
    accept_changes: bool,
    #[command(flatten)]
    grant: GrantArgs,
}

pub(crate) async fn run(args: &BundleArgs, console: &Console) -> Result<ExitCode, Failure> {
    match &args.verb {
        Verb::Export(args) => export(args, console),
        Verb::Import(args) => import(args, console).await,
    }
}

fn export(args: &ExportArgs, console: &Console) -> Result<ExitCode, Failure> {
    let exported = console
        .zoo()?
        .export_bundle(&args.source, &args.model_name, &args.output)?;
    if console.json() {
        console.print_json(&exported)?;
        return Ok(ExitCode::SUCCESS);
    }
    let models = match exported.models.len() {
        0 => "no model".to_owned(),
        1 => "1 model".to_owned(),
        n => format!("{n} models"),
    };
    let bytes = DecimalBytes(exported.bytes);
    console.note(&format!(
        "exported {} with {models} ({bytes}, sha256 {})",
        exported.source, exported.sha256
    ));
    console.print_path(&exported.path)?;
    Ok(ExitCode::SUCCESS)
}

async fn import(args: &ImportArgs, console: &Console) -> Result<ExitCode, Failure> {
    let zoo = console.zoo()?;
    let imported = console
        .with_grant(&args.grant, async |grant| {
            let options = ImportOptions {
                overwrite: args.overwrite,
                accept_changes: args.accept_changes,
                grant,
            };
            zoo.import_bundle(&args.file, options)
        })
        .await??;
    let registered = &imported.registered;
    if console.json() {
        for warning in &registered.warnings {
            console.warn(warning);
        }
        console.print_json(&imported)?;
        return Ok(ExitCode::SUCCESS);
    }
    match registered.outcome {
        RegisterOutcome::AlreadyRegistered => console.note(&format!(
            "{} is registered already, with the same tree",
            registered.source.locked.id
        )),
        _ => register_source::report(registered, "was replaced", console),
    }
    let mut out = console.stdout();
    for model in &imported.models {
        if !model.fresh {
            console.note(&format!("{} is downloaded already", model.name));
        }
        writeln!(out, "{}", shown(&model.name))?;
    }
    Ok(out.flush().map(|()| ExitCode::SUCCESS)?)
}
