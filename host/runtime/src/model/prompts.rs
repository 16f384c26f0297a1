//! The prompts of a zero-shot task, which are computed once, when the model is built.

use candle_core::Tensor;
use modelzoo_model::sample::Tokens;

use super::texts::in_chunks;
use super::{Model, NO_TEXTS};
use crate::embedding;
use crate::error::Error;
use crate::layers::{Activation, Dense, Linear};

/// The most tokens of all prompts, padding included: the 21841 classes of all of ImageNet, 77
/// tokens each, are fewer.
const MAX_TOKENS: usize = 1 << 21;

impl Model {
    /// The features of a zero-shot task's prompts.
    pub(super) fn embed_prompts(&self) -> Result<Option<Linear>, Error> {
        let task = self.plan.head.as_ref();
        let Some((task, prompts)) = task.and_then(|task| Some((task, task.prompts()?))) else {
            return Ok(None);
        };
        if self.network.similarity.is_none() {
            let name = &self.plan.architecture.name;
            let reason = format!("the architecture `{name}` does not compare images with texts");
            return Err(Error::bad_plan(format!("head.{}", task.name()), reason));
        }
        let features = in_chunks(&self.prompt_tokens(prompts)?, |texts| {
            embedding::unit(&self.forward_texts(texts)?)
        })?;
        let dense = Dense::new(&Tensor::cat(&features, 0)?, None)?;
        let device = self.device.clone().in_full();
        let layer = Linear::new("head", dense, Activation::Identity, &device)?;
        Ok(Some(layer))
    }

    /// The tokens of a zero-shot task's prompts.
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
            if padded.saturating_mul(prompts.len()) > MAX_TOKENS {
                let reason = format!(
                    "has {} texts of up to {padded} tokens, more than {MAX_TOKENS} together",
                    prompts.len()
                );
                return Err(Error::bad_plan("head.zero_shot.prompts", reason));
            }
        }
        Ok(texts)
    }
}
