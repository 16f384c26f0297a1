/// How a dataset is opened.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The member of a line of JSON, or the column of a CSV file, that holds the texts; none:
    /// `text`.
    pub text_field: Option<String>,
    /// Whether samples may name files outside the dataset's directory, by an
    /// absolute path, by `..` or through links. Off: an untrusted dataset
    /// must not choose which of the user's files are read.
    pub allow_outside: bool,
}
