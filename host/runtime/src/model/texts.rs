//! What a model does with texts.

use std::borrow::Borrow;

use candle_core::Tensor;
use modelzoo_model::sample::Tokens;

use super::{Model, NO_TEXTS, Tower};
use crate::architectures::{TextTower, TokenBatch};
use crate::batches::halving;
use crate::embedding;
use crate::error::Error;
use crate::plan::Pooling;
use crate::precision::full;
use crate::trace::Trace;

/// Texts that go through the network together where the caller gives more of them.
const TEXTS: usize = 32;

impl Model {
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

    /// The embeddings of texts, one vector per text, in the order of the texts.
    ///
    /// # Errors
    /// As [`Model::predict_images`].
    pub fn embed_texts<T: Borrow<Tokens>>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>, Error> {
        let mut rows = Vec::with_capacity(texts.len());
        for rows_of in self.text_features(texts)? {
            rows.extend(rows_of.to_vec2::<f32>()?);
        }
        self.all_finite(rows)
    }

    /// The text network alone: `[batch, features]`, or `[batch, tokens, features]` where a plan
    /// says how to pool them, f32, on the model's device. For comparing with a reference.
    ///
    /// # Errors
    /// [`Error::BadInput`], [`Error::TooLarge`] and [`Error::Compute`], as [`Model::predict_images`].
    pub fn forward_texts<T: Borrow<Tokens>>(&self, texts: &[T]) -> Result<Tensor, Error> {
        let (tower, batch) = self.text_batch(texts)?;
        Ok(full(&tower.forward(&batch, &mut Trace::off())?)?)
    }

    /// The output of a layer of the text network, or its input where the name follows a `<`. For
    /// comparing with a reference.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`], and as [`Model::forward_texts`].
    pub fn forward_texts_to<T: Borrow<Tokens>>(
        &self,
        texts: &[T],
        layer: &str,
    ) -> Result<Tensor, Error> {
        let (tower, batch) = self.text_batch(texts)?;
        let mut trace = Trace::of(layer);
        tower.forward(&batch, &mut trace)?;
        trace.found().ok_or_else(|| self.unknown_layer(layer))
    }

    fn text_batch<T: Borrow<Tokens>>(
        &self,
        texts: &[T],
    ) -> Result<(&dyn TextTower, TokenBatch), Error> {
        match (&self.network.texts, &self.tokenizer) {
            (Some(tower), Some(tokenizer)) => {
                let tower = tower.as_ref();
                Ok((tower, tokenizer.batch(texts, tower)?))
            }
            _ => Err(NO_TEXTS),
        }
    }

    /// Checks that a layer that the plan names for texts gives one vector per text, or is pooled.
    pub(super) fn check_pooling(&self) -> Result<(), Error> {
        let (Some(tokenizer), Some(tower)) = (&self.tokenizer, &self.network.texts) else {
            return Ok(());
        };
        if self.plan.embeddings.is_none() || self.embeddings.pooling != Pooling::None {
            return Ok(());
        }
        let one = [Tokens::new(vec![0], false)];
        let batch = tokenizer.batch(&one, tower.as_ref())?;
        match self.embedding_of(Tower::Texts, |trace| tower.forward(&batch, trace)) {
            Ok(values) if values.rank() > 2 => Err(Error::bad_plan(
                "embeddings.pooling",
                "must be `mean`, `first` or `max`: the layer gives one vector per token of a text",
            )),
            // A layer of the other tower.
            Err(Error::UnknownLayer { .. }) => Ok(()),
            values => values.map(|_| ()),
        }
    }

    /// One embedding per text, in batches.
    fn text_features<T: Borrow<Tokens>>(&self, texts: &[T]) -> Result<Vec<Tensor>, Error> {
        in_chunks(texts, |chunk| {
            let (tower, batch) = self.text_batch(chunk)?;
            let values = self.embedding_of(Tower::Texts, |trace| tower.forward(&batch, trace))?;
            embedding::pool(&values, Some(&batch.lengths), &self.embeddings)
        })
    }
}

/// Computes texts in batches; tensors come in the order of the texts, one or more per batch.
pub(super) fn in_chunks<T>(
    texts: &[T],
    compute: impl Fn(&[T]) -> Result<Tensor, Error>,
) -> Result<Vec<Tensor>, Error> {
    let compute = |part: &[T]| Ok(vec![compute(part)?]);
    let chunks = texts.chunks(TEXTS).map(|chunk| halving(chunk, &compute));
    Ok(chunks.collect::<Result<Vec<_>, _>>()?.concat())
}
