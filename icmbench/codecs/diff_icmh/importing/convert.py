"""A published Diff-ICMH checkpoint as a model folder of ours, without a tensor lost or made up.

Everything in the file is accounted for: taken over under our name, dropped for a stated reason, or
an error that names it. What a network of ours needs and the file lacks is an error too. (Loading
with `strict=False` leaves learned tables random where names differ, without an error.)

<out>/{autoencoder,prior,text,codec,control}.safetensors   in the published number types
<out>/tokenizer/, <out>/tags.txt                           copies of the files given
<out>/import.json                                          what was taken over and what was not
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from icmbench.codecs.diff_icmh.entropy.models import LIKELIHOOD_FLOOR, SCALE_FLOOR, TAIL_MASS
from icmbench.codecs.diff_icmh.entropy.rate_tables import write_tables
from icmbench.codecs.diff_icmh.entropy.tables import SCALES
from icmbench.codecs.diff_icmh.importing.lookup import published_name
from icmbench.codecs.diff_icmh.importing.names import (
    PARTS,
    PREFIXES,
    SCHEDULE,
    Dropped,
    Transform,
    rename,
)
from icmbench.codecs.diff_icmh.importing.sizes import (
    LATENT_SCALE,
    Described,
    Shape,
    Sizes,
    State,
    Unknown,
)
from icmbench.codecs.diff_icmh.model import TOKENIZER, VOCABULARY, WORDS, part_file
from icmbench.codecs.diff_icmh.sampling import Floats, alphas_cumprod
from icmbench.codecs.diff_icmh.tokenizer import Tokenizer
from icmbench.codecs.diff_icmh.vocabulary import read_vocabulary
from icmbench.core.errors import ConfigError, ModelError
from icmbench.core.files import atomic_path, sha256_file, temporary_beside, write_bytes, write_json
from icmbench.core.pickles import UNREADABLE, load_pickle
from icmbench.models.tensors import KEY

REPORT: Final = "import.json"
# The published evaluation's: 50 spaced steps, and a guidance of 5.0 (README of the official code).
PUBLISHED_DECODING: Final = {
    "sampler": "ddpm-spaced",
    "steps": 50,
    "guidance": 5.0,
    "start": 999,
    "clip": None,
}
LATENT_RANGE: Final = (
    64  # standard deviations of the guiding latent; the official code has no limit
)
SHOWN: Final = 20  # tensors that an error names
BASED: Final = ("autoencoder", "prior", "text")  # parts that Stable Diffusion 2.1 has too

KEPT: Final = (torch.float16, torch.float32, torch.float64)
# Types that numpy, which reads our files, does not have. Widening is exact.
WIDENED: Final = (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)

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


@dataclass(frozen=True)
class Report:
    """What an import did.

    Attributes:
        source, sha256: name and digest of the checkpoint.
        base: the same of the checkpoint under it, or None.
        from_base: how many tensors came from that one.
        parts: per part `tensors` and `elements`, counted under our names.
        dropped: per group `tensors`, `elements`, counted under theirs, and the `reason`.
    """

    source: str
    sha256: str
    base: dict[str, str] | None
    from_base: int
    parts: dict[str, dict[str, int]]
    dropped: dict[str, dict[str, Any]]

    def values(self) -> dict[str, Any]:
        """The report as plain values: what `import.json` holds."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """The report for people, a line per part and per group."""
        for name, found in self.parts.items():
            yield f"{name:<14} {found['tensors']:>4} tensors, {found['elements']:>11,} numbers"
        for name, group in self.dropped.items():
            yield f"left out: {name}, {group['tensors']} tensors ({group['reason']})"


def import_checkpoint(
    path: Path,
    out: Path,
    *,
    base: Path | None = None,
    head_width: int = 64,
    control_head_width: int = 16,
    tokenizer: Path | None = None,
    tags: Path | None = None,
) -> Report:
    """Convert a published checkpoint to a model folder; nothing is written unless all is right.

    Args:
        path: `.ckpt`, `.pt`, `.pth` (tensors alone or under `state_dict`) or `.safetensors`.
        out: the folder to make; where it exists it is empty.
        base: a Stable Diffusion 2.1 checkpoint, for what `path` does not hold.
        head_width: channels of an attention head of the prior, which no shape tells.
        control_head_width: the same of the control network, or the largest divisor below.
        tokenizer: folder of vocab.json and merges.txt of Stable Diffusion 2.1, copied to `out`.
        tags: names of the tags, one a line, copied to `out`.

    Raises ModelError for a file that cannot be read or holds more than tensors, one that names
    the tensors that are unknown, missing or wrong, and one for a tokenizer that is not of the
    checkpoint's text encoder; ConfigError where `out` is in use.
    """
    _check_free(out)
    if min(head_width, control_head_width) < 1:
        raise ConfigError(f"head widths {head_width} and {control_head_width}: 1 is the least")
    state = _read(path)
    below = {} if base is None else _read(base)
    conversion = convert(
        {**below, **state}, head_width=head_width, control_head_width=control_head_width
    )
    _check_overlay(state, below, conversion)
    _check_values({**below, **state}, conversion)
    if conversion.problems:
        raise ModelError(_refusal(path, conversion.problems))
    words = _words(conversion, tokenizer, tags)
    report = Report(
        source=path.name,
        sha256=sha256_file(path),
        base=None if base is None else {"source": base.name, "sha256": sha256_file(base)},
        from_base=len(below.keys() - state.keys()),
        parts={name: _size(part) for name, part in conversion.parts.items()},
        dropped={name: asdict(group) for name, group in conversion.dropped.items()},
    )
    _write(out, conversion, report, words)
    return report


def _words(conversion: Conversion, tokenizer: Path | None, tags: Path | None) -> dict[str, Path]:
    """The checked files of words by their place in the model folder."""
    found: dict[str, Path] = {}
    if tokenizer is not None:
        settings = conversion.parts["text"].settings
        Tokenizer(tokenizer, settings["vocab_size"], settings["max_position_embeddings"])
        found |= {f"{TOKENIZER}/{name}": tokenizer / name for name in WORDS}
    if tags is not None:
        read_vocabulary(tags)
        found[VOCABULARY] = tags
    return found


def convert(state: State, *, head_width: int = 64, control_head_width: int = 16) -> Conversion:
    """Take a checkpoint apart by names and shapes.

    Args:
        state: published tensors; those that are taken over may be on the meta device.
        head_width, control_head_width: see `import_checkpoint`.
    """
    conversion = Conversion()
    parts, sources = _sorted_out(state, conversion)
    shapes = {
        part: {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        for part, tensors in parts.items()
    }
    sizes = Sizes(shapes)
    described: dict[str, Callable[[], Described]] = {
        "autoencoder": sizes.autoencoder,
        "prior": lambda: sizes.prior(head_width),
        "text": sizes.text,
        "codec": sizes.codec,
        "control": lambda: sizes.control(control_head_width, state),
    }
    for part in PARTS:
        found = _described(part, shapes[part], described[part], conversion)
        if found is not None:
            _compare(part, shapes[part], found[1], sources, conversion)
            conversion.parts[part] = Part(dict(sorted(parts[part].items())), found[0])
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
    """The tensor in our form, or what is wrong with it."""
    if tensor.dtype not in (*KEPT, *WIDENED):
        return f"holds {str(tensor.dtype).removeprefix('torch.')}, not weights"
    tensor = (tensor.float() if tensor.dtype in WIDENED else tensor).contiguous()
    if transform == "same":
        return tensor
    if transform == "linear":
        if tensor.ndim != 4 or tensor.shape[2:] != (1, 1):
            return f"shape {tuple(tensor.shape)}, expected a 1 x 1 convolution"
        return tensor.flatten(1)
    if not tensor.ndim or tensor.shape[0] % 3:
        return f"shape {tuple(tensor.shape)}, expected three equal parts"
    return tensor.chunk(3)[int(transform[-1])]


def _described(
    part: str, found: Mapping[str, Shape], describe: Callable[[], Described], conversion: Conversion
) -> Described | None:
    """Settings and network of a part, built without memory; None where the shapes do not tell."""
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


def _check_overlay(state: State, below: State, conversion: Conversion) -> None:
    for key in state.keys() & below.keys():
        if (shape := tuple(state[key].shape)) != (other := tuple(below[key].shape)):
            conversion.note(key, f"of the shape {shape}, but {other} in the base")


def _check_values(state: State, conversion: Conversion) -> None:
    """Note weights that are not finite, and constants and schedules that are not ours."""
    for part, found in conversion.parts.items():
        for name, tensor in found.tensors.items():
            if not torch.isfinite(tensor).all():
                key = published_name(part, name)
                conversion.note(key, "holds a value that is not finite")
    constants = {**_schedule(), **_codec_constants(state)}
    for key in constants.keys() & state.keys():
        if not _agrees(state[key], constants[key]):
            conversion.note(key, "not the values that decoding computes with")


def _schedule() -> dict[str, Floats]:
    """The published schedule's tensors, of ours; NaN where anything will do."""
    kept = alphas_cumprod()
    before = np.append(1.0, kept[:-1])
    betas = 1 - kept / before
    variance = betas * (1 - before) / (1 - kept)
    # The first variance is zero: what stands for its logarithm is a matter of taste.
    logarithm = np.append(np.nan, np.log(variance[1:]))
    values = (
        betas,
        kept,
        before,
        np.sqrt(kept),
        np.sqrt(1 - kept),
        np.log(1 - kept),
        np.sqrt(1 / kept),
        np.sqrt(1 / kept - 1),
        variance,
        logarithm,
        betas * np.sqrt(before) / (1 - kept),
        (1 - before) * np.sqrt(1 - betas) / (1 - kept),
        np.zeros_like(kept),
    )
    return dict(zip(SCHEDULE, values, strict=True))


