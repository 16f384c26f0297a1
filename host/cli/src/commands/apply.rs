use std::process::ExitCode;

use clap::Args;
use modelzoo::runs::ApplyOptions;

use super::running::{RunArgs, report};
use crate::console::Console;
use crate::failure::Failure;

const EXAMPLES: &str = "\
A dataset is a directory in FiftyOneDataset format (metadata.json, samples.json, data/), which gets
the labels as a new field; or a directory of images, which becomes one. With --output the dataset
stays as it is.

Examples:
  modelzoo apply acme/digits-cnn ./photos predictions
  modelzoo apply acme/digits-cnn ./photos predictions --output labels.jsonl --store-logits
  modelzoo apply acme/digits ./photos predictions --model-name acme/digits-cnn --grant all
  modelzoo apply acme/digits-cnn ./photos predictions --kwarg confidence_thresh=0.5
  modelzoo apply acme/clip ./photos predictions --kwarg 'classes=[\"cat\", \"dog\"]'";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    run: RunArgs,
    /// The field that the labels are written to
    label_field: String,
    /// Drop labels below this confidence (0 to 1)
    #[arg(short = 't', long, value_name = "CONFIDENCE", value_parser = confidence)]
    confidence_thresh: Option<f32>,
    /// Keep only labels of this class; may be repeated
    #[arg(long = "class", value_name = "CLASS")]
    classes: Vec<String>,
    /// Keep the logits with each label
    #[arg(short = 'l', long)]
    store_logits: bool,
}

pub(crate) async fn run(args: &ApplyArgs, console: &Console) -> Result<ExitCode, Failure> {
    let dataset = args.run.dataset(console)?;
    let model = args.run.model(None, console).await?;
    let options = ApplyOptions {
        label_field: args.label_field.clone(),
        batch_size: args.run.batch_size(),
        confidence_thresh: args.confidence_thresh,
        classes: (!args.classes.is_empty()).then(|| args.classes.clone()),
        store_logits: args.store_logits,
        output: args.run.output.clone(),
        overwrite_output: args.run.overwrite,
    };
    let bar = console.bars().samples();
    let applied = tokio::task::block_in_place(|| {
        model.apply(&dataset, &options, &bar).map_err(Failure::from)
    })?;
    drop(bar);
    report(&applied, "labelled", console)
}

fn confidence(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("not a number from 0 to 1".into()),
    }
}
