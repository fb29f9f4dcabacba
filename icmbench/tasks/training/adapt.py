"""Training scenes as a codec decodes them, on which a task model is adapted to the codec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # every module of this package is read with the configuration
    from icmbench.codecs.base import Codec
    from icmbench.codecs.specs import OperatingPoint
    from icmbench.training.data import TrainingData


def reconstructed(
    codec: Codec, points: Sequence[OperatingPoint], data: TrainingData, count: int
) -> TrainingData:
    """Scenes as they are decoded at every point, in memory; annotations are those of the originals.

    Args:
        count: of scenes, evenly spaced in the training data; each is there once per point.

    Raises what the codec raises: every scene has to be coded.
    """
    from icmbench.codecs.base import check_image
    from icmbench.core.files import sha256_bytes
    from icmbench.core.images.image_files import pixel_sha256
    from icmbench.core.progress import progress

    total = len(data.images)
    chosen = [index * total // min(count, total) for index in range(min(count, total))]
    images, paths = [], []
    for index in progress(chosen, desc="reconstructions of scenes", unit="image"):
        streams: dict[str, bytes] = {}
        for point in points:
            if point.encoding not in streams:
                streams[point.encoding] = codec.encode(data.images[index], **dict(point.encode))
            stream = codec.truncate(streams[point.encoding], **dict(point.cut))
            images.append(check_image(codec.decode(stream, **dict(point.decode))))
            paths.append(data.paths[index])
    pixels = tuple(pixel_sha256(image) for image in images)
    digest = sha256_bytes("".join(pixels).encode())
    return replace(data, images=images, digest=digest, paths=tuple(paths), pixels=pixels)
