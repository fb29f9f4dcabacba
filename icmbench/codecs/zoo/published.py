"""Published trainings of the zoo's codecs: names of codecs and files, sizes, sources.

CompressAI names a checkpoint `<codec>[-ms-ssim]-<quality>-<sha256 digits>.pth.tar`, and those of
bmshj2018-factorized that were trained for the mean squared error `bmshj2018-factorized-prior-...`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from icmbench.core.errors import ModelError

FACTORIZED: Final = "bmshj2018-factorized"
HYPERPRIOR: Final = "bmshj2018-hyperprior"
MEAN: Final = "mbt2018-mean"
NAMES: Final = (FACTORIZED, HYPERPRIOR, MEAN)
METRICS: Final = ("mse", "ms-ssim")
QUALITIES: Final = range(1, 9)
UNIT: Final = 64  # pixels a side: images are padded to multiples of it, as CompressAI pads them
# Channels of the transforms (N) and of y (M): up to a quality of each codec, and above.
SMALL: Final = (128, 192)
LARGE: Final = (192, 320)
LAST_SMALL: Final = {FACTORIZED: 5, HYPERPRIOR: 5, MEAN: 4}
_FILE: Final = re.compile(
    rf"({'|'.join(NAMES)})(-prior)?(-ms-ssim)?-([1-8])-([0-9a-f]{{8}})\.pth\.tar"
)


@dataclass(frozen=True, order=True)
class Training:
    """A published training: a codec at one quality.

    Attributes:
        codec: one of `NAMES`.
        metric: distortion of its loss, of `METRICS`.
        quality: of `QUALITIES`, 1: lowest rate.
    """

    codec: str
    metric: str
    quality: int

    @property
    def member(self) -> str:
        """Folder of its weights in the model folder of the codec."""
        return f"{self.metric}-{self.quality}"

    @property
    def source(self) -> str:
        """Name of the source with its checkpoint."""
        return self.codec if self.metric == METRICS[0] else f"{self.codec}-{self.metric}"

    @property
    def channels(self) -> tuple[int, int]:
        """N and M of the published network."""
        return SMALL if self.quality <= LAST_SMALL[self.codec] else LARGE

    def remedy(self, models: str = "models") -> str:
        """Commands that fetch its checkpoint and import it into a folder of models."""
        files = f"downloads/{self.source}/*.pth.tar"
        return f"`icmbench fetch {self.source}`, then `icmbench import-zoo {files} --out {models}`"


def of_file(name: str) -> tuple[Training, str]:
    """The training of a published file name, and the first digits of the file's sha256.

    Raises ModelError for another name.
    """
    found = _FILE.fullmatch(Path(name).name)
    if not found or (found[2] and (found[1] != FACTORIZED or found[3])):
        known = f"<codec>[-ms-ssim]-<1 to 8>-<8 digits of its sha256>.pth.tar, codec {NAMES}"
        raise ModelError(f"{name}: not a name of the zoo's published files: {known}")
    codec, _, other, quality, digits = found.groups()
    return Training(codec, METRICS[bool(other)], int(quality)), digits
