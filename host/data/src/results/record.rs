//! One sample's result as bytes, with the label in a compact typed form.
//!
//! | bytes | |
//! |---|---|
//! | 1 | what the outcome is |
//! | 8 | the sample's number |
//! | 4 | length of the key |
//! | … | the key |
//! | … | the outcome: a reason, the `f32` of a vector, or a label in postcard's encoding |

use modelzoo_base::json;
use modelzoo_model::label::Label;

use crate::sample::SampleKey;

const FAILED: u8 = 0;
const EMPTY: u8 = 1;
const VECTOR: u8 = 2;
const LABEL: u8 = 3;

/// What came of a sample.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "one is made at a time, and moved once"
)]
pub(crate) enum Outcome<'a> {
    /// It has no result, for this reason.
    Failed(&'a str),
    /// The model found nothing to say.
    Empty,
    /// A vector, as little-endian `f32`.
    Vector(&'a [u8]),
    /// Any other label.
    Label(Label),
}

impl Outcome<'_> {
    /// Whether there is a result; that the model found nothing is one.
    pub(crate) fn is_result(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }

    /// The JSON of the label, `null` where there is none.
    pub(crate) fn render(self) -> Vec<u8> {
        match self.into_label() {
            Some(label) => json::to_vec(&label.to_json()),
            None => b"null".to_vec(),
        }
    }

    /// The label, unless the sample failed or has none.
    pub(crate) fn into_label(self) -> Option<Label> {
        match self {
            Self::Failed(_) | Self::Empty => None,
            Self::Vector(bytes) => Some(Label::Vector(floats(bytes).collect())),
            Self::Label(label) => Some(label),
        }
    }
}

/// A result that was read back.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) index: usize,
    pub(crate) key: &'a str,
    pub(crate) outcome: Outcome<'a>,
}

/// The numbers of a staged vector.
pub(crate) fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    let (chunks, _) = bytes.as_chunks::<4>();
    chunks.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

/// Appends a failure.
pub(crate) fn write_failure(out: &mut Vec<u8>, sample: &SampleKey, why: &str) {
    write_head(out, FAILED, sample);
    out.extend_from_slice(why.as_bytes());
}

/// Appends a result; none where the model found nothing to say.
pub(crate) fn write_label(
    out: &mut Vec<u8>,
    sample: &SampleKey,
    label: Option<&Label>,
) -> Result<(), postcard::Error> {
    match label {
        None => write_head(out, EMPTY, sample),
        Some(Label::Vector(vector)) => {
            write_head(out, VECTOR, sample);
            let start = out.len();
            out.resize(start + vector.len() * 4, 0);
            let (chunks, _) = out
                .get_mut(start..)
                .unwrap_or_default()
                .as_chunks_mut::<4>();
            for (bytes, value) in chunks.iter_mut().zip(vector) {
                *bytes = value.to_le_bytes();
            }
        }
        Some(label) => {
            write_head(out, LABEL, sample);
            *out = postcard::to_extend(label, std::mem::take(out))?;
        }
    }
    Ok(())
}

fn write_head(out: &mut Vec<u8>, kind: u8, sample: &SampleKey) {
    out.push(kind);
    out.extend_from_slice(&(sample.index as u64).to_le_bytes());
    out.extend_from_slice(&(sample.key.len() as u32).to_le_bytes());
    out.extend_from_slice(sample.key.as_bytes());
}

/// Reads a record; none if it is not one.
pub(crate) fn read(payload: &[u8]) -> Option<Record<'_>> {
    let (&kind, rest) = payload.split_first()?;
    let (index, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (key, body) = rest.split_at_checked(length)?;
    Some(Record {
        index: usize::try_from(u64::from_le_bytes(*index)).ok()?,
        key: std::str::from_utf8(key).ok()?,
        outcome: match kind {
            FAILED => Outcome::Failed(std::str::from_utf8(body).ok()?),
            EMPTY => Outcome::Empty,
            VECTOR => Outcome::Vector(body),
            LABEL => Outcome::Label(postcard::from_bytes(body).ok()?),
            _ => return None,
        },
    })
}
