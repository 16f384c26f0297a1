//! What a network gives for one sample, before a [task](crate::task) says what it means.
//!
//! Each output is checked when it is made: numbers are finite, and lengths agree. Places are in
//! pixels of the network's input, counted from its upper left edge; a
//! [`Transform`](crate::geometry::Transform) maps them back to the original image.

mod boxes;
mod map;
mod masks;
mod points;

pub use boxes::Boxes;
pub use map::Map;
pub use masks::{MaskExtent, MaskValues, Masks};
pub use points::Points;

/// Why values are not an output.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OutputError {
    /// A value is not a finite number.
    #[error("the network's output is not a finite number")]
    NotFinite,
    /// There are more or fewer values than the others ask for.
    #[error("the network gives {found} {what}, not {wanted}")]
    Length {
        /// What there are too many or too few of.
        what: &'static str,
        /// How many there should be.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
}

/// What a network gives for one sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Scores of classes for the whole sample.
    Scores(Scores),
    /// Candidate objects in an image.
    Boxes(Boxes),
    /// Areas of an image.
    Masks(Masks),
    /// Points in an image.
    Points(Points),
    /// Numbers for each pixel.
    Map(Map),
    /// Texts that were generated or recognized.
    Texts(Vec<String>),
    /// Embeddings.
    Vectors(Vectors),
}

/// A kind of [`Output`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OutputKind {
    /// [`Output::Scores`].
    Scores,
    /// [`Output::Boxes`].
    Boxes,
    /// [`Output::Masks`].
    Masks,
    /// [`Output::Points`].
    Points,
    /// [`Output::Map`].
    Map,
    /// [`Output::Texts`].
    Texts,
    /// [`Output::Vectors`].
    Vectors,
}

impl OutputKind {
    /// Its name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scores => "scores of classes",
            Self::Boxes => "boxes",
            Self::Masks => "masks",
            Self::Points => "points",
            Self::Map => "a map",
            Self::Texts => "texts",
            Self::Vectors => "vectors",
        }
    }
}

impl Output {
    /// Which kind this is.
    #[must_use]
    pub fn kind(&self) -> OutputKind {
        match self {
            Self::Scores(_) => OutputKind::Scores,
            Self::Boxes(_) => OutputKind::Boxes,
            Self::Masks(_) => OutputKind::Masks,
            Self::Points(_) => OutputKind::Points,
            Self::Map(_) => OutputKind::Map,
            Self::Texts(_) => OutputKind::Texts,
            Self::Vectors(_) => OutputKind::Vectors,
        }
    }
}

/// One score per class, before a softmax or sigmoid: the logits.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores(Vec<f32>);

impl Scores {
    /// Scores, at least one, in the order of the classes.
    ///
    /// # Errors
    /// [`OutputError`] when there are none or one is not finite.
    pub fn new(values: Vec<f32>) -> Result<Self, OutputError> {
        if values.is_empty() {
            return Err(length("scores", 1, 0));
        }
        finite(&values)?;
        Ok(Self(values))
    }

    /// The scores.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    /// The scores.
    #[must_use]
    pub fn into_values(self) -> Vec<f32> {
        self.0
    }
}

/// Embeddings of one sample: one of the whole, or one per token or patch.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    width: usize,
    values: Vec<f32>,
}

impl Vectors {
    /// Vectors of `width` numbers each, one after the other.
    ///
    /// # Errors
    /// [`OutputError`] when a vector is not whole, or a number is not finite.
    pub fn new(width: usize, values: Vec<f32>) -> Result<Self, OutputError> {
        let whole = values.len().next_multiple_of(width.max(1));
        equal("numbers of vectors", whole, values.len())?;
        finite(&values)?;
        Ok(Self {
            width: width.max(1),
            values,
        })
    }

    /// Each vector.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.width)
    }

    /// All of them as one, one after the other.
    #[must_use]
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }
}

fn finite(values: &[f32]) -> Result<(), OutputError> {
    if values.iter().all(|value| value.is_finite()) {
        Ok(())
    } else {
        Err(OutputError::NotFinite)
    }
}

fn equal(what: &'static str, wanted: usize, found: usize) -> Result<(), OutputError> {
    if wanted == found {
        Ok(())
    } else {
        Err(length(what, wanted, found))
    }
}

fn length(what: &'static str, wanted: usize, found: usize) -> OutputError {
    OutputError::Length {
        what,
        wanted,
        found,
    }
}

#[cfg(test)]
mod tests;
