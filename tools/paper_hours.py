"""Processor hours and disk space of the papers' runs, computed from speeds and rates measured here.

    python tools/paper_hours.py

Hours of the conventional codecs and of the metrics are milliseconds of docs/speed.md (one thread)
per pixel, times the pixels of the data sets and the number of codec specs. Streams have the mean
rates of the default run's photographs (reference/default/rd.csv). Nothing was run at this size.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from icmbench.codecs.specs import expand_points
from icmbench.core.typed_csv import read_table

ROOT: Final = Path(__file__).resolve().parent.parent
MEASURED: Final = 741 * 500 / 1e6  # megapixels of the photograph in docs/speed.md
CODECS: Final = {"identity": (255, 22), "jpeg": (9, 5), "webp": (94, 6), "avif": (538, 7)}
# Of 768 x 512 pixels, bundled sizes: clustering and coding of an image, decoding of a state's bits.
MPD: Final = (768 * 512 / 1e6, 502, 23)
# The last four with random weights of the published shapes, in processor time.
METRICS: Final = {
    "psnr_rgb": 2, "psnr_y": 5, "ssim": 36, "ms_ssim": 58, "haarpsi": 29, "gmsd": 14,
    "ssimulacra2": 125, "lpips": 250, "lpips_vgg": 5100, "dists": 1070, "niqe": 83,
}  # fmt: skip
NETWORKS: Final = ("lpips", "lpips_vgg", "dists")  # on the GPU, where a run has one
# Images, and their mean megapixels: the published size, or the usual one (ADE20K, CLIC, Flickr30k).
SETS: Final = {
    "paper-mpd": {"coco": (5000, 0.3), "faces": (1000, 1.05), "ade20k": (500, 0.35)},
    "paper-diff-icmh": {
        "kodak": (24, 0.39), "clic": (250, 2.8), "tecnick": (100, 1.44), "coco": (5000, 0.3),
        "flickr30k": (1000, 0.19), "ade20k": (2000, 0.35),
    },
}  # fmt: skip
# Measured: bytes of a row of measurements and of the tables beside it, and of stored predictions of
# 100 instances with masks or of a map, in files of small runs.
ROW: Final = 1000
PREDICTION: Final = 20_000


def main() -> None:
    """Print a table as Markdown."""
    print("| | MPD | Diff-ICMH |\n|---|---|---|")
    columns = [computed(name) for name in SETS]
    for key in columns[0]:
        print(f"| {key} | {' | '.join(column[key] for column in columns)} |")


def computed(paper: str) -> dict[str, str]:
    """The rows of one paper."""
    config = yaml.safe_load((ROOT / "configs" / f"{paper}.yaml").read_text("utf-8"))
    images = sum(count for count, _ in SETS[paper].values())
    pixels = sum(count * size for count, size in SETS[paper].values())
    points = [
        (entry.get("codec", name), point)
        for name, entry in config["codecs"].items()
        for point in expand_points(entry.get("codec", name), entry["points"])
    ]
    coding = sum(coding_ms(codec, dict(point.encode)) for codec, point in points if codec in CODECS)
    own, learned = (
        sum(METRICS[name] for name in config["metrics"] if (name in NETWORKS) is chosen)
        for chosen in (False, True)
    )
    side, encoding, decoding = MPD
    ours = [point for codec, point in points if codec == "mpd"]
    coded = encoding * len({point.encoding for point in ours}) + decoding * len(ours)
    own_ms = coded * MEASURED / side
    streams = {(codec, point.encoding): rate(codec, dict(point.encode)) for codec, point in points}
    rows = len(points) * images * (ROW + PREDICTION)

    def hours(milliseconds: float) -> str:
        return f"{milliseconds / 1000 * pixels / MEASURED / 3600:,.0f}"

    return {
        "megapixels": f"{pixels:,.0f}",
        "codec specs": f"{len(points)}",
        "processor hours: conventional codecs": hours(coding),
        "processor hours: MPD's clustering, coding, decoding without networks": hours(own_ms),
        "processor hours: metrics": hours(len(points) * own),
        "the same: LPIPS and DISTS, without a GPU": hours(len(points) * learned),
        "streams, GB": f"{sum(streams.values()) * pixels / 8 / 1000:.1f}",
        "predictions and measurements, GB, at most": f"{rows / 1e9:.0f}",
    }


def coding_ms(codec: str, keys: Mapping[str, Any]) -> float:
    """Milliseconds of encoding and decoding the photograph of docs/speed.md."""
    return sum(CODECS[codec]) * float(keys.get("scale", 1)) ** 2


def rate(codec: str, keys: Mapping[str, Any]) -> float:
    """Bits per pixel of a codec spec: of the nearest ones in the default run."""
    table = read_table(ROOT / "reference" / "default" / "rd.csv")
    table = table[(table["dataset"] == "photos") & (table["family"] == codec)]
    if "quality" not in keys:
        return float(table["bpp"].max())
    known = table["codec"].str.extract(r"quality=(\d+)")[0].astype(float)
    whole = ~table["codec"].str.contains("scale") & known.notna()
    order = known[whole].argsort()
    bpp = np.interp(keys["quality"], known[whole].iloc[order], table["bpp"][whole].iloc[order])
    return float(bpp) * float(keys.get("scale", 1))


if __name__ == "__main__":
    main()
