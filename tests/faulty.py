"""A codec that hangs or eats memory when a file says so: for tests of what a run survives."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import make_picture

from icmbench.core.images.image_files import write_png

CODEC = """
import os, time
from pathlib import Path
import numpy as np
from icmbench.codecs.raw_test import RawTest

FLAGS = Path(os.environ["FAULTY"])

def obey(stage, image):
    if image.shape[0] == 64:  # the warm-up's picture
        return
    if image.shape[0] == 40 and (amount := FLAGS / f"{stage}.eat").exists():
        eaten = np.ones(int(amount.read_text()) << 20, np.uint8)
        time.sleep(3)
    hold = FLAGS / f"{stage}.hold"
    if hold.exists():
        (FLAGS / f"{stage}.held").touch()
    while hold.exists():
        time.sleep(0.1)
    (FLAGS / f"{stage}.gpus").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))

class Faulty(RawTest):
    name = "faulty"
    codec_id = None
    lossless = True

    def encode(self, image):
        obey("encode", image)
        return super().encode(image)

    def decode(self, stream):
        image = RawTest(models=None).decode(stream)
        obey("decode", image)
        return image

    def truncate(self, stream, planes=3):
        return stream

    def _parse(self, stream):
        return RawTest(models=None)._parse(stream)
"""


class Faulty:
    """The installed codec, and the files by which it is told what to do.

    `flags/STAGE.hold`: a job of this stage hangs as long as the file is there, and says so with
    `STAGE.held`. `STAGE.eat`: it takes that many megabytes.
    """

    def __init__(self, folder: Path) -> None:
        self.flags = folder / "flags"
        site = folder / "site"
        for path in (self.flags, site / "faulty-1.dist-info"):
            path.mkdir(parents=True)
        (site / "faulty_codec.py").write_text(CODEC)
        info = site / "faulty-1.dist-info"
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1\n")
        (info / "entry_points.txt").write_text("[icmbench.codecs]\nfaulty = faulty_codec:Faulty\n")
        self.env = {"PYTHONPATH": str(site), "FAULTY": str(self.flags)}
        self.pictures = folder / "pictures"
        for index, height in enumerate((40, 41)):
            write_png(self.pictures / f"i{index}.png", make_picture(height, 48, index))
        self.config = {
            "datasets": {"mine": {"type": "folder", "path": str(self.pictures)}},
            "codecs": {"faulty": {"points": [{}]}},
            "metrics": ["psnr_rgb"],
            "limits": {"seconds_per_image": 600},
            "device": "cpu",
        }

    def hold(self, stage: str) -> None:
        (self.flags / f"{stage}.held").unlink(missing_ok=True)
        (self.flags / f"{stage}.hold").touch()

    def held(self, stage: str) -> bool:
        return (self.flags / f"{stage}.held").exists()

    def release(self, stage: str) -> None:
        (self.flags / f"{stage}.hold").unlink()


def wait_until(what: Callable[[], object], seconds: float, why: Callable[[], str] = str) -> None:
    """Ask until the answer is true; fail with what `why` says after some seconds."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds:g} s: {why()[-4000:]}")
        time.sleep(0.2)
