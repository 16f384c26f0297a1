"""Writes fixtures/resnet*-tiny: what torchvision's resnets answer with weights from the recipe."""

import json
from pathlib import Path

import numpy as np
import torch
import torchvision
from safetensors.numpy import save_file

import recipe

FIXTURES = Path(__file__).parent / "fixtures"
CASES = [
    # The second one's images are not square, and their width is no multiple of the total stride.
    ("resnet18-tiny", 18, 10, 18, (2, 3, 64, 64)),
    ("resnet50-tiny", 50, 10, 50, (2, 3, 64, 75)),
]


def picture(shape: tuple[int, int, int, int], seed: int) -> np.ndarray:
    """Coarse blocks and fine noise, about the range of photographs after the usual normalisation.

    Noise alone would be averaged away before the last layer, and then all inputs look alike.
    """
    images, channels, height, width = shape
    coarse = recipe.uniform("coarse", images * channels * 16, seed).reshape(images, channels, 4, 4)
    rows = np.arange(height) * 4 // height
    columns = np.arange(width) * 4 // width
    fine = recipe.uniform("fine", images * channels * height * width, seed).reshape(shape)
    return (coarse[:, :, rows][:, :, :, columns] * 3.0 + fine).astype("float32")


def main() -> None:
    torch.set_num_threads(1)
    for name, depth, classes, seed, shape in CASES:
        model = getattr(torchvision.models, f"resnet{depth}")(weights=None, num_classes=classes)
        recipe.fill(model, seed)
        x = picture(shape, seed)
        with torch.inference_mode():
            y = model(torch.from_numpy(x)).numpy()
            exact = model.double()(torch.from_numpy(x).double()).numpy()
        error = abs(y - exact).max() / abs(exact).max()
        spread = abs(exact[0] - exact[1]).max() / abs(exact).max()
        print(f"{name}: |y| up to {abs(exact).max():.3f}, images differ by {spread:.3f}, f32 error {error:.1e}")
        # A fixture that does not depend on its input, or that rounding has spoilt, proves nothing.
        assert 1e-3 < abs(exact).max() < 1e3 and spread > 5e-2 and error < 1e-5

        case = FIXTURES / name
        case.mkdir(parents=True, exist_ok=True)
        (case / "recipe.json").write_text(json.dumps({"seed": seed}) + "\n")
        config = {"depth": depth, "num_classes": classes}
        (case / "config.json").write_text(json.dumps(config) + "\n")
        save_file({"x": x}, case / "inputs.safetensors")
        # The answer in double precision: both sides are measured against the truth.
        save_file({"y": exact.astype("float32")}, case / "outputs.safetensors")


if __name__ == "__main__":
    main()
