"""Damaged files through every reader of image bytes: a legal picture or a typed error.

Truncated, changed in single bits or bytes (most in the header), and with the header of one file
before the rest of another. A child process bounds the memory.
"""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from conftest import make_picture
from PIL import Image

from icmbench.codecs.registry import codec_class
from icmbench.core.errors import CodecError, ImageError
from icmbench.core.images.image_files import decode_image

MEMORY = 4 << 30  # bytes of address space beyond what is loaded: no file here needs a tenth
TRIALS = 150
QUALITY = {"jpeg": 80, "jpeg2000": 8, "webp": 80, "avif": 85, "jxl": 1, "heic": 80}


def files() -> dict[str, bytes]:
    """A small file of every format that `read_image` takes, or may be given in disguise."""
    picture = make_picture(40, 50)
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010F: "maker"})
    found = {}
    for form in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000"):
        buffer = io.BytesIO()
        options = {"exif": exif} if form in ("PNG", "JPEG", "WEBP", "TIFF") else {}
        Image.fromarray(picture).save(buffer, form, **options)
        found[form] = buffer.getvalue()
    for compression in ("zlib", "lzw", "jpeg"):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, picture, photometric="rgb", compression=compression)
        found[f"TIFF {compression}"] = buffer.getvalue()
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, picture.astype(np.uint16) * 257, photometric="rgb", rowsperstrip=8)
    found["TIFF 16"] = buffer.getvalue()
    found["PNG 16"] = imagecodecs.png_encode(picture.astype(np.uint16) * 257)
    return found | {"JXL": streams()["jxl"], "HEIC": streams()["heic"]}


def streams() -> dict[str, bytes]:
    """A stream of every codec without weights."""
    picture, found = make_picture(40, 50), {}
    for name in (*QUALITY, "identity", "raw-test"):
        codec = codec_class(name)()
        key = next(iter(getattr(codec, "quality_keys", {})), "")
        found[name] = codec.encode(picture, **({key: QUALITY[name]} if key else {}))
    return found


def damaged(good: bytes, others: list[bytes], seed: int) -> Iterator[bytes]:
    """Deterministic damage of four kinds in turn."""
    rng = np.random.default_rng(seed)
    for trial in range(TRIALS):
        data = bytearray(good)
        span = len(data) if trial % 3 == 0 else min(len(data), 120)
        if trial % 4 == 0:
            del data[rng.integers(1, len(data)) :]
        elif trial % 4 == 1:
            for place in rng.integers(0, span, 1 + trial % 5):
                data[place] ^= 1 << rng.integers(8)
        elif trial % 4 == 2:
            for place in rng.integers(0, span, 1 + trial % 5):
                data[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
        else:
            other = others[rng.integers(len(others))]
            data[: rng.integers(1, 64)] = other[: rng.integers(1, 64)]
        yield bytes(data)


def run(what: str) -> None:
    """All trials of one reader, in a process of its own; prints how many were refused."""
    warnings.simplefilter("ignore")
    decode: Callable[[bytes], object]
    if what == "read_image":
        inputs, decode = files(), decode_image
    else:
        inputs, decode = {what: streams()[what]}, codec_class(what)().decode
    others = list(files().values()) if what == "read_image" else list(streams().values())
    for good in inputs.values():  # loads whatever libraries are loaded late
        with_error(decode, good)
    used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    outcomes: Counter[str] = Counter()
    for seed, good in enumerate(inputs.values()):
        for data in damaged(good, others, seed):
            outcomes[with_error(decode, data)] += 1
    print(dict(outcomes))


def with_error(decode: Callable[[bytes], object], data: bytes) -> str:
    try:
        found = decode(data)
    except (ImageError, CodecError):
        return "refused"
    image = found[0] if isinstance(found, tuple) else found
    assert isinstance(image, np.ndarray)
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    return "read"


@pytest.mark.slow
@pytest.mark.parametrize("what", ["read_image", *QUALITY, "identity", "raw-test"])
def test_damage_gives_typed_errors_or_legal_pictures(what: str) -> None:
    done = subprocess.run(
        [sys.executable, __file__, what], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "refused" in done.stdout


if __name__ == "__main__":
    run(sys.argv[1])
