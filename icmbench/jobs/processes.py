"""A training by several processes, one per GPU, which torchrun starts.

`python -m icmbench.jobs.processes FILE` is one of them: FILE holds the function and its job.
"""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from icmbench.core.errors import ConfigError, IcmbenchError
from icmbench.core.processes import (
    collect_rarely,
    die_with_parent,
    end_quickly,
    run_python,
)
from icmbench.jobs.bundled_or_trained import TrainingJob

if TYPE_CHECKING:  # the job that starts the processes needs no torch
    from icmbench.training.shares import Group

log = logging.getLogger(__name__)


def train_together(train: Callable[[TrainingJob], None], job: TrainingJob) -> None:
    """Run `train`, a module's function, in the job's number of processes; one: in this one.

    Raises the IcmbenchError of the process that failed first.
    """
    count = int(job.compute.get("processes", 1))
    if count == 1:
        train(job)
        return
    _check_devices(job, count)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job"
        file.write_bytes(pickle.dumps((train, job)))
        address = (
            "--standalone",
            "--local-addr",
            "127.0.0.1",
        )  # the name of a host may not resolve
        torchrun = ("-m", "torch.distributed.run", *address, "--nproc-per-node", count)
        try:
            run_python(*torchrun, "-m", __name__, file, preexec_fn=die_with_parent)
        except subprocess.CalledProcessError:
            if (failure := _failure(file)).is_file():
                raise pickle.loads(failure.read_bytes()) from None
            raise
        if job.clock is not None:
            job.clock.earlier = float(_earlier(file).read_text("utf-8"))


def _check_devices(job: TrainingJob, count: int) -> None:
    """ConfigError where a machine has fewer GPUs than a training has processes."""
    from icmbench.jobs.training import training_device

    if training_device(job) != "cuda":
        return
    import torch

    if (found := torch.cuda.device_count()) < count:
        raise ConfigError(
            f"training.compute.processes is {count}, and this machine shows {found} GPUs: one "
            "process needs one of them"
        )


def _earlier(file: Path) -> Path:
    """Seconds of the pieces before this one, of a training that was resumed."""
    return file.with_name("earlier")


def _failure(file: Path) -> Path:
    return file.with_name("failure")


def _take_part(file: Path) -> None:
    """Be one of the processes: join the others and train."""
    from icmbench.jobs.training import training_device

    train, job = pickle.loads(file.read_bytes())
    try:
        group = _join(training_device(job))
        train(replace(job, group=group))
        if group.writes and job.clock is not None:
            _earlier(file).write_text(str(job.clock.earlier), "utf-8")
    except IcmbenchError as error:
        log.exception("failed")
        try:
            with open(_failure(file), "xb") as handle:
                handle.write(pickle.dumps(error))
        except FileExistsError:
            log.info("another process failed before this one")
        raise SystemExit(error.exit_code) from error


def _join(device: str) -> Group:
    """Join the group of processes: by NCCL on GPUs, by gloo on the CPU.

    Raises ConfigError where accelerate is not installed.
    """
    from icmbench.training.shares import Group

    try:
        from accelerate import PartialState
        from accelerate.utils import reduce
    except ImportError as error:
        raise ConfigError(
            "training.compute.processes is above 1, and the package accelerate is not installed: "
            "`pip install accelerate`, or set it to 1"
        ) from error
    state = PartialState(cpu=device == "cpu")
    return Group(state.process_index, state.num_processes, lambda tensor: reduce(tensor, "sum"))


if __name__ == "__main__":
    die_with_parent()
    collect_rarely()
    end_quickly()
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    _take_part(Path(sys.argv[1]))
