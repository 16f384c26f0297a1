"""Writes the fixtures of transformers' image models, and of two of the same design elsewhere.

The weights get the names that checkpoints have: transformers renames them while it loads, so they are
filled in through `from_pretrained`, the way a user's weights come in.

The `dinov2-hub-*` cases need the package `dinov2` of https://github.com/facebookresearch/dinov2 on the
PYTHONPATH (what `torch.hub.load` checks out); without it they are left as they are.
"""

import glob
import sys
import tempfile
from functools import partial

import torch
import torchvision
import transformers as hf
from safetensors.torch import load_file, save_file

import case

hf.utils.logging.disable_progress_bar()


class Published:
    """A transformers model with the names of its tensors in a checkpoint."""

    def __init__(self, kind, config) -> None:
        self.kind = kind
        self.model = kind(config).eval()
        self.config = config

    def state_dict(self) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            self.model.save_pretrained(folder)
            return {key: value for path in glob.glob(f"{folder}/*.safetensors") for key, value in load_file(path).items()}

    def load_state_dict(self, state: dict) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.config.save_pretrained(folder)
            save_file(state, f"{folder}/model.safetensors", {"format": "pt"})
            self.model, info = self.kind.from_pretrained(folder, output_loading_info=True, attn_implementation="eager")
        wrong = {key: value for key, value in info.items() if value}
        assert not wrong, wrong

    def eval(self):
        self.model.eval()
        return self

    def double(self):
        self.model.double()
        return self


def answer(published: Published, inputs: dict):
    """Logits, or the pooled output."""
    whole = published.model(inputs["x"])
    if hasattr(whole, "logits"):
        return whole.logits
    pooled = getattr(whole, "pooler_output", None)
    return whole.last_hidden_state[:, 0] if pooled is None else pooled


def answers(published: Published, inputs: dict) -> dict:
    """`y`: logits, or the pooled output; and the outputs of the base model, by their names."""
    model = published.model
    # DINOv3's `base_model` would be its encoder.
    base = model if published.kind.__name__.endswith("Model") else model.base_model
    whole = base(inputs["x"], output_hidden_states=True)
    found = {"layer:last_hidden_state": whole.last_hidden_state}
    states = dict(enumerate(whole.hidden_states))
    if published.config.model_type == "efficientnet":
        # The others are large.
        states = dict(list(states.items())[-2:])
    for index, state in states.items():
        found[f"layer:hidden_states.{index}"] = state
    if getattr(whole, "pooler_output", None) is not None:
        found["layer:pooler_output"] = whole.pooler_output
    y = answer(published, inputs)
    if base is model:
        return {"y": y, **found}
    return {"y": y, "layer:classifier": y, **found}


def plain_config(kind, config) -> dict:
    """The contents of a repository's config.json."""
    own = {"architectures": [kind.__name__], "model_type": config.model_type}
    return {key: value for key, value in config.to_diff_dict().items() if key != "transformers_version"} | own


VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "patch_size": 8}
DINO = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SWIN = {"embed_dim": 8, "depths": [2, 2], "num_heads": [1, 2], "patch_size": 4, "window_size": 4}
EFFICIENT = {
    "width_coefficient": 0.25,
    "depth_coefficient": 0.6,
    "hidden_dim": 320,
    "in_channels": [32, 16, 24],
    "out_channels": [16, 24, 40],
    "kernel_sizes": [3, 5, 3],
    "strides": [1, 2, 2],
    "num_block_repeats": [1, 2, 3],
    "expand_ratios": [1, 6, 4],
    "image_size": 64,
}

