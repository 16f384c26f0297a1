use super::array::Array;
use super::document::document;
use super::object_id::ObjectId;

document! {
    /// A number for each pixel of an image: depth, or attention.
    pub struct Heatmap {
        /// The identity of this label.
        pub id: ObjectId = "_id",
        /// Tags that people put on the label.
        pub tags: Vec<String> = "tags",
        /// The numbers, `[height, width]` of any resolution.
        pub map: Option<Array> = "map",
        /// The image file that holds the map, in place of [`map`](Self::map).
        pub map_path: Option<String> = "map_path",
        /// The least and the largest number; without it 0 and 1 for floating-point numbers, 0 and
        /// 255 for integers.
        pub range: Option<[f64; 2]> = "range",
    }
}
