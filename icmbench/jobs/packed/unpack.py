"""Unpacking: files that were trained on another machine, where the rules would have put them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from icmbench.config.plan import Plan
from icmbench.core.errors import ConfigError, ModelError
from icmbench.core.files import sha256_file, write_text
from icmbench.core.joblog import REVISION, STARTED
from icmbench.jobs.packed.manifest import (
    OUTPUTS,
    Manifest,
    job_values,
    paths_of,
    relocated,
)
from icmbench.jobs.packed.pack import packed_path
from icmbench.jobs.packed.run import PACKED, State
from icmbench.jobs.packed.trainings import training_jobs
from icmbench.jobs.packed.volumes import read_volumes

# Rule and name of the job of a part, where they are not `train_<part>` and `all`.
RULES: Final[Mapping[str, tuple[str, str]]] = {
    "features-fft": ("train_features", "fft"),
    "features-mean": ("train_features", "mean"),
    "stage_1": ("train_stage_1", "main"),
    "stage_2": ("train_stage_2", "main"),
    "detector": ("train_task", "detector"),
    "segmenter": ("train_task", "segmenter"),
    "landmarks": ("train_task", "landmarks"),
}


def unpack(plan: Plan, out: Path) -> dict[str, list[Path]]:
    """Put the trained parts into the results of a run; returns the written files by part.

    The checkpoint of a part that is not finished is put in its place, too.

    Raises ModelError where a file is missing or damaged, or an input of a training is not the one
    that the results hold, ConfigError where the configuration asks for another training.
    """
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        read_volumes(out, work)
        state, manifest = State.read(work), Manifest.read(work / PACKED)
        jobs = training_jobs(plan)
        places = {}
        for part, packed in manifest.jobs.items():
            if part not in jobs:
                raise ConfigError(f"{out}: holds {part}, which this configuration does not train")
            here = relocated(jobs[part], *[lambda path: packed_path(plan, path)] * 2)
            if job_values(here) != job_values(packed):
                raise ConfigError(
                    f"{out}: {part} was trained with other settings than those of this "
                    "configuration: unpack it with the one that it was packed with"
                )
            for path in paths_of(jobs[part], OUTPUTS):
                places[str(packed_path(plan, path))] = path
        _check_inputs(plan, manifest)
        written: dict[str, list[Path]] = {}
        for part in manifest.jobs:
            found = []
            for path in paths_of(manifest.jobs[part], OUTPUTS):
                if (work / path).is_file():
                    place = places[str(path)]
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(work / path, place)
                    found.append(place)
            if part in state.done:
                conditions = json.loads(
                    (work / str(manifest.jobs[part].conditions)).read_text("utf-8")
                )
                found += _job_files(plan, part, conditions)
            written[part] = found
    return written


def _check_inputs(plan: Plan, manifest: Manifest) -> None:
    """ModelError where an input of the trainings is another file in the results now."""
    for job in training_jobs(plan).values():
        for path in paths_of(job, ("bundled", "autoencoder", "prior", "labels", "tags")):
            stated = manifest.files.get(str(packed_path(plan, path)))
            if stated and path.is_file() and sha256_file(path) != stated:
                raise ModelError(
                    f"{path}: is another file than the one that was packed: pack and train again"
                )


def _job_files(plan: Plan, part: str, conditions: Mapping[str, Any]) -> list[Path]:
    """Write the benchmark and the log of a part's job, which the table of jobs reads."""
    rule, job = RULES.get(part, (f"train_{part}", "all"))
    benchmark = Path(plan.results) / "benchmarks" / rule / f"{job}.tsv"
    place = f"{rule}.log" if job == "all" else f"{rule}/{job}.log"
    log = Path(plan.results) / "logs" / place
    write_text(benchmark, f"s\tmax_rss\n{3600 * conditions['hours']:.2f}\tNA\n")
    host = conditions["hardware"].replace(" ", "-").replace(",", "-")
    line = f"trained on another machine: {STARTED} {host}, {REVISION} {conditions['revision']}\n"
    write_text(log, line)
    return [benchmark, log]
