"""Writes fixtures/clip-* and open-clip-*: outputs of CLIP with weights from the recipe."""

import json

import numpy as np
import open_clip
import transformers

import case

VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
VISION |= {"image_size": 24, "patch_size": 8}
TEXT = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3}
TEXT |= {"vocab_size": 911, "max_position_embeddings": 12}
START, END = 909, 910

# (case, differences of the towers, the end token)
HUGGING_FACE = [
    ("clip-tiny", {}, 2),
    ("clip-gelu", {"hidden_act": "gelu"}, END),
]

OPEN_CLIP = {
    "embed_dim": 20,
    "vision_cfg": {"image_size": 24, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8, "mlp_ratio": 2.0},
    "text_cfg": {"context_length": 12, "vocab_size": 911, "width": 24, "heads": 3, "layers": 2, "mlp_ratio": 2.0},
}
# Heads of 64 features, as assumed for sizes from weights.
OPENAI = {
    "embed_dim": 20,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 24, "layers": 1, "width": 128, "patch_size": 12, "mlp_ratio": 1.0},
    "text_cfg": {"context_length": 12, "vocab_size": 911, "width": 64, "heads": 1, "layers": 2, "mlp_ratio": 2.0},
}

# The published sizes, for `full.py`, with the fields of their repositories' config.json.
BOTH = {"num_hidden_layers": 12, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
# OpenAI's say 2, which is not the id of the end token.
WORDS = {**BOTH, "vocab_size": 49408, "max_position_embeddings": 77, "eos_token_id": 2}
WORDS |= {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8}
PATCHES = {**BOTH, "image_size": 224, "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
LARGE = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
FULL = {
    "clip-vit-base-patch32": {
        "projection_dim": 512, "text_config": WORDS, "vision_config": {**PATCHES, "patch_size": 32},
    },
    "clip-vit-base-patch16": {
        "projection_dim": 512, "text_config": WORDS, "vision_config": {**PATCHES, "patch_size": 16},
    },
    "clip-vit-large-patch14": {
        "projection_dim": 768,
        "text_config": {**WORDS, "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
        "vision_config": {**PATCHES, **LARGE, "patch_size": 14},
    },
}
# OpenCLIP's names of its own models: it has their configurations.
FULL_OPEN_CLIP = {
    "open-clip-ViT-B-32": "ViT-B-32",
    "open-clip-ViT-B-32-quickgelu": "ViT-B-32-quickgelu",
    "open-clip-ViT-H-14": "ViT-H-14",
}


# The texts that images are compared with; the last one is longer than the limit.
PROMPTS = ["a photo of a cat", "a dog", "a blurry picture of a small red car near the old house"]


def pixels(seed: int) -> np.ndarray:
    """Images of integers divided by 255, so that they can be given as pixels too."""
    coarse = case.picture((2, 3, 24, 24), seed)
    return (np.rint((coarse * 0.3 + 0.5).clip(0, 1) * 255) / 255).astype("float32")


def inputs(seed: int) -> dict:
    """Images, and the prompts by the tokenizer of make_tokenizers.py, which has to run before."""
    merges = case.FIXTURES / "tokenizers" / "merges.txt.gz"
    tokenizer = open_clip.tokenizer.SimpleTokenizer(bpe_path=str(merges))
    assert tokenizer.vocab_size == TEXT["vocab_size"]
    ids = tokenizer(PROMPTS, context_length=TEXT["max_position_embeddings"]).numpy()
    assert (ids.max(1) == END).all() and (ids[:, 0] == START).all()
    return {"x": pixels(seed), "ids": ids, "lengths": ids.argmax(1) + 1}


def hugging_face(model, given):
    out = model(input_ids=given["ids"], pixel_values=given["x"])
    # In `out` the pooled vectors are replaced by the projected ones.
    vision = model.vision_model(pixel_values=given["x"], output_hidden_states=True)
    text = model.text_model(input_ids=given["ids"], output_hidden_states=True)
    images = model.visual_projection(vision.pooler_output)
    features = model.text_projection(text.pooler_output)
    answers = {
        "images": images,
        "texts": features,
        # The normalised features are compared.
        "logits": out.logits_per_image,
        "layer:vision_model.post_layernorm": vision.pooler_output,
        "layer:vision_model.encoder.layers.0": vision.hidden_states[1],
        "layer:vision_model.pre_layrnorm": vision.hidden_states[0],
        "layer:text_model.encoder.layers.1": text.hidden_states[2],
        "layer:text_model.final_layer_norm": text.last_hidden_state,
    }
    own = (np.arange(given["ids"].shape[1])[None] < given["lengths"].numpy()[:, None])[:, :, None]
    for key in answers:
        if "text_model" in key:
            answers[key] = answers[key] * answers[key].new_tensor(own)
    return answers


def openai(model, given):
    images = model.encode_image(given["x"])
    features = model.encode_text(given["ids"])
    unit = lambda x: x / x.norm(dim=-1, keepdim=True)
    logits = model.logit_scale.exp() * unit(images) @ unit(features).T
    return {"images": images, "texts": features, "logits": logits}


def without_config(name: str) -> None:
    """A configuration without sizes."""
    path = case.FIXTURES / name / "architecture.json"
    path.write_text(json.dumps({"name": "open_clip", "config": {}}) + "\n")


def main() -> None:
    for seed, (name, change, end) in enumerate(HUGGING_FACE, start=60):
        config = transformers.CLIPConfig(
            projection_dim=20,
            vision_config={**VISION, **change},
            text_config={**TEXT, **change, "eos_token_id": end, "bos_token_id": START},
        )
        model = transformers.CLIPModel._from_config(config, attn_implementation="eager")
        case.write(name, "clip", config.to_dict(), model, seed, inputs(seed), hugging_face)
    for seed, (name, config) in enumerate([("open-clip-tiny", OPEN_CLIP), ("open-clip-openai", OPENAI)], start=70):
        model = open_clip.CLIP(**config)
        case.write(name, "open_clip", {"model_cfg": config}, model, seed, inputs(seed), openai)
    (case.FIXTURES / "clip-tiny" / "prompts.json").write_text(json.dumps(PROMPTS) + "\n")
    without_config("open-clip-openai")


if __name__ == "__main__":
    main()
