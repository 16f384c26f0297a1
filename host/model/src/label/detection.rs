use super::array::Array;
use super::attributes::Attributes;
use super::document::document;
use super::object_id::ObjectId;

document! {
    /// An object in an image: a box, and with a mask an instance.
    pub struct Detection {
        /// The identity of this label.
        pub id: ObjectId = "_id",
        /// Tags that people put on the label.
        pub tags: Vec<String> = "tags",
        /// Attributes of FiftyOne's older kind, documents by name.
        pub attributes: Attributes = "attributes",
        /// The class.
        pub label: Option<String> = "label",
        /// The box as `[left, top, width, height]`, relative to the image, whose sides are 1.
        pub bounding_box: Option<[f64; 4]> = "bounding_box",
        /// Which pixels of the box are the object's, `[height, width]` of any resolution: `bool`,
        /// or `uint8` with 0 for those that are not.
        pub mask: Option<Array> = "mask",
        /// The image file that holds the mask, in place of [`mask`](Self::mask).
        pub mask_path: Option<String> = "mask_path",
        /// How sure the model is, from 0 to 1.
        pub confidence: Option<f64> = "confidence",
        /// The number of the object, the same in all frames of a video.
        pub index: Option<i64> = "index",
    }
}

document! {
    /// Any number of objects in an image.
    pub struct Detections {
        /// The objects.
        pub detections: Vec<Detection> = "detections",
    }
}
