mod media;

use std::io;
use std::path::PathBuf;

use modelzoo_base::Remedy;
use modelzoo_base::text::{MAX_NAME, escape, escape_path, shorten};

pub use media::MediaError;

/// What can go wrong with a dataset as a whole. What can go wrong with the file
/// of one sample is a [`MediaError`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing at the dataset's path.
    #[error("{}: no such file or directory", escape_path(path))]
    NotFound {
        /// The path as given.
        path: PathBuf,
    },
    /// The dataset is neither a directory nor a file of texts.
    #[error("{}: not a directory, and not a file of texts", escape_path(path))]
    NotADirectory {
        /// The path as given.
        path: PathBuf,
    },
    /// An option that means nothing for a dataset of this kind.
    #[error("{}: a {kind} has no `{option}`", escape_path(path))]
    UnusedOption {
        /// The dataset.
        path: PathBuf,
        /// The option, `rel_dir` or `text_field`.
        option: &'static str,
        /// The kind of the dataset, in words.
        kind: &'static str,
    },
    /// The directory is not a dataset and holds no images.
    #[error("{}: no images in this directory", escape_path(path))]
    NoImages {
        /// The directory.
        path: PathBuf,
    },
    /// A file of texts has none.
    #[error("{}: no texts in this file", escape_path(path))]
    NoTexts {
        /// The file.
        path: PathBuf,
    },
    /// A file of texts has no such column.
    #[error("{}: no column '{}'", escape_path(path), escape(column))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column that was asked for.
        column: String,
        /// Those that there are; none where the format has no columns.
        columns: Vec<String>,
    },
    /// A file of texts has several columns of the name.
    #[error(
        "{}: several columns are named '{}'",
        escape_path(path),
        escape(column)
    )]
    AmbiguousColumn {
        /// The file.
        path: PathBuf,
        /// The column that was asked for.
        column: String,
    },
    /// A file of texts is never changed, so it cannot take results.
    #[error(
        "{}: results cannot be written into a file of texts",
        escape_path(path)
    )]
    TableInPlace {
        /// The file.
        path: PathBuf,
    },
    /// The output's format cannot hold results of this type.
    #[error(
        "{}: a file of this kind holds embeddings only, not a {found}",
        escape_path(path)
    )]
    OutputType {
        /// The output.
        path: PathBuf,
        /// The type of the results.
        found: &'static str,
    },
    /// The vectors of two samples have different lengths, and the output is a matrix.
    #[error(
        "{}: sample {index} has a vector of {found} numbers, the ones before it have {wanted}",
        escape_path(path)
    )]
    VectorLength {
        /// The output.
        path: PathBuf,
        /// The sample.
        index: usize,
        /// Numbers of the vectors before it.
        wanted: usize,
        /// Numbers of its vector.
        found: usize,
    },
    /// A vector has more numbers than are stored.
    #[error("sample {index} has a vector of {found} numbers, beyond the limit of {limit}")]
    VectorSize {
        /// The sample.
        index: usize,
        /// Numbers of the vector.
        found: usize,
        /// The most that are stored.
        limit: usize,
    },
    /// A file could not be read or written.
    #[error("{}: cannot {action}: {source}", escape_path(path))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file of the dataset is not what its format says.
    #[error("{}: byte {offset}: {reason}", escape_path(path))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where, counted from the beginning of the file.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// `metadata.json` does not describe a dataset.
    #[error("{}: {reason}", escape_path(path))]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that lists the dataset's samples or describes it is a link to somewhere else.
    #[error("{}: a link that leads out of the dataset", escape_path(path))]
    ListOutside {
        /// The link.
        path: PathBuf,
    },
    /// One document is too large to be held in memory.
    #[error(
        "{}: a document of {bytes} bytes, beyond the limit of {limit}",
        escape_path(path)
    )]
    TooLarge {
        /// The file that the document is in.
        path: PathBuf,
        /// The size of the document.
        bytes: u64,
        /// The largest that is read.
        limit: u64,
    },
    /// The name cannot be a field.
    #[error("'{}' cannot be the name of a field: {reason}", escape(name))]
    FieldName {
        /// The name, shortened.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The dataset has a field of this name with other contents.
    #[error(
        "field '{field}' is a {} already, and cannot become a {wanted}",
        escape(existing)
    )]
    FieldType {
        /// The field.
        field: String,
        /// The type that the dataset has.
        existing: String,
        /// The type to be written.
        wanted: &'static str,
    },
    /// The dataset says that the field is read-only.
    #[error("field '{field}' is read-only in this dataset")]
    FieldReadOnly {
        /// The field.
        field: String,
    },
    /// A label of another type than the sink was opened for.
    #[error("a {found} for field '{field}', which holds a {wanted}")]
    LabelType {
        /// The field.
        field: String,
        /// The field's type.
        wanted: &'static str,
        /// The label's type.
        found: &'static str,
    },
    /// A label in the dataset cannot be read.
    #[error("sample {index}: field '{}' cannot be read: {reason}", escape(field))]
    Label {
        /// The sample.
        index: usize,
        /// The field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No sample has a label in this field.
    #[error("no sample has a label in the field '{}'", escape(field))]
    NoSuchField {
        /// The field.
        field: String,
        /// The fields that hold labels.
        known: Vec<String>,
    },
    /// There is no sample of this number.
    #[error("sample {index} of a dataset with {len}")]
    NoSuchSample {
        /// The number asked for.
        index: usize,
        /// How many there are.
        len: usize,
    },
    /// A FiftyOneDataset without `metadata.json` cannot take a field.
    #[error("{}: missing, so a field cannot be declared", escape_path(path))]
    NoMetadata {
        /// Where the file should be.
        path: PathBuf,
    },
    /// The output is there already.
    #[error("{}: exists already", escape_path(path))]
    OutputExists {
        /// The file.
        path: PathBuf,
    },
    /// A directory of images has a `metadata.json` that modelzoo did not write;
    /// labels beside the images would have to replace it.
    #[error(
        "{}: not written by modelzoo, so it is not replaced",
        escape_path(path)
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// A file that would be replaced is a link.
    #[error("{}: a link, which writing would replace", escape_path(path))]
    Linked {
        /// The link.
        path: PathBuf,
    },
    /// The dataset has parts that a second dataset beside it cannot share.
    #[error(
        "{}: a new dataset cannot share this part of the old one",
        escape_path(path)
    )]
    NotShared {
        /// The part.
        path: PathBuf,
    },
    /// A result that was stored during a run is not what was written.
    #[error(
        "{}: the stored result of sample {index} is damaged",
        escape_path(path)
    )]
    DamagedResult {
        /// The file of unfinished results.
        path: PathBuf,
        /// The sample.
        index: usize,
    },
    /// Somebody changed the dataset's list of samples during the run.
    #[error("{}: the samples changed during the run", escape_path(path))]
    Changed {
        /// The file or directory that lists the samples.
        path: PathBuf,
    },
}

