//! The networks of the benchmark: their configurations, and the names and shapes of their weights.

use serde_json::{Value, json};

use super::common;

/// The networks, by name.
pub(crate) const MODELS: [&str; 4] = ["resnet50", "clip_vit_b32", "vit_b16", "minilm_l6"];
pub(crate) const CLASSES: usize = 1000;
/// Tokens in MiniLM's vocabulary.
pub(crate) const VOCABULARY: usize = 30_522;

pub(crate) type Tensors = Vec<(String, Vec<usize>)>;

/// The architecture of a network, as a plan has it, and its weights.
pub(crate) fn network(name: &str) -> (Value, Tensors) {
    match name {
        "resnet50" => resnet50(),
        "clip_vit_b32" => clip_vit_b32(),
        "vit_b16" => vit_b16(),
        "minilm_l6" => minilm_l6(),
        other => panic!("unknown model `{other}`"),
    }
}

fn resnet50() -> (Value, Tensors) {
    let tensors = common::resnet_tensors(true, [3, 4, 6, 3], CLASSES, 64, 1);
    (
        json!({ "name": "resnet", "config": { "depth": 50 } }),
        tensors,
    )
}

/// The names of a block's linear layers and norms, and their sizes.
fn block(tensors: &mut Tensors, prefix: &str, layers: &[(&str, [usize; 2])], norms: [&str; 2]) {
    let width = layers[0].1[0];
    for &(name, [inputs, outputs]) in layers {
        tensors.push((format!("{prefix}.{name}.weight"), vec![outputs, inputs]));
        tensors.push((format!("{prefix}.{name}.bias"), vec![outputs]));
    }
    for name in norms {
        norm(tensors, &format!("{prefix}.{name}"), width);
    }
}

fn norm(tensors: &mut Tensors, name: &str, width: usize) {
    for part in ["weight", "bias"] {
        tensors.push((format!("{name}.{part}"), vec![width]));
    }
}

fn vit_b16() -> (Value, Tensors) {
    let mut tensors = vec![
        ("vit.embeddings.cls_token".to_owned(), vec![1, 1, 768]),
        (
            "vit.embeddings.position_embeddings".to_owned(),
            vec![1, 197, 768],
        ),
        (
            "vit.embeddings.patch_embeddings.projection.weight".to_owned(),
            vec![768, 3, 16, 16],
        ),
        (
            "vit.embeddings.patch_embeddings.projection.bias".to_owned(),
            vec![768],
        ),
        ("classifier.weight".to_owned(), vec![CLASSES, 768]),
        ("classifier.bias".to_owned(), vec![CLASSES]),
    ];
    for layer in 0..12 {
        let layers = [
            ("attention.attention.query", [768, 768]),
            ("attention.attention.key", [768, 768]),
            ("attention.attention.value", [768, 768]),
            ("attention.output.dense", [768, 768]),
            ("intermediate.dense", [768, 3072]),
            ("output.dense", [3072, 768]),
        ];
        let prefix = format!("vit.encoder.layer.{layer}");
        block(
            &mut tensors,
            &prefix,
            &layers,
            ["layernorm_before", "layernorm_after"],
        );
    }
    norm(&mut tensors, "vit.layernorm", 768);
    let config = json!({
        "model_type": "vit", "architectures": ["ViTForImageClassification"], "num_labels": CLASSES,
    });
    (json!({ "name": "vit", "config": config }), tensors)
}

fn clip_block(tensors: &mut Tensors, prefix: &str, [width, inner]: [usize; 2]) {
    let layers = [
        ("self_attn.q_proj", [width, width]),
        ("self_attn.k_proj", [width, width]),
        ("self_attn.v_proj", [width, width]),
        ("self_attn.out_proj", [width, width]),
        ("mlp.fc1", [width, inner]),
        ("mlp.fc2", [inner, width]),
    ];
    block(tensors, prefix, &layers, ["layer_norm1", "layer_norm2"]);
}

/// The published image tower, with a minimal text tower.
fn clip_vit_b32() -> (Value, Tensors) {
    let (images, texts) = ("vision_model", "text_model");
    let mut tensors = vec![
        (format!("{images}.embeddings.class_embedding"), vec![768]),
        (
            format!("{images}.embeddings.patch_embedding.weight"),
            vec![768, 3, 32, 32],
        ),
        (
            format!("{images}.embeddings.position_embedding.weight"),
            vec![50, 768],
        ),
        (
            format!("{texts}.embeddings.token_embedding.weight"),
            vec![64, 16],
        ),
        (
            format!("{texts}.embeddings.position_embedding.weight"),
            vec![8, 16],
        ),
        ("visual_projection.weight".to_owned(), vec![512, 768]),
        ("text_projection.weight".to_owned(), vec![512, 16]),
        ("logit_scale".to_owned(), vec![]),
    ];
    for layer in 0..12 {
        clip_block(
            &mut tensors,
            &format!("{images}.encoder.layers.{layer}"),
            [768, 3072],
        );
    }
    clip_block(&mut tensors, &format!("{texts}.encoder.layers.0"), [16, 16]);
    norm(&mut tensors, &format!("{images}.pre_layrnorm"), 768);
    norm(&mut tensors, &format!("{images}.post_layernorm"), 768);
    norm(&mut tensors, &format!("{texts}.final_layer_norm"), 16);
    let text_config = json!({
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 64,
        "num_attention_heads": 1, "max_position_embeddings": 8, "eos_token_id": 63,
    });
    let config = json!({ "model_type": "clip", "text_config": text_config });
    (json!({ "name": "clip", "config": config }), tensors)
}

/// all-MiniLM-L6-v2.
fn minilm_l6() -> (Value, Tensors) {
    let mut tensors = vec![
        (
            "embeddings.word_embeddings.weight".to_owned(),
            vec![VOCABULARY, 384],
        ),
        (
            "embeddings.position_embeddings.weight".to_owned(),
            vec![512, 384],
        ),
        (
            "embeddings.token_type_embeddings.weight".to_owned(),
            vec![2, 384],
        ),
    ];
    norm(&mut tensors, "embeddings.LayerNorm", 384);
    for layer in 0..6 {
        let layers = [
            ("attention.self.query", [384, 384]),
            ("attention.self.key", [384, 384]),
            ("attention.self.value", [384, 384]),
            ("attention.output.dense", [384, 384]),
            ("intermediate.dense", [384, 1536]),
            ("output.dense", [1536, 384]),
        ];
        let norms = ["attention.output.LayerNorm", "output.LayerNorm"];
        block(
            &mut tensors,
            &format!("encoder.layer.{layer}"),
            &layers,
            norms,
        );
    }
    let config = json!({
        "model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": 384,
        "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536,
    });
    (json!({ "name": "bert", "config": config }), tensors)
}
