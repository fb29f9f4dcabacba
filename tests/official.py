"""Official fixtures and real data: files beside the checkout that the project may not contain.

Tests of them carry the marker `shared`, which `needs` makes, and belong to `make test-all`. Without
the files they are skipped; with ICMBENCH_REQUIRE_SHARED=1 they fail.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("ICMBENCH_SHARED", Path(__file__).resolve().parents[2] / "shared"))
DIFF_ICMH = SHARED / "fixtures" / "diff_icmh"
REAL = SHARED / "realdata"


def needs(*paths: Path) -> pytest.MarkDecorator:
    """Mark a test that reads these files or folders of `SHARED`."""
    return pytest.mark.shared(*paths)


def check(paths: Iterable[Path]) -> None:
    """Skip a test whose files are absent, or fail it where all of them are required."""
    for path in paths:
        if not path.exists():
            end = pytest.skip
            if os.environ.get("ICMBENCH_REQUIRE_SHARED", "0") != "0":
                end = pytest.fail
            end(f"{path} is not here; ICMBENCH_SHARED names the folder of official files")
