use super::array::Array;
use super::document::document;
use super::object_id::ObjectId;

document! {
    /// A class for each pixel of an image.
    pub struct Segmentation {
        /// The identity of this label.
        pub id: ObjectId = "_id",
        /// Tags that people put on the label.
        pub tags: Vec<String> = "tags",
        /// The number of each pixel's class, `[height, width]` of any resolution, an integer type;
        /// or its color, `[height, width, 3]` of `uint8`. 0 is the background.
        pub mask: Option<Array> = "mask",
        /// The image file that holds the mask, in place of [`mask`](Self::mask).
        pub mask_path: Option<String> = "mask_path",
    }
}
