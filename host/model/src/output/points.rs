use super::{OutputError, equal, finite};

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