def _codec_constants(state: State) -> dict[str, Floats]:
    """What CompressAI's models hold besides weights; the table is empty before it is made."""
    tail = np.log(2 / TAIL_MASS - 1)
    constants: dict[str, Floats] = {
        "entropy_bottleneck.likelihood_lower_bound.bound": np.array([LIKELIHOOD_FLOOR]),
        "entropy_bottleneck.target": np.array([-tail, 0, tail]),
        "gaussian_conditional.likelihood_lower_bound.bound": np.array([LIKELIHOOD_FLOOR]),
        "gaussian_conditional.lower_bound_scale.bound": np.array([SCALE_FLOOR]),
        "gaussian_conditional.scale_bound": np.array([SCALE_FLOOR]),
    }
    table = "gaussian_conditional.scale_table"
    if PREFIXES["codec"] + table in state and state[PREFIXES["codec"] + table].numel():
        constants[table] = SCALES
    return {PREFIXES["codec"] + name: values for name, values in constants.items()}


def _agrees(tensor: Tensor, wanted: Floats) -> bool:
    """Whether a constant is the wanted one, to the digits of its number type."""
    if not tensor.is_floating_point() or tuple(tensor.shape) != wanted.shape:
        return False
    step = max(torch.finfo(tensor.dtype).eps, 1e-6)
    found = tensor.double().numpy()
    close = np.isclose(found, wanted, rtol=4 * step, atol=1e-4 * step)
    return bool((close | np.isnan(wanted)).all())


