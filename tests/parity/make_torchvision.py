"""Writes fixtures/<family>-tiny: outputs of torchvision's classifiers with weights from the recipe.

Classes that take their sizes get small ones; of the others the layers with most weights are
replaced by narrow ones, for which our configurations have a field.
"""

import importlib
import sys
import warnings

import numpy as np
import torch
import torchvision
from torch import nn
from torchvision.models import vgg
from torchvision.models.densenet import DenseNet
from torchvision.models.mnasnet import MNASNet
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.models.shufflenetv2 import ShuffleNetV2
from torchvision.models.squeezenet import SqueezeNet

import case

# torchvision.models has functions of these names, which hide the modules.
googlenet = importlib.import_module("torchvision.models.googlenet")
inception = importlib.import_module("torchvision.models.inception")

CLASSES = 10


def narrow_classifier(model, features: int, hidden: int):
    """The three linear layers of VGG and AlexNet, with fewer features."""
    linears = [name for name, layer in model.classifier.named_children() if isinstance(layer, nn.Linear)]
    sizes = [(features, hidden), (hidden, hidden), (hidden, CLASSES)]
    for name, (inputs, outputs) in zip(linears, sizes):
        model.classifier[int(name)] = nn.Linear(inputs, outputs)
    return model


def make_vgg(layers, batch_norm: bool, hidden: int):
    model = vgg.VGG(vgg.make_layers(layers, batch_norm), num_classes=CLASSES, init_weights=False)
    return narrow_classifier(model, layers[-2] * 49, hidden)


def make_alexnet(hidden: int):
    return narrow_classifier(torchvision.models.AlexNet(num_classes=CLASSES), 256 * 36, hidden)


