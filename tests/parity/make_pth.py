"""Writes fixtures/checkpoints: small PyTorch checkpoints of every format, and their tensors.

Each `<case>.pth` comes with `<case>.safetensors`, the tensors that a reader has to find by name. The
legacy files name their storages by addresses, so that running this again changes a few bytes.
"""

import io
import struct
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file

import recipe

FIXTURES = Path(__file__).parent / "fixtures" / "checkpoints"


class Tower(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(2, 3, 2, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.bn1(self.conv1(x))).mean((2, 3))


class Net(torch.nn.Module):
    """Modules in modules, a parameter and a buffer of its own, lists, and a tied weight."""

    sizes: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.visual = Tower()
        self.head = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 4))
        self.scale = torch.nn.Parameter(torch.tensor(0.5))
        self.register_buffer("positions", torch.arange(4))
        self.tied = self.head[2].weight
        self.sizes = [1, 2]
        self.name = "net"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.visual(x)) * self.scale + self.positions.to(x.dtype) * float(self.sizes[0])


def net() -> Net:
    model = Net()
    state = model.state_dict()
    for name, tensor in state.items():
        if tensor.dtype == torch.float32 and tensor.dim() > 0:
            values = recipe.uniform(name, tensor.numel(), 7).astype("float32")
            state[name] = torch.from_numpy(values).reshape(tensor.shape)
    state["tied"] = state["head.2.weight"]
    model.load_state_dict(state)
    return model.eval()


def views() -> dict[str, torch.Tensor]:
    """Tensors that share storages, start inside of them, or are not contiguous."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 8
    deep = torch.arange(60, dtype=torch.float64).reshape(3, 4, 5) / 16
    return {
        "base": base,
        "transposed": base.t(),
        "rows": base[1:3],
        "columns": base[:, 1::2],
        "one_column": base[:, 2],
        "expanded": base[0, :3].expand(2, 3),
        "permuted": deep.permute(2, 0, 1),
        "scalar": deep[1, 2, 3],
        "empty": base[:0],
        "channels_last": torch.arange(48, dtype=torch.float32).reshape(2, 3, 2, 4).to(memory_format=torch.channels_last),
    }


def types() -> dict[str, torch.Tensor]:
    values = torch.tensor([-2.0, -0.5, 0.0, 1.0, 3.5])
    floats = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
    others = [torch.int64, torch.int32, torch.int16, torch.int8, torch.bool]
    more = {"uint8": torch.arange(5, dtype=torch.uint8), "uint16": torch.arange(5).to(torch.uint16)}
    return {str(dtype).removeprefix("torch."): values.to(dtype) for dtype in floats + others} | more


def save(name: str, thing: object, expected: dict[str, torch.Tensor], **options: object) -> None:
    buffer = io.BytesIO()
    torch.save(thing, buffer, **options)
    write(name, buffer.getvalue(), expected)


def write(name: str, content: bytes, expected: dict[str, torch.Tensor]) -> None:
    (FIXTURES / f"{name}.pth").write_bytes(content)
    save_file({key: value.detach().contiguous().clone() for key, value in expected.items()}, FIXTURES / f"{name}.safetensors")
    print(f"{name}: {len(content)} bytes, {len(expected)} tensors")


def repacked(content: bytes) -> bytes:
    """The same archive with every entry compressed, as other programs write it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for entry in old.infolist():
            new.writestr(zipfile.ZipInfo(entry.filename), old.read(entry), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def without_debug(content: bytes) -> bytes:
    """The same archive without the debug information of the code."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for entry in old.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                new.writestr(zipfile.ZipInfo(entry.filename), old.read(entry), entry.compress_type)
    return buffer.getvalue()


def python2(tensors: dict[str, torch.Tensor]) -> bytes:
    """A legacy file as Python 2 wrote them: texts are bytes, an ordered dictionary is a list of pairs.

    torchvision's oldest weights are such files. Python 3 cannot write them, hence by hand.
    """

    def text(value: str) -> bytes:
        return b"U" + bytes([len(value)]) + value.encode()

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"K" + bytes([value]) for value in values) + b"t"

    def tensor(key: str, value: torch.Tensor) -> bytes:
        storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu")
        storage += b"K" + bytes([value.numel()]) + b"NtQ"
        rebuild = b"ctorch._utils\n_rebuild_tensor\n("
        return rebuild + storage + b"K\0" + numbers(tuple(value.shape)) + numbers(value.stride()) + b"tR"

    pairs = b"".join(b"](" + text(name) + tensor(str(i), value) + b"e" for i, (name, value) in enumerate(tensors.items()))
    parts = [
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
        b"\x80\x02M\xe9\x03.",
        b"\x80\x02}(" + text("protocol_version") + b"M\xe9\x03" + text("little_endian") + b"\x88u.",
        b"\x80\x02ccollections\nOrderedDict\n](" + pairs + b"e\x85R.",
        b"\x80\x02](" + b"".join(text(str(i)) for i in range(len(tensors))) + b"e.",
    ]
    for value in tensors.values():
        parts.append(struct.pack("<q", value.numel()) + value.numpy().tobytes())
    content = b"".join(parts)
    # PyTorch agrees that it is one.
    loaded = torch.load(io.BytesIO(content), weights_only=False)
    assert isinstance(loaded, OrderedDict) and all(torch.equal(loaded[name], value) for name, value in tensors.items())
    return content


def main() -> None:
    warnings.simplefilter("ignore")
    FIXTURES.mkdir(parents=True, exist_ok=True)
    model = net()
    state = model.state_dict()
    training = {
        "epoch": 3,
        "arch": "net",
        "best": 0.75,
        "optimizer": torch.optim.Adam(model.parameters()).state_dict(),
        "state_dict": state,
    }
    save("archive", state, state)
    save("archive-protocol4", state, state, pickle_protocol=4)
    save("legacy", state, state, _use_new_zipfile_serialization=False)
    save("legacy-training", training, state, _use_new_zipfile_serialization=False)
    save("training", training, state)
    parameters = dict(model.named_parameters())
    save("parameters", parameters, parameters)
    nested = {"image": {"w": state["scale"]}, "text": {"layers": [state["head.0.bias"], {"b": state["head.2.bias"]}]}}
    flat = {"image.w": state["scale"], "text.layers.0": state["head.0.bias"], "text.layers.1.b": state["head.2.bias"]}
    save("nested", nested, flat)
    save("views", views(), views())
    save("views-legacy", views(), views(), _use_new_zipfile_serialization=False)
    save("types", types(), types())

    buffer = io.BytesIO()
    torch.save(state, buffer)
    write("compressed", repacked(buffer.getvalue()), state)
    write("python2", python2({"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([0.5, -1.0])}),
          {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([0.5, -1.0])})

    x = torch.zeros(1, 2, 4, 4)
    for name, script in [("scripted", torch.jit.script(model)), ("traced-half", torch.jit.trace(model.half(), x.half()))]:
        buffer = io.BytesIO()
        torch.jit.save(script, buffer)
        content = without_debug(buffer.getvalue())
        loaded = torch.jit.load(io.BytesIO(content)).state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in script.state_dict().items())
        write(name, content, loaded)


if __name__ == "__main__":
    main()
