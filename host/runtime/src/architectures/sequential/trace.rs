//! Checks of a list of layers: each size by itself, then what each layer hands to the next.

use std::collections::HashSet;

use super::{NAME, SequentialLayer, bad, geometry, pool};
use crate::error::Error;
use crate::plan::Size;

/// The most layers.
const MAX_LAYERS: usize = 10_000;
/// The most channels or features.
const MAX_FEATURES: usize = 1 << 24;
/// The largest kernel, stride, padding or dilation.
const MAX_SIDE: usize = 4096;

/// What a layer hands to the next, as far as it is known.
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

/// Checks each layer by itself.
pub(super) fn check(layers: &[SequentialLayer]) -> Result<(), Error> {
    if layers.is_empty() || layers.len() > MAX_LAYERS {
        let reason = format!(
            "has {} layers; 1 to {MAX_LAYERS} are possible",
            layers.len()
        );
        return Err(Error::BadConfig {
            architecture: NAME,
            field: "layers".to_owned(),
            reason,
        });
    }
    let mut names = HashSet::new();
    for (index, layer) in layers.iter().enumerate() {
        check_sizes(index, layer)?;
        if let Some(name) = name(layer) {
            if name.is_empty() {
                return Err(bad(index, "name", "is empty"));
            }
            if !names.insert(name) {
                return Err(bad(
                    index,
                    "name",
                    format!(
                        "`{}` is the name of an earlier layer too",
                        name.escape_debug()
                    ),
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

fn check_sizes(index: usize, layer: &SequentialLayer) -> Result<(), Error> {
    let within = |field: &str, value: usize, least: usize, most: usize| {
        if (least..=most).contains(&value) {
            Ok(())
        } else {
            Err(bad(
                index,
                field,
                format!("must be {least} to {most}, not {value}"),
            ))
        }
    };
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
                .try_for_each(|side| within(field, side, least, MAX_SIDE))
        })
    };
    if let Some(geometry) = geometry(layer) {
        sides(&geometry.window)?;
        within("in_channels", geometry.in_channels, 1, MAX_FEATURES)?;
        within("out_channels", geometry.out_channels, 1, MAX_FEATURES)?;
        within("groups", geometry.groups, 1, MAX_FEATURES)?;
        if geometry.in_channels % geometry.groups != 0
            || geometry.out_channels % geometry.groups != 0
        {
            return Err(bad(
                index,
                "groups",
                "must divide both `in_channels` and `out_channels`",
            ));
        }
    }
    if let Some(pool) = pool(index, layer) {
        let window = pool.window.window;
        sides(&window)?;
        if window
            .padding
            .iter()
            .zip(window.kernel)
            .any(|(padding, kernel)| padding * 2 > kernel)
        {
            return Err(bad(
                index,
                "padding",
                "must be at most half of the kernel's size",
            ));
        }
    }
    match layer {
        SequentialLayer::Linear {
            in_features,
            out_features,
            ..
        } => {
            within("in_features", *in_features, 1, MAX_FEATURES)?;
            within("out_features", *out_features, 1, MAX_FEATURES)
        }
        SequentialLayer::BatchNorm { features, eps, .. } => {
            within("features", *features, 1, MAX_FEATURES)?;
            if *eps >= 0.0 && eps.is_finite() {
                Ok(())
            } else {
                Err(bad(index, "eps", "must be a number of at least 0"))
            }
        }
        _ => Ok(()),
    }
}

/// The channels that the first layer with a number of channels takes.
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

/// Follows the shapes through the layers; the number of outputs, where it is known.
pub(super) fn outputs(
    layers: &[SequentialLayer],
    channels: usize,
    size: Option<Size>,
) -> Result<Option<usize>, Error> {
    let size = size.map(|size| (size.height as usize, size.width as usize));
    let mut shape = Shape::Map { channels, size };
    for (index, layer) in layers.iter().enumerate() {
        shape = step(index, layer, shape)?;
    }
    match shape {
        Shape::Rows { features } => Ok(features),
        Shape::Map { .. } => Err(bad(
            layers.len() - 1,
            "",
            "is the last layer and leaves a feature map: a `flatten` must follow",
        )),
    }
}

fn step(index: usize, layer: &SequentialLayer, shape: Shape) -> Result<Shape, Error> {
    if let Some(geometry) = geometry(layer) {
        let (channels, size) = map(index, shape, "a convolution")?;
        same(index, "in_channels", geometry.in_channels, channels)?;
        let window = geometry.window;
        let size = slide(index, size, |axis, length| window.places(axis, length))?;
        return Ok(Shape::Map {
            channels: geometry.out_channels,
            size,
        });
    }
    if let Some(pool) = pool(index, layer) {
        let (channels, size) = map(index, shape, "a pool")?;
        let size = slide(index, size, |axis, length| pool.window.places(axis, length))?;
        return Ok(Shape::Map { channels, size });
    }
    match layer {
        SequentialLayer::GlobalAvgPool {} => {
            let (channels, _) = map(index, shape, "a pool")?;
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
            Shape::Map { .. } => Err(bad(
                index,
                "",
                "is a linear layer after a feature map: a `flatten` must come between",
            )),
            Shape::Rows { features } => {
                same(
                    index,
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
            same(index, "features", *features, known)?;
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

fn map(index: usize, shape: Shape, what: &str) -> Result<(usize, Option<(usize, usize)>), Error> {
    match shape {
        Shape::Map { channels, size } => Ok((channels, size)),
        Shape::Rows { .. } => Err(bad(
            index,
            "",
            format!("is {what} after the feature map has been flattened"),
        )),
    }
}

fn same(index: usize, field: &str, wants: usize, gets: usize) -> Result<(), Error> {
    if wants == gets {
        Ok(())
    } else {
        Err(bad(
            index,
            field,
            format!("is {wants}, but what comes in has {gets}"),
        ))
    }
}

/// The size after a window has passed over a size, if that is known.
fn slide(
    index: usize,
    size: Option<(usize, usize)>,
    places: impl Fn(usize, usize) -> usize,
) -> Result<Option<(usize, usize)>, Error> {
    let Some((height, width)) = size else {
        return Ok(None);
    };
    match (places(0, height), places(1, width)) {
        (0, _) | (_, 0) => {
            let reason = format!("does not fit into a feature map of {height}x{width}");
            Err(bad(index, "kernel_size", reason))
        }
        size => Ok(Some(size)),
    }
}
