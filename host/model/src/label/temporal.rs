use super::document::document;
use super::object_id::ObjectId;

document! {
    /// Something that happens in a part of a video.
    pub struct TemporalDetection {
        /// The identity of this label.
        pub id: ObjectId = "_id",
        /// Tags that people put on the label.
        pub tags: Vec<String> = "tags",
        /// The class.
        pub label: Option<String> = "label",
        /// The first and the last frame, both part of it; the first frame of a video is 1.
        pub support: Option<[i64; 2]> = "support",
        /// How sure the model is, from 0 to 1.
        pub confidence: Option<f64> = "confidence",
    }
}

document! {
    /// Anything that happens in parts of a video.
    pub struct TemporalDetections {
        /// The parts.
        pub detections: Vec<TemporalDetection> = "detections",
    }
}
