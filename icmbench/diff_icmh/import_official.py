"""A published Diff-ICMH checkpoint as a model folder of ours, without a tensor lost or made up.

Everything in the file is accounted for: taken over under our name, dropped for a stated reason, or
an error that names it. What a network of ours needs and the file lacks is an error too. (Loading
with `strict=False` leaves learned tables random where names differ, and nobody is told.)

<out>/{autoencoder,prior,text,codec,control}.safetensors   in the published number types
<out>/import.json                                          what was taken over and what was not
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from icmbench.diff_icmh.control import (
    ControlSettings,
    UnetSettings,
    block_channels,
    build_control,
    build_unet,
)
from icmbench.diff_icmh.diffusion import Floats, alphas_cumprod
from icmbench.diff_icmh.entropy import LIKELIHOOD_FLOOR, SCALE_FLOOR, TAIL_MASS
from icmbench.diff_icmh.lfgcm import LfgcmSettings, build_lfgcm
from icmbench.diff_icmh.model import part_file
from icmbench.diff_icmh.official_names import (
    LAYERS,
    LEVELS,
    PARTS,
    PREFIXES,
    SCALE,
    SCHEDULE,
    TEXT_BLOCKS,
    Dropped,
    Transform,
    rename,
)
from icmbench.diff_icmh.rate_tables import write_tables
from icmbench.diff_icmh.tables import SCALES
from icmbench.errors import ConfigError, ModelError
from icmbench.files import atomic_path, sha256_file, write_json
from icmbench.mpd.tensors import KEY
from icmbench.mpd.vgg import UNREADABLE

REPORT: Final = "import.json"
LATENT_SCALE: Final = 0.18215  # the diffusion model's latent is the autoencoder's times this
VAE_GROUPS: Final = 32  # of the autoencoder's norms; shapes do not tell
TEXT_HEAD_WIDTH: Final = 64  # of OpenCLIP's text encoders; shapes do not tell
# 50 spaced steps are the published evaluation's; the guidance is ours to choose: none is published.
PUBLISHED_DECODING: Final = {
    "sampler": "ddpm-spaced",
    "steps": 50,
    "guidance": 5.0,
    "start": 999,
    "clip": None,
}
SHOWN: Final = 20  # tensors that an error names
BASED: Final = ("autoencoder", "prior", "text")  # parts that Stable Diffusion 2.1 has too

KEPT: Final = (torch.float16, torch.float32, torch.float64)
# Types that numpy, which reads our files, does not have. Widening is exact.
WIDENED: Final = (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)

Shape = tuple[int, ...]
State = Mapping[str, Tensor]
Sources = dict[tuple[str, str], str]  # published name of a part's tensor
Told = tuple[dict[str, Any], State]  # settings, and the tensors of a network of that size


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
) -> Report:
    """Convert a published checkpoint to a model folder; nothing is written unless all is right.

    Args:
        path: `.ckpt`, `.pt`, `.pth` (tensors alone or under `state_dict`) or `.safetensors`.
        out: the folder to make; where it exists it is empty.
        base: a Stable Diffusion 2.1 checkpoint, for what `path` does not hold.
        head_width: channels of an attention head of the prior, which no shape tells.
        control_head_width: the same of the control network, or the largest divisor below.

    Raises ModelError for a file that cannot be read or holds more than tensors, and one that names
    the tensors that are unknown, missing or wrong; ConfigError where `out` is in use.
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
    report = Report(
        source=path.name,
        sha256=sha256_file(path),
        base=None if base is None else {"source": base.name, "sha256": sha256_file(base)},
        from_base=len(below.keys() - state.keys()),
        parts={name: _size(part) for name, part in conversion.parts.items()},
        dropped={name: asdict(group) for name, group in conversion.dropped.items()},
    )
    _write(out, conversion, report)
    return report


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
    sizes = _Sizes(shapes)
    tell: dict[str, Callable[[], Told]] = {
        "autoencoder": sizes.autoencoder,
        "prior": lambda: sizes.prior(head_width),
        "text": sizes.text,
        "codec": sizes.codec,
        "control": lambda: sizes.control(control_head_width, state),
    }
    for part in PARTS:
        told = _told(part, shapes[part], tell[part], conversion)
        if told is not None:
            _compare(part, shapes[part], told[1], sources, conversion)
            conversion.parts[part] = Part(dict(sorted(parts[part].items())), told[0])
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


