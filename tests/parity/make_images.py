"""Writes fixtures/images: small files in every mode and format, and the SHA-256 of Pillow's RGB bytes.

`images.json` has one entry per file: its size and `rgb`, the digest of
`Image.open(file).convert("RGB").tobytes()`, or `refused`, where Pillow does not read the file.
"""

import hashlib
import io
import json
import shutil
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "fixtures" / "images"
WIDTH, HEIGHT = 17, 8
FILES: dict[str, bytes] = {}


def picture(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Three smooth channels with some noise."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 3) + y / 9, np.cos((x + y) / 4), np.sin(y / 2) * np.cos(x / 5)]
    noise = np.random.default_rng(7).normal(0, 9, (height, width, 3))
    return np.clip(128 + 90 * np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)


RGB = picture()
GRAY = RGB[..., 0]
ALPHA = RGB[..., 2]
WIDE = (RGB.astype(np.uint16) << 8 | RGB[::-1]).astype(np.uint16)


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of samples of 1, 2, 4, 8 or 16 bits, each row filled up to a byte."""
    if bits == 16:
        return values.astype(">u2").tobytes()
    rows = values.reshape(values.shape[0], -1)
    lines = []
    for row in rows:
        digits = "".join(format(int(value), f"0{bits}b") for value in row)
        digits += "0" * (-len(digits) % 8)
        lines.append(int(digits, 2).to_bytes(len(digits) // 8, "big"))
    return b"".join(lines)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


# PNG


def chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def scanlines(values: np.ndarray, bits: int) -> bytes:
    data = packed(values, bits)
    stride = len(data) // values.shape[0]
    return b"".join(b"\0" + data[at : at + stride] for at in range(0, len(data), stride))


def png(values: np.ndarray, bits: int, color: int, extra: bytes = b"", interlaced: bool = False) -> bytes:
    height, width = values.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, int(interlaced))
    if interlaced:
        passes = [values[y::dy, x::dx] for x, y, dx, dy in ADAM7]
        data = b"".join(scanlines(part, bits) for part in passes if part.size)
    else:
        data = scanlines(values, bits)
    body = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def pngs() -> None:
    for bits in (1, 2, 4, 8, 16):
        values = WIDE[..., 0] if bits == 16 else GRAY >> (8 - bits)
        clear = chunk(b"tRNS", struct.pack(">H", int(values[3, 3])))
        FILES[f"gray{bits}.png"] = png(values, bits, 0)
        FILES[f"gray{bits}_trns.png"] = png(values, bits, 0, clear)
        FILES[f"gray{bits}_interlaced.png"] = png(values, bits, 0, interlaced=True)
        if bits < 16:
            palette = chunk(b"PLTE", RGB.reshape(-1, 3)[: 1 << min(bits, 7)].tobytes())
            values = values % (1 << min(bits, 7))
            alpha = palette + chunk(b"tRNS", bytes([0, 128]))
            FILES[f"palette{bits}.png"] = png(values, bits, 3, palette)
            FILES[f"palette{bits}_trns.png"] = png(values, bits, 3, alpha)
    # Indices beyond the palette.
    FILES["palette8_short.png"] = png(GRAY, 8, 3, chunk(b"PLTE", RGB.reshape(-1, 3)[:40].tobytes()))
    for bits, rgb in ((8, RGB), (16, WIDE)):
        alpha = rgb[..., 2:]
        FILES[f"gray_alpha{bits}.png"] = png(np.dstack([rgb[..., :1], alpha]), bits, 4)
        FILES[f"rgb{bits}.png"] = png(rgb, bits, 2)
        clear = chunk(b"tRNS", struct.pack(">HHH", *map(int, rgb[3, 3])))
        FILES[f"rgb{bits}_trns.png"] = png(rgb, bits, 2, clear)
        FILES[f"rgba{bits}.png"] = png(np.dstack([rgb, alpha]), bits, 6)
        FILES[f"rgba{bits}_interlaced.png"] = png(np.dstack([rgb, alpha]), bits, 6, interlaced=True)
    good = png(RGB, 8, 2)
    gamma = chunk(b"gAMA", struct.pack(">I", 100_000))
    text = chunk(b"tEXt", b"Comment\0x")
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(500)))
    FILES["gamma_profile.png"] = png(RGB, 8, 2, gamma + profile + text)
    FILES["no_iend.png"] = good[:-12]
    FILES["data_after_iend.png"] = good + b"more"
    FILES["cut_in_iend.png"] = good[:-6]
    FILES["bad_checksum_idat.png"] = good[:-16] + b"\0\0\0\0" + good[-12:]
    FILES["bad_checksum_ihdr.png"] = good[:29] + b"\0\0\0\0" + good[33:]
    FILES["bad_checksum_text.png"] = png(RGB, 8, 2, chunk(b"tEXt", b"Comment\0x", 1))
    FILES["bad_checksum_plte.png"] = png(GRAY >> 4, 8, 3, chunk(b"PLTE", RGB.reshape(-1, 3)[:16].tobytes(), 1))
    FILES["bad_adler.png"] = rewritten(good, lambda data: data[:-4] + b"\0\0\0\0")
    FILES["no_adler.png"] = rewritten(good, lambda data: data[:-4])
    FILES["cut_data.png"] = rewritten(good, lambda data: data[: len(data) // 2])
    FILES["extra_data.png"] = rewritten(good, lambda data: zlib.compress(zlib.decompress(data) + bytes(50)))
    FILES["unknown_critical.png"] = png(RGB, 8, 2, chunk(b"ABCD", b"x"))
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())]
    FILES["animated.png"] = saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    FILES["animated_default.png"] = saved(
        frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True
    )


def rewritten(file: bytes, change) -> bytes:
    """The PNG with other bytes in its IDAT chunk."""
    at = file.index(b"IDAT")
    (length,) = struct.unpack(">I", file[at - 4 : at])
    data = change(file[at + 4 : at + 4 + length])
    return file[: at - 4] + chunk(b"IDAT", data) + file[at + 8 + length :]


# GIF


def lzw(indices: np.ndarray, bits: int) -> bytes:
    """Uncompressed GIF data: a clear code before the codes get longer."""
    clear, codes = 1 << bits, []
    for at, value in enumerate(indices.ravel()):
        if at % ((1 << bits) - 2) == 0:
            codes.append(clear)
        codes.append(int(value))
    codes.append(clear + 1)
    number = sum(code << (place * (bits + 1)) for place, code in enumerate(codes))
    data = number.to_bytes((len(codes) * (bits + 1) + 7) // 8, "little")
    blocks = [data[at : at + 255] for at in range(0, len(data), 255)]
    return bytes([bits]) + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


PALETTE = RGB.reshape(-1, 3)[:32].tobytes()
INDICES = GRAY >> 3


def frame(indices: np.ndarray, left: int = 0, top: int = 0, flags: int = 0, palette: bytes = b"") -> bytes:
    height, width = indices.shape
    return b"," + struct.pack("<HHHHB", left, top, width, height, flags) + palette + lzw(indices, 5)


def control(clear: int | None = None, disposal: int = 0) -> bytes:
    flags = disposal << 2 | (clear is not None)
    return b"!\xf9\x04" + struct.pack("<BHBB", flags, 4, clear or 0, 0)


def gif(*parts: bytes, palette: bytes = PALETTE, background: int = 3, size=(WIDTH, HEIGHT), version=b"89a") -> bytes:
    flags = 0x80 | 4 if palette else 0
    head = b"GIF" + version + struct.pack("<HHBBB", *size, flags, background, 0)
    return head + palette + b"".join(parts) + b";"


def gifs() -> None:
    part = INDICES[2:7, 3:13]
    rows = [*range(0, HEIGHT, 8), *range(4, HEIGHT, 8), *range(2, HEIGHT, 4), *range(1, HEIGHT, 2)]
    FILES["plain.gif"] = gif(frame(INDICES))
    FILES["87a.gif"] = gif(frame(INDICES), version=b"87a")
    FILES["interlaced.gif"] = gif(frame(INDICES[rows], flags=0x40))
    FILES["small_frame.gif"] = gif(frame(part, 3, 2))
    FILES["small_frame_clear.gif"] = gif(control(7), frame(part, 3, 2))
    FILES["small_frame_local.gif"] = gif(control(disposal=2), frame(part, 3, 2, 0x84, PALETTE[::-1]))
    FILES["large_frame.gif"] = gif(frame(INDICES), size=(10, 6))
    FILES["shifted_frame.gif"] = gif(frame(INDICES, 4, 3))
    FILES["transparent.gif"] = gif(control(5), frame(INDICES))
    FILES["animated.gif"] = gif(control(None, 2), frame(part, 1, 1), control(4, 3), frame(INDICES))
    FILES["no_palette.gif"] = gif(frame(INDICES), palette=b"")
    FILES["no_palette_small.gif"] = gif(control(9), frame(part, 3, 2), palette=b"")
    FILES["gray_palette.gif"] = gif(frame(INDICES), palette=bytes(np.repeat(np.arange(32), 3).tolist()))
    short = gif(frame(INDICES), palette=PALETTE[:24])
    FILES["short_palette.gif"] = short[:10] + bytes([0x80 | 2]) + short[11:]
    whole = gif(frame(INDICES))
    FILES["no_trailer.gif"] = whole[:-1]
    FILES["cut.gif"] = whole[: len(whole) * 2 // 3]
    FILES["no_end_block.gif"] = whole[:-2]


# BMP


def bmp(head: bytes, data: bytes, between: bytes = b"") -> bytes:
    start = 14 + len(head) + len(between)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + between + data


def info(bits: int, compression: int = 0, height: int = HEIGHT, colors: int = 0, size: int = 40) -> bytes:
    return struct.pack("<IiiHHIIiiII", size, WIDTH, height, 1, bits, compression, 0, 2835, 2835, colors, 0)


def rows_of(values: np.ndarray, bits: int, flip: bool = True) -> bytes:
    data = packed(values, bits) if bits < 8 else values.tobytes()
    stride = len(data) // values.shape[0]
    rows = [data[at : at + stride] + bytes(-stride % 4) for at in range(0, len(data), stride)]
    return b"".join(rows[::-1] if flip else rows)


def rle8(indices: np.ndarray) -> bytes:
    out = b""
    for row in indices[::-1]:
        out += bytes([3, int(row[0])]) + bytes([0, len(row) - 3]) + row[3:].tobytes() + bytes((len(row) - 3) % 2)
        out += b"\0\0"
    return out + b"\0\1"


def rle4(indices: np.ndarray) -> bytes:
    out = b""
    for row in indices[::-1]:
        rest = row[5:]
        out += bytes([5, int(row[0]) << 4 | int(row[1])]) + bytes([0, len(rest)])
        data = packed(rest[None], 4)
        out += data + bytes(len(data) % 2) + b"\0\0"
    return out + b"\0\1"


def bmps() -> None:
    table = np.dstack([RGB[..., ::-1], np.zeros_like(RGB[..., :1])]).reshape(-1, 4).tobytes()
    grays = bytes(np.repeat(np.arange(256), 4).tolist())
    for bits in (1, 4, 8):
        values = (GRAY >> (8 - bits)) % 50
        colors = min(1 << bits, 50)
        FILES[f"palette{bits}.bmp"] = bmp(info(bits, colors=colors), rows_of(values, bits), table[: 4 * colors])
    FILES["gray8.bmp"] = bmp(info(8), rows_of(GRAY, 8), grays)
    FILES["short_palette.bmp"] = bmp(info(8, colors=16), rows_of(GRAY, 8), table[:64])
    FILES["rle8.bmp"] = bmp(info(8, 1, colors=50), rle8(GRAY % 50), table[:200])
    FILES["rle4.bmp"] = bmp(info(4, 2), rle4(GRAY >> 4), table[:64])
    skipping = b"\4\7\0\2\3\1\5\11\0\0\0\0\2\1\0\1"
    FILES["rle8_skips.bmp"] = bmp(info(8, 1, colors=50), skipping, table[:200])
    bgr = np.ascontiguousarray(RGB[..., ::-1])
    bgra = np.dstack([bgr, ALPHA])
    FILES["rgb24.bmp"] = bmp(info(24), rows_of(bgr, 8))
    FILES["rgb24_down.bmp"] = bmp(info(24, height=-HEIGHT), rows_of(bgr, 8, False))
    FILES["rgb32.bmp"] = bmp(info(32), rows_of(bgra, 8))
    small = RGB.astype(np.uint16) >> 3
    pixels = (small[..., 0] << 10 | small[..., 1] << 5 | small[..., 2]).astype("<u2")
    FILES["rgb555.bmp"] = bmp(info(16), rows_of(pixels, 8))
    green = RGB[..., 1].astype(np.uint16) >> 2
    pixels = (small[..., 0] << 11 | green << 5 | small[..., 2]).astype("<u2")
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    FILES["rgb565.bmp"] = bmp(info(16, 3), rows_of(pixels, 8), masks)
    FILES["rgb555_masks.bmp"] = bmp(info(16, 3), rows_of(pixels, 8), struct.pack("<III", 0x7C00, 0x3E0, 0x1F))
    FILES["bgr_masks.bmp"] = bmp(info(32, 3), rows_of(bgra, 8), struct.pack("<III", 0xFF, 0xFF00, 0xFF0000))
    FILES["odd_masks.bmp"] = bmp(info(32, 3), rows_of(bgra, 8), struct.pack("<III", 0x3FF, 0xFFC00, 0x3FF00000))
    wide = info(32, 3, size=124) + struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(64)
    FILES["v5_alpha.bmp"] = bmp(wide, rows_of(bgra, 8))
    core = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 24)
    FILES["os2.bmp"] = bmp(core, rows_of(bgr, 8))
    core = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 8)
    FILES["os2_palette.bmp"] = bmp(core, rows_of(GRAY, 8), bytes(np.tile(bgr.reshape(-1, 3), (2, 1))[:256].tobytes()))
    FILES["cut.bmp"] = FILES["rgb24.bmp"][:-60]


# TIFF

TYPES = {"B": 1, "s": 2, "H": 3, "I": 4, "Q": 16}


def tiff(data: list[bytes], tags: dict, order: str = "<", big: bool = False, tiles: bool = False) -> bytes:
    """A TIFF of one image: `tags` has numbers, or pairs of a type and its numbers."""
    offsets, counts = (324, 325) if tiles else (273, 279)
    start = 16 if big else 8
    tags = {256: WIDTH, 257: HEIGHT, 259: 1, **({} if tiles else {278: HEIGHT}), **tags}
    where, body = [], b""
    for piece in data:
        where.append(start + len(body))
        body += piece + bytes(len(piece) % 2)
    tags = {**tags, offsets: ("I", where), counts: ("I", [len(piece) for piece in data])}
    directory = start + len(body)
    size = 20 if big else 12
    extra_at = directory + (8 if big else 2) + size * len(tags) + (8 if big else 4)
    entries, extra = b"", b""
    for tag in sorted(tags):
        value = tags[tag]
        kind, values = value if isinstance(value, tuple) else ("H" if tag != 0 else "I", value)
        values = values if isinstance(values, list) else [values]
        raw = struct.pack(f"{order}{len(values)}{kind}", *values) if kind != "s" else bytes(values[0])
        count = len(raw) if kind == "s" else len(values)
        room = 8 if big else 4
        entries += struct.pack(f"{order}HH{'Q' if big else 'I'}", tag, TYPES[kind], count)
        if len(raw) > room:
            entries += struct.pack(f"{order}{'Q' if big else 'I'}", extra_at + len(extra))
            extra += raw + bytes(len(raw) % 2)
        else:
            entries += raw + bytes(room - len(raw))
    mark = {"<": b"II", ">": b"MM"}[order]
    if big:
        head = mark + struct.pack(f"{order}HHHQ", 43, 8, 0, directory)
        return head + body + struct.pack(f"{order}Q", len(tags)) + entries + bytes(8) + extra
    head = mark + struct.pack(f"{order}HI", 42, directory)
    return head + body + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + extra


def mode(photometric: int, bits: list[int], **more: object) -> dict:
    tags = {258: bits, 262: photometric, 277: len(bits)}
    names = {"extra": 338, "form": 339, "planar": 284, "compression": 259, "predictor": 317, "fill": 266}
    names |= {"orientation": 274, "rows": 278, "colors": 320}
    for name, value in more.items():
        tags[names[name]] = value
    return {tag: ("H", value) if isinstance(value, list) else value for tag, value in tags.items()}


def tiled(values: np.ndarray, side: int = 16) -> list[bytes]:
    height, width = values.shape[:2]
    room = [(0, -height % side), (0, -width % side)] + [(0, 0)] * (values.ndim - 2)
    values = np.pad(values, room, mode="edge")
    steps = [(y, x) for y in range(0, values.shape[0], side) for x in range(0, values.shape[1], side)]
    return [values[y : y + side, x : x + side].tobytes() for y, x in steps]


def tiffs() -> None:
    rgb, raw = mode(2, [8, 8, 8]), [RGB.tobytes()]
    for orientation in range(1, 9):
        FILES[f"orientation{orientation}.tif"] = tiff(raw, mode(2, [8, 8, 8], orientation=orientation))
    FILES["orientation6_lzw.tif"] = saved(Image.fromarray(RGB), "TIFF", compression="tiff_lzw", tiffinfo={274: 6})
    FILES["gray_orientation5.tif"] = tiff([GRAY.tobytes()], mode(1, [8], orientation=5))
    for order, name in (("<", "le"), (">", "be")):
        wide = WIDE.astype(f"{order}u2")
        FILES[f"gray16_{name}.tif"] = tiff([wide[..., 0].tobytes()], mode(1, [16]), order)
        FILES[f"rgb16_{name}.tif"] = tiff([wide.tobytes()], mode(2, [16] * 3), order)
        low = (WIDE[..., 0].astype(np.int32) - 33000) // 100
        FILES[f"int16_{name}.tif"] = tiff([low.astype(f"{order}i2").tobytes()], mode(1, [16], form=2), order)
        FILES[f"int32_{name}.tif"] = tiff([low.astype(f"{order}i4").tobytes()], mode(1, [32], form=2), order)
        FILES[f"uint32_{name}.tif"] = tiff([(low + 400).astype(f"{order}u4").tobytes()], mode(1, [32]), order)
        real = low.astype(f"{order}f4") * 1.3
        real[0, :4] = [np.nan, np.inf, -np.inf, 254.999]
        FILES[f"float32_{name}.tif"] = tiff([real.tobytes()], mode(1, [32], form=3), order)
        FILES[f"float64_{name}.tif"] = tiff([low.astype(f"{order}f8").tobytes()], mode(1, [64], form=3), order)
        FILES[f"big_{name}.tif"] = tiff(raw, rgb, order, big=True)
    for bits in (1, 2, 4, 8):
        values = GRAY >> (8 - bits)
        for photometric, name in ((0, "white"), (1, "gray")):
            FILES[f"{name}{bits}.tif"] = tiff([packed(values, bits)], mode(photometric, [bits]))
        colors = (WIDE.reshape(-1, 3)[: 1 << bits]).T.ravel().tolist()
        colors += [0] * (3 * (1 << bits) - len(colors))
        FILES[f"palette{bits}.tif"] = tiff([packed(values, bits)], mode(3, [bits], colors=colors))
    colors = (np.arange(768) * 257 % 65536).tolist()
    FILES["palette_lzw.tif"] = saved(
        Image.fromarray(RGB).quantize(20), "TIFF", compression="tiff_lzw", tiffinfo={278: 5}
    )
    FILES["palette_alpha.tif"] = tiff([np.dstack([GRAY, ALPHA]).tobytes()], mode(3, [8, 8], colors=colors, extra=2))
    FILES["fill2.tif"] = tiff([packed(GRAY >> 7, 1)], mode(1, [1], fill=2))
    FILES["uint12.tif"] = tiff([packed12(WIDE[..., 0] >> 8)], mode(1, [12]))
    for extra in (0, 1, 2):
        FILES[f"gray_extra{extra}.tif"] = tiff([np.dstack([GRAY, ALPHA]).tobytes()], mode(1, [8, 8], extra=extra))
        rgba = np.dstack([RGB, np.maximum(ALPHA, 1)]).tobytes()
        FILES[f"rgb_extra{extra}.tif"] = tiff([rgba], mode(2, [8] * 4, extra=extra))
        wide = np.dstack([WIDE, WIDE[..., :1]]).astype("<u2").tobytes()
        FILES[f"rgb16_extra{extra}.tif"] = tiff([wide], mode(2, [16] * 4, extra=extra))
    FILES["rgb_extras.tif"] = tiff([np.dstack([RGB, ALPHA, GRAY]).tobytes()], mode(2, [8] * 5, extra=[2, 0]))
    cmyk = np.dstack([RGB, ALPHA])
    FILES["cmyk.tif"] = tiff([cmyk.tobytes()], mode(5, [8] * 4))
    FILES["cmyk16.tif"] = tiff([np.dstack([WIDE, WIDE[..., :1]]).astype("<u2").tobytes()], mode(5, [16] * 4))
    FILES["lab.tif"] = tiff(raw, mode(8, [8] * 3))
    FILES["ycbcr_raw.tif"] = tiff(raw, {**mode(6, [8] * 3), 530: ("H", [1, 1])})
    planes = [RGB[..., band].tobytes() for band in range(3)]
    FILES["planar.tif"] = tiff(planes, mode(2, [8] * 3, planar=2))
    FILES["planar_strips.tif"] = tiff(
        [RGB[at : at + 5, :, band].tobytes() for band in range(3) for at in range(0, HEIGHT, 5)],
        mode(2, [8] * 3, planar=2, rows=5),
    )
    FILES["planar_deflate.tif"] = tiff([zlib.compress(p) for p in planes], mode(2, [8] * 3, planar=2, compression=8))
    strips = [RGB[at : at + 5].tobytes() for at in range(0, HEIGHT, 5)]
    FILES["strips.tif"] = tiff(strips, mode(2, [8] * 3, rows=5))
    FILES["deflate_strips.tif"] = tiff([zlib.compress(s) for s in strips], mode(2, [8] * 3, rows=5, compression=8))
    FILES["old_deflate.tif"] = tiff([zlib.compress(raw[0])], mode(2, [8] * 3, compression=32946))
    tiles = {322: 16, 323: 16}
    FILES["tiles.tif"] = tiff(tiled(RGB), {**rgb, **tiles}, tiles=True)
    FILES["tiles_gray.tif"] = tiff(tiled(GRAY), {**mode(1, [8]), **tiles}, tiles=True)
    FILES["tiles_gray16.tif"] = tiff(tiled(WIDE[..., 0].astype("<u2")), {**mode(1, [16]), **tiles}, tiles=True)
    deflated = [zlib.compress(tile) for tile in tiled(RGB)]
    FILES["tiles_deflate.tif"] = tiff(deflated, {**mode(2, [8] * 3, compression=8), **tiles}, tiles=True)
    ahead = np.diff(RGB.astype(np.int16), axis=1, prepend=0).astype(np.uint8)
    FILES["predictor.tif"] = tiff([zlib.compress(ahead.tobytes())], mode(2, [8] * 3, compression=8, predictor=2))
    for order, name in (("<", "le"), (">", "be")):
        wide = np.diff(WIDE.astype(np.int64), axis=1, prepend=0).astype(f"{order}u2").tobytes()
        tags = mode(2, [16] * 3, compression=8, predictor=2)
        FILES[f"predictor16_{name}.tif"] = tiff([zlib.compress(wide)], tags, order)
        wide = WIDE[..., 0].astype(f"{order}u2").tobytes()
        FILES[f"gray16_deflate_{name}.tif"] = tiff([zlib.compress(wide)], mode(1, [16], compression=8), order)
    real = (GRAY.astype(np.float32) * 1.1 - 20).astype(">f4")
    bytes_apart = np.stack([np.frombuffer(row.tobytes(), np.uint8).reshape(-1, 4).T.ravel() for row in real])
    bytes_apart = np.diff(bytes_apart.astype(np.int16), axis=1, prepend=0).astype(np.uint8)
    FILES["predictor_float.tif"] = tiff(
        [zlib.compress(bytes_apart.tobytes())], mode(1, [32], form=3, compression=8, predictor=3)
    )
    image = Image.fromarray(RGB)
    for compression in ("tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg", "zstd", "lzma"):
        FILES[f"{compression}.tif"] = saved(image, "TIFF", compression=compression)
    FILES["lzw_strips.tif"] = saved(image, "TIFF", compression="tiff_lzw", tiffinfo={278: 4, 317: 2})
    FILES["jpeg_gray.tif"] = saved(image.convert("L"), "TIFF", compression="jpeg")
    FILES["jpeg_ycbcr.tif"] = saved(image.convert("YCbCr"), "TIFF", compression="jpeg")
    FILES["ycbcr_lzw.tif"] = saved(image.convert("YCbCr"), "TIFF", compression="tiff_lzw")
    FILES["cmyk_lzw.tif"] = saved(image.convert("CMYK"), "TIFF", compression="tiff_lzw")
    two = Image.fromarray(GRAY).convert("1")
    for compression in ("tiff_ccitt", "group3", "group4", "packbits"):
        FILES[f"two_{compression}.tif"] = saved(two, "TIFF", compression=compression)
    old = tiff([packed(np.array(two).astype(np.uint8), 1)], mode(0, [1]))
    FILES["two_white.tif"] = old
    pages = [image, Image.fromarray(RGB[::-1].copy())]
    FILES["pages.tif"] = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    FILES["cut.tif"] = tiff(raw, rgb)[:200]
    FILES["mixed_bits.tif"] = tiff(raw, mode(2, [5, 6, 5]))


def packed12(values: np.ndarray) -> bytes:
    rows = []
    for row in values:
        digits = "".join(format(int(value), "012b") for value in row)
        digits += "0" * (-len(digits) % 8)
        rows.append(int(digits, 2).to_bytes(len(digits) // 8, "big"))
    return b"".join(rows)


# WebP and JPEG


def webps() -> None:
    image = Image.fromarray(RGB)
    clear = Image.fromarray(np.dstack([RGB, (ALPHA > 90).astype(np.uint8) * ALPHA]))
    FILES["lossy.webp"] = saved(image, "WEBP", quality=80)
    FILES["lossless.webp"] = saved(image, "WEBP", lossless=True)
    FILES["lossy_alpha.webp"] = saved(clear, "WEBP", quality=80)
    FILES["lossless_alpha.webp"] = saved(clear, "WEBP", lossless=True, exact=True)
    frames = [clear, Image.fromarray(RGB[::-1].copy()).convert("RGBA")]
    FILES["animated.webp"] = saved(
        frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True, background=(9, 90, 200, 255)
    )
    small = Image.new("RGBA", (WIDTH, HEIGHT))
    small.paste(clear.crop((2, 2, 12, 6)), (4, 4))
    FILES["animated_small.webp"] = saved(
        small, "WEBP", save_all=True, append_images=frames[1:], lossless=True, background=(9, 90, 200, 255)
    )
    FILES["cut.webp"] = FILES["lossless.webp"][:-60]


def jpegs() -> None:
    image = Image.fromarray(picture(21, 18))
    for sampling in (0, 1, 2):
        for progressive in (False, True):
            name = f"sampling{sampling}{'_progressive' if progressive else ''}.jpg"
            FILES[name] = saved(image, "JPEG", quality=80, subsampling=sampling, progressive=progressive)
    FILES["gray.jpg"] = saved(image.convert("L"), "JPEG")
    FILES["gray_progressive.jpg"] = saved(image.convert("L"), "JPEG", progressive=True)
    FILES["cmyk.jpg"] = saved(image.convert("CMYK"), "JPEG")
    FILES["cmyk_progressive.jpg"] = saved(image.convert("CMYK"), "JPEG", progressive=True)
    FILES["rgb.jpg"] = saved(image, "JPEG", keep_rgb=True)
    FILES["restart.jpg"] = saved(image, "JPEG", restart_marker_blocks=2)
    FILES["low_quality.jpg"] = saved(image, "JPEG", quality=2)
    FILES["one_pixel.jpg"] = saved(image.crop((0, 0, 1, 1)), "JPEG")
    FILES["narrow.jpg"] = saved(image.crop((0, 0, 3, 18)), "JPEG")
    rotated = Image.Exif()
    rotated[274] = 6
    FILES["exif_orientation6.jpg"] = saved(image, "JPEG", exif=rotated)
    good = FILES["sampling2.jpg"]
    FILES["no_end.jpg"] = good[:-2]
    FILES["no_end_zeros.jpg"] = good[:-2] + bytes(64)
    FILES["cut.jpg"] = good[:-30]
    FILES["cut_zeros.jpg"] = good[:-60] + bytes(500)
    FILES["progressive_no_end_zeros.jpg"] = FILES["sampling2_progressive.jpg"][:-2] + bytes(64)
    FILES["data_after_end.jpg"] = good + b"more"
    FILES["noise_before_marker.jpg"] = good[:2] + b"\xff" + good[2:]
    frame_at = good.index(b"\xff\xc0")
    FILES["ycck.jpg"] = ycck(FILES["cmyk.jpg"])
    FILES["arithmetic.jpg"] = good[: frame_at + 1] + b"\xc9" + good[frame_at + 2 :]
    FILES["lossless.jpg"] = good[: frame_at + 1] + b"\xc3" + good[frame_at + 2 :]
    FILES["twelve_bits.jpg"] = good[: frame_at + 4] + b"\x0c" + good[frame_at + 5 :]


def ycck(cmyk: bytes) -> bytes:
    """The same coefficients, said to be YCCK."""
    at = cmyk.index(b"Adobe")
    return cmyk[: at + 11] + b"\2" + cmyk[at + 12 :]


def answer(file: bytes) -> dict:
    """What Pillow makes of a file."""
    try:
        image = Image.open(io.BytesIO(file))
        kind = image.mode
        rgb = image.convert("RGB")
    except Exception as error:  # Pillow raises about ten kinds.
        return {"refused": f"{type(error).__name__}: {error}".split(" <")[0][:80]}
    digest = hashlib.sha256(rgb.tobytes()).hexdigest()
    return {"mode": kind, "width": rgb.width, "height": rgb.height, "rgb": digest}


def main() -> None:
    warnings.simplefilter("ignore")
    for write in (pngs, gifs, bmps, tiffs, webps, jpegs):
        write()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    for name, file in FILES.items():
        (OUT / name).write_bytes(file)
    answers = {name: answer(file) for name, file in sorted(FILES.items())}
    lines = [f"  {json.dumps(name)}: {json.dumps(answers[name])}" for name in answers]
    (OUT / "images.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    total = sum(map(len, FILES.values()))
    refused = sum("refused" in entry for entry in answers.values())
    print(f"{len(FILES)} files of {total} bytes; Pillow refuses {refused}")


if __name__ == "__main__":
    main()
