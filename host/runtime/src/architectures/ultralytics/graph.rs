//! The layers of a network, and which take what from which.

use super::attention::{a2c2f, psa};
use super::blocks::{Inner, bottleneck, c2f, c3, pyramid};
use super::description::{Description, Line};
use super::elan::{aconv, adown, elan};
use super::fuse::{Fuse, Spread};
use super::head::Head;
use super::loader::{Block, Loader, Measured, Walk};
use crate::architectures::shared::config::ConfigChecker;
use crate::error::Error;
use crate::layers::{Activation, FeatureMap, concat};
use crate::trace::Trace;

/// What a layer does.
enum Layer {
    /// A block with one input.
    One(Box<dyn Block>),
    Concat,
    Repeat(usize),
    Same,
    Spread(Box<Spread>),
    Fuse(Fuse),
}

/// A layer in its place.
struct Node {
    name: String,
    /// The layers that it takes values of, and none for the image.
    from: Vec<Option<usize>>,
    layer: Layer,
    /// The last layer that takes its value.
    last_use: usize,
}

/// All layers but the head.
pub(super) struct Graph {
    nodes: Vec<Node>,
    /// The layers whose values the head takes.
    heads: Vec<Option<usize>>,
}

/// A network, built.
pub(super) struct Built {
    pub(super) graph: Graph,
    pub(super) head: Head,
}

impl Graph {
    /// The names of the layers.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.name.as_str())
    }

    /// The values that the head takes.
    pub(super) fn forward(
        &self,
        image: &FeatureMap,
        trace: &mut Trace<'_>,
    ) -> Result<Vec<FeatureMap>, Error> {
        let image = [image.clone()];
        let mut values: Vec<Option<Vec<FeatureMap>>> = Vec::with_capacity(self.nodes.len());
        for (at, node) in self.nodes.iter().enumerate() {
            let inputs = taken(&values, &image, &node.from, &node.name)?;
            if let Some([first, ..]) = inputs.first() {
                trace.input(&node.name, first)?;
            }
            let outputs = node.forward(&inputs)?;
            if let Some(first) = outputs.first() {
                trace.output(&node.name, first)?;
            }
            values.push(Some(outputs));
            // What nobody takes any more needs no memory.
            for (value, of) in values.iter_mut().zip(&self.nodes) {
                if of.last_use <= at {
                    *value = None;
                }
            }
        }
        let taken = taken(&values, &image, &self.heads, "head")?;
        Ok(taken.into_iter().flatten().cloned().collect())
    }
}

/// The values of layers.
fn taken<'v>(
    values: &'v [Option<Vec<FeatureMap>>],
    image: &'v [FeatureMap],
    from: &[Option<usize>],
    name: &str,
) -> Result<Vec<&'v [FeatureMap]>, Error> {
    let value = |from: &Option<usize>| match from {
        None => Some(image),
        Some(at) => values.get(*at)?.as_deref(),
    };
    let all: Option<Vec<_>> = from.iter().map(value).collect();
    all.ok_or_else(|| Error::bad_input(name, "takes a value that there is not"))
}

impl Node {
    fn forward(&self, inputs: &[&[FeatureMap]]) -> Result<Vec<FeatureMap>, Error> {
        let one = || match inputs {
            [[one]] => Ok(one),
            _ => Err(Error::bad_input(&self.name, "takes one map")),
        };
        Ok(match &self.layer {
            Layer::One(block) => vec![block.forward(one()?)?],
            Layer::Repeat(times) => vec![one()?.repeated(*times)?],
            Layer::Same => vec![one()?.clone()],
            Layer::Spread(spread) => spread.forward(one()?)?,
            Layer::Fuse(fuse) => vec![fuse.forward(&self.name, inputs)?],
            Layer::Concat => {
                let maps: Vec<_> = inputs.iter().copied().flatten().cloned().collect();
                vec![concat(&self.name, &maps)?]
            }
        })
    }
}

/// The channels of each layer's value: one number, or one per map.
struct Widths {
    image: Vec<usize>,
    layers: Vec<Vec<usize>>,
}

impl Widths {
    fn of(&self, from: Option<usize>) -> &[usize] {
        match from {
            None => &self.image,
            Some(at) => self.layers.get(at).map_or(&[], Vec::as_slice),
        }
    }

    /// The channels of the one map that a layer takes; zero, which no weights take, where it is
    /// not one.
    fn one(&self, from: &[Option<usize>]) -> usize {
        match from {
            [from] => match self.of(*from) {
                [channels] => *channels,
                _ => 0,
            },
            _ => 0,
        }
    }
}

/// Builds the network that a description says, with its weights.
pub(super) fn build(
    checker: &ConfigChecker,
    description: &Description,
    loader: &Loader<'_>,
) -> Result<Built, Error> {
    let Some((head, lines)) = description.lines.split_last() else {
        return Err(checker.error("head", "must be a list of layers"));
    };
    let mut widths = Widths {
        image: vec![3],
        layers: Vec::new(),
    };
    let mut nodes = Vec::with_capacity(lines.len());
    for (at, line) in lines.iter().enumerate() {
        let part = loader.child(&at.to_string());
        let (layer, channels) = layer(checker, line, &part, &widths)?;
        widths.layers.push(channels);
        nodes.push(Node {
            name: format!("model.{at}"),
            from: line.from.clone(),
            layer,
            last_use: at,
        });
    }
    for (at, line) in description.lines.iter().enumerate() {
        for from in line.from.iter().flatten() {
            if let Some(node) = nodes.get_mut(*from) {
                node.last_use = node.last_use.max(at);
            }
        }
    }
    let taken: Vec<usize> = head
        .from
        .iter()
        .flat_map(|from| widths.of(*from))
        .copied()
        .collect();
    let part = loader.child(&lines.len().to_string());
    Ok(Built {
        head: Head::load(checker, description, head, &part, &taken)?,
        graph: Graph {
            nodes,
            heads: head.from.clone(),
        },
    })
}

