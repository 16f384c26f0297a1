//! Embeddings as one matrix in numpy's format.

use std::io::Write;
use std::path::{Path, PathBuf};

use modelzoo_model::label::{Element, Label, LabelType, npy};

use crate::error::Error;
use crate::replace::stage;
use crate::results::{Outcome, Results};
use crate::writers::{FileFormat, Job, Writer, prepare_file};

pub(crate) const FORMAT: FileFormat = FileFormat {
    extensions: &["npy"],
    writer: |path| Box::new(Matrix { path, width: None }),
};

struct Matrix {
    path: PathBuf,
    /// How many numbers the vectors have, once one is known.
    width: Option<usize>,
}

impl Matrix {
    fn check_width(&self, index: usize, found: usize, wanted: usize) -> Result<(), Error> {
        if found == wanted {
            return Ok(());
        }
        Err(Error::VectorLength {
            path: self.path.clone(),
            index,
            wanted,
            found,
        })
    }
}

impl Writer for Matrix {
    fn name(&self) -> &Path {
        &self.path
    }

    fn prepare(&self, job: &Job<'_>) -> Result<PathBuf, Error> {
        if job.kind != LabelType::Vector {
            return Err(Error::OutputType {
                path: self.path.clone(),
                found: job.kind.name(),
            });
        }
        prepare_file(job, &self.path)
    }

    fn check(&mut self, index: usize, label: &Label) -> Result<(), Error> {
        let Label::Vector(vector) = label else {
            return Ok(());
        };
        let wanted = *self.width.get_or_insert(vector.len());
        self.check_width(index, vector.len(), wanted)
    }

    /// One row per sample; rows of NaN for those that have no vector.
    fn commit(&self, job: &Job<'_>, results: &Results) -> Result<Vec<PathBuf>, Error> {
        let rows = job.dataset.len();
        let width = width(results, rows)?;
        let missing: Vec<u8> = f32::NAN.to_le_bytes().repeat(width);
        let mut reader = results.reader()?;
        let staged = stage(&self.path, job.overwrite, |out| {
            let failed = || Error::io("write", &self.path);
            let header = npy::header(Element::F32, &[rows, width]);
            out.write_all(&header).map_err(failed())?;
            for index in 0..rows {
                let record = reader.get(index)?;
                let row = match &record {
                    Some(record) => vector_of(&record.outcome),
                    None => None,
                };
                if let Some(row) = row {
                    self.check_width(index, row.len() / 4, width)?;
                }
                out.write_all(row.unwrap_or(&missing)).map_err(failed())?;
            }
            Ok(())
        })?;
        Ok(vec![staged.finish()?])
    }
}

/// How many numbers the first vector has.
fn width(results: &Results, rows: usize) -> Result<usize, Error> {
    let mut reader = results.reader()?;
    for index in 0..rows {
        if let Some(record) = reader.get(index)?
            && let Some(vector) = vector_of(&record.outcome)
        {
            return Ok(vector.len() / 4);
        }
    }
    Ok(0)
}

fn vector_of<'a>(outcome: &Outcome<'a>) -> Option<&'a [u8]> {
    match outcome {
        Outcome::Vector(bytes) => Some(bytes),
        Outcome::Failed(_) | Outcome::Empty | Outcome::Label(_) => None,
    }
}
