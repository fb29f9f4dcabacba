"""One training loop for every network: counted in steps, seeded per step, resumable after a kill.

A step's randomness comes from `(seed, name, step)` alone, so a run that was killed and resumed
gives the same weights as one that was not, on the same machine.
"""

from __future__ import annotations

import contextlib
import csv
import json
import logging
import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from icmbench.core.errors import ConfigError, ModelError
from icmbench.core.files import atomic_path, seed_from, sha256_bytes
from icmbench.core.progress import progress

log = logging.getLogger(__name__)

Losses = dict[str, torch.Tensor]
StepLosses = Callable[[np.random.Generator], Losses]


@dataclass(frozen=True)
class Schedule:
    """Schedule of a training: steps, batch size, learning rate, precision.

    Attributes:
        steps: number of optimiser steps; the learning rate decays over them as half a cosine.
        batch: examples a step.
        learning_rate: its maximum, reached after `warm_up` steps.
        seed: of everything random.
        precision: float32, or bfloat16 for the forward pass.
        checkpoint_every: steps between two checkpoints.
        freeze_after: share of the steps after which the norms keep their statistics.
        ema_decay: decay of the exponential moving average (EMA) of the weights. The trained network
            has the averaged weights; 0: those of the last step.
    """

    steps: int
    batch: int
    learning_rate: float
    seed: int = 1
    warm_up: int = 100
    precision: str = "float32"
    checkpoint_every: int = 500
    freeze_after: float = 0.3
    ema_decay: float = 0.0

    def values(self) -> dict[str, Any]:
        """Values that the weights depend on, by their names in the metadata of weight files."""
        names = {"freeze_after": "settle", "ema_decay": "average"}
        values = {k: v for k, v in asdict(self).items() if k != "checkpoint_every"}
        return {names.get(k, k): v for k, v in values.items()}

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        ramp = min(1.0, (step + 1) / max(1, min(self.warm_up, self.steps // 10 or 1)))
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * ramp * max(cosine, 0.01)


@dataclass(frozen=True)
class Session:
    """Files and device of one training.

    Attributes:
        checkpoint: file of the training state; ignored where its key differs. The caller removes it
            after it has written the weights.
        history: CSV of the losses that is written at the end (`step, <losses>`).
        start: weights to start from, a file or a model folder; None: from scratch.
        device: cpu or cuda.
    """

    checkpoint: Path
    history: Path
    start: Path | None = None
    device: str = "cpu"


def train(
    name: str,
    network: torch.nn.Module,
    schedule: Schedule,
    losses: StepLosses,
    session: Session,
    *,
    describe: Mapping[str, Any],
    freeze: Callable[[torch.nn.Module], None] = lambda network: None,
    exact: bool = True,
) -> None:
    """Train `network` in place, on the device that it is on.

    Args:
        losses: computes the losses of one step with the step's generator; `loss` is minimised, all
            other entries are recorded. torch's global generator is seeded before each call.
        session: its files; the network is on its device already.
        describe: everything else that decides the result (data, network), for the checkpoint's
            key.
        freeze: called before every step after `schedule.freeze_after`, to freeze statistics.
        exact: raise an error for an operation without a deterministic algorithm. False, for losses
            of other libraries on a GPU: warn only; two trainings then differ by rounding.

    Raises ConfigError where a loss is not finite, ModelError for a checkpoint that is damaged.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, schedule.learning_rate, weight_decay=1e-4)
    key = _key(name, schedule, describe)
    averaged = _MovingAverage(parameters, schedule.ema_decay)
    start, rows = _resume(session.checkpoint, key, network, optimiser, averaged)
    network.train()
    bar = progress(range(start, schedule.steps), desc=name, unit="step")
    with _deterministic(exact):
        for step in bar:
            if step >= schedule.freeze_after * schedule.steps:
                freeze(network)
            terms = _step(name, step, schedule, losses, optimiser, parameters)
            averaged.add(step)
            rows.append({"step": step, **terms})
            bar.set_postfix(loss=f"{terms['loss']:.4g}", refresh=False)
            if (step + 1) % schedule.checkpoint_every == 0:
                _save(session.checkpoint, key, step + 1, rows, network, optimiser, averaged)
                _report(name, step + 1, schedule, rows)
    averaged.apply()
    network.eval()
    write_history(session.history, rows)


def forward_pass(schedule: Schedule, device: str) -> torch.autocast:
    """The context of a forward pass on `device` (cpu or cuda): the schedule's precision."""
    return torch.autocast(device, torch.bfloat16, enabled=schedule.precision == "bfloat16")


class _MovingAverage:
    """Exponential moving average (EMA) of parameters; no copy is kept for a decay of 0.

    The decay is min(decay, step / (step + 10)), so that the initial values are soon forgotten.
    """

    def __init__(self, parameters: list[torch.nn.Parameter], decay: float) -> None:
        self.parameters = parameters if decay else []
        self.decay = decay
        self.values = [p.detach().clone() for p in self.parameters]

    def add(self, step: int) -> None:
        """Add the parameters after a step."""
        decay = min(self.decay, step / (step + 10))
        for value, parameter in zip(self.values, self.parameters, strict=True):
            value.lerp_(parameter.detach(), 1 - decay)

    def apply(self) -> None:
        """Copy the average into the network."""
        with torch.no_grad():
            for value, parameter in zip(self.values, self.parameters, strict=True):
                parameter.copy_(value)


def _step(
    name: str,
    step: int,
    schedule: Schedule,
    losses: StepLosses,
    optimiser: torch.optim.Optimizer,
    parameters: list[torch.nn.Parameter],
) -> dict[str, float]:
    """Run one optimiser step; returns the values of its losses."""
    seed = seed_from(schedule.seed, name, step)
    torch.manual_seed(seed)
    for group in optimiser.param_groups:
        group["lr"] = schedule.rate(step)
    terms = losses(np.random.default_rng(seed))
    values = {key: float(term.detach()) for key, term in terms.items()}
    if not math.isfinite(values["loss"]):
        raise ConfigError(
            f"{name}: the loss is {values['loss']} at step {step}; lower learning_rate"
        )
    optimiser.zero_grad(set_to_none=True)
    terms["loss"].backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimiser.step()
    return values


def _report(name: str, done: int, schedule: Schedule, rows: list[dict[str, Any]]) -> None:
    recent = rows[-schedule.checkpoint_every :]
    means = {k: sum(row[k] for row in recent) / len(recent) for k in recent[0] if k != "step"}
    text = ", ".join(f"{k} {v:.5g}" for k, v in means.items())
    log.info("%s: step %d of %d, %s", name, done, schedule.steps, text)


@contextlib.contextmanager
def _deterministic(exact: bool) -> Iterator[None]:
    """Allow only deterministic algorithms; restore the caller's mode at the end."""
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error" if exact else "warn")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


def write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the losses of every step as CSV; only a header without steps."""
    fields = list(rows[0]) if rows else ["step", "loss"]
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as handle,
    ):
        writer = csv.DictWriter(handle, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {k: v if k == "step" else f"{v:.6g}" for k, v in row.items()} for row in rows
        )


def _key(name: str, schedule: Schedule, describe: Mapping[str, Any]) -> str:
    text = json.dumps([name, schedule.values(), dict(describe), torch.__version__], sort_keys=True)
    return sha256_bytes(text.encode())


def _save(
    path: Path,
    key: str,
    step: int,
    rows: list[dict[str, Any]],
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    averaged: _MovingAverage,
) -> None:
    state = {
        "key": key,
        "step": step,
        "rows": rows,
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "averaged": averaged.values,
    }
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def _resume(
    path: Path,
    key: str,
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    averaged: _MovingAverage,
) -> tuple[int, list[dict[str, Any]]]:
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
    for value, kept in zip(averaged.values, state["averaged"], strict=True):
        value.copy_(kept)
    log.info("resumed at step %d from %s", state["step"], path)
    return int(state["step"]), list(state["rows"])
