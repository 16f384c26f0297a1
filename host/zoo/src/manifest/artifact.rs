//! The files that a manifest lets the host fetch by itself.

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
    let mut artifacts: Vec<ArtifactEntry> = Vec::new();
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
        if let Some(other) = artifacts.iter().position(|other| collide(other, &artifact)) {
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

/// Whether two files cannot both be where they should: one of them would have to be the other, or
/// a directory on the way to it. What an archive holds is not known yet.
fn collide(a: &ArtifactEntry, b: &ArtifactEntry) -> bool {
    if a.unpack || b.unpack {
        return false;
    }
    let (a, b) = (a.path.fold_key() + "/", b.path.fold_key() + "/");
    a.starts_with(&b) || b.starts_with(&a)
}
