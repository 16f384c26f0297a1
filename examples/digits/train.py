"""Trains digits-cnn and writes the quickstart dataset.

    python train.py            trains, writes digits-cnn.safetensors and dataset/
    python train.py --check    only measures the committed weights on the committed dataset

Every fifth image is held out. Training never sees those; the epoch to keep is chosen on a
validation part of the rest. Everything is seeded; another version of PyTorch, or another
processor, may round differently and end with slightly different weights.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F

from held_out import as_image, write_dataset

HERE = Path(__file__).parent
WEIGHTS = HERE / "digits-cnn.safetensors"
DATASET = HERE / "dataset"
SEED = 0
HELD_OUT = 360
VALIDATION = 180
EPOCHS = 80
CLASSES = [str(digit) for digit in range(10)]
# The preprocessing, as `load_model` in src/lib.rs says it.
SIZE = 16
MEAN, STD = 0.3, 0.35


class DigitsCnn(nn.Module):
    """The layers of `load_model` in src/lib.rs; the names are the tensors' in the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(32)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1)
        self.bn3 = nn.BatchNorm2d(64)
        self.fc1 = nn.Linear(64 * 4 * 4, 64)
        self.fc2 = nn.Linear(64, len(CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.max_pool2d(x, 2)
        x = F.relu(self.bn3(self.conv3(x)))
        x = F.max_pool2d(x, 2)
        x = F.dropout(x.flatten(1), 0.3, self.training)
        x = F.dropout(F.relu(self.fc1(x)), 0.3, self.training)
        return self.fc2(x)


def preprocess(image: Image.Image) -> torch.Tensor:
    """From an image to the network's input, [1, 16, 16]."""
    image = image.convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    x = torch.from_numpy(np.asarray(image, dtype=np.float32)) / 255
    return ((x - MEAN) / STD).unsqueeze(0)


def augment(x: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Turns, stretches and shifts each image a little; what comes in at the sides is black."""

    def between(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(len(x), generator=random)

    angle = between(-15, 15) * torch.pi / 180
    width, height, slant = between(0.9, 1.1), between(0.9, 1.1), between(-0.1, 0.1)
    right, down = between(-0.125, 0.125), between(-0.125, 0.125)  # of half a side: one pixel of 16
    cos, sin = angle.cos(), angle.sin()
    rows = [cos * width, -sin + slant, right, sin, cos * height, down]
    grid = F.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), list(x.shape), align_corners=False)
    black = (0 - MEAN) / STD
    return F.grid_sample(x - black, grid, mode="bilinear", align_corners=False) + black


def accuracy(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """The share of right answers, and the mean cross entropy."""
    model.eval()
    with torch.inference_mode():
        logits = model(x)
    return (logits.argmax(1) == y).float().mean().item(), F.cross_entropy(logits, y).item()


def train(x: torch.Tensor, y: torch.Tensor) -> nn.Module:
    """Trains on a part of the images given, and keeps the epoch that does best on the others."""
    torch.manual_seed(SEED)
    random = torch.Generator().manual_seed(SEED)
    learn, check = train_test_split(np.arange(len(y)), test_size=VALIDATION, stratify=y, random_state=SEED)
    model = DigitsCnn()
    steps = EPOCHS * -(-len(learn) // 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    best, kept = None, None
    for epoch in range(EPOCHS):
        model.train()
        for batch in torch.randperm(len(learn), generator=random).split(64):
            rows = learn[batch.numpy()]
            loss = F.cross_entropy(model(augment(x[rows], random)), y[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        right, entropy = accuracy(model, x[check], y[check])
        if best is None or (right, -entropy) > best:
            best = (right, -entropy)
            kept = {name: value.clone() for name, value in model.state_dict().items()}
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: validation accuracy {right:.4f}, loss {entropy:.4f}")
    model.load_state_dict(kept)
    print(f"kept: validation accuracy {best[0]:.4f}, loss {-best[1]:.4f}")
    return model


def check() -> None:
    """Measures what is committed: the weights' file on the images' files."""
    model = DigitsCnn()
    missing, unexpected = model.load_state_dict(load_file(WEIGHTS), strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    samples = json.loads((DATASET / "samples.json").read_text())["samples"]
    x = torch.stack([preprocess(Image.open(DATASET / sample["filepath"])) for sample in samples])
    y = torch.tensor([int(sample["ground_truth"]["label"]) for sample in samples])
    right, entropy = accuracy(model, x, y)
    count = round(right * len(y))
    print(f"held-out accuracy: {count} of {len(y)} right, {100 * right:.2f} %, loss {entropy:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only measure what is committed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    if not arguments.check:
        digits = load_digits()
        rows, held_out = train_test_split(
            np.arange(len(digits.target)), test_size=HELD_OUT, stratify=digits.target, random_state=SEED
        )
        x = torch.stack([preprocess(as_image(digits.images[row])) for row in rows])
        model = train(x, torch.from_numpy(digits.target[rows]))
        state = {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
        save_file(state, WEIGHTS)
        WEIGHTS.chmod(0o644)
        write_dataset(DATASET, sorted(held_out.tolist()), digits.images, digits.target)
    check()


if __name__ == "__main__":
    main()
