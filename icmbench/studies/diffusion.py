"""Figures of Diff-ICMH for single images: reconstructions, samples of the prior, accounting.

All from a run's own files: the streams of a shard, and the original beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from matplotlib.figure import Figure

from icmbench.bitstream import container
from icmbench.bitstream.folding import fold
from icmbench.codecs.diff_icmh.codec import CELL, DiffIcmh
from icmbench.codecs.diff_icmh.diff_icmh_model import DiffICMHModel, Image
from icmbench.codecs.diff_icmh.entropy.stream import padded_size
from icmbench.codecs.diff_icmh.model_folder import MAIN
from icmbench.codecs.specs import OperatingPoint
from icmbench.core.devices import use_device
from icmbench.core.errors import CodecError
from icmbench.core.files import seed_from
from icmbench.core.images.image_files import read_image
from icmbench.datasets.records import Record
from icmbench.evaluation.codec_process import Failed
from icmbench.evaluation.decode import DecodeOne
from icmbench.evaluation.shard import CodecEntry
from icmbench.metrics.meter import Meter
from icmbench.reporting.figures.diffusion import (
    RateReconstruction,
    Sample,
    diffusion_rates,
    prior_alone,
)
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.studies.states import stored_stream

METRICS: Final = ("psnr_rgb", "ms_ssim")
COLUMNS: Final = (
    "dataset",
    "image",
    "codec",
    "width",
    "height",
    "padded_width",
    "padded_height",
    "bytes",
    "bpp",
    "bpp_as_published",
    *(name for metric in METRICS for name in (metric, f"{metric}_as_published")),
)
C_ALONE: Final = "c alone"
CONTROLLED: Final = "controlled"
PRIOR_ALONE: Final = "prior alone"

Row = dict[str, Any]


@dataclass(frozen=True)
class Coded:
    """File of one image at a rate, and its reconstruction.

    Attributes:
        point: of the codec entry.
        stream: the file.
        tags: names of its tags.
        picture: uint8 (H, W, 3), decoded by a fresh process.
        uncropped: the same before it is cropped to the image's size: multiples of 64 a side.
    """

    point: OperatingPoint
    stream: bytes
    tags: tuple[str, ...]
    picture: Image
    uncropped: Image


@dataclass(frozen=True)
class Drawn:
    """Both figures of an image, and its rows of `COLUMNS`: none where a placeholder says why."""

    rates: Figure
    alone: Figure
    rows: list[Row]


def make_icmh(family: CodecEntry) -> DiffIcmh:
    """The codec of a `diff-icmh` entry with its model, in this process."""
    return DiffIcmh(models=family.setup.models, device=use_device(family.setup.device))


def rate_points(family: CodecEntry) -> list[OperatingPoint]:
    """The entry's points with default tags and variant, one per rate, lowest first.

    Of several points of one rate, the first that samples, or the first.
    """
    found: dict[int, OperatingPoint] = {}
    for point in sorted(family.points, key=lambda point: dict(point.decode)["sampler"] == "none"):
        keys = dict(point.encode)
        if keys["tags"] == "auto" and keys["variant"] == MAIN:
            found.setdefault(int(keys["rate"]), point)
    return [found[rate] for rate in sorted(found)]


def draw_image(
    dataset: str,
    record: Record,
    folder: Path,
    streams: Path,
    family: CodecEntry,
    codec: DiffIcmh,
    decode: DecodeOne,
) -> Drawn:
    """Make the figures and the accounting of one image.

    Args:
        folder: the record's path is relative to it.
        streams: archive of the image's shard.
        family: an entry of the codec `diff-icmh`.
        codec: its codec, from `make_icmh`.
        decode: of `evaluation.decode.decoding`.

    Where the image was refused or not encoded, or a stream does not decode, the figures are
    placeholders with the reason.
    """
    titles = [
        f"{dataset}: {record.image} at every rate of {family.name}",
        f"{dataset}: {record.image}, samples of the prior of {family.name}",
    ]

    def nothing(reason: str) -> Drawn:
        return Drawn(placeholder(titles[0], reason), placeholder(titles[1], reason), [])

    if record.status != "ok":
        return nothing(f"the image was refused: {record.status}")
    original, _ = read_image(folder / record.path)
    try:
        coded = list(coded_pictures(record.image, streams, family, codec, decode))
        if not coded:
            return nothing("no point with the default tags was encoded; see the failures.")
        point, stream = coded[0].point, coded[0].stream
        samples, how = prior_samples(record.image, original, stream, point, codec)
    except (CodecError, Failed) as error:
        return nothing(f"a stream does not decode: {error}")
    where = {"dataset": dataset, "image": record.image}
    rows = [where | row for row in accounting_rows(original, coded)]
    pictures = [_rate_reconstruction(each, row) for each, row in zip(coded, rows, strict=True)]
    origin = f"File: rate {pictures[0].rate} of {family.name}"
    return Drawn(
        diffusion_rates(original, pictures, title=titles[0]),
        prior_alone(original, samples, title=titles[1], file=origin, how=how),
        rows,
    )


def coded_pictures(
    image_id: str, streams: Path, family: CodecEntry, codec: DiffIcmh, decode: DecodeOne
) -> Iterator[Coded]:
    """Files and reconstructions of an image at the entry's `rate_points` that were encoded.

    Raises Failed and CodecError where one does not decode.
    """
    for point in rate_points(family):
        stream = stored_stream(streams, point, image_id)
        if stream is None:
            continue
        model, parsed = codec.parse(stream)
        picture = decode(family, streams, point, image_id)
        whole = uncropped(model, stream, parsed, point)
        yield Coded(point, stream, _tag_names(model, parsed), picture, whole)


def uncropped(
    model: DiffICMHModel, stream: bytes, parsed: container.Stream, point: OperatingPoint
) -> Image:
    """Decode a stream without cropping: uint8 (H, W, 3), sides multiples of 64."""
    # Always one stream at a time.
    keys: dict[str, Any] = {k: v for k, v in point.decode if k != "batch"}
    return model.decode_padded(stream, parsed, **keys)


def accounting_rows(original: Image, coded: list[Coded]) -> Iterator[Row]:
    """Rows of `COLUMNS` without the first two: rate and metrics by our rules and as published.

    Our rules: bits per pixel of the image, metrics at the size of the image. The official
    evaluation divides by the pixels of the image padded to sides that are multiples of 64, and
    compares the padded reconstruction with the original padded by zeros at the right and bottom.
    (It also codes the zero-padded image; our codec repeats the last row and column, and folds thin
    images first.) MS-SSIM is NaN below 161 pixels.
    """
    meter = Meter(METRICS)
    height, width = original.shape[:2]
    rows, columns = padded_size(height, width)
    folded = fold(original, CELL)
    pads = (0, rows - folded.shape[0]), (0, columns - folded.shape[1]), (0, 0)
    padded = np.pad(folded, pads)
    # The meter caches the features of the last original: do not alternate between the two.
    ours = [meter(original, each.picture) for each in coded]
    theirs = [meter(padded, each.uncropped) for each in coded]
    for each, own, published in zip(coded, ours, theirs, strict=True):
        bits = 8 * len(each.stream)
        yield {
            "codec": each.point.spec,
            "width": width,
            "height": height,
            "padded_width": columns,
            "padded_height": rows,
            "bytes": len(each.stream),
            "bpp": bits / (width * height),
            "bpp_as_published": bits / (columns * rows),
            **own,
            **{f"{name}_as_published": value for name, value in published.items()},
        }


def prior_samples(
    image_id: str, original: Image, stream: bytes, point: OperatingPoint, codec: DiffIcmh
) -> tuple[list[Sample], dict[str, Any]]:
    """Sample the prior with and without control; also return the sampling parameters.

    The samples: c alone; controlled, with the file's tags; the prior alone with the tags, for two
    noises; the prior alone without tags. Noise n has the seed of (image id, n), so the controlled
    sample and the first one of the prior alone start from the same latent.

    Returns:
        The samples, and `sampler`, `steps` and `guidance` of the point or, by default, the model.
    """
    model, parsed = codec.parse(stream)
    coded, names = model.read(parsed), _tag_names(model, parsed)
    how = _sampling(model, point)
    meter = Meter(("psnr_rgb",))
    found: list[Sample] = []

    def add(kind: str, tags: tuple[int, ...], draw: int | None) -> None:
        latent = c
        if draw is not None:
            seed, controlled = seed_from(image_id, draw), kind == CONTROLLED
            latent = model.sample(c, [tags], seeds=[seed], controlled=controlled, **how)
        shown = model.show(latent, (original.shape[0], original.shape[1]))
        psnr = meter(original, shown)["psnr_rgb"]
        found.append(Sample(kind, names if tags else (), draw, psnr, shown))

    with torch.inference_mode():
        c = model.conditioning(coded)
        add(C_ALONE, coded.tags, None)
        add(CONTROLLED, coded.tags, 0)
        add(PRIOR_ALONE, coded.tags, 0)
        add(PRIOR_ALONE, coded.tags, 1)
        add(PRIOR_ALONE, (), 0)
    return found, how


def _sampling(model: DiffICMHModel, point: OperatingPoint) -> dict[str, Any]:
    """Sampler, steps and guidance of a point; the model's defaults where the point has none."""
    keys, defaults = dict(point.decode), model.codec.defaults
    sampler = keys["sampler"]
    return {
        "sampler": defaults["sampler"] if sampler in ("model", "none") else sampler,
        "steps": keys["steps"] or defaults["steps"],
        "guidance": keys["guidance"] or defaults["guidance"],
    }


def _tag_names(model: DiffICMHModel, parsed: container.Stream) -> tuple[str, ...]:
    return tuple(model.prior.vocabulary[tag] for tag in model.read(parsed).tags)


def _rate_reconstruction(coded: Coded, row: Row) -> RateReconstruction:
    rate = int(dict(coded.point.encode)["rate"])
    return RateReconstruction(
        rate, coded.point.spec, len(coded.stream), row["psnr_rgb"], coded.tags, coded.picture
    )
