"""Writes fixtures/siglip-*: outputs of SigLIP with weights from the recipe."""

import json

import numpy as np
import transformers
from tokenizers import Tokenizer

import case
from make_clip import PROMPTS, pixels

TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
VISION = {**TOWER, "image_size": 24, "patch_size": 8}
TEXT = {**TOWER, "vocab_size": 400, "max_position_embeddings": 12, "pad_token_id": 1}

# The published sizes, for `full.py`, with the fields of their repositories' config.json (and of SigLIP
# the defaults of transformers): name -> (configuration, padding). The padding is that of the
# repository's tokenizer: SigLIP 2's is 0, which its configuration lacks.
BASE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
BASE |= {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}
SO400M = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
FULL = {
    "siglip-base-patch16-224": (
        {
            "text_config": {**BASE, "vocab_size": 32000, "max_position_embeddings": 64},
            "vision_config": {**BASE, "image_size": 224, "patch_size": 16},
        },
        1,
    ),
    "siglip2-base-patch16-224": (
        {
            "text_config": {**BASE, "vocab_size": 256000, "max_position_embeddings": 64, "projection_size": 768},
            "vision_config": {**BASE, "image_size": 224, "patch_size": 16},
        },
        0,
    ),
    "siglip-so400m-patch14-384": (
        {
            "text_config": {**BASE, **SO400M, "vocab_size": 32000, "max_position_embeddings": 64},
            "vision_config": {**BASE, **SO400M, "image_size": 384, "patch_size": 14},
        },
        1,
    ),
}


def run(model, given):
    out = model(input_ids=given["ids"], pixel_values=given["x"], output_hidden_states=True)
    vision, text = out.vision_model_output, out.text_model_output
    return {
        "images": vision.pooler_output,
        "texts": text.pooler_output,
        "logits": out.logits_per_image,
        "layer:vision_model.encoder.layers.0": vision.hidden_states[1],
        "layer:vision_model.post_layernorm": vision.last_hidden_state,
        "layer:vision_model.head": vision.pooler_output,
        "layer:text_model.encoder.layers.1": text.hidden_states[2],
        "layer:text_model.head": text.pooler_output,
    }


def main() -> None:
    config = transformers.SiglipConfig(vision_config=VISION, text_config=TEXT)
    model = transformers.SiglipModel._from_config(config, attn_implementation="eager")
    seed = 80
    # The tokenizer of make_tokenizers.py, which has to run before. Texts are of full length: the
    # padding is a part of them.
    tokenizer = Tokenizer.from_file(str(case.FIXTURES / "tokenizers" / "unigram.json"))
    tokenizer.enable_padding(length=12, pad_id=1, pad_token="</s>")
    tokenizer.enable_truncation(12)
    ids = np.array([tokenizer.encode(prompt).ids for prompt in PROMPTS])
    assert ids.max() < TEXT["vocab_size"]
    given = {"x": pixels(seed), "ids": ids, "lengths": np.full(len(ids), 12)}
    case.write("siglip-tiny", "siglip", config.to_dict(), model, seed, given, run)
    (case.FIXTURES / "siglip-tiny" / "prompts.json").write_text(json.dumps(PROMPTS) + "\n")


if __name__ == "__main__":
    main()
