"""Import of RAM++ from its published checkpoint as the tagger of a model folder.

The file is RAM++'s own (`ram_plus_swin_large_14m.pth`: tensors under `model`, beside the state of
its optimiser), or a published checkpoint of Diff-ICMH, which holds the same tensors. Every tensor
is taken over, derived from the sizes, or a problem that names it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from icmbench.codecs.diff_icmh.importing.ram_plus_names import (
    derived_tensors,
    named,
    published_names,
    sizes,
)
from icmbench.codecs.diff_icmh.model_folder import TAGGER, part_file
from icmbench.codecs.diff_icmh.networks.ram_plus import RamPlusSettings, build_ram_plus
from icmbench.codecs.diff_icmh.vocabulary import read_vocabulary
from icmbench.core.errors import ModelError
from icmbench.core.files import sha256_file
from icmbench.models.checkpoint import read_checkpoint
from icmbench.models.ldm import storable
from icmbench.models.published_tensors import refusal, write_tensors
from icmbench.models.tensors import BUILD_ERRORS, check_numbers


@dataclass(frozen=True)
class RamPlusWeights:
    """Weights of RAM++ from published files.

    Attributes:
        tensors: by our names, the thresholds among them.
        sources: names and sha256 of the files.
    """

    settings: RamPlusSettings
    tensors: dict[str, Tensor]
    sources: dict[str, str]

    def write(self, folder: Path) -> None:
        """Write them as the tagger of a model folder."""
        metadata = {"network": self.settings.values(), "provenance": {"from": self.sources}}
        write_tensors(part_file(folder, TAGGER), self.tensors, metadata)


def read_ram_plus(path: Path, tags: Path, thresholds: Path) -> RamPlusWeights:
    """Read a checkpoint of RAM++, the names of its tags and their thresholds, one a line.

    Raises ModelError for a file that cannot be read, for one whose tensors are unknown, missing or
    wrong, and for thresholds that are not those of the tags.
    """
    count = len(read_vocabulary(tags))
    least = read_thresholds(thresholds, count)
    settings, tensors = convert_ram_plus(path, count)
    sources = {file.name: sha256_file(file) for file in (path, thresholds)}
    return RamPlusWeights(settings, {**tensors, "thresholds": least}, sources)


def read_thresholds(path: Path, count: int) -> Tensor:
    """Read the thresholds of `count` tags, float32 (count,), one a line.

    Raises ModelError naming the line that is no number from 0 to 1, or the number of lines.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: the thresholds of the tags, one a line: {error}") from error
    values = []
    for number, line in enumerate(lines, start=1):
        try:
            value = float(line)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1:
            raise ModelError(f"{path}, line {number}: {line!r} is no threshold from 0 to 1")
        values.append(value)
    if len(values) != count:
        raise ModelError(f"{path}: {len(values)} thresholds, expected one for each of {count} tags")
    return torch.tensor(values)


def convert_ram_plus(path: Path, tags: int) -> tuple[RamPlusSettings, dict[str, Tensor]]:
    """Read a checkpoint of RAM++: its sizes, and its tensors by our names."""
    state = named(read_checkpoint(path))
    try:
        settings = sizes(state, tags)
        check_numbers(path, settings.values(), state)
        with torch.device("meta"):
            network = build_ram_plus(settings, seed=0)
    except BUILD_ERRORS as error:
        raise ModelError(f"{path}: no RAM++ of {tags} tags is of these sizes: {error}") from error
    names = dict(published_names(settings))
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    derived = derived_tensors(settings, network)
    tensors: dict[str, Tensor] = {}
    problems = [f"{name}: missing" for name in names if name not in state]
    for name, tensor in state.items():
        shape = tuple(tensor.shape)
        if name in names:
            stored = storable(tensor)
            if (expected := wanted[names[name]]) != shape:
                problems.append(f"{name}: of the shape {shape}, expected {expected}")
            elif isinstance(stored, str):
                problems.append(f"{name}: {stored}")
            elif not torch.isfinite(stored).all():
                problems.append(f"{name}: holds a value that is not finite")
            else:
                tensors[names[name]] = stored
        elif name not in derived:
            problems.append(f"{name}: not known")
        elif shape != derived[name].shape or not torch.equal(tensor, derived[name].to(tensor)):
            problems.append(f"{name}: not the values that follow from the sizes")
    if problems:
        raise refusal(path, problems)
    return settings, tensors
