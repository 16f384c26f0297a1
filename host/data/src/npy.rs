//! Embeddings as one matrix in numpy's format.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::replace::stage;
use crate::results::Reader;
use crate::sink::ResultSink;
use crate::label::vector;
use crate::{Error, text};

/// Writes the vectors of `sink` to `path`, one row a sample; rows of NaN for those that have none.
pub(crate) fn write(sink: &ResultSink<'_>, path: &Path) -> Result<Vec<PathBuf>, Error> {
    let rows = sink.dataset.len();
    let mut reader = sink.results.reader()?;
    let mut width = None;
    for index in 0..rows {
        if let Some(vector) = vector_of(&mut reader, index, path)? {
            width = Some(vector.len());
            break;
        }
    }
    let width = width.unwrap_or_default();
    let staged = stage(path, sink.overwrite, |out| {
        let failed = || Error::io("write", path);
        let header = vector::npy_header(&format!("({rows}, {width})"));
        out.write_all(&header).map_err(failed())?;
        for index in 0..rows {
            let vector = match vector_of(&mut reader, index, path)? {
                Some(vector) if vector.len() != width => {
                    return Err(Error::VectorLength {
                        path: path.to_owned(),
                        index,
                        wanted: width,
                        found: vector.len(),
                    });
                }
                Some(vector) => vector,
                None => vec![f32::NAN; width],
            };
            let bytes: Vec<u8> = vector
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            out.write_all(&bytes).map_err(failed())?;
        }
        Ok(())
    })?;
    Ok(vec![staged.finish()?])
}

/// The vector of a sample; none where it failed or has none.
pub(crate) fn vector_of(
    reader: &mut Reader<'_>,
    index: usize,
    path: &Path,
) -> Result<Option<Vec<f32>>, Error> {
    let Some(record) = reader.get(index)? else {
        return Ok(None);
    };
    if record.error.is_some() || record.label() == "null" {
        return Ok(None);
    }
    let malformed = |reason: String| Error::Malformed {
        path: path.to_owned(),
        offset: 0,
        reason,
    };
    let value = text::parse(record.label().as_bytes()).map_err(|e| malformed(e.to_string()))?;
    vector::from_value(&value)
        .map(Some)
        .map_err(|e| malformed(e.to_string()))
}
