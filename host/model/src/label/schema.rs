//! FiftyOne's descriptions of fields, as `sample_fields` in `metadata.json` lists them.

use serde_json::{Value, json};

/// The full name of one of FiftyOne's classes of fields.
pub(super) fn class(name: &str) -> String {
    format!("fiftyone.core.fields.{name}")
}

/// A plain field: `kind` and `element` are names of FiftyOne's classes of fields; a list has
/// elements.
#[must_use]
pub fn field(name: &str, kind: &str, element: Option<&str>) -> Value {
    json!({
        "name": name,
        "ftype": class(kind),
        "embedded_doc_type": null,
        "subfield": element.map(class),
        "fields": [],
        "db_field": name,
        "description": null,
        "info": null,
        "read_only": false,
        "created_at": null,
    })
}

/// A field that holds a document of the full class `document`, with these fields.
pub(super) fn document(name: &str, document: &str, fields: Vec<Value>) -> Value {
    embedded(field(name, "EmbeddedDocumentField", None), document, fields)
}

/// A field that holds a list, or another `kind` of container, of such documents.
pub(super) fn documents(name: &str, kind: &str, document: &str, fields: Vec<Value>) -> Value {
    let list = field(name, kind, Some("EmbeddedDocumentField"));
    embedded(list, document, fields)
}

fn embedded(mut field: Value, document: &str, fields: Vec<Value>) -> Value {
    set(&mut field, "embedded_doc_type", document.into());
    set(&mut field, "fields", fields.into());
    field
}

/// The field `id`, which documents hold as `_id`.
#[must_use]
pub fn id_field() -> Value {
    let mut id = field("id", "ObjectIdField", None);
    set(&mut id, "db_field", "_id".into());
    id
}

/// Sets a member of a JSON object; other values stay as they are.
pub fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}
