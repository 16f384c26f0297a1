use serde::{Deserialize, Serialize};

use super::classes::{self, Filter};
use super::places::{self, Region, Sampler, transform};
use super::{Decode, DecodeError, Definition, OptionError, PredictOptions};
use crate::check::PlanError;
use crate::label::{Array, Element, Label, LabelType, Segmentation};
use crate::output::{Map, Output, OutputKind};
use crate::sample::Origin;

/// The most classes: a mask has a byte or two per pixel.
const MAX_CLASSES: usize = 65_534;

/// A class for each pixel of an image: the one with the largest score there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SemanticSegmentation {
    /// The names of the network's classes, in their order.
    pub classes: Vec<String>,
    /// Whether none of the classes is the background. Masks have the numbers of classes, from 0 on,
    /// where the first one is the background; otherwise from 1 on, and 0 where there is none.
    #[serde(default)]
    pub no_background: bool,
    /// Below this confidence (0 to 1) a pixel is of the background, 0. The user's own threshold
    /// wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence_thresh: Option<f32>,
    /// The classes that are given; empty for all of them. Pixels of others are of the background.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter_classes: Vec<String>,
}

impl SemanticSegmentation {
    /// The number of the first class in a mask.
    fn first(&self) -> usize {
        usize::from(self.no_background)
    }
}

impl Definition for SemanticSegmentation {
    fn name(&self) -> &'static str {
        "semantic_segmentation"
    }

    fn validate(&self) -> Result<(), PlanError> {
        classes::check(&self.classes, MAX_CLASSES)?;
        classes::check_choice(&self.classes, self.confidence_thresh, &self.filter_classes)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn output(&self) -> OutputKind {
        OutputKind::Map
    }

    fn label_type(&self) -> LabelType {
        LabelType::Segmentation
    }

    fn mask_targets(&self) -> Vec<(usize, &str)> {
        let names = self.classes.iter().map(String::as_str);
        (self.first()..).zip(names).collect()
    }

    fn decoder<'a>(
        &'a self,
        options: &PredictOptions,
    ) -> Result<Box<dyn Decode + 'a>, OptionError> {
        options.no_logits()?;
        let filter = Filter::new(
            &self.classes,
            &self.filter_classes,
            self.confidence_thresh,
            options,
        )?;
        Ok(Box::new(BestOfPixel {
            filter,
            first: self.first(),
        }))
    }
}

/// Gives the best class of each pixel.
struct BestOfPixel<'a> {
    filter: Filter<'a>,
    /// The number of the first class in the mask.
    first: usize,
}

impl Decode for BestOfPixel<'_> {
    fn decode(&self, output: Output, origin: &Origin) -> Result<Option<Label>, DecodeError> {
        let (map, transform) = (places::map(output)?, transform(origin)?);
        let classes = self.filter.classes().len();
        let [outputs, ..] = map.shape();
        if outputs != classes {
            return Err(DecodeError::ClassCount { classes, outputs });
        }
        let size = transform.original();
        let sampler = Sampler::new(&transform, Region::whole(size), places::sides(&map));
        let numbers = self.numbers(&map, &sampler);
        let shape = vec![size.height as usize, size.width as usize];
        let mask = if classes + self.first <= usize::from(u8::MAX) + 1 {
            let bytes = numbers.iter().map(|&number| (number & 0xff) as u8);
            Array::from_u8(shape, bytes.collect())
        } else {
            let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
            Array::new(Element::U16, shape, bytes.collect())
        };
        Ok(Some(Label::Segmentation(Segmentation {
            mask,
            ..Segmentation::default()
        })))
    }
}

