"""The model card of MPD."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icmbench.codecs.mpd.model_folder import LAYOUT
from icmbench.core.files import write_json
from icmbench.models import card as cards


def model_card(
    *, weights: Sequence[Path], conditions: Sequence[Path], start: str, card: Path
) -> None:
    """Describe the weight files of MPD's model folder and their training.

    Args:
        conditions: files of `icmbench.jobs.conditions`, of the trained ones.
    """
    parts = [path.stem for path in weights]
    write_json(card, cards.model_card(LAYOUT, card.parent, parts, start, conditions))
