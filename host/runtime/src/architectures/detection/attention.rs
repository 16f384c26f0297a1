//! Attention with position embeddings on queries and keys, and the parts around it, as DETR and its
//! successors have them.

use candle_core::Tensor;

use crate::architectures::shared::grid::GridCache;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Attention, Dense, FeedForward, LayerNorm, Linear, Mask};
use crate::weights::Scope;

/// Projections to queries, keys and values, the attention, and the projection of its result.
pub(super) struct ProjectedAttention {
    queries: Linear,
    keys: Linear,
    values: Linear,
    core: Attention,
    out: Linear,
}

impl ProjectedAttention {
    /// Reads `q_proj`, `k_proj`, `v_proj` and `out_proj`, each `[width, width]` with a bias.
    pub(super) fn load(
        scope: &Scope<'_>,
        [width, heads]: [usize; 2],
        device: &Device,
    ) -> Result<Self, Error> {
        let linear = |name: &str| linear(scope, name, [width; 2], Activation::Identity, device);
        Ok(Self {
            queries: linear("q_proj")?,
            keys: linear("k_proj")?,
            values: linear("v_proj")?,
            core: Attention::new(scope.name(), heads, width / heads.max(1), device),
            out: linear("out_proj")?,
        })
    }

    /// Queries attend to keys, whose values are summed; `residual` is added. Each is
    /// `[batch, tokens, width]`.
    pub(super) fn forward(
        &self,
        [queries, keys, values]: [&Tensor; 3],
        residual: &Tensor,
    ) -> Result<Tensor, Error> {
        let queries = self.queries.forward(queries)?;
        let (keys, values) = (self.keys.forward(keys)?, self.values.forward(values)?);
        let y = self
            .core
            .forward(&queries, &keys, &values, Mask::default())?;
        self.out.forward_add(&y, residual)
    }
}

/// A linear layer with a bias, `[inputs, outputs]`.
pub(super) fn linear(
    scope: &Scope<'_>,
    name: &str,
    sizes: [usize; 2],
    activation: Activation,
    device: &Device,
) -> Result<Linear, Error> {
    Linear::load(&scope.child(name), sizes, true, None, activation, device)
}

/// The MLP of a layer, `fc1` and `fc2`, with its residual and the norm after it.
pub(super) struct NormedMlp {
    layers: FeedForward,
    norm: LayerNorm,
}