impl BestOfPixel<'_> {
    /// The number of each pixel of the original image, row by row.
    fn numbers(&self, map: &Map, sampler: &Sampler) -> Vec<u16> {
        let scores = places::channels_last(map);
        let classes = self.filter.classes().len();
        let (mut numbers, mut line) = (Vec::new(), Vec::new());
        for row in sampler.rows() {
            row.pixels(&scores, classes, &mut line, |scores| {
                numbers.push(scores.map_or(0, |scores| self.number(scores)));
            });
        }
        numbers
    }

    /// The number of a pixel with these scores of the classes.
    fn number(&self, scores: &[f32]) -> u16 {
        let (mut best, mut largest) = (0, f32::NEG_INFINITY);
        for (class, &score) in scores.iter().enumerate() {
            if score > largest {
                (best, largest) = (class, score);
            }
        }
        // The sum is only needed where something is compared with it.
        let confidence = if self.filter.has_threshold() {
            let sum: f32 = scores.iter().map(|score| (score - largest).exp()).sum();
            1.0 / sum
        } else {
            1.0
        };
        match self.filter.label(best, confidence) {
            Some(_) => u16::try_from(best + self.first).unwrap_or_default(),
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Size, Transform};

    fn task() -> SemanticSegmentation {
        SemanticSegmentation {
            classes: ["sky", "sea", "land"].map(str::to_owned).to_vec(),
            ..SemanticSegmentation::default()
        }
    }

    /// Two columns: the left one is of the sky, the right one of the land.
    fn map() -> Output {
        let values = vec![5.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        Output::Map(Map::new([3, 1, 2], values).unwrap())
    }

    fn decode(task: &SemanticSegmentation, options: &PredictOptions, output: Output) -> Vec<u8> {
        let original = Size {
            height: 2,
            width: 4,
        };
        let transform = Transform::identity(original).resized(Size {
            height: 8,
            width: 8,
        });
        let origin = Origin {
            transform: Some(transform),
            ..Origin::default()
        };
        let decoder = task.decoder(options).unwrap();
        let label = decoder.decode(output, &origin).unwrap();
        let Some(Label::Segmentation(label)) = label else {
            panic!("no segmentation")
        };
        let mask = label.mask.unwrap();
        assert_eq!(mask.shape(), [2, 4]);
        mask.bytes().to_vec()
    }

    #[test]
    fn mask_has_the_size_of_the_image() {
        let options = PredictOptions::default();
        assert_eq!(decode(&task(), &options, map()), [[0, 0, 0, 2]; 2].concat());
        let task = SemanticSegmentation {
            no_background: true,
            ..task()
        };
        assert_eq!(decode(&task, &options, map()), [[1, 1, 1, 3]; 2].concat());
        assert_eq!(task.mask_targets(), [(1, "sky"), (2, "sea"), (3, "land")]);
    }

    #[test]
    fn classes_that_are_not_given_are_background() {
        let mut options = PredictOptions {
            classes: Some(vec!["land".to_owned()]),
            ..PredictOptions::default()
        };
        let task = SemanticSegmentation {
            no_background: true,
            ..task()
        };
        assert_eq!(decode(&task, &options, map()), [[0, 0, 0, 3]; 2].concat());
        // e / (e + 2) is 0.58.
        options.confidence_thresh = Some(0.6);
        assert_eq!(decode(&task, &options, map()), [[0; 4]; 2].concat());
    }

    #[test]
    fn many_classes_need_two_bytes() {
        let classes: Vec<_> = (0..300).map(|class| class.to_string()).collect();
        let task = SemanticSegmentation {
            classes,
            ..SemanticSegmentation::default()
        };
        let mut values = vec![0.0; 300];
        if let Some(last) = values.last_mut() {
            *last = 1.0;
        }
        let output = Output::Map(Map::new([300, 1, 1], values).unwrap());
        let bytes = decode_u16(&task, output);
        assert_eq!(bytes, [299; 8]);
    }

    fn decode_u16(task: &SemanticSegmentation, output: Output) -> Vec<u16> {
        let options = PredictOptions::default();
        let bytes = decode(task, &options, output);
        let pairs = bytes.as_chunks::<2>().0.iter();
        pairs.map(|pair| u16::from_le_bytes(*pair)).collect()
    }
}
