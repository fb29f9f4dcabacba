"""Size of the modules of a symbol in an image."""

from __future__ import annotations

from typing import Any

import numpy as np


def module_px(corners: Any, across: int, down: int) -> float:
    """Mean side of a module in pixels of a symbol's corners (4, 2); 0: unknown.

    Args:
        across, down: modules of the symbol; a linear one has 0 down, and the lengths of its top
            and bottom count alone.
    """
    points = np.asarray(corners, np.float64)
    top, right, bottom, left = np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1)
    if not across:
        return 0.0
    parts = [top / across, bottom / across]
    parts += [right / down, left / down] if down else []
    return float(np.mean(parts))
