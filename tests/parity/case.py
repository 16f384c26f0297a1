"""Writes one case of fixtures/: see README.md."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

import recipe

FIXTURES = Path(__file__).parent / "fixtures"


def picture(shape, seed: int) -> np.ndarray:
    """Coarse blocks and fine noise, about the range of photographs after the usual normalisation.

    Noise alone would be averaged away before the last layer, and then all inputs look alike.
    """
    images, channels, height, width = shape
    coarse = recipe.uniform("coarse", images * channels * 16, seed).reshape(images, channels, 4, 4)
    rows = np.arange(height) * 4 // height
    columns = np.arange(width) * 4 // width
    fine = recipe.uniform("fine", images * channels * height * width, seed).reshape(shape)
    return (coarse[:, :, rows][:, :, :, columns] * 3.0 + fine).astype("float32")


def write(
    name: str, architecture: str, config: dict, model, seed: int, inputs: dict, run, ignore=(), root=FIXTURES
) -> None:
    """Fills the module `model` by the recipe and keeps what `run` answers.

    `inputs` are numpy arrays by their names in the file; `run(model, inputs)` gets them as tensors
    (float64 the second time) and gives a dict: `y`, and any `layer:<name>`.
    `ignore` are endings of names in the state dict that are not listed. Only what is written to
    `FIXTURES` has to be a good fixture: of published sizes, random weights make what they make.
    """
    recipe.fill(model, seed)
    tensors = {
        key: list(value.shape)
        for key, value in model.state_dict().items()
        if value.is_floating_point() and not key.endswith(tuple(ignore))
    }
    single = {key: torch.from_numpy(value) for key, value in inputs.items()}
    double = {key: value.double() if value.is_floating_point() else value for key, value in single.items()}
    with torch.inference_mode():
        rounded = {key: value.numpy() for key, value in run(model, single).items()}
        exact = {key: value.numpy() for key, value in run(model.double(), double).items()}
    for key, value in exact.items():
        size = abs(value).max()
        error = abs(rounded[key] - value).max() / size
        spread = abs(value[0] - value[1]).max() / size
        print(f"{name} {key}: up to {size:.3f}, samples differ by {spread:.3f}, f32 error {error:.1e}")
        # A fixture that does not depend on its input, or that rounding has spoilt, proves nothing.
        good = 1e-3 < size < 1e4 and spread > 5e-2 and error < 1e-5
        assert good or root != FIXTURES, (name, key)

    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_text(json.dumps({"seed": seed}) + "\n")
    (folder / "tensors.json").write_text(json.dumps(tensors) + "\n")
    (folder / "architecture.json").write_text(json.dumps({"name": architecture, "config": config}) + "\n")
    save_file({key: np.ascontiguousarray(value) for key, value in inputs.items()}, folder / "inputs.safetensors")
    # The answer in double precision: both sides are measured against the truth.
    outputs = {key: np.ascontiguousarray(value.astype("float32")) for key, value in exact.items()}
    save_file(outputs, folder / "outputs.safetensors")
