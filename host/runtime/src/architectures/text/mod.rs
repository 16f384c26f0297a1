//! Encoders of texts.

mod bert;

pub(crate) use bert::Bert;
pub use bert::BertConfig;
