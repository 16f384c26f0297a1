//! A model: a plan, built.

use std::path::Path;

use candle_core::{DType, Tensor};

use crate::architectures::{self, Network, TextTower, TokenBatch};
use crate::device::Device;
use crate::embedding;
use crate::error::Error;
use crate::head::{PredictOptions, Prediction, Reader};
use crate::image::Image;
use crate::layers::FeatureMap;
use crate::nearest::nearest;
use crate::plan::{Embeddings, Head, Plan};
use crate::preprocess::{Input, preprocess};
use crate::text::{Tokenizer, Tokens};
use crate::trace::Trace;
use crate::weights::Weights;

/// Texts that go through the network together where the caller gives more of them.
const TEXTS: usize = 32;

/// A model that is ready to run.
///
/// It is shared by reference between threads: any number of them may [`preprocess`] or
/// [`tokenize`] while others [`predict`] or embed. The network takes rayon's global pool
/// (`RAYON_NUM_THREADS` threads); what comes before it runs on the calling thread alone.
///
/// [`preprocess`]: Model::preprocess
/// [`tokenize`]: Model::tokenize
/// [`predict`]: Model::predict
pub struct Model {
    plan: Plan,
    network: Network,
    tokenizer: Option<Tokenizer>,
    head: Option<Reader>,
    /// Of a zero-shot head: the prompts' features, `[features, classes]`, each of length 1.
    prompts: Option<Tensor>,
    embeddings: Embeddings,
    device: Device,
}

