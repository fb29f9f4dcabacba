"""Names of downloads, and the command that fetches a source, as errors print it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

DOWNLOADS: Final = "downloads"  # folder of downloads, unless a configuration or option names one
FETCHED: Final = "fetched.json"  # in the folder of a source that is complete


def fetch_command(
    name: str, downloads: Path | str = DOWNLOADS, sources: Path | str | None = None
) -> str:
    """`icmbench fetch` with the options that differ from their defaults, quoted for a shell.

    Args:
        name: of the source, or mmdet/CONFIGURATION, mmseg/CONFIGURATION.
        downloads: folder of downloads.
        sources: YAML file of further sources.
    """
    words = ["icmbench", "fetch"]
    if Path(downloads) != Path(DOWNLOADS):
        words += ["--downloads", _quoted(str(downloads))]
    if sources:
        words += ["--sources", _quoted(str(sources))]
    return " ".join([*words, _quoted(name)])


def _quoted(text: str) -> str:
    """Text as one word of a shell; a leading `~/` stays the home of the reader."""
    return f"~/{shlex.quote(text[2:])}" if text.startswith("~/") else shlex.quote(text)
