//! A repository's `preprocessor_config.json`.

use modelzoo_model::plan::{Color, Normalization, Preprocessing, Resampling, Size, Step};
use serde_json::{Map, Value};

use super::error::TranslateError as Error;
use super::images::numbers;
use super::settings::count;

/// From an image to the network's input, as the processor that the configuration names does it.
pub(super) fn preprocessing(config: &Map<String, Value>) -> Result<Preprocessing, Error> {
    let processor = Processor { config };
    let mut steps = Vec::new();
    if processor.flag("do_resize", true)? {
        processor.resize(&mut steps)?;
    }
    let crops = ["CLIP", "Bit", "DeiT"]
        .iter()
        .any(|kind| processor.is(kind));
    if processor.flag("do_center_crop", crops)? && !processor.is("ConvNext") {
        steps.push(Step::CenterCrop(processor.crop_size()?));
    }
    processor.check_rescale()?;
    Ok(Preprocessing {
        color: Color::Rgb,
        steps,
        normalize: processor.normalize()?,
    })
}

struct Processor<'a> {
    config: &'a Map<String, Value>,
}

impl Processor<'_> {
    fn get(&self, field: &str) -> Option<&Value> {
        self.config.get(field).filter(|value| !value.is_null())
    }

    fn flag(&self, field: &str, default: bool) -> Result<bool, Error> {
        match self.get(field) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| Error::bad(field, "is not true or false")),
        }
    }

    /// Whether the processor's name begins with `kind`.
    fn is(&self, kind: &str) -> bool {
        let named = self
            .get("image_processor_type")
            .or(self.get("feature_extractor_type"));
        named
            .and_then(Value::as_str)
            .is_some_and(|name| name.to_lowercase().starts_with(&kind.to_lowercase()))
    }

    fn resize(&self, steps: &mut Vec<Step>) -> Result<(), Error> {
        let resampling = self.resampling()?;
        let bad = || {
            Error::bad(
                "size",
                "is not a number, height and width, or a shortest edge",
            )
        };
        let size = self.get("size").ok_or_else(bad)?;
        let shortest = size.get("shortest_edge").and_then(count);
        let one = count(size);
        if self.is("ConvNext") {
            return self.resize_convnext(steps, shortest.or(one).ok_or_else(bad)?, resampling);
        }
        if self.is("DPT") {
            return self.resize_dpt(steps, rectangle(size).ok_or_else(bad)?, resampling);
        }
        if let Some(longest) = self.longest(size)? {
            steps.push(Step::ResizeWithin {
                shortest: shortest.or(one).ok_or_else(bad)?,
                longest,
                resampling,
            });
            return Ok(());
        }
        // One number is the shorter side for processors that keep the shape.
        let keeps_shape = self.is("CLIP") || self.is("Bit");
        if let Some(to) = shortest.or(one.filter(|_| keeps_shape)) {
            steps.push(Step::ResizeShortest { to, resampling });
            return Ok(());
        }
        let to = rectangle(size).ok_or_else(bad)?;
        steps.push(Step::Resize { to, resampling });
        Ok(())
    }

    /// The most that the longer side has, for the processors that keep the shape and have a bound.
    fn longest(&self, size: &Value) -> Result<Option<u32>, Error> {
        let bounded = ["Detr", "ConditionalDetr", "DeformableDetr", "Yolos"]
            .iter()
            .any(|kind| self.is(kind));
        let own = size.get("longest_edge");
        let given = own.or(self.get("max_size").filter(|_| bounded));
        match (bounded, given) {
            (false, Some(_)) => Err(Error::bad("size", "has a `longest_edge`")),
            (false, None) => Ok(None),
            (true, None) if rectangle(size).is_some() && count(size).is_none() => Ok(None),
            (true, None) => Ok(Some(1333)),
            (true, Some(longest)) => {
                let bad = || Error::bad("size", "has a `longest_edge` that is not a number");
                count(longest).ok_or_else(bad).map(Some)
            }
        }
    }

    /// The sides are multiples of a number; the aspect ratio stays where the configuration says so.
    fn resize_dpt(
        &self,
        steps: &mut Vec<Step>,
        to: Size,
        resampling: Resampling,
    ) -> Result<(), Error> {
        let multiple = match self.get("ensure_multiple_of") {
            None => 1,
            Some(value) => count(value)
                .ok_or_else(|| Error::bad("ensure_multiple_of", "is not a positive number"))?,
        };
        steps.push(if self.flag("keep_aspect_ratio", false)? {
            Step::ResizeToMultiple {
                to,
                multiple,
                resampling,
            }
        } else {
            Step::Resize {
                to: to.near_multiple(to, multiple),
                resampling,
            }
        });
        Ok(())
    }

    /// Small images are resized to more than they are cropped to, by `crop_pct`; from 384 on they
    /// are squeezed.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounds down, as the processor does"
    )]
    fn resize_convnext(
        &self,
        steps: &mut Vec<Step>,
        side: u32,
        resampling: Resampling,
    ) -> Result<(), Error> {
        let square = Size {
            height: side,
            width: side,
        };
        if side >= 384 {
            steps.push(Step::Resize {
                to: square,
                resampling,
            });
            return Ok(());
        }
        let kept = match self.get("crop_pct") {
            None => 224.0 / 256.0,
            Some(value) => value
                .as_f64()
                .filter(|kept| (0.1..=1.0).contains(kept))
                .ok_or_else(|| Error::bad("crop_pct", "is not a number from 0.1 to 1"))?,
        };
        let to = (f64::from(side) / kept) as u32;
        steps.push(Step::ResizeShortest { to, resampling });
        steps.push(Step::CenterCrop(square));
        Ok(())
    }

    fn crop_size(&self) -> Result<Size, Error> {
        let size = self.get("crop_size").or(self.get("size"));
        size.and_then(rectangle)
            .ok_or_else(|| Error::bad("crop_size", "is not a number, or height and width"))
    }

    /// Pillow's numbers of its filters.
    fn resampling(&self) -> Result<Resampling, Error> {
        let bicubic = ["CLIP", "Siglip", "Bit", "Beit", "DeiT", "DPT"]
            .iter()
            .any(|kind| self.is(kind));
        let default = match bicubic {
            true => 3,
            false if self.is("EfficientNet") => 0,
            false => 2,
        };
        match self.get("resample").map_or(Some(default), Value::as_u64) {
            Some(0) => Ok(Resampling::Nearest),
            Some(1) => Ok(Resampling::Lanczos),
            Some(2) => Ok(Resampling::Bilinear),
            Some(3) => Ok(Resampling::Bicubic),
            _ => Err(Error::bad(
                "resample",
                "is not 0 (nearest), 1 (Lanczos), 2 (bilinear) or 3 (bicubic)",
            )),
        }
    }

    /// Values are always brought to 0 to 1 here.
    fn check_rescale(&self) -> Result<(), Error> {
        let factor = self
            .get("rescale_factor")
            .map_or(Some(1.0 / 255.0), Value::as_f64);
        let usual = factor.is_some_and(|factor| (factor * 255.0 - 1.0).abs() < 1e-6);
        if !self.flag("do_rescale", true)? || !usual {
            return Err(Error::bad(
                "rescale_factor",
                "does not bring values to 0 to 1",
            ));
        }
        if self.flag("rescale_offset", false)? {
            return Err(Error::bad("rescale_offset", "is set"));
        }
        Ok(())
    }

    fn normalize(&self) -> Result<Option<Normalization>, Error> {
        if !self.flag("do_normalize", true)? {
            return Ok(None);
        }
        let values = |field: &str| {
            let half = self.is("ViT") || self.is("Siglip");
            match self.get(field) {
                None if half => Ok(vec![0.5; 3]),
                None => Err(Error::bad(field, "is missing")),
                Some(value) => numbers(value)
                    .ok_or_else(|| Error::bad(field, "is not a list of three numbers")),
            }
        };
        let (mean, mut std) = (values("image_mean")?, values("image_std")?);
        // Networks that were trained by TensorFlow's rules are divided by it once more.
        if self.is("EfficientNet") && self.flag("include_top", true)? {
            std.iter_mut().for_each(|std| *std *= *std);
        }
        Ok(Some(Normalization { mean, std }))
    }
}

/// Height and width, from an object of them or one number for both.
fn rectangle(size: &Value) -> Option<Size> {
    let side = |name: &str| count(size).or_else(|| size.get(name).and_then(count));
    Some(Size {
        height: side("height")?,
        width: side("width")?,
    })
}
