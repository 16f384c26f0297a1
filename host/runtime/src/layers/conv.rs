//! Convolution.

use candle_core::{DType, Tensor};
use modelzoo_kernels::{
    self as kernels, Activation, Depthwise, Epilogue, Isa, Packed, Shape, Window, Windows, Winograd,
};

use super::activate::with_candle;
use super::batch_norm::BatchNorm;
use super::cpu;
use super::linear::packed;
use super::map::FeatureMap;
use super::size::check_size;
use crate::device::{Device, Kernels};
use crate::error::Error;
use crate::weights::Scope;

/// With fewer channels than this, a padded copy of the input is worth it: the taps of a row are
/// then one run, instead of runs of a few elements each.
const FEW_CHANNELS: usize = 16;

/// The geometry of a convolution, like PyTorch's `Conv2d`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ConvGeometry {
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) window: Window,
    /// Divides both numbers of channels.
    pub(crate) groups: usize,
}

impl ConvGeometry {
    /// A square window over all channels.
    pub(crate) fn square(
        in_channels: usize,
        out_channels: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Self {
        let window = Window {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1; 2],
        };
        Self {
            in_channels,
            out_channels,
            window,
            groups: 1,
        }
    }

    /// Windows that do not overlap: patches of `[height, width]` pixels.
    pub(crate) fn patches([in_channels, out_channels]: [usize; 2], size: [usize; 2]) -> Self {
        Self {
            in_channels,
            out_channels,
            window: Window {
                kernel: size,
                stride: size,
                padding: [0; 2],
                dilation: [1; 2],
            },
            groups: 1,
        }
    }

    /// The same with `dilation` between the taps, and as many times the padding, so that the result
    /// keeps its size.
    pub(crate) fn dilated(mut self, dilation: usize) -> Self {
        self.window.dilation = [dilation; 2];
        self.window.padding = self.window.padding.map(|padding| padding * dilation);
        self
    }

    /// The same in `groups` groups.
    pub(crate) fn grouped(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// The shape of the weights.
    pub(crate) fn weight_dims(&self) -> [usize; 4] {
        let [height, width] = self.window.kernel;
        [
            self.out_channels,
            self.in_channels / self.groups.max(1),
            height,
            width,
        ]
    }
}

/// A 2D convolution with a batch norm (folded into the weights), a bias, an optional residual and
/// an activation.
pub(crate) struct Conv2d {
    name: String,
    geometry: ConvGeometry,
    activation: Activation,
    code: Code,
}

enum Code {
    /// With Winograd's algorithm for the feature maps that it suits, where there is one.
    Dense(Packed, Option<Winograd>),
    Depthwise(Depthwise),
    Candle {
        weight: Tensor,
        bias: Tensor,
    },
}

impl Conv2d {
    /// Reads `weight` and, if `bias`, `bias`.
    pub(crate) fn load(
        scope: &Scope<'_>,
        geometry: ConvGeometry,
        bias: bool,
        norm: Option<&BatchNorm>,
        activation: Activation,
        device: &Device,
    ) -> Result<Self, Error> {
        let weight = scope.get("weight", &geometry.weight_dims())?;
        let bias = if bias {
            Some(scope.get("bias", &[geometry.out_channels])?)
        } else {
            None
        };
        Self::new(
            scope.name(),
            geometry,
            &weight,
            bias.as_ref(),
            norm,
            activation,
            device,
        )
    }

    /// From `weight`, `[out_channels, in_channels / groups, kernel height, kernel width]`, and
    /// `bias`, `[out_channels]`, both f32.
    pub(crate) fn new(
        name: &str,
        geometry: ConvGeometry,
        weight: &Tensor,
        bias: Option<&Tensor>,
        norm: Option<&BatchNorm>,
        activation: Activation,
        device: &Device,
    ) -> Result<Self, Error> {
        debug_assert_eq!(weight.dims(), geometry.weight_dims());
        let mut values = weight.flatten_all()?.to_vec1::<f32>()?;
        let mut biases = match bias {
            Some(bias) => bias.to_vec1::<f32>()?,
            None => vec![0.0; geometry.out_channels],
        };
        if let Some(norm) = norm {
            norm.fold(&mut values, &mut biases);
        }
        let code = match device.kernels() {
            Kernels::Candle => Code::candle(name, &geometry, values, biases, device)?,
            Kernels::Own => Code::own(name, &geometry, values, biases)?,
        };
        Ok(Self {
            name: name.to_owned(),
            geometry,
            activation,
            code,
        })
    }

