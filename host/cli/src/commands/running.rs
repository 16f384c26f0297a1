//! What is common to the commands that run a model over a dataset.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use modelzoo::data::{Dataset, OpenOptions};
use modelzoo::device::{Device, DeviceSpec, PrecisionSpec};
use modelzoo::models::{LoadOptions, LoadedModel};
use modelzoo::runs::Applied;
use serde_json::{Map, Value};

use super::requirements;
use crate::args::GrantArgs;
use crate::console::Console;
use crate::failure::{Failure, SOME_FAILED};
use crate::hints::Hint;
use crate::names::flag;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The model; or a source, which is registered if it is not yet
    name_or_source: String,
    /// The dataset: a directory, or a file of texts
    dataset: PathBuf,
    /// The model to run, if a source is named
    #[arg(short = 'n', long = flag::MODEL_NAME, value_name = "MODEL")]
    model_name: Option<String>,
    /// How many samples are computed at once
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch_size: Option<u32>,
    /// Write the results here instead of into the dataset: a file that ends in .jsonl, .npy
    /// (embeddings) or .parquet, or a directory for a new dataset
    #[arg(long = flag::OUTPUT, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// Replace what is at --output
    #[arg(short, long = flag::OVERWRITE, requires = "output")]
    pub(crate) overwrite: bool,
    /// Let the dataset name files outside its own directory
    #[arg(long = flag::ALLOW_OUTSIDE)]
    allow_outside: bool,
    /// The directory that the dataset's relative paths are relative to, FiftyOne's `rel_dir`; its
    /// own by default
    #[arg(long, value_name = "DIR")]
    rel_dir: Option<PathBuf>,
    /// The key in each line of JSON, or the column of the CSV file, that holds the text
    /// [default: text]
    #[arg(long = flag::TEXT_FIELD, value_name = "NAME")]
    text_field: Option<String>,
    /// An argument for the source's `load_model` hook; the value is JSON, or else text
    #[arg(long = flag::KWARG, value_name = "KEY=VALUE", value_parser = kwarg)]
    kwargs: Vec<(String, Value)>,
    /// Where to compute: auto, cpu, cuda, cuda:N or metal
    #[arg(long = flag::DEVICE, default_value = "auto")]
    device: DeviceSpec,
    /// Precision: full (f32), half (f16, only on CUDA and Metal) or auto: half there if the model's
    /// configuration asks for it (`use_half_precision`), or else full
    #[arg(long = flag::PRECISION, default_value = "auto")]
    precision: PrecisionSpec,
    /// A requirement of the model that is not met is 0: an error, 1: a warning, 2: ignored
    #[arg(long = flag::ERROR_LEVEL, value_name = "LEVEL", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    error_level: u8,
    /// The source that declares the model
    #[arg(short, long = flag::SOURCE, value_name = "SOURCE", conflicts_with = "model_name")]
    source: Option<String>,
    #[command(flatten)]
    grant: GrantArgs,
}

impl RunArgs {
    /// Opens the dataset, after checking all arguments that can be checked without it.
    pub(crate) fn dataset(&self, console: &Console) -> Result<Dataset, Failure> {
        kwargs(&self.kwargs)?;
        self.device()?;
        let options = OpenOptions {
            allow_outside: self.allow_outside,
            text_field: self.text_field.clone(),
            rel_dir: self.rel_dir.clone(),
        };
        let dataset = Dataset::open_with(&self.dataset, options).map_err(modelzoo::Error::from)?;
        for warning in dataset.warnings() {
            console.warn(warning);
        }
        Ok(dataset)
    }

    /// Loads the model; downloads it first if necessary.
    pub(crate) async fn model(
        &self,
        embeddings_layer: Option<&str>,
        console: &Console,
    ) -> Result<Arc<LoadedModel>, Failure> {
        let kwargs = kwargs(&self.kwargs)?;
        let zoo = console.zoo()?;
        let loaded = console
            .with_grant(&self.grant, async |grant| {
                let options = LoadOptions {
                    model_name: self.model_name.clone(),
                    source: self.source.clone(),
                    grant,
                    error_level: requirements::error_level(self.error_level),
                    kwargs,
                    device: self.device,
                    precision: self.precision,
                    embeddings_layer: embeddings_layer.map(str::to_owned),
                    ..LoadOptions::default()
                };
                zoo.load_model(&self.name_or_source, options).await
            })
            .await??;
        Ok(loaded)
    }

    /// Opens the device, and checks that it has the precision.
    fn device(&self) -> Result<Device, Failure> {
        let device = self.device.open().map_err(modelzoo::Error::from)?;
        let device = self.precision.on(&device, false);
        Ok(device.map_err(modelzoo::Error::from)?)
    }

    pub(crate) fn batch_size(&self) -> Option<usize> {
        self.batch_size.map(|n| n as usize)
    }
}

/// Prints the results: the files on stdout, the rest as a note. `done` is what was done to each
/// sample.
pub(crate) fn report(
    applied: &Applied,
    done: &str,
    console: &Console,
) -> Result<ExitCode, Failure> {
    if console.json() {
        console.print_json(applied)?;
    } else {
        let mut out = console.stdout();
        for path in &applied.written {
            writeln!(out, "{}", modelzoo::text::escape_path(path))?;
        }
        out.flush()?;
        let mut summary = format!("{} of {} samples {done}", applied.labelled, applied.samples);
        if applied.resumed > 0 {
            summary += &format!(", {} done by an earlier run", applied.resumed);
        }
        if applied.failed > 0 {
            summary += &format!(", {} failed", applied.failed);
        }
        if applied.cut > 0 {
            summary += &format!(
                ", {} longer than the model accepts and truncated",
                applied.cut
            );
        }
        console.note(&summary);
    }
    for remedy in &applied.remedies {
        console.hint(&remedy.clone().into());
    }
    Ok(match applied.failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(SOME_FAILED),
    })
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
                format!("--{} {key} is given twice", flag::KWARG),
                Hint::ListAsOneValue,
            ));
        }
    }
    Ok(map)
}
