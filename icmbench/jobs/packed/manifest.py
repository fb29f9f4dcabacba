"""The list of a pack: its trainings, whose paths are below the pack, and digests of its files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import ModelError
from icmbench.core.files import sha256_bytes, write_json
from icmbench.jobs.bundled_or_trained import TrainingJob

NAME: Final = "trainings.json"
RESULTS: Final = "results"  # folder of a pack that stands for the run's results
BUNDLED: Final = "bundled"  # folder of a pack that stands for the package's weights
FORMAT: Final = 1
# Of a job: files that it reads, and those that it writes.
INPUTS: Final = ("bundled", "records", "images", "autoencoder", "prior", "labels", "tags")
OUTPUTS: Final = ("weights", "history", "conditions", "checkpoint")
_VALUES: Final = ("settings", "stage", "part", "threads", "cache_mb", "compute")

Move = Callable[[Path], Path]


@dataclass(frozen=True)
class Manifest:
    """The list of a pack.

    Attributes:
        jobs: trainings by name, in their order.
        revision: of the code that is in the pack.
        files: sha256 of every input, by its path below the pack.
        needs: packages that the trainings import, by the names of their modules.
    """

    jobs: Mapping[str, TrainingJob]
    revision: str
    files: Mapping[str, str]
    needs: tuple[str, ...]

    @property
    def digest(self) -> str:
        """sha256 of the list: what a state of it belongs to."""
        return sha256_bytes(self.text().encode())

    def text(self) -> str:
        """The list as JSON; equal lists give equal texts."""
        values = {
            "format": FORMAT,
            "jobs": [{"name": name, **job_values(job)} for name, job in self.jobs.items()],
            "revision": self.revision,
            "files": dict(sorted(self.files.items())),
            "needs": list(self.needs),
        }
        return json.dumps(values, indent=1, sort_keys=True)

    def write(self, folder: Path) -> None:
        """Write the list into a pack."""
        write_json(folder / NAME, json.loads(self.text()))

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The list of a pack; ModelError where the folder is none, or one of another version."""
        path = folder / NAME
        try:
            values = json.loads(path.read_text("utf-8"))
            if values["format"] != FORMAT:
                raise ModelError(f"{path}: of another version of this tool: pack anew")
            jobs = {each.pop("name"): job_of(each) for each in values["jobs"]}
            return cls(jobs, values["revision"], values["files"], tuple(values["needs"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{folder}: no packed trainings ({NAME}: {error!r})") from error


def relocated(job: TrainingJob, read: Move, write: Move) -> TrainingJob:
    """A job with other paths: `read` of each input, `write` of each output."""
    changed: dict[str, Any] = {}
    for names, move in ((INPUTS, read), (OUTPUTS, write)):
        for name in names:
            value = getattr(job, name)
            if value is None:
                continue
            moved = (
                [move(Path(each)) for each in value]
                if isinstance(value, list | tuple)
                else move(Path(value))
            )
            changed[name] = str(moved) if name == "checkpoint" else moved
    return replace(job, **changed)


def paths_of(job: TrainingJob, names: tuple[str, ...]) -> list[Path]:
    """The paths of a job under some names, `INPUTS` or `OUTPUTS`, in their order."""
    found: list[Path] = []
    for name in names:
        value = getattr(job, name)
        if isinstance(value, list | tuple):
            found += map(Path, value)
        elif value is not None:
            found.append(Path(value))
    return found


def job_values(job: TrainingJob) -> dict[str, Any]:
    """A job as plain values."""
    values: dict[str, Any] = {name: getattr(job, name) for name in _VALUES}
    for name in (*INPUTS, *OUTPUTS):
        value = getattr(job, name)
        if isinstance(value, list | tuple):
            values[name] = [str(each) for each in value]
        elif value is not None:
            values[name] = str(value)
    return values


def job_of(values: Mapping[str, Any]) -> TrainingJob:
    """The job of plain values."""
    found = dict(values)
    for field in fields(TrainingJob):
        value = found.get(field.name)
        if field.name in (*INPUTS, *OUTPUTS) and field.name != "checkpoint" and value is not None:
            paths = [Path(each) for each in value] if isinstance(value, list) else Path(value)
            found[field.name] = paths
    return TrainingJob(**found)
