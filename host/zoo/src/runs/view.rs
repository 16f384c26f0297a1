//! One page that shows a dataset and its labels.

use std::io::BufWriter;
use std::path::Path;

use modelzoo_base::Remedy;
use modelzoo_base::file::{Access, AtomicFile, directory, sync_dir};
use modelzoo_data::{Dataset, Label, MediaError, Sample};
use modelzoo_model::sample::MAX_IMAGE_BYTES;
use modelzoo_report::{Item, Options, Report, Thumbnail};
use modelzoo_runtime::{Color, DecodeLimits, Image, decode_image_bytes};
use rayon::prelude::*;
use serde::Serialize;

use crate::error::Error;
use crate::runs::run::{FILES, Watch, suggest};

/// Samples that are decoded at the same time.
const BATCH: usize = 64;

/// What to show.
#[derive(Debug, Clone)]
pub struct ViewOptions {
    /// The fields whose labels are shown; all fields that hold labels where it is empty.
    pub fields: Vec<String>,
    /// The field with true labels, which the others are compared with.
    pub truth: Option<String>,
    /// The longest side of a thumbnail, in pixels; 224 by default.
    pub thumbnail: u16,
    /// The most samples that are shown, from the first one on.
    pub limit: Option<usize>,
    /// Replace a file that is there.
    pub overwrite: bool,
}

impl Default for ViewOptions {
    fn default() -> Self {
        Self {
            fields: Vec::new(),
            truth: None,
            thumbnail: 224,
            limit: None,
            overwrite: false,
        }
    }
}

/// What a page shows.
#[derive(Debug, Clone, Serialize)]
pub struct Viewed {
    /// Samples on the page.
    pub samples: usize,
    /// Samples that cannot be read, or whose labels cannot.
    pub failed: usize,
    /// The fields that are shown.
    pub fields: Vec<String>,
    /// The size of the page in bytes.
    pub bytes: u64,
    /// What would make more samples readable.
    #[serde(rename = "hints", skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<Remedy>,
}

/// Writes one self-contained HTML page with the samples of a dataset and their labels to `page`.
///
/// A sample that cannot be read is on the page with the reason. The page appears when it is
/// complete.
///
/// # Errors
/// [`Error::Data`] when the dataset cannot be read, has none of the fields, or `page` exists and
/// is not to be replaced; [`Error::Io`] when the page cannot be written.
pub fn view(
    dataset: &Dataset,
    page: &Path,
    options: &ViewOptions,
    watch: &dyn Watch,
) -> Result<Viewed, Error> {
    if !options.overwrite && page.symlink_metadata().is_ok() {
        return Err(modelzoo_data::Error::OutputExists {
            path: page.to_owned(),
        }
        .into());
    }
    let fields = fields(dataset, options)?;
    let total = dataset.len().min(options.limit.unwrap_or(usize::MAX));
    let failed = |error| Error::io("write", page, error);
    let file = AtomicFile::create(page, Access::Shared).map_err(failed)?;
    let title = dataset
        .root()
        .file_name()
        .map(|name| name.to_string_lossy());
    let mut report = Report::start(
        BufWriter::new(file),
        Options {
            title: title.as_deref().unwrap_or("dataset"),
            fields: &fields,
            truth: options.truth.as_deref(),
        },
    )
    .map_err(failed)?;
    let mut viewed = Viewed {
        samples: 0,
        failed: 0,
        fields: fields.clone(),
        bytes: 0,
        remedies: Vec::new(),
    };
    for start in (0..total).step_by(BATCH) {
        let batch: Vec<Option<Shown>> = (start..total.min(start + BATCH))
            .into_par_iter()
            .map(|index| shown(dataset, index, &fields, options.thumbnail))
            .collect::<Result<_, Error>>()?;
        for sample in batch.into_iter().flatten() {
            if let Some(reason) = &sample.failure {
                watch.failed(&sample.name, reason);
                viewed.failed += 1;
                suggest(&mut viewed.remedies, sample.remedy.clone());
            }
            viewed.samples += 1;
            report.add(&sample.item()).map_err(failed)?;
        }
        watch.progress(viewed.samples, total);
    }
    let out = report.finish().map_err(failed)?;
    let file = out.into_inner().map_err(|e| failed(e.into_error()))?;
    viewed.bytes = file.as_file().metadata().map_err(failed)?.len();
    file.sync().map_err(failed)?;
    match options.overwrite {
        true => file.replace().map_err(failed)?,
        false => file.publish().map_err(failed)?,
    }
    // Where a directory cannot be flushed, the system does so in its own time.
    let _ = sync_dir(directory(page));
    Ok(viewed)
}