impl Model {
    /// Builds the model that `plan` describes from the files in the directory `dir`.
    ///
    /// The files are mapped while this runs and not needed afterwards. The prompts of a zero-shot
    /// head are computed here, once.
    ///
    /// # Errors
    /// The plan's fields ([`Error::BadPlan`], [`Error::UnknownArchitecture`],
    /// [`Error::BadConfig`], [`Error::ClassCount`]), the files ([`Error::WeightsIo`],
    /// [`Error::WeightsFile`], [`Error::Tokenizer`]) and their tensors ([`Error::MissingTensor`],
    /// [`Error::UnexpectedTensor`], [`Error::WrongShape`], [`Error::WrongType`]) are checked, in
    /// this order; and the device may lack memory ([`Error::Compute`]).
    pub fn build(plan: &Plan, dir: &Path, device: &Device) -> Result<Self, Error> {
        plan.validate()?;
        let blueprint = architectures::parse(&plan.architecture)?;
        let head = plan.head.as_ref().map(Reader::new);
        if let Some(preprocessing) = &plan.preprocessing {
            let channels = preprocessing.color.channels();
            let fits = |&wanted: &usize| wanted != channels;
            if let Some(wanted) = blueprint.in_channels().filter(fits) {
                let reason = format!("gives {channels} channels, but the network takes {wanted}");
                return Err(Error::bad_plan("preprocessing.color", reason));
            }
            let outputs = blueprint.outputs(channels, preprocessing.fixed_size())?;
            if let (Some(head), Some(outputs)) = (&head, outputs)
                && !matches!(plan.head, Some(Head::ZeroShot(_)))
            {
                head.check_outputs(outputs)?;
            }
        }
        let weights = Weights::open(dir, &plan.weights)?;
        let network = blueprint.build(&weights.root(), device)?;
        weights.finish()?;
        check_inputs(plan, &network)?;
        let tokenizer = plan.tokenizer.as_ref();
        let mut model = Self {
            plan: plan.clone(),
            network,
            tokenizer: tokenizer
                .map(|tokenizer| Tokenizer::open(tokenizer, dir))
                .transpose()?,
            head,
            prompts: None,
            embeddings: plan.embeddings.clone().unwrap_or_default(),
            device: device.clone(),
        };
        if let Some(layer) = model.embeddings.layer.clone() {
            model.set_embeddings_layer(&layer)?;
        }
        model.embed_prompts()?;
        Ok(model)
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

    /// Whether it takes images.
    #[must_use]
    pub fn takes_images(&self) -> bool {
        self.network.images.is_some() && self.plan.preprocessing.is_some()
    }

    /// Whether it takes texts.
    #[must_use]
    pub fn takes_texts(&self) -> bool {
        self.network.texts.is_some() && self.tokenizer.is_some()
    }

    /// Where embeddings come from, the layer included where the plan or the user names one.
    #[must_use]
    pub fn embeddings(&self) -> &Embeddings {
        &self.embeddings
    }

    /// The layers of which [`Model::set_embeddings_layer`] can take the output, and, with a `<`
    /// before the name, the input.
    #[must_use]
    pub fn layers(&self) -> &[String] {
        &self.network.layers
    }

    /// Takes embeddings from another layer than the plan says.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`].
    pub fn set_embeddings_layer(&mut self, layer: &str) -> Result<(), Error> {
        let name = layer.strip_prefix('<').unwrap_or(layer);
        if !self.network.layers.iter().any(|known| known == name) {
            return Err(self.unknown_layer(name));
        }
        self.embeddings.layer = Some(layer.to_owned());
        Ok(())
    }

    /// Brings an image to the network's input, as Pillow and torchvision do.
    ///
    /// # Errors
    /// [`Error::Preprocess`]: the image, or what the plan makes of it, is too large;
    /// [`Error::CannotDo`] when the model takes no images.
    pub fn preprocess(&self, image: &Image) -> Result<Input, Error> {
        match &self.plan.preprocessing {
            Some(plan) => preprocess(image, plan),
            None => Err(NO_IMAGES),
        }
    }

    /// Brings a text to the network's input.
    ///
    /// # Errors
    /// [`Error::TextTooLong`]; [`Error::Tokenizer`] when the tokenizer fails on the text, or knows
    /// tokens that the network does not; [`Error::CannotDo`] when the model takes no texts.
    pub fn tokenize(&self, text: &str) -> Result<Tokens, Error> {
        match (&self.tokenizer, &self.network.texts) {
            (Some(tokenizer), Some(network)) => tokenizer.encode(text, network.as_ref()),
            _ => Err(NO_TEXTS),
        }
    }

    /// Predicts, one prediction an input, in the order of the inputs.
    ///
    /// Inputs of one size are computed together, whatever their order, and each has the result
    /// that it would have alone.
    ///
    /// # Errors
    /// [`Error::BadOption`] for the options, [`Error::BadInput`] and [`Error::TooLarge`] for a
    /// size that the network cannot take, [`Error::ClassCount`] where the number of outputs shows
    /// only now, [`Error::NotFinite`] when a result is not a number, [`Error::CannotDo`] when the
    /// model gives embeddings alone, [`Error::Compute`] when the device fails. There are then no
    /// predictions for any of the inputs.
    pub fn predict(
        &self,
        inputs: &[Input],
        options: &PredictOptions,
    ) -> Result<Vec<Prediction>, Error> {
        let head = self.head.as_ref().ok_or(NO_LABELS)?;
        head.check_options(options)?;
        self.in_buckets(inputs, |bucket, index| {
            let x = FeatureMap::from_inputs(bucket, &self.device)?;
            let outputs = self.scores(x)?;
            head.check_outputs(outputs.dim(1)?)?;
            let rows = outputs.to_dtype(DType::F32)?.to_vec2::<f32>()?;
            rows.into_iter()
                .zip(index)
                .map(|(row, &index)| head.read(index, row, options))
                .collect()
        })
    }

    /// The embeddings of images, one vector an input, in the order of the inputs; all have one
    /// length where the inputs have one size, or the plan pools.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn embed(&self, inputs: &[Input]) -> Result<Vec<Vec<f32>>, Error> {
        let tower = self.network.images.as_ref().ok_or(NO_IMAGES)?;
        self.in_buckets(inputs, |bucket, _| {
            let x = FeatureMap::from_inputs(bucket, &self.device)?;
            let values = self.embedding_of(|trace| tower.forward(x, trace))?;
            Ok(embedding::pool(&values, None, &self.embeddings)?.to_vec2::<f32>()?)
        })
        .and_then(all_finite)
    }

