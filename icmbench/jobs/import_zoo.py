"""Import of a published checkpoint of the zoo."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from icmbench.codecs.zoo.importing import import_checkpoint

log = logging.getLogger(__name__)


def import_zoo(checkpoint: Path, *, made: Sequence[Path]) -> None:
    """Import a checkpoint into the folder of a run's models.

    Args:
        checkpoint: the published file.
        made: the files of `<models>/<codec>/<training>`.
    """
    log.info("%s", import_checkpoint(checkpoint, made[0].parents[2]))
