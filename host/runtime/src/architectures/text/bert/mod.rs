//! BERT, RoBERTa, MPNet and DistilBERT, as transformers builds them (`models/bert`, …; Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for
//! Language Understanding", 2018).

mod relative;

use candle_core::Tensor;
use modelzoo_model::plan::Size;
use serde::Deserialize;
use serde_json::Value;

use crate::architectures::shared::block::{
    AttentionExtras, Block, BlockLayout, MlpNames, Order, QkvNames,
};
use crate::architectures::shared::config::{ConfigChecker, MAX_SIZE};
use crate::architectures::shared::encoder::EncoderConfig;
use crate::architectures::shared::hugging_face;
use crate::architectures::shared::network::{ArchitectureConfig, Network, TextTower, TokenBatch};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Embedding, LayerNorm, Linear, Mask, add_rows};
use crate::trace::Trace;
use crate::weights::Scope;
use relative::RelativeBias;

/// The configuration of `bert`: the `config.json` of a repository of BERT, RoBERTa, XLM-RoBERTa,
/// CamemBERT, MPNet or DistilBERT. These fields are used:
///
/// | field | | default |
/// |---|---|---|
/// | `model_type` | `bert`, `roberta`, `xlm-roberta`, `camembert`, `mpnet` or `distilbert` | `bert` |
/// | `vocab_size` | tokens | 30522 |
/// | `hidden_size` (`dim`) | features per token | 768 |
/// | `num_hidden_layers` (`n_layers`) | blocks | 12 |
/// | `num_attention_heads` (`n_heads`) | | 12 |
/// | `intermediate_size` (`hidden_dim`) | | 3072 |
/// | `hidden_act` (`activation`) | `gelu`, `gelu_new`, `relu`, `silu` | `gelu` |
/// | `max_position_embeddings` | | 512 |
/// | `type_vocab_size` | | 2 |
/// | `layer_norm_eps` | | 1e-12 |
/// | `pad_token_id` | RoBERTa's positions begin after it | 1 |
/// | `relative_attention_num_buckets` | of `mpnet` | 32 |
///
/// The names in brackets are DistilBERT's. The weights have the names of the base model
/// (`embeddings.word_embeddings.weight`, `encoder.layer.0.attention.self.query.weight`, …), with
/// its name before them (`bert.`) or without. The weights of a
/// masked-language-model head are ignored.
///
/// The output is one vector per token: the plan says how they are pooled. Layers are `embeddings`,
/// `encoder.layer.N` (`transformer.layer.N` of DistilBERT), `last_hidden_state`, and, where the
/// weights have it, `pooler_output`.
#[derive(Clone, Debug, Deserialize)]
pub struct BertConfig {
    #[serde(default)]
    model_type: Kind,
    #[serde(default = "defaults::vocab_size")]
    vocab_size: usize,
    #[serde(default = "defaults::hidden_size", alias = "dim")]
    hidden_size: usize,
    #[serde(default = "defaults::blocks", alias = "n_layers")]
    num_hidden_layers: usize,
    #[serde(default = "defaults::blocks", alias = "n_heads")]
    num_attention_heads: usize,
    #[serde(default = "defaults::inner", alias = "hidden_dim")]
    intermediate_size: usize,
    #[serde(default = "defaults::activation", alias = "activation")]
    hidden_act: String,
    #[serde(default = "defaults::positions")]
    max_position_embeddings: usize,
    #[serde(default = "defaults::types")]
    type_vocab_size: usize,
    #[serde(default = "defaults::eps")]
    layer_norm_eps: f64,
    #[serde(default)]
    pad_token_id: Option<usize>,
    #[serde(default)]
    position_embedding_type: Option<String>,
    #[serde(default = "defaults::buckets")]
    relative_attention_num_buckets: usize,
    #[serde(default)]
    is_decoder: bool,
}

/// The defaults of transformers.
mod defaults {
    pub(super) const fn vocab_size() -> usize {
        30_522
    }
    pub(super) const fn hidden_size() -> usize {
        768
    }
    pub(super) const fn blocks() -> usize {
        12
    }
    pub(super) const fn inner() -> usize {
        3072
    }
    pub(super) fn activation() -> String {
        "gelu".to_owned()
    }
    pub(super) const fn positions() -> usize {
        512
    }
    pub(super) const fn types() -> usize {
        2
    }
    pub(super) const fn eps() -> f64 {
        1e-12
    }
    pub(super) const fn buckets() -> usize {
        32
    }
}

/// The networks of the family.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
enum Kind {
    #[default]
    #[serde(rename = "bert")]
    Bert,
    #[serde(rename = "roberta", alias = "xlm-roberta", alias = "camembert")]
    Roberta,
    #[serde(rename = "mpnet")]
    Mpnet,
    #[serde(rename = "distilbert")]
    DistilBert,
}

