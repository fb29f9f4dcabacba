"""Training of the head of `latent-segmentation`: decoded latents of scenes and their label maps.

Unlike the models of all other tasks, the head is trained on what the codec decodes, since it takes
nothing else: on the latents of every operating point of the codec entries, from training scenes
alone, and on those of the originals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from icmbench.core.errors import DatasetError

if TYPE_CHECKING:  # every module of this package is read with the configuration
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from icmbench.codecs.base import Codec
    from icmbench.codecs.specs import OperatingPoint
    from icmbench.training.data import TrainingData
    from icmbench.training.loop import Losses, Schedule, Session

CELL = 8  # pixels


@dataclass(frozen=True)
class Pairs:
    """Latents of scenes at several points, and one label map per scene.

    Attributes:
        latents: per scene float16 (points, h, w, C), the original's last.
        labels: per scene uint8 (8h, 8w); 255 beyond the image and where no class is labelled.
    """

    latents: Sequence[NDArray[np.float16]]
    labels: Sequence[NDArray[np.uint8]]

    def draw(
        self, rng: np.random.Generator, count: int, side: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Crops of `side` cells: latents (count, C, side, side), labels at every second pixel."""
        import numpy as np

        from icmbench.tasks.backends.latent_head import STRIDE

        latents, labels = [], []
        for number in rng.integers(len(self.latents), size=count):
            points = self.latents[number]
            chosen = points[rng.integers(len(points))]
            top, left = (int(rng.integers(length - side + 1)) for length in chosen.shape[:2])
            latents.append(chosen[top : top + side, left : left + side].transpose(2, 0, 1))
            rows = slice(CELL * top + STRIDE // 2, CELL * (top + side), STRIDE)
            columns = slice(CELL * left + STRIDE // 2, CELL * (left + side), STRIDE)
            labels.append(self.labels[number][rows, columns])
        return np.stack(latents).astype(np.float32), np.stack(labels).astype(np.int64)


def make_pairs(
    codec: Codec, points: Sequence[OperatingPoint], data: TrainingData, count: int
) -> Pairs:
    """Code scenes at every point; `count`: their number, evenly spaced in the training data.

    Raises DatasetError for an image without `<image>.semantic.png` beside it.
    """
    import numpy as np

    from icmbench.core.progress import progress
    from icmbench.scenes.labels import IGNORE
    from icmbench.tasks.training.scene_views import _map as read_map

    total = len(data.images)
    chosen = [index * total // min(count, total) for index in range(min(count, total))]
    latents, labels = [], []
    for index in progress(chosen, desc="latents of scenes", unit="image"):
        image, streams = data.images[index], {}
        found = []
        for point in points:
            if point.encoding not in streams:
                streams[point.encoding] = codec.encode(image, **dict(point.encode))
            stream = codec.truncate(streams[point.encoding], **dict(point.cut))
            found.append(codec.decode_latent(stream, **dict(point.decode)).values)
        found.append(codec.image_latent(image).values)
        height, width = image.shape[:2]
        if found[0].shape[:2] != (-(-height // CELL), -(-width // CELL)):
            continue  # folded
        latents.append(np.stack(found).astype(np.float16))
        padding = [(0, -length % CELL) for length in (height, width)]
        labels.append(np.pad(read_map(data.paths[index]), padding, constant_values=IGNORE))
    if not latents:
        raise DatasetError("training data: no scene that is wide and high enough for a latent head")
    return Pairs(latents, labels)


def train_head(
    pairs: Pairs,
    channels: int,
    schedule: Schedule,
    session: Session,
    describe: dict[str, Any],
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Train a head by cross-entropy; its weights and metadata, for `save_network`.

    Args:
        channels: of the head's hidden layers.
        describe: everything that decides the pairs.
    """
    import torch

    from icmbench.scenes.labels import IGNORE, SEMANTIC_CLASSES
    from icmbench.tasks.backends.latent_head import HeadSettings, build_head
    from icmbench.training.loop import train

    settings = HeadSettings(pairs.latents[0].shape[-1], channels, tuple(SEMANTIC_CLASSES))
    network = build_head(settings, schedule.seed).to(session.device)
    side = min(length for points in pairs.latents for length in points.shape[1:3])
    loss = torch.nn.CrossEntropyLoss(ignore_index=IGNORE)

    def losses(rng: np.random.Generator) -> Losses:
        latents, labels = pairs.draw(rng, schedule.batch, side)
        scores = network(torch.from_numpy(latents).to(session.device)).float()
        return {"loss": loss(scores, torch.from_numpy(labels).to(session.device))}

    about = {"network": settings.values(), **describe}
    # Of the cross-entropy of maps there is no deterministic algorithm on a GPU.
    exact = session.device == "cpu"
    train("latent_head", network, schedule, losses, session, describe=about, exact=exact)
    return network.cpu().state_dict(), {"network": settings.values()}
