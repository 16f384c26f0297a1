//! What a network gives for one sample, before a [task](crate::task) says what it means.
//!
//! Each output is checked when it is made: numbers are finite, and lengths agree. Places are in
//! pixels of the network's input, counted from its upper left edge; a
//! [`Transform`](crate::geometry::Transform) maps them back to the original image.

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

/// Candidate objects: boxes with a class and a confidence each, and perhaps more. Overlapping ones
/// may be of one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Boxes {
    edges: Vec<[f32; 4]>,
    confidences: Vec<f32>,
    classes: Vec<u32>,
    masks: Option<Masks>,
    points: Option<Points>,
}

impl Boxes {
    /// Boxes `[left, top, right, bottom]` in pixels, each with a confidence (0 to 1) and the
    /// number of its class.
    ///
    /// # Errors
    /// [`OutputError`] when the lengths differ or a number is not finite.
    pub fn new(
        edges: Vec<[f32; 4]>,
        confidences: Vec<f32>,
        classes: Vec<u32>,
    ) -> Result<Self, OutputError> {
        equal("confidences", edges.len(), confidences.len())?;
        equal("classes", edges.len(), classes.len())?;
        finite(edges.as_flattened())?;
        finite(&confidences)?;
        Ok(Self {
            edges,
            confidences,
            classes,
            masks: None,
            points: None,
        })
    }

    /// The same, with one mask per box.
    ///
    /// # Errors
    /// [`OutputError`] when there are more or fewer masks than boxes.
    pub fn with_masks(self, masks: Masks) -> Result<Self, OutputError> {
        equal("masks", self.len(), masks.len())?;
        Ok(Self {
            masks: Some(masks),
            ..self
        })
    }

    /// The same, with one group of points per box.
    ///
    /// # Errors
    /// [`OutputError`] when there are more or fewer groups than boxes.
    pub fn with_points(self, points: Points) -> Result<Self, OutputError> {
        equal("groups of points", self.len(), points.len())?;
        Ok(Self {
            points: Some(points),
            ..self
        })
    }

    /// How many boxes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.edges.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// Each box: `[left, top, right, bottom]`, in pixels.
    #[must_use]
    pub fn edges(&self) -> &[[f32; 4]] {
        &self.edges
    }

    /// The confidence of each box, from 0 to 1.
    #[must_use]
    pub fn confidences(&self) -> &[f32] {
        &self.confidences
    }

    /// The number of each box's class.
    #[must_use]
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// One mask per box.
    #[must_use]
    pub fn masks(&self) -> Option<&Masks> {
        self.masks.as_ref()
    }

    /// One group of points per box.
    #[must_use]
    pub fn points(&self) -> Option<&Points> {
        self.points.as_ref()
    }
}

/// Areas of an image, each as a number per pixel.
#[derive(Clone, Debug, PartialEq)]
pub struct Masks(Map);

impl Masks {
    /// Masks, `[masks, height, width]`: the probability (0 to 1) that a pixel belongs to the area.
    #[must_use]
    pub fn new(map: Map) -> Self {
        Self(map)
    }

    /// How many masks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.channels
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.channels == 0
    }

    /// The probabilities, one channel per mask.
    #[must_use]
    pub fn map(&self) -> &Map {
        &self.0
    }
}

/// Groups of points in an image, of one length: the joints of bodies.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    group: usize,
    places: Vec<[f32; 2]>,
    confidences: Vec<f32>,
}

impl Points {
    /// Points `[x, y]` in pixels, each with a confidence (0 to 1), in groups of `group`.
    ///
    /// # Errors
    /// [`OutputError`] when the lengths differ, a group is not whole, or a number is not finite.
    pub fn new(
        group: usize,
        places: Vec<[f32; 2]>,
        confidences: Vec<f32>,
    ) -> Result<Self, OutputError> {
        equal("confidences of points", places.len(), confidences.len())?;
        let whole = places.len().next_multiple_of(group.max(1));
        equal("points", whole, places.len())?;
        finite(places.as_flattened())?;
        finite(&confidences)?;
        Ok(Self {
            group: group.max(1),
            places,
            confidences,
        })
    }

    /// How many groups.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len() / self.group
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The groups: the places of their points, in pixels, and the confidences.
    pub fn groups(&self) -> impl Iterator<Item = (&[[f32; 2]], &[f32])> {
        let places = self.places.chunks_exact(self.group);
        places.zip(self.confidences.chunks_exact(self.group))
    }
}

