use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use modelzoo::models::Filter;

use crate::console::{Console, shown};
use crate::failure::Failure;
use crate::hints;
use crate::names::{flag, verb};
use crate::table;

const EXAMPLES: &str = "\
Examples:
  modelzoo list
  modelzoo list --names-only --downloaded-only
  modelzoo list --tags classification image --license MIT,Apache-2.0
  modelzoo list --source acme/digits";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListArgs {
    /// Print only the names
    #[arg(short, long)]
    names_only: bool,
    /// List only downloaded models
    #[arg(short, long)]
    downloaded_only: bool,
    /// List models that have all of these tags
    #[arg(short, long, num_args = 1.., value_delimiter = ',', value_name = "TAG")]
    tags: Vec<String>,
    /// List only models of this source
    #[arg(short, long = flag::SOURCE, value_name = "SOURCE")]
    source: Option<String>,
    /// List models that have one of these licences
    #[arg(short, long, num_args = 1.., value_delimiter = ',', value_name = "LICENSE")]
    license: Vec<String>,
}

pub(crate) fn run(args: &ListArgs, console: &Console) -> Result<ExitCode, Failure> {
    let models = console.zoo()?.list(&Filter {
        tags: args.tags.clone(),
        source: args.source.clone(),
        licenses: args.license.clone(),
        downloaded_only: args.downloaded_only,
    })?;
    if console.json() {
        if args.names_only {
            console.print_json(&models.iter().map(|m| &m.name).collect::<Vec<_>>())?;
        } else {
            console.print_json(&models)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = console.stdout();
    if args.names_only {
        for model in &models {
            writeln!(out, "{}", shown(&model.name))?;
        }
    } else {
        let rows: Vec<_> = models
            .iter()
            .map(|m| {
                [
                    m.name.clone(),
                    m.source.to_string(),
                    m.tags.join(","),
                    m.license.clone().unwrap_or_default(),
                    if m.downloaded { "✓" } else { "" }.to_owned(),
                    m.path
                        .as_ref()
                        .map(|p| p.display().to_string())
                        .unwrap_or_default(),
                ]
            })
            .collect();
        let header = [
            "name",
            "source",
            "tags",
            "license",
            "downloaded",
            "model_path",
        ];
        table::print(&mut out, header, &rows)?;
    }
    out.flush()?;
    if models.is_empty() {
        let filtered = args.downloaded_only
            || args.source.is_some()
            || !args.tags.is_empty()
            || !args.license.is_empty();
        let register = hints::command(&[verb::REGISTER_SOURCE, "SOURCE"]);
        console.note(&match filtered {
            true => "no such models".to_owned(),
            false => format!("no models; {register} registers a source"),
        });
    }
    Ok(ExitCode::SUCCESS)
}
