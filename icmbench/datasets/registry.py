"""All kinds of data sets, and the one that a configuration entry describes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import icmbench.datasets
from icmbench.core.errors import ConfigError
from icmbench.core.registry import discover
from icmbench.core.suggest import unknown
from icmbench.datasets.base import Dataset

ENTRY_POINTS = "icmbench.datasets"


@functools.cache
def kinds() -> dict[str, type[Dataset]]:
    """Every data-set class by kind, sorted."""
    return discover([icmbench.datasets], Dataset, ENTRY_POINTS, "kind")  # type: ignore[type-abstract]


def make_dataset(
    name: str,
    entry: Mapping[str, Any],
    downloads: Path,
    results: Path | None = None,
    sources: Path | str | None = None,
) -> Dataset:
    """The data set of a configuration entry; its `type` defaults to its name.

    Args:
        downloads: folder of fetched files.
        results: folder of the run's outputs: never images, should they lie in the set's folder.
        sources: YAML file of further sources, `sources` of the configuration.
    """
    options = dict(entry)
    kind = options.pop("type", name)
    if kind not in kinds():
        raise ConfigError(unknown(f"type of data set {name!r}", kind, kinds()))
    dataset = kinds()[kind](name, options, downloads)
    dataset.outputs = () if results is None else (results,)
    dataset.own_sources = sources
    return dataset
