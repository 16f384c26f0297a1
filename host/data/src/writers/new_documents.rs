//! The documents of a new FiftyOneDataset of images.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use modelzoo_base::json;
use modelzoo_model::label::schema::{field, id_field, set};
use modelzoo_model::label::{ObjectId, random};
use serde_json::{Value, json};

use crate::error::Error;
use crate::readers::fiftyone::metadata::{Metadata, OF_DIRECTORY};

/// The version that new datasets declare: the first whose samples have
/// `created_at` and `last_modified_at`. FiftyOne brings it up to its own.
const VERSION: &str = "1.0.0";

/// `metadata.json` at `path`, without label fields. With `of_directory` the samples are the
/// images of the directory, those that come later included.
pub(crate) fn metadata(path: PathBuf, name: &str, of_directory: bool) -> Result<Metadata, Error> {
    let mut document = json!({
        "name": name,
        "version": VERSION,
        "created_at": now(),
        "last_modified_at": now(),
        "sample_collection_name": format!("samples.{}", ObjectId::new()),
        "persistent": false,
        "media_type": "image",
        "group_media_types": {},
        "tags": [],
        "info": {},
        "app_config": {},
        "classes": {},
        "default_classes": [],
        "mask_targets": {},
        "default_mask_targets": {},
        "skeletons": {},
        "sample_fields": default_fields(),
        "frame_fields": [],
        "saved_views": [],
        "workspaces": [],
        "annotation_runs": {},
        "brain_methods": {},
        "evaluations": {},
        "runs": {},
    });
    if of_directory {
        set(&mut document, OF_DIRECTORY, Value::Bool(true));
    }
    Metadata::parse(path, json::to_vec(&document))
}

/// The document of a sample that is an image.
pub(crate) fn sample(filepath: &str) -> Vec<u8> {
    // FiftyOne orders shuffled views by a stored random number.
    let random = (random() >> 11) as f64 / (1_u64 << 53) as f64;
    json::to_vec(&json!({
        "_id": { "$oid": ObjectId::new().to_string() },
        "filepath": filepath,
        "tags": [],
        "metadata": null,
        "created_at": now(),
        "last_modified_at": now(),
        "_media_type": "image",
        "_rand": random,
    }))
}

/// What every sample of images has.
fn default_fields() -> Vec<Value> {
    let mut metadata = field("metadata", "EmbeddedDocumentField", None);
    let class = "fiftyone.core.metadata.ImageMetadata";
    set(&mut metadata, "embedded_doc_type", class.into());
    let members = [
        ("size_bytes", "IntField"),
        ("mime_type", "StringField"),
        ("width", "IntField"),
        ("height", "IntField"),
        ("num_channels", "IntField"),
    ];
    let members = members.map(|(name, kind)| field(name, kind, None));
    set(&mut metadata, "fields", members.to_vec().into());
    let read_only = |name| {
        let mut field = field(name, "DateTimeField", None);
        set(&mut field, "read_only", Value::Bool(true));
        field
    };
    vec![
        id_field(),
        field("filepath", "StringField", None),
        field("tags", "ListField", Some("StringField")),
        metadata,
        read_only("created_at"),
        read_only("last_modified_at"),
    ]
}

/// The present, as extended JSON.
fn now() -> Value {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    let milliseconds = elapsed.map_or(0, |elapsed| elapsed.as_millis());
    json!({ "$date": { "$numberLong": milliseconds.to_string() } })
}