    /// The embeddings of texts, one vector a text, in the order of the texts.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn embed_texts(&self, texts: &[Tokens]) -> Result<Vec<Vec<f32>>, Error> {
        let mut rows = Vec::with_capacity(texts.len());
        for rows_of in self.text_features(texts)? {
            rows.extend(rows_of.to_vec2::<f32>()?);
        }
        all_finite(rows)
    }

    /// The network alone: a tensor of the shape `[batch, channels, height, width]` to its outputs,
    /// `[batch, outputs]`, f32, on the model's device. For comparing with a reference.
    ///
    /// # Errors
    /// [`Error::BadInput`], [`Error::TooLarge`] and [`Error::Compute`], as [`Model::predict`].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, Error> {
        let tower = self.network.images.as_ref().ok_or(NO_IMAGES)?;
        let x = FeatureMap::from_channels_first(x, &self.device)?;
        tower.forward(x, &mut Trace::off())
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

    /// The text network alone: `[batch, features]`, or `[batch, tokens, features]` where a plan
    /// says how to pool them, f32, on the model's device. For comparing with a reference.
    ///
    /// # Errors
    /// [`Error::BadInput`], [`Error::TooLarge`] and [`Error::Compute`], as [`Model::predict`].
    pub fn forward_texts(&self, texts: &[Tokens]) -> Result<Tensor, Error> {
        let (tower, batch) = self.text_batch(texts)?;
        tower.forward(&batch, &mut Trace::off())
    }

    /// The output of a layer of the text network, or its input where the name follows a `<`. For
    /// comparing with a reference.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`], and as [`Model::forward_texts`].
    pub fn forward_texts_to(&self, texts: &[Tokens], layer: &str) -> Result<Tensor, Error> {
        let (tower, batch) = self.text_batch(texts)?;
        let mut trace = Trace::of(layer);
        tower.forward(&batch, &mut trace)?;
        trace.found().ok_or_else(|| self.unknown_layer(layer))
    }

    fn text_batch(&self, texts: &[Tokens]) -> Result<(&dyn TextTower, TokenBatch), Error> {
        match (&self.network.texts, &self.tokenizer) {
            (Some(tower), Some(tokenizer)) => {
                let tower = tower.as_ref();
                Ok((tower, tokenizer.batch(texts, tower)))
            }
            _ => Err(NO_TEXTS),
        }
    }

    fn unknown_layer(&self, name: &str) -> Error {
        Error::UnknownLayer {
            name: name.to_owned(),
            nearest: nearest(name, self.network.layers.iter().map(String::as_str)),
        }
    }

    /// One row of scores an image: the network's outputs, or its similarities to the prompts.
    fn scores(&self, x: FeatureMap) -> Result<Tensor, Error> {
        let tower = self.network.images.as_ref().ok_or(NO_IMAGES)?;
        let outputs = tower.forward(x, &mut Trace::off())?;
        match (&self.prompts, self.network.similarity) {
            (Some(prompts), Some(similarity)) => {
                let cosines = embedding::unit(&outputs)?.matmul(prompts)?;
                let (scale, bias) = (similarity.scale, similarity.bias);
                Ok(cosines.affine(f64::from(scale), f64::from(bias))?)
            }
            _ => Ok(outputs),
        }
    }

    /// The features of a zero-shot head's prompts.
    fn embed_prompts(&mut self) -> Result<(), Error> {
        let Some(Head::ZeroShot(head)) = &self.plan.head else {
            return Ok(());
        };
        if self.network.similarity.is_none() {
            let name = &self.plan.architecture.name;
            let reason = format!("the architecture `{name}` does not compare images with texts");
            return Err(Error::bad_plan("head.zero_shot", reason));
        }
        let texts: Vec<Tokens> = head
            .prompts
            .iter()
            .map(|prompt| self.tokenize(prompt))
            .collect::<Result<_, _>>()?;
        let mut features = Vec::new();
        for rows in self.texts_forward(&texts)? {
            features.push(embedding::unit(&rows)?);
        }
        self.prompts = Some(Tensor::cat(&features, 0)?.t()?.contiguous()?);
        Ok(())
    }

    /// What the text tower makes of texts, in batches.
    fn texts_forward(&self, texts: &[Tokens]) -> Result<Vec<Tensor>, Error> {
        let chunks = texts.chunks(TEXTS);
        chunks.map(|chunk| self.forward_texts(chunk)).collect()
    }

    /// One embedding a text, in batches.
    fn text_features(&self, texts: &[Tokens]) -> Result<Vec<Tensor>, Error> {
        let one = |chunk: &[Tokens]| {
            let (tower, batch) = self.text_batch(chunk)?;
            let values = self.embedding_of(|trace| tower.forward(&batch, trace))?;
            embedding::pool(&values, Some(&batch.lengths), &self.embeddings)
        };
        texts.chunks(TEXTS).map(one).collect()
    }

    /// Runs a tower and takes the values of the layer that embeddings come from.
    fn embedding_of(
        &self,
        run: impl FnOnce(&mut Trace<'_>) -> Result<Tensor, Error>,
    ) -> Result<Tensor, Error> {
        let layer = self
            .embeddings
            .layer
            .as_deref()
            .or(self.network.embedding.as_deref());
        let mut trace = layer.map_or_else(Trace::off, Trace::of);
        let outputs = run(&mut trace)?;
        let values = match layer {
            None => outputs,
            Some(layer) => trace.found().ok_or_else(|| Error::UnknownLayer {
                name: layer.to_owned(),
                nearest: Vec::new(),
            })?,
        };
        Ok(values.to_dtype(DType::F32)?)
    }

    /// Computes the inputs of each size together; results come in the order of the inputs.
    fn in_buckets<T>(
        &self,
        inputs: &[Input],
        compute: impl Fn(&[&Input], &[usize]) -> Result<Vec<T>, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut results = Vec::with_capacity(inputs.len());
        for bucket in buckets(inputs) {
            let (index, batch): (Vec<usize>, Vec<&Input>) = bucket.into_iter().unzip();
            let computed = compute(&batch, &index)?;
            results.extend(index.into_iter().zip(computed));
        }
        results.sort_by_key(|&(index, _)| index);
        Ok(results.into_iter().map(|(_, result)| result).collect())
    }
}

