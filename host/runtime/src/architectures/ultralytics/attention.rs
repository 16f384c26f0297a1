//! Attention over the pixels of a feature map: `PSA` (YOLOv10), `C2PSA` (YOLO11) and area attention
//! (YOLO12).

use candle_core::Tensor;

use super::blocks::{Chain, Gathered, Inner, Shortcut, c3, repeated};
use super::loader::{Block, Conv, Loader, Measured, Walk};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Attention, ConvGeometry, FeatureMap, Mask, concat};

/// `Attention` and `AAttn`: the values also go through a depthwise convolution, which tells places.
struct PixelAttention {
    name: String,
    /// To queries, keys and values one after the other, those of a head side by side. Where
    /// queries and keys are narrower than values, zeros make them as wide.
    qkv: Conv,
    attention: Attention,
    places: Conv,
    last: Conv,
    width: usize,
    /// Into how many parts, each of rows, the pixels are divided.
    areas: usize,
    device: Device,
}

impl Block for PixelAttention {
    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let qkv = self.qkv.forward(x)?;
        let shape = qkv.shape()?;
        let size = [shape.height, shape.width];
        let tokens = shape.height * shape.width;
        let values = qkv.channels(2 * self.width, self.width)?;
        let mut rows = qkv.to_tokens()?;
        if tokens % self.areas != 0 {
            let reason = format!(
                "{tokens} pixels cannot be divided into {} areas",
                self.areas
            );
            return Err(Error::bad_input(&self.name, reason));
        }
        if self.areas > 1 {
            let dims = (
                shape.batch * self.areas,
                tokens / self.areas,
                shape.channels,
            );
            rows = rows.reshape(dims)?;
        }
        let found = self.attention.forward_fused(&rows, Mask::default())?;
        let found = found.reshape((shape.batch, tokens, self.width))?;
        let found = FeatureMap::from_tokens(&found, size, &self.device)?;
        let found = self.places.0.forward(&values, Some(&found))?;
        self.last.forward(&found)
    }
}

/// How wide the parts of a head are.
#[derive(Clone, Copy)]
struct Heads {
    count: usize,
    /// Of a query and of a key.
    key: usize,
    value: usize,
}

impl PixelAttention {
    fn load(
        loader: &Loader<'_>,
        channels: usize,
        heads: Heads,
        areas: usize,
    ) -> Result<Self, Error> {
        let part = loader.child("qkv");
        let (weight, bias, geometry) = part.folded(channels, Walk::default())?;
        let Heads { count, key, value } = heads;
        let wanted = count * (2 * key + value);
        if count == 0 || key == 0 || geometry.out_channels != wanted {
            return Err(Error::WrongShape {
                name: format!("{}.conv.weight", part.scope.name()),
                want: [&[wanted], weight.dims().get(1..).unwrap_or_default()].concat(),
                got: weight.dims().to_vec(),
            });
        }
        let width = count * value;
        let own = ConvGeometry {
            out_channels: 3 * width,
            ..geometry
        };
        let (weight, bias) = (arranged(&weight, heads)?, arranged(&bias, heads)?);
        let qkv = part.fused("conv", own, &weight, &bias, Activation::Identity)?;
        let (places, _) = loader.linear("pe", width)?;
        let (last, outputs) = loader.linear("proj", width)?;
        let name = loader.scope.name();
        if outputs != channels {
            let reason = format!("takes {channels} channels and gives {outputs}");
            return Err(Error::bad_input(name, reason));
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "rounded once"
        )]
        let scale = (1.0 / (key as f64).sqrt()) as f32;
        Ok(Self {
            name: name.to_owned(),
            qkv,
            attention: Attention::with_scales(name, vec![scale; count], loader.device),
            places,
            last,
            width,
            areas: areas.max(1),
            device: loader.device.clone(),
        })
    }
}

/// From rows head by head, each its query, key and value, to the queries of all heads, their keys,
/// and their values; queries and keys are as wide as values afterwards, with zeros at their ends.
fn arranged(rows: &Tensor, Heads { count, key, value }: Heads) -> Result<Tensor, Error> {
    let head = 2 * key + value;
    let mut parts = Vec::with_capacity(6 * count);
    for (first, length) in [(0, key), (key, key), (2 * key, value)] {
        for at in 0..count {
            parts.push(rows.narrow(0, at * head + first, length)?);
            if length < value {
                let mut dims = rows.dims().to_vec();
                if let Some(rows) = dims.first_mut() {
                    *rows = value - length;
                }
                parts.push(Tensor::zeros(dims, rows.dtype(), rows.device())?);
            }
        }
    }
    Ok(Tensor::cat(&parts, 0)?)
}

/// `PSABlock`: attention, then two convolutions of one pixel, each beside a shortcut.
pub(super) struct PsaBlock {
    attention: Shortcut,
    feed_forward: Shortcut,
}

