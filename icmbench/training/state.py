"""State of a training in a file, from which a killed one is resumed."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import torch

from icmbench.core.errors import ModelError
from icmbench.core.files import atomic_path
from icmbench.training.averages import MovingAverage
from icmbench.training.clock import Clock

log = logging.getLogger(__name__)


def save_state(
    path: Path,
    key: str,
    step: int,
    rows: list[dict[str, Any]],
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    averaged: MovingAverage,
    clock: Clock,
) -> None:
    """Write the state after `step` steps; `key`: digest of everything that decides the result."""
    state = {
        "key": key,
        "step": step,
        "rows": rows,
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "averaged": averaged.values,
        "seconds": clock.seconds,
    }
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def resume(
    path: Path,
    key: str,
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    averaged: MovingAverage,
    clock: Clock,
) -> tuple[int, list[dict[str, Any]]]:
    """Load a state; returns its step and the losses so far, 0 and none where there is none.

    The clock goes on from the time of the state.

    A state with another key is left alone. Raises ModelError for a damaged file.
    """
    if not path.exists():
        return 0, []
    try:
        # Loaded to the CPU: a training may be resumed on another device.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(f"{path}: not a checkpoint; remove it: {error}") from error
    if state["key"] != key:
        log.info("%s: checkpoint of other settings; training starts from step 0", path)
        return 0, []
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    if averaged.values:  # of several processes one alone has averages
        for value, kept in zip(averaged.values, state["averaged"], strict=True):
            value.copy_(kept)
    clock.earlier = float(state.get("seconds", 0.0))
    log.info("resumed at step %d from %s", state["step"], path)
    return int(state["step"]), list(state["rows"])
