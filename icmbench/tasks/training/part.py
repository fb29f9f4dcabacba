"""Training of the bundled task models, by file name, on clean scenes of the training data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from icmbench.core.errors import ConfigError

if TYPE_CHECKING:  # every module of this package is read with the configuration, torch is slow
    import torch

    from icmbench.training.loop import Schedule, Session

SIZE: Final = 256  # pixels a side of what detector and segmenter are trained on
PACKAGES: Final = {"detector": "mmdet", "segmenter": "mmseg"}


def train_part(
    part: str,
    schedule: Schedule,
    records: Sequence[Path],
    folders: Sequence[Path],
    session: Session,
    *,
    cache_mb: float,
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights and metadata of `detector`, `segmenter` or `landmarks`, trained on scenes.

    Args:
        records, folders: of the training sets that are scenes, one each.
        session: its start is a file of such a network.
        cache_mb: 10^6 bytes of decoded images that stay in memory.

    Raises ConfigError for another part, and what the training itself raises.
    """
    from icmbench.tasks.training.fan import read_faces, train_fan
    from icmbench.training.data import read_provided
    from icmbench.training.provenance import training_provenance
    from icmbench.training.records import read_training_records

    data = read_provided(records, folders, smallest=SIZE // 2, cache_mb=cache_mb)
    if part == "landmarks":
        folder_of = {
            record.image: folder
            for path, folder in zip(records, folders, strict=True)
            for record in read_training_records(path)
        }
        state, metadata = train_fan(schedule, read_faces(folder_of, cache_mb), session)
    elif part in PACKAGES:
        from icmbench.tasks.training.train_openmm import train_openmm

        state, metadata = train_openmm(PACKAGES[part], schedule, data, SIZE, session)
    else:
        raise ConfigError(f"task model {part!r}: expected detector, segmenter or landmarks")
    provenance = training_provenance(schedule, data, SIZE, session.start)
    return state, {**metadata, "provenance": provenance}