impl Error {
    /// What the user can do about it.
    pub fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::NotADirectory { .. } => Remedy::advice(
                "a dataset is a directory of images, one with metadata.json and samples.json, or a file of texts (.txt, .jsonl, .csv)",
            ),
            Self::NotFound { .. } => Remedy::advice("a path is relative to the current directory"),
            Self::UnusedOption {
                option: "rel_dir", ..
            } => Remedy::advice(
                "leave it out; only the paths of a FiftyOneDataset can be relative to another directory",
            ),
            Self::UnusedOption { .. } => {
                Remedy::advice("leave it out; only files of texts (.jsonl, .csv) have columns")
            }
            Self::NoColumn { columns, .. } if columns.is_empty() => {
                Remedy::advice("a plain text file has one text per line, and no columns")
            }
            Self::NoColumn { columns, .. } => Remedy::TextColumn(shown_columns(columns)),
            Self::AmbiguousColumn { .. } => {
                Remedy::advice("rename one of them in the first row of the file")
            }
            Self::TableInPlace { .. } => Remedy::WriteElsewhere {
                endings: &[".jsonl", ".npy", ".parquet"],
            },
            Self::VectorSize { .. } => Remedy::OtherLayer,
            Self::OutputType { .. } => {
                Remedy::advice("choose an output that ends in .jsonl or .parquet")
            }
            Self::VectorLength { .. } => Remedy::advice(
                "choose an output that ends in .jsonl or .parquet, or let the model pool its features",
            ),
            Self::NoImages { .. } => {
                Remedy::advice("images are found by their names and by how they begin")
            }
            Self::FieldName { .. } => {
                Remedy::advice("a field is a letter, then letters, digits and underscores")
            }
            Self::FieldType { .. } | Self::FieldReadOnly { .. } => Remedy::OtherField,
            Self::NoMetadata { .. } | Self::NotOurs { .. } => Remedy::WriteElsewhere {
                endings: &[".jsonl"],
            },
            Self::OutputExists { .. } => Remedy::ReplaceOutput,
            Self::NoSuchField { known, .. } if known.is_empty() => {
                Remedy::advice("the dataset has no labels yet")
            }
            Self::NoSuchField { known, .. } => {
                let known: Vec<_> = known.iter().map(|field| escape(field)).collect();
                Remedy::advice(format!("fields with labels: {}", known.join(", ")))
            }
            Self::Linked { .. } | Self::NotShared { .. } => Remedy::WriteElsewhere {
                endings: &[".jsonl"],
            },
            Self::DamagedResult { .. } => {
                Remedy::advice("run the same command again: that sample is computed again")
            }
            Self::Changed { .. } => Remedy::advice(
                "run the same command again: samples that were done and are unchanged are kept",
            ),
            Self::ListOutside { .. } => Remedy::AllowOutside,
            Self::NoTexts { .. }
            | Self::Io { .. }
            | Self::Malformed { .. }
            | Self::Metadata { .. }
            | Self::TooLarge { .. }
            | Self::LabelType { .. }
            | Self::Label { .. }
            | Self::NoSuchSample { .. } => return None,
        })
    }

    /// For `map_err` on what `action` did to `path`.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        // The path is only copied where there is an error.
        move |source| Self::Io {
            action,
            path: path.into(),
            source,
        }
    }
}

/// The names of columns; the first few of a long list.
fn shown_columns(columns: &[String]) -> Vec<String> {
    const SHOWN: usize = 16;
    let mut shown: Vec<_> = columns
        .iter()
        .take(SHOWN)
        .map(|column| shorten(column, MAX_NAME))
        .collect();
    if let more @ 1.. = columns.len().saturating_sub(SHOWN) {
        shown.push(format!("and {more} more"));
    }
    shown
}
