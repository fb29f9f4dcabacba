"""The revision of the code that makes an artefact: every job writes it into its log."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

VARIABLE = "ICMBENCH_REVISION"  # set where a run is planned, for all jobs
UNKNOWN = "unknown"


def current_revision() -> str:
    """The revision that this process runs, as the workflow has named it; else `unknown`."""
    return os.environ.get(VARIABLE) or UNKNOWN


def code_revision(root: Path, digest: Callable[[], str]) -> str:
    """The revision of a working copy: `git describe`, with a digest of the code if it is changed.

    Args:
        root: a folder of the working copy.
        digest: the digest of the package's code; called where git does not name it.
    """
    revision = git_revision(root)
    if revision == UNKNOWN or revision.endswith("-dirty"):
        return f"{revision}+{digest()[:12]}"
    return revision


def git_revision(root: Path) -> str:
    """`git describe` of a working copy, with `-dirty` if it is changed; `unknown` without git."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return done.stdout.strip()
