"""The model card of the task models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icmbench.core.files import write_json
from icmbench.models.card import model_card
from icmbench.tasks.bundled import LAYOUT


def task_card(
    *, weights: Sequence[Path], conditions: Sequence[Path], start: str, card: Path
) -> None:
    """Describe the weight files of a run's task models and their training.

    Args:
        conditions: files of `icmbench.jobs.conditions`, of the trained ones.
    """
    parts = [path.stem for path in weights]
    write_json(card, model_card(LAYOUT, card.parent, parts, start, conditions))
