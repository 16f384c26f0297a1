//! The networks of the benchmark as candle-transformers builds them.

use std::path::Path;

use candle_core::{DType, Device, Module as _, Result, Tensor};
use candle_nn::{Func, VarBuilder};
use candle_transformers::models::{bert, clip, resnet, vit};

use super::Input;
use super::cases::{CLASSES, VOCABULARY};

/// A network of candle-transformers.
pub(crate) enum Network {
    ResNet(Func<'static>),
    ViT(vit::Model),
    Clip(Box<clip::ClipModel>),
    Bert(bert::BertModel),
}

impl Network {
    /// Builds the network `name` from a safetensors file.
    pub(crate) fn load(name: &str, weights: &Path) -> Self {
        let bytes = std::fs::read(weights).unwrap();
        let weights = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu);
        Self::build(name, weights.unwrap()).unwrap()
    }

    fn build(name: &str, weights: VarBuilder<'static>) -> Result<Self> {
        Ok(match name {
            "resnet50" => Self::ResNet(resnet::resnet50(CLASSES, weights)?),
            "vit_b16" => {
                let config = vit::Config::vit_base_patch16_224();
                Self::ViT(vit::Model::new(&config, CLASSES, weights)?)
            }
            "clip_vit_b32" => {
                let mut config = clip::ClipConfig::vit_base_patch32();
                let texts = &mut config.text_config;
                (texts.embed_dim, texts.intermediate_size) = (16, 16);
                (texts.num_hidden_layers, texts.num_attention_heads) = (1, 1);
                (texts.vocab_size, texts.max_position_embeddings) = (64, 8);
                Self::Clip(Box::new(clip::ClipModel::new(weights, &config)?))
            }
            "minilm_l6" => {
                let config = bert::Config {
                    vocab_size: VOCABULARY,
                    hidden_size: 384,
                    num_hidden_layers: 6,
                    intermediate_size: 1536,
                    ..bert::Config::default()
                };
                Self::Bert(bert::BertModel::load(weights, &config)?)
            }
            other => panic!("unknown model `{other}`"),
        })
    }

    /// The output of the first sample.
    pub(crate) fn run(&self, input: &Input) -> Vec<f32> {
        let y = match (self, input) {
            (Self::ResNet(network), Input::Images(x)) => network.forward(x),
            (Self::ViT(network), Input::Images(x)) => network.forward(x),
            (Self::Clip(network), Input::Images(x)) => network.get_image_features(x),
            (Self::Bert(network), Input::Texts(texts)) => {
                let rows: Vec<&[u32]> = texts.iter().map(|text| text.ids()).collect();
                let ids = Tensor::new(rows, &Device::Cpu).unwrap();
                let types = ids.zeros_like().unwrap();
                let tokens = network.forward(&ids, &types, None);
                tokens.and_then(|tokens| tokens.mean(1))
            }
            _ => panic!("the network does not take this input"),
        };
        y.unwrap().get(0).unwrap().to_vec1::<f32>().unwrap()
    }
}