def _told(
    part: str, found: Mapping[str, Shape], tell: Callable[[], Told], conversion: Conversion
) -> Told | None:
    """Settings and network of a part, built without memory; None where the shapes do not tell."""
    if not found:
        hint = "; a Stable Diffusion 2.1 checkpoint as base has it" if part in BASED else ""
        conversion.note(f"{PREFIXES[part]}*", f"no tensor of the {part}{hint}")
        return None
    try:
        with torch.device("meta"):
            return tell()
    except _Unknown as error:
        conversion.note(f"{part} {error}", "missing or empty, and the size cannot be told without")
    except (ArithmeticError, ImportError, RuntimeError, ValueError) as error:
        conversion.note(f"{PREFIXES[part]}*", f"the {part} cannot be built: {error}")
    return None


def _compare(
    part: str, found: Mapping[str, Shape], wanted: State, sources: Sources, conversion: Conversion
) -> None:
    for name in wanted.keys() - found.keys():
        conversion.note(f"{part} {name}", f"missing ({PREFIXES[part]}*)")
    for name, shape in found.items():
        if name not in wanted:
            conversion.note(sources[part, name], f"as {part} {name} not one of the network's")
        elif (expected := tuple(wanted[name].shape)) != shape:
            text = f"as {part} {name} of the shape {shape}, expected {expected}"
            conversion.note(sources[part, name], text)


class _Unknown(Exception):
    """A tensor, or what is named, that the size of a network cannot be told without."""


