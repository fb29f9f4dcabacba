"""Installed packages and their versions."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util


@functools.cache
def package_version(name: str) -> str:
    """Version of a distribution, or `not installed`: to be recorded, never to stop a run."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@functools.cache
def runs_jobs() -> bool:
    """True if this environment holds the packages of jobs: numpy stands for them.

    Where Snakemake is installed alone, a run is planned and its jobs have environments of their
    own (`--sdm conda`): a package that is missing here says nothing about them.
    """
    return importlib.util.find_spec("numpy") is not None
