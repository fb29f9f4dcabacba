"""The pinned packages and a small run under the other Python versions that the project names.

Taken are the system's own interpreter, where it is of another of these versions, and those that
ICMBENCH_TEST_PYTHONS names (paths, with colons between them).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

SYSTEM = Path("/usr/bin/python3")
TABLES = ("rd", "bd_rate", "tasks")
# Codecs of Pillow, imagecodecs, numba and torch, and a task: all compiled packages are loaded.
CONFIG = {
    "datasets": {"scenes": {"test": 2, "size": 96}},
    "codecs": {
        "jpeg": {"points": [{"quality": [10, 50]}]},
        "jxl": {"points": [{"distance": [1, 6]}]},
        "mpd": {"points": [{"state": [4, 0]}]},
        "diff-icmh": {"points": [{"rate": 1, "sampler": "ddim", "steps": 2}]},
    },
    "metrics": ["psnr_rgb", "ms_ssim", "ssimulacra2"],
    "anchors": ["jpeg"],
    "tasks": {"detection": {"type": "mmdet", "datasets": ["scenes"]}},
    "bootstrap": {"resamples": 20, "bd_resamples": 20},
    "robustness": {"trials": 0},
    "device": "cpu",
}


def named_versions() -> set[str]:
    """The versions of Python in the classifiers of the project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found = (re.search(r"Python :: (3\.\d+)$", text) for text in project["classifiers"])
    return {match[1] for match in found if match}


def version(python: str) -> str:
    command = [python, "-c", "import sys; print('{}.{}'.format(*sys.version_info))"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def interpreters() -> list[str]:
    given = [path for path in os.environ.get("ICMBENCH_TEST_PYTHONS", "").split(":") if path]
    known = named_versions() - {f"{sys.version_info.major}.{sys.version_info.minor}"}
    own = [str(SYSTEM)] if SYSTEM.exists() and version(str(SYSTEM)) in known else []
    return given + own


def run(python: Path | str, folder: Path) -> dict[str, bytes]:
    """The tables of the run in a folder of its own."""
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    done = subprocess.run(
        [python, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2",
         "--configfile", folder / "config.yaml", "--directory", folder],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=2400,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return {name: (folder / "results" / "tables" / f"{name}.csv").read_bytes() for name in TABLES}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables under the Python of the tests."""
    return run(sys.executable, tmp_path_factory.mktemp("here") / "run")


def test_the_lowest_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["requires-python"] == f">={min(named_versions(), key=lambda v: v.split('.'))}"


@pytest.mark.parametrize("python", interpreters() or [""])
def test_another_python_gives_the_same_tables(
    python: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if not python:
        pytest.skip("the system's own Python is no other version of those that are supported")
    assert version(python) in named_versions()
    home = tmp_path / "environment"
    subprocess.run(["uv", "venv", "--quiet", "--python", python, home], check=True)
    subprocess.run(
        ["uv", "pip", "install", "--quiet", "--no-deps", "--python", home / "bin" / "python",
         "-r", ROOT / "requirements.lock"],
        check=True,
    )  # fmt: skip
    expected = request.getfixturevalue("expected")
    assert run(home / "bin" / "python", tmp_path / "run") == expected
