//! The head of a network: from feature maps of several sizes to candidates.

use candle_core::Tensor;
use modelzoo_model::output::{Map, Masks, Output, OutputError, OutputKind};

use super::decode::{Decoder, Extra};
use super::description::{Description, Line};
use super::loader::{Block, Conv, Loader, Measured};
use crate::architectures::shared::config::ConfigChecker;
use crate::error::Error;
use crate::layers::{
    Activation, ConvTranspose2d, FeatureMap, Linear, TransposedGeometry, concat, global_average,
};
use crate::precision::full;

/// The head of a network.
pub(super) enum Head {
    /// One label per image.
    Classes { conv: Box<Conv>, linear: Linear },
    /// Boxes, and what there is of each.
    Boxes(Box<BoxHead>),
}

/// The convolutions of one size of feature maps.
struct Level {
    boxes: Vec<Box<dyn Block>>,
    classes: Vec<Box<dyn Block>>,
    extra: Vec<Box<dyn Block>>,
}

/// A head that gives boxes.
pub(super) struct BoxHead {
    levels: Vec<Level>,
    prototypes: Option<Prototypes>,
    decoder: Decoder,
}

/// The maps that masks are sums of: `Proto` and `Proto26`.
struct Prototypes {
    /// Of the maps but the first one, added to it; empty for `Proto`.
    refine: Vec<Conv>,
    fuse: Option<Conv>,
    first: Conv,
    larger: ConvTranspose2d,
    second: Conv,
    last: Conv,
}

impl Head {
    /// Reads the head that `line` names; it takes maps of these numbers of channels.
    pub(super) fn load(
        checker: &ConfigChecker,
        description: &Description,
        line: &Line,
        part: &Loader<'_>,
        channels: &[usize],
    ) -> Result<Self, Error> {
        let extra = match line.module.as_str() {
            "Classify" => return Self::classes(part, channels),
            "Detect" | "v10Detect" => Extra::None,
            "Segment" | "Segment26" => Extra::Masks,
            "OBB" => Extra::Angle { is_direct: false },
            "OBB26" => Extra::Angle { is_direct: true },
            "Pose" | "Pose26" => match description.points {
                Some([count, numbers]) => Extra::Points {
                    count,
                    numbers,
                    is_direct: line.module == "Pose26",
                },
                None => return Err(checker.error("kpt_shape", "is missing")),
            },
            unknown => return Err(checker.unsupported("head", unknown)),
        };
        let end2end = description.end2end || line.module == "v10Detect";
        let end2end = end2end && part.has("one2one_cv2.0.0.conv.weight");
        let prefix = if end2end { "one2one_" } else { "" };
        ignore_training(part, end2end);
        let mut levels = Vec::with_capacity(channels.len());
        let mut decoder = None;
        for (at, &channels) in channels.iter().enumerate() {
            let name = |part: &str| format!("{prefix}{part}.{at}");
            let (boxes, sides) = branch(&part.child(&name("cv2")), channels)?;
            let (classes, count) = branch(&part.child(&name("cv3")), channels)?;
            let (extra_blocks, more) = match extra {
                Extra::None => (Vec::new(), 0),
                Extra::Points {
                    is_direct: true, ..
                } => {
                    let (mut blocks, between) = branch(&part.child(&name("cv4")), channels)?;
                    let points = name("cv4_kpts");
                    let (last, outputs) = part.plain(&points, between)?;
                    blocks.push(Box::new(last));
                    (blocks, outputs)
                }
                Extra::Masks | Extra::Angle { .. } | Extra::Points { .. } => {
                    branch(&part.child(&name("cv4")), channels)?
                }
            };
            let own = Decoder::new(count, sides, more, extra, end2end);
            let own = own.map_err(|reason| checker.error("head", reason))?;
            if decoder.replace(own).is_some_and(|other| other != own) {
                return Err(checker.error("head", "has levels with different outputs"));
            }
            levels.push(Level {
                boxes,
                classes,
                extra: extra_blocks,
            });
        }
        let decoder = decoder.ok_or_else(|| checker.error("head", "takes nothing"))?;
        let prototypes = match extra {
            Extra::Masks => Some(Prototypes::load(&part.child("proto"), channels)?),
            Extra::None | Extra::Angle { .. } | Extra::Points { .. } => None,
        };
        if let Some(prototypes) = &prototypes
            && prototypes.count() != decoder.more()
        {
            return Err(checker.error("head", "has another number of prototypes than of factors"));
        }
        Ok(Self::Boxes(Box::new(BoxHead {
            levels,
            prototypes,
            decoder,
        })))
    }