class Narrow:
    """Stands for a module's `BasicConv2d`, with its channels divided."""

    def __init__(self, module, divisor: int) -> None:
        self.basic, self.divisor = module.BasicConv2d, divisor

    def __call__(self, inputs: int, outputs: int, **kwargs):
        return self.basic(inputs if inputs == 3 else inputs // self.divisor, outputs // self.divisor, **kwargs)


def make_googlenet(divisor: int, transform_input: bool):
    narrow = Narrow(googlenet, divisor)

    def module(*sizes):
        return googlenet.Inception(*sizes, conv_block=narrow)

    model = googlenet.GoogLeNet(
        CLASSES, False, transform_input, init_weights=False, blocks=[narrow, module, googlenet.InceptionAux]
    )
    model.fc = nn.Linear(1024 // divisor, CLASSES)
    return model


def make_inception(divisor: int, transform_input: bool):
    narrow = Narrow(inception, divisor)

    def of(kind):
        return lambda *args, **kwargs: kind(*args, conv_block=narrow, **kwargs)

    kinds = [inception.InceptionA, inception.InceptionB, inception.InceptionC, inception.InceptionD]
    kinds += [inception.InceptionE, inception.InceptionAux]
    blocks = [narrow, *map(of, kinds)]
    model = inception.Inception3(CLASSES, False, transform_input, inception_blocks=blocks, init_weights=False)
    model.fc = nn.Linear(2048 // divisor, CLASSES)
    return model


class Mnasnet(MNASNet):
    """Loads a state dict without version number, as the recipe makes it."""

    version = 2

    def _load_from_state_dict(self, state, prefix, metadata, *rest):
        # For version 1, this replaces the first layers before it reads them.
        super()._load_from_state_dict(state, prefix, {"version": self.version}, *rest)


def make_mnasnet(alpha: float, version: int):
    model = Mnasnet(alpha, CLASSES)
    model.version = version
    # Version 1 replaces the first layers by others before it reads a state dict.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.load_state_dict({}, strict=False)
    # They are as it reads from now on.
    model.version = 2
    return model


VGG = [8, "M", 12, "M", 16, 16, "M", 24, "M", 24, "M"]
DENSENET = {"growth_rate": 8, "block_config": [2, 3, 2, 2], "num_init_features": 16, "bn_size": 2}
MOBILENET = {
    "width_mult": 0.3,
    "inverted_residual_setting": [[1, 16, 1, 1], [6, 24, 2, 2], [4, 32, 2, 2], [6, 64, 2, 1], [6, 96, 1, 2]],
}
SHUFFLENET = {"stages_repeats": [2, 3, 2], "stages_out_channels": [12, 22, 44, 64, 96]}

# Images with more contrast than photographs, where random weights would hide their differences: the
# signal gets smaller in each layer, while the biases stay. Where the depth averages out other
# differences, one image is paler.
STRENGTH = {
    "squeezenet": 300.0,
    "mobilenet_v2": 4.0,
    "mnasnet": 100.0,
    "googlenet": 30.0,
    "inception_v3": 8000.0,
}
PALE = {"inception_v3": 0.4}
# The published sizes are deeper and wider, and one of two images is paler in all of them.
FULL_STRENGTH = {**STRENGTH, "mobilenet_v2": 10.0, "shufflenet_v2": 100.0, "densenet": 10.0, "vgg": 100.0}
FULL_PALE = 0.1


def images(shape, seed: int, strength: float, pale: float) -> np.ndarray:
    x = case.picture(shape, seed) * np.float32(strength)
    x[1] *= np.float32(pale)
    return x


# Name, architecture, its configuration, the reference, the images' shape, layers to compare.
CASES = [
    (
        "vgg-tiny",
        "vgg",
        {"layers": VGG, "hidden": 32},
        lambda: make_vgg(VGG, False, 32),
        (2, 3, 40, 33),
        ["<classifier.6", "features.5", "classifier.1"],
    ),
    (
        # The pools leave 9 x 10 places, which the mean takes together to 7 x 7.
        "vgg-bn-tiny",
        "vgg",
        {"layers": [6, "M", 8, 10, "M"], "batch_norm": True, "hidden": 24},
        lambda: make_vgg([6, "M", 8, 10, "M"], True, 24),
        (2, 3, 36, 40),
        ["<classifier.6", "features.6", "avgpool", "<classifier.0"],
    ),
    (
        "alexnet-tiny",
        "alexnet",
        {"hidden": 48},
        lambda: make_alexnet(48),
        (2, 3, 70, 63),
        ["<classifier.6", "features.12", "classifier.2"],
    ),
    (
        "squeezenet1_0-tiny",
        "squeezenet",
        {"version": "1_0"},
        lambda: SqueezeNet("1_0", CLASSES),
        (2, 3, 32, 39),
        ["features.6", "<features.7", "classifier.3"],
    ),
    (
        "squeezenet1_1-tiny",
        "squeezenet",
        {"version": "1_1"},
        lambda: SqueezeNet("1_1", CLASSES),
        (2, 3, 32, 39),
        ["features.12"],
    ),
    (
        "densenet-tiny",
        "densenet",
        DENSENET,
        lambda: DenseNet(**DENSENET, num_classes=CLASSES),
        (2, 3, 40, 50),
        ["<classifier", "features.denseblock2", "features.transition1", "<features.norm5", "features"],
    ),
    (
        "mobilenet_v2-tiny",
        "mobilenet_v2",
        MOBILENET,
        lambda: MobileNetV2(**MOBILENET, num_classes=CLASSES),
        (2, 3, 36, 48),
        ["<classifier.1", "features.3", "<features.3"],
    ),
    (
        "mnasnet-tiny",
        "mnasnet",
        {"alpha": 0.25},
        lambda: make_mnasnet(0.25, 2),
        (2, 3, 48, 37),
        ["<classifier.1", "layers.9", "layers.8"],
    ),
    (
        "mnasnet-v1-tiny",
        "mnasnet",
        {"alpha": 0.25, "version": 1},
        lambda: make_mnasnet(0.25, 1),
        (2, 3, 36, 32),
        ["<classifier.1", "layers.7"],
    ),
    (
        "googlenet-tiny",
        "googlenet",
        {"width_divisor": 8, "transform_input": True},
        lambda: make_googlenet(8, True),
        (2, 3, 48, 45),
        ["<fc", "inception3a", "maxpool3"],
    ),
    (
        "shufflenet_v2-tiny",
        "shufflenet_v2",
        SHUFFLENET,
        lambda: ShuffleNetV2(**SHUFFLENET, num_classes=CLASSES),
        (2, 3, 48, 45),
        ["<fc", "stage2", "stage3"],
    ),
    (
        "inception_v3-tiny",
        "inception_v3",
        {"width_divisor": 16, "transform_input": True},
        lambda: make_inception(16, True),
        (2, 3, 75, 83),
        ["<fc", "Mixed_5d", "Mixed_7b"],
    ),
]


def looking(layers):
    """A `run` that keeps the inputs or outputs of layers by reference: later in-place changes are
    visible."""

    def run(model, inputs):
        seen, hooks = {}, []
        for layer in layers:
            module = model.get_submodule(layer.removeprefix("<"))
            if layer.startswith("<"):
                # Kept before a module changes it in place.
                hook = module.register_forward_pre_hook(
                    lambda _module, args, layer=layer: seen.update({layer: args[0].clone()})
                )
            else:
                hook = module.register_forward_hook(
                    lambda _module, _args, output, layer=layer: seen.update({layer: output})
                )
            hooks.append(hook)
        y = model(inputs["x"])
        for hook in hooks:
            hook.remove()
        return {"y": y, **{f"layer:{layer}": seen[layer] for layer in layers}}

    return run


def published(name: str):
    """The model of torchvision's function of this name, for its published weights."""
    if name.startswith("mnasnet"):
        return Mnasnet(float(name.removeprefix("mnasnet").replace("_", ".")))
    kwargs = {"weights": None}
    if name in ("googlenet", "inception_v3"):
        kwargs.update(aux_logits=True, transform_input=True, init_weights=False)
    return getattr(torchvision.models, name)(**kwargs)


def published_sizes() -> dict:
    """Our architecture and configuration for each of torchvision's functions."""
    names = {}
    for depth in (11, 13, 16, 19):
        names[f"vgg{depth}"] = ("vgg", {"depth": depth})
        names[f"vgg{depth}_bn"] = ("vgg", {"depth": depth, "batch_norm": True})
    names["alexnet"] = ("alexnet", {})
    for version in ("1_0", "1_1"):
        names[f"squeezenet{version}"] = ("squeezenet", {"version": version})
    for depth in (121, 161, 169, 201):
        names[f"densenet{depth}"] = ("densenet", {"depth": depth})
    names["mobilenet_v2"] = ("mobilenet_v2", {})
    for alpha in (0.5, 0.75, 1.0, 1.3):
        names[f"mnasnet{alpha}".replace(".", "_")] = ("mnasnet", {"alpha": alpha})
    names["googlenet"] = ("googlenet", {"transform_input": True})
    for variant in ("x0_5", "x1_0", "x1_5", "x2_0"):
        names[f"shufflenet_v2_{variant}"] = ("shufflenet_v2", {"variant": variant})
    names["inception_v3"] = ("inception_v3", {"transform_input": True})
    return names


# The published sizes, by the names of torchvision's functions: our architecture, its
# configuration, the reference, the images' shape.
FULL = {
    name: (
        architecture,
        config,
        lambda name=name: published(name),
        (2, 3, 299, 299) if name == "inception_v3" else (2, 3, 224, 224),
    )
    for name, (architecture, config) in published_sizes().items()
}


def main() -> None:
    wanted = sys.argv[1:]
    for seed, (name, architecture, config, make, shape, layers) in enumerate(CASES, start=1):
        if wanted and name not in wanted:
            continue
        config = {**config, "num_classes": CLASSES}
        x = images(shape, seed, STRENGTH.get(architecture, 1.0), PALE.get(architecture, 1.0))
        inputs = {"x": x}
        case.write(name, architecture, config, make(), seed, inputs, looking(layers))


if __name__ == "__main__":
    main()
