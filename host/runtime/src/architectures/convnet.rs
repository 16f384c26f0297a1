//! What torchvision's classifiers have in common: steps on feature maps one after another, a mean
//! over what is left of the image, and linear layers.

use std::ops::RangeInclusive;

use candle_core::Tensor;
use modelzoo_kernels::{PoolKind, Window};

use super::{ImageTower, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, BatchNorm, ChannelScale, Conv2d, ConvGeometry, FeatureMap, Linear, Pool,
    PoolWindow, adaptive_average, concat,
};
use crate::plan::Size;
use crate::trace::Trace;
use crate::weights::Scope;

/// Channels, classes and the like that are believed before the weights are looked at.
pub(super) const SIZES: RangeInclusive<usize> = 1..=1 << 20;

/// How many layers or blocks there may be.
pub(super) const COUNTS: RangeInclusive<usize> = 1..=1000;

/// The number of classes of ImageNet, for which the published weights are.
pub(super) const fn imagenet() -> usize {
    1000
}

/// An error of a field of an architecture's configuration.
pub(super) fn bad(architecture: &'static str, field: &str, reason: impl Into<String>) -> Error {
    Error::BadConfig {
        architecture,
        field: field.to_owned(),
        reason: reason.into(),
    }
}

/// Checks that a number of a configuration is in the range.
pub(super) fn within(
    architecture: &'static str,
    field: &str,
    value: usize,
    range: &RangeInclusive<usize>,
) -> Result<(), Error> {
    if range.contains(&value) {
        return Ok(());
    }
    let reason = format!("must be {} to {}, not {value}", range.start(), range.end());
    Err(bad(architecture, field, reason))
}

/// Checks that images of the size that a plan gives them are large enough.
pub(super) fn at_least(
    architecture: &'static str,
    side: usize,
    size: Option<Size>,
) -> Result<(), Error> {
    match size {
        Some(Size { height, width }) if (height.min(width) as usize) < side => {
            let reason = format!(
                "gives images of {height}x{width}, but `{architecture}` takes them from {side}x{side} on"
            );
            Err(Error::bad_plan("preprocessing.steps", reason))
        }
        _ => Ok(()),
    }
}

/// Channels times a factor, as torchvision rounds them: to the nearest multiple of `divisor`, but
/// never down by more than a tenth.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "channels are far below the limits of both types"
)]
pub(super) fn scaled(channels: usize, factor: f64, divisor: usize) -> usize {
    let value = channels as f64 * factor;
    let nearest = (value + divisor as f64 / 2.0) as usize / divisor * divisor;
    let nearest = nearest.max(divisor);
    if (nearest as f64) < 0.9 * value {
        nearest + divisor
    } else {
        nearest
    }
}

/// Checks a factor for [`scaled`].
pub(super) fn check_factor(
    architecture: &'static str,
    field: &str,
    factor: f64,
) -> Result<(), Error> {
    if (1e-3..=1e3).contains(&factor) {
        return Ok(());
    }
    Err(bad(architecture, field, "must be 0.001 to 1000"))
}

/// Reads layers from a part of the weights.
#[derive(Clone)]
pub(super) struct Loader<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) device: &'a Device,
    /// What batch norms add to the variance.
    pub(super) eps: f64,
}

impl<'a> Loader<'a> {
    pub(super) fn new(scope: &Scope<'a>, device: &'a Device) -> Self {
        Self {
            scope: scope.clone(),
            device,
            eps: BatchNorm::EPS,
        }
    }

    /// Reads from the part whose names go on with `name`.
    pub(super) fn child(&self, name: &str) -> Self {
        Self {
            scope: self.scope.child(name),
            device: self.device,
            eps: self.eps,
        }
    }

    /// A convolution with a bias and a ReLU.
    pub(super) fn conv(&self, name: &str, geometry: ConvGeometry) -> Result<Conv2d, Error> {
        let (scope, relu) = (self.scope.child(name), Activation::Relu);
        Conv2d::load(&scope, geometry, true, None, relu, self.device)
    }

    /// The same with a batch norm before the ReLU.
    pub(super) fn conv_normed(
        &self,
        [conv, norm]: [&str; 2],
        geometry: ConvGeometry,
    ) -> Result<Conv2d, Error> {
        let norm = self.norm(norm, geometry.out_channels)?;
        let (scope, relu) = (self.scope.child(conv), Activation::Relu);
        Conv2d::load(&scope, geometry, true, Some(&norm), relu, self.device)
    }

    /// A convolution without bias.
    pub(super) fn plain(&self, name: &str, geometry: ConvGeometry) -> Result<Conv2d, Error> {
        let (scope, none) = (self.scope.child(name), Activation::Identity);
        Conv2d::load(&scope, geometry, false, None, none, self.device)
    }

