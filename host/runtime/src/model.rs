//! A model: a plan, built.

use std::borrow::Cow;
use std::path::Path;

use candle_core::Tensor;
use modelzoo_base::Remedy;

use modelzoo_model::task::Head;

use crate::architectures::{self, Network, TextTower, TokenBatch};
use crate::batches::{buckets, halving};
use crate::device::Device;
use crate::embedding;
use crate::error::Error;
use crate::head::{PredictOptions, Prediction, Reader};
use crate::image::Image;
use crate::layers::{Activation, Dense, FeatureMap, Linear};
use crate::plan::{Embeddings, Plan, Pooling};
use crate::precision::full;
use crate::preprocess::{Input, preprocess};
use crate::text::{Tokenizer, Tokens};
use crate::trace::Trace;
use crate::weights::Weights;

/// Texts that go through the network together where the caller gives more of them.
const TEXTS: usize = 32;
/// The most tokens of a zero-shot head's prompts, padding included: the 21841 classes of all of
/// ImageNet, 77 tokens each, are fewer.
const MAX_PROMPT_TOKENS: usize = 1 << 21;

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
    /// Of a zero-shot head: from an image's features to their products with those of the prompts,
    /// each of length 1.
    prompts: Option<Linear>,
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
    /// These are checked, in this order: what the plan's fields say by themselves
    /// ([`Error::BadPlan`], [`Error::UnknownArchitecture`], [`Error::BadConfig`],
    /// [`Error::ClassCount`]), the tokenizer's files ([`Error::Tokenizer`]), the weights
    /// ([`Error::WeightsIo`], [`Error::WeightsFile`]) and their tensors ([`Error::MissingTensor`],
    /// [`Error::UnexpectedTensor`], [`Error::WrongShape`], [`Error::WrongType`]), and whether the
    /// network that they make does what the plan asks of it ([`Error::BadPlan`],
    /// [`Error::UnknownLayer`], and for the prompts as [`Model::tokenize`]). The device may lack
    /// memory ([`Error::Compute`]), or half precision digits for a weight
    /// ([`Error::TooLargeForHalf`]).
    pub fn build(plan: &Plan, dir: &Path, device: &Device) -> Result<Self, Error> {
        plan.validate()?;
        let config = architectures::parse(&plan.architecture)?;
        let head = plan.head.as_ref();
        let head = head.map(|head| Reader::new(head, device.precision()));
        if let Some(preprocessing) = &plan.preprocessing {
            let channels = preprocessing.color.channels();
            let fits = |&wanted: &usize| wanted != channels;
            if let Some(wanted) = config.in_channels().filter(fits) {
                let reason = format!("gives {channels} channels, but the network takes {wanted}");
                return Err(Error::bad_plan("preprocessing.color", reason));
            }
            let outputs = config.outputs(channels, preprocessing.fixed_size())?;
            if let (Some(head), Some(outputs)) = (&head, outputs)
                && !matches!(plan.head, Some(Head::ZeroShot(_)))
            {
                head.check_outputs(outputs)?;
            }
        }
        let tokenizer = plan.tokenizer.as_ref();
        let tokenizer = tokenizer
            .map(|tokenizer| Tokenizer::open(tokenizer, dir))
            .transpose()?;
        let weights = Weights::open(dir, &plan.weights)?;
        let network = config.build(&weights.root(), device)?;
        weights.finish()?;
        check_inputs(plan, &network)?;
        if let (Some(tokenizer), Some(network)) = (&tokenizer, &network.texts) {
            tokenizer.check_length(network.as_ref())?;
        }
        let mut model = Self {
            plan: plan.clone(),
            network,
            tokenizer,
            head,
            prompts: None,
            embeddings: plan.embeddings.clone().unwrap_or_default(),
            device: device.clone(),
        };
        if let Some(layer) = model.embeddings.layer.clone() {
            model.set_embeddings_layer(&layer)?;
        }
        model.check_pooling()?;
        model.prompts = model.embed_prompts()?;
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
        if !self.network.shows(layer) {
            return Err(self.unknown_layer(layer));
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
        let question = head.ask(options)?;
        self.in_buckets(inputs, |bucket, index| {
            let x = FeatureMap::from_inputs(bucket, &self.device)?;
            let outputs = self.scores(x)?;
            head.check_outputs(outputs.dim(1)?)?;
            let rows = outputs.to_vec2::<f32>()?;
            rows.into_iter()
                .zip(index)
                .map(|(row, &index)| head.read(index, row, &question))
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
            let values = self.embedding_of(Tower::Images, |trace| tower.forward(x, trace))?;
            Ok(embedding::pool(&values, None, &self.embeddings)?.to_vec2::<f32>()?)
        })
        .and_then(|rows| self.all_finite(rows))
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
        self.all_finite(rows)
    }

    /// The network alone: a tensor of the shape `[batch, channels, height, width]` to its outputs,
    /// `[batch, outputs]`, f32, on the model's device. For comparing with a reference.
    ///
    /// # Errors
    /// [`Error::BadInput`], [`Error::TooLarge`] and [`Error::Compute`], as [`Model::predict`].
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

    /// The text network alone: `[batch, features]`, or `[batch, tokens, features]` where a plan
    /// says how to pool them, f32, on the model's device. For comparing with a reference.
    ///
    /// # Errors
    /// [`Error::BadInput`], [`Error::TooLarge`] and [`Error::Compute`], as [`Model::predict`].
    pub fn forward_texts(&self, texts: &[Tokens]) -> Result<Tensor, Error> {
        let (tower, batch) = self.text_batch(texts)?;
        Ok(full(&tower.forward(&batch, &mut Trace::off())?)?)
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
                Ok((tower, tokenizer.batch(texts, tower)?))
            }
            _ => Err(NO_TEXTS),
        }
    }

    fn unknown_layer(&self, name: &str) -> Error {
        Error::UnknownLayer {
            name: name.to_owned(),
            nearest: self.network.nearest_layers(name),
        }
    }

    /// One row of scores an image, f32: the network's outputs, or its similarities to the prompts.
    fn scores(&self, x: FeatureMap) -> Result<Tensor, Error> {
        let tower = self.network.images.as_ref().ok_or(NO_IMAGES)?;
        let outputs = full(&tower.forward(x, &mut Trace::off())?)?;
        match (&self.prompts, self.network.similarity) {
            (Some(prompts), Some(similarity)) => {
                // Row by row, so that no image's scores depend on how many others there are.
                let cosines = prompts.forward(&embedding::unit(&outputs)?)?;
                let (scale, bias) = (similarity.scale, similarity.bias);
                Ok(cosines.affine(f64::from(scale), f64::from(bias))?)
            }
            _ => Ok(outputs),
        }
    }

    /// The features of a zero-shot head's prompts.
    fn embed_prompts(&self) -> Result<Option<Linear>, Error> {
        let Some(Head::ZeroShot(head)) = &self.plan.head else {
            return Ok(None);
        };
        if self.network.similarity.is_none() {
            let name = &self.plan.architecture.name;
            let reason = format!("the architecture `{name}` does not compare images with texts");
            return Err(Error::bad_plan("head.zero_shot", reason));
        }
        let features = in_chunks(&self.prompt_tokens(&head.prompts)?, |texts| {
            embedding::unit(&self.forward_texts(texts)?)
        })?;
        let dense = Dense::new(&Tensor::cat(&features, 0)?, None)?;
        let device = self.device.clone().in_full();
        let layer = Linear::new("head", dense, Activation::Identity, &device)?;
        Ok(Some(layer))
    }

    /// The tokens of a zero-shot head's prompts.
    fn prompt_tokens(&self, prompts: &[String]) -> Result<Vec<Tokens>, Error> {
        let (Some(tokenizer), Some(tower)) = (&self.tokenizer, &self.network.texts) else {
            return Err(NO_TEXTS);
        };
        let (mut texts, mut longest) = (Vec::new(), 1);
        for prompt in prompts {
            let tokens = self.tokenize(prompt)?;
            longest = longest.max(tokens.ids().len());
            texts.push(tokens);
            let padded = tokenizer.padded(longest, tower.as_ref());
            if padded.saturating_mul(prompts.len()) > MAX_PROMPT_TOKENS {
                let reason = format!(
                    "has {} texts of up to {padded} tokens, more than {MAX_PROMPT_TOKENS} together",
                    prompts.len()
                );
                return Err(Error::bad_plan("head.zero_shot.prompts", reason));
            }
        }
        Ok(texts)
    }

    /// Checks that a layer that the plan names for texts gives one vector a text, or is pooled.
    fn check_pooling(&self) -> Result<(), Error> {
        let (Some(tokenizer), Some(tower)) = (&self.tokenizer, &self.network.texts) else {
            return Ok(());
        };
        if self.plan.embeddings.is_none() || self.embeddings.pooling != Pooling::None {
            return Ok(());
        }
        let one = [Tokens::from_ids(vec![0])];
        let batch = tokenizer.batch(&one, tower.as_ref())?;
        match self.embedding_of(Tower::Texts, |trace| tower.forward(&batch, trace)) {
            Ok(values) if values.rank() > 2 => Err(Error::bad_plan(
                "embeddings.pooling",
                "must be `mean`, `first` or `max`: the layer gives one vector a token of a text",
            )),
            // A layer of the other tower.
            Err(Error::UnknownLayer { .. }) => Ok(()),
            values => values.map(|_| ()),
        }
    }

    /// One embedding a text, in batches.
    fn text_features(&self, texts: &[Tokens]) -> Result<Vec<Tensor>, Error> {
        in_chunks(texts, |chunk| {
            let (tower, batch) = self.text_batch(chunk)?;
            let values = self.embedding_of(Tower::Texts, |trace| tower.forward(&batch, trace))?;
            embedding::pool(&values, Some(&batch.lengths), &self.embeddings)
        })
    }

    /// Runs a tower and takes the values of the layer that embeddings come from; where that is a
    /// layer of the other tower, what the tower itself gives.
    fn embedding_of(
        &self,
        tower: Tower,
        run: impl FnOnce(&mut Trace<'_>) -> Result<Tensor, Error>,
    ) -> Result<Tensor, Error> {
        let layer = self
            .embeddings
            .layer
            .as_deref()
            .or(self.network.embedding.as_deref())
            .filter(|layer| match tower {
                Tower::Images => self.network.layer_is_of_images(layer),
                Tower::Texts => self.network.layer_is_of_texts(layer),
            });
        let mut trace = layer.map_or_else(Trace::off, Trace::of);
        let outputs = run(&mut trace)?;
        let values = match layer {
            None => outputs,
            Some(layer) => trace.found().ok_or_else(|| Error::UnknownLayer {
                name: layer.to_owned(),
                nearest: Vec::new(),
            })?,
        };
        Ok(full(&values)?)
    }

    /// Refuses vectors that have values which are not numbers.
    fn all_finite(&self, rows: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>, Error> {
        let finite = |row: &Vec<f32>| row.iter().all(|value| value.is_finite());
        let precision = self.device.precision();
        match rows.iter().position(|row| !finite(row)) {
            Some(index) => Err(Error::NotFinite { index, precision }),
            None => Ok(rows),
        }
    }

    /// Computes the inputs of each size together; results come in the order of the inputs.
    fn in_buckets<T>(
        &self,
        inputs: &[Input],
        compute: impl Fn(&[&Input], &[usize]) -> Result<Vec<T>, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut results = Vec::with_capacity(inputs.len());
        for bucket in buckets(inputs) {
            let computed = halving(&bucket, &|part: &[(usize, &Input)]| {
                let (index, batch): (Vec<usize>, Vec<&Input>) = part.iter().copied().unzip();
                compute(&batch, &index)
            })?;
            let index = bucket.iter().map(|&(index, _)| index);
            results.extend(index.zip(computed));
        }
        results.sort_by_key(|&(index, _)| index);
        Ok(results.into_iter().map(|(_, result)| result).collect())
    }
}

/// What a network, or a part of it, takes.
#[derive(Clone, Copy)]
enum Tower {
    Images,
    Texts,
}

const NO_IMAGES: Error = Error::CannotDo {
    what: "takes no images",
    remedy: Remedy::Advice(Cow::Borrowed("it takes texts")),
};
const NO_TEXTS: Error = Error::CannotDo {
    what: "takes no texts",
    remedy: Remedy::Advice(Cow::Borrowed("it takes images")),
};
const NO_LABELS: Error = Error::CannotDo {
    what: "gives no labels",
    remedy: Remedy::Embed { model: None },
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
    Ok(())
}

/// Computes texts in batches; tensors come in the order of the texts, one or more a batch.
fn in_chunks(
    texts: &[Tokens],
    compute: impl Fn(&[Tokens]) -> Result<Tensor, Error>,
) -> Result<Vec<Tensor>, Error> {
    let compute = |part: &[Tokens]| Ok(vec![compute(part)?]);
    let chunks = texts.chunks(TEXTS).map(|chunk| halving(chunk, &compute));
    Ok(chunks.collect::<Result<Vec<_>, _>>()?.concat())
}