    /// The channels that it gives.
    pub(crate) fn out_channels(&self) -> usize {
        self.geometry.out_channels
    }

    /// Convolves; `residual` is added before the activation and has the result's shape.
    pub(crate) fn forward(
        &self,
        x: &FeatureMap,
        residual: Option<&FeatureMap>,
    ) -> Result<FeatureMap, Error> {
        let shape = x.shape()?;
        let out = self.result_shape(shape)?;
        if let Some(residual) = residual
            && residual.shape()? != out
        {
            return Err(Error::bad_input(
                &self.name,
                "the residual has another shape than the result",
            ));
        }
        let tensor = match &self.code {
            Code::Candle { weight, bias } => {
                self.with_candle(x.tensor(), weight, bias, residual)?
            }
            Code::Dense(..) | Code::Depthwise(_) => {
                let dims = [out.batch, out.height, out.width, out.channels];
                match residual {
                    None => cpu::unary("conv2d", x.tensor(), &dims, |x| {
                        self.compute(x, shape, None)
                    })?,
                    Some(residual) => cpu::binary(
                        "conv2d",
                        x.tensor(),
                        residual.tensor(),
                        &dims,
                        |x, residual| self.compute(x, shape, Some(residual)),
                    )?,
                }
            }
        };
        Ok(x.with(tensor))
    }

    fn result_shape(&self, shape: Shape) -> Result<Shape, Error> {
        let ConvGeometry {
            in_channels,
            out_channels,
            window,
            ..
        } = &self.geometry;
        if shape.channels != *in_channels {
            let reason = format!("takes {in_channels} channels, got {}", shape.channels);
            return Err(Error::bad_input(&self.name, reason));
        }
        let (height, width) = (
            window.places(0, shape.height),
            window.places(1, shape.width),
        );
        if height == 0 || width == 0 {
            let [kernel_height, kernel_width] = window.kernel;
            let reason = format!(
                "the window of {kernel_height}x{kernel_width} does not fit into a feature map of {}x{}",
                shape.height, shape.width
            );
            return Err(Error::bad_input(&self.name, reason));
        }
        check_size(&self.name, &[shape.batch, height, width, *out_channels])?;
        Ok(Shape {
            batch: shape.batch,
            height,
            width,
            channels: *out_channels,
        })
    }

    fn compute(
        &self,
        x: &[f32],
        shape: Shape,
        residual: Option<&[f32]>,
    ) -> Result<Vec<f32>, std::collections::TryReserveError> {
        let ConvGeometry { window, groups, .. } = self.geometry;
        let (packed, faster) = match &self.code {
            Code::Depthwise(weights) => {
                return kernels::depthwise(x, shape, weights, residual, self.activation);
            }
            Code::Dense(packed, faster) => (packed, faster),
            // `forward` does not call this for candle.
            Code::Candle { .. } => return Ok(Vec::new()),
        };
        let epilogue = Epilogue {
            residual,
            activation: self.activation,
        };
        if let Some(faster) = faster
            && faster.suits(shape)
        {
            return kernels::winograd(x, shape, faster, epilogue);
        }
        let [top, side] = window.padding;
        let unpadded = Window {
            padding: [top, 0],
            ..window
        };
        if side > 0 && shape.channels < FEW_CHANNELS && Windows::takes_whole_rows(&unpadded, groups)
        {
            let (copy, shape) = kernels::pad_width(x, shape, side)?;
            return kernels::matmul(
                &Windows::new(&copy, shape, unpadded, groups),
                packed,
                epilogue,
            );
        }
        kernels::matmul(&Windows::new(x, shape, window, groups), packed, epilogue)
    }

