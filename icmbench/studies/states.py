"""The states of embedded MPD streams: a row per image and state, and their means."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from icmbench.codecs.mpd.codec import Mpd
from icmbench.codecs.mpd.inspect import SECTION_BITS, layers
from icmbench.codecs.mpd.palette.rdo import latent_error
from icmbench.codecs.specs import OperatingPoint
from icmbench.core.devices import use_device
from icmbench.core.errors import CodecError
from icmbench.core.images.image_files import read_image
from icmbench.core.progress import progress
from icmbench.core.typed_csv import read_table
from icmbench.datasets.records import Record
from icmbench.evaluation import archive
from icmbench.evaluation.shard import CodecEntry, write_rows
from icmbench.reporting.statistics.bootstrap import (
    MIN_IMAGES,
    interval,
    mean,
    resample_indices,
    resampled_means,
)
from icmbench.reporting.statistics.natural import natural_key

log = logging.getLogger(__name__)

COLUMNS = {
    "dataset": "str",
    "family": "str",
    "encoding": "str",
    "image": "str",
    "state": "int64",
    "entries": "int64",
    "bytes": "int64",
    "bpp": "float64",
    "latent_mse": "float64",
    **dict.fromkeys(SECTION_BITS, "float64"),
}
MEANS = ("entries", "bytes", "bpp", "latent_mse", *SECTION_BITS)
WITH_INTERVAL = ("bpp", "latent_mse")
_KEYS = ["dataset", "family", "encoding", "state"]


def make_codec(family: CodecEntry) -> Mpd:
    """The codec of an `mpd` entry with its model, in this process."""
    return Mpd(models=family.setup.models, device=use_device(family.setup.device))


def stored_stream(streams: Path, point: OperatingPoint, image_id: str) -> bytes | None:
    """An image's stream in a shard's archive, None where encoding failed."""
    extension = point.codec.file_extension(**dict(point.encode))
    name = archive.stream_member(point.encoding, image_id, extension)
    with archive.reader(streams) as source:
        return archive.read_member(source, name) if name in source.namelist() else None


def write_states(
    family: CodecEntry,
    dataset: str,
    records: Sequence[Record],
    folder: Path,
    *,
    streams: Path,
    out: Path,
) -> None:
    """Write a CSV of `COLUMNS`: one row per encoding, image and state of a shard's streams.

    `bytes` is the size of the file cut at the state, `bpp` counts original pixels, `latent_mse` is
    the mean squared error of z_t against the image's latent in squared standard deviations; the
    rest are bits of the state's own section by part (see `codecs.mpd.inspect`). An image without
    a stream, or with one that does not decode, has no rows here: it is among the run's failures.

    Args:
        folder: where the records' relative paths start.
        streams: zip that `encode_shard` wrote.
    """
    rows: list[dict[str, Any]] = []
    codec = make_codec(family) if records else None
    for record in progress(records, desc=f"states {family.name}", unit="image"):
        assert codec is not None
        image, _ = read_image(folder / record.path)
        latent = codec.model.latent(image)
        for encoding, point in family.encodings().items():
            where = {"dataset": dataset, "family": family.name, "encoding": encoding}
            where["image"] = record.image
            stream = stored_stream(streams, point, record.image)
            if stream is None:
                log.warning("%s, %s: not encoded", encoding, record.image)
                continue
            try:
                found = list(_state_rows(codec, stream, latent, image.shape[0] * image.shape[1]))
            except CodecError as error:
                log.warning("%s, %s: %s", encoding, record.image, error)
                continue
            rows += [where | row for row in found]
    write_rows(out, list(COLUMNS), rows)


def _state_rows(
    codec: Mpd, stream: bytes, latent: np.ndarray, pixels: int
) -> Iterator[dict[str, Any]]:
    found = layers(codec.model, stream)
    errors = latent_error([layer.shown for layer in found], latent)
    for layer, error in zip(found, errors, strict=True):
        yield {
            "state": layer.state,
            "entries": len(layer.shown.palette),
            "bytes": layer.bytes,
            "bpp": 8 * layer.bytes / pixels,
            "latent_mse": error,
            **layer.bits,
        }


def read_states(paths: Sequence[Path]) -> pd.DataFrame:
    """The rows of many shards, with the types of `COLUMNS`."""
    parts = [read_table(path).astype(COLUMNS) for path in paths]
    return pd.concat(parts, ignore_index=True)


def states_table(rows: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """Means over images: one row per data set, family, encoding and state, coarsest state first.

    Columns: `dataset, family, encoding, state, images`, then `MEANS`, those of `WITH_INTERVAL`
    followed by the ends of their 95 % bootstrap interval (`_lo`, `_hi`; none below 3 images).
    Bits are of the state's own section. A stream that was made for a target size may end before
    state 0: `images` says how many hold a state.
    """
    out = []
    for key, part in rows.groupby(_KEYS, sort=True):
        images = part.sort_values("image", kind="stable")
        draws = resample_indices(len(images), resamples, seed=seed, dataset=str(key[0]))
        row: dict[str, Any] = dict(zip(_KEYS, key, strict=True)) | {"images": len(images)}
        for name in MEANS:
            values = images[name].to_numpy(float)
            row[name] = mean(values)
            if name in WITH_INTERVAL:
                known = len(images) >= MIN_IMAGES
                ends = interval(resampled_means(values, draws)) if known else (np.nan, np.nan)
                row[f"{name}_lo"], row[f"{name}_hi"] = ends
        out.append(row)
    out.sort(
        key=lambda row: (row["dataset"], row["family"], natural_key(row["encoding"]), -row["state"])
    )
    return pd.DataFrame(out, columns=_columns())


def _columns() -> list[str]:
    names = [*_KEYS, "images"]
    for name in MEANS:
        names += [name, f"{name}_lo", f"{name}_hi"] if name in WITH_INTERVAL else [name]
    return names