    fn classes(part: &Loader<'_>, channels: &[usize]) -> Result<Self, Error> {
        let channels = channels.iter().sum();
        let (conv, between) = part.silu("conv", channels)?;
        let outputs = part.outputs("linear")?;
        let linear = part.scope.child("linear");
        let none = Activation::Identity;
        let linear = Linear::load(&linear, [between, outputs], true, None, none, part.device)?;
        Ok(Self::Classes {
            conv: Box::new(conv),
            linear,
        })
    }

    /// The kind of its outputs.
    pub(super) fn gives(&self) -> OutputKind {
        match self {
            Self::Classes { .. } => OutputKind::Scores,
            Self::Boxes(_) => OutputKind::Boxes,
        }
    }

    /// How many classes it has, where the configuration does not say.
    pub(super) fn class_count(&self) -> Option<usize> {
        match self {
            Self::Classes { .. } => None,
            Self::Boxes(head) => Some(head.decoder.classes()),
        }
    }

    /// Everything that it gives before places are computed: `[batch, places, numbers]`, or the
    /// scores of classes.
    pub(super) fn forward(&self, maps: &[FeatureMap]) -> Result<Tensor, Error> {
        match self {
            Self::Classes { conv, linear } => {
                let x = conv.forward(&concat("head", maps)?)?;
                linear.forward(&global_average(&x)?.flatten()?)
            }
            Self::Boxes(head) => head.rows(maps),
        }
    }

    /// The outputs of each image of `[height, width]` pixels.
    pub(super) fn outputs(
        &self,
        maps: &[FeatureMap],
        image: [usize; 2],
    ) -> Result<Option<Vec<Result<Output, OutputError>>>, Error> {
        match self {
            Self::Classes { .. } => Ok(None),
            Self::Boxes(head) => head.outputs(maps, image).map(Some),
        }
    }
}

/// Ignores what only training needs.
fn ignore_training(part: &Loader<'_>, end2end: bool) {
    for name in ["cv2", "cv3", "cv4", "cv4_kpts", "cv4_sigma"] {
        let one2one = format!("one2one_{name}");
        part.scope
            .ignore_below(if end2end { name } else { &one2one });
    }
    for name in ["flow_model", "cv4_sigma", "one2one_cv4_sigma", "dfl"] {
        part.scope.ignore_below(name);
    }
    part.scope.ignore_below("proto.semseg");
}

/// The convolutions `0`, `1`, … of one branch: the last one plain, others with their norms, or two
/// of these together. Those of points end without a plain one.
fn branch(part: &Loader<'_>, channels: usize) -> Result<Measured<Vec<Box<dyn Block>>>, Error> {
    let mut blocks: Vec<Box<dyn Block>> = Vec::new();
    let mut width = channels;
    for at in 0.. {
        let name = at.to_string();
        let inner = |place: usize| format!("{name}.{place}");
        let parts = match () {
            () if part.has(&format!("{name}.conv.weight")) => vec![part.silu(&name, width)?],
            () if part.has(&format!("{name}.0.conv.weight")) => {
                let first = part.silu(&inner(0), width)?;
                let second = part.silu(&inner(1), first.1)?;
                vec![first, second]
            }
            () if part.has(&format!("{name}.weight")) => vec![part.plain(&name, width)?],
            () => break,
        };
        for (conv, outputs) in parts {
            blocks.push(Box::new(conv));
            width = outputs;
        }
    }
    if blocks.is_empty() {
        // The error of the tensor that is missing.
        part.outputs("0.conv")?;
    }
    Ok((blocks, width))
}

fn through(blocks: &[Box<dyn Block>], x: &FeatureMap) -> Result<Option<FeatureMap>, Error> {
    let mut value = None;
    for block in blocks {
        value = Some(block.forward(value.as_ref().unwrap_or(x))?);
    }
    Ok(value)
}

