//! The results of a run, on disk as they come: a frame for the run, then one for
//! each sample. An interrupted run leaves the file, and the next one of the same
//! fingerprint goes on from it.

mod frame;
mod record;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use modelzoo_base::file::open_nofollow;
use modelzoo_model::label::Label;
use serde::Serialize;

use crate::error::Error;
use crate::sample::SampleKey;
use frame::Frame;
pub(crate) use record::{Outcome, Record};

/// What the file begins with. Another number is another format, which is not read.
const MAGIC: &[u8] = b"modelzoo results 2\n";
/// Longest reason kept for a failed sample, in characters.
const MAX_REASON: usize = 2000;

/// What a run is; results are reused only from a run with the same.
#[derive(Debug, Serialize)]
pub(crate) struct Run<'a> {
    pub(crate) field: &'a str,
    pub(crate) label_type: &'a str,
    pub(crate) fingerprint: &'a str,
}

/// The file, and where in it the last result of each sample is.
pub(crate) struct Results {
    path: PathBuf,
    /// Whether the file is the one at the path, not one without a name.
    named: bool,
    file: File,
    slots: Vec<Slot>,
    end: u64,
    frame: Vec<u8>,
}

/// The place of a frame and whether it is a failure; none yet as 0, for no
/// result is at the very beginning.
#[derive(Clone, Copy, Default)]
struct Slot(u64);

impl Slot {
    fn new(offset: u64, failed: bool) -> Self {
        Self(offset << 1 | u64::from(failed))
    }

    fn offset(self) -> Option<u64> {
        (self.0 != 0).then_some(self.0 >> 1)
    }

    fn is_done(self) -> bool {
        self.0 != 0 && self.0 & 1 == 0
    }

    fn is_failed(self) -> bool {
        self.0 & 1 == 1
    }
}

impl Results {
    /// Opens the results in `directory` under `name`, for `len` samples. Those of
    /// the same run are reused where `key` still says the same. Where
    /// another process is writing them, this one keeps its own and leaves nothing.
    pub(crate) fn open(
        directory: &Path,
        name: &str,
        run: &Run<'_>,
        len: usize,
        key: impl Fn(usize) -> Result<SampleKey, Error>,
    ) -> Result<Self, Error> {
        let path = directory.join(name);
        fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
        let file = open_private(&path).map_err(Error::io("open", &path))?;
        let named = file.try_lock().is_ok();
        let file = if named {
            file
        } else {
            tempfile::tempfile_in(directory).map_err(Error::io("write to", directory))?
        };
        let mut results = Self {
            path,
            named,
            file,
            slots: vec![Slot::default(); len],
            end: 0,
            frame: Vec::new(),
        };
        let run = serde_json::to_vec(run)
            .map_err(|error| Error::io("write", &results.path)(error.into()))?;
        if !results.resume(&run, key)? {
            results.begin(&run)?;
        }
        Ok(results)
    }

    fn begin(&mut self, run: &[u8]) -> Result<(), Error> {
        self.truncate(0).map_err(Error::io("write", &self.path))?;
        let mut frame = Vec::new();
        frame::write(&mut frame, |payload| payload.extend_from_slice(run));
        self.frame = [MAGIC, &frame].concat();
        self.append()?;
        Ok(())
    }

    /// Reads what an earlier run left; false if that was another run.
    fn resume(
        &mut self,
        run: &[u8],
        key: impl Fn(usize) -> Result<SampleKey, Error>,
    ) -> Result<bool, Error> {
        let failed = || Error::io("read", &self.path);
        let mut reader = BufReader::with_capacity(1 << 18, &self.file);
        let mut payload = Vec::new();
        (&mut reader)
            .take(MAGIC.len() as u64)
            .read_to_end(&mut payload)
            .map_err(failed())?;
        if payload != MAGIC
            || frame::read(&mut reader, &mut payload).map_err(failed())? != Frame::Whole
            || payload != run
        {
            return Ok(false);
        }
        let mut end = (MAGIC.len() + frame::HEAD + payload.len()) as u64;
        loop {
            match frame::read(&mut reader, &mut payload).map_err(failed())? {
                // What was cut off, or never reached the disk, is computed again.
                Frame::Torn => break,
                // So is the sample of a result that is not what was written.
                Frame::Damaged => {}
                Frame::Whole => {
                    if let Some(record) = record::read(&payload)
                        && let Some(slot) = self.slots.get_mut(record.index)
                        && key(record.index)?.key == record.key
                    {
                        let failed = !record.outcome.is_result();
                        *slot = Slot::new(end, failed);
                    }
                }
            }
            end += (frame::HEAD + payload.len()) as u64;
        }
        self.truncate(end).map_err(Error::io("write", &self.path))?;
        Ok(true)
    }