/// Numbers for each pixel, `[channels, height, width]`: scores of classes, probabilities, depth.
/// The resolution may be another than that of the network's input.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    channels: usize,
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl Map {
    /// A map from its values.
    ///
    /// # Errors
    /// [`OutputError`] when their number is not that of the shape, or one is not finite.
    pub fn new(
        [channels, height, width]: [usize; 3],
        values: Vec<f32>,
    ) -> Result<Self, OutputError> {
        let wanted = channels.saturating_mul(height).saturating_mul(width);
        equal("values of a map", wanted, values.len())?;
        finite(&values)?;
        Ok(Self {
            channels,
            height,
            width,
            values,
        })
    }

    /// Channels, rows and columns.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// The values, channel after channel and row after row.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Each channel's values, row after row.
    pub fn channels(&self) -> impl Iterator<Item = &[f32]> {
        let area = self.height.saturating_mul(self.width);
        // A map without pixels has no values, whatever its channels.
        self.values.chunks_exact(area.max(1))
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
mod tests {
    use super::*;

    const BAD: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

    #[test]
    fn scores_are_finite_and_at_least_one() {
        assert_eq!(Scores::new(vec![1.0, 2.0]).unwrap().values(), [1.0, 2.0]);
        assert!(Scores::new(Vec::new()).is_err());
        for bad in BAD {
            assert_eq!(Scores::new(vec![0.0, bad]), Err(OutputError::NotFinite));
        }
    }

    #[test]
    fn parts_of_boxes_agree() {
        let two = || Boxes::new(vec![[0.0; 4]; 2], vec![0.5; 2], vec![0, 1]).unwrap();
        assert!(Boxes::new(vec![[0.0; 4]; 2], vec![0.5], vec![0, 1]).is_err());
        assert!(Boxes::new(vec![[0.0; 4]; 2], vec![0.5; 2], vec![0]).is_err());
        for bad in BAD {
            let boxes = Boxes::new(vec![[0.0, 0.0, bad, 0.0]], vec![0.5], vec![0]);
            assert_eq!(boxes, Err(OutputError::NotFinite));
            let boxes = Boxes::new(vec![[0.0; 4]], vec![bad], vec![0]);
            assert_eq!(boxes, Err(OutputError::NotFinite));
        }
        let masks =
            |count: usize| Masks::new(Map::new([count, 2, 3], vec![0.0; count * 6]).unwrap());
        assert_eq!(
            two().with_masks(masks(2)).unwrap().masks().unwrap().len(),
            2
        );
        assert!(two().with_masks(masks(1)).is_err());
        let points = |count: usize| Points::new(3, vec![[0.0; 2]; 3 * count], vec![1.0; 3 * count]);
        let with = two().with_points(points(2).unwrap()).unwrap();
        assert_eq!(with.points().unwrap().groups().count(), 2);
        assert!(two().with_points(points(3).unwrap()).is_err());
    }

    #[test]
    fn values_fill_their_shape() {
        let map = Map::new([2, 1, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let channels: Vec<_> = map.channels().collect();
        assert_eq!(channels, [[1.0, 2.0], [3.0, 4.0]]);
        assert!(Map::new([2, 1, 2], vec![0.0; 3]).is_err());
        assert!(Map::new([usize::MAX, 2, 2], Vec::new()).is_err());
        assert_eq!(
            Map::new([0, 0, 5], Vec::new()).unwrap().channels().count(),
            0
        );
        assert!(Points::new(2, vec![[0.0; 2]; 3], vec![0.0; 3]).is_err());
        assert!(Points::new(0, Vec::new(), Vec::new()).unwrap().is_empty());
        let vectors = Vectors::new(2, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(vectors.rows().count(), 2);
        assert!(Vectors::new(2, vec![0.0; 3]).is_err());
        for bad in BAD {
            assert_eq!(Map::new([1, 1, 1], vec![bad]), Err(OutputError::NotFinite));
            assert_eq!(Vectors::new(1, vec![bad]), Err(OutputError::NotFinite));
            assert_eq!(
                Points::new(1, vec![[0.0, bad]], vec![0.0]),
                Err(OutputError::NotFinite)
            );
        }
    }
}