impl BoxHead {
    /// All rows of all levels: the sides of boxes, the logits of classes, and what is more.
    fn rows(&self, maps: &[FeatureMap]) -> Result<Tensor, Error> {
        let mut levels = Vec::with_capacity(maps.len());
        for (level, map) in self.levels.iter().zip(maps) {
            let mut parts = Vec::new();
            for blocks in [&level.boxes, &level.classes, &level.extra] {
                if let Some(found) = through(blocks, map)? {
                    parts.push(full(&found.to_tokens()?)?);
                }
            }
            levels.push(Tensor::cat(&parts, 2)?);
        }
        Ok(Tensor::cat(&levels, 1)?)
    }

    fn outputs(
        &self,
        maps: &[FeatureMap],
        image: [usize; 2],
    ) -> Result<Vec<Result<Output, OutputError>>, Error> {
        let rows = self.rows(maps)?;
        let (batch, _, _) = rows.dims3()?;
        let sizes = maps.iter().map(|map| {
            let shape = map.shape()?;
            Ok([shape.height, shape.width])
        });
        let grid = Decoder::grid(image, &sizes.collect::<Result<Vec<_>, Error>>()?);
        let prototypes = match &self.prototypes {
            Some(prototypes) => Some(full(&prototypes.forward(maps)?.to_channels_first()?)?),
            None => None,
        };
        let mut outputs = Vec::with_capacity(batch);
        for at in 0..batch {
            let own = rows.get(at)?.flatten_all()?.to_vec1::<f32>()?;
            let masks = match &prototypes {
                None => None,
                Some(prototypes) => {
                    let own = prototypes.get(at)?;
                    let (count, height, width) = own.dims3()?;
                    Some(([count, height, width], own.flatten_all()?.to_vec1::<f32>()?))
                }
            };
            outputs.push(self.output(&own, &grid, masks));
        }
        Ok(outputs)
    }

    fn output(
        &self,
        rows: &[f32],
        grid: &[[f32; 3]],
        prototypes: Option<([usize; 3], Vec<f32>)>,
    ) -> Result<Output, OutputError> {
        let (boxes, factors) = self.decoder.decode(rows, grid)?;
        let Some((shape, values)) = prototypes else {
            return Ok(Output::Boxes(boxes));
        };
        let masks = Masks::from_prototypes(Map::new(shape, values)?, factors)?;
        Ok(Output::Boxes(boxes.with_masks(masks)?))
    }
}

impl Prototypes {
    fn load(part: &Loader<'_>, channels: &[usize]) -> Result<Self, Error> {
        let first_width = channels.first().copied().unwrap_or_default();
        let mut refine = Vec::new();
        let mut width = first_width;
        let mut fuse = None;
        if part.has("feat_fuse.conv.weight") {
            for (at, &channels) in channels.iter().skip(1).enumerate() {
                refine.push(part.silu(&format!("feat_refine.{at}"), channels)?.0);
            }
            let (conv, outputs) = part.silu("feat_fuse", first_width)?;
            (fuse, width) = (Some(conv), outputs);
        }
        let (first, between) = part.silu("cv1", width)?;
        let upsample = part.scope.child("upsample");
        let twice = TransposedGeometry {
            in_channels: between,
            out_channels: between,
            stride: 2,
            padding: 0,
        };
        let none = Activation::Identity;
        let larger = ConvTranspose2d::load(&upsample, twice, true, None, none, part.device)?;
        let (second, between) = part.silu("cv2", between)?;
        let (last, _) = part.silu("cv3", between)?;
        Ok(Self {
            refine,
            fuse,
            first,
            larger,
            second,
            last,
        })
    }

    /// How many prototypes there are.
    fn count(&self) -> usize {
        self.last.outputs()
    }

    fn forward(&self, maps: &[FeatureMap]) -> Result<FeatureMap, Error> {
        let Some((first, others)) = maps.split_first() else {
            return Err(Error::bad_input("proto", "there is no map"));
        };
        let mut x = first.clone();
        for (conv, map) in self.refine.iter().zip(others) {
            let map = conv.forward(map)?;
            let times = x.shape()?.height / map.shape()?.height.max(1);
            x = x.plus(&map.repeated(times)?)?;
        }
        if let Some(fuse) = &self.fuse {
            x = fuse.forward(&x)?;
        }
        let x = self.larger.forward(&self.first.forward(&x)?)?;
        self.last.forward(&self.second.forward(&x)?)
    }
}
