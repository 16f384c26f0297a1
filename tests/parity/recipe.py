"""Weights from a seed, so that nothing large is committed. README.md has the recipe."""

import math

import numpy as np

MASK = (1 << 64) - 1


def fnv1a64(name: str) -> int:
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & MASK
    return state


# Elements that are computed at once, few enough for the cache.
STRIDE = 1 << 16


def uniform(name: str, count: int, seed: int) -> np.ndarray:
    """`count` float64 values in [-0.5, 0.5) that depend only on the name, the index and the seed."""
    first = np.uint64(fnv1a64(name) ^ seed)
    values = np.empty(count)
    with np.errstate(over="ignore"):
        first += np.uint64(0x9E3779B97F4A7C15)
        for begin in range(0, count, STRIDE):
            z = np.arange(begin, min(begin + STRIDE, count), dtype=np.uint64) + first
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
            values[begin : begin + STRIDE] = (z >> np.uint64(40)) / 2.0**24 - 0.5
    return values


def tensor(name: str, shape: tuple[int, ...], seed: int, gain: float = 1.0) -> np.ndarray:
    """The float32 values of the tensor that a state dict calls `name`."""
    count = math.prod(shape)
    v = uniform(name, count, seed)
    if name.endswith(".running_var"):
        values = 0.5 + (v + 0.5)
    elif name.endswith((".weight", ".lab.scale")) and len(shape) == 1:
        values = 0.5 + (v + 0.5)
    elif len(shape) <= 1:
        values = v * 0.2
    else:
        # Variance gain^2 / fan-in.
        values = np.multiply(v, 2.0 * gain * math.sqrt(3.0 * shape[0] / count), out=v)
    return values.astype(np.float32).reshape(shape)


def fill(module, seed: int, gain: float = 1.0) -> None:
    """Gives every parameter and buffer of a torch module its value, and switches to evaluation."""
    import torch

    state = {}
    for name, old in module.state_dict().items():
        if not old.is_floating_point():
            state[name] = old
        else:
            state[name] = torch.from_numpy(tensor(name, tuple(old.shape), seed, gain))
    module.load_state_dict(state)
    module.eval()