impl Kind {
    /// The prefix of the base model's tensors in a checkpoint with a head.
    fn prefix(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta => "roberta",
            Self::Mpnet => "mpnet",
            Self::DistilBert => "distilbert",
        }
    }

    /// The prefix of the blocks.
    fn blocks(self) -> &'static str {
        match self {
            Self::DistilBert => "transformer.layer",
            Self::Bert | Self::Roberta | Self::Mpnet => "encoder.layer",
        }
    }

    fn layout(self) -> BlockLayout {
        let (qkv, out, norms, mlp) = match self {
            Self::Bert | Self::Roberta => (
                [
                    "attention.self.query",
                    "attention.self.key",
                    "attention.self.value",
                ],
                "attention.output.dense",
                ["attention.output.LayerNorm", "output.LayerNorm"],
                ["intermediate.dense", "output.dense"],
            ),
            Self::Mpnet => (
                ["attention.attn.q", "attention.attn.k", "attention.attn.v"],
                "attention.attn.o",
                ["attention.LayerNorm", "output.LayerNorm"],
                ["intermediate.dense", "output.dense"],
            ),
            Self::DistilBert => (
                ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
                "attention.out_lin",
                ["sa_layer_norm", "output_layer_norm"],
                ["ffn.lin1", "ffn.lin2"],
            ),
        };
        BlockLayout {
            order: Order::NormLast,
            qkv: QkvNames::Separate(qkv),
            out,
            norms,
            mlp: MlpNames::Plain(mlp),
            scales: None,
        }
    }
}

/// The heads that transformers leaves out when it loads an encoder: of masked language models,
/// pairs of sentences, classifiers and answers to questions.
const HEADS: &[&str] = &[
    "classifier",
    "cls",
    "lm_head",
    "pre_classifier",
    "qa_outputs",
    "vocab_layer_norm",
    "vocab_projector",
    "vocab_transform",
];

/// A checked configuration.
pub(crate) struct Bert {
    config: BertConfig,
    encoder: EncoderConfig,
    /// The position of a text's first token.
    first: usize,
}

impl Bert {
    fn tower(&self, weights: &Scope<'_>, device: &Device) -> Result<BertTower, Error> {
        let kind = self.config.model_type;
        HEADS.iter().for_each(|head| weights.ignore_below(head));
        let weights = hugging_face::base(weights, kind.prefix(), WORDS);
        let width = self.encoder.block.width;
        let pooler = weights.child("pooler.dense");
        let pooler = if pooler.has("weight") {
            let sizes = [width; 2];
            let activation = Activation::Tanh;
            Some(Linear::load(
                &pooler, sizes, true, None, activation, device,
            )?)
        } else {
            None
        };
        let bias = match kind {
            Kind::Mpnet => Some(RelativeBias::load(
                &weights.child("encoder.relative_attention_bias"),
                self.config.relative_attention_num_buckets,
                self.encoder.block.heads,
            )?),
            Kind::Bert | Kind::Roberta | Kind::DistilBert => None,
        };
        let embeddings = weights.child("embeddings");
        let words = embeddings.child("word_embeddings");
        let norm = embeddings.child("LayerNorm");
        Ok(BertTower {
            words: Embedding::load(&words, [self.config.vocab_size, width], device)?,
            positions: self.positions(&embeddings, device)?,
            norm: LayerNorm::load(&norm, width, self.encoder.block.eps, true, device)?,
            bias,
            blocks: self
                .encoder
                .load(&weights.child(kind.blocks()), &kind.layout(), device)?,
            pooler,
            kind,
            vocabulary: self.config.vocab_size,
            max_tokens: self.config.max_position_embeddings - self.first,
            device: device.clone(),
        })
    }

    /// The position embeddings, from that of a text's first token on, with the embedding of token
    /// type 0 added.
    fn positions(&self, embeddings: &Scope<'_>, device: &Device) -> Result<Embedding, Error> {
        let width = self.encoder.block.width;
        let count = self.config.max_position_embeddings;
        let scope = embeddings.child("position_embeddings");
        let mut table = scope.get("weight", &[count, width])?;
        table = table.narrow(0, self.first, count - self.first)?;
        if matches!(self.config.model_type, Kind::Bert | Kind::Roberta) {
            let types = embeddings.child("token_type_embeddings");
            let types = types.get("weight", &[self.config.type_vocab_size, width])?;
            table = table.broadcast_add(&types.narrow(0, 0, 1)?)?;
        }
        Embedding::new(scope.name(), &table, device)
    }
}

const WORDS: &str = "embeddings.word_embeddings.weight";

