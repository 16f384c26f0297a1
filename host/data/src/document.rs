//! A sample's document: the text of a JSON object, and where its members lie.

use modelzoo_base::json::{Object, ScanError};
use serde_json::{Map, Value};

use crate::text;

/// The document of a sample of a FiftyOneDataset, parsed.
#[derive(Debug)]
pub struct Document {
    text: Vec<u8>,
    object: Object,
}

impl Document {
    /// Finds the members of the object that `text` is. What is not one comes back with the
    /// reason, a part of a sentence.
    pub(crate) fn parse(text: Vec<u8>) -> Result<Self, (Vec<u8>, String)> {
        match Object::parse(&text) {
            Ok(object) => Ok(Self { text, object }),
            Err(ScanError::Syntax { offset, reason }) => {
                let reason = format!("its document is not JSON: byte {offset}: {reason}");
                Err((text, reason))
            }
            Err(ScanError::Io(error)) => Err((text, error.to_string())),
        }
    }

    /// The value of a member; none if there is no such member, or it has no value that JSON
    /// text can say. `NaN`, the infinities and numbers beyond a double are
    /// `{"$numberDouble": …}`.
    pub fn value(&self, member: &str) -> Option<Value> {
        text::parse(self.raw(member)?).ok()
    }

    /// All members, as [`value`](Self::value) gives each.
    pub fn values(&self) -> Map<String, Value> {
        text::parse(&self.text).unwrap_or_default()
    }

    /// The text of the value of a member.
    pub(crate) fn raw(&self, member: &str) -> Option<&[u8]> {
        self.object.get(&self.text, member)
    }

    /// The sample's `_id`, 24 hexadecimal digits.
    pub(crate) fn id(&self) -> Option<String> {
        let id = self.value("_id")?;
        let id = id.get("$oid").unwrap_or(&id).as_str()?;
        let plain = id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then(|| id.to_owned())
    }

    /// The sample's path as stored, or why it has none.
    pub(crate) fn filepath(&self) -> Result<String, String> {
        match self.value("filepath") {
            Some(Value::String(filepath)) => Ok(filepath),
            Some(_) => Err("`filepath` is not a string".to_owned()),
            None => Err("its document has none that can be read".to_owned()),
        }
    }

    /// What the document says that the sample is, where that is not an image.
    pub(crate) fn other_media(&self) -> Option<&'static str> {
        match self.value("_media_type")?.as_str()? {
            "video" => Some("a video"),
            "point-cloud" => Some("a point cloud"),
            "3d" | "three-d" => Some("a 3D scene"),
            "multimodal" => Some("a recording of several kinds"),
            _ => None,
        }
    }

    /// The text with members set; every other byte is as it was.
    pub(crate) fn edited(&self, edits: &[(&str, Vec<u8>)]) -> Vec<u8> {
        self.object.edited(&self.text, edits)
    }
}
