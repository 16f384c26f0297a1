use serde::{Deserialize, Serialize};

use super::places::{self, Region, Sampler, transform};
use super::{Decode, DecodeError, Definition, OptionError, PredictOptions};
use crate::check::PlanError;
use crate::geometry::Size;
use crate::label::{Array, Heatmap, Label, LabelType};
use crate::output::{Output, OutputKind};
use crate::sample::Origin;

/// The longest side of a map; that of a larger image is shrunk to it.
const MAX_SIDE: u32 = 2048;

/// A number for each pixel of an image: its depth, or its nearness, as the network gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Depth {}

impl Definition for Depth {
    fn name(&self) -> &'static str {
        "depth"
    }

    fn validate(&self) -> Result<(), PlanError> {
        Ok(())
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn output(&self) -> OutputKind {
        OutputKind::Map
    }

    fn label_type(&self) -> LabelType {
        LabelType::Heatmap
    }

    fn decoder<'a>(
        &'a self,
        options: &PredictOptions,
    ) -> Result<Box<dyn Decode + 'a>, OptionError> {
        options.no_logits()?;
        if options.confidence_thresh.is_some() {
            return Err(OptionError {
                option: "confidence_thresh",
                reason: "a map of depths has no confidence".to_owned(),
            });
        }
        if options.classes.is_some() {
            return Err(OptionError {
                option: "classes",
                reason: "a map of depths has no classes".to_owned(),
            });
        }
        Ok(Box::new(Depths))
    }
}

/// Gives the map.
struct Depths;

impl Decode for Depths {
    fn decode(&self, output: Output, origin: &Origin) -> Result<Option<Label>, DecodeError> {
        let (map, transform) = (places::map(output)?, transform(origin)?);
        let [channels, ..] = map.shape();
        let (Some(channel), 1) = (map.channels().next(), channels) else {
            return Err(DecodeError::Channels {
                wanted: 1,
                found: channels,
            });
        };
        let size = transform.original().at_most(Size {
            height: MAX_SIDE,
            width: MAX_SIDE,
        });
        let region = Region::whole(size);
        let sampler = Sampler::scaled(&transform, (region, size), places::sides(&map));
        let (mut least, mut largest) = (f32::INFINITY, f32::NEG_INFINITY);
        for &value in channel {
            (least, largest) = (least.min(value), largest.max(value));
        }
        let mut values = Vec::with_capacity(size.height as usize * size.width as usize);
        let mut line = vec![0.0; size.width as usize];
        for row in sampler.rows() {
            // What the network was not given is as far as anything.
            row.sample(channel, least, &mut line);
            values.extend_from_slice(&line);
        }
        let shape = vec![size.height as usize, size.width as usize];
        Ok(Some(Label::Heatmap(Heatmap {
            map: Array::from_f32(shape, &values),
            range: Some([f64::from(least), f64::from(largest)]),
            ..Heatmap::default()
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Transform;
    use crate::output::Map;

    fn decode(size: Size, map: Map) -> Result<Heatmap, DecodeError> {
        let origin = Origin {
            transform: Some(Transform::identity(size)),
            ..Origin::default()
        };
        let task = Depth {};
        let decoder = task.decoder(&PredictOptions::default()).unwrap();
        match decoder.decode(Output::Map(map), &origin)? {
            Some(Label::Heatmap(label)) => Ok(label),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn map_has_the_size_of_the_image_and_the_range_of_its_numbers() {
        let size = Size {
            height: 1,
            width: 4,
        };
        let map = Map::new([1, 1, 2], vec![1.0, 3.0]).unwrap();
        let label = decode(size, map).unwrap();
        let map = label.map.unwrap();
        assert_eq!(map.shape(), [1, 4]);
        assert_eq!(map.numbers().collect::<Vec<_>>(), [1.0, 1.5, 2.5, 3.0]);
        assert_eq!(label.range, Some([1.0, 3.0]));
    }

    #[test]
    fn map_of_a_flat_scene_is_finite() {
        let size = Size {
            height: 2,
            width: 2,
        };
        let label = decode(size, Map::new([1, 1, 1], vec![0.0]).unwrap()).unwrap();
        assert_eq!(label.map.unwrap().numbers().collect::<Vec<_>>(), [0.0; 4]);
        assert_eq!(label.range, Some([0.0, 0.0]));
    }

    #[test]
    fn map_of_a_large_image_is_shrunk() {
        let size = Size {
            height: 1024,
            width: 4096,
        };
        let label = decode(size, Map::new([1, 1, 1], vec![2.0]).unwrap()).unwrap();
        assert_eq!(label.map.unwrap().shape(), [512, 2048]);
    }

    #[test]
    fn several_channels_are_an_error() {
        let size = Size {
            height: 1,
            width: 1,
        };
        let error = decode(size, Map::new([2, 1, 1], vec![0.0; 2]).unwrap());
        let (wanted, found) = (1, 2);
        assert_eq!(error, Err(DecodeError::Channels { wanted, found }));
    }
}
