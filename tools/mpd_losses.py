"""Losses of quality and bits in MPD, stage by stage: `python tools/mpd_losses.py FOLDER`.

The rows are cumulative, means over the images of the folder with the bundled weights:

- the autoencoder alone: its decoder on the encoder's latent, nothing coded;
- palette: every cell replaced by its entry's mean, labels of least distortion (`rdo=0,
  decoder=mean`);
- rate-distortion optimised labels (`rdo=1, decoder=mean`);
- the reverse process R (`rdo=1, decoder=regression`): the codec as it is by default.

One thread, deterministic, a few seconds an image. Rates are those of the file cut at `--state`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from icmbench.codecs.mpd.codec import Mpd
from icmbench.core.errors import IcmbenchError
from icmbench.core.images.image_files import read_image

METRICS = ("psnr_rgb", "ms_ssim", "ssimulacra2")
TITLES = ("PSNR (dB)", "MS-SSIM", "SSIMULACRA 2")
DIGITS = (2, 3, 1)
STAGES = ("autoencoder alone", "palette", "rate-distortion optimised labels", "reverse process R")
RATES = 2  # the stage that changes the rate
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")


def main() -> int:
    """Print the table; 1 where the folder holds no image."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="images, e.g. the 24 of Kodak")
    parser.add_argument("--state", type=int, default=0, help="diffusion state; default: 0")
    arguments = parser.parse_args()
    paths = sorted(p for p in arguments.folder.glob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        print(f"mpd_losses.py: {arguments.folder}: no image ({' '.join(SUFFIXES)})")
        return 1
    try:
        rows = measure(paths, arguments.state)
    except IcmbenchError as error:
        print(f"mpd_losses.py: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{len(paths)} images, state {arguments.state}\n")
    print(table(rows.mean(axis=0)))
    return 0


def measure(paths: list[Path], state: int) -> np.ndarray:
    """Rate and metrics of every image and stage, (images, stages, 1 + metrics); rate 0: no file."""
    import torch

    torch.set_num_threads(1)
    from icmbench.metrics.meter import Meter
    from icmbench.models.latent import SCALE

    codec, meter = Mpd(), Meter(list(METRICS))
    rows = np.zeros((len(paths), len(STAGES), 1 + len(METRICS)))
    for number, path in enumerate(paths):
        image, _ = read_image(path)
        size = image.shape[0], image.shape[1]
        plain = codec.truncate(codec.encode(image, rdo=0), state=state)
        optimised = codec.truncate(codec.encode(image), state=state)
        latent = codec.model.latent(image).astype(np.float32) / np.float32(SCALE)
        decoded = [
            (0, codec.model.autoencoder.image(latent, size)),
            (len(plain), codec.decode(plain, decoder="mean")),
            (len(optimised), codec.decode(optimised, decoder="mean")),
            (len(optimised), codec.decode(optimised, decoder="regression")),
        ]
        for stage, (length, picture) in enumerate(decoded):
            values = meter(image, picture)
            rows[number, stage] = [8 * length / (size[0] * size[1]), *(values[m] for m in METRICS)]
        print(f"{path.name}: {rows[number, -1, 1]:.2f} dB", file=sys.stderr, flush=True)
    return rows


def table(means: np.ndarray) -> str:
    """Markdown: each stage's values, and in parentheses the change by it."""
    lines = [f"| | bpp | {' | '.join(TITLES)} |", "|---|---|---|---|---|"]
    for number, stage in enumerate(STAGES):
        rate = f"{means[number, 0]:.4f}" if means[number, 0] else ""
        if number == RATES:
            rate += f" ({100 * (means[number, 0] / means[number - 1, 0] - 1):+.0f} %)"
        cells = [rate]
        for column, digits in enumerate(DIGITS, start=1):
            text = f"{means[number, column]:.{digits}f}"
            if number:
                change = round(means[number, column] - means[number - 1, column], digits)
                text += f" ({change + 0.0:+.{digits}f})"
            cells.append(text)
        cells = [cell.replace("-", "\N{MINUS SIGN}") for cell in cells]
        lines.append(f"| {'+ ' * bool(number)}{stage} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