/// A layer, and the channels of what it gives.
fn layer(
    checker: &ConfigChecker,
    line: &Line,
    part: &Loader<'_>,
    widths: &Widths,
) -> Result<(Layer, Vec<usize>), Error> {
    let channels = widths.one(&line.from);
    match line.module.as_str() {
        "Concat" => {
            let all = line.from.iter().flat_map(|from| widths.of(*from));
            Ok((Layer::Concat, vec![all.sum()]))
        }
        "nn.Upsample" => match (line.number(1), line.arguments.get(2)) {
            (Some(times @ 1..=16), Some(kind)) if kind == "nearest" => {
                Ok((Layer::Repeat(times), vec![channels]))
            }
            _ => Err(checker.error("head", "has an `nn.Upsample` that is not `nearest`")),
        },
        "nn.Identity" => Ok((Layer::Same, vec![channels])),
        "CBLinear" => {
            let sizes = line.arguments.first().and_then(serde_json::Value::as_array);
            let size = |value: &serde_json::Value| usize::try_from(value.as_u64()?).ok();
            let sizes: Option<Vec<usize>> =
                sizes.and_then(|sizes| sizes.iter().map(size).collect());
            let sizes = sizes.ok_or_else(|| checker.error("backbone", "has a bad `CBLinear`"))?;
            let spread = Spread::load(part, channels, sizes)?;
            let widths = spread.widths.clone();
            Ok((Layer::Spread(Box::new(spread)), widths))
        }
        "CBFuse" => {
            let picks = line.arguments.first().unwrap_or(&serde_json::Value::Null);
            let last = line.from.last().map(|from| widths.of(*from).to_vec());
            let spreads = line.from.len().saturating_sub(1);
            let fuse = Fuse::read(checker, "backbone", picks, spreads)?;
            Ok((Layer::Fuse(fuse), last.unwrap_or_default()))
        }
        _ => {
            let (block, channels) = block(checker, line, part, channels)?;
            Ok((Layer::One(block), vec![channels]))
        }
    }
}

/// A block with one input, and the channels that it gives.
fn block(
    checker: &ConfigChecker,
    line: &Line,
    part: &Loader<'_>,
    channels: usize,
) -> Result<Measured<Box<dyn Block>>, Error> {
    let flag = |at: usize, default: bool| line.flag(at).unwrap_or(default);
    let silu = Activation::Silu;
    match line.module.as_str() {
        "Conv" | "DWConv" => {
            let is_plain = line.module == "Conv";
            let walk = Walk {
                stride: line.number(2).unwrap_or(1),
                padding: line.number(3).filter(|_| is_plain),
            };
            conv(part, channels, walk, silu)
        }
        "Bottleneck" => bottleneck(part, channels, flag(1, true)),
        "C2f" | "C2fCIB" => c2f(part, channels, flag(1, false)),
        "C3k2" => c2f(part, channels, flag(5, true)),
        "C3" => c3(part, channels, Inner::Plain, flag(1, true)),
        "SPPF" => {
            // Descriptions with three arguments or more are of YOLO26, whose first convolution has
            // no activation.
            let activation = match line.arguments.len() {
                0..=2 => silu,
                _ => Activation::Identity,
            };
            let kernel = kernel(checker, line, 1)?;
            pyramid(
                part,
                channels,
                ["cv1", "cv2"],
                kernel,
                activation,
                flag(3, false),
            )
        }
        "SPPELAN" => {
            let kernel = kernel(checker, line, 2)?;
            pyramid(part, channels, ["cv1", "cv5"], kernel, silu, false)
        }
        "C2PSA" | "PSA" => psa(part, channels),
        "A2C2f" => a2c2f(part, channels, line.number(2).unwrap_or(1).clamp(1, 64)),
        "SCDown" => {
            let (first, between) = part.silu("cv1", channels)?;
            let walk = Walk::stride(line.number(2).unwrap_or(1));
            let (second, outputs) = part.conv("cv2", between, walk, Activation::Identity)?;
            let chain = super::blocks::Chain(vec![Box::new(first), Box::new(second)]);
            Ok((Box::new(chain), outputs))
        }
        "RepNCSPELAN4" | "ELAN1" => elan(part, channels),
        "AConv" => aconv(part, channels),
        "ADown" => adown(part, channels),
        unknown => Err(checker.unsupported("backbone", unknown)),
    }
}

/// A layer that is one convolution, whose parts are the layer's own.
fn conv(
    part: &Loader<'_>,
    channels: usize,
    walk: Walk,
    activation: Activation,
) -> Result<Measured<Box<dyn Block>>, Error> {
    let (weight, bias, geometry) = part.folded(channels, walk)?;
    let conv = part.fused("conv", geometry, &weight, &bias, activation)?;
    Ok((Box::new(conv), geometry.out_channels))
}

/// The side of a pool's window, 5 where it is not said.
fn kernel(checker: &ConfigChecker, line: &Line, at: usize) -> Result<usize, Error> {
    let kernel = line.number(at).unwrap_or(5);
    checker.check_range(&line.module, kernel, 1..=63)?;
    Ok(kernel)
}
