"""Writes fixtures/preprocessing: small images preprocessed by Pillow and torchvision.

README.md beside this file has the format.
"""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file
from sklearn.datasets import load_sample_image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

ROOT = Path(__file__).parent / "fixtures" / "preprocessing"
MODES = {
    "nearest": InterpolationMode.NEAREST,
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "lanczos": InterpolationMode.LANCZOS,
}
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def resize(height: int, width: int, resampling: str) -> dict:
    return {"resize": {"to": {"height": height, "width": width}, "resampling": resampling}}


def shortest(to: int, resampling: str) -> dict:
    return {"resize_shortest": {"to": to, "resampling": resampling}}


def crop(height: int, width: int) -> dict:
    return {"center_crop": {"height": height, "width": width}}


def apply(image: Image.Image, step: dict) -> Image.Image:
    """One step of a plan, with torchvision on Pillow's images."""
    ((kind, how),) = step.items()
    if kind == "resize":
        size = [how["to"]["height"], how["to"]["width"]]
        mode = MODES[how["resampling"]]
        # torchvision has Lanczos for images only, where it calls Pillow.
        return transforms.functional.resize(image, size, interpolation=mode)
    if kind == "resize_shortest":
        return transforms.functional.resize(image, [how["to"]], interpolation=MODES[how["resampling"]])
    return transforms.functional.center_crop(image, [how["height"], how["width"]])


def photographs() -> dict[str, Image.Image]:
    china = Image.fromarray(load_sample_image("china.jpg")).crop((270, 120, 366, 192))
    flower = Image.fromarray(load_sample_image("flower.jpg")).crop((250, 100, 325, 197))
    return {"china": china, "flower": flower}


def write_images() -> None:
    """The inputs: two photographs, and small images in the formats of image files."""
    images = ROOT / "images"
    photos = photographs()
    for name, image in photos.items():
        image.save(images / f"{name}.png", optimize=True)
    small = photos["flower"].crop((20, 20, 44, 40))
    small.save(images / "bmp.bmp")
    small.save(images / "webp-lossless.webp", lossless=True, exact=True)
    small.save(images / "tiff.tiff", compression="tiff_lzw")
    small.convert("L").save(images / "gray.png")
    small.convert("1").save(images / "one-bit.png")

    ramp = np.linspace(0, 255, 24 * 20).reshape(20, 24).astype(np.uint8)
    rgba = small.copy()
    rgba.putalpha(Image.fromarray(ramp))
    rgba.save(images / "rgba.png")
    gray_alpha = small.convert("L")
    gray_alpha.putalpha(Image.fromarray(ramp))
    gray_alpha.save(images / "gray-alpha.png")

    palette = small.quantize(13, dither=Image.Dither.NONE)
    palette.save(images / "palette.png")
    palette.save(images / "palette-transparent.png", transparency=3)
    palette.save(images / "gif.gif")

    # Every high byte, low bytes that rounding and cutting off treat differently.
    gray16 = (np.arange(20 * 24, dtype=np.uint32) * 137 % 65536).astype(np.uint16).reshape(20, 24)
    Image.fromarray(gray16).save(images / "gray16.png")
    (images / "rgb16.png").write_bytes(png_rgb16(np.stack([gray16, gray16[::-1], gray16[:, ::-1]], axis=2)))

    photos["china"].save(images / "jpeg-420.jpg", quality=90, subsampling="4:2:0")
    photos["china"].save(images / "jpeg-444-progressive.jpg", quality=90, subsampling="4:4:4", progressive=True)
    photos["china"].convert("L").save(images / "jpeg-gray.jpg", quality=90)
    photos["china"].convert("CMYK").save(images / "jpeg-cmyk.jpg", quality=90)
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees", which Pillow's open does not apply
    photos["china"].save(images / "jpeg-rotated.jpg", quality=90, subsampling="4:4:4", exif=exif)


