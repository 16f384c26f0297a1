//! Results as lines of JSON.

use std::io::Write;
use std::path::{Path, PathBuf};

use modelzoo_base::json;

use crate::Error;
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
    let mut about = match job.dataset.reader.row(record.index)? {
        Some(row) => row,
        None => [("filepath".to_owned(), record.key.into())]
            .into_iter()
            .collect(),
    };
    let (key, value) = match record.outcome {
        Outcome::Failed(why) => ("error", json::to_vec(why)),
        outcome => (job.field.as_str(), outcome.render()),
    };
    about.remove(key);
    let mut line = json::to_vec(&about);
    line.pop();
    if !about.is_empty() {
        line.extend_from_slice(b", ");
    }
    line.extend_from_slice(&json::to_vec(key));
    line.extend_from_slice(b": ");
    line.extend_from_slice(&value);
    line.extend_from_slice(b"}\n");
    Ok(line)
}