    fn truncate(&mut self, end: u64) -> io::Result<()> {
        self.file.set_len(end)?;
        self.file.seek(SeekFrom::Start(end))?;
        self.end = end;
        Ok(())
    }

    /// Adds the frame and returns where it begins. One that could not be written
    /// whole is taken back.
    fn append(&mut self) -> Result<u64, Error> {
        let start = self.end;
        if let Err(source) = self.file.write_all(&self.frame) {
            let _ = self.truncate(start);
            return Err(Error::io("write", &self.path)(source));
        }
        self.end += self.frame.len() as u64;
        Ok(start)
    }

    /// Records the label of a sample; none where the model found nothing to say.
    pub(crate) fn put(&mut self, sample: &SampleKey, label: Option<&Label>) -> Result<(), Error> {
        self.check(sample)?;
        let mut written = Ok(());
        frame::write(&mut self.frame, |payload| {
            written = record::write_label(payload, sample, label);
        });
        written.map_err(|error| Error::io("write", &self.path)(io::Error::other(error)))?;
        self.record(sample.index, false)
    }

    /// Records that a sample failed.
    pub(crate) fn fail(&mut self, sample: &SampleKey, why: &str) -> Result<(), Error> {
        self.check(sample)?;
        let why = match why.char_indices().nth(MAX_REASON) {
            Some((end, _)) => why.get(..end).unwrap_or(why),
            None => why,
        };
        frame::write(&mut self.frame, |payload| {
            record::write_failure(payload, sample, why);
        });
        self.record(sample.index, true)
    }

    fn check(&self, sample: &SampleKey) -> Result<(), Error> {
        let (index, len) = (sample.index, self.slots.len());
        if index >= len {
            return Err(Error::NoSuchSample { index, len });
        }
        Ok(())
    }

    fn record(&mut self, index: usize, failed: bool) -> Result<(), Error> {
        let start = self.append()?;
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Slot::new(start, failed);
        }
        Ok(())
    }

    pub(crate) fn is_done(&self, index: usize) -> bool {
        self.slots.get(index).is_some_and(|slot| slot.is_done())
    }

    /// How many samples have a label, or none for a reason of the model's.
    pub(crate) fn done(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_done()).count()
    }

    pub(crate) fn failed(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_failed()).count()
    }

    /// For reading the results back, best in order.
    pub(crate) fn reader(&self) -> Result<ResultReader<'_>, Error> {
        let mut file = BufReader::with_capacity(1 << 18, &self.file);
        file.rewind().map_err(Error::io("read", &self.path))?;
        Ok(ResultReader {
            results: self,
            file,
            at: 0,
            payload: Vec::new(),
        })
    }

    /// Removes the file: the results are where they belong.
    pub(crate) fn finish(self) {
        if self.named {
            // Left behind, it would only be reused and written again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Reads results back.
pub(crate) struct ResultReader<'a> {
    results: &'a Results,
    file: BufReader<&'a File>,
    at: u64,
    payload: Vec<u8>,
}

impl ResultReader<'_> {
    /// The last result of a sample.
    pub(crate) fn get(&mut self, index: usize) -> Result<Option<Record<'_>>, Error> {
        let Some(offset) = self.results.slots.get(index).and_then(|slot| slot.offset()) else {
            return Ok(None);
        };
        let path = &self.results.path;
        let failed = || Error::io("read", path);
        // Relative, so that what is in the buffer is used.
        let way = offset as i64 - self.at as i64;
        self.file.seek_relative(way).map_err(failed())?;
        let frame = frame::read(&mut self.file, &mut self.payload).map_err(failed())?;
        self.at = offset + (frame::HEAD + self.payload.len()) as u64;
        let damaged = || Error::DamagedResult {
            path: path.clone(),
            index,
        };
        if frame != Frame::Whole {
            return Err(damaged());
        }
        record::read(&self.payload).map(Some).ok_or_else(damaged)
    }
}

/// Opens or creates a file that holds results; never through a link, for the
/// directory may be an untrusted dataset.
fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    open_nofollow(path, &mut options)
}