const NO_IMAGES: Error = Error::CannotDo {
    what: "takes no images",
    hint: "it takes texts",
};
const NO_TEXTS: Error = Error::CannotDo {
    what: "takes no texts",
    hint: "it takes images",
};
const NO_LABELS: Error = Error::CannotDo {
    what: "gives no labels",
    hint: "it gives embeddings: use `modelzoo embed`",
};

/// Checks that the plan prepares what the network takes.
fn check_inputs(plan: &Plan, network: &Network) -> Result<(), Error> {
    let name = &plan.architecture.name;
    if plan.preprocessing.is_some() && network.images.is_none() {
        let reason = format!("is given, but the architecture `{name}` takes no images");
        return Err(Error::bad_plan("preprocessing", reason));
    }
    if plan.tokenizer.is_some() && network.texts.is_none() {
        let reason = format!("is given, but the architecture `{name}` takes no texts");
        return Err(Error::bad_plan("tokenizer", reason));
    }
    if plan.head.is_some() && plan.preprocessing.is_none() {
        return Err(Error::bad_plan(
            "head",
            "needs images, so `preprocessing` too",
        ));
    }
    Ok(())
}

/// Refuses vectors that have values which are not numbers.
fn all_finite(rows: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>, Error> {
    let finite = |row: &Vec<f32>| row.iter().all(|value| value.is_finite());
    match rows.iter().position(|row| !finite(row)) {
        Some(index) => Err(Error::NotFinite { index }),
        None => Ok(rows),
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
