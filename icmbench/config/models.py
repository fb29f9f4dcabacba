"""Models of codec entries: where their weight files lie, and which of them an entry uses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icmbench.codecs.diff_icmh import model_folder as icmh
from icmbench.codecs.external.definitions import without_texts
from icmbench.codecs.mpd import model_folder as mpd
from icmbench.codecs.mpd.model_folder import NAME
from icmbench.codecs.mpd.training import settings
from icmbench.codecs.registry import codec_of
from icmbench.evaluation.shard import CodecEntry
from icmbench.evaluation.units import specs_on
from icmbench.models.layout import CARD
from icmbench.reporting.statistics.seeds import seed_groups


def model_name(config: Mapping[str, Any], name: str) -> str | None:
    """The model that a codec entry needs, None where it needs none."""
    return codec_of(config["codecs"], name).model_name


def models_folder(config: Mapping[str, Any]) -> Path:
    """The folder of all models: a given one as it is, or the one that this run fills."""
    return Path(config["models"] or f"{config['results']}/models")


def coding_settings(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Arguments of `make_codec_entry`: all that determines streams and reconstructions.

    And nothing else: a job whose settings change runs again.
    """
    keys = ("device", "threads", "limits")
    codec = codec_of(config["codecs"], name)
    entry, made = config["codecs"][name], {}
    if codec.definition:
        entry = {"points": entry["points"]}
        made = {"definition": without_texts(codec.definition), "state": codec.state()}
    return {
        "entry": entry,
        **{key: config[key] for key in keys},
        # Only where it is used: another model must not code again what has none.
        "models": str(models_folder(config)) if codec.model_name else None,
        **made,
    }


def unit_settings(config: Mapping[str, Any], dataset: str, entry: CodecEntry) -> dict[str, Any]:
    """Arguments of `make_codec_entry` for a codec entry with its points on a data set."""
    settings = coding_settings(config, entry.name)
    only = specs_on(config, dataset, entry)
    return settings if only is None else {**settings, "only": only}


def given_files(folder: Path) -> list[Path]:
    """The files of a given model folder, sorted; none that is only being written."""
    if folder.name in (NAME, icmh.NAME):
        card = folder / CARD
        layout = mpd.LAYOUT if folder.name == NAME else icmh.LAYOUT
        members = [] if layout is mpd.LAYOUT else icmh.member_folders(folder)
        places = [folder, *(folder / name for name in members)]
        files = {f for p in places for f in (*layout.stream_files(p), *layout.encoder_files(p))}
        return sorted([*files, *([card] if card.is_file() else [])])
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")
    )


def used_features(entry: CodecEntry) -> list[str]:
    """The kinds of descriptors whose features an MPD entry's points use, sorted."""
    return settings.used_features([dict(point.encode) for point in entry.points])


def entries_with_seeds(entries: Mapping[str, CodecEntry]) -> list[str]:
    """Names of the entries with points that differ in the seed of their decoder alone."""
    return [
        name
        for name, entry in entries.items()
        if len(seed_groups(point.spec for point in entry.points)) < len(entry.points)
    ]


def alpha_sweeps(entries: Mapping[str, CodecEntry]) -> dict[str, dict[str, float]]:
    """By guide, the weight of every entry of a sweep: entries that differ in the weight alone.

    Each has one encoding. A sweep has at least three entries, one of them of weight 0, which
    belongs to every guide.
    """
    groups: dict[tuple[Any, ...], dict[str, dict[str, float]]] = {}
    for name, entry in entries.items():
        encodings = {tuple(sorted(point.encode)) for point in entry.points}
        if entry.codec == NAME and len(encodings) == 1:
            keys = dict(encodings.pop())
            alpha, guide = float(keys.pop("alpha")), str(keys.pop("guide"))
            rest = sorted((point.cut, point.decode) for point in entry.points)
            group = groups.setdefault((tuple(sorted(keys.items())), tuple(rest)), {})
            group.setdefault(guide if alpha else "", {})[name] = alpha
    for group in groups.values():
        plain = group.pop("", {})
        found = {g: {**plain, **w} for g, w in group.items() if len(plain) == 1 and len(w) > 1}
        if found:
            return found
    return {}
