"""Features of the patches of a shard, for FID and KID: one set per codec spec, or of the originals.

The file is an .npz: `specs` (text) and `images` (text) are lists, and for the codec spec with the
number n in `specs`, `features.n` is float16 (patches, 2048) and `image.n` int32 (patches,), the
number of the patch's image in `images`. An image that was not decoded has no patch; the originals
are the one codec spec `originals`.
"""

from __future__ import annotations

import io
import logging
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from icmbench.codecs.base import Image
from icmbench.core.errors import MeasurementError
from icmbench.core.files import atomic_path
from icmbench.core.images.image_files import read_image
from icmbench.core.progress import progress
from icmbench.datasets.records import Record
from icmbench.evaluation import archive
from icmbench.evaluation.shard import DECODED, read_rows
from icmbench.metrics.patches import patches

log = logging.getLogger(__name__)

ORIGINALS = "originals"
Extract = Callable[[np.ndarray], np.ndarray]
"""Patches uint8 (n, 256, 256, 3) -> features (n, d)."""
Read = Callable[[], "Image | None"]


def write_originals(
    records: Sequence[Record], folder: Path, extract: Extract, features: Path
) -> None:
    """Write the features of the patches of a shard's originals."""
    images = {record.image: partial(_original, folder / record.path) for record in records}
    _write(features, list(images), {ORIGINALS: images}, extract)


def write_reconstructions(
    records: Sequence[Record], pictures: Path, decoded: Path, extract: Extract, features: Path
) -> None:
    """Write the features of the patches of a shard's reconstructions, codec spec by codec spec.

    A reconstruction that is damaged or of another size than the original has no patches; the
    measuring job makes a row of it.
    """
    shapes = {record.image: (record.height, record.width, 3) for record in records}
    found: dict[str, dict[str, Read]] = defaultdict(dict)
    with archive.reader(pictures) as source:
        for row in read_rows(decoded, DECODED):
            readers, (codec, image) = found[row["codec"]], (row["codec"], row["image"])
            if row["status"] == "ok" and image in shapes:
                readers[image] = partial(_reconstruction, source, codec, image, shapes[image])
        _write(features, list(shapes), found, extract)


def _original(path: Path) -> Image:
    return read_image(path)[0]


def _reconstruction(
    source: zipfile.ZipFile, codec: str, image: str, shape: tuple[int, ...]
) -> Image | None:
    try:
        picture = archive.read_picture(source, archive.picture_member(codec, image))
    except MeasurementError as error:
        log.warning("%s, %s: %s", codec, image, error)
        return None
    return picture if picture.shape == shape else None


def _write(
    path: Path,
    images: Sequence[str],
    pictures: Mapping[str, Mapping[str, Read]],
    extract: Extract,
) -> None:
    """Write a file of features; one codec spec is in memory at a time."""
    specs = sorted(pictures)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as target:
        _add(target, "specs", np.array(specs, np.str_))
        _add(target, "images", np.array(images, np.str_))
        for number, spec in enumerate(specs):
            rows: list[np.ndarray] = []
            owners: list[int] = []
            for index, image in enumerate(progress(images, desc=spec, unit="image")):
                picture = pictures[spec][image]() if image in pictures[spec] else None
                if picture is not None and len(cut := patches(picture)):
                    # Image by image, so that features do not depend on the shards.
                    rows.append(extract(cut).astype(np.float16))
                    owners += [index] * len(cut)
            joined = np.concatenate(rows) if rows else np.zeros((0, 0), np.float16)
            _add(target, f"features.{number}", joined)
            _add(target, f"image.{number}", np.array(owners, np.int32))


def _add(target: zipfile.ZipFile, name: str, values: np.ndarray) -> None:
    """Add an array as `numpy.savez` does, with the same bytes for the same values."""
    info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, values, allow_pickle=False)
    target.writestr(info, buffer.getvalue())


def read_features(paths: Sequence[Path], codec: str, images: Sequence[str]) -> np.ndarray:
    """Features of the patches of some images, in the order of the images: float16 (n, d).

    Args:
        paths: the files of all shards.
        codec: codec spec, or `ORIGINALS`.
        images: ids; those without a patch are left out.

    Raises MeasurementError naming a file that is damaged.
    """
    found = dict(_by_image(paths, codec))
    parts = [found[image] for image in images if image in found]
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float16)


def _by_image(paths: Sequence[Path], codec: str) -> Iterator[tuple[str, np.ndarray]]:
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as stored:
                specs, images = stored["specs"].tolist(), stored["images"].tolist()
                if codec not in specs:
                    continue
                number = specs.index(codec)
                values, owners = stored[f"features.{number}"], stored[f"image.{number}"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise MeasurementError(f"{path}: no file of patch features: {error}") from error
        for index, image in enumerate(images):
            if (mask := owners == index).any():
                yield image, values[mask]
