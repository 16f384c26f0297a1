//! FCN (Long et al., "Fully Convolutional Networks for Semantic Segmentation", 2015) and DeepLabV3
//! (Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017), as
//! torchvision builds them, over a ResNet.

use modelzoo_model::plan::Size;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::architectures::convnets::loader::LayerLoader;
use crate::architectures::convnets::{ResNetBackbone, ResNetLayers};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::maps::MapTower;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, Conv2d, ConvGeometry, FeatureMap, Sampling, concat, global_average,
};
use crate::trace::Trace;
use crate::weights::Scope;

/// The dilations of DeepLabV3's parallel convolutions.
const RATES: [usize; 3] = [12, 24, 36];
/// Channels of DeepLabV3's head.
const WIDTH: usize = 256;

/// The configuration of `fcn` and `deeplabv3`.
///
/// | field | | default |
/// |---|---|---|
/// | `depth` | of the ResNet: 50 or 101 | |
/// | `num_classes` | classes, the background included | 21 |
///
/// The weights have torchvision's names: `backbone.conv1.weight`, …, `classifier.4.bias`; those of an
/// auxiliary classifier are ignored. The output is a map of scores per class, of the input's size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TorchvisionSegmentationConfig {
    /// 50 or 101.
    pub depth: u32,
    /// Classes, the background included.
    #[serde(default = "voc")]
    pub num_classes: usize,
}

/// The number of classes of Pascal VOC, the background included.
const fn voc() -> usize {
    21
}

/// A checked configuration.
pub(crate) struct TorchvisionSegmentation {
    /// `deeplabv3` instead of `fcn`.
    deeplab: bool,
    layers: ResNetLayers,
    classes: usize,
}

impl ArchitectureConfig for TorchvisionSegmentation {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let config: TorchvisionSegmentationConfig = checker.read(config)?;
        checker.check_size("num_classes", config.num_classes)?;
        let layers = ResNetLayers::of_depth(config.depth).filter(|_| config.depth >= 50);
        let layers = layers.ok_or_else(|| checker.error("depth", "must be 50, 101 or 152"))?;
        Ok(Self {
            deeplab: checker.architecture() == "deeplabv3",
            layers: layers.dilated([false, false, true, true]),
            classes: config.num_classes,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(3)
    }

    fn outputs(&self, _: usize, _: Option<Size>) -> Result<Option<usize>, Error> {
        Ok(Some(self.classes))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        weights.ignore_below("aux_classifier");
        let loader = LayerLoader::new(weights, device);
        let [.., channels] = self.layers.channels();
        let classifier = loader.child("classifier");
        let head = if self.deeplab {
            Head::DeepLab(Box::new(Pyramid::load(&classifier, channels)?))
        } else {
            let inner = channels / 4;
            Head::Fcn(Box::new(normed(
                &classifier,
                ["0", "1"],
                [channels, inner, 3],
                1,
            )?))
        };
        let inner = if self.deeplab { WIDTH } else { channels / 4 };
        let network = SegmentationTower {
            backbone: self.layers.load(&loader.child("backbone"))?,
            head,
            classifier: Conv2d::load(
                &weights.child("classifier.4"),
                ConvGeometry::square(inner, self.classes, 1, 1, 0),
                true,
                None,
                Activation::Identity,
                device,
            )?,
        };
        let layers = ["backbone", "classifier"].map(str::to_owned).to_vec();
        Ok(Network::of_maps(network, layers))
    }
}

/// A convolution `[inputs, outputs, kernel]` without bias, a batch norm and a ReLU.
fn normed(
    loader: &LayerLoader<'_>,
    names: [&str; 2],
    [inputs, outputs, kernel]: [usize; 3],
    dilation: usize,
) -> Result<Conv2d, Error> {
    let geometry = ConvGeometry::square(inputs, outputs, kernel, 1, kernel / 2).dilated(dilation);
    loader.normed(names, geometry, Activation::Relu)
}

/// A built network.
struct SegmentationTower {
    backbone: ResNetBackbone,
    head: Head,
    classifier: Conv2d,
}

/// The layers between the backbone and the classifier.
enum Head {
    Fcn(Box<Conv2d>),
    DeepLab(Box<Pyramid>),
}

impl MapTower for SegmentationTower {
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<FeatureMap, Error> {
        let shape = x.shape()?;
        trace.input("backbone", &x)?;
        let Some(features) = self.backbone.forward(&x)?.pop() else {
            return Err(Error::bad_input("backbone", "gives nothing"));
        };
        trace.output("backbone", &features)?;
        trace.input("classifier", &features)?;
        let features = match &self.head {
            Head::Fcn(layer) => layer.forward(&features, None)?,
            Head::DeepLab(layers) => layers.forward(&features)?,
        };
        let scores = self.classifier.forward(&features, None)?;
        trace.output("classifier", &scores)?;
        scores.resized([shape.height, shape.width], Sampling::Bilinear)
    }
}

/// DeepLabV3's atrous spatial pyramid pooling: convolutions of several dilations, and the mean of
/// the whole image, side by side.
struct Pyramid {
    convolutions: Vec<Conv2d>,
    mean: Conv2d,
    project: Conv2d,
    last: Conv2d,
}

impl Pyramid {
    fn load(classifier: &LayerLoader<'_>, channels: usize) -> Result<Self, Error> {
        let pyramid = classifier.child("0");
        let parts = pyramid.child("convs");
        let mut convolutions = vec![normed(
            &parts.child("0"),
            ["0", "1"],
            [channels, WIDTH, 1],
            1,
        )?];
        for (index, rate) in (1..).zip(RATES) {
            let part = parts.child(&format!("{index}"));
            convolutions.push(normed(&part, ["0", "1"], [channels, WIDTH, 3], rate)?);
        }
        let last = parts.child(&format!("{}", convolutions.len()));
        let joined = (convolutions.len() + 1) * WIDTH;
        Ok(Self {
            mean: normed(&last, ["1", "2"], [channels, WIDTH, 1], 1)?,
            project: normed(&pyramid.child("project"), ["0", "1"], [joined, WIDTH, 1], 1)?,
            last: normed(classifier, ["1", "2"], [WIDTH, WIDTH, 3], 1)?,
            convolutions,
        })
    }

    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let shape = x.shape()?;
        let mut parts = Vec::with_capacity(self.convolutions.len() + 1);
        for convolution in &self.convolutions {
            parts.push(convolution.forward(x, None)?);
        }
        // Of one pixel, whose interpolation is itself everywhere.
        let mean = self.mean.forward(&global_average(x)?, None)?;
        parts.push(mean.resized([shape.height, shape.width], Sampling::Nearest)?);
        let joined = self.project.forward(&concat("aspp", &parts)?, None)?;
        self.last.forward(&joined, None)
    }
}
