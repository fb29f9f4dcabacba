"""The option `adapt` of a task: its bundled model, fine-tuned on reconstructions of scenes.

What a model loses on reconstructions is information that is gone, and what it was not trained for.
The score of the adapted model tells the two apart: it is the fine-tuned ceiling. Its name in
tables says so, and it never takes the place of the model as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import ConfigError
from icmbench.datasets.options import Option, option_values

ADAPT: Final = "adapt"
FOLDER: Final = "adapted"  # of the weights, below those of the run's task models

OPTIONS: Final[Mapping[str, Option]] = {
    "codec": Option(str, required=True, help="codec entry whose reconstructions it is trained on"),
    "points": Option(list, help="grids that choose among its points; by default all"),
    "steps": Option(int, required=True, low=1, help="of the optimiser"),
    "batch": Option(int, default=8, low=2, help="crops of scenes per step"),
    "learning_rate": Option(float, default=3e-4, low=1e-9, help="of the optimiser"),
    "images": Option(int, default=256, low=1, help="training scenes that are coded at every point"),
}


@dataclass(frozen=True)
class Adaptation:
    """Values of `OPTIONS` of a task; no `points`: all of the entry."""

    codec: str
    points: tuple[Mapping[str, Any], ...]
    steps: int
    batch: int
    learning_rate: float
    images: int

    @property
    def training(self) -> tuple[float, ...]:
        """Settings that a control has in common with it: all but the codec and its points."""
        return self.steps, self.batch, self.learning_rate, self.images

    @property
    def text(self) -> str:
        """Of the model's name in tables: `adapted to webp (quality=0), 300 steps`."""
        grids = [", ".join(f"{k}={_short(v)}" for k, v in grid.items()) for grid in self.points]
        chosen = f" ({'; '.join(grids)})" if grids else ""
        return f"adapted to {self.codec}{chosen}, {self.steps} steps"


def adaptation(name: str, value: Mapping[str, Any] | None) -> Adaptation | None:
    """The option of a task; None where it is not given. Raises ConfigError for a wrong one."""
    if value is None:
        return None
    where = f"task {name!r}: {ADAPT}"
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}={value!r}: expected {', '.join(OPTIONS)}")
    values = option_values(where, OPTIONS, value)
    for grid in values["points"] or ():
        if not isinstance(grid, Mapping) or not grid:
            raise ConfigError(f"{where}: points: {grid!r} is no grid, such as {{quality: [10]}}")
    return Adaptation(**{**values, "points": tuple(values["points"] or ())})


def is_adapted(checkpoint: str) -> bool:
    """True for the file that a run makes of an adapted model."""
    return Path(checkpoint).parent.name == FOLDER


def _short(value: Any) -> str:
    return "|".join(map(str, value)) if isinstance(value, list) else str(value)
