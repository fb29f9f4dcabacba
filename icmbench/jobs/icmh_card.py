"""The model card of Diff-ICMH."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icmbench.codecs.diff_icmh.model_folder import LAYOUT
from icmbench.core.files import write_json
from icmbench.models.card import model_card


def icmh_card(*, conditions: Sequence[Path], start: str, card: Path) -> None:
    """Describe the weight files of Diff-ICMH's model folder and their training.

    Args:
        conditions: files of `icmbench.jobs.conditions`, of the trained ones.
    """
    write_json(card, model_card(LAYOUT, card.parent, start=start, conditions=conditions))
