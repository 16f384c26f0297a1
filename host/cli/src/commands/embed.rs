use std::process::ExitCode;

use clap::Args;
use modelzoo::runs::EmbedOptions;

use super::running::{RunArgs, report};
use crate::console::Console;
use crate::failure::Failure;
use crate::names::flag;

const EXAMPLES: &str = "\
A dataset is a directory in FiftyOneDataset format (metadata.json, samples.json, data/), which gets
the embeddings as a new field; a directory of images, which becomes one; or a file of texts: .txt
with one text per line, .jsonl or .csv. A file of texts is never changed, so it needs --output.

Examples:
  modelzoo embed acme/dino ./photos embedding
  modelzoo embed acme/dino ./photos embedding --output photos.npy
  modelzoo embed acme/minilm reviews.csv embedding --text-field review --output reviews.parquet
  modelzoo embed acme/digits-cnn ./photos features --layer '<fc'";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EmbedArgs {
    #[command(flatten)]
    run: RunArgs,
    /// The field that the embeddings are written to
    field: String,
    /// Use the output of this layer of the network, or its input with a `<` before the name
    #[arg(long = flag::LAYER, value_name = "LAYER")]
    layer: Option<String>,
}

pub(crate) async fn run(args: &EmbedArgs, console: &Console) -> Result<ExitCode, Failure> {
    let dataset = args.run.dataset(console)?;
    let model = args.run.model(args.layer.as_deref(), console).await?;
    let options = EmbedOptions {
        field: args.field.clone(),
        batch_size: args.run.batch_size(),
        output: args.run.output.clone(),
        overwrite_output: args.run.overwrite,
    };
    let bar = console.bars().samples();
    let applied = tokio::task::block_in_place(|| {
        model.embed(&dataset, &options, &bar).map_err(Failure::from)
    })?;
    drop(bar);
    report(&applied, "embedded", console)
}
