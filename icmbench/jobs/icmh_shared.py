"""Weight files that the model folders of Diff-ICMH share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icmbench.core.files import write_bytes


def icmh_shared(*, parts: Sequence[Path], copies: Sequence[Path]) -> None:
    """Copy parts into the model folder and into every variant's, each to the copies of its name."""
    sources = {path.name: path for path in parts}
    for target in copies:
        write_bytes(target, sources[target.name].read_bytes())
