"""Rows of FID and KID: the patches of every codec spec against those of the originals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from icmbench.core.errors import MeasurementError
from icmbench.evaluation.patch_features import ORIGINALS, read_features
from icmbench.metrics.distribution import fit_gaussian, frechet_distance, kernel_distance
from icmbench.metrics.patches import corners
from icmbench.reporting.statistics.comparison import Comparison, Point

COLUMNS: Final = (
    "dataset", "family", "codec", "bpp", "images", "patches", "fid", "kid", "kid_std", "status",
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
    patches than `minimum`.

    Args:
        measurements: of the codec entry on the data set.
        originals, features: files of the originals and of the codec entry, by shard.

    Raises MeasurementError where a file of features is damaged or is of other images.
    """
    points = [
        Point(*pair) for pair in zip(measurements["family"], measurements["codec"], strict=True)
    ]
    sizes = measurements.drop_duplicates("image").set_index("image")
    counts = {
        image: len(corners(int(sizes["height"][image]), int(sizes["width"][image])))
        for image in chosen.images
    }
    images = [image for image, count in counts.items() if count]
    patches = sum(counts.values())
    values: dict[Point, dict[str, float]] = {}
    if patches >= minimum:
        wanted = [point for point in dict.fromkeys(points) if point not in chosen.excluded]
        values = _distances(wanted, images, patches, originals, features)
    rows = []
    for point in sorted(set(points)):
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
    points: Sequence[Point],
    images: Sequence[str],
    patches: int,
    originals: Sequence[Path],
    features: Sequence[Path],
) -> dict[Point, dict[str, float]]:
    reference = _checked(originals, ORIGINALS, images, patches)
    fitted = fit_gaussian(reference)
    found = {}
    for point in points:
        values = _checked(features, point.codec, images, patches)
        kernel = kernel_distance(reference, values)
        found[point] = {
            "fid": frechet_distance(fitted, fit_gaussian(values)),
            "kid": kernel.mean,
            "kid_std": kernel.std,
        }
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
