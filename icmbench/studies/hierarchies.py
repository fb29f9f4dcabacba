"""Palette hierarchy of one image: read from its stream and drawn."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from icmbench.codecs.mpd.inspect import layers
from icmbench.core.errors import CodecError
from icmbench.core.images.image_files import read_image
from icmbench.datasets.records import Record
from icmbench.evaluation.shard import CodecEntry
from icmbench.reporting.figures.hierarchy import Level, palette_hierarchy
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.studies.states import make_codec, stored_stream

DECODER = "regression"


def hierarchy_figure(
    dataset: str, record: Record, folder: Path, streams: Path, family: CodecEntry
) -> Figure:
    """Draw palette, index map and reconstruction at every state of an image's stream.

    The stream is that of the codec entry's first encoding.

    Args:
        folder: the record's path is relative to it.
        streams: archive of the image's shard.
        family: an entry of the codec `mpd`.

    Where the image was refused or not encoded, the figure is a placeholder with the reason.
    """
    encoding, point = next(iter(family.encodings().items()))
    title = f"{dataset}: palette hierarchy of {record.image}, {encoding}"
    if record.status != "ok":
        return placeholder(title, f"the image was refused: {record.status}")
    stream = stored_stream(streams, point, record.image)
    if stream is None:
        return placeholder(title, "the image was not encoded; see the failures.")
    original, _ = read_image(folder / record.path)
    model = make_codec(family).model
    size = original.shape[0], original.shape[1]
    levels: list[Level] = []
    try:
        for layer in layers(model, stream):
            if layer.state < 0:
                break  # the palette of state 0, refined
            if levels and layer.bytes == levels[-1].bytes:
                continue  # a small image's state without a section: the file of the coarser one
            levels.append(
                Level(
                    layer.state,
                    layer.shown.labels,
                    len(layer.shown.palette),
                    layer.bytes,
                    model.show(layer.shown, DECODER, seed=0, size=size),
                )
            )
    except CodecError as error:
        return placeholder(title, f"the stream does not decode: {error}")
    return palette_hierarchy(original, levels, title=title, decoder=DECODER)