    /// A convolution without bias and the batch norm that follows it, as one layer.
    pub(super) fn normed(
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
    pub(super) fn basic(&self, name: &str, geometry: ConvGeometry) -> Result<Conv2d, Error> {
        self.child(name)
            .normed(["conv", "bn"], geometry, Activation::Relu)
    }

    pub(super) fn norm(&self, name: &str, channels: usize) -> Result<BatchNorm, Error> {
        BatchNorm::load(&self.scope.child(name), channels, self.eps, true)
    }

    pub(super) fn linear(
        &self,
        name: &str,
        sizes: [usize; 2],
        activation: Activation,
    ) -> Result<Linear, Error> {
        let scope = self.scope.child(name);
        Linear::load(&scope, sizes, true, None, activation, self.device)
    }

    /// Passes over tensors that are published with the weights, but are for training.
    pub(super) fn ignore(&self, name: &str, tensors: &[&str]) {
        let scope = self.scope.child(name);
        tensors.iter().for_each(|tensor| scope.ignore(tensor));
    }

    /// From images normalised with the mean and deviation of ImageNet to images normalised with
    /// 0.5 and 0.5: the first step of networks whose weights are from TensorFlow.
    pub(super) fn rescale(&self) -> Result<ChannelScale, Error> {
        let (mean, deviation) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        let scale = deviation.iter().map(|deviation| deviation / 0.5).collect();
        let shift = mean.iter().map(|mean| (mean - 0.5) / 0.5).collect();
        let norm = BatchNorm::of(scale, shift);
        norm.into_layer("transform_input", Activation::Identity, self.device)
    }
}

/// A square max pool.
pub(super) fn max_pool(
    name: &str,
    [kernel, stride, padding]: [usize; 3],
    ceil: bool,
) -> Box<dyn Step> {
    pool(name, [kernel, stride, padding], ceil, PoolKind::Max)
}

/// A square average pool that counts its padding.
pub(super) fn average_pool(name: &str, sizes: [usize; 3]) -> Box<dyn Step> {
    let kind = PoolKind::Average {
        count_padding: true,
    };
    pool(name, sizes, false, kind)
}

fn pool(
    name: &str,
    [kernel, stride, padding]: [usize; 3],
    ceil: bool,
    kind: PoolKind,
) -> Box<dyn Step> {
    let window = Window {
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [padding; 2],
        dilation: [1; 2],
    };
    Box::new(Pool {
        name: name.to_owned(),
        window: PoolWindow { window, ceil },
        kind,
    })
}

/// A layer, or several of them that belong together, from a feature map to a feature map.
pub(super) trait Step: Send + Sync {
    fn forward(&self, x: FeatureMap) -> Result<FeatureMap, Error>;
}

impl Step for Conv2d {
    fn forward(&self, x: FeatureMap) -> Result<FeatureMap, Error> {
        self.forward(&x, None)
    }
}

impl Step for ChannelScale {
    fn forward(&self, x: FeatureMap) -> Result<FeatureMap, Error> {
        self.forward(&x)
    }
}

impl Step for Pool {
    fn forward(&self, x: FeatureMap) -> Result<FeatureMap, Error> {
        self.forward(&x)
    }
}

/// Steps one after another.
pub(super) type Series = Vec<Box<dyn Step>>;

impl Step for Series {
    fn forward(&self, mut x: FeatureMap) -> Result<FeatureMap, Error> {
        for step in self {
            x = step.forward(x)?;
        }
        Ok(x)
    }
}

/// Steps side by side, whose results' channels are put one after another.
pub(super) struct Branches {
    pub(super) name: String,
    pub(super) branches: Vec<Series>,
}

impl Step for Branches {
    fn forward(&self, x: FeatureMap) -> Result<FeatureMap, Error> {
        let results = self.branches.iter().map(|branch| branch.forward(x.clone()));
        concat(&self.name, &results.collect::<Result<Vec<_>, _>>()?)
    }
}

/// Convolutions, of which the last adds the input where `residual`.
pub(super) struct Inverted {
    pub(super) convolutions: Vec<Conv2d>,
    pub(super) residual: bool,
}

impl Step for Inverted {
    fn forward(&self, x: FeatureMap) -> Result<FeatureMap, Error> {
        let Some((last, before)) = self.convolutions.split_last() else {
            return Ok(x);
        };
        let mut inner = x.clone();
        for convolution in before {
            inner = convolution.forward(&inner, None)?;
        }
        last.forward(&inner, self.residual.then_some(&x))
    }
}

/// A layer with the name of the module whose input it takes, and that of the module whose output
/// it gives: of two different ones where several modules are computed as one.
struct Named<T: ?Sized> {
    first: String,
    last: String,
    layer: Box<T>,
}

/// A classifier: steps, a mean, linear layers.
#[derive(Default)]
pub(super) struct Classifier {
    /// What is done to the images before all.
    rescale: Option<ChannelScale>,
    steps: Vec<Named<dyn Step>>,
    /// The name of all steps together, where they have one.
    features: Option<&'static str>,
    /// The name of the mean, where it is a module.
    average: Option<&'static str>,
    /// The rows and columns that the mean leaves; 1 x 1 if absent.
    places: Option<[usize; 2]>,
    linears: Vec<Named<Linear>>,
}

impl Classifier {
    /// Sets what is done to the images before all.
    pub(super) fn rescale(&mut self, rescale: ChannelScale) {
        self.rescale = Some(rescale);
    }

