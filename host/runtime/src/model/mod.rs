//! A model: a plan, built.
//!
//! What it does with images and with texts, each apart and typed, is in `images` and `texts`;
//! `interface` brings both behind [`modelzoo_model::Model`].

mod images;
mod interface;
mod prompts;
mod texts;

use std::borrow::Cow;
use std::path::Path;

use candle_core::Tensor;
use modelzoo_base::Remedy;
use modelzoo_model::output::Output;
use modelzoo_model::task::Task;

use crate::architectures::{self, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::Linear;
use crate::plan::{Embeddings, Plan};
use crate::precision::full;
use crate::text::Tokenizer;
use crate::trace::Trace;
use crate::weights::Weights;

/// A model that is ready to run.
///
/// It is shared by reference between threads: any number of them may [`preprocess`] or
/// [`tokenize`] while others predict or embed. The network runs on rayon's global pool
/// (`RAYON_NUM_THREADS` threads); what comes before it runs on the calling thread alone.
///
/// [`preprocess`]: Model::preprocess
/// [`tokenize`]: Model::tokenize
pub struct Model {
    plan: Plan,
    network: Network,
    tokenizer: Option<Tokenizer>,
    /// Of a zero-shot task: from an image's features to their products with those of the prompts,
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
        if let Some(preprocessing) = &plan.preprocessing {
            let channels = preprocessing.color.channels();
            let fits = |&wanted: &usize| wanted != channels;
            if let Some(wanted) = config.in_channels().filter(fits) {
                let reason = format!("gives {channels} channels, but the network takes {wanted}");
                return Err(Error::bad_plan("preprocessing.color", reason));
            }
            let outputs = config.outputs(channels, preprocessing.fixed_size())?;
            if let (Some(task), Some(outputs)) = (&plan.head, outputs)
                && task.prompts().is_none()
                && !task.classes().is_empty()
            {
                check_outputs(task, outputs)?;
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
        let mut plan = plan.clone();
        plan.head = with_classes(plan.head, &network)?;
        let embeddings = plan.embeddings.clone().unwrap_or_default();
        let mut model = Self {
            plan,
            network,
            tokenizer,
            prompts: None,
            embeddings,
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

    fn unknown_layer(&self, name: &str) -> Error {
        Error::UnknownLayer {
            name: name.to_owned(),
            nearest: self.network.nearest_layers(name),
        }
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

    /// Refuses vectors that have values that are not finite.
    fn all_finite(&self, rows: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>, Error> {
        let finite = |row: &Vec<f32>| row.iter().all(|value| value.is_finite());
        let precision = self.device.precision();
        match rows.iter().position(|row| !finite(row)) {
            Some(index) => Err(Error::NotFinite { index, precision }),
            None => Ok(rows),
        }
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

/// Checks that the network has one output per class of the task.
fn check_outputs(task: &Task, outputs: usize) -> Result<(), Error> {
    let classes = task.classes().len();
    if classes == outputs {
        return Ok(());
    }
    Err(Error::ClassCount { classes, outputs })
}

/// The task with the classes of the weights, where the plan has none.
fn with_classes(task: Option<Task>, network: &Network) -> Result<Option<Task>, Error> {
    let Some(task) = task else {
        return Ok(None);
    };
    let task = match task.lacks_classes() {
        true => task.with_classes(network.class_names.as_deref().unwrap_or_default())?,
        false => task,
    };
    if let Some(outputs) = network.class_count {
        check_outputs(&task, outputs)?;
    }
    Ok(Some(task))
}

/// Checks that an output has one score per class of the task, where it has scores. Of other
/// outputs, the task sees to it.
fn check_output(task: &Task, output: &Output) -> Result<(), Error> {
    match output {
        Output::Scores(scores) => check_outputs(task, scores.values().len()),
        Output::Boxes(_)
        | Output::Masks(_)
        | Output::Points(_)
        | Output::Map(_)
        | Output::Texts(_)
        | Output::Vectors(_) => Ok(()),
    }
}

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
    let (Some(task), Some(images)) = (&plan.head, &network.images) else {
        return Ok(());
    };
    let (reads, gives) = (task.output(), images.gives());
    if reads != gives {
        let reason = format!(
            "`{}` reads {}, but the architecture `{name}` gives {}",
            task.name(),
            reads.name(),
            gives.name()
        );
        return Err(Error::bad_plan("head", reason));
    }
    Ok(())
}
