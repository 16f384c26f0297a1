//! Checks of a list of layers: the values of each layer, then the shapes from layer to layer.

use std::collections::HashSet;

use modelzoo_base::text::escape;
use modelzoo_model::plan::Size;

use super::config::SequentialLayer;
use crate::architectures::shared::config::ConfigChecker;
use crate::error::Error;

/// The most layers.
const MAX_LAYERS: usize = 10_000;
/// The most channels or features.
const MAX_FEATURES: usize = 1 << 24;
/// The largest kernel, stride, padding or dilation.
const MAX_SIDE: usize = 4096;

/// The shape between two layers, as far as it is known.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Map {
        channels: usize,
        size: Option<(usize, usize)>,
    },
    Rows {
        features: Option<usize>,
    },
}

/// The checker of a layer.
pub(super) fn layer_checker(checker: &ConfigChecker, index: usize) -> ConfigChecker {
    checker.child(&format!("layers[{index}]"))
}

/// Checks the values of each layer.
pub(super) fn check(checker: &ConfigChecker, layers: &[SequentialLayer]) -> Result<(), Error> {
    if layers.is_empty() || layers.len() > MAX_LAYERS {
        let reason = format!(
            "has {} layers; 1 to {MAX_LAYERS} are possible",
            layers.len()
        );
        return Err(checker.error("layers", reason));
    }
    let mut names = HashSet::new();
    for (index, layer) in layers.iter().enumerate() {
        let at = layer_checker(checker, index);
        check_sizes(&at, layer)?;
        if let Some(name) = name(layer) {
            if name.is_empty() {
                return Err(at.error("name", "is empty"));
            }
            if !names.insert(name) {
                return Err(at.error(
                    "name",
                    format!("`{}` is the name of an earlier layer too", escape(name)),
                ));
            }
        }
    }
    Ok(())
}

fn name(layer: &SequentialLayer) -> Option<&str> {
    match layer {
        SequentialLayer::Conv2d { name, .. }
        | SequentialLayer::BatchNorm { name, .. }
        | SequentialLayer::Linear { name, .. } => Some(name),
        _ => None,
    }
}

fn check_sizes(at: &ConfigChecker, layer: &SequentialLayer) -> Result<(), Error> {
    let sides = |window: &modelzoo_kernels::Window| {
        let fields = [
            ("kernel_size", window.kernel, 1),
            ("stride", window.stride, 1),
            ("padding", window.padding, 0),
            ("dilation", window.dilation, 1),
        ];
        fields.into_iter().try_for_each(|(field, sides, least)| {
            sides
                .into_iter()
                .try_for_each(|side| at.check_range(field, side, least..=MAX_SIDE))
        })
    };
    if let Some(geometry) = layer.geometry() {
        sides(&geometry.window)?;
        at.check_range("in_channels", geometry.in_channels, 1..=MAX_FEATURES)?;
        at.check_range("out_channels", geometry.out_channels, 1..=MAX_FEATURES)?;
        at.check_range("groups", geometry.groups, 1..=MAX_FEATURES)?;
        if geometry.in_channels % geometry.groups != 0
            || geometry.out_channels % geometry.groups != 0
        {
            return Err(at.error(
                "groups",
                "must divide both `in_channels` and `out_channels`",
            ));
        }
    }
    if let Some((pool, _)) = layer.pool() {
        let window = pool.window;
        sides(&window)?;
        if window
            .padding
            .iter()
            .zip(window.kernel)
            .any(|(padding, kernel)| padding * 2 > kernel)
        {
            return Err(at.error("padding", "must be at most half of the kernel's size"));
        }
    }
    match layer {
        SequentialLayer::Linear {
            in_features,
            out_features,
            ..
        } => {
            at.check_range("in_features", *in_features, 1..=MAX_FEATURES)?;
            at.check_range("out_features", *out_features, 1..=MAX_FEATURES)
        }
        SequentialLayer::BatchNorm { features, eps, .. } => {
            at.check_range("features", *features, 1..=MAX_FEATURES)?;
            if *eps >= 0.0 && eps.is_finite() {
                Ok(())
            } else {
                Err(at.error("eps", "must be a number of at least 0"))
            }
        }
        _ => Ok(()),
    }
}