# name: (class, config, seed, shape of the images)
CASES = {
    "vit-tiny": (
        hf.ViTForImageClassification, hf.ViTConfig(**VIT, image_size=32, num_labels=5), 1, (2, 3, 32, 32),
    ),
    # No classifier but a pooler, images that are not square, no bias, another activation.
    "vit-pooler-tiny": (
        hf.ViTModel,
        hf.ViTConfig(**VIT, image_size=[32, 48], qkv_bias=False, hidden_act="gelu_new"),
        2,
        (2, 3, 32, 48),
    ),
    "deit-tiny": (
        hf.DeiTForImageClassificationWithTeacher, hf.DeiTConfig(**VIT, image_size=32, num_labels=5), 3, (2, 3, 32, 32),
    ),
    "deit-undistilled-tiny": (
        hf.DeiTForImageClassification, hf.DeiTConfig(**VIT, image_size=32, num_labels=5), 4, (2, 3, 32, 32),
    ),
    "beit-tiny": (
        hf.BeitForImageClassification,
        hf.BeitConfig(**VIT, image_size=32, num_labels=5, use_relative_position_bias=True),
        5,
        (2, 3, 32, 32),
    ),
    # One bias for all layers, resized for another size; absolute positions too; the class token.
    "beit-shared-tiny": (
        hf.BeitForImageClassification,
        hf.BeitConfig(
            **VIT,
            image_size=32,
            num_labels=5,
            use_shared_relative_position_bias=True,
            use_absolute_position_embeddings=True,
            use_mask_token=True,
            use_mean_pooling=False,
        ),
        6,
        (2, 3, 24, 40),
    ),
    "dinov2-tiny": (hf.Dinov2Model, hf.Dinov2Config(**DINO, image_size=42, patch_size=14), 7, (2, 3, 42, 42)),
    # Positions resized, larger one way and smaller the other; a size that is not a multiple of the patch.
    "dinov2-swiglu-tiny": (
        hf.Dinov2ForImageClassification,
        hf.Dinov2Config(**DINO, image_size=56, patch_size=14, use_swiglu_ffn=True, num_labels=5),
        8,
        (2, 3, 30, 70),
    ),
    "dinov2-registers-tiny": (
        hf.Dinov2WithRegistersModel,
        hf.Dinov2WithRegistersConfig(**DINO, image_size=56, patch_size=14),
        9,
        (2, 3, 28, 70),
    ),
    "dinov3-tiny": (
        hf.DINOv3ViTModel,
        hf.DINOv3ViTConfig(**DINO, intermediate_size=48, image_size=32, patch_size=8, num_register_tokens=4),
        10,
        (2, 3, 32, 32),
    ),
    "dinov3-gated-tiny": (
        hf.DINOv3ViTModel,
        hf.DINOv3ViTConfig(
            **DINO, intermediate_size=48, image_size=32, patch_size=8, num_register_tokens=2, use_gated_mlp=True,
            hidden_act="silu", key_bias=True, layer_norm_eps=1e-6,
        ),
        11,
        (2, 3, 24, 48),
    ),
    "convnext-tiny": (
        hf.ConvNextForImageClassification,
        hf.ConvNextConfig(hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 2, 1], num_labels=5, image_size=32),
        12,
        (2, 3, 32, 32),
    ),
    # No classifier, no layer scale; sizes that are rounded down at each stage.
    "convnext-base-tiny": (
        hf.ConvNextModel,
        hf.ConvNextConfig(hidden_sizes=[8, 40], depths=[2, 1], num_stages=2, layer_scale_init_value=0.0),
        13,
        (2, 3, 27, 42),
    ),
    "efficientnet-tiny": (
        hf.EfficientNetForImageClassification, hf.EfficientNetConfig(**EFFICIENT, num_labels=5), 14, (2, 3, 32, 32),
    ),
    # Odd sizes between layers, and blocks without TensorFlow's padding.
    "efficientnet-padding-tiny": (
        hf.EfficientNetModel,
        hf.EfficientNetConfig(**EFFICIENT, depthwise_padding=[3]),
        15,
        (2, 3, 27, 38),
    ),
    "swinv2-tiny": (
        hf.Swinv2ForImageClassification, hf.Swinv2Config(**SWIN, image_size=32, num_labels=5), 16, (2, 3, 32, 32),
    ),
    # Padded to patches, to windows and to pairs; the positions of another window.
    "swinv2-padding-tiny": (
        hf.Swinv2Model,
        hf.Swinv2Config(**SWIN, image_size=64, pretrained_window_sizes=[3, 2], qkv_bias=False, mlp_ratio=2.5),
        17,
        (2, 3, 43, 58),
    ),
}


def vit(size: int, kind=hf.ViTConfig, **more) -> object:
    """The sizes tiny, small, base and large of the papers, by the features per token."""
    layers, heads = {192: (12, 3), 384: (12, 6), 768: (12, 12), 1024: (24, 16)}[size]
    sizes = {"hidden_size": size, "num_hidden_layers": layers, "num_attention_heads": heads}
    return kind(**sizes, **more)


def efficient(width: float, depth: float, image: int, hidden: int, padding: list[int]) -> object:
    factors = {"width_coefficient": width, "depth_coefficient": depth}
    return hf.EfficientNetConfig(
        **factors, image_size=image, hidden_dim=hidden, depthwise_padding=padding, num_labels=1000
    )


