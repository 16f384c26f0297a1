//! Results as lines of JSON.

use std::io::Write;
use std::path::{Path, PathBuf};

use modelzoo_base::json::{self, Object};

use crate::error::Error;
use crate::files::malformed;
use crate::replace::stage;
use crate::results::{Outcome, Record, Results};
use crate::writers::{FileFormat, Job, Writer, prepare_file};

pub(crate) const FORMAT: FileFormat = FileFormat {
    extensions: &["jsonl", "ndjson"],
    writer: |path| Box::new(JsonLines { path }),
};

struct JsonLines {
    path: PathBuf,
}

impl Writer for JsonLines {
    fn name(&self) -> &Path {
        &self.path
    }

    fn prepare(&self, job: &Job<'_>) -> Result<PathBuf, Error> {
        prepare_file(job, &self.path)
    }

    fn commit(&self, job: &Job<'_>, results: &Results) -> Result<Vec<PathBuf>, Error> {
        let mut reader = results.reader()?;
        let staged = stage(&self.path, job.overwrite, |out| {
            for index in 0..job.dataset.len() {
                if let Some(record) = reader.get(index)? {
                    let line = line(job, record)?;
                    out.write_all(&line)
                        .map_err(Error::io("write", &self.path))?;
                }
            }
            Ok(())
        })?;
        Ok(vec![staged.finish()?])
    }
}

/// What is known of a sample, and its result under the field's name, or why it has none.
fn line(job: &Job<'_>, record: Record<'_>) -> Result<Vec<u8>, Error> {
    let about = match job.dataset.reader.row(record.index)? {
        Some(row) => row,
        None => json::to_vec(&serde_json::json!({ "filepath": record.key })),
    };
    let edit = match record.outcome {
        Outcome::Failed(why) => ("error", json::to_vec(why)),
        outcome => (job.field.as_str(), outcome.render()),
    };
    let list = job.dataset.reader.list();
    let object = Object::parse(&about).map_err(|error| malformed(list, error))?;
    let mut line = object.edited(&about, &[edit]);
    line.push(b'\n');
    Ok(line)
}
