//! A model: a plan, built.

use std::path::Path;

use candle_core::{DType, Tensor};

use crate::architectures::{Config, Network};
use crate::device::Device;
use crate::error::Error;
use crate::head::{PredictOptions, Prediction, Reader};
use crate::image::Image;
use crate::layers::FeatureMap;
use crate::plan::Plan;
use crate::preprocess::{Input, preprocess};
use crate::weights::Weights;

/// A model that is ready to run.
///
/// It is shared by reference between threads: any number of them may [`preprocess`] while others
/// [`predict`]. Predicting takes rayon's global pool (`RAYON_NUM_THREADS` threads);
/// preprocessing runs on the calling thread alone.
///
/// [`preprocess`]: Model::preprocess
/// [`predict`]: Model::predict
pub struct Model {
    plan: Plan,
    network: Network,
    head: Reader,
    device: Device,
}

impl Model {
    /// Builds the model that `plan` describes from the weight files in the directory `dir`.
    ///
    /// The files are mapped while this runs and not needed afterwards.
    ///
    /// # Errors
    /// The plan's fields ([`Error::BadPlan`], [`Error::UnknownArchitecture`],
    /// [`Error::BadConfig`], [`Error::ClassCount`]), the files ([`Error::WeightsIo`],
    /// [`Error::WeightsFile`]) and their tensors ([`Error::MissingTensor`],
    /// [`Error::UnexpectedTensor`], [`Error::WrongShape`], [`Error::WrongType`]) are checked, in
    /// this order; and the device may lack memory ([`Error::Compute`]).
    pub fn build(plan: &Plan, dir: &Path, device: &Device) -> Result<Self, Error> {
        plan.validate()?;
        let config = Config::parse(&plan.architecture)?;
        let channels = plan.preprocessing.color.channels();
        if let Some(wanted) = config.in_channels().filter(|&wanted| wanted != channels) {
            let reason = format!("gives {channels} channels, but the network takes {wanted}");
            return Err(Error::bad_plan("preprocessing.color", reason));
        }
        let head = Reader::new(&plan.head);
        let outputs = config.outputs(channels, plan.preprocessing.fixed_size())?;
        if let Some(outputs) = outputs {
            head.check_outputs(outputs)?;
        }
        let weights = Weights::open(dir, &plan.weights)?;
        let network = config.build(&weights.root(), device)?;
        weights.finish()?;
        Ok(Self {
            plan: plan.clone(),
            network,
            head,
            device: device.clone(),
        })
    }

    /// The plan that this was built from.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where it runs.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Brings an image to the network's input, as Pillow and torchvision do.
    ///
    /// # Errors
    /// [`Error::Preprocess`]: the image, or what the plan makes of it, is too large.
    pub fn preprocess(&self, image: &Image) -> Result<Input, Error> {
        preprocess(image, &self.plan.preprocessing)
    }

    /// Predicts, one prediction an input, in the order of the inputs.
    ///
    /// Inputs of one size are computed together, whatever their order, and each has the result
    /// that it would have alone.
    ///
    /// # Errors
    /// [`Error::BadOption`] for the options, [`Error::BadInput`] and [`Error::TooLarge`] for a
    /// size that the network cannot take, [`Error::ClassCount`] where the number of outputs shows
    /// only now, [`Error::NotFinite`] when a result is not a number, [`Error::Compute`] when the
    /// device fails. There are then no predictions for any of the inputs.
    pub fn predict(
        &self,
        inputs: &[Input],
        options: &PredictOptions,
    ) -> Result<Vec<Prediction>, Error> {
        options.validate()?;
        let mut predictions = Vec::with_capacity(inputs.len());
        for bucket in buckets(inputs) {
            let batch: Vec<&Input> = bucket.iter().map(|&(_, input)| input).collect();
            let outputs = self.run(FeatureMap::from_inputs(&batch, &self.device)?)?;
            self.head.check_outputs(outputs.dim(1)?)?;
            let rows = outputs.to_dtype(DType::F32)?.to_vec2::<f32>()?;
            for ((index, _), row) in bucket.into_iter().zip(rows) {
                predictions.push((index, self.head.read(index, row, options)?));
            }
        }
        predictions.sort_by_key(|&(index, _)| index);
        Ok(predictions
            .into_iter()
            .map(|(_, prediction)| prediction)
            .collect())
    }

    /// The network alone: a tensor of the shape `[batch, channels, height, width]` to its outputs,
    /// `[batch, outputs]`, f32, on the model's device. For comparing with a reference.
    ///
    /// # Errors
    /// [`Error::BadInput`], [`Error::TooLarge`] and [`Error::Compute`], as [`Model::predict`].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, Error> {
        self.run(FeatureMap::from_channels_first(x, &self.device)?)
    }

    fn run(&self, x: FeatureMap) -> Result<Tensor, Error> {
        self.network.forward(x)
    }
}

/// The inputs by their sizes, in the order in which the sizes first occur, each with its place.
fn buckets(inputs: &[Input]) -> Vec<Vec<(usize, &Input)>> {
    let size = |input: &Input| (input.height(), input.width(), input.channels());
    let mut buckets: Vec<Vec<(usize, &Input)>> = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        let same = |bucket: &&mut Vec<(usize, &Input)>| {
            bucket
                .first()
                .is_some_and(|(_, first)| size(first) == size(input))
        };
        match buckets.iter_mut().find(same) {
            Some(bucket) => bucket.push((index, input)),
            None => buckets.push(vec![(index, input)]),
        }
    }
    buckets
}
