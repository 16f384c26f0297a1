//! Layers of Ultralytics' modules, whose sizes the weights show.

use candle_core::Tensor;

use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, BatchNorm, Conv2d, ConvGeometry, FeatureMap};
use crate::weights::Scope;

/// Reads the layers of a module.
#[derive(Clone)]
pub(super) struct Loader<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) device: &'a Device,
    /// The epsilon of batch norms.
    pub(super) eps: f64,
}

/// A part of a network with one input.
pub(super) trait Block: Send + Sync {
    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error>;
}

/// A block, and the number of channels that it gives.
pub(super) type Measured<T> = (T, usize);

/// How a convolution moves over the image.
#[derive(Clone, Copy, Default)]
pub(super) struct Walk {
    /// 1 where it is 0.
    pub(super) stride: usize,
    /// Half of the kernel where it is none.
    pub(super) padding: Option<usize>,
}

impl Walk {
    pub(super) fn stride(stride: usize) -> Self {
        Self {
            stride,
            padding: None,
        }
    }
}

/// A convolution with its batch norm and activation: `Conv`.
pub(super) struct Conv(pub(super) Conv2d);

impl Conv {
    /// The channels that it gives.
    pub(super) fn outputs(&self) -> usize {
        self.0.out_channels()
    }
}

impl Block for Conv {
    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        self.0.forward(x, None)
    }
}

impl<'a> Loader<'a> {
    /// Reads from the part `name`.
    pub(super) fn child(&self, name: &str) -> Self {
        Self {
            scope: self.scope.child(name),
            device: self.device,
            eps: self.eps,
        }
    }

    /// Whether the part has a tensor.
    pub(super) fn has(&self, name: &str) -> bool {
        self.scope.has(name)
    }

    /// How many parts `name.0`, `name.1`, … have the tensor `tensor`.
    pub(super) fn count(&self, name: &str, tensor: &str) -> usize {
        let has = |at: &usize| self.has(&format!("{name}.{at}.{tensor}"));
        (0..).take_while(has).count()
    }

    /// The number of channels that the convolution `name` gives.
    pub(super) fn outputs(&self, name: &str) -> Result<usize, Error> {
        let shape = self.scope.shape(&format!("{name}.weight"))?;
        Ok(shape.first().copied().unwrap_or_default())
    }

    /// The geometry of the convolution whose `weight` this part has.
    pub(super) fn geometry(&self, in_channels: usize, walk: Walk) -> Result<ConvGeometry, Error> {
        let shape = self.scope.shape("weight")?;
        let &[out_channels, of_group, height, width] = shape else {
            return Err(self.misfit(shape, in_channels));
        };
        let groups = in_channels.checked_div(of_group).unwrap_or_default();
        let fits = groups > 0 && groups * of_group == in_channels && out_channels % groups == 0;
        if !fits || height == 0 || width == 0 || out_channels == 0 {
            return Err(self.misfit(shape, in_channels));
        }
        let mut geometry = ConvGeometry::square(in_channels, out_channels, height, 1, 0);
        geometry.window.kernel = [height, width];
        geometry.window.stride = [walk.stride.max(1); 2];
        geometry.window.padding = match walk.padding {
            Some(padding) => [padding; 2],
            None => [height / 2, width / 2],
        };
        Ok(geometry.grouped(groups))
    }

    /// The weights do not take as many channels as there are.
    fn misfit(&self, shape: &[usize], in_channels: usize) -> Error {
        let mut want = shape.to_vec();
        if let Some(channels) = want.get_mut(1) {
            *channels = in_channels;
        }
        Error::WrongShape {
            name: format!("{}.weight", self.scope.name()),
            want,
            got: shape.to_vec(),
        }
    }

    /// `Conv`: a convolution `conv` and a batch norm `bn`, then an activation.
    pub(super) fn conv(
        &self,
        name: &str,
        in_channels: usize,
        walk: Walk,
        activation: Activation,
    ) -> Result<Measured<Conv>, Error> {
        let part = self.child(name);
        let conv = part.child("conv");
        let geometry = conv.geometry(in_channels, walk)?;
        let norm = BatchNorm::load(
            &part.scope.child("bn"),
            geometry.out_channels,
            self.eps,
            true,
        )?;
        let conv = Conv2d::load(
            &conv.scope,
            geometry,
            false,
            Some(&norm),
            activation,
            self.device,
        )?;
        Ok((Conv(conv), geometry.out_channels))
    }

    /// `Conv` with SiLU and a stride of 1.
    pub(super) fn silu(&self, name: &str, in_channels: usize) -> Result<Measured<Conv>, Error> {
        self.conv(name, in_channels, Walk::default(), Activation::Silu)
    }

    /// `Conv` without activation, with a stride of 1.
    pub(super) fn linear(&self, name: &str, in_channels: usize) -> Result<Measured<Conv>, Error> {
        self.conv(name, in_channels, Walk::default(), Activation::Identity)
    }

    /// A convolution with a bias, and nothing else.
    pub(super) fn plain(&self, name: &str, in_channels: usize) -> Result<Measured<Conv>, Error> {
        let conv = self.child(name);
        let geometry = conv.geometry(in_channels, Walk::default())?;
        let none = Activation::Identity;
        let layer = Conv2d::load(&conv.scope, geometry, true, None, none, self.device)?;
        Ok((Conv(layer), geometry.out_channels))
    }

    /// `Conv` whose outputs are parts of equal width, as one convolution per part: what follows
    /// takes them apart.
    pub(super) fn halves(
        &self,
        name: &str,
        in_channels: usize,
    ) -> Result<Measured<[Conv; 2]>, Error> {
        let part = self.child(name);
        let (weight, bias, geometry) = part.folded(in_channels, Walk::default())?;
        let half = geometry.out_channels / 2;
        if half * 2 != geometry.out_channels {
            return Err(part.child("conv").misfit(weight.dims(), in_channels));
        }
        let own = ConvGeometry {
            out_channels: half,
            ..geometry
        };
        let conv = |first: usize| {
            let (weight, bias) = (weight.narrow(0, first, half)?, bias.narrow(0, first, half)?);
            part.fused("conv", own, &weight.contiguous()?, &bias, Activation::Silu)
        };
        Ok(([conv(0)?, conv(half)?], half))
    }

    /// The weight and the bias of a `Conv`, the batch norm in them.
    pub(super) fn folded(
        &self,
        in_channels: usize,
        walk: Walk,
    ) -> Result<(Tensor, Tensor, ConvGeometry), Error> {
        let conv = self.child("conv");
        let geometry = conv.geometry(in_channels, walk)?;
        let weight = conv.scope.get("weight", &geometry.weight_dims())?;
        let norm = self.scope.child("bn");
        let norm = BatchNorm::load(&norm, geometry.out_channels, self.eps, true)?;
        let [weight, bias] = norm.folded(&weight)?;
        Ok((weight, bias, geometry))
    }

    /// A convolution from a weight and a bias that were computed from those of `name`.
    pub(super) fn fused(
        &self,
        name: &str,
        geometry: ConvGeometry,
        weight: &Tensor,
        bias: &Tensor,
        activation: Activation,
    ) -> Result<Conv, Error> {
        let name = self.child(name);
        Ok(Conv(Conv2d::new(
            name.scope.name(),
            geometry,
            weight,
            Some(bias),
            None,
            activation,
            self.device,
        )?))
    }
}
