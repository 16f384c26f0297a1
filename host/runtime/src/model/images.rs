//! What a model does with images.

use std::borrow::Borrow;

use candle_core::Tensor;
use modelzoo_model::output::{Output, OutputError, Scores};
use modelzoo_model::sample::ImageInput;

use super::{Model, NO_IMAGES, NO_LABELS, Tower, check_output};
use crate::architectures::{ImageTower, Similarity};
use crate::batches::{buckets, halving};
use crate::embedding;
use crate::error::Error;
use crate::image::Image;
use crate::layers::{FeatureMap, Linear};
use crate::precision::full;
use crate::preprocess::preprocess;
use crate::trace::Trace;

impl Model {
    /// Brings an image to the network's input, as Pillow and torchvision do.
    ///
    /// # Errors
    /// [`Error::Preprocess`]: the image, or what the plan makes of it, is too large;
    /// [`Error::CannotDo`] when the model takes no images.
    pub fn preprocess(&self, image: &Image) -> Result<ImageInput, Error> {
        match &self.plan.preprocessing {
            Some(plan) => preprocess(image, plan),
            None => Err(NO_IMAGES),
        }
    }

    /// The network's outputs for images, one per input, in the order of the inputs.
    ///
    /// Inputs of one size are computed together, whatever their order, and each has the result
    /// that it would have alone.
    ///
    /// # Errors
    /// [`Error::BadInput`] and [`Error::TooLarge`] for a size that the network cannot take,
    /// [`Error::ClassCount`] where the number of outputs shows only now, [`Error::NotFinite`] when
    /// an output is not a number, [`Error::CannotDo`] when the model gives embeddings alone,
    /// [`Error::Compute`] when the device fails. There are then no outputs for any of the inputs.
    pub fn predict_images<I: Borrow<ImageInput>>(
        &self,
        inputs: &[I],
    ) -> Result<Vec<Output>, Error> {
        let task = self.plan.head.as_ref().ok_or(NO_LABELS)?;
        let precision = self.device.precision();
        let tower = self.network.images.as_ref().ok_or(NO_IMAGES)?;
        self.in_buckets(inputs, |bucket, index| {
            let x = FeatureMap::from_inputs(bucket, &self.device)?;
            let outputs = match (&self.prompts, self.network.similarity) {
                (Some(prompts), Some(similarity)) => {
                    self.similarities(tower.as_ref(), prompts, similarity, x)?
                }
                _ => tower.outputs(x)?,
            };
            let outputs = outputs.into_iter().zip(index);
            outputs
                .map(|(output, &index)| {
                    let output = output.map_err(|error| match error {
                        OutputError::NotFinite => Error::NotFinite { index, precision },
                        OutputError::Length { .. } => Error::bad_input("output", error.to_string()),
                    })?;
                    check_output(task, &output)?;
                    Ok(output)
                })
                .collect()
        })
    }

    /// The embeddings of images, one vector per input, in the order of the inputs; all have one
    /// length where the inputs have one size, or the plan pools.
    ///
    /// # Errors
    /// As [`Model::predict_images`].
    pub fn embed_images<I: Borrow<ImageInput>>(
        &self,
        inputs: &[I],
    ) -> Result<Vec<Vec<f32>>, Error> {
        let tower = self.network.images.as_ref().ok_or(NO_IMAGES)?;
        self.in_buckets(inputs, |bucket, _| {
            let x = FeatureMap::from_inputs(bucket, &self.device)?;
            let values = self.embedding_of(Tower::Images, |trace| tower.forward(x, trace))?;
            Ok(embedding::pool(&values, None, &self.embeddings)?.to_vec2::<f32>()?)
        })
        .and_then(|rows| self.all_finite(rows))
    }

    /// The network alone: a tensor of the shape `[batch, channels, height, width]` to its outputs,
    /// `[batch, outputs]`, f32, on the model's device. For comparing with a reference.
    ///
    /// # Errors
    /// [`Error::BadInput`], [`Error::TooLarge`] and [`Error::Compute`], as [`Model::predict_images`].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, Error> {
        let tower = self.network.images.as_ref().ok_or(NO_IMAGES)?;
        let x = FeatureMap::from_channels_first(x, &self.device)?;
        Ok(full(&tower.forward(x, &mut Trace::off())?)?)
    }

    /// The output of a layer, or its input where the name follows a `<`, as PyTorch has it, for
    /// images as [`Model::forward`] takes them. For comparing with a reference.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`], and as [`Model::forward`].
    pub fn forward_to(&self, x: &Tensor, layer: &str) -> Result<Tensor, Error> {
        let tower = self.network.images.as_ref().ok_or(NO_IMAGES)?;
        let x = FeatureMap::from_channels_first(x, &self.device)?;
        let mut trace = Trace::of(layer);
        tower.forward(x, &mut trace)?;
        trace.found().ok_or_else(|| self.unknown_layer(layer))
    }

    /// The similarities of images to the prompts.
    fn similarities(
        &self,
        tower: &dyn ImageTower,
        prompts: &Linear,
        Similarity { scale, bias }: Similarity,
        x: FeatureMap,
    ) -> Result<Vec<Result<Output, OutputError>>, Error> {
        let features = full(&tower.forward(x, &mut Trace::off())?)?;
        // Row by row, so that no image's scores depend on how many others there are.
        let cosines = prompts.forward(&embedding::unit(&features)?)?;
        let scores = cosines.affine(f64::from(scale), f64::from(bias))?;
        let rows = scores.to_vec2::<f32>()?.into_iter();
        Ok(rows
            .map(|row| Ok(Output::Scores(Scores::new(row)?)))
            .collect())
    }

    /// Computes the inputs of each size together; results come in the order of the inputs.
    fn in_buckets<I: Borrow<ImageInput>, T>(
        &self,
        inputs: &[I],
        compute: impl Fn(&[&ImageInput], &[usize]) -> Result<Vec<T>, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut results = Vec::with_capacity(inputs.len());
        for bucket in buckets(inputs) {
            let computed = halving(&bucket, &|part: &[(usize, &ImageInput)]| {
                let (index, batch): (Vec<usize>, Vec<&ImageInput>) = part.iter().copied().unzip();
                compute(&batch, &index)
            })?;
            let index = bucket.iter().map(|&(index, _)| index);
            results.extend(index.zip(computed));
        }
        results.sort_by_key(|&(index, _)| index);
        Ok(results.into_iter().map(|(_, result)| result).collect())
    }
}
