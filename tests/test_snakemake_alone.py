"""Planning in an environment that holds only Snakemake and what it brings."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.workflow
ALONE = "this environment holds Snakemake and no package of a job"


def closure(name: str) -> set[str]:
    """A distribution and those that it requires without extras, all the way down."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        one = canonicalize_name(waiting.pop())
        if one in found:
            continue
        found.add(one)
        for text in importlib.metadata.requires(one) or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(needed.name)
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for packages with links to those of Snakemake's dependencies."""
    folder = tmp_path_factory.mktemp("site")
    names = closure("snakemake")
    assert {"snakemake", "jsonschema", "pyyaml"} <= names
    assert not {"numpy", "pandas", "pillow", "tqdm", "torch", "icmbench"} & names
    for name in sorted(names):
        distribution = importlib.metadata.distribution(name)
        for top in sorted({file.parts[0] for file in distribution.files or ()} - {".."}):
            if not (folder / top).exists():  # namespace packages have several distributions
                (folder / top).symlink_to(str(distribution.locate_file(top)))
    return folder


def run(site: Path, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Python in a folder of its own, with the packages of `site` and no others."""
    return subprocess.run(
        [sys.executable, "-S", "-P", *map(str, arguments)],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def snakefile() -> list[object]:
    return ["-m", "snakemake", "--snakefile", ROOT / "Snakefile"]


def test_the_environment_has_no_other_packages(site: Path, tmp_path: Path) -> None:
    for module in ("numpy", "PIL", "tqdm", "icmbench"):
        assert f"No module named '{module}'" in run(site, tmp_path, "-c", f"import {module}").stderr


@pytest.mark.parametrize(("what", "answer"), [("--lint", "good condition"), ("--list-rules", "")])
def test_the_rules_are_read(
    site: Path, snakefile: list[object], tmp_path: Path, what: str, answer: str
) -> None:
    """As the catalogue of workflows does: with the default configuration."""
    done = run(site, tmp_path, *snakefile, what)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert answer in text
    if what == "--list-rules":
        rules = set(done.stdout.split())
        assert {"all", "encode", "rd_tables", "report", "train_autoencoder"} <= rules


def test_a_run_is_planned(site: Path, snakefile: list[object], micro: dict, tmp_path: Path) -> None:
    """The plan is that of an environment with all packages (docs/cluster.md)."""
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(micro), encoding="utf-8")
    options = ("--configfile", config, "--cores", 1, "--dry-run")
    done = run(site, tmp_path, *snakefile, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count(ALONE) == 1
    stated = (ROOT / "docs" / "cluster.md").read_text().partition("Job stats:")[2].partition("```")
    counts = [set(re.findall(r"^(\w+) +(\d+)$", text, re.M)) for text in (stated[0], done.stdout)]
    assert len(counts[0]) == 5
    assert counts[0] <= counts[1]
