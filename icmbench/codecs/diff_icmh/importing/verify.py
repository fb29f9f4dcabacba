"""Checks of the values in a published checkpoint: finite weights, known constants and schedule.

The published checkpoint stores the constants of CompressAI's entropy models and the noise schedule
of its sampler. Our decoder computes with its own; a checkpoint with other values is refused.
"""

from __future__ import annotations

import numpy as np
import torch

from icmbench.codecs.diff_icmh.importing.convert import BASED, Conversion
from icmbench.codecs.diff_icmh.importing.lookup import published_name
from icmbench.codecs.diff_icmh.importing.names import PREFIXES, SCHEDULE
from icmbench.codecs.diff_icmh.importing.sizes import State
from icmbench.codecs.diff_icmh.sampling import STEPS, Floats, spaced_schedule
from icmbench.models.compressai_tensors import agrees, constants


def check_overlap(state: State, below: State, conversion: Conversion) -> None:
    """Note tensors whose shape differs between a checkpoint and the base checkpoint it extends."""
    for key in state.keys() & below.keys():
        if (shape := tuple(state[key].shape)) != (other := tuple(below[key].shape)):
            conversion.note(key, f"of the shape {shape}, but {other} in the base")


def check_frozen(conversion: Conversion, first: Conversion, name: str) -> None:
    """Note tensors of frozen networks that differ from those of the first rate's checkpoint.

    Args:
        name: of that checkpoint.
    """
    for part in BASED:
        ours = first.parts[part].tensors
        theirs = conversion.parts[part].tensors if part in conversion.parts else {}
        for key, tensor in theirs.items():
            if key not in ours or not torch.equal(tensor, ours[key]):
                text = f"a frozen network's, and not equal to that of {name}"
                conversion.note(published_name(part, key), text)


def check_values(state: State, conversion: Conversion) -> None:
    """Note weights that are not finite, and constants that differ from those of our decoder."""
    for part, found in conversion.parts.items():
        for name, tensor in found.tensors.items():
            if not torch.isfinite(tensor).all():
                key = published_name(part, name)
                conversion.note(key, "holds a value that is not finite")
    known = {**_schedule(), **_codec_constants(state)}
    for key in known.keys() & state.keys():
        if not agrees(state[key], known[key]):
            conversion.note(key, "not the values that decoding computes with")


def _schedule() -> dict[str, Floats]:
    """Compute the tensors of the published schedule from our own; NaN accepts any value."""
    schedule = spaced_schedule(STEPS)
    alpha_prod_t, prev = schedule.alpha_prod_t, schedule.alpha_prod_t_prev
    # The first variance is zero: any substitute for its logarithm is accepted.
    logarithm = np.append(np.nan, np.log(schedule.variance[1:]))
    values = (
        1 - alpha_prod_t / prev,
        alpha_prod_t,
        prev,
        np.sqrt(alpha_prod_t),
        np.sqrt(1 - alpha_prod_t),
        np.log(1 - alpha_prod_t),
        np.sqrt(1 / alpha_prod_t),
        np.sqrt(1 / alpha_prod_t - 1),
        schedule.variance,
        logarithm,
        schedule.pred_original_sample_coeff,
        schedule.current_sample_coeff,
        np.zeros_like(alpha_prod_t),
    )
    return dict(zip(SCHEDULE, values, strict=True))


def _codec_constants(state: State) -> dict[str, Floats]:
    """Compute the constants of CompressAI's entropy models by their names in the checkpoint."""
    prefix = PREFIXES["codec"]
    own = {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
    return {f"{prefix}{name}": values for name, values in constants(own).items()}
