//! The files that a manifest lets the host fetch by itself.

use std::collections::BTreeMap;
use std::ops::Bound;

use modelzoo_archive::RelPath;
use modelzoo_net::policy::parse_url;
use serde_json::Value;

use super::error::ManifestError;
use super::fields::Fields;

/// A file that the host fetches for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactEntry {
    /// Where it goes, relative to the model's directory.
    pub path: RelPath,
    /// Where it is fetched from: the first address that has the right bytes. At least one.
    pub urls: Vec<String>,
    /// The digest that it must have, as 64 hexadecimal digits in lower case.
    pub sha256: Option<String>,
    /// The length that it must have.
    pub size_bytes: Option<u64>,
    /// Whether it is an archive, of which only the contents are kept.
    pub unpack: bool,
}

/// Reads `artifacts`. The field is ours, and says what is fetched and where it goes: all of it
/// must be right.
pub(super) fn read(model: &mut Fields<'_, '_>) -> Result<Vec<ArtifactEntry>, ManifestError> {
    let mut artifacts = Vec::new();
    let mut taken = Taken::default();
    for (index, item) in model.strict_list("artifacts")?.iter().enumerate() {
        let mut fields = model.item("artifacts", index, item)?;
        fields.only(&["path", "url", "sha256", "size_bytes", "unpack"]);
        let path = fields
            .strict_path("path")?
            .ok_or_else(|| fields.error("path", "is missing"))?;
        let artifact = ArtifactEntry {
            path,
            urls: urls(&fields)?,
            sha256: fields.strict_sha256("sha256")?,
            size_bytes: fields.strict_bytes("size_bytes")?,
            unpack: fields.strict_bool("unpack")?.unwrap_or(false),
        };
        // What an archive holds is not known yet.
        if !artifact.unpack
            && let Some(other) = taken.take(&artifact.path, index)
        {
            return Err(fields.error("path", format!("is in the way of artifacts[{other}]")));
        }
        artifacts.push(artifact);
    }
    Ok(artifacts)
}

/// One address, or a list of them.
fn urls(fields: &Fields<'_, '_>) -> Result<Vec<String>, ManifestError> {
    let texts = match fields.get("url") {
        Some(Value::String(text)) => vec![("url".to_owned(), text.as_str())],
        _ => fields.strict_texts("url")?,
    };
    if texts.is_empty() {
        return Err(fields.error("url", "names no address"));
    }
    texts
        .into_iter()
        .map(|(place, text)| match parse_url(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(refusal) => Err(fields.error(&place, format!("is refused: {refusal}"))),
        })
        .collect()
}

/// The paths of files, by the keys that tell whether two cannot both be where they should: one of
/// them would have to be the other, or a directory on the way to it.
#[derive(Default)]
struct Taken(BTreeMap<String, usize>);

impl Taken {
    /// Takes a path for a file; the file that is in its way, if there is one.
    fn take(&mut self, path: &RelPath, file: usize) -> Option<usize> {
        let key = path.fold_key();
        let on_the_way = key.match_indices('/').filter_map(|(end, _)| key.get(..end));
        let above = on_the_way
            .chain([key.as_str()])
            .find_map(|above| self.0.get(above));
        let start = format!("{key}/");
        let from = (Bound::Included(start.as_str()), Bound::Unbounded);
        let below = self.0.range::<str, _>(from).next();
        let below = below.filter(|(other, _)| other.starts_with(&start));
        let other = above.or(below.map(|(_, file)| file)).copied();
        self.0.insert(key, file);
        other
    }
}
