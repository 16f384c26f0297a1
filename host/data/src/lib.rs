//! Datasets in and out, in FiftyOne's formats and without its database.
//!
//! A [`Dataset`] is a FiftyOneDataset directory, a directory of images or a file of
//! texts. It is read as a list of [`Sample`]s, each with a vetted path: what an untrusted
//! dataset names outside itself, on the network, or as a device is refused.
//! Results of a run go into a [`ResultSink`], which keeps them on disk as they
//! come, so that an interrupted run resumes, and writes them all at once.
//!
//! Each format is one file: a reader in `readers`, a writer in `writers`.
//!
//! What this crate does not know in a dataset it keeps byte for byte: new values
//! are put into the text of `samples.json` and `metadata.json`, which are never
//! printed again from parsed values. A file is replaced by renaming a complete
//! one over it, so a crash leaves the old or the new, and both can be read.
//!
//! ```
//! use modelzoo_data::{
//!     Classification, Dataset, FieldName, Label, LabelType, ResultSink, SinkOptions,
//! };
//!
//! fn classify(_image: &[u8]) -> String {
//!     "cat".to_owned()
//! }
//!
//! fn apply(directory: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
//!     let dataset = Dataset::open(directory)?;
//!     let field: FieldName = "predictions".parse()?;
//!     let options = SinkOptions {
//!         fingerprint: "digest of the model, arguments".to_owned(),
//!         ..SinkOptions::default()
//!     };
//!     let mut sink = ResultSink::open(&dataset, &field, LabelType::Classification, options)?;
//!     for sample in dataset.samples() {
//!         let sample = sample?;
//!         if sink.is_done(sample.index) {
//!             continue;
//!         }
//!         let key = sample.key();
//!         match sample.read(64 << 20) {
//!             Ok(image) => {
//!                 let label = Label::Classification(Classification {
//!                     label: Some(classify(&image)),
//!                     ..Classification::default()
//!                 });
//!                 sink.put(&key, Some(&label))?;
//!             }
//!             Err(error) => sink.fail(&key, &error.to_string())?,
//!         }
//!     }
//!     let written = sink.commit()?;
//!     println!("{} labels, {} failures", written.written, written.failed);
//!     Ok(())
//! }
//! # let directory = tempfile::tempdir().unwrap();
//! # std::fs::write(directory.path().join("a.png"), b"").unwrap();
//! # apply(directory.path()).unwrap();
//! ```

mod dataset;
mod document;
mod error;
mod extents;
mod field;
mod files;
mod media;
mod options;
mod readers;
mod replace;
mod results;
mod sample;
mod sink;
mod text;
mod writers;

pub use dataset::{Dataset, FieldLabel};
pub use document::Document;
pub use error::{Error, MediaError};
pub use field::{FieldName, FieldNames};
pub use modelzoo_model::label::{Classification, Classifications, Label, LabelType, ObjectId};
pub use options::OpenOptions;
pub use sample::{Sample, SampleKey};
pub use sink::{ResultSink, SinkOptions, Written};
pub use writers::Output;
