"""Published files of a source."""

from __future__ import annotations

from pathlib import Path

from icmbench.sources.catalogue import find_source, known_sources
from icmbench.sources.fetch import fetch_source


def download(
    source: str,
    *,
    sources: Path | str | None,
    offline: bool,
    fetched: Path,
) -> None:
    """Fetch a source into the folder of downloads.

    Args:
        source: its name.
        sources: YAML file of further sources; None: the shipped ones.
        offline: never use the network; what is missing is an error.
        fetched: `<downloads>/<source>/fetched.json`, written when all of the source is there.
    """
    found = find_source(source, known_sources(sources))
    fetch_source(found, fetched.parent.parent, offline=offline)