impl NormedMlp {
    pub(super) fn load(
        scope: &Scope<'_>,
        [width, inner]: [usize; 2],
        activation: Activation,
        device: &Device,
    ) -> Result<Self, Error> {
        let linear = |name: &str, sizes, activation| {
            let dense = Dense::load(&scope.child(name), sizes, true)?;
            Linear::new(scope.name(), dense, activation, device)
        };
        Ok(Self {
            layers: FeedForward::new(
                linear("fc1", [width, inner], activation)?,
                linear("fc2", [inner, width], Activation::Identity)?,
            ),
            norm: norm(scope, "final_layer_norm", width, device)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, Error> {
        self.norm.forward(&self.layers.forward(x, Some(x))?)
    }
}

/// A layer norm with PyTorch's epsilon.
pub(super) fn norm(
    scope: &Scope<'_>,
    name: &str,
    width: usize,
    device: &Device,
) -> Result<LayerNorm, Error> {
    norm_with(scope, name, width, 1e-5, device)
}

/// A layer norm.
pub(super) fn norm_with(
    scope: &Scope<'_>,
    name: &str,
    width: usize,
    eps: f64,
    device: &Device,
) -> Result<LayerNorm, Error> {
    LayerNorm::load(&scope.child(name), width, eps, true, device)
}

/// Linear layers with a ReLU between each two: `layers.0`, `layers.1`, ….
pub(super) struct BoxHead {
    layers: Vec<Linear>,
}

impl BoxHead {
    /// `count` layers from `inputs` over `hidden` to `outputs` features.
    pub(super) fn load(
        scope: &Scope<'_>,
        [inputs, hidden, outputs]: [usize; 3],
        count: usize,
        device: &Device,
    ) -> Result<Self, Error> {
        let layers = scope.child("layers");
        let layer = |index: usize| {
            let from = if index == 0 { inputs } else { hidden };
            let last = index + 1 == count;
            let (to, activation) = if last {
                (outputs, Activation::Identity)
            } else {
                (hidden, Activation::Relu)
            };
            linear(&layers, &index.to_string(), [from, to], activation, device)
        };
        Ok(Self {
            layers: (0..count).map(layer).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, Error> {
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.forward(&x)?;
        }
        Ok(x)
    }
}

/// The encoder layers of DETR: self-attention and an MLP, each with a residual and a norm after it.
pub(super) struct EncoderLayer {
    attention: ProjectedAttention,
    norm: LayerNorm,
    mlp: NormedMlp,
}

impl EncoderLayer {
    pub(super) fn load(
        scope: &Scope<'_>,
        [width, heads, inner]: [usize; 3],
        activation: Activation,
        device: &Device,
    ) -> Result<Self, Error> {
        Ok(Self {
            attention: ProjectedAttention::load(&scope.child("self_attn"), [width, heads], device)?,
            norm: norm(scope, "self_attn_layer_norm", width, device)?,
            mlp: NormedMlp::load(scope, [width, inner], activation, device)?,
        })
    }

    /// `positions`, `[tokens, width]`, are added to queries and keys.
    pub(super) fn forward(&self, x: &Tensor, positions: &Tensor) -> Result<Tensor, Error> {
        let placed = x.broadcast_add(positions)?;
        let x = self.attention.forward([&placed, &placed, x], x)?;
        self.mlp.forward(&self.norm.forward(&x)?)
    }
}

/// How the sines of positions are computed.
#[derive(Clone, Copy, Debug)]
pub(super) enum SineOrder {
    /// DETR's: rows before columns, sine and cosine in turns, positions from 0 to 2π.
    Alternating,
    /// RT-DETR's: the row's sines, its cosines, the column's sines, its cosines; positions count
    /// pixels.
    Halves,
}

/// Sines of the positions of a map's pixels.
pub(super) struct SinePositions {
    order: SineOrder,
    width: usize,
    temperature: f64,
    device: Device,
    tensors: GridCache<Tensor>,
}

impl SinePositions {
    /// `width` is a multiple of 4.
    pub(super) fn new(order: SineOrder, width: usize, temperature: f64, device: &Device) -> Self {
        Self {
            order,
            width,
            temperature,
            device: device.clone(),
            tensors: GridCache::new(),
        }
    }

    /// The device that they are on.
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// `[rows * columns, width]`, on the device and in its precision.
    pub(super) fn of(&self, size: [usize; 2]) -> Result<Tensor, Error> {
        self.tensors.get(size, || {
            let [rows, columns] = size;
            let values = match self.order {
                SineOrder::Alternating => self.alternating(size),
                SineOrder::Halves => self.halves(size),
            };
            let cpu = candle_core::Device::Cpu;
            let values = Tensor::from_vec(values, (rows * columns, self.width), &cpu)?;
            self.device.place_weights("positions", &values)
        })
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "sines of positions of a few thousand pixels"
    )]
    fn alternating(&self, [rows, columns]: [usize; 2]) -> Vec<f32> {
        let half = self.width / 2;
        let angle = |at: usize, of: usize, feature: usize| {
            let place = (at + 1) as f64 / (of as f64 + 1e-6) * std::f64::consts::TAU;
            let power = (2 * (feature / 2)) as f64 / half as f64;
            let angle = place / self.temperature.powf(power);
            let value = if feature.is_multiple_of(2) {
                angle.sin()
            } else {
                angle.cos()
            };
            value as f32
        };
        let mut values = Vec::with_capacity(rows * columns * self.width);
        for row in 0..rows {
            for column in 0..columns {
                values.extend((0..half).map(|feature| angle(row, rows, feature)));
                values.extend((0..half).map(|feature| angle(column, columns, feature)));
            }
        }
        values
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "sines of positions of a few thousand pixels"
    )]
    fn halves(&self, [rows, columns]: [usize; 2]) -> Vec<f32> {
        let quarter = self.width / 4;
        let angle = |at: usize, feature: usize| {
            at as f64 / self.temperature.powf(feature as f64 / quarter as f64)
        };
        let mut values = Vec::with_capacity(rows * columns * self.width);
        for row in 0..rows {
            for column in 0..columns {
                for at in [row, column] {
                    values.extend((0..quarter).map(|feature| angle(at, feature).sin() as f32));
                    values.extend((0..quarter).map(|feature| angle(at, feature).cos() as f32));
                }
            }
        }
        values
    }
}
