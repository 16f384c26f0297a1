//! One self-contained HTML page over samples and their labels.
//!
//! Samples go in one after the other, and the page is written as they come: memory holds the
//! counts of labels and one sample, whatever the size of the dataset. The page needs no network
//! and opens from disk. Its content security policy lets only its own script run and only its own
//! thumbnails load, so that labels of an untrusted dataset stay text.
//!
//! ```
//! use modelzoo_model::label::{Classification, Label};
//! use modelzoo_report::{Item, Options, Report, Thumbnail};
//!
//! # fn main() -> std::io::Result<()> {
//! let fields = ["predictions".to_owned()];
//! let mut report = Report::start(Vec::new(), Options { title: "photos", fields: &fields, truth: None })?;
//! let label = Classification { label: Some("cat".into()), confidence: Some(0.9), ..Default::default() };
//! report.add(&Item {
//!     name: "a.png",
//!     thumbnail: Thumbnail::new([2, 1], &[0, 0, 0, 255, 255, 255], 160).as_ref(),
//!     text: None,
//!     failure: None,
//!     labels: &[("predictions".to_owned(), Label::Classification(label))],
//! })?;
//! let page = report.finish()?;
//! assert!(page.starts_with(b"<!doctype html>"));
//! # Ok(())
//! # }
//! ```

mod matching;
mod page;
mod raster;
mod shapes;
mod statistics;
mod thumbnail;

use std::io::{self, Write};

use modelzoo_model::label::Label;
use serde::Serialize;
use serde_json::{Map, Value, json};

use statistics::Statistics;
pub use thumbnail::Thumbnail;

/// What a report is about.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The heading: the name of the dataset.
    pub title: &'a str,
    /// The fields whose labels are shown.
    pub fields: &'a [String],
    /// The field that the others are compared with, one of `fields`.
    pub truth: Option<&'a str>,
}

/// A sample with its labels.
#[derive(Debug)]
pub struct Item<'a> {
    /// What the sample is called: its path as stored.
    pub name: &'a str,
    /// The image, made small; absent for a text and where the image cannot be read.
    pub thumbnail: Option<&'a Thumbnail>,
    /// The text, where the sample is one.
    pub text: Option<&'a str>,
    /// Why the sample or one of its labels cannot be shown.
    pub failure: Option<&'a str>,
    /// The labels, each with its field.
    pub labels: &'a [(String, Label)],
}

/// A page that is being written.
pub struct Report<'a, W> {
    out: W,
    options: Options<'a>,
    samples: usize,
    failed: usize,
    statistics: Statistics,
}

/// A sample as the page's script reads it.
#[derive(Serialize)]
struct Sample<'a> {
    name: &'a str,
    /// The URL of the thumbnail.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    /// Its width and height.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<[u32; 2]>,
    /// Width and height of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<[u32; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
    /// What is drawn, per field.
    labels: Map<String, Value>,
}

/// The longest text that is shown of a sample, in characters.
const MAX_TEXT: usize = 600;

impl<'a, W: Write> Report<'a, W> {
    /// Writes the head of a page.
    ///
    /// # Errors
    /// The page cannot be written.
    pub fn start(mut out: W, options: Options<'a>) -> io::Result<Self> {
        page::write_head(&mut out, options.title)?;
        Ok(Self {
            out,
            samples: 0,
            failed: 0,
            statistics: Statistics::new(options.truth),
            options,
        })
    }

    /// Adds a sample.
    ///
    /// # Errors
    /// The page cannot be written.
    pub fn add(&mut self, item: &Item<'_>) -> io::Result<()> {
        let shown = item.thumbnail.map(Thumbnail::shown);
        let shapes = item.labels.iter().map(|(field, label)| {
            let shapes = shapes::of(label, shown.unwrap_or_default());
            (field.clone(), Value::Array(shapes))
        });
        let sample = Sample {
            name: item.name,
            image: item.thumbnail.map(Thumbnail::data_url),
            size: shown,
            original: item.thumbnail.map(Thumbnail::original),
            text: item.text.map(|text| text.chars().take(MAX_TEXT).collect()),
            failure: item.failure,
            labels: shapes.collect(),
        };
        self.failed += usize::from(item.failure.is_some());
        self.statistics.count(item.labels);
        if self.samples > 0 {
            self.out.write_all(b",\n")?;
        }
        self.samples += 1;
        page::write_json(&mut self.out, &sample)
    }

    /// Writes the rest of the page, and returns what it was written to.
    ///
    /// # Errors
    /// The page cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        let about = json!({
            "title": self.options.title,
            "fields": self.options.fields,
            "truth": self.options.truth,
            "samples": self.samples,
            "failed": self.failed,
            "statistics": self.statistics.to_json(),
        });
        page::write_tail(&mut self.out, &about)?;
        self.out.flush()?;
        Ok(self.out)
    }
}
