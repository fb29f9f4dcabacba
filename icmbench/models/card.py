"""Model cards: contents, origin, licence and training data of weight files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.core.files import sha256_file
from icmbench.models.layout import CARD, ModelLayout
from icmbench.models.tensors import read_metadata

OWN_LICENCE = "BSD-3-Clause"
OTHER_LICENCE = "imported files: their publisher's; none is set for the files of the run"
DATA_LICENCES = "the licences of their training data stand under data"

Conditions = Mapping[str, Mapping[str, Any]]  # of trainings, by the sha256 of their weight files


def model_card(
    layout: ModelLayout,
    folder: Path,
    parts: Sequence[str] | None = None,
    start: str = "scratch",
    conditions: Sequence[Path] = (),
) -> dict[str, Any]:
    """The card of a complete model folder.

    Args:
        parts: weight files that the card describes; default: all that are present.
        start: `training.start` of the run that trained what is not bundled.
        conditions: files of the conditions of trainings: time, device, revision, versions. Those
            of bundled files stand in the bundled card.

    Raises ModelError where a file is missing or damaged.
    """
    layout.check_folder(folder, parts)
    if parts is None:
        paths = [*layout.weight_files(folder), *layout.encoder_files(folder)]
    else:
        paths = [layout.part_file(folder, part) for part in parts]
    home = layout.bundled()
    bundled = [*layout.weight_files(home), *layout.encoder_files(home)]
    card = {
        "model": layout.name,
        "what": layout.summary,
        **_origin(paths, bundled, start),
        "weights_digest": layout.weights_digest(folder).hex(),
        "files": described(paths, layout.contents, _conditions(home, conditions), _formers(home)),
    }
    if layout.decoding is not None:
        metadata = read_metadata(layout.part_file(folder, layout.decoding))
        card["decoding"] = metadata["decoding"]
    return card


def _origin(paths: Sequence[Path], bundled: Sequence[Path], start: str) -> dict[str, Any]:
    """The entries `made_by`, `licence` and `data` of a card.

    `data` names the sources that any of the files was trained on, with their licences as the data
    sets declare them. A file that was fine-tuned from a bundled one was trained on the bundled
    one's data, too.
    """
    known = {sha256_file(path) for path in bundled}
    own = [path for path in paths if sha256_file(path) not in known]
    published = [path for path in own if _published(path)]
    # Networks on an imported latent do not start from the bundled ones.
    tuned = bool(own) and start == "bundled" and not published
    used = [*paths, *(bundled if tuned else ())]
    trained_on = [read_metadata(path).get("provenance", {}).get("pool", {}) for path in used]
    sources = {source["name"] for data in trained_on for source in data.get("sources", ())}
    licences = {licence for data in trained_on for licence in data.get("licences", ())}
    data = {"sources": sorted(sources), "licences": sorted(licences)}
    if published:
        others = [path for path in own if path not in published]
        return _with_published(published, others, len(paths), data)
    if not own:
        made = "icmbench, from scratch: no published weights are in them"
        licence = f"{OWN_LICENCE} for the files; {DATA_LICENCES}"
        return {"made_by": made, "licence": licence, "data": data}
    how = "fine-tuned from the bundled ones" if start == "bundled" else "trained from scratch"
    names = ", ".join(sorted(path.name for path in own))
    made = f"a run of icmbench: {names} {how}"
    licence = f"none is set for the files of the run; {DATA_LICENCES}"
    if len(own) < len(paths):
        made += "; bundled with icmbench, unchanged: the others"
        licence = f"bundled files: {OWN_LICENCE}; {licence}"
    return {"made_by": made, "licence": licence, "data": data}


def _published(path: Path) -> dict[str, str]:
    """Names and digests of the files that a weight file was imported from; none: it was not."""
    found: dict[str, str] = read_metadata(path).get("provenance", {}).get("from", {})
    return found


def _with_published(
    published: Sequence[Path], own: Sequence[Path], count: int, data: dict[str, Any]
) -> dict[str, Any]:
    """The entries of a card with an imported file; the others state their start themselves."""
    origins = ", ".join(f"{p.name} imported from {', '.join(_published(p))}" for p in published)
    made = f"a run of icmbench: {origins}"
    starts = {p.name: read_metadata(p).get("provenance", {}).get("start", "scratch") for p in own}
    for fresh, how in ((True, "trained from scratch"), (False, "fine-tuned from the bundled ones")):
        names = [name for name, start in starts.items() if (start == "scratch") == fresh]
        made += f"; {', '.join(sorted(names))} {how}" if names else ""
    made += "; bundled with icmbench: the others" if len(published) + len(own) < count else ""
    licence = f"{OTHER_LICENCE}; {DATA_LICENCES}"
    return {"made_by": made, "licence": licence, "data": data}


def described(
    paths: Sequence[Path],
    contents: Mapping[str, str],
    conditions: Conditions | None = None,
    formers: Conditions | None = None,
) -> dict[str, dict[str, Any]]:
    """The entries of a card, by file name: contents, digest, size and provenance.

    The provenance is that of the file's metadata, with the conditions of its training where they
    are known, and of the training before it. Where the first of these started from a file of
    `formers`, provenances by digest, that one stands under `former`.
    """
    found, known, earlier = {}, conditions or {}, formers or {}
    for path in paths:
        digest = sha256_file(path)
        provenance = dict(read_metadata(path).get("provenance", {}))
        if digest in known:
            provenance["conditions"] = dict(known[digest])
        if provenance.get("before", {}).get("stage", 1) != 1:
            del provenance["before"]  # of a finished codec, which stands under `former`
        if "before" in provenance and (start := str(provenance["start"])) in known:
            provenance["before"] = {**provenance["before"], "conditions": dict(known[start])}
        started = first_start(provenance)
        if started in earlier:
            provenance["former"] = {"sha256": started, **earlier[started]}
        found[path.name] = {
            "what": contents[path.stem],
            "sha256": digest,
            "bytes": path.stat().st_size,
            "provenance": provenance,
        }
    return found


def first_start(provenance: Mapping[str, Any]) -> str:
    """Name the start of a file's trainings: "scratch", the digest of a file, or "": not known.

    A training of two stages keeps the first one's provenance under `before`; one of stage 2 alone
    may keep that of the finished codec it started from.
    """
    before = provenance.get("before", {})
    first = before if before.get("stage") == 1 else provenance
    return str(first.get("start", ""))


def _formers(bundled: Path) -> Conditions:
    """Provenances in the bundled card: of its files, and of those that they started from."""
    card = bundled / CARD
    entries = json.loads(card.read_text("utf-8"))["files"].values() if card.is_file() else ()
    found: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        found[entry["sha256"]] = entry["provenance"]
        if former := entry["provenance"].get("former"):
            found[former["sha256"]] = {k: v for k, v in former.items() if k != "sha256"}
    return found


def _conditions(bundled: Path, paths: Sequence[Path]) -> Conditions:
    """Conditions of trainings, and those in the card of the bundled model."""
    found: dict[str, Mapping[str, Any]] = {}
    card = bundled / CARD
    known = json.loads(card.read_text("utf-8"))["files"] if card.is_file() else {}
    for entry in known.values():
        provenance = entry["provenance"]
        if "conditions" in provenance:
            found[entry["sha256"]] = provenance["conditions"]
        if "conditions" in (before := provenance.get("before", {})):
            found[provenance["start"]] = before["conditions"]
    for path in paths:
        values = json.loads(path.read_text("utf-8"))
        files = values.pop("files")
        found |= dict.fromkeys(files.values(), values)
    return found
