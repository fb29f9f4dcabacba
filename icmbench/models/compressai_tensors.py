"""Tensors of CompressAI's entropy models in checkpoints: their names, old and new, and constants.

Published codecs name the learned tensors of the factorised prior as `EntropyBottleneck` does, or as
earlier releases did. The constants and tables beside them are derived: they are checked and left
out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from icmbench.bitstream.tables import SCALES
from icmbench.models.entropy_models import LIKELIHOOD_FLOOR, SCALE_FLOOR, TAIL_MASS

BUFFERS: Final = (
    "entropy_bottleneck._offset", "entropy_bottleneck._quantized_cdf",
    "entropy_bottleneck._cdf_length", "entropy_bottleneck.target",
    "entropy_bottleneck.likelihood_lower_bound.bound", "gaussian_conditional._offset",
    "gaussian_conditional._quantized_cdf", "gaussian_conditional._cdf_length",
    "gaussian_conditional.scale_table", "gaussian_conditional.scale_bound",
    "gaussian_conditional.likelihood_lower_bound.bound",
    "gaussian_conditional.lower_bound_scale.bound",
)  # fmt: skip
SCALE_TABLE: Final = "gaussian_conditional.scale_table"
# Of the releases up to 1.2.6, of the first ones, and of today's: all three are in use.
_NAMES: Final = {
    "matrix": "matrices", "bias": "biases", "factor": "factors",
    "_matrices.": "matrices", "_biases.": "biases", "_factors.": "factors",
    "matrices.": "matrices", "biases.": "biases", "factors.": "factors",
}  # fmt: skip
_LEARNED: Final = re.compile(
    r"entropy_bottleneck\.(?:(quantiles)|(?:_(matrix|bias|factor)"
    r"|(_?(?:matrices|biases|factors)\.))([0-9]))"
)

Floats = NDArray[np.float64]


def bottleneck_name(name: str) -> str | None:
    """Our name of a learned tensor of a factorised prior; None where it is none.

    Two names can be one tensor's.
    """
    found = _LEARNED.fullmatch(name)
    if not found:
        return None
    quantiles, old, listed, index = found.groups()
    return f"entropy_bottleneck.{quantiles or f'{_NAMES[old or listed]}.{index}'}"


def constants(state: Mapping[str, Any]) -> dict[str, Floats]:
    """The constants among `BUFFERS` by name, as ours are; an empty scale table has none."""
    tail = np.log(2 / TAIL_MASS - 1)
    found: dict[str, Floats] = {
        "entropy_bottleneck.likelihood_lower_bound.bound": np.array([LIKELIHOOD_FLOOR]),
        "entropy_bottleneck.target": np.array([-tail, 0, tail]),
        "gaussian_conditional.likelihood_lower_bound.bound": np.array([LIKELIHOOD_FLOOR]),
        "gaussian_conditional.lower_bound_scale.bound": np.array([SCALE_FLOOR]),
        "gaussian_conditional.scale_bound": np.array([SCALE_FLOOR]),
    }
    if SCALE_TABLE in state and state[SCALE_TABLE].numel():
        found[SCALE_TABLE] = SCALES
    return found


def agrees(tensor: Tensor, wanted: Floats) -> bool:
    """Compare a constant with our own, to the precision of its number type; NaN: any value."""
    if not tensor.is_floating_point() or tuple(tensor.shape) != wanted.shape:
        return False
    step = max(torch.finfo(tensor.dtype).eps, 1e-6)
    found = tensor.double().numpy()
    close = np.isclose(found, wanted, rtol=4 * step, atol=1e-4 * step)
    return bool((close | np.isnan(wanted)).all())
