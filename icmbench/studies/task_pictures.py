"""Figure of predictions: one image as reconstructed by every codec entry at about one rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from icmbench.codecs.specs import parse_spec
from icmbench.core.images.image_files import read_image
from icmbench.datasets.records import Record
from icmbench.evaluation.decode import DecodeOne
from icmbench.evaluation.shard import CodecEntry
from icmbench.reporting.figures.matching import OVER, WITHIN, matched_rate, unmatched_families
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.predicted import Predicted
from icmbench.reporting.figures.task_pictures import task_pictures
from icmbench.tasks import store
from icmbench.tasks.attempt import Failure
from icmbench.tasks.base import ORIGINALS, Labels, Prediction


@dataclass(frozen=True)
class Shard:
    """Files of the shard that holds an image.

    Attributes:
        images: folder of the images; the records' paths are relative to it.
        measurements: rows of all codec entries.
        streams, predictions: archive of every codec entry; predictions also of `ORIGINALS`.
    """

    images: Path
    measurements: pd.DataFrame
    streams: Mapping[str, Path]
    predictions: Mapping[str, Path]


def pictures_of_task(
    task: str,
    model: str,
    produces: str,
    labels: Labels,
    record: Record,
    bpp: float,
    shard: Shard,
    families: Mapping[str, CodecEntry],
    decode: DecodeOne,
) -> Figure:
    """Draw a model's predictions on one image and on its reconstructions at about `bpp` bits/pixel.

    Reconstructions are decoded from the streams by `decode` (`evaluation.decode.decoding`);
    predictions are the stored ones. Where the image was refused, the model failed on the original,
    or no codec entry has a point near the rate, the figure is a placeholder with the reason. Raises
    MeasurementError where the image was never measured or has neither a prediction nor a reason.
    """
    name = record.image
    title = f"{task} on {labels.dataset}: {name} at about {bpp:g} bits per pixel"
    if record.status != "ok":
        return placeholder(title, f"the image was refused: {record.status}")

    def predicted(family: str, codec: str) -> Prediction | Failure:
        files = [shard.predictions[family]]
        if reason := store.outcome(files, produces).reason(codec, name):
            return Failure(reason)
        return store.read(files, codec, [name], produces)[name]

    original, _ = read_image(shard.images / record.path)
    first = predicted(ORIGINALS, ORIGINALS)
    if isinstance(first, Failure):
        return placeholder(title, f"the task failed on the original: {first.reason}")
    seen = [Predicted("original", "", None, original, first)]
    chosen = matched_rate(shard.measurements, labels.dataset, name, bpp)
    left_out = unmatched_families(shard.measurements, chosen, labels.dataset, name)
    if chosen.empty:
        return placeholder(title, f"no codec has a point near this rate: {', '.join(left_out)}.")
    failed: list[str] = []
    for row in chosen.to_dict("records"):
        family, codec = row["family"], row["codec"]
        stream = shard.streams[family]
        found = predicted(family, codec)
        if isinstance(found, Failure):
            failed.append(codec)
            continue
        picture = decode(families[family], stream, parse_spec(codec), name)
        seen.append(Predicted(family, codec, row["bpp"], picture, found))
    note = (
        f"Model: {model}. Every codec's point nearest to the rate on this image, from {WITHIN:g} "
        f"times below to {OVER:g} times above it."
    )
    if left_out:
        note += f" No point near this rate: {', '.join(left_out)}."
    if failed:
        note += f" The task failed on: {', '.join(failed)}."
    return task_pictures(seen, labels, title=title, note=note)