def png_rgb16(pixels: np.ndarray) -> bytes:
    """A PNG with 16 bits per channel, which Pillow reads but does not write."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def cases() -> list[tuple]:
    """(name, image, colour, steps[, normalisation])"""
    found = []
    for mode in MODES:
        found += [
            (f"{mode}-down", "china.png", "rgb", [resize(31, 40, mode)]),
            (f"{mode}-far-down", "flower.png", "rgb", [resize(9, 7, mode)]),
            (f"{mode}-up", "flower.png", "rgb", [crop(30, 40), resize(71, 101, mode)]),
            (f"{mode}-down-and-up", "china.png", "rgb", [resize(100, 33, mode)]),
            (f"{mode}-gray", "china.png", "gray", [resize(28, 28, mode)]),
            (f"{mode}-shortest-down", "china.png", "rgb", [shortest(32, mode)]),
            (f"{mode}-shortest-up", "rgba.png", "rgb", [shortest(33, mode)]),
        ]
    found += [
        ("resize-same", "china.png", "rgb", [resize(72, 96, "bicubic")]),
        ("resize-one-side", "china.png", "rgb", [resize(72, 50, "bilinear")]),
        ("resize-to-a-point", "flower.png", "rgb", [resize(1, 1, "bilinear")]),
        ("resize-from-a-point", "flower.png", "rgb", [crop(1, 1), resize(3, 5, "lanczos")]),
        # 97 x 75: 24 * 97 / 75 = 31.04 and 37 * 97 / 75 = 47.85: truncated, not rounded.
        ("shortest-cut-off", "flower.png", "rgb", [shortest(37, "bilinear")]),
        ("shortest-same", "flower.png", "rgb", [shortest(75, "bilinear")]),
        # The margins' halves, 0.5, 1.5, 2.5 and 3.5, are rounded to the even neighbour.
        ("crop-margins-1-3", "china.png", "rgb", [crop(71, 93)]),
        ("crop-margins-5-7", "china.png", "rgb", [crop(67, 89)]),
        ("crop-pad-both", "gray.png", "rgb", [crop(25, 31)]),
        ("crop-pad-height", "china.png", "rgb", [crop(77, 41)]),
        ("crop-pad-width", "flower.png", "gray", [crop(60, 80)]),
        ("imagenet", "flower.png", "rgb", [shortest(40, "bilinear"), crop(32, 32)], IMAGENET),
        ("squash-normalized", "china.png", "rgb", [resize(32, 32, "bicubic")], IMAGENET),
        ("gray-normalized", "gray.png", "gray", [resize(16, 16, "bilinear")], {"mean": [0.25], "std": [0.5]}),
        ("not-normalized", "china.png", "rgb", [crop(8, 8)], None),
    ]
    for file in sorted(path.name for path in (ROOT / "images").iterdir()):
        if file in ("china.png", "flower.png"):
            continue
        name = Path(file).stem
        found += [(f"{name}-to-rgb", file, "rgb", []), (f"{name}-to-gray", file, "gray", [])]
    found.append(("photograph-to-gray", "flower.png", "gray", []))
    return found


def write_case(name: str, file: str, color: str, steps: list[dict], *normalize: dict | None) -> dict:
    image = Image.open(io.BytesIO((ROOT / "images" / file).read_bytes()))
    image = image.convert({"rgb": "RGB", "gray": "L"}[color])
    for step in steps:
        image = apply(image, step)
    image.save(ROOT / "expected" / f"{name}.png", optimize=True)
    case = {"name": name, "image": f"images/{file}", "color": color, "steps": steps}
    if normalize:
        x = transforms.functional.to_tensor(image)
        if normalize[0]:
            case["normalize"] = normalize[0]
            x = transforms.functional.normalize(x, **normalize[0])
        case["tensor"] = f"expected/{name}.safetensors"
        save_file({"x": x.to(torch.float32).numpy()}, ROOT / case["tensor"])
    case["expected"] = f"expected/{name}.png"
    if file.endswith(".jpg"):
        case["lossy"] = True
    return case


def main() -> None:
    shutil.rmtree(ROOT, ignore_errors=True)
    (ROOT / "images").mkdir(parents=True)
    (ROOT / "expected").mkdir()
    write_images()
    lines = ["  " + json.dumps(write_case(*case)) for case in cases()]
    (ROOT / "cases.json").write_text('{"cases": [\n' + ",\n".join(lines) + "\n]}\n")
    for path in ROOT.rglob("*.safetensors"):
        path.chmod(0o644)
    print(f"{len(lines)} cases")


if __name__ == "__main__":
    main()
