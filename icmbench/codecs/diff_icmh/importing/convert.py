"""Conversion of a published checkpoint to the networks of our model folder, by names and shapes.

Every tensor of the file is converted under our name, dropped for a stated reason, or a problem that
names it. A tensor that a network of ours needs and the file lacks is a problem too. (Loading with
`strict=False` leaves learned tables random where names differ, without an error.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from icmbench.codecs.diff_icmh.importing.lookup import published_name
from icmbench.codecs.diff_icmh.importing.names import PARTS, PREFIXES, Dropped, Transform
from icmbench.codecs.diff_icmh.importing.rename import rename
from icmbench.codecs.diff_icmh.importing.sizes import Described, Shape, Sizes, State, Unknown
from icmbench.models.ldm import storable

BASED: Final = ("autoencoder", "prior", "text")  # networks that Stable Diffusion 2.1 has too
Sources = dict[tuple[str, str], str]  # published name of a part's tensor


@dataclass(frozen=True)
class Part:
    """One network: tensors by our names, and the settings of which it is built."""

    tensors: dict[str, Tensor]
    settings: dict[str, Any]


@dataclass
class Group:
    """Tensors that were dropped together."""

    reason: str
    tensors: int = 0
    elements: int = 0


@dataclass
class Conversion:
    """A checkpoint taken apart.

    Attributes:
        parts: by name; complete where `problems` is empty.
        dropped: groups of known tensors that are not taken over.
        problems: what is wrong with a tensor (published name, or part and our name), one each.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    dropped: dict[str, Group] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def note(self, tensor: str, problem: str) -> None:
        """Keep a tensor's first problem: others follow from it."""
        self.problems.setdefault(tensor, problem)


def convert(
    state: State,
    *,
    head_width: int = 64,
    control_head_width: int = 16,
    parts: Sequence[str] = PARTS,
) -> Conversion:
    """Take a checkpoint apart by names and shapes.

    Args:
        parts: networks to take over; the tensors of the others are left alone.
        state: published tensors; those that are taken over may be on the meta device.
        head_width, control_head_width: see `import_checkpoint`.
    """
    conversion = Conversion()
    tensors, sources = _sorted_out(state, conversion)
    shapes = {
        part: {name: tuple(tensor.shape) for name, tensor in found.items()}
        for part, found in tensors.items()
    }
    sizes = Sizes(shapes)
    described: dict[str, Callable[[], Described]] = {
        "autoencoder": sizes.autoencoder,
        "prior": lambda: sizes.prior(head_width),
        "text": sizes.text,
        "codec": sizes.codec,
        "control": lambda: sizes.control(control_head_width, state),
    }
    for part in parts:
        found = _described(part, shapes[part], described[part], conversion)
        if found is not None:
            _compare(part, shapes[part], found[1], sources, conversion)
            conversion.parts[part] = Part(dict(sorted(tensors[part].items())), found[0])
    for what, one, other in sizes.joints():
        if one is not None and other is not None and one != other:
            conversion.note(what, f"{one} and {other} channels")
    return conversion


def _sorted_out(
    state: State, conversion: Conversion
) -> tuple[dict[str, dict[str, Tensor]], Sources]:
    """Tensors by part and our name, and where each is from; what has no place is noted."""
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
    sources: Sources = {}
    for key in sorted(state):
        found = rename(key)
        if found is None:
            conversion.note(key, "not known")
        elif isinstance(found, Dropped):
            group = conversion.dropped.setdefault(found.group, Group(found.reason))
            group.tensors += 1
            group.elements += state[key].numel()
        else:
            for target in found:
                other = sources.setdefault((target.part, target.name), key)
                if other != key:
                    conversion.note(key, f"the same tensor as {other}: which of the two?")
                    continue
                changed = _transformed(state[key], target.transform)
                if isinstance(changed, str):
                    conversion.note(key, changed)
                    changed = state[key]
                parts[target.part][target.name] = changed
    return parts, sources


def _transformed(tensor: Tensor, transform: Transform) -> Tensor | str:
    """The tensor in our form, or a text about its problem."""
    if transform in ("same", "linear"):
        return storable(tensor, transform)
    whole = storable(tensor)
    if isinstance(whole, str):
        return whole
    if not whole.ndim or whole.shape[0] % 3:
        return f"shape {tuple(whole.shape)}, expected three equal parts"
    return whole.chunk(3)[int(transform[-1])]


def _described(
    part: str, found: Mapping[str, Shape], describe: Callable[[], Described], conversion: Conversion
) -> Described | None:
    """Settings and network of a part, built without memory; None where shapes are ambiguous."""
    if not found:
        hint = "; a Stable Diffusion 2.1 checkpoint as base has it" if part in BASED else ""
        conversion.note(f"{PREFIXES[part]}*", f"no tensor of the {part}{hint}")
        return None
    try:
        with torch.device("meta"):
            return describe()
    except Unknown as error:
        text = "missing or empty, and the size of the network cannot be found without it"
        conversion.note(str(error), text)
    except (ArithmeticError, ImportError, RuntimeError, ValueError) as error:
        conversion.note(f"{PREFIXES[part]}*", f"the {part} cannot be built: {error}")
    return None


def _compare(
    part: str, found: Mapping[str, Shape], wanted: State, sources: Sources, conversion: Conversion
) -> None:
    for name in wanted.keys() - found.keys():
        conversion.note(published_name(part, name), "missing")
    for name, shape in found.items():
        if name not in wanted:
            conversion.note(sources[part, name], f"not one of the network's (here {part} {name})")
        elif (expected := tuple(wanted[name].shape)) != shape:
            text = f"of the shape {shape}, expected {expected} (here {part} {name})"
            conversion.note(sources[part, name], text)