    /// candle's convolution has one stride, padding and dilation for both sides; where ours differ,
    /// the padding is added before, and the stride applied after.
    fn with_candle(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        residual: Option<&FeatureMap>,
    ) -> Result<Tensor, Error> {
        let ConvGeometry { window, groups, .. } = self.geometry;
        let ([top, side], [down, across], dilation) =
            (window.padding, window.stride, dilation_of(&window));
        let (x, padding) = if top == side {
            (x.clone(), top)
        } else {
            (
                x.pad_with_zeros(2, top, top)?
                    .pad_with_zeros(3, side, side)?,
                0,
            )
        };
        let stride = if down == across { down } else { 1 };
        let mut y = x.conv2d(weight, padding, stride, dilation, groups)?;
        if down != across {
            y = every(&every(&y, 2, down)?, 3, across)?;
        }
        let mut y = y.broadcast_add(bias)?;
        if let Some(residual) = residual {
            y = (y + residual.tensor())?;
        }
        Ok(with_candle(&y, self.activation)?)
    }
}

/// The dilation that candle's convolution gets: a difference between the two sides is already in
/// the weights.
fn dilation_of(window: &Window) -> usize {
    match (window.kernel, window.dilation) {
        ([1, _], [_, across]) => across,
        ([_, 1], [down, _]) => down,
        (_, [down, across]) if down == across => down,
        _ => 1,
    }
}

/// Every `step`th place along a dimension.
fn every(x: &Tensor, dim: usize, step: usize) -> candle_core::Result<Tensor> {
    if step == 1 {
        return Ok(x.clone());
    }
    let length = u32::try_from(x.dim(dim)?).map_err(candle_core::Error::wrap)?;
    let step = u32::try_from(step).map_err(candle_core::Error::wrap)?;
    x.index_select(&Tensor::arange_step(0, length, step, x.device())?, dim)
}

impl Code {
    fn own(
        name: &str,
        geometry: &ConvGeometry,
        values: Vec<f32>,
        bias: Vec<f32>,
    ) -> Result<Self, Error> {
        let isa = Isa::detect();
        let [outputs, inputs, height, width] = geometry.weight_dims();
        if geometry.groups > 1 && inputs == 1 && outputs == geometry.in_channels {
            return Ok(Self::Depthwise(Depthwise::new(
                isa,
                geometry.window,
                &values,
                bias,
            )));
        }
        // Our kernels read windows tap by tap, each with all its channels.
        let weight = Tensor::from_vec(
            values,
            (outputs, inputs, height * width),
            &candle_core::Device::Cpu,
        )?;
        let weight = weight
            .transpose(1, 2)?
            .contiguous()?
            .flatten_all()?
            .to_vec1::<f32>()?;
        let ConvGeometry { window, groups, .. } = geometry;
        let faster = Winograd::new(isa, window, *groups, &weight, &bias);
        let packed = packed(name, isa, &weight, &bias, *groups)?;
        Ok(Self::Dense(packed, faster))
    }

    fn candle(
        name: &str,
        geometry: &ConvGeometry,
        values: Vec<f32>,
        bias: Vec<f32>,
        device: &Device,
    ) -> Result<Self, Error> {
        let ConvGeometry {
            out_channels,
            window,
            ..
        } = geometry;
        let mut weight = Tensor::from_vec(
            values,
            geometry.weight_dims().as_slice(),
            &candle_core::Device::Cpu,
        )?;
        let ([down, across], [height, width]) = (window.dilation, window.kernel);
        if down != across && height > 1 && width > 1 {
            weight = spread(&spread(&weight, 2, down)?, 3, across)?;
        }
        let bias = Tensor::from_vec(bias, (1, *out_channels, 1, 1), &candle_core::Device::Cpu)?;
        Ok(Self::Candle {
            weight: device.place_weights(name, &weight)?,
            bias: device.place_weights(name, &bias)?,
        })
    }
}

/// Puts `step - 1` zeros between the places along a dimension.
fn spread(x: &Tensor, dim: usize, step: usize) -> candle_core::Result<Tensor> {
    let length = x.dim(dim)?;
    let mut zeros = x.dims().to_vec();
    if let Some(size) = zeros.get_mut(dim) {
        *size = step - 1;
    }
    let zeros = Tensor::zeros(zeros, DType::F32, x.device())?;
    let mut parts = Vec::new();
    for at in 0..length {
        if at > 0 && step > 1 {
            parts.push(zeros.clone());
        }
        parts.push(x.narrow(dim, at, 1)?);
    }
    Tensor::cat(&parts, dim)
}
