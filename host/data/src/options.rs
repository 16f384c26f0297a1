use std::path::PathBuf;

/// How a dataset is opened.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The member of a line of JSON, or the column of a CSV file, that holds the texts; none:
    /// `text`.
    pub text_field: Option<String>,
    /// The directory that relative paths of a FiftyOneDataset's samples are relative to; none:
    /// the dataset's own. FiftyOne exports with a `rel_dir` need it.
    pub rel_dir: Option<PathBuf>,
    /// Whether samples may name files outside the dataset's directory (or `rel_dir`), by an
    /// absolute path, by `..` or through links. Off: an untrusted dataset
    /// must not choose which of the user's files are read.
    pub allow_outside: bool,
}
