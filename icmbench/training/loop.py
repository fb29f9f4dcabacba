"""One training loop for every network: counted in steps, seeded per step, resumable after a kill.

A step's randomness comes from `(seed, name, step)` alone, so a run that was killed and resumed
gives the same weights as one that was not, on the same machine. A batch may be computed in
micro-batches and by several processes (`shares`): the same gradient up to rounding.
"""

from __future__ import annotations

import contextlib
import csv
import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from icmbench.core.errors import ConfigError
from icmbench.core.files import atomic_path, seed_from, sha256_bytes
from icmbench.core.progress import progress
from icmbench.training.averages import MovingAverage
from icmbench.training.clock import Clock, TrainingPaused
from icmbench.training.shares import ALONE, Group, Share
from icmbench.training.state import resume, save_state

log = logging.getLogger(__name__)

Losses = dict[str, torch.Tensor]
# Of the step's generator and, where a batch is divided, of a share of it.
StepLosses = Callable[..., Losses]


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
        micro_batch: examples that are computed at once, where a batch is divided; 0: all of a
            process.
        group: the processes that train together.
        recompute: compute activations again for the gradient instead of keeping them (gradient
            checkpointing), where a network can.
        clock: the time of the training; where it expires, the training is paused.
    """

    checkpoint: Path
    history: Path
    start: Path | None = None
    device: str = "cpu"
    micro_batch: int = 0
    group: Group = ALONE
    recompute: bool = False
    clock: Clock = field(default_factory=Clock)


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
    divided: bool = False,
) -> None:
    """Train `network` in place, on the device that it is on.

    Args:
        losses: computes the losses of one step with the step's generator; `loss` is minimised, all
            other entries are recorded. All are means over the examples. torch's global generator
            is seeded before each call.
        session: its files; the network is on its device already.
        describe: everything else that decides the result (data, network), for the checkpoint's
            key.
        freeze: called before every step after `schedule.freeze_after`, to freeze statistics.
        exact: raise an error for an operation without a deterministic algorithm. False, for losses
            of other libraries on a GPU: warn only; two trainings then differ by rounding.
        divided: `losses` takes a share of the batch as its second argument, and the session's
            micro-batches and group apply.

    Raises ConfigError where a loss is not finite, ModelError for a checkpoint that is damaged,
    TrainingPaused, with the state saved, where the session's clock has expired after a step.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    # Fused: one pass over the parameters instead of one per operation, a tenth of a small step.
    optimiser = torch.optim.AdamW(parameters, schedule.learning_rate, weight_decay=1e-4, fused=True)
    key = _key(name, schedule, describe)
    group = session.group if divided else ALONE
    shares = group.shares(schedule.batch, session.micro_batch) if divided else [None]
    averaged = MovingAverage(parameters if group.writes else [], schedule.ema_decay)
    clock, saved = session.clock, (network, optimiser, averaged, session.clock)
    start, rows = resume(session.checkpoint, key, *saved)
    network.train()
    bar = progress(range(start, schedule.steps), desc=name, unit="step")
    with _deterministic(exact):
        for step in bar:
            if step >= schedule.freeze_after * schedule.steps:
                freeze(network)
            terms = _step(name, step, schedule, losses, optimiser, parameters, shares, group)
            averaged.add(step)
            rows.append({"step": step, **terms})
            bar.set_postfix(loss=f"{terms['loss']:.4g}", refresh=False)
            paused = clock.expired and step + 1 < schedule.steps
            if (paused or (step + 1) % schedule.checkpoint_every == 0) and group.writes:
                save_state(session.checkpoint, key, step + 1, rows, *saved)
                _report(name, step + 1, schedule, rows)
            if paused:
                raise TrainingPaused(f"{name}: paused after step {step + 1} of {schedule.steps}")
    averaged.apply()
    network.eval()
    if group.writes:
        write_history(session.history, rows)


def forward_pass(schedule: Schedule, device: str) -> torch.autocast:
    """The context of a forward pass on `device` (cpu or cuda): the schedule's precision."""
    return torch.autocast(device, torch.bfloat16, enabled=schedule.precision == "bfloat16")


def _step(
    name: str,
    step: int,
    schedule: Schedule,
    losses: StepLosses,
    optimiser: torch.optim.Optimizer,
    parameters: list[torch.nn.Parameter],
    shares: Sequence[Share | None],
    group: Group,
) -> dict[str, float]:
    """Run one optimiser step; returns the values of its losses."""
    seed = seed_from(schedule.seed, name, step)
    for each in optimiser.param_groups:
        each["lr"] = schedule.rate(step)
    optimiser.zero_grad(set_to_none=True)
    values: dict[str, float] = {}
    for share in shares:
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        terms = losses(rng) if share is None else losses(rng, share)
        weight = 1.0 if share is None else share.weight
        (weight * terms["loss"]).backward()  # type: ignore[no-untyped-call]
        for key, term in terms.items():
            values[key] = values.get(key, 0.0) + weight * float(term.detach())
    if group.size > 1:
        total = torch.tensor([*values.values()], dtype=torch.float64, device=parameters[0].device)
        group.add_up([total, *(p.grad for p in parameters if p.grad is not None)])
        values = dict(zip(values, total.tolist(), strict=True))
    if not math.isfinite(values["loss"]):
        raise ConfigError(
            f"{name}: the loss is {values['loss']} at step {step}; lower learning_rate"
        )
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
