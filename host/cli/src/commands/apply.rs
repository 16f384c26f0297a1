use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use modelzoo::{ApplyOptions, Dataset, DeviceSpec, DownloadOptions, OpenOptions};
use serde_json::{Map, Value};

use super::requirements;
use crate::args::GrantArgs;
use crate::console::Console;
use crate::failure::{Failure, SOME_FAILED};

const EXAMPLES: &str = "\
A dataset is a directory in FiftyOneDataset format (metadata.json, samples.json, data/), which gets
the labels as a new field; or a directory of images, which becomes one. With --output the dataset
is left as it is.

Examples:
  modelzoo apply acme/digits-cnn ./photos predictions
  modelzoo apply acme/digits-cnn ./photos predictions --output labels.jsonl --store-logits
  modelzoo apply acme/digits ./photos predictions --model-name acme/digits-cnn --grant all
  modelzoo apply acme/digits-cnn ./photos predictions --kwarg confidence_thresh=0.5";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ApplyArgs {
    /// The model; or a source, which is registered if it is not yet
    name_or_source: String,
    /// The dataset's directory
    dataset: PathBuf,
    /// The field that the labels are written to
    label_field: String,
    /// The model to apply, when a source is named
    #[arg(short = 'n', long, value_name = "MODEL")]
    model_name: Option<String>,
    /// How many samples are computed at once
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch_size: Option<u32>,
    /// Give no label below this confidence (0 to 1)
    #[arg(short = 't', long, value_name = "CONFIDENCE", value_parser = confidence)]
    confidence_thresh: Option<f32>,
    /// Keep the logits with each label
    #[arg(short = 'l', long)]
    store_logits: bool,
    /// Write the labels here instead of to the dataset: a file that ends in .jsonl, or a directory
    /// for a new dataset
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Replace what is at --output
    #[arg(short, long, requires = "output")]
    overwrite: bool,
    /// Let the dataset name files outside its own directory
    #[arg(long)]
    allow_outside: bool,
    /// An argument for the source's `load_model` hook; the value is JSON, or else text
    #[arg(long = "kwarg", value_name = "KEY=VALUE", value_parser = kwarg)]
    kwargs: Vec<(String, Value)>,
    /// Where to compute: auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "auto")]
    device: DeviceSpec,
    /// What the manifest says that the model needs and is not there: 0: an error, 1: a warning,
    /// 2: ignored
    #[arg(long, value_name = "LEVEL", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    error_level: u8,
    /// The source that declares the model
    #[arg(short, long, value_name = "SOURCE", conflicts_with = "model_name")]
    source: Option<String>,
    #[command(flatten)]
    grant: GrantArgs,
}

pub(crate) async fn run(args: &ApplyArgs, console: &Console) -> Result<ExitCode, Failure> {
    // What can be refused without any work is refused first.
    let kwargs = kwargs(&args.kwargs)?;
    let device = args.device.open().map_err(modelzoo::Error::from)?;
    let open = OpenOptions {
        allow_outside: args.allow_outside,
    };
    let dataset = Dataset::open_with(&args.dataset, open).map_err(modelzoo::Error::from)?;
    for warning in dataset.warnings() {
        console.warn(warning);
    }

    let zoo = console.zoo()?;
    let downloaded = console
        .with_grant(&args.grant, async |grant| {
            let options = DownloadOptions {
                model_name: args.model_name.clone(),
                source: args.source.clone(),
                overwrite: false,
                grant,
            };
            zoo.download(&args.name_or_source, options).await
        })
        .await??;
    requirements::meets(&downloaded.record, &device, args.error_level, console)?;
    let model = zoo.load(&downloaded.record, kwargs, &device).await?;
    let options = ApplyOptions {
        label_field: args.label_field.clone(),
        batch_size: args.batch_size.map(|n| n as usize),
        confidence_thresh: args.confidence_thresh,
        store_logits: args.store_logits,
        output: args.output.clone(),
        overwrite_output: args.overwrite,
    };
    let bar = console.bars().samples();
    let applied = tokio::task::block_in_place(|| {
        model.apply(&dataset, &options, &bar).map_err(Failure::from)
    })?;
    drop(bar);
    if console.json() {
        console.print_json(&applied)?;
    } else {
        let mut out = console.stdout();
        for path in &applied.written {
            writeln!(out, "{}", path.display())?;
        }
        out.flush()?;
        let mut summary = format!(
            "{} of {} samples labelled",
            applied.labelled, applied.samples
        );
        if applied.resumed > 0 {
            summary += &format!(", {} done by an earlier run", applied.resumed);
        }
        if applied.failed > 0 {
            summary += &format!(", {} failed", applied.failed);
        }
        console.note(&summary);
    }
    Ok(match applied.failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(SOME_FAILED),
    })
}

fn confidence(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("not a number from 0 to 1".into()),
    }
}

fn kwarg(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("not KEY=VALUE")?;
    if key.is_empty() {
        return Err("the key is empty".into());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((key.to_owned(), value))
}

fn kwargs(pairs: &[(String, Value)]) -> Result<Map<String, Value>, Failure> {
    let mut map = Map::new();
    for (key, value) in pairs {
        if map.insert(key.clone(), value.clone()).is_some() {
            return Err(Failure::usage(
                format!("--kwarg {key} is given twice"),
                "a list is one value, for example --kwarg 'classes=[\"a\",\"b\"]'",
            ));
        }
    }
    Ok(map)
}
