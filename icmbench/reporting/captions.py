"""Captions of `snakemake --report`: files of reStructuredText with the words of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from icmbench.core.files import write_text
from icmbench.reporting.artefacts import Artefact, Made

# Below the directory that Snakemake runs in.
_FOLDER: Final = Path(".snakemake") / "icmbench" / "captions"


def caption_file(entry: Artefact) -> str | None:
    """The file of an entry's caption; None where the entry has none."""
    name = re.sub(r"[{}]", "", entry.name)
    return str((_FOLDER / entry.kind / f"{name}.rst").absolute()) if entry.caption else None


def write_captions(entries: Iterable[Artefact]) -> None:
    """Write the captions of entries; files that are current stay as they are."""
    for entry in entries:
        if file := caption_file(entry):
            path, text = Path(file), re.sub(r"([\\*`|_])", r"\\\1", entry.caption) + "\n"
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                write_text(path, text)


def report_words(one: Made) -> dict[str, Any]:
    """Arguments of Snakemake's `report` for a figure or table."""
    title = one.text.title.translate({ord("{"): "(", ord("}"): ")"})  # else they are wildcards
    return {
        "caption": caption_file(one.entry),
        "category": one.entry.section or "Tables",
        "labels": {one.entry.kind: title},
    }