def _refusal(path: Path, problems: Mapping[str, str]) -> str:
    lines = [f"{name}: {text}" for name, text in sorted(problems.items())]
    if len(lines) > SHOWN:
        lines[SHOWN:] = [f"and {len(lines) - SHOWN} more"]
    number = f"{len(problems)} tensors are" if len(problems) > 1 else "1 tensor is"
    return "\n  ".join([f"{path}: {number} unknown, missing or wrong:", *lines])


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU; mapped into memory where the format allows."""
    if path.suffix == ".safetensors":
        found: Any = _read_safetensors(path)
    elif path.suffix in (".ckpt", ".pt", ".pth"):
        found = load_pickle(path, mapped=True)
    else:
        raise ModelError(f"{path}: neither .ckpt, .pt, .pth nor .safetensors: of which format?")
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping):
        raise ModelError(f"{path}: it holds a {type(found).__name__}, not named tensors")
    for name, tensor in found.items():
        if not (isinstance(name, str) and isinstance(tensor, Tensor) and _plain(tensor)):
            raise ModelError(f"{path}: {name!r} is not a plain tensor")
    return {name: tensor.detach() for name, tensor in found.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (SafetensorError, *UNREADABLE) as error:
        raise ModelError(f"{path}: damaged or not a file of weights: {error}") from error


def _plain(tensor: Tensor) -> bool:
    stored = tensor.layout is torch.strided and tensor.device.type == "cpu"
    return stored and not tensor.is_quantized


def _check_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: exists already and is not an empty folder")


def _size(part: Part) -> dict[str, int]:
    elements = sum(tensor.numel() for tensor in part.tensors.values())
    return {"tensors": len(part.tensors), "elements": elements}


def _write(out: Path, conversion: Conversion, report: Report, words: Mapping[str, Path]) -> None:
    """Make the folder beside its place and move it there whole."""
    out = out.resolve()
    folder = temporary_beside(out)
    provenance = {"source": report.source, "sha256": report.sha256, "base": report.base}
    try:
        for name, part in conversion.parts.items():
            metadata = {"network": _network(name, conversion), "provenance": provenance}
            if name == "codec":
                metadata["decoding"] = PUBLISHED_DECODING
            if name == "autoencoder":
                metadata |= _latent_metadata(part.settings["latent_channels"])
            text = json.dumps(metadata, sort_keys=True, allow_nan=False)
            with atomic_path(folder / f"{name}.safetensors") as temporary:
                save_file(_separate(part.tensors), temporary, {KEY: text})
                temporary.chmod(folder.stat().st_mode & 0o666)  # it is written for its owner alone
        if "codec" in conversion.parts:
            write_tables(part_file(folder, "tables"), part_file(folder, "codec"))
        for place, source in words.items():
            write_bytes(folder / place, source.read_bytes())
        write_json(folder / REPORT, report.values())
        os.replace(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _network(name: str, conversion: Conversion) -> dict[str, Any]:
    """The settings of a part as the model folder keeps them."""
    settings = {part: found.settings for part, found in conversion.parts.items()}
    if name == "control":
        return {"unet": settings["prior"]["unet"], "control": settings["control"]}
    return settings[name]


def _latent_metadata(channels: int) -> dict[str, Any]:
    """A latent is standardised by the one factor that the diffusion model was trained with."""
    return {
        "layout": "diffusers-kl",
        "mean": [0.0] * channels,
        "std": [1 / LATENT_SCALE] * channels,
        "latent_range": LATENT_RANGE,
    }


def _separate(tensors: State) -> dict[str, Tensor]:
    """Tensors without common memory, which a file of ours does not express."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    return separate