def swin(width: int, depths: list[int], heads: list[int], window: int, **more) -> object:
    sizes = {"embed_dim": width, "depths": depths, "num_heads": heads}
    return hf.Swinv2Config(**sizes, window_size=window, image_size=256, num_labels=1000, **more)


def convnext(sizes: list[int], depths: list[int]) -> object:
    return hf.ConvNextConfig(hidden_sizes=sizes, depths=depths, num_labels=1000)


V3 = {"num_register_tokens": 4, "patch_size": 16}
H16PLUS = {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 20, "intermediate_size": 5120}
GIANT = {"hidden_size": 1536, "num_hidden_layers": 40, "num_attention_heads": 24, "use_swiglu_ffn": True}
TWO = {"image_size": 518, "patch_size": 14}
SQUARE, WIDE = (3, 224, 224), (3, 224, 308)

# Images with more contrast than photographs: EfficientNet's activations and gates suppress small
# values, and then the outputs are too similar.
CONTRAST = {"efficientnet": 10}


def full_contrast(config) -> int:
    """Deeper networks amplify differences of images, and their gates amplify rounding errors."""
    if config.model_type != "efficientnet":
        return 1
    return 300 if config.depth_coefficient < 1.5 else 100


# The published sizes: name: (class, config, shape of an image).
FULL = {
    "vit-base-patch16-224": (hf.ViTForImageClassification, vit(768, num_labels=1000), SQUARE),
    "vit-large-patch16-224": (
        hf.ViTForImageClassification, vit(1024, intermediate_size=4096, num_labels=1000), SQUARE,
    ),
    "vit-base-patch16-224-in21k": (hf.ViTModel, vit(768), SQUARE),
    "deit-base-distilled-patch16-224": (
        hf.DeiTForImageClassificationWithTeacher, vit(768, hf.DeiTConfig, num_labels=1000), SQUARE,
    ),
    "beit-base-patch16-224": (
        hf.BeitForImageClassification,
        vit(768, hf.BeitConfig, use_relative_position_bias=True, num_labels=1000),
        SQUARE,
    ),
    "dinov2-small": (hf.Dinov2Model, vit(384, hf.Dinov2Config, **TWO), SQUARE),
    "dinov2-base": (hf.Dinov2Model, vit(768, hf.Dinov2Config, **TWO), WIDE),
    "dinov2-large": (hf.Dinov2Model, vit(1024, hf.Dinov2Config, **TWO), SQUARE),
    "dinov2-giant": (hf.Dinov2Model, hf.Dinov2Config(**GIANT, **TWO), SQUARE),
    "dinov2-with-registers-base": (
        hf.Dinov2WithRegistersModel, vit(768, hf.Dinov2WithRegistersConfig, **TWO), WIDE,
    ),
    "dinov3-vits16": (hf.DINOv3ViTModel, vit(384, hf.DINOv3ViTConfig, intermediate_size=1536, **V3), SQUARE),
    "dinov3-vitb16": (hf.DINOv3ViTModel, vit(768, hf.DINOv3ViTConfig, intermediate_size=3072, **V3), (3, 224, 304)),
    "dinov3-vitl16": (hf.DINOv3ViTModel, vit(1024, hf.DINOv3ViTConfig, intermediate_size=4096, **V3), SQUARE),
    "dinov3-vith16plus": (
        hf.DINOv3ViTModel, hf.DINOv3ViTConfig(**H16PLUS, use_gated_mlp=True, hidden_act="silu", **V3), SQUARE,
    ),
    "convnext-tiny-224": (hf.ConvNextForImageClassification, convnext([96, 192, 384, 768], [3, 3, 9, 3]), SQUARE),
    "convnext-small-224": (hf.ConvNextForImageClassification, convnext([96, 192, 384, 768], [3, 3, 27, 3]), SQUARE),
    "convnext-base-224": (hf.ConvNextForImageClassification, convnext([128, 256, 512, 1024], [3, 3, 27, 3]), SQUARE),
    "convnext-large-224": (hf.ConvNextForImageClassification, convnext([192, 384, 768, 1536], [3, 3, 27, 3]), SQUARE),
    "convnext-xlarge-224-22k-1k": (
        hf.ConvNextForImageClassification, convnext([256, 512, 1024, 2048], [3, 3, 27, 3]), SQUARE,
    ),
    **{
        f"efficientnet-b{index}": (hf.EfficientNetForImageClassification, efficient(*sizes), (3, sizes[2], sizes[2]))
        for index, sizes in enumerate([
            (1.0, 1.0, 224, 1280, []),
            (1.0, 1.1, 240, 1280, [16]),
            (1.1, 1.2, 260, 1408, [5, 8, 16]),
            (1.2, 1.4, 300, 1536, [5, 18]),
            (1.4, 1.8, 380, 1792, [6]),
            (1.6, 2.2, 456, 2048, [13, 27]),
            (1.8, 2.6, 528, 2304, [31]),
            (2.0, 3.1, 600, 2560, [18]),
        ])
    },
    "swinv2-tiny-patch4-window8-256": (
        hf.Swinv2ForImageClassification, swin(96, [2, 2, 6, 2], [3, 6, 12, 24], 8), (3, 256, 256),
    ),
    "swinv2-small-patch4-window8-256": (
        hf.Swinv2ForImageClassification, swin(96, [2, 2, 18, 2], [3, 6, 12, 24], 8), (3, 256, 256),
    ),
    "swinv2-base-patch4-window8-256": (
        hf.Swinv2ForImageClassification, swin(128, [2, 2, 18, 2], [4, 8, 16, 32], 8), (3, 256, 256),
    ),
    "swinv2-large-patch4-window12to16-192to256-22kto1k-ft": (
        hf.Swinv2ForImageClassification,
        swin(192, [2, 2, 18, 2], [6, 12, 24, 48], 16, pretrained_window_sizes=[12, 12, 12, 6]),
        (3, 256, 256),
    ),
}