impl Block for PsaBlock {
    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        self.feed_forward.forward(&self.attention.forward(x)?)
    }
}

impl PsaBlock {
    /// One head for 64 channels, queries and keys half as wide as values.
    pub(super) fn load(loader: &Loader<'_>, channels: usize) -> Result<Self, Error> {
        let count = (channels / 64).max(1);
        let value = channels / count;
        let heads = Heads {
            count,
            key: value / 2,
            value,
        };
        let attention = PixelAttention::load(&loader.child("attn"), channels, heads, 1)?;
        Self::new(loader, channels, "ffn", attention)
    }

    fn new(
        loader: &Loader<'_>,
        channels: usize,
        feed_forward: &str,
        attention: PixelAttention,
    ) -> Result<Self, Error> {
        let part = loader.child(feed_forward);
        let (first, between) = part.silu("0", channels)?;
        let (second, outputs) = part.linear("1", between)?;
        if outputs != channels {
            let reason = format!("takes {channels} channels and gives {outputs}");
            return Err(Error::bad_input(part.scope.name(), reason));
        }
        let adds = |blocks: Vec<Box<dyn Block>>| Shortcut {
            blocks: Chain(blocks),
            adds: true,
        };
        Ok(Self {
            attention: adds(vec![Box::new(attention)]),
            feed_forward: adds(vec![Box::new(first), Box::new(second)]),
        })
    }
}

/// `PSA` and `C2PSA`: half of the channels through blocks with attention.
struct Psa {
    name: String,
    halves: [Conv; 2],
    blocks: Chain,
    last: Conv,
}

impl Block for Psa {
    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let [kept, changed] = &self.halves;
        let changed = self.blocks.forward(&changed.forward(x)?)?;
        let parts = [kept.forward(x)?, changed];
        self.last.forward(&concat(&self.name, &parts)?)
    }
}

/// `C2PSA`, and `PSA`, which has one block of which the parts are its own.
pub(super) fn psa(
    loader: &Loader<'_>,
    in_channels: usize,
) -> Result<Measured<Box<dyn Block>>, Error> {
    let (halves, half) = loader.halves("cv1", in_channels)?;
    let blocks = if loader.has("attn.qkv.conv.weight") {
        vec![Box::new(PsaBlock::load(loader, half)?) as Box<dyn Block>]
    } else {
        repeated(loader, half, "attn.qkv.conv.weight", |part| {
            Ok((Box::new(PsaBlock::load(part, half)?), half))
        })?
    };
    let (last, outputs) = loader.silu("cv2", 2 * half)?;
    let block = Psa {
        name: loader.scope.name().to_owned(),
        halves,
        blocks: Chain(blocks),
        last,
    };
    Ok((Box::new(block), outputs))
}

/// The channels of a head of area attention.
const AREA_HEAD: usize = 32;

/// `A2C2f`: blocks of area attention, or `C3k` where the weights have those.
pub(super) fn a2c2f(
    loader: &Loader<'_>,
    in_channels: usize,
    areas: usize,
) -> Result<Measured<Box<dyn Block>>, Error> {
    let (first, width) = loader.silu("cv1", in_channels)?;
    let blocks = if loader.has("m.0.cv3.conv.weight") {
        repeated(loader, width, "cv3.conv.weight", |part| {
            c3(part, width, Inner::Plain, true)
        })?
    } else {
        repeated(loader, width, "0.attn.qkv.conv.weight", |part| {
            let heads = Heads {
                count: width / AREA_HEAD,
                key: AREA_HEAD,
                value: AREA_HEAD,
            };
            let mut chain: Vec<Box<dyn Block>> = Vec::new();
            for at in ["0", "1"] {
                let part = part.child(at);
                let attention = PixelAttention::load(&part.child("attn"), width, heads, areas)?;
                chain.push(Box::new(PsaBlock::new(&part, width, "mlp", attention)?));
            }
            Ok((Box::new(Chain(chain)), width))
        })?
    };
    let (last, outputs) = loader.silu("cv2", width * (1 + blocks.len()))?;
    let gathered = Gathered {
        name: loader.scope.name().to_owned(),
        first: vec![first],
        blocks,
        last,
    };
    if !loader.has("gamma") {
        return Ok((Box::new(gathered), outputs));
    }
    let gamma = loader.scope.get("gamma", &[outputs])?;
    let scale = gamma.to_vec1::<f32>()?.into_iter().map(f64::from).collect();
    let norm = crate::layers::BatchNorm::of(scale, vec![0.0; outputs]);
    let name = loader.scope.name();
    let scale = norm.into_layer(name, Activation::Identity, loader.device)?;
    let block = Shortcut {
        blocks: Chain(vec![Box::new(gathered), Box::new(scale)]),
        adds: true,
    };
    Ok((Box::new(block), outputs))
}

impl Block for crate::layers::ChannelScale {
    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        Self::forward(self, x)
    }
}
