"""Packing: the trainings of some parts, their inputs, the images, and this package's code."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import icmbench
from icmbench.classifier.lite0_weights import MODULE as LITE0
from icmbench.config.plan import Plan
from icmbench.core.errors import ConfigError, ModelError
from icmbench.core.files import sha256_file
from icmbench.core.fingerprint import Code
from icmbench.core.revision import code_revision
from icmbench.jobs.bundled_or_trained import TrainingJob
from icmbench.jobs.packed.manifest import (
    BUNDLED,
    INPUTS,
    OUTPUTS,
    RESULTS,
    Manifest,
    paths_of,
    relocated,
)
from icmbench.jobs.packed.pool import pack_source
from icmbench.jobs.packed.trainings import training_jobs

LIMIT_MB: Final = 64.0
SITE: Final = "site"  # folder of a pack for pure Python packages that another machine may lack
CARRIED: Final = ("pytorch_msssim",)
# Packages beside torch, diffusers, constriction and what these three install, by part.
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "contexts": ("numba",),
    "reverse": ("numba",),
    "stage_1": ("scipy",),
    "stage_2": ("scipy",),
    "landmarks": ("face_alignment",),
    "detector": ("mmdet", "pycocotools"),
    "segmenter": ("mmseg", "pycocotools"),
}
POOL: Final = ("records", "images")
BY_NAME: Final = "landmarks"  # a part that reads images by the names that a run gives them


def pack(
    plan: Plan, parts: Sequence[str], folder: Path, tool: Path, limit_mb: float = LIMIT_MB
) -> list[tuple[str, float]]:
    """Write a pack; returns what it holds: names and sizes in 10^6 bytes.

    Args:
        parts: names of `training_jobs`; they are trained in its order.
        folder: to be made; it must not exist.
        tool: the script that runs the pack, which is copied into it.
        limit_mb: size of the pack in 10^6 bytes.

    Raises ConfigError for an unknown part and for a pack above the limit, ModelError where an
    input is missing, DatasetError where an image has changed.
    """
    if folder.exists():
        raise ConfigError(f"{folder}: is there already: name a new folder, or remove it")
    jobs = chosen_jobs(plan, parts)
    revision = code_revision(tool.parent, Code().digest)
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.absolute().parent) as name:
        home = Path(name) / "pack"
        home.mkdir()
        pack_inputs(plan, jobs, home)
        files = {
            str(path.relative_to(home)): sha256_file(path)
            for path in sorted(home.rglob("*"))
            if path.is_file()
        }
        packed = {n: relocated(j, *[lambda p: packed_path(plan, p)] * 2) for n, j in jobs.items()}
        needs = sorted({need for part, job in jobs.items() for need in _needs(part, job)})
        Manifest(packed, revision, files, tuple(needs)).write(home)
        _copy_code(home, tool)
        sizes = _sizes(home)
        total = sum(size for _, size in sizes)
        if total > limit_mb:
            listed = ", ".join(f"{name} {size:.1f}" for name, size in sizes)
            raise ConfigError(
                f"{folder}: a pack of {total:.1f} MB, at most {limit_mb:g} MB ({listed}): set "
                "training.data.<set>.limit or .train lower, take fewer parts, or raise --limit-mb"
            )
        home.rename(folder)
    return [*sizes, ("in all", total)]


def chosen_jobs(plan: Plan, parts: Sequence[str]) -> dict[str, TrainingJob]:
    """The jobs of parts, in an order in which they can be trained; ConfigError for an unknown."""
    known = training_jobs(plan)
    for part in parts:
        if part not in known:
            raise ConfigError(f"{part}: no part that this run trains: {', '.join(known) or 'none'}")
    return {name: job for name, job in known.items() if name in parts}


def _needs(part: str, job: TrainingJob) -> tuple[str, ...]:
    """Packages of a training beside those that every one has."""
    sampled = job.settings.get("sampled", {})
    classifier = bool(sampled.get("steps") and sampled["features"])
    return (*NEEDS.get(part, ()), *((LITE0,) if classifier else ()))


def packed_path(plan: Plan, path: Path) -> Path:
    """The path below a pack that stands for one of a run, or of a bundled file."""
    if path.is_relative_to(plan.results):
        return Path(RESULTS) / path.relative_to(plan.results)
    return Path(BUNDLED) / path.parent.name / path.name


def pack_inputs(plan: Plan, jobs: Mapping[str, TrainingJob], home: Path) -> None:
    """Copy what the trainings read and none of them writes; errors as `pack`."""
    made = {path for job in jobs.values() for path in paths_of(job, OUTPUTS)}
    names = tuple(name for name in INPUTS if name not in POOL)
    by_name = {path for job in jobs.values() if job.part == BY_NAME for path in job.records}
    for name, job in jobs.items():
        for path in paths_of(job, names):
            target = home / packed_path(plan, path)
            if path not in made and not target.exists():
                _check_input(name, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        for records, images in zip(job.records, job.images, strict=True):
            target = home / packed_path(plan, records)
            if not target.exists():
                _check_input(name, records)
                folder, as_it_is = home / packed_path(plan, images), records in by_name
                pack_source(records, images, target, folder, as_it_is=as_it_is)


def _check_input(part: str, path: Path) -> None:
    """ModelError, with the remedy, where an input is missing."""
    if not path.is_file():
        raise ModelError(
            f"{part} needs {path}, which is not there: make it (`snakemake --cores 1 {path}` with "
            "the same configuration), or pack the part that makes it, too"
        )


def _copy_code(home: Path, tool: Path) -> None:
    """Copy the package without its weights, the tool, and the packages that are carried."""
    ignore = shutil.ignore_patterns("__pycache__", "weights")
    package = Path(icmbench.__file__).parent
    shutil.copytree(package, home / package.name, ignore=ignore)
    shutil.copyfile(tool, home / tool.name)
    for name in CARRIED:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ModelError(f"the package {name} is not installed here: it belongs to a pack")
        shutil.copytree(Path(spec.origin).parent, home / SITE / name, ignore=ignore)


def _sizes(home: Path) -> list[tuple[str, float]]:
    """Sizes of the training sets and of all else in a pack, in 10^6 bytes."""
    pool = home / RESULTS / "training" / "pool"
    groups = {f"training set {path.name}": path for path in sorted(pool.glob("*"))}
    sizes = {
        name: sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) / 1e6
        for name, path in groups.items()
    }
    whole = sum(f.stat().st_size for f in home.rglob("*") if f.is_file()) / 1e6
    return [*sizes.items(), ("code and models", whole - sum(sizes.values()))]
