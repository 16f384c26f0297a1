"""Writes cases of published sizes, in the form of fixtures/, to a folder: `full.py FOLDER [NAME…]`.

Without names all of them but the largest; `full.py --list` prints them. Their weights are random, by
the recipe, so that nothing is downloaded. `cargo xtask parity --full` runs this and compares.
"""

import gc
import sys
from pathlib import Path

import case
import make_bert
import make_clip
import make_huggingface
import make_siglip
import make_torchvision
import open_clip
import torchvision
import transformers

# Texts of different lengths, with tokens at large distances.
LENGTHS = [256, 31, 100]


def torchvision_images(architecture: str, shape):
    strength = make_torchvision.FULL_STRENGTH.get(architecture, 1.0)
    return make_torchvision.images(shape, 1, strength, make_torchvision.FULL_PALE)


def torchvision_case(name: str, root: Path) -> None:
    architecture, config, make, shape = make_torchvision.FULL[name]
    inputs = {"x": torchvision_images(architecture, shape)}
    case.write(name, architecture, config, make(), 1, inputs, make_torchvision.looking([]), root=root)


def huggingface_case(name: str, root: Path) -> None:
    kind, config, shape = make_huggingface.FULL[name]
    model = make_huggingface.Published(kind, config)
    inputs = {"x": case.picture((2, *shape), 1) * make_huggingface.full_contrast(config)}
    plain = make_huggingface.plain_config(kind, config)

    def outputs(model, inputs):
        return {"y": make_huggingface.answer(model, inputs)}

    case.write(name, config.model_type, plain, model, 1, inputs, outputs, ["num_batches_tracked"], root)


def bert_case(name: str, root: Path) -> None:
    kind, network, fields = make_bert.FULL[name]
    config = kind(**fields)
    config._attn_implementation = "eager"
    inputs = make_bert.texts(LENGTHS, config.vocab_size, config.pad_token_id, 1)

    def outputs(model, inputs):
        return {"y": make_bert.run(None, None)(model, inputs)["y"]}

    plain = {"model_type": kind.model_type, **fields}
    case.write(name, "bert", plain, network(config), 1, inputs, outputs, root=root)


def towers(model, inputs):
    """The features of transformers' CLIP and SigLIP before their normalisation."""
    images = model.vision_model(pixel_values=inputs["x"]).pooler_output
    texts = model.text_model(input_ids=inputs["ids"]).pooler_output
    if hasattr(model, "visual_projection"):
        images, texts = model.visual_projection(images), model.text_projection(texts)
    return {"images": images, "texts": texts}


def open_clip_towers(model, inputs):
    return {"images": model.encode_image(inputs["x"]), "texts": model.encode_text(inputs["ids"])}


def clip_inputs(vocabulary: int, length: int, image: int) -> dict:
    """Texts between their start and end tokens, which are the last two ids."""
    inputs = make_bert.texts([length, 9, 30], vocabulary - 2, 0, 1)
    for row, end in zip(inputs["ids"], inputs["lengths"]):
        row[0], row[end - 1] = vocabulary - 2, vocabulary - 1
    return {"x": case.picture((2, 3, image, image), 1), **inputs}


def clip_case(name: str, root: Path) -> None:
    fields = make_clip.FULL[name]
    text, vision = fields["text_config"], fields["vision_config"]
    config = transformers.CLIPConfig(**fields)
    model = transformers.CLIPModel._from_config(config, attn_implementation="eager")
    inputs = clip_inputs(text["vocab_size"], text["max_position_embeddings"], vision["image_size"])
    case.write(name, "clip", {"model_type": "clip", **fields}, model, 1, inputs, towers, root=root)


def open_clip_case(name: str, root: Path) -> None:
    config = open_clip.get_model_config(make_clip.FULL_OPEN_CLIP[name])
    text, vision = config["text_cfg"], config["vision_cfg"]
    inputs = clip_inputs(text["vocab_size"], text["context_length"], vision["image_size"])
    model = open_clip.CLIP(**config)
    case.write(name, "open_clip", {"model_cfg": config}, model, 1, inputs, open_clip_towers, root=root)


def siglip_case(name: str, root: Path) -> None:
    fields, padding = make_siglip.FULL[name]
    text, image = fields["text_config"], fields["vision_config"]["image_size"]
    config = transformers.SiglipConfig(**fields)
    model = transformers.SiglipModel._from_config(config, attn_implementation="eager")
    # The first is of full length: the padding is a part of the others.
    inputs = make_bert.texts([text["max_position_embeddings"], 20, 40], text["vocab_size"], padding, 1)
    inputs["x"] = case.picture((2, 3, image, image), 1)
    case.write(name, "siglip", {"model_type": "siglip", **fields}, model, 1, inputs, towers, root=root)


RESNETS = {
    "resnet18": {"depth": 18},
    "resnet34": {"depth": 34},
    "resnet50": {"depth": 50},
    "resnet101": {"depth": 101},
    "resnet152": {"depth": 152},
    "resnext50_32x4d": {"depth": 50, "groups": 32, "width_per_group": 4},
    "resnext101_32x8d": {"depth": 101, "groups": 32, "width_per_group": 8},
    "wide_resnet50_2": {"depth": 50, "width_per_group": 128},
    "wide_resnet101_2": {"depth": 101, "width_per_group": 128},
}


def resnet_case(name: str, root: Path) -> None:
    model = getattr(torchvision.models, name)(weights=None)
    inputs = {"x": torchvision_images("resnet", (2, 3, 224, 224))}
    case.write(name, "resnet", RESNETS[name], model, 1, inputs, make_torchvision.looking([]), root=root)


CASES = {
    **{name: resnet_case for name in RESNETS},
    **{name: torchvision_case for name in make_torchvision.FULL},
    **{name: huggingface_case for name in make_huggingface.FULL},
    **{name: bert_case for name in make_bert.FULL},
    **{name: clip_case for name in make_clip.FULL},
    **{name: open_clip_case for name in make_clip.FULL_OPEN_CLIP},
    **{name: siglip_case for name in make_siglip.FULL},
}

# More than 3 GB of weights, which transformers writes and reads again: only made if named.
LARGEST = {"dinov2-giant", "dinov3-vith16plus"}


def main() -> None:
    if sys.argv[1:] == ["--list"]:
        print("\n".join(f"{name} (by name only)" if name in LARGEST else name for name in CASES))
        return
    root = Path(sys.argv[1])
    names = sys.argv[2:] or [name for name in CASES if name not in LARGEST]
    unknown = [name for name in names if name not in CASES]
    if unknown:
        sys.exit(f"there is no {', '.join(unknown)}; there are {', '.join(CASES)}")
    useless = []
    for name in names:
        try:
            CASES[name](name, root)
        except case.Useless as error:
            useless.append(str(error))
        gc.collect()
    if useless:
        sys.exit("these would prove nothing:\n" + "\n".join(useless))


if __name__ == "__main__":
    main()