    /// Adds a step that is one module.
    pub(super) fn step(&mut self, name: impl Into<String>, layer: Box<dyn Step>) {
        let name = name.into();
        self.fused([name.clone(), name], layer);
    }

    /// Adds a step that is several modules, from a first to a last one.
    pub(super) fn fused(&mut self, [first, last]: [String; 2], layer: Box<dyn Step>) {
        self.steps.push(Named { first, last, layer });
    }

    /// Names all steps so far.
    pub(super) fn name_features(&mut self, name: &'static str) {
        self.features = Some(name);
    }

    /// Names the mean, and sets how many rows and columns it leaves.
    pub(super) fn average(&mut self, name: &'static str, places: [usize; 2]) {
        self.average = Some(name);
        self.places = Some(places);
    }

    /// Adds the linear layers of a classifier, each with the names of its module and of its
    /// activation's, its sizes, and its activation.
    pub(super) fn classifier(
        &mut self,
        weights: &Loader<'_>,
        linears: impl IntoIterator<Item = ([&'static str; 2], [usize; 2], Activation)>,
    ) -> Result<(), Error> {
        for (names, sizes, activation) in linears {
            let [first, _] = names;
            self.linear(names, weights.linear(first, sizes, activation)?);
        }
        Ok(())
    }

    /// Adds a linear layer, with the names of its module and of its activation's.
    pub(super) fn linear(&mut self, [first, last]: [&str; 2], layer: Linear) {
        self.linears.push(Named {
            first: first.to_owned(),
            last: last.to_owned(),
            layer: Box::new(layer),
        });
    }

    pub(super) fn into_network(self, embedding: Option<&str>) -> Network {
        let steps = self.steps.iter().map(|step| (&step.first, &step.last));
        let linears = self
            .linears
            .iter()
            .map(|linear| (&linear.first, &linear.last));
        let middle = [self.features, self.average].into_iter().flatten();
        let mut layers: Vec<String> = Vec::new();
        let mut add = |name: &str| {
            if !layers.iter().any(|known| known == name) {
                layers.push(name.to_owned());
            }
        };
        for (first, last) in steps {
            add(first);
            add(last);
        }
        middle.for_each(&mut add);
        for (first, last) in linears {
            add(first);
            add(last);
        }
        let fused = self
            .steps
            .iter()
            .map(|step| (&step.first, &step.last))
            .chain(self.linears.iter().map(|step| (&step.first, &step.last)))
            .filter(|(first, last)| first != last)
            .flat_map(|(first, last)| [first.clone(), format!("<{last}")])
            .collect();
        Network {
            hidden: fused,
            ..Network::of_images(self, layers, embedding.map(str::to_owned))
        }
    }
}

impl ImageTower for Classifier {
    fn forward(&self, mut x: FeatureMap, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        if let Some(rescale) = &self.rescale {
            x = rescale.forward(&x)?;
        }
        if let Some(name) = self.features {
            trace.input(name, &x)?;
        }
        for Named { first, last, layer } in &self.steps {
            trace.input(first, &x)?;
            x = layer.forward(x)?;
            trace.output(last, &x)?;
        }
        if let Some(name) = self.features {
            trace.output(name, &x)?;
        }
        if let Some(name) = self.average {
            trace.input(name, &x)?;
        }
        let x = adaptive_average(&x, self.places.unwrap_or([1; 2]))?;
        if let Some(name) = self.average {
            trace.output(name, &x)?;
        }
        let mut x = x.flatten()?;
        for Named { first, last, layer } in &self.linears {
            trace.input(first, &x)?;
            x = layer.forward(&x)?;
            trace.output(last, &x)?;
        }
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use super::scaled;

    /// What torchvision's `_make_divisible` gives.
    #[test]
    fn channels_are_scaled_as_torchvision_scales_them() {
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
                scaled(channels, factor, divisor),
                want,
                "{channels} {factor}"
            );
        }
    }
}
