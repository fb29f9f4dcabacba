"""Published files of LPIPS, DISTS, FID and NIQE: where they are looked for, how they are read.

Nothing here touches the network. A file counts only whole and unchanged: its sha256 must begin
as published (of DISTS and NIQE none is), it is read without unpickling objects, and every tensor
must have its place. A list of sources of one's own may put another file in place of a published
one: the digest is then the recorded one of the download, and the run says so.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from icmbench.core.errors import MeasurementError
from icmbench.core.fetch_command import DOWNLOADS, FETCHED, fetch_command

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class WeightFile:
    """A published file. `sha256` is the beginning of its digest, "" where none is published."""

    source: str
    name: str
    url: str
    size: str
    sha256: str


ALEXNET = WeightFile(
    "alexnet",
    "alexnet-owt-7be5be79.pth",
    "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "233 MiB",
    "7be5be79",
)
VGG16 = WeightFile(
    "vgg16",
    "vgg16-397923af.pth",
    "https://download.pytorch.org/models/vgg16-397923af.pth",
    "528 MiB",
    "397923af",
)
DISTS = WeightFile(
    "dists",
    "dists_weights.pt",
    "https://github.com/photosynthesis-team/piq/releases/download/v0.4.1/dists_weights.pt",
    "2 x 1475 numbers",
    "",
)
INCEPTION = WeightFile(
    "inception-fid",
    "pt_inception-2015-12-05-6726825d.pth",
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
    "91 MiB",
    "6726825d",
)
NIQE = WeightFile(
    "niqe",
    "niqe_modelparameters.mat",
    "https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights/"
    "niqe_modelparameters.mat",
    "12 kB",
    "",
)


def folders(weights: Path | None) -> list[Path]:
    """Folders of weight files in search order: the configured folder, then torch's cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = Path(os.environ.get("TORCH_HOME", Path(cache) / "torch")).expanduser()
    return [*([] if weights is None else [Path(weights)]), home / "hub" / "checkpoints"]


def replacement(file: WeightFile, weights: Path | None) -> tuple[Path, str] | None:
    """The file that a fetched source of one's own has in place of `file`, and its sha256.

    None where the folder of the source holds the published file, or is not there.
    """
    if weights is None:
        return None
    folder = Path(weights) / file.source
    try:
        ((name, stored),) = json.loads((folder / FETCHED).read_text("utf-8"))["files"].items()
        found = folder / name, str(stored["sha256"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # no list of one file: the published name decides
    return None if name == file.name else found


def find(file: WeightFile, weights: Path | None) -> Path | None:
    """The first folder's file of that name, or None; of the given one also in folders below.

    What a source has in place of the file comes first.
    """
    if own := replacement(file, weights):
        return own[0] if own[0].is_file() else None
    candidates = [folder / file.name for folder in folders(weights)]
    if weights is not None:  # it may be the folder of downloads, with one folder per source
        candidates[1:1] = sorted(Path(weights).glob(f"*/{file.name}"))
    return next((path for path in candidates if path.is_file()), None)


def missing(file: WeightFile, weights: Path | None, downloads: Path | str = DOWNLOADS) -> str:
    """One sentence with the missing file, the searched folders, its address and the remedy.

    The file is fetched into `weights`, or into `downloads` where no folder of weights is set.
    """
    places = " and ".join(_shown(folder) for folder in folders(weights))
    digest = f", sha256 {file.sha256}…" if file.sha256 else ""
    folder = _shown(Path(weights or downloads))
    rest = "" if weights else f" and set `weights: {folder}`"
    return (
        f"{file.name} is not in {places}; it comes from {file.url} ({file.size}{digest}): run "
        f"`{fetch_command(file.source, folder)}`{rest}."
    )


def _shown(folder: Path) -> str:
    """A folder as people name it: provenance is published, the home of its user is not."""
    home = Path("~").expanduser()
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)


def read(file: WeightFile, weights: Path | None) -> dict[str, torch.Tensor]:
    """The tensors of a weight file by name, on the CPU.

    Raises MeasurementError if the file is missing, if its digest is not the published one (of a
    replacement the recorded one), or if it is not a dictionary of tensors.
    """
    path = find(file, weights)
    if path is None:
        raise MeasurementError(missing(file, weights))
    own = replacement(file, weights)
    what, expected = ("recorded", own[1]) if own else ("published", file.sha256)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(expected):
        raise MeasurementError(
            f"{path} is damaged or another file: its sha256 begins with "
            f"{digest[: len(expected)]}, the {what} one with {expected}"
        )
    return _tensors(content, path)


def _tensors(content: bytes, path: Path) -> dict[str, torch.Tensor]:
    import torch  # not above: finding files must not cost the seconds that loading torch takes

    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    # A damaged archive raises whatever its first bad byte leads to.
    except Exception as error:
        raise MeasurementError(f"{path} cannot be read as weights: {error}") from error
    if not isinstance(loaded, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in loaded.values()
    ):
        raise MeasurementError(f"{path} is not a dictionary of tensors")
    return dict(loaded)


def check_shapes(
    tensors: Mapping[str, torch.Tensor], expected: Mapping[str, tuple[int, ...]], what: str
) -> None:
    """Raise MeasurementError that names `what` unless names and shapes are exactly `expected`."""
    problems = [f"{name} is missing" for name in sorted(set(expected) - set(tensors))]
    problems += [f"{name} is unexpected" for name in sorted(set(tensors) - set(expected))]
    for name in sorted(set(expected) & set(tensors)):
        shape = tuple(tensors[name].shape)
        if shape != expected[name]:
            problems.append(f"{name} has shape {shape} instead of {expected[name]}")
    if problems:
        more = f" and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise MeasurementError(f"{what} does not fit: {'; '.join(problems[:4])}{more}")