impl ArchitectureConfig for Bert {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let config: BertConfig = checker.read(config)?;
        let sizes = [
            config.hidden_size,
            config.num_attention_heads,
            config.intermediate_size,
            config.num_hidden_layers,
        ];
        let activation = checker.activation("hidden_act", &config.hidden_act)?;
        let encoder = EncoderConfig::new(sizes, config.layer_norm_eps, activation);
        let fields = match config.model_type {
            Kind::DistilBert => ["dim", "n_heads", "hidden_dim", "n_layers"],
            Kind::Bert | Kind::Roberta | Kind::Mpnet => EncoderConfig::FIELDS,
        };
        encoder.check(checker, fields)?;
        checker.check_sizes(&[
            ("vocab_size", config.vocab_size),
            ("max_position_embeddings", config.max_position_embeddings),
            ("type_vocab_size", config.type_vocab_size),
        ])?;
        let buckets = config.relative_attention_num_buckets;
        let least = match config.model_type {
            Kind::Mpnet => relative::BUCKETS,
            Kind::Bert | Kind::Roberta | Kind::DistilBert => 1,
        };
        checker.check_range("relative_attention_num_buckets", buckets, least..=MAX_SIZE)?;
        let first = match config.model_type {
            Kind::Bert | Kind::DistilBert => 0,
            Kind::Roberta => config.pad_token_id.unwrap_or(1).saturating_add(1),
            // MPNet's code has the number of its padding built in.
            Kind::Mpnet => 2,
        };
        if first >= config.max_position_embeddings {
            let reason = format!("must be more than {first}, where a text's positions begin");
            return Err(checker.error("max_position_embeddings", reason));
        }
        if let Some(kind) = &config.position_embedding_type
            && kind != "absolute"
        {
            return Err(checker.unsupported("position_embedding_type", kind));
        }
        if config.is_decoder {
            return Err(checker.error("is_decoder", "must be false"));
        }
        Ok(Self {
            config,
            encoder,
            first,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        None
    }

    fn outputs(&self, _: usize, _: Option<Size>) -> Result<Option<usize>, Error> {
        Ok(None)
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let tower = self.tower(weights, device)?;
        let mut layers = vec!["embeddings".to_owned()];
        layers.extend((0..tower.blocks.len()).map(|block| tower.block_name(block)));
        layers.push("last_hidden_state".to_owned());
        if tower.pooler.is_some() {
            layers.push("pooler_output".to_owned());
        }
        Ok(Network {
            images: None,
            texts: Some(Box::new(tower)),
            similarity: None,
            layers,
            // Token ids, which are not features.
            hidden: vec!["<embeddings".to_owned()],
            embedding: None,
            class_count: None,
            class_names: None,
        })
    }
}

/// A built encoder.
struct BertTower {
    kind: Kind,
    words: Embedding,
    positions: Embedding,
    norm: LayerNorm,
    bias: Option<RelativeBias>,
    blocks: Vec<Block>,
    pooler: Option<Linear>,
    vocabulary: usize,
    max_tokens: usize,
    device: Device,
}

impl BertTower {
    fn block_name(&self, block: usize) -> String {
        format!("{}.{block}", self.kind.blocks())
    }
}

impl TextTower for BertTower {
    fn forward(&self, tokens: &TokenBatch, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        let x = self.words.forward(&tokens.ids, tokens.len)?;
        let x = add_rows(&x, &self.positions.first(tokens.len)?, &self.device)?;
        let mut x = self.norm.forward(&x)?;
        trace.output("embeddings", &x)?;
        let bias = match &self.bias {
            Some(bias) => Some(bias.of(tokens.len, &self.device)?),
            None => None,
        };
        let extras = AttentionExtras {
            mask: Mask {
                lengths: tokens.padded_lengths(),
                bias: bias.as_ref(),
                ..Mask::default()
            },
            ..AttentionExtras::default()
        };
        for (index, block) in self.blocks.iter().enumerate() {
            let name = self.block_name(index);
            trace.input(&name, &x)?;
            x = block.forward(&x, extras)?;
            trace.output(&name, &x)?;
        }
        trace.input("last_hidden_state", &x)?;
        trace.output("last_hidden_state", &x)?;
        // The network's output does not depend on it, so that it is only computed for a trace.
        if let Some(pooler) = &self.pooler
            && trace.wants("pooler_output")
        {
            trace.input("pooler_output", &x)?;
            let first = x.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?;
            trace.output("pooler_output", &pooler.forward(&first)?)?;
        }
        Ok(x)
    }

    fn max_tokens(&self) -> Option<usize> {
        Some(self.max_tokens)
    }

    fn vocabulary(&self) -> usize {
        self.vocabulary
    }
}
