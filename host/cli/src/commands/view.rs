use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use modelzoo::data::{Dataset, OpenOptions};
use modelzoo::runs::{self, ViewOptions};

use crate::console::Console;
use crate::failure::{Failure, SOME_FAILED};
use crate::names::flag;

const EXAMPLES: &str = "\
The page needs no network, opens from disk and holds small copies of the images. It draws classes,
boxes, masks, points, lines and heat maps, and filters by label and confidence.

Examples:
  modelzoo view ./photos -o report.html
  modelzoo view ./photos predictions --truth ground_truth -o report.html";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ViewArgs {
    /// The dataset: a directory, or a file of texts
    dataset: PathBuf,
    /// The fields whose labels are shown [default: all that hold labels]
    #[arg(value_name = "FIELD")]
    fields: Vec<String>,
    /// Where the page goes
    #[arg(short, long = flag::OUTPUT, value_name = "PATH")]
    output: PathBuf,
    /// Replace what is at --output
    #[arg(long = flag::OVERWRITE)]
    overwrite: bool,
    /// The field with true labels: the others are compared with it in confusion matrices
    #[arg(long, value_name = "FIELD")]
    truth: Option<String>,
    /// The longest side of an image on the page, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 224, value_parser = clap::value_parser!(u16).range(16..=2048))]
    thumbnail: u16,
    /// Show only so many samples, from the first one on
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Let the dataset name files outside its own directory
    #[arg(long = flag::ALLOW_OUTSIDE)]
    allow_outside: bool,
    /// The directory that the dataset's relative paths are relative to, FiftyOne's `rel_dir`; its
    /// own by default
    #[arg(long, value_name = "DIR")]
    rel_dir: Option<PathBuf>,
}

pub(crate) fn run(args: &ViewArgs, console: &Console) -> Result<ExitCode, Failure> {
    let options = OpenOptions {
        allow_outside: args.allow_outside,
        text_field: None,
        rel_dir: args.rel_dir.clone(),
    };
    let dataset = Dataset::open_with(&args.dataset, options).map_err(modelzoo::Error::from)?;
    for warning in dataset.warnings() {
        console.warn(warning);
    }
    let options = ViewOptions {
        fields: args.fields.clone(),
        truth: args.truth.clone(),
        thumbnail: args.thumbnail,
        limit: args.limit,
        overwrite: args.overwrite,
    };
    let bar = console.bars().samples();
    let viewed = tokio::task::block_in_place(|| {
        runs::view(&dataset, &args.output, &options, &bar).map_err(Failure::from)
    })?;
    drop(bar);
    if console.json() {
        console.print_json(&viewed)?;
    } else {
        console.print_path(&args.output)?;
        console.note(&format!(
            "{} samples, {} failed; {} MB",
            viewed.samples,
            viewed.failed,
            viewed.bytes.div_ceil(1_000_000)
        ));
    }
    for remedy in &viewed.remedies {
        console.hint(&remedy.clone().into());
    }
    Ok(match viewed.failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(SOME_FAILED),
    })
}
