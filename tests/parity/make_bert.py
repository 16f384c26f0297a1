"""Writes fixtures/bert-*: outputs of transformers' text encoders with weights from the recipe."""

import numpy as np
import torch
import transformers

import case

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
BERT = {**TINY, "vocab_size": 60, "max_position_embeddings": 20, "type_vocab_size": 2}
ROBERTA = {**TINY, "vocab_size": 60, "max_position_embeddings": 22, "type_vocab_size": 1, "pad_token_id": 1}
MPNET = {**TINY, "vocab_size": 60, "max_position_embeddings": 160}
DISTILBERT = {"vocab_size": 60, "max_position_embeddings": 20, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}

# (case, configuration, model, prefix of the base model in its masked-language-model head, lengths)
CASES = [
    ("bert-tiny", transformers.BertConfig(**BERT), transformers.BertModel, None, [12, 5, 1, 9]),
    # A checkpoint with a head: `bert.` before the names, no pooler.
    ("bert-masked", transformers.BertConfig(**BERT, hidden_act="gelu_new", tie_word_embeddings=False), transformers.BertForMaskedLM, "bert", [20, 7]),
    ("bert-roberta", transformers.RobertaConfig(**ROBERTA), transformers.RobertaModel, None, [20, 3, 8]),
    # Long enough for the buckets of far tokens.
    ("bert-mpnet", transformers.MPNetConfig(**MPNET), transformers.MPNetModel, None, [150, 40]),
    ("bert-distilbert", transformers.DistilBertConfig(**DISTILBERT), transformers.DistilBertModel, None, [11, 6]),
]

# The published sizes, for `full.py`, with the fields of their repositories' config.json:
# name -> (class of the configuration, model, fields).
MINILM = {
    "vocab_size": 30522, "hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536,
    "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
    "hidden_act": "gelu", "position_embedding_type": "absolute",
}
BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
BASE |= {"hidden_act": "gelu"}
# Two positions more than tokens: they start after the padding's id.
FAR = {**BASE, "max_position_embeddings": 514, "layer_norm_eps": 1e-5, "pad_token_id": 1}
FULL = {
    "bert-base-uncased": (
        transformers.BertConfig,
        transformers.BertModel,
        {**MINILM, **BASE},
    ),
    "all-MiniLM-L6-v2": (transformers.BertConfig, transformers.BertModel, {**MINILM, "num_hidden_layers": 6}),
    "all-MiniLM-L12-v2": (transformers.BertConfig, transformers.BertModel, {**MINILM, "num_hidden_layers": 12}),
    "roberta-base": (
        transformers.RobertaConfig,
        transformers.RobertaModel,
        {**FAR, "vocab_size": 50265, "type_vocab_size": 1},
    ),
    "xlm-roberta-base": (
        transformers.XLMRobertaConfig,
        transformers.XLMRobertaModel,
        {**FAR, "vocab_size": 250002, "type_vocab_size": 1},
    ),
    "all-mpnet-base-v2": (
        transformers.MPNetConfig,
        transformers.MPNetModel,
        {**FAR, "vocab_size": 30527, "relative_attention_num_buckets": 32},
    ),
    "distilbert-base-uncased": (
        transformers.DistilBertConfig,
        transformers.DistilBertModel,
        {
            "vocab_size": 30522, "dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072,
            "max_position_embeddings": 512, "sinusoidal_pos_embds": False, "activation": "gelu", "pad_token_id": 0,
        },
    ),
}


def texts(lengths: list[int], vocabulary: int, padding: int, seed: int) -> dict:
    """Random tokens, with padding at the ends of the rows."""
    random = np.random.default_rng(seed)
    ids = np.full((len(lengths), max(lengths)), padding, dtype=np.int64)
    for row, length in zip(ids, lengths):
        row[:length] = random.integers(5, vocabulary, length)
    return {"ids": ids, "lengths": np.array(lengths, dtype=np.int64)}


def run(base: str | None, blocks: str | None):
    def answer(model, inputs):
        model = getattr(model, base) if base else model
        ids, lengths = inputs["ids"], inputs["lengths"]
        mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
        out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        # The outputs of padding are not compared.
        own = mask[:, :, None]
        seen = {"y": out.last_hidden_state * own, "layer:last_hidden_state": out.last_hidden_state * own}
        if getattr(out, "pooler_output", None) is not None and getattr(model, "pooler", None) is not None:
            seen["layer:pooler_output"] = out.pooler_output
        if blocks is None:
            return seen
        seen["layer:embeddings"] = out.hidden_states[0] * own
        for index, hidden in enumerate(out.hidden_states[1:]):
            seen[f"layer:{blocks}.{index}"] = hidden * own
        return seen

    return answer


def main() -> None:
    for seed, (name, config, model, base, lengths) in enumerate(CASES, start=40):
        blocks = {"bert-distilbert": "transformer.layer", "bert-mpnet": None}.get(name, "encoder.layer")
        config._attn_implementation = "eager"
        inputs = texts(lengths, config.vocab_size, config.pad_token_id, seed)
        network = model(config)
        case.write(name, "bert", config.to_dict(), network, seed, inputs, run(base, blocks))


if __name__ == "__main__":
    main()