/// The fields to show: those that were asked for, or all that hold labels. Each must be on a
/// sample.
fn fields(dataset: &Dataset, options: &ViewOptions) -> Result<Vec<String>, Error> {
    let known = dataset.label_fields()?;
    let mut wanted = match options.fields.is_empty() {
        true => known.clone(),
        false => options.fields.clone(),
    };
    if let Some(truth) = &options.truth
        && !wanted.contains(truth)
    {
        wanted.insert(0, truth.clone());
    }
    let missing = wanted.iter().find(|field| !known.contains(*field));
    match missing {
        Some(field) => Err(modelzoo_data::Error::NoSuchField {
            field: field.clone(),
            known,
        }
        .into()),
        None => Ok(wanted),
    }
}

/// A sample that is ready for the page.
struct Shown {
    name: String,
    thumbnail: Option<Thumbnail>,
    text: Option<String>,
    failure: Option<String>,
    remedy: Option<Remedy>,
    labels: Vec<(String, Label)>,
}

impl Shown {
    fn item(&self) -> Item<'_> {
        Item {
            name: &self.name,
            thumbnail: self.thumbnail.as_ref(),
            text: self.text.as_deref(),
            failure: self.failure.as_deref(),
            labels: &self.labels,
        }
    }
}

fn shown(
    dataset: &Dataset,
    index: usize,
    fields: &[String],
    side: u16,
) -> Result<Option<Shown>, Error> {
    let Some(sample) = dataset.sample(index)? else {
        return Ok(None);
    };
    let mut shown = Shown {
        name: sample.display(),
        thumbnail: None,
        text: None,
        failure: None,
        remedy: sample.path.as_ref().err().and_then(MediaError::remedy),
        labels: Vec::new(),
    };
    for (field, label) in dataset.labels(&sample, fields)? {
        match label {
            Ok(label) => shown.labels.push((field, label)),
            Err(reason) => shown.failure = Some(format!("{field}: {reason}")),
        }
    }
    let failure = match sample.text {
        Some(_) => sample
            .into_text()
            .map(|text| shown.text = Some(text))
            .err()
            .map(|e| e.reason()),
        None => match thumbnail(sample, side) {
            Ok(thumbnail) => {
                shown.thumbnail = thumbnail;
                None
            }
            Err(reason) => Some(reason),
        },
    };
    if failure.is_some() {
        shown.failure = failure;
    }
    Ok(Some(shown))
}

fn thumbnail(sample: Sample, side: u16) -> Result<Option<Thumbnail>, String> {
    // Held until the thumbnail is there.
    let _share = FILES.take(sample.file_bytes().min(MAX_IMAGE_BYTES));
    let bytes = sample.read(MAX_IMAGE_BYTES).map_err(|e| e.reason())?;
    let image = decode_image_bytes(&bytes, &DecodeLimits::default()).map_err(|e| e.to_string())?;
    let size = [image.width(), image.height()];
    Ok(match image.color() {
        Color::Rgb => Thumbnail::new(size, image.pixels(), side),
        Color::Gray => Thumbnail::new(size, &in_color(&image), side),
    })
}

/// The pixels of a gray image in RGB.
fn in_color(image: &Image) -> Vec<u8> {
    image.pixels().iter().flat_map(|&gray| [gray; 3]).collect()
}
