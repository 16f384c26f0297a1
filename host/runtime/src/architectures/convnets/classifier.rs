//! A convolutional classifier: steps on feature maps, an average pool, and linear layers.

use candle_core::Tensor;
use modelzoo_model::plan::Size;

use super::loader::LayerLoader;
use super::steps::Step;
use crate::architectures::shared::network::{ImageTower, Network};
use crate::error::Error;
use crate::layers::{Activation, ChannelScale, FeatureMap, Linear, adaptive_average};
use crate::trace::Trace;

/// The number of classes of ImageNet.
pub(super) const fn imagenet() -> usize {
    1000
}

/// Checks that images of the size that a plan gives them are large enough.
pub(super) fn at_least(side: usize, size: Option<Size>) -> Result<(), Error> {
    match size {
        Some(Size { height, width }) if (height.min(width) as usize) < side => {
            let reason = format!(
                "gives images of {height}x{width}, but the network takes images of at least {side}x{side}"
            );
            Err(Error::bad_plan("preprocessing.steps", reason))
        }
        _ => Ok(()),
    }
}

/// A layer with the names of the modules whose input it takes and whose output it gives; two
/// different ones where several modules are fused.
struct Named<T: ?Sized> {
    first: String,
    last: String,
    layer: Box<T>,
}

/// The classifier, under construction and built.
#[derive(Default)]
pub(super) struct Classifier {
    /// Converts the images first.
    rescale: Option<ChannelScale>,
    steps: Vec<Named<dyn Step>>,
    /// The name of all steps together, where they are a module.
    features: Option<&'static str>,
    /// The name of the average pool, where it is a module.
    average: Option<&'static str>,
    /// The rows and columns that the average pool leaves; 1x1 if absent.
    places: Option<[usize; 2]>,
    linears: Vec<Named<Linear>>,
}

impl Classifier {
    /// Sets the conversion of the images.
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

    /// Names the average pool, and sets the rows and columns that it leaves.
    pub(super) fn average(&mut self, name: &'static str, places: [usize; 2]) {
        self.average = Some(name);
        self.places = Some(places);
    }

    /// Adds the linear layers of a classifier, each with the names of its module and of its
    /// activation's, its sizes, and its activation.
    pub(super) fn classifier(
        &mut self,
        weights: &LayerLoader<'_>,
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

    /// The network, with the layer that an embedding is taken from by default.
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
