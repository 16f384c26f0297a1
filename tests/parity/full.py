"""Writes cases of published sizes, in the form of fixtures/, to a folder: `full.py FOLDER [NAME…]`.

Without names all of them; `full.py --list` prints them. Their weights are random, by the recipe, so
that nothing is downloaded. `cargo xtask parity --full` runs this and compares.
"""

import gc
import sys
from pathlib import Path

import case
import make_huggingface
import make_torchvision
import torchvision


def torchvision_case(name: str, root: Path) -> None:
    architecture, config, make, shape = make_torchvision.FULL[name]
    inputs = {"x": case.picture(shape, 1)}
    case.write(name, architecture, config, make(), 1, inputs, make_torchvision.looking([]), root=root)


def huggingface_case(name: str, root: Path) -> None:
    kind, config, shape = make_huggingface.FULL[name]
    model = make_huggingface.Published(kind, config)
    contrast = 10 if config.model_type == "efficientnet" else 1
    inputs = {"x": case.picture((2, *shape), 1) * contrast}
    plain = make_huggingface.plain_config(kind, config)

    def outputs(model, inputs):
        return {"y": make_huggingface.answers(model, inputs)["y"]}

    case.write(name, config.model_type, plain, model, 1, inputs, outputs, ["num_batches_tracked"], root)


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
    inputs = {"x": case.picture((2, 3, 224, 224), 1)}
    case.write(name, "resnet", RESNETS[name], model, 1, inputs, make_torchvision.looking([]), root=root)


CASES = {
    **{name: resnet_case for name in RESNETS},
    **{name: torchvision_case for name in make_torchvision.FULL},
    **{name: huggingface_case for name in make_huggingface.FULL},
}


def main() -> None:
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
        return
    root = Path(sys.argv[1])
    names = sys.argv[2:] or list(CASES)
    unknown = [name for name in names if name not in CASES]
    if unknown:
        sys.exit(f"there is no {', '.join(unknown)}; there are {', '.join(CASES)}")
    for name in names:
        CASES[name](name, root)
        gc.collect()


if __name__ == "__main__":
    main()
