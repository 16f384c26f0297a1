use super::{Masks, OutputError, Points, equal, finite};

/// Candidate objects: boxes with a class and a confidence each, and perhaps more. Overlapping ones
/// may be of one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Boxes {
    edges: Vec<[f32; 4]>,
    confidences: Vec<f32>,
    classes: Vec<u32>,
    angles: Option<Vec<f32>>,
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
            angles: None,
            masks: None,
            points: None,
        })
    }

    /// The same boxes, each rotated around its center by an angle in radians, clockwise as it is
    /// seen: from the x axis, which points to the right, to the y axis, which points down.
    ///
    /// # Errors
    /// [`OutputError`] when there are more or fewer angles than boxes, or one is not finite.
    pub fn with_angles(self, angles: Vec<f32>) -> Result<Self, OutputError> {
        equal("angles", self.len(), angles.len())?;
        finite(&angles)?;
        Ok(Self {
            angles: Some(angles),
            ..self
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

    /// The angle of each box, in radians, where boxes are rotated.
    #[must_use]
    pub fn angles(&self) -> Option<&[f32]> {
        self.angles.as_deref()
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
