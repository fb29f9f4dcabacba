"""Sources of a run: the published files that its data sets are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from icmbench.config.problems import Problems
from icmbench.core.errors import ConfigError
from icmbench.core.fetch_command import FETCHED
from icmbench.datasets.base import Dataset
from icmbench.sources.catalogue import Source, find_source, known_sources
from icmbench.sources.completeness import is_complete, offline_text


def run_sources(config: Mapping[str, Any]) -> dict[str, Source]:
    """All sources that a run can fetch, by name; ConfigError for a wrong file `sources`."""
    return known_sources(config["sources"])


def source_files(config: Mapping[str, Any], datasets: Iterable[Dataset]) -> list[str]:
    """Files, one per source of the data sets, that the rule `download` makes; sorted."""
    names = {name for dataset in datasets for name in dataset.sources()}
    return [str(Path(config["downloads"]) / name / FETCHED) for name in sorted(names)]


def check_sources(
    config: Mapping[str, Any], datasets: Iterable[Dataset], problems: Problems
) -> None:
    """Sources must be known and, with `offline`, be complete on disk.

    What a data set has named as missing, when its images were listed, is not named again.
    """
    with problems.collect("sources"):
        known = run_sources(config)
        downloads = Path(config["downloads"])
        for dataset in datasets:
            for name in dataset.sources():
                with problems.collect(f"data set {dataset.name}"):
                    source = find_source(name, known)
                    if not config["offline"] or is_complete(source, downloads):
                        continue
                    text = offline_text(source, downloads, source.files)
                    if not any(text in str(error) for error in problems.errors):
                        raise ConfigError(text)
