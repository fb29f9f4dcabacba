"""Braces in paths of folders: Snakemake takes what stands between them for a wildcard."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from icmbench.config.problems import Problems
from icmbench.core.errors import ConfigError

# Keys of folders whose paths are in patterns of rules.
KEYS: Final = ("results", "downloads", "models", "weights")


def without_braces(key: str, path: str) -> str:
    """A path as it is, or relative to the working directory where that has no braces.

    Args:
        key: its key in the configuration, for the error.

    Raises ConfigError where both have some.
    """
    for one in (path, os.path.relpath(path)):
        if not {*one} & {*"{}"}:
            return one
    raise ConfigError(
        f"{key}: {path}: Snakemake takes braces for wildcards: name a folder without them, or "
        "start Snakemake below the folder whose name has some"
    )


def check_repository(folder: Path) -> None:
    """ConfigError where the path of the workflow's own files has braces."""
    if {*str(folder)} & {*"{}"}:
        raise ConfigError(f"{folder}: Snakemake takes braces for wildcards: rename or move it")


def check_braces(config: dict[str, Any], problems: Problems) -> None:
    """Make paths with braces relative; add a problem for those that keep some.

    Args:
        config: the completed configuration; it is changed.
    """
    for key in KEYS:
        if config[key]:
            with problems.collect():
                config[key] = without_braces(key, config[key])
