use std::process::ExitCode;

use clap::Args;
use modelzoo::models::DownloadOptions;
use modelzoo::text::escape;
use serde_json::json;

use crate::args::GrantArgs;
use crate::console::Console;
use crate::failure::Failure;
use crate::hints;
use crate::names::flag;

const EXAMPLES: &str = "\
Examples:
  modelzoo download acme/digits-cnn
  modelzoo download acme/digits-cnn@1.0 --overwrite
  modelzoo download acme/digits-cnn@1.0 --overwrite --accept-changes
  modelzoo download https://github.com/acme/digits --model-name acme/digits-cnn --grant all";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DownloadArgs {
    /// The model; or a source, which is registered if it is not yet
    name_or_source: String,
    /// The model to download, if a source is named
    #[arg(short = 'n', long = flag::MODEL_NAME, value_name = "MODEL")]
    model_name: Option<String>,
    /// Download it again if it is downloaded already
    #[arg(short, long = flag::OVERWRITE)]
    overwrite: bool,
    /// Download it again, and accept files that differ from those that were downloaded before
    #[arg(long = flag::ACCEPT_CHANGES)]
    accept_changes: bool,
    /// The source that declares the model
    #[arg(short, long = flag::SOURCE, value_name = "SOURCE", conflicts_with = "model_name")]
    source: Option<String>,
    #[command(flatten)]
    grant: GrantArgs,
}

pub(crate) async fn run(args: &DownloadArgs, console: &Console) -> Result<ExitCode, Failure> {
    let zoo = console.zoo()?;
    let downloaded = console
        .with_grant(&args.grant, async |grant| {
            let options = DownloadOptions {
                model_name: args.model_name.clone(),
                source: args.source.clone(),
                overwrite: args.overwrite,
                accept_changes: args.accept_changes,
                grant,
            };
            zoo.download(&args.name_or_source, options).await
        })
        .await??;
    let name = downloaded.record.name();
    let path = downloaded.record.place();
    if console.json() {
        console.print_json(&json!({
            "name": name,
            "path": path,
            "fresh": downloaded.fresh,
            "receipt": downloaded.receipt,
            "changes": downloaded.changes,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if downloaded.fresh {
        let size = indicatif::DecimalBytes(downloaded.receipt.size());
        let files = match downloaded.receipt.files.len() {
            1 => "1 file".to_owned(),
            n => format!("{n} files"),
        };
        console.note(&format!("downloaded {name} ({files}, {size})"));
        for change in &downloaded.changes {
            console.note(&format!("  accepted {}", escape(&change.to_string())));
        }
    } else {
        console.note(&format!(
            "{name} is downloaded already; {} downloads it again",
            hints::switch(flag::OVERWRITE)
        ));
    }
    console.print_path(&path)?;
    Ok(ExitCode::SUCCESS)
}
