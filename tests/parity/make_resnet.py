"""Writes fixtures/resnet*-tiny: outputs of torchvision's resnets with weights from the recipe."""

import torchvision

import case

CASES = [
    # The second one's images are not square, and their width is not a multiple of the total stride.
    ("resnet18-tiny", 18, 10, 18, (2, 3, 64, 64)),
    ("resnet50-tiny", 50, 10, 50, (2, 3, 64, 75)),
]


def run(model, inputs):
    seen = {}

    def input_of_fc(_module, args):
        seen["layer:<fc"] = args[0]

    hook = model.fc.register_forward_pre_hook(input_of_fc)
    y = model(inputs["x"])
    hook.remove()
    return {"y": y, **seen}


def main() -> None:
    for name, depth, classes, seed, shape in CASES:
        model = getattr(torchvision.models, f"resnet{depth}")(weights=None, num_classes=classes)
        config = {"depth": depth, "num_classes": classes}
        case.write(name, "resnet", config, model, seed, {"x": case.picture(shape, seed)}, run)


if __name__ == "__main__":
    main()
