"""A folder of packages as on a machine that has little: some distributions and what they need."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def bare_site(folder: Path, names: Iterable[str]) -> Path:
    """Links to the packages of distributions and of all that these require, without extras."""
    folder.mkdir()
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system
        seen.add(name)
        required = [each for each in found.requires or [] if "extra ==" not in each]
        waiting += [re.match(r"[\w.-]+", each)[0] for each in required]  # type: ignore[index]
        for top in {file.parts[0] for file in found.files or []} - {"..", "__pycache__"}:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(str(found.locate_file(top))).resolve())
    return folder


def run_bare(site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script of Python with these packages alone."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return subprocess.run(
        [sys.executable, "-S", *map(str, arguments)], capture_output=True, text=True, check=False,
        timeout=1200, env={**kept, **threads, "PYTHONPATH": str(site)},
    )  # fmt: skip
