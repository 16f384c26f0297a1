"""Writes one case of fixtures/: see README.md."""

import itertools
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

import recipe

FIXTURES = Path(__file__).parent / "fixtures"
# The least difference between the outputs of any two samples, relative to the largest value.
APART = 1 / 20


class Useless(Exception):
    """A case without evidence: its output hardly depends on its input, or has large rounding errors."""


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


def apart(value: np.ndarray, inputs: dict) -> float:
    """The difference of the two most similar samples, relative to the largest value."""
    size = abs(value).max()
    if value.ndim == 3 and "ids" in inputs and value.shape[:2] == inputs["ids"].shape:
        # Only tokens that all texts have: padding always differs from a token.
        value = value[:, : inputs["lengths"].min()]
    return min(abs(a - b).max() for a, b in itertools.combinations(value, 2)) / size


def write(
    name: str, architecture: str, config: dict, model, seed: int, inputs: dict, run, ignore=(), root=FIXTURES,
    gain=1.0,
) -> None:
    """Fills the module `model` by the recipe and keeps the outputs of `run`.

    `inputs` are numpy arrays by their names in the file; `run(model, inputs)` gets them as tensors
    (float64 the second time) and gives a dict: `y`, and any `layer:<name>`.
    `gain` magnifies the weights of a network whose layers would each shrink what passes.
    `ignore` are endings of names in the state dict that are not listed. What is written to
    `FIXTURES` has to keep its precision in float32 too: of published sizes, that is only printed.

    Raises `Useless` and writes nothing where the samples' answers are too much alike.
    """
    recipe.fill(model, seed, gain)
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
        spread = apart(value, inputs)
        measured = f"{name} {key}: up to {size:.3g}, samples differ by {spread:.3f}, f32 error {error:.1e}"
        print(measured, flush=True)
        if not spread > APART:
            raise Useless(measured)
        if root == FIXTURES and not (1e-3 < size < 1e4 and error < 1e-5):
            raise Useless(measured)

    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_text(json.dumps({"seed": seed} | ({"gain": gain} if gain != 1 else {})) + "\n")
    (folder / "tensors.json").write_text(json.dumps(tensors) + "\n")
    (folder / "architecture.json").write_text(json.dumps({"name": architecture, "config": config}) + "\n")
    save_file({key: np.ascontiguousarray(value) for key, value in inputs.items()}, folder / "inputs.safetensors")
    # The output in double precision, against which both sides are measured.
    outputs = {key: np.ascontiguousarray(value.astype("float32")) for key, value in exact.items()}
    save_file(outputs, folder / "outputs.safetensors")