/// The input channels of the first layer that has a number of them.
pub(super) fn in_channels(layers: &[SequentialLayer]) -> Option<usize> {
    for layer in layers {
        match layer {
            SequentialLayer::Conv2d { in_channels, .. } => return Some(*in_channels),
            SequentialLayer::BatchNorm { features, .. } => return Some(*features),
            SequentialLayer::Flatten {} => return None,
            _ => {}
        }
    }
    None
}

/// Follows the shapes through the layers. Returns the number of outputs, where it is known.
pub(super) fn outputs(
    checker: &ConfigChecker,
    layers: &[SequentialLayer],
    channels: usize,
    size: Option<Size>,
) -> Result<Option<usize>, Error> {
    let size = size.map(|size| (size.height as usize, size.width as usize));
    let mut shape = Shape::Map { channels, size };
    for (index, layer) in layers.iter().enumerate() {
        shape = step(&layer_checker(checker, index), layer, shape)?;
    }
    match shape {
        Shape::Rows { features } => Ok(features),
        Shape::Map { .. } => Err(layer_checker(checker, layers.len() - 1).error(
            "",
            "is the last layer and leaves a feature map: a `flatten` must follow",
        )),
    }
}

fn step(at: &ConfigChecker, layer: &SequentialLayer, shape: Shape) -> Result<Shape, Error> {
    if let Some(geometry) = layer.geometry() {
        let (channels, size) = map(at, shape, "a convolution")?;
        same(at, "in_channels", geometry.in_channels, channels)?;
        let window = geometry.window;
        let size = slide(at, size, |axis, length| window.places(axis, length))?;
        return Ok(Shape::Map {
            channels: geometry.out_channels,
            size,
        });
    }
    if let Some((pool, _)) = layer.pool() {
        let (channels, size) = map(at, shape, "a pool")?;
        let size = slide(at, size, |axis, length| pool.places(axis, length))?;
        return Ok(Shape::Map { channels, size });
    }
    match layer {
        SequentialLayer::GlobalAvgPool {} => {
            let (channels, _) = map(at, shape, "a pool")?;
            Ok(Shape::Map {
                channels,
                size: Some((1, 1)),
            })
        }
        SequentialLayer::Flatten {} => Ok(match shape {
            Shape::Map { channels, size } => {
                let features = size
                    .map(|(height, width)| channels.saturating_mul(height).saturating_mul(width));
                Shape::Rows { features }
            }
            rows @ Shape::Rows { .. } => rows,
        }),
        SequentialLayer::Linear {
            in_features,
            out_features,
            ..
        } => match shape {
            Shape::Map { .. } => Err(at.error(
                "",
                "is a linear layer after a feature map: a `flatten` must come between",
            )),
            Shape::Rows { features } => {
                same(
                    at,
                    "in_features",
                    *in_features,
                    features.unwrap_or(*in_features),
                )?;
                Ok(Shape::Rows {
                    features: Some(*out_features),
                })
            }
        },
        SequentialLayer::BatchNorm { features, .. } => {
            let known = match shape {
                Shape::Map { channels, .. } => channels,
                Shape::Rows { features: known } => known.unwrap_or(*features),
            };
            same(at, "features", *features, known)?;
            Ok(match shape {
                Shape::Rows { .. } => Shape::Rows {
                    features: Some(*features),
                },
                map @ Shape::Map { .. } => map,
            })
        }
        _ => Ok(shape),
    }
}

fn map(
    at: &ConfigChecker,
    shape: Shape,
    what: &str,
) -> Result<(usize, Option<(usize, usize)>), Error> {
    match shape {
        Shape::Map { channels, size } => Ok((channels, size)),
        Shape::Rows { .. } => Err(at.error(
            "",
            format!("is {what} after the feature map has been flattened"),
        )),
    }
}

fn same(at: &ConfigChecker, field: &str, wants: usize, gets: usize) -> Result<(), Error> {
    if wants == gets {
        Ok(())
    } else {
        Err(at.error(field, format!("is {wants}, but the input has {gets}")))
    }
}

/// The size after a window has moved over a feature map, if it is known.
fn slide(
    at: &ConfigChecker,
    size: Option<(usize, usize)>,
    places: impl Fn(usize, usize) -> usize,
) -> Result<Option<(usize, usize)>, Error> {
    let Some((height, width)) = size else {
        return Ok(None);
    };
    match (places(0, height), places(1, width)) {
        (0, _) | (_, 0) => {
            let reason = format!("does not fit into a feature map of {height}x{width}");
            Err(at.error("kernel_size", reason))
        }
        size => Ok(Some(size)),
    }
}