class _Sizes:
    """What the shapes, by part and our name, say about the sizes of the networks.

    Raises _Unknown where they do not say it, and whatever networks raise that cannot be.
    """

    def __init__(self, shapes: Mapping[str, Mapping[str, Shape]]) -> None:
        self.shapes = shapes
        self.unet: UnetSettings | None = None

    def joints(self) -> Iterator[tuple[str, int | None, int | None]]:
        """Channels on both sides where parts meet; None where a side is not known."""
        latent = self._axis("prior", "unet.conv_in.weight", 1)
        inputs = self._axis("control", "encoder.conv_in.weight", 1)
        hint = None if inputs is None or latent is None else inputs - latent
        coded = self._axis(*_CODED)
        context = None if self.unet is None else self.unet.context
        yield "latent of autoencoder and prior", self._axis(*_LATENT), latent
        yield "latent of codec and prior", coded, latent
        yield "latent of codec and hint of control", coded, hint
        yield "text and context of prior", self._axis("text", _TOKENS, 1), context

    def _axis(self, part: str, name: str, axis: int) -> int | None:
        shape = self.shapes[part].get(name, ())
        return shape[axis] if axis < len(shape) else None

    def _side(self, part: str, name: str, axis: int) -> int:
        """The size of a tensor along an axis; one that is empty or too flat tells nothing."""
        size = self._axis(part, name, axis)
        if not size:
            raise _Unknown(name)
        return size

    def _counted(self, part: str, pattern: str, axis: int) -> list[int]:
        """Sizes of the tensors that a pattern names for 0, 1, ... as far as they go."""
        names = map(pattern.format, count())
        return [
            self._side(part, name, axis)
            for name in takewhile(self.shapes[part].__contains__, names)
        ]

    def autoencoder(self) -> Told:
        """Arguments of diffusers' `AutoencoderKL`."""
        from icmbench.diffusers_networks import AutoencoderKL

        part = "autoencoder"
        settings = {
            "in_channels": self._side(part, "encoder.conv_in.weight", 1),
            "out_channels": self._side(part, "decoder.conv_out.weight", 0),
            "latent_channels": self._side(*_LATENT),
            "block_out_channels": [
                self._side(part, f"encoder.down_blocks.{level}.resnets.0.conv1.weight", 0)
                for level in range(LEVELS)
            ],
            "layers_per_block": LAYERS,
            "down_block_types": ["DownEncoderBlock2D"] * LEVELS,
            "up_block_types": ["UpDecoderBlock2D"] * LEVELS,
            "norm_num_groups": VAE_GROUPS,
            "scaling_factor": LATENT_SCALE,
        }
        return settings, AutoencoderKL(**settings).state_dict()

    def prior(self, head_width: int) -> Told:
        """`UnetSettings` under `unet`."""
        part, first = "prior", "unet.conv_in.weight"
        channels = self._counted(part, "unet.down_blocks.{}.resnets.0.conv1.weight", 0)
        attention = [
            any(name.startswith(f"unet.down_blocks.{i}.attentions.") for name in self.shapes[part])
            for i in range(len(channels))
        ]
        # The middle has attention whatever the resolutions have.
        attending = [c for c, a in zip(channels, attention, strict=True) if a] + channels[-1:]
        uneven = [c for c in attending if c % head_width]
        if uneven:
            raise ValueError(f"heads of {head_width} channels do not fit into {uneven[0]}")
        context = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
        self.unet = UnetSettings(
            latent=self._side(part, first, 1),
            channels=tuple(channels),
            layers=LAYERS,
            attention=tuple(attention),
            head_width=head_width,
            context=self._side(part, context, 1),
        )
        tensors = build_unet(self.unet, 0).state_dict()
        return (
            {"kind": "clip", "unet": self.unet.values()},
            {f"unet.{name}": tensor for name, tensor in tensors.items()},
        )

    def text(self) -> Told:
        """Arguments of transformers' `CLIPTextConfig`."""
        # Seconds to load, and only here.
        from transformers import CLIPTextConfig, CLIPTextModel

        part = "text"
        width = self._side(part, _TOKENS, 1)
        settings: dict[str, Any] = {
            "vocab_size": self._side(part, _TOKENS, 0),
            "hidden_size": width,
            "intermediate_size": self._side(part, "encoder.layers.0.mlp.fc1.weight", 0),
            "num_hidden_layers": TEXT_BLOCKS - 1,
            "num_attention_heads": max(1, width // TEXT_HEAD_WIDTH),
            "max_position_embeddings": self._side(part, _POSITIONS, 0),
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-5,
        }
        return settings, CLIPTextModel(CLIPTextConfig(**settings)).state_dict()

    def codec(self) -> Told:
        """`LfgcmSettings`."""
        part = "codec"
        slices = self._counted(part, "local_context.{}.weight", 1)
        strided = ("g_a1.0", "g_a1.4", "g_a1.8", "g_a2.0")
        hidden = LfgcmSettings().context_hidden
        if len(slices) > 1:  # the first has no context
            names = (f"channel_context.1.fushion.{index}.weight" for index in (0, 2))
            hidden = tuple(self._side(part, name, 0) for name in names)
        settings = LfgcmSettings(
            in_channels=self._side(part, "encoder.g_a1.0.conv1.weight", 1),
            out_channels=self._side(*_CODED),
            encoder=tuple(self._side(part, f"encoder.{n}.conv1.weight", 0) for n in strided),
            hyper=self._side(part, "hyper_enc.h_a0.weight", 0),
            latent=self._side(part, "encoder.g_a6.weight", 0),
            prior=self._side(part, "encoder.sft_1_8.0.weight", 0),
            slices=tuple(slices),
            sft_hidden=self._side(part, "encoder.g_a1_ref.mlp_shared.0.weight", 0),
            context_hidden=hidden,
            rates=0,
        )
        return settings.values(), build_lfgcm(settings, 0).state_dict()

    def control(self, head_width: int, state: State) -> Told:
        """`ControlSettings`; after the prior, whose size belongs to it."""
        unet = self.unet
        if unet is None:
            raise _Unknown("size of the prior")
        part, first = "control", "encoder.conv_in.weight"
        own = self._counted(part, "encoder.down_blocks.{}.resnets.0.conv1.weight", 0)
        settings = ControlSettings(
            ratio=_ratio(own, unet.channels),
            head_width=head_width,
            hint=self._side(part, first, 1) - unet.latent,
            scale=_scale(state, unet),
        )
        return settings.values(), build_control(unet, settings, 0).state_dict()


_LATENT: Final = ("autoencoder", "decoder.conv_in.weight", 1)
_CODED: Final = ("codec", "decoder.g_s4.weight", 0)
_TOKENS: Final = "embeddings.token_embedding.weight"
_POSITIONS: Final = "embeddings.position_embedding.weight"


def _ratio(own: Sequence[int], base: Sequence[int]) -> float:
    """The shortest decimal that gives the control's channels, which are rounded down.

    Raises ValueError where no ratio does.
    """
    if len(own) == len(base):
        least = max(o / b for o, b in zip(own, base, strict=True))
        for digits in range(1, 10):
            for ratio in (round(least, digits), round(least + 0.5 * 10**-digits, digits)):
                if [int(b * ratio) for b in base] == list(own):
                    return ratio
    raise ValueError(f"channels {list(own)} are in no ratio to the prior's {list(base)}")


def _scale(state: State, unet: UnetSettings) -> float:
    """The factor of what is injected, which the published network can hold one by one."""
    if SCALE not in state:
        raise _Unknown("scale_list")
    injections = 2 * len(block_channels(unet.channels, unet.layers)) + 1
    scales = state[SCALE]
    if scales.shape != (injections,):
        raise ValueError(f"scale_list has the shape {tuple(scales.shape)}, not ({injections},)")
    values = set(scales.double().tolist())
    if len(values) != 1 or not np.isfinite(scale := values.pop()):
        raise ValueError("scale_list is not constant: an injection has another scale")
    return float(scale)


def _check_overlay(state: State, below: State, conversion: Conversion) -> None:
    for key in state.keys() & below.keys():
        if (shape := tuple(state[key].shape)) != (other := tuple(below[key].shape)):
            conversion.note(key, f"of the shape {shape}, but {other} in the base")


def _check_values(state: State, conversion: Conversion) -> None:
    """Note weights that are not finite, and constants and schedules that are not ours."""
    for part, found in conversion.parts.items():
        for name, tensor in found.tensors.items():
            if not torch.isfinite(tensor).all():
                conversion.note(f"{part} {name}", "holds a value that is not finite")
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
    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        elif path.suffix in (".ckpt", ".pt", ".pth"):
            # Only tensors are read: a pickle can name any function to be called.
            mapped = zipfile.is_zipfile(path)
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        else:
            raise ModelError(f"{path}: neither .ckpt, .pt, .pth nor .safetensors: which is it?")
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except pickle.UnpicklingError as error:  # its text advises to read the file without care
        raise ModelError(
            f"{path}: damaged, or it holds more than tensors, none of which was run; "
            "where the model is published as .safetensors too, that can be imported"
        ) from error
    except (SafetensorError, *UNREADABLE) as error:
        raise ModelError(f"{path}: damaged or not a file of weights: {error}") from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping):
        raise ModelError(f"{path}: it holds a {type(found).__name__}, not named tensors")
    for name, tensor in found.items():
        if not (isinstance(name, str) and isinstance(tensor, Tensor) and _plain(tensor)):
            raise ModelError(f"{path}: {name!r} is not a plain tensor")
    return {name: tensor.detach() for name, tensor in found.items()}


def _plain(tensor: Tensor) -> bool:
    stored = tensor.layout is torch.strided and tensor.device.type == "cpu"
    return stored and not tensor.is_quantized


def _check_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: exists already and is not an empty folder")


def _size(part: Part) -> dict[str, int]:
    elements = sum(tensor.numel() for tensor in part.tensors.values())
    return {"tensors": len(part.tensors), "elements": elements}


def _write(out: Path, conversion: Conversion, report: Report) -> None:
    """Make the folder beside its place and move it there whole."""
    out = out.resolve()
    folder = out.with_name(f".{out.name}.{os.getpid()}.part")
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
