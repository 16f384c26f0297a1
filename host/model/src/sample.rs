//! What a model is given of a sample, and what is remembered of it until its label is written.

use serde_json::{Map, Value};

use crate::geometry::{Size, Transform};

/// The largest image file that a model is given, in bytes: 1 GiB.
pub const MAX_IMAGE_BYTES: u64 = 1 << 30;

/// The fields of a sample's document, in FiftyOne's JSON.
pub type Fields = Map<String, Value>;

/// One sample as a model is given it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The image or the text.
    pub media: Media,
    /// The fields of its document; empty unless [`Model::reads_fields`](crate::Model::reads_fields).
    pub fields: Fields,
}

/// What a sample is.
#[derive(Clone, Debug, PartialEq)]
pub enum Media {
    /// The content of an image file, at most [`MAX_IMAGE_BYTES`].
    Image(Vec<u8>),
    /// A text.
    Text(String),
}

/// A kind of [`Media`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MediaKind {
    /// Image files.
    Images,
    /// Texts.
    Texts,
}

impl MediaKind {
    /// `images` or `texts`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Texts => "texts",
        }
    }
}

/// A sample that is ready for the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// What the network computes with.
    pub input: Input,
    /// What is remembered of the sample.
    pub origin: Origin,
}

/// What is remembered of a sample while the network computes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// How the image became the network's input; [`None`] for a text.
    pub transform: Option<Transform>,
    /// The fields of the sample's document; see [`Sample::fields`].
    pub fields: Fields,
}

/// What a network computes with.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// An image's pixels.
    Image(ImageInput),
    /// A text's tokens.
    Text(Tokens),
}

/// An image as a network is given it: rows of pixels, each with its channels side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageInput {
    size: Size,
    channels: usize,
    values: Vec<f32>,
}

impl ImageInput {
    /// An image from its values, `[height, width, channels]`. [`None`] when their number is not
    /// that of the shape.
    #[must_use]
    pub fn new(size: Size, channels: usize, values: Vec<f32>) -> Option<Self> {
        let area = usize::try_from(size.area()).ok()?;
        (area.checked_mul(channels)? == values.len()).then_some(Self {
            size,
            channels,
            values,
        })
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.size.height as usize
    }

    /// Columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.size.width as usize
    }

    /// Values per pixel: 3 or 1.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The values, of the shape `[height, width, channels]`: 0 to 1, or normalized.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

/// A text as the numbers of its tokens, the special ones included.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tokens {
    ids: Vec<u32>,
    is_cut: bool,
}

impl Tokens {
    /// The tokens of a text, the end of which was cut off or not.
    #[must_use]
    pub fn new(ids: Vec<u32>, is_cut: bool) -> Self {
        Self { ids, is_cut }
    }

    /// The numbers, in the order of the text.
    #[must_use]
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Whether the text was longer than the model allows and lost its end.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_has_as_many_values_as_its_shape() {
        let size = Size {
            height: 2,
            width: 3,
        };
        let image = ImageInput::new(size, 3, vec![0.0; 18]).unwrap();
        assert_eq!((image.height(), image.width(), image.channels()), (2, 3, 3));
        assert_eq!(ImageInput::new(size, 3, vec![0.0; 17]), None);
        assert_eq!(ImageInput::new(size, usize::MAX, Vec::new()), None);
    }
}
