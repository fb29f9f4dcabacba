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
        steps: optimiser steps; the learning rate falls over them as half a cosine.
        batch: examples a step.
        learning_rate: after `warm_up` steps.
        seed: of everything random.
        precision: float32, or bfloat16 for the forward pass.
        checkpoint_every: steps between two checkpoints.
        freeze_after: share of the steps after which the norms keep their statistics.
        average: decay of the exponential moving average (EMA) of the weights, which the network
            holds when the training ends; 0: the last step's weights.
    """

    steps: int
    batch: int
    learning_rate: float
    seed: int = 1
    warm_up: int = 100
    precision: str = "float32"
    checkpoint_every: int = 500
    freeze_after: float = 0.3
    average: float = 0.0

    def values(self) -> dict[str, Any]:
        """Values that decide the weights, by the names that provenance has."""
        values = {k: v for k, v in asdict(self).items() if k != "checkpoint_every"}
        return {"settle": values.pop("freeze_after"), **values}

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        ramp = min(1.0, (step + 1) / max(1, min(self.warm_up, self.steps // 10 or 1)))
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * ramp * max(cosine, 0.01)


def train(
    name: str,
    network: torch.nn.Module,
    schedule: Schedule,
    losses: StepLosses,
    *,
    checkpoint: Path,
    history: Path,
    describe: Mapping[str, Any],
    freeze: Callable[[torch.nn.Module], None] = lambda network: None,
    exact: bool = True,
) -> None:
    """Train `network` in place, on the device that it is on.

    Args:
        losses: of one step, given the step's generator; `loss` is what is minimised, the other
            entries are only recorded. Torch's own generator is seeded before each call.
        checkpoint: file of the training state. One of another description is not used. It remains
            when the training ends, because the weights are not written yet: the caller removes it.
        history: CSV of the losses that is written at the end (`step, <losses>`).
        describe: everything else that decides the result (data, network), for the checkpoint's
            key.
        freeze: called before every step after `schedule.freeze_after`, to freeze statistics.
        exact: an operation without a deterministic algorithm is an error; otherwise, for losses
            of other libraries on a GPU, it is a warning, and two trainings differ by rounding.

    Raises ConfigError where a loss is not finite, ModelError for a checkpoint that is damaged.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, schedule.learning_rate, weight_decay=1e-4)
    key = _key(name, schedule, describe)
    averaged = _MovingAverage(parameters, schedule.average)
    start, rows = _resume(checkpoint, key, network, optimiser, averaged)
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
                _save(checkpoint, key, step + 1, rows, network, optimiser, averaged)
                _report(name, step + 1, schedule, rows)
    averaged.apply()
    network.eval()
    write_history(history, rows)


def forward_pass(schedule: Schedule, device: str) -> torch.autocast:
    """The context of a forward pass on `device` (cpu or cuda): the schedule's precision."""
    return torch.autocast(device, torch.bfloat16, enabled=schedule.precision == "bfloat16")


class _MovingAverage:
    """The exponential moving average (EMA) of parameters; a decay of 0 keeps none.

    The first steps have the weights of a plain mean, so that initial values fade soon.
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
    """One step of the optimiser; the values of its losses."""
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
    """Only algorithms that give the same sums every time; the caller's setting comes back."""
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error" if exact else "warn")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


def write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    """The losses of every step as CSV; a network that was not trained has none."""
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
        # By way of the CPU: what one device has begun another one goes on with.
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
