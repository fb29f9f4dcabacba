"""The entries that all model cards share: origin, licence and training data of weight files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.core.files import sha256_file
from icmbench.models.tensors import read_metadata

OWN_LICENCE = "BSD-3-Clause"
DATA_LICENCES = "the licences of their training data stand under data"


def origin(paths: Sequence[Path], shipped: Sequence[Path], start: str) -> dict[str, Any]:
    """The entries `made_by`, `licence` and `data` of a card.

    `data` names the sources that any of the files was trained on, with their licences as the data
    sets declare them. A file that was fine-tuned from a bundled one was trained on the bundled
    one's data, too.

    Args:
        paths: the files of the card.
        shipped: all bundled files of the model.
        start: `bundled` where files that are not bundled were trained from bundled ones.
    """
    known = {sha256_file(path) for path in shipped}
    own = [path for path in paths if sha256_file(path) not in known]
    used = [*paths, *(shipped if own and start == "bundled" else ())]
    pools = [read_metadata(path).get("provenance", {}).get("pool", {}) for path in used]
    sources = {source["name"] for pool in pools for source in pool.get("sources", ())}
    licences = {licence for pool in pools for licence in pool.get("licences", ())}
    data = {"sources": sorted(sources), "licences": sorted(licences)}
    if not own:
        made = "icmbench, from scratch: no published weights are in them"
        return {
            "made_by": made,
            "licence": f"{OWN_LICENCE} for the files; {DATA_LICENCES}",
            "data": data,
        }
    how = "fine-tuned from the bundled ones" if start == "bundled" else "trained from scratch"
    names = ", ".join(sorted(path.name for path in own))
    made = f"a run of icmbench: {names} {how}"
    licence = f"none is set for the files of the run; {DATA_LICENCES}"
    if len(own) < len(paths):
        made += "; bundled with icmbench, unchanged: the others"
        licence = f"bundled files: {OWN_LICENCE}; {licence}"
    return {"made_by": made, "licence": licence, "data": data}


def described(paths: Sequence[Path], what: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The entries of a card, by file name: what each is, its digest, size and provenance."""
    return {
        path.name: {
            "what": what[path.stem],
            "sha256": sha256_file(path),
            "bytes": path.stat().st_size,
            "provenance": read_metadata(path).get("provenance", {}),
        }
        for path in paths
    }
