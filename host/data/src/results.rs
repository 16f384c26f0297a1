//! The results of a run, on disk as they come: a line for the run, then one for
//! each sample. An interrupted run leaves the file, and the next one of the same
//! fingerprint goes on from it.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Error, text};

/// The form of the lines; another number is another form, which is not read.
const FORM: u32 = 1;
/// Longest reason kept for a failed sample, in characters.
const MAX_REASON: usize = 2000;

/// What a run is; results are taken over only from a run with the same.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) modelzoo_results: u32,
    pub(crate) field: String,
    pub(crate) label_type: String,
    pub(crate) fingerprint: String,
}

impl Run {
    pub(crate) fn new(field: &str, label_type: &str, fingerprint: &str) -> Self {
        Self {
            modelzoo_results: FORM,
            field: field.to_owned(),
            label_type: label_type.to_owned(),
            fingerprint: fingerprint.to_owned(),
        }
    }
}

/// One sample's result: a reason for a failure, else a label or null.
#[derive(Deserialize)]
pub(crate) struct Record<'a> {
    index: usize,
    #[serde(borrow)]
    pub(crate) filepath: Cow<'a, str>,
    #[serde(borrow, default)]
    label: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) error: Option<Cow<'a, str>>,
}

impl Record<'_> {
    /// The text of the label's JSON, `null` where the model found none.
    pub(crate) fn label(&self) -> &str {
        self.label.map_or("null", RawValue::get)
    }
}

/// The file, and where in it the last result of each sample is.
pub(crate) struct Results {
    path: PathBuf,
    /// Whether the file is the one at the path, not one without a name.
    named: bool,
    file: File,
    slots: Vec<Slot>,
    end: u64,
}

/// The place of a line and whether it is a failure; none yet as 0, for no
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
    /// the same run are taken over where `stored` still says the same path. Where
    /// another process is writing them, this one keeps its own and leaves nothing.
    pub(crate) fn open(
        directory: &Path,
        name: &str,
        run: &Run,
        len: usize,
        stored: impl Fn(usize) -> Result<Option<String>, Error>,
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
        };
        if !results.take_over(run, stored)? {
            results.begin(run)?;
        }
        Ok(results)
    }

    fn begin(&mut self, run: &Run) -> Result<(), Error> {
        self.truncate(0).map_err(Error::io("write", &self.path))?;
        self.append(&text::to_json(run))?;
        Ok(())
    }

    /// Reads what an earlier run left; false if that was another run.
    fn take_over(
        &mut self,
        run: &Run,
        stored: impl Fn(usize) -> Result<Option<String>, Error>,
    ) -> Result<bool, Error> {
        let mut reader = BufReader::new(&self.file);
        let mut line = Vec::new();
        let mut end = 0;
        loop {
            line.clear();
            let length = reader
                .read_until(b'\n', &mut line)
                .map_err(Error::io("read", &self.path))?;
            // What was cut off, or never reached the disk, ends what is taken over.
            let Some(text) = line.strip_suffix(b"\n") else {
                break;
            };
            if end == 0 {
                if !serde_json::from_slice::<Run>(text).is_ok_and(|found| found == *run) {
                    return Ok(false);
                }
            } else {
                let Ok(record) = serde_json::from_slice::<Record<'_>>(text) else {
                    break;
                };
                if stored(record.index)?.unwrap_or_default() == record.filepath
                    && let Some(slot) = self.slots.get_mut(record.index)
                {
                    *slot = Slot::new(end, record.error.is_some());
                }
            }
            end += length as u64;
        }
        self.truncate(end).map_err(Error::io("write", &self.path))?;
        Ok(end > 0)
    }

    fn truncate(&mut self, end: u64) -> io::Result<()> {
        self.file.set_len(end)?;
        self.file.seek(SeekFrom::Start(end))?;
        self.end = end;
        Ok(())
    }

    /// Adds a line and returns where it begins. A line that could not be written
    /// whole is taken back.
    fn append(&mut self, line: &[u8]) -> Result<u64, Error> {
        let line = [line, b"\n"].concat();
        let start = self.end;
        if let Err(source) = self.file.write_all(&line) {
            let _ = self.truncate(start);
            return Err(Error::io("write", &self.path)(source));
        }
        self.end += line.len() as u64;
        Ok(start)
    }

    /// Records the label of a sample, as JSON on one line.
    pub(crate) fn put(&mut self, index: usize, filepath: &str, label: &[u8]) -> Result<(), Error> {
        self.record(index, filepath, "label", label, false)
    }

    /// Records that a sample failed.
    pub(crate) fn fail(&mut self, index: usize, filepath: &str, why: &str) -> Result<(), Error> {
        let why: String = why.chars().take(MAX_REASON).collect();
        self.record(index, filepath, "error", &text::to_json(&why), true)
    }

    fn record(
        &mut self,
        index: usize,
        filepath: &str,
        outcome: &str,
        value: &[u8],
        failed: bool,
    ) -> Result<(), Error> {
        let len = self.slots.len();
        if index >= len {
            return Err(Error::NoSuchSample { index, len });
        }
        let mut line = format!("{{\"index\": {index}, \"filepath\": ").into_bytes();
        line.extend(text::to_json(filepath));
        line.extend(format!(", \"{outcome}\": ").into_bytes());
        line.extend(value);
        line.push(b'}');
        let start = self.append(&line)?;
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
    pub(crate) fn reader(&self) -> Result<Reader<'_>, Error> {
        let mut file = BufReader::with_capacity(1 << 18, &self.file);
        file.rewind().map_err(Error::io("read", &self.path))?;
        Ok(Reader {
            results: self,
            file,
            at: 0,
            line: Vec::new(),
        })
    }

    /// Removes the file: the results are where they belong.
    pub(crate) fn finish(self) {
        if self.named {
            // Left behind, it would only be taken over and written again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Reads results back.
pub(crate) struct Reader<'a> {
    results: &'a Results,
    file: BufReader<&'a File>,
    at: u64,
    line: Vec<u8>,
}

impl Reader<'_> {
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
        self.line.clear();
        let length = self
            .file
            .read_until(b'\n', &mut self.line)
            .map_err(failed())?;
        self.at = offset + length as u64;
        serde_json::from_slice(&self.line)
            .map(Some)
            .map_err(|error| failed()(error.into()))
    }
}

/// Opens or creates a file that holds results; never through a link, for the
/// directory may be somebody else's dataset.
fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
    }
    let file = options.open(path)?;
    if !file.metadata()?.is_file() || fs::symlink_metadata(path)?.is_symlink() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    Ok(file)
}
