"""Running: the trainings of a pack, in pieces of limited time, resumed from their checkpoints."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from icmbench.core.errors import ConfigError, ModelError
from icmbench.core.files import sha256_file, write_json
from icmbench.core.revision import VARIABLE
from icmbench.jobs.bundled_or_trained import TrainingJob, bundled_or_trained
from icmbench.jobs.packed.manifest import OUTPUTS, Manifest, paths_of, relocated
from icmbench.jobs.packed.volumes import has_volumes, read_volumes, write_volumes
from icmbench.training.clock import Clock, TrainingPaused

log = logging.getLogger(__name__)

STATE: Final = "state.json"
PACKED: Final = "pack"  # folder of the state with the list of its pack
VOLUME_MB: Final = 15.0


@dataclass(frozen=True)
class State:
    """The state of a pack's trainings.

    Attributes:
        done: names of the parts that are trained.
        pack: digest of the pack's list.
        files: sha256 of every file that the trainings have written, by its path.
    """

    done: tuple[str, ...]
    pack: str
    files: Mapping[str, str]

    def write(self, folder: Path) -> None:
        """Write the state into a folder."""
        write_json(folder / STATE, {"done": list(self.done), **_values(self)})

    @classmethod
    def read(cls, folder: Path) -> State:
        """The state of a folder; ModelError where there is none, or a file of it is another."""
        try:
            values = json.loads((folder / STATE).read_text("utf-8"))
            state = cls(tuple(values["done"]), values["pack"], values["files"])
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{folder}: no state of packed trainings: {error!r}") from error
        for name, digest in state.files.items():
            if not (folder / name).is_file() or sha256_file(folder / name) != digest:
                raise ModelError(f"{folder / name}: missing or damaged: run the piece again")
        return state


def _values(state: State) -> dict[str, object]:
    return {"pack": state.pack, "files": dict(sorted(state.files.items()))}


def run(
    pack: Path,
    out: Path,
    *,
    minutes: float | None = None,
    device: str = "auto",
    earlier: Path | None = None,
    volume_mb: float = VOLUME_MB,
) -> bool:
    """Train the parts of a pack, or go on with them; True if all are trained.

    Args:
        out: folder for the trained files and the state, in volumes of at most `volume_mb`.
        minutes: after which the training is paused, behind at least one step; None: to the end.
        device: auto, cpu or cuda.
        earlier: folder of the volumes to go on from; None: `out`, where it holds some.

    Raises ConfigError where a package is missing, ModelError for a damaged pack or a state of
    another one, and what the trainings raise.
    """
    end = None if minutes is None else time.monotonic() + 60 * minutes
    manifest = Manifest.read(pack)
    _check(pack, manifest)
    os.environ[VARIABLE] = manifest.revision
    out.mkdir(parents=True, exist_ok=True)
    source = earlier or (out if has_volumes(out) else None)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        done: list[str] = []
        if source is not None:
            read_volumes(source, work)
            state = State.read(work)
            if state.pack != manifest.digest:
                raise ModelError(f"{source}: the state of another pack than {pack}")
            done = list(state.done)
        manifest.write(work / PACKED)
        try:
            for part, job in manifest.jobs.items():
                if part not in done:
                    _train(part, _located(job, pack, work), device, end)
                    done.append(part)
        except TrainingPaused as paused:
            log.info("%s", paused)
        finally:  # where a part fails, those before it and its last checkpoint are kept
            _write_state(work, tuple(done), manifest)
            for path in write_volumes(work, out, volume_mb):
                log.info("%s: %.1f MB", path, path.stat().st_size / 1e6)
    return len(done) == len(manifest.jobs)


def _train(part: str, job: TrainingJob, device: str, end: float | None) -> None:
    log.info("%s: training", part)
    left = None if end is None else max(0.0, end - time.monotonic())
    bundled_or_trained(function_of(part), replace(job, device=device, clock=Clock(left)))


def function_of(part: str) -> Callable[[TrainingJob], None]:
    """The function of the rule that trains a part."""
    if part in ("detector", "segmenter", "landmarks"):
        from icmbench.jobs.train_task import train_task

        return train_task
    if part in ("prior", "tagger"):
        from icmbench.jobs import train_prior

        return train_prior.train_prior if part == "prior" else train_prior.train_tagger
    if part.startswith("stage_"):
        from icmbench.jobs.train_stage import train_stage

        return train_stage
    name = f"train_{part.partition('-')[0]}"
    found: Callable[[TrainingJob], None] = getattr(
        importlib.import_module(f"icmbench.jobs.{name}"), name
    )
    return found


def _located(job: TrainingJob, pack: Path, work: Path) -> TrainingJob:
    """A job that reads what earlier parts have written, else the pack, and writes its own files."""

    def read(path: Path) -> Path:
        return work / path if (work / path).exists() else pack / path

    located = relocated(job, read, lambda path: work / path)
    for path in paths_of(located, OUTPUTS):
        path.parent.mkdir(parents=True, exist_ok=True)
    return located


def _check(pack: Path, manifest: Manifest) -> None:
    """ConfigError where a package is missing here, ModelError where the pack is damaged."""
    if missing := [name for name in manifest.needs if importlib.util.find_spec(name) is None]:
        raise ConfigError(
            f"this machine lacks {', '.join(missing)}, which {', '.join(manifest.jobs)} needs: "
            "install it, or pack other parts"
        )
    for name, digest in manifest.files.items():
        if not (pack / name).is_file() or sha256_file(pack / name) != digest:
            raise ModelError(f"{pack / name}: missing or damaged: copy the pack again")


def _write_state(work: Path, done: tuple[str, ...], manifest: Manifest) -> None:
    files = {
        str(path.relative_to(work)): sha256_file(path)
        for path in sorted(work.rglob("*"))
        if path.is_file() and path.name != STATE
    }
    State(done, manifest.digest, files).write(work)