def torchvision_vit(seed: int = 18) -> None:
    sizes = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 48}
    model = torchvision.models.VisionTransformer(**sizes, num_classes=5)
    torch.nn.init.normal_(model.heads.head.weight)

    def run(model, inputs):
        seen = {}
        hook = model.heads.register_forward_pre_hook(lambda _, args: seen.update({"layer:<heads": args[0]}))
        y = model(inputs["x"])
        hook.remove()
        return {"y": y, **seen}

    inputs = {"x": case.picture((2, 3, 32, 32), seed)}
    case.write("vit-torchvision-tiny", "vision_transformer", sizes | {"num_classes": 5}, model, seed, inputs, run)


def dinov2_hub() -> None:
    from dinov2.layers import MemEffAttention, NestedTensorBlock
    from dinov2.models.vision_transformer import DinoVisionTransformer

    def run(model, inputs):
        whole = model.forward_features(inputs["x"])
        parts = [whole["x_norm_clstoken"][:, None], whole["x_norm_regtokens"], whole["x_norm_patchtokens"]]
        y = model(inputs["x"])
        return {"y": y, "layer:head": y, "layer:norm": torch.cat(parts, 1), "layer:<norm": whole["x_prenorm"]}

    registers = {"num_register_tokens": 4, "interpolate_antialias": True, "interpolate_offset": 0.0}
    cases = [
        ("dinov2-hub-tiny", {}, 19, (42, 42)),
        ("dinov2-hub-resized-tiny", {"ffn_layer": "swiglufused"}, 20, (28, 70)),
        ("dinov2-hub-registers-tiny", registers, 21, (28, 70)),
    ]
    for name, more, seed, size in cases:
        sizes = {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 42, "patch_size": 14}
        block = partial(NestedTensorBlock, attn_class=MemEffAttention)
        model = DinoVisionTransformer(**sizes, **more, block_fn=block, block_chunks=0, init_values=1.0)
        inputs = {"x": case.picture((2, 3, *size), seed)}
        case.write(name, "dinov2_hub", sizes | more, model, seed, inputs, run)


def main() -> None:
    wanted = sys.argv[1:]
    for name, (kind, config, seed, shape) in CASES.items():
        if wanted and name not in wanted:
            continue
        model = Published(kind, config)
        inputs = {"x": case.picture(shape, seed) * CONTRAST.get(config.model_type, 1)}
        case.write(name, config.model_type, plain_config(kind, config), model, seed, inputs, answers, ["num_batches_tracked"])
    if not wanted or "vit-torchvision-tiny" in wanted:
        torchvision_vit()
    if not wanted or "dinov2-hub" in wanted:
        try:
            import dinov2  # noqa: F401
        except ImportError:
            print("dinov2-hub-*: no package dinov2, left as they are")
        else:
            dinov2_hub()


if __name__ == "__main__":
    main()
