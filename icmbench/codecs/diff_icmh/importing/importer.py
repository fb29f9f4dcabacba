"""Import of a published Diff-ICMH checkpoint as a model folder.

<out>/{autoencoder,prior,text,codec,control}.safetensors   in the published number types
<out>/tokenizer/, <out>/tags.txt                           copies of the files given
<out>/import.json                                          report: tensors converted and dropped
<out>/rates/<number>/{codec,control}.safetensors           of further checkpoints, one per rate
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from icmbench.codecs.diff_icmh.entropy.rate_tables import write_tables
from icmbench.codecs.diff_icmh.importing.convert import Conversion, Part, convert
from icmbench.codecs.diff_icmh.importing.ram_plus import RamPlusWeights, read_ram_plus
from icmbench.codecs.diff_icmh.importing.sizes import LATENT_SCALE, State
from icmbench.codecs.diff_icmh.importing.verify import check_frozen, check_overlap, check_values
from icmbench.codecs.diff_icmh.model_folder import TOKENIZER, VOCABULARY, WORDS, part_file
from icmbench.codecs.diff_icmh.sampling import PUBLISHED_DECODING
from icmbench.codecs.diff_icmh.tokenizer import Tokenizer
from icmbench.codecs.diff_icmh.vocabulary import read_vocabulary
from icmbench.core.errors import ConfigError, ModelError
from icmbench.core.files import sha256_file, temporary_beside, write_bytes, write_json
from icmbench.models.checkpoint import read_checkpoint
from icmbench.models.layout import RATES
from icmbench.models.published_tensors import refusal, write_tensors

REPORT: Final = "import.json"
TRAINED: Final = ("codec", "control")  # what the checkpoints of several rates differ in
LATENT_RANGE: Final = 64  # standard deviations of `ref`; the official code has no limit


@dataclass(frozen=True)
class Report:
    """Report of an import.

    Attributes:
        source, sha256: name and digest of the checkpoint.
        base: the same of the checkpoint under it, or None.
        from_base: how many tensors came from that one.
        parts: per part `tensors` and `elements`, counted under our names.
        dropped: per group `tensors`, `elements`, counted under theirs, and the `reason`.
        rates: name and digest of the checkpoint of every further rate.
    """

    source: str
    sha256: str
    base: dict[str, str] | None
    from_base: int
    parts: dict[str, dict[str, int]]
    dropped: dict[str, dict[str, Any]]
    rates: list[dict[str, str]] = field(default_factory=list)

    def values(self) -> dict[str, Any]:
        """The report as plain values: what `import.json` holds."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """The report for people, a line per part and per group."""
        for name, found in self.parts.items():
            yield f"{name:<14} {found['tensors']:>4} tensors, {found['elements']:>11,} numbers"
        for name, group in self.dropped.items():
            yield f"left out: {name}, {group['tensors']} tensors ({group['reason']})"
        for number, rate in enumerate(self.rates, 2):
            yield f"rate {number}: {' and '.join(TRAINED)} of {rate['source']}"


def import_checkpoint(
    path: Path,
    out: Path,
    *,
    further: Sequence[Path] = (),
    base: Path | None = None,
    head_width: int = 64,
    control_head_width: int = 16,
    tokenizer: Path | None = None,
    tags: Path | None = None,
    tagger: Path | None = None,
    thresholds: Path | None = None,
) -> Report:
    """Convert a published checkpoint to a model folder; nothing is written unless all is right.

    Args:
        path: `.ckpt`, `.pt`, `.pth` (tensors alone or under `state_dict`) or `.safetensors`.
        out: the folder to make; where it exists it is empty.
        further: checkpoints of the rates 2, 3 and so on, where every rate was trained by itself:
            their codec and control network are stored, the frozen networks are those of `path`.
        base: a Stable Diffusion 2.1 checkpoint, for what `path` does not hold.
        head_width: channels of an attention head of the prior; no tensor shape determines it.
        control_head_width: the same of the control network, or the largest divisor below.
        tokenizer: folder of vocab.json and merges.txt of Stable Diffusion 2.1, copied to `out`.
        tags: names of the tags, one a line, copied to `out`.
        tagger, thresholds: checkpoint of RAM++ and its tags' thresholds; see `read_ram_plus`.

    Raises ModelError for a file that cannot be read or holds more than tensors, one that names
    the tensors that are unknown, missing or wrong, or of a further checkpoint not equal to those of
    `path`, and one for a tokenizer that is not of the checkpoint's text encoder; ConfigError where
    `out` is in use, or a tagger has no tags or thresholds.
    """
    _check_free(out)
    if min(head_width, control_head_width) < 1:
        raise ConfigError(f"head widths {head_width} and {control_head_width}: 1 is the least")
    tagging = None
    if tagger is not None:
        if tags is None or thresholds is None:
            raise ConfigError(f"{tagger}: a tagger needs the names of its tags and thresholds, too")
        tagging = read_ram_plus(tagger, tags, thresholds)
    below = {} if base is None else read_checkpoint(base)

    def converted(file: Path) -> tuple[State, Conversion]:
        state = read_checkpoint(file)
        found = convert(
            {**below, **state}, head_width=head_width, control_head_width=control_head_width
        )
        check_overlap(state, below, found)
        check_values({**below, **state}, found)
        return state, found

    state, conversion = converted(path)
    if conversion.problems:
        raise _refusal(path, conversion.problems)
    others = [converted(file)[1] for file in further]
    for file, other in zip(further, others, strict=True):
        check_frozen(other, conversion, path.name)
        if other.problems:
            raise _refusal(file, other.problems)
    words = check_words(conversion, tokenizer, tags)
    report = Report(
        source=path.name,
        sha256=sha256_file(path),
        base=None if base is None else {"source": base.name, "sha256": sha256_file(base)},
        from_base=len(below.keys() - state.keys()),
        parts={name: _size(part) for name, part in conversion.parts.items()},
        dropped={name: asdict(group) for name, group in conversion.dropped.items()},
        rates=[{"source": file.name, "sha256": sha256_file(file)} for file in further],
    )
    _write(out, [conversion, *others], report, words, tagging)
    return report


def check_words(
    conversion: Conversion, tokenizer: Path | None, tags: Path | None
) -> dict[str, Path]:
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


def _refusal(path: Path, problems: Mapping[str, str]) -> ModelError:
    return refusal(path, [f"{name}: {text}" for name, text in problems.items()])


def _check_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: exists already and is not an empty folder")


def _size(part: Part) -> dict[str, int]:
    elements = sum(tensor.numel() for tensor in part.tensors.values())
    return {"tensors": len(part.tensors), "elements": elements}


def _write(
    out: Path,
    conversions: Sequence[Conversion],
    report: Report,
    words: Mapping[str, Path],
    tagging: RamPlusWeights | None,
) -> None:
    """Make the folder beside its place and move it there whole; one conversion per rate."""
    out = out.resolve()
    folder = temporary_beside(out)
    provenance = {"source": report.source, "sha256": report.sha256, "base": report.base}
    try:
        write_parts(folder, conversions[0], tuple(conversions[0].parts), provenance)
        for number, (conversion, origin) in enumerate(
            zip(conversions[1:], report.rates, strict=True), 2
        ):
            home = folder / RATES / str(number)
            home.mkdir(parents=True)
            write_parts(home, conversion, TRAINED, {**origin, "base": report.base})
        for place, source in words.items():
            write_bytes(folder / place, source.read_bytes())
        if tagging is not None:
            tagging.write(folder)
        write_json(folder / REPORT, report.values())
        os.replace(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_parts(
    folder: Path,
    conversion: Conversion,
    names: Sequence[str],
    provenance: Mapping[str, Any],
    *,
    scale: float = LATENT_SCALE,
    more: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write parts of a conversion, and the tables of its codec.

    Args:
        scale: factor of the autoencoder's latent in the diffusion model.
        more: further metadata, by part.
    """
    for name in names:
        part = conversion.parts[name]
        metadata = {"network": _network(name, conversion), "provenance": provenance}
        metadata |= (more or {}).get(name, {})
        if name == "codec":
            metadata["decoding"] = PUBLISHED_DECODING
        if name == "autoencoder":
            metadata |= _latent_metadata(part.settings["latent_channels"], scale)
        write_tensors(folder / f"{name}.safetensors", part.tensors, metadata)
    if "codec" in names:
        write_tables(part_file(folder, "tables"), part_file(folder, "codec"))


def _network(name: str, conversion: Conversion) -> dict[str, Any]:
    """The settings of a part as the model folder keeps them."""
    settings = {part: found.settings for part, found in conversion.parts.items()}
    if name == "control":
        return {"unet": settings["prior"]["unet"], "control": settings["control"]}
    return settings[name]


def _latent_metadata(channels: int, scale: float) -> dict[str, Any]:
    """A latent is standardised by the one factor that the diffusion model was trained with."""
    return {
        "layout": "diffusers-kl",
        "mean": [0.0] * channels,
        "std": [1 / scale] * channels,
        "latent_range": LATENT_RANGE,
    }
