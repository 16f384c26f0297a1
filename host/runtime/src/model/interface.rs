//! The model as whoever runs it sees it.

use modelzoo_model::output::Output;
use modelzoo_model::plan::Embeddings;
use modelzoo_model::sample::{
    ImageInput, Input, Media, MediaKind, Origin, Prepared, Sample, Tokens,
};
use modelzoo_model::task::Task;
use modelzoo_model::{Model as Interface, ModelError};

use super::{Model, NO_IMAGES, NO_LABELS};
use crate::error::Error;
use crate::image::{DecodeLimits, decode_shared};
use crate::plan::Size;

impl From<Error> for ModelError {
    fn from(error: Error) -> Self {
        let remedy = error.remedy();
        Self::new(error, remedy)
    }
}

impl Interface for Model {
    fn takes(&self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Images => self.takes_images(),
            MediaKind::Texts => self.takes_texts(),
        }
    }

    fn predicts(&self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Images => self.plan.head.is_some() && self.takes_images(),
            // What tasks read are outputs for images.
            MediaKind::Texts => false,
        }
    }

    fn task(&self) -> Option<&Task> {
        self.plan.head.as_ref()
    }

    fn embeddings(&self) -> &Embeddings {
        &self.embeddings
    }

    fn set_embeddings_layer(&mut self, layer: &str) -> Result<(), ModelError> {
        // The method of the type itself, whose error is typed.
        Ok(Model::set_embeddings_layer(self, layer)?)
    }

    fn prepare(&self, Sample { media, fields }: Sample) -> Result<Prepared, ModelError> {
        match media {
            Media::Image(bytes) => {
                let plan = self.plan.preprocessing.as_ref().ok_or(NO_IMAGES)?;
                // The share is held until the network's input is there.
                let (image, _share) = decode_shared(&bytes, &DecodeLimits::default())
                    .map_err(|reason| ModelError::new(reason, None))?;
                let size = Size {
                    height: image.height(),
                    width: image.width(),
                };
                Ok(Prepared {
                    input: Input::Image(self.preprocess(&image)?),
                    origin: Origin {
                        transform: Some(plan.transform(size)),
                        fields,
                    },
                })
            }
            Media::Text(text) => Ok(Prepared {
                input: Input::Text(self.tokenize(&text)?),
                origin: Origin {
                    transform: None,
                    fields,
                },
            }),
        }
    }

    fn predict(&self, samples: &[Prepared]) -> Result<Vec<Output>, ModelError> {
        match sorted(samples) {
            Sorted::Images(images) => Ok(self.predict_images(&images)?),
            // No task reads texts.
            Sorted::Texts(_) => Err(NO_LABELS.into()),
            Sorted::Mixed => Err(mixed()),
        }
    }

    fn embed(&self, samples: &[Prepared]) -> Result<Vec<Vec<f32>>, ModelError> {
        match sorted(samples) {
            Sorted::Images(images) => Ok(self.embed_images(&images)?),
            Sorted::Texts(texts) => Ok(self.embed_texts(&texts)?),
            Sorted::Mixed => Err(mixed()),
        }
    }
}

/// The inputs of a batch, which are of one kind.
enum Sorted<'a> {
    Images(Vec<&'a ImageInput>),
    Texts(Vec<&'a Tokens>),
    Mixed,
}

fn sorted(samples: &[Prepared]) -> Sorted<'_> {
    let (mut images, mut texts) = (Vec::new(), Vec::new());
    for sample in samples {
        match &sample.input {
            Input::Image(image) => images.push(image),
            Input::Text(text) => texts.push(text),
        }
    }
    match (images.is_empty(), texts.is_empty()) {
        (_, true) => Sorted::Images(images),
        (true, false) => Sorted::Texts(texts),
        (false, false) => Sorted::Mixed,
    }
}

fn mixed() -> ModelError {
    Error::bad_input("batch", "images and texts together").into()
}
