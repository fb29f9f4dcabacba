"""Rows of FID and KID: the patches of every codec spec against those of the originals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from icmbench.core.errors import MeasurementError
from icmbench.evaluation.patch_features import ORIGINALS, read_features
from icmbench.metrics.distribution import fit_gaussian, frechet_distance, kernel_distance
from icmbench.metrics.patches import corners
from icmbench.reporting.statistics.comparison import Comparison, Point
from icmbench.reporting.statistics.seeds import seed_groups

COLUMNS: Final = (
    "dataset", "family", "codec", "bpp", "images", "patches", "fid", "kid", "kid_std", "status",
    "fid_seeds", "kid_seeds",
)  # fmt: skip


def distribution_rows(
    measurements: pd.DataFrame,
    chosen: Comparison,
    originals: Sequence[Path],
    features: Sequence[Path],
    *,
    minimum: int,
) -> pd.DataFrame:
    """One row per codec spec of a codec entry on one data set: `COLUMNS`, sorted by codec spec.

    Patches are those of the images that `rd.csv` averages over, the same for every codec; `bpp` is
    the mean over those of them that have a patch, which `images` counts. `status` is ok, or the
    reason why there is no value: a codec spec that `rd.csv` does not average either, or fewer
    patches than `minimum`. Of a point with several seeds the values are means over the seeds, and
    `fid_seeds` and `kid_seeds` their standard deviations.

    Args:
        measurements: of the codec entry on the data set.
        originals, features: files of the originals and of the codec entry, by shard.

    Raises MeasurementError where a file of features is damaged or is of other images.
    """
    groups = seed_groups(measurements["codec"])
    points = [Point(str(family), name) for family in set(measurements["family"]) for name in groups]
    sizes = measurements.drop_duplicates("image").set_index("image")
    counts = {
        image: len(corners(int(sizes["height"][image]), int(sizes["width"][image])))
        for image in chosen.images
    }
    images = [image for image, count in counts.items() if count]
    patches = sum(counts.values())
    values: dict[Point, dict[str, float]] = {}
    if patches >= minimum:
        wanted = {p: groups[p.codec] for p in points if p not in chosen.excluded}
        values = _distances(wanted, images, patches, originals, features)
    rows = []
    for point in sorted(points):
        row = {"dataset": chosen.dataset, "family": point.family, "codec": point.codec}
        if point in chosen.excluded:
            status = f"failed on {chosen.excluded[point]} images: not compared"
            rows.append({**row, "images": 0, "patches": 0, "status": status})
            continue
        status = "ok"
        if patches < minimum:
            status = f"{patches} patches of 256 x 256, fewer than distribution.minimum: {minimum}"
        part = measurements[measurements["codec"] == point.codec].set_index("image")
        bpp = float(part["bpp"][images].mean()) if images else np.nan
        counted = {"bpp": bpp, "images": len(images), "patches": patches}
        rows.append({**row, **counted, **values.get(point, {}), "status": status})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _distances(
    points: Mapping[Point, Sequence[str]],
    images: Sequence[str],
    patches: int,
    originals: Sequence[Path],
    features: Sequence[Path],
) -> dict[Point, dict[str, float]]:
    reference = _checked(originals, ORIGINALS, images, patches)
    fitted = fit_gaussian(reference)
    found = {}
    for point, specs in points.items():
        rows = []
        for spec in specs:
            values = _checked(features, spec, images, patches)
            kernel = kernel_distance(reference, values)
            distance = frechet_distance(fitted, fit_gaussian(values))
            rows.append({"fid": distance, "kid": kernel.mean, "kid_std": kernel.std})
        seeds = pd.DataFrame(rows)
        found[point] = {str(name): float(value) for name, value in seeds.mean().items()}
        for name in ("fid", "kid"):
            found[point][f"{name}_seeds"] = float(seeds[name].std())  # nan: of one
    return found


def _checked(paths: Sequence[Path], codec: str, images: Sequence[str], patches: int) -> np.ndarray:
    values = read_features(paths, codec, images)
    if len(values) != patches:
        where = ", ".join(str(path) for path in paths[:2])
        raise MeasurementError(
            f"{where}: {codec} has features of {len(values)} patches, the compared images have "
            f"{patches}: the measurements are of other reconstructions"
        )
    return values
