//! Layers of convolutional networks, from their weights.

use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, BatchNorm, ChannelScale, Conv2d, ConvGeometry, Linear};
use crate::weights::Scope;

/// Channels times a factor, rounded as torchvision's `_make_divisible` does: to the nearest multiple
/// of `divisor`, but never down by more than a tenth.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "channels are far below the limits of both types"
)]
pub(in crate::architectures) fn make_divisible(
    channels: usize,
    factor: f64,
    divisor: usize,
) -> usize {
    let value = channels as f64 * factor;
    let nearest = (value + divisor as f64 / 2.0) as usize / divisor * divisor;
    let nearest = nearest.max(divisor);
    if (nearest as f64) < 0.9 * value {
        nearest + divisor
    } else {
        nearest
    }
}

/// Reads layers from a part of the weights.
#[derive(Clone)]
pub(in crate::architectures) struct LayerLoader<'a> {
    pub(in crate::architectures) scope: Scope<'a>,
    pub(in crate::architectures) device: &'a Device,
    /// The epsilon of batch norms.
    pub(in crate::architectures) eps: f64,
}

impl<'a> LayerLoader<'a> {
    pub(in crate::architectures) fn new(scope: &Scope<'a>, device: &'a Device) -> Self {
        Self {
            scope: scope.clone(),
            device,
            eps: BatchNorm::EPS,
        }
    }

    /// Reads from the part `name`.
    pub(in crate::architectures) fn child(&self, name: &str) -> Self {
        Self {
            scope: self.scope.child(name),
            device: self.device,
            eps: self.eps,
        }
    }

    /// A convolution with a bias and a ReLU.
    pub(in crate::architectures) fn conv(
        &self,
        name: &str,
        geometry: ConvGeometry,
    ) -> Result<Conv2d, Error> {
        let (scope, relu) = (self.scope.child(name), Activation::Relu);
        Conv2d::load(&scope, geometry, true, None, relu, self.device)
    }

    /// A convolution with a bias, a batch norm and a ReLU.
    pub(in crate::architectures) fn conv_normed(
        &self,
        [conv, norm]: [&str; 2],
        geometry: ConvGeometry,
    ) -> Result<Conv2d, Error> {
        let norm = self.norm(norm, geometry.out_channels)?;
        let (scope, relu) = (self.scope.child(conv), Activation::Relu);
        Conv2d::load(&scope, geometry, true, Some(&norm), relu, self.device)
    }

    /// A convolution without bias, norm and activation.
    pub(in crate::architectures) fn plain(
        &self,
        name: &str,
        geometry: ConvGeometry,
    ) -> Result<Conv2d, Error> {
        let (scope, none) = (self.scope.child(name), Activation::Identity);
        Conv2d::load(&scope, geometry, false, None, none, self.device)
    }

    /// A convolution without bias, a batch norm and an activation, as one layer.
    pub(in crate::architectures) fn normed(
        &self,
        [conv, norm]: [&str; 2],
        geometry: ConvGeometry,
        activation: Activation,
    ) -> Result<Conv2d, Error> {
        let norm = self.norm(norm, geometry.out_channels)?;
        let scope = self.scope.child(conv);
        Conv2d::load(
            &scope,
            geometry,
            false,
            Some(&norm),
            activation,
            self.device,
        )
    }

    /// torchvision's `BasicConv2d`: a convolution `conv`, a batch norm `bn` and a ReLU.
    pub(in crate::architectures) fn basic(
        &self,
        name: &str,
        geometry: ConvGeometry,
    ) -> Result<Conv2d, Error> {
        self.child(name)
            .normed(["conv", "bn"], geometry, Activation::Relu)
    }

    /// A batch norm.
    pub(in crate::architectures) fn norm(
        &self,
        name: &str,
        channels: usize,
    ) -> Result<BatchNorm, Error> {
        BatchNorm::load(&self.scope.child(name), channels, self.eps, true)
    }

    /// A linear layer with a bias.
    pub(in crate::architectures) fn linear(
        &self,
        name: &str,
        sizes: [usize; 2],
        activation: Activation,
    ) -> Result<Linear, Error> {
        let scope = self.scope.child(name);
        Linear::load(&scope, sizes, true, None, activation, self.device)
    }

    /// Ignores tensors of `name` that are only for training.
    pub(in crate::architectures) fn ignore(&self, name: &str, tensors: &[&str]) {
        let scope = self.scope.child(name);
        tensors.iter().for_each(|tensor| scope.ignore(tensor));
    }

    /// Converts images from ImageNet's mean and standard deviation to 0.5 and 0.5: the first step of
    /// networks whose weights are from TensorFlow.
    pub(in crate::architectures) fn rescale(&self) -> Result<ChannelScale, Error> {
        let (mean, deviation) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        let scale = deviation.iter().map(|deviation| deviation / 0.5).collect();
        let shift = mean.iter().map(|mean| (mean - 0.5) / 0.5).collect();
        let norm = BatchNorm::of(scale, shift);
        norm.into_layer("transform_input", Activation::Identity, self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::make_divisible;

    #[test]
    fn channels_are_rounded_as_in_torchvision() {
        let cases = [
            (32, 1.0, 8, 32),
            (32, 0.35, 8, 16),
            (16, 0.35, 8, 8),
            (24, 0.75, 8, 24),
            (32, 0.75, 8, 24),
            (83, 1.0, 8, 80),
            (84, 1.0, 8, 88),
            (16, 1.3, 8, 24),
            (1280, 1.4, 8, 1792),
            (16, 0.1, 8, 8),
            (16, 0.1, 1, 2),
        ];
        for (channels, factor, divisor, want) in cases {
            assert_eq!(
                make_divisible(channels, factor, divisor),
                want,
                "{channels} {factor}"
            );
        }
    }
}
