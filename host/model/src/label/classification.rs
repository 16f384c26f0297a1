use super::document::document;
use super::object_id::ObjectId;

document! {
    /// One class for the whole sample.
    pub struct Classification {
        /// The identity of this label.
        pub id: ObjectId = "_id",
        /// Tags that people put on the label.
        pub tags: Vec<String> = "tags",
        /// The class; absent where the model was not confident enough of any.
        pub label: Option<String> = "label",
        /// How sure the model is, from 0 to 1.
        pub confidence: Option<f64> = "confidence",
        /// The scores of all classes before normalization.
        pub logits: Option<Vec<f32>> = "logits",
    }
}

document! {
    /// Any number of classes for the whole sample.
    pub struct Classifications {
        /// The classes.
        pub classifications: Vec<Classification> = "classifications",
        /// The scores of all classes before normalization.
        pub logits: Option<Vec<f32>> = "logits",
    }
}
