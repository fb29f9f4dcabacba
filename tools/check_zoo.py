"""Compare a run's points of the zoo's codecs on Kodak with those that CompressAI publishes.

    icmbench fetch bmshj2018-factorized bmshj2018-hyperprior mbt2018-mean
    snakemake --cores all --configfile configs/kodak.yaml results/kodak/tables/rd.csv
    python tools/check_zoo.py results/kodak/tables/rd.csv

Exit status 1 where a point is more than 0.02 dB or 1 % of the rate away, or there is none.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator

import pandas as pd

from icmbench.codecs.specs import make_point
from icmbench.codecs.zoo.published import METRICS, NAMES, QUALITIES
from icmbench.core.typed_csv import read_table
from icmbench.reporting.published.points import shipped_points

DATASET = "kodak"
PSNR = "psnr_rgb"
DECIBELS = 0.02
RATE = 0.01


def published(codec: str, metric: str) -> list[tuple[float, float]]:
    """Bits per pixel and PSNR (dB) of a codec's qualities, from files that CompressAI decoded."""
    name = codec if metric == METRICS[0] else f"{codec} ({metric})"
    wanted = (name, DATASET, PSNR)
    points = [p for p in shipped_points() if (p.codec, p.dataset, p.metric) == wanted]
    return sorted((point.bpp, point.value) for point in points)


def compared(table: pd.DataFrame) -> Iterator[tuple[str, float, float]]:
    """Codec spec, relative difference of the rate and difference in dB of every point at hand."""
    rows = table[table["dataset"] == DATASET].drop_duplicates("codec").set_index("codec")
    for codec, metric in itertools.product(NAMES, METRICS):
        points = zip(QUALITIES, published(codec, metric), strict=True)
        for quality, (bpp, decibels) in points:
            spec = make_point(codec, {"quality": quality, "metric": metric}).spec
            if spec in rows.index:
                row = rows.loc[spec]
                yield spec, float(row["bpp"]) / bpp - 1, float(row[PSNR]) - decibels


def main(path: str) -> int:
    """Print every difference; 0 where all are small."""
    found = list(compared(read_table(path)))
    for spec, rate, decibels in found:
        far = abs(rate) > RATE or abs(decibels) > DECIBELS
        print(f"{spec:<42} {rate:+8.3%} {decibels:+7.3f} dB{'  FAR' if far else ''}")
    if not found:
        print(f"{path}: no point of {', '.join(NAMES)} on {DATASET}")
    far = [one for one in found if abs(one[1]) > RATE or abs(one[2]) > DECIBELS]
    print(f"{len(found)} points, {len(far)} beyond {RATE:.0%} or {DECIBELS} dB")
    return int(bool(far) or not found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
