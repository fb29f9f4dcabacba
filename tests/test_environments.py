"""The conda environments: what is in them, which rule names which, what scripts find in one."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import ROOT, make_picture
from packaging.utils import canonicalize_name
from running import snakemake, succeed

from icmbench.core.images.image_files import write_png
from icmbench.core.processes import environment

NAMES = ("reporting", "core", "tasks")  # each holds the packages of the one before it
ALIAS = {"opencv-python": "opencv-python-headless"}


@pytest.fixture(scope="module", autouse=True)
def _tools() -> Iterator[None]:
    sys.path.insert(0, str(ROOT / "tools"))
    yield
    sys.path.remove(str(ROOT / "tools"))


@pytest.fixture(scope="module")
def lock() -> ModuleType:
    import lock

    return lock


def read_rules() -> list[Any]:
    from workflow_rules import workflow_rules

    return list(workflow_rules())


@pytest.fixture(scope="module")
def walker() -> ModuleType:
    import script_imports

    return script_imports


@functools.cache
def distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


@functools.cache
def env_pins(name: str) -> dict[str, str]:
    content = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())
    pins = [line.split("==") for line in content["dependencies"][-1]["pip"]]
    found = {ALIAS.get(name, name): version for name, version in pins}
    assert len(found) == len(pins), "a package is pinned twice"
    return found


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def dependencies() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [str(text) for text in project["dependencies"]]


def test_pins_are_the_locks_and_complete(lock: ModuleType) -> None:
    run = locked()
    for name in NAMES:
        pins = env_pins(name)
        assert pins.items() <= run.items()
        assert pins.keys() == lock.closure(lock.members(name)).keys(), "run `make lock`"
    one, two, three = (env_pins(name).keys() for name in NAMES)
    assert one < two < three
    assert three <= run.keys()
    assert run.keys() - three <= lock.closure(lock.FAMILIES["workflow"]).keys()
    files = {*(f"{name}.yaml" for name in NAMES), "tasks.post-deploy.sh"}
    assert {path.name for path in (ROOT / "envs").iterdir()} == files
    for name in NAMES:
        script = ROOT / "envs" / f"{name}.post-deploy.sh"
        assert lock.deployment_text(name) == (script.read_text() if script.exists() else "")


def test_environments_are_as_small_as_their_names_say() -> None:
    one, two, three = (env_pins(name).keys() for name in NAMES)
    assert not {name for name in one if name.startswith(("torch", "nvidia", "triton"))}
    assert {"torch", "diffusers", "imagecodecs"} <= two - one
    assert {"mmdet", "mmcv-lite", "face-alignment", "onnxruntime"} <= three - two
    assert sum(name.startswith("opencv") for name in three) == 1
    assert not {name for name in three if name.startswith("snakemake")}


def test_every_dependency_is_in_one_family(lock: ModuleType) -> None:
    lock.check_families(dependencies(), lock.FAMILIES)
    families = lock.FAMILIES
    faults = {
        "a-new-one: in no family": ([*dependencies(), "a-new-one>=3"], families),
        "torch: in two families": (dependencies(), {**families, "more": ("torch",)}),
        "gone: no dependency": (dependencies(), {**families, "more": ("gone",)}),
    }
    for message, (asked, planted) in faults.items():
        with pytest.raises(SystemExit, match=message):
            lock.check_families(asked, planted)


def absent(
    modules: ModuleType, script: Path, environment: str, tasks: bool = True
) -> dict[str, str]:
    """Modules that a script can reach and an environment lacks -> where they are imported."""
    owners = distributions()
    held = env_pins(environment).keys()
    found = {}
    for statement, where in modules.imports_of(script, tasks).items():
        top = modules.top_level(statement)
        assert top in owners, f"{where}: {statement}: of no installed package"
        if not {canonicalize_name(owner) for owner in owners[top]} & held:
            found[top] = where
    return found


def test_every_rule_names_the_smallest_environment_that_serves_it(walker: ModuleType) -> None:
    rules = read_rules()
    assert {rule.script for rule in rules} == set((ROOT / "workflow_scripts").glob("*.py"))
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    assert text.count("script:\n") == len(rules), "the reader of rules misses some"
    for rule in rules:
        assert rule.environments, f"{rule.file}: rule {rule.name} names no environment"
        assert set(rule.environments) <= set(NAMES), f"{rule.file}: rule {rule.name}"
        # A script that imports nothing of others runs in any.
        for named, tasks in rule.uses() if walker.imports_of(rule.script) else []:
            lacking = {name: absent(walker, rule.script, name, tasks) for name in NAMES}
            smallest = next((name for name in NAMES if not lacking[name]), None)
            assert named == smallest, (
                f"{rule.file}: rule {rule.name} names {named}, {smallest} would do; "
                f"lacking: {lacking}"
            )


def test_a_rule_with_a_wrong_environment_is_found(walker: ModuleType) -> None:
    scripts = ROOT / "workflow_scripts"
    lacking = absent(walker, scripts / "predict.py", "core")
    assert lacking.keys() >= {"mmengine", "face_alignment", "onnxruntime"}
    assert "torch" in absent(walker, scripts / "measure.py", "reporting")
    assert not absent(walker, scripts / "measure.py", "core")


SCRIPTS = {
    # What a module imports inside a function that nobody refers to does not count; ...
    "from icmbench.metrics import METRICS\nMETRICS": set(),
    "from icmbench.metrics import weights\nweights.find": set(),
    # ... where somebody does, it counts: by name, by module, through a function of icmbench.
    "from icmbench.core.devices import resolve_device\nresolve_device": {"torch"},
    "from icmbench.core import devices\ndevices.resolve_device": {"torch"},
    "import icmbench.core.devices\nicmbench.core.devices.resolve_device": {"torch"},
    "def f():\n    import json, torch.nn": {"torch"},
    "try:\n    from PIL import Image\nexcept ImportError:\n    import cv2": {"PIL", "cv2"},
    # A process that is started by the module's name reaches everything of the module.
    "from icmbench.evaluation import pool\npool.CodecProcess": {"numpy", "torch", "imagecodecs"},
    # Registries import every module of their package.
    "from icmbench.tasks.registry import make_task\nmake_task": {"onnxruntime", "mmengine"},
    "from icmbench.metrics import available\navailable": {"ssimulacra2"},
    "def f(frame):\n    frame.to_parquet('x')": {"pyarrow"},
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch": set(),
    "import json, os.path": set(),
}
NEVER = {"json", "os", "icmbench", "typing", "pytest"}


@pytest.mark.parametrize("text", SCRIPTS)
def test_imports_are_followed_by_reference(walker: ModuleType, text: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(text)
    found = {walker.top_level(statement) for statement in walker.imports_of(script)}
    expected = SCRIPTS[text]
    assert expected <= found
    assert not found & NEVER
    if not expected:
        assert "torch" not in found


BLOCKED = """
import importlib.metadata, json, sys
sys.path[:0] = {paths!r}
held, statements = map(set, json.load(sys.stdin))
owners = importlib.metadata.packages_distributions()

class Absent:
    def find_spec(self, name, path=None, target=None):
        names = {{o.lower().replace("_", "-").replace(".", "-") for o in owners.get(name, [])}}
        if names and "." not in name and not names & held:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

held.add("icmbench")
sys.meta_path.insert(0, Absent())
for statement in sorted(statements):
    exec(statement)
try:
    import torch
except ModuleNotFoundError:
    print("done")
"""


def test_scripts_of_reporting_import_without_torch(walker: ModuleType) -> None:
    """Not read but run: every module that they reach, where only the environment's packages are."""
    rules = read_rules()
    scripts = {rule.script for rule in rules if "reporting" in rule.environments}
    modules = sorted({name for script in scripts for name in walker.modules_of(script)})
    assert "icmbench.reporting.report.page" in modules
    outside = sorted({text for script in scripts for text in walker.imports_of(script)})
    statements = [*(f"import {name}" for name in modules), *outside]
    held = sorted(env_pins("reporting"))
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(paths=[str(ROOT)])],
        input=json.dumps([held, statements]),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout == "done\n", done.stderr


CONDA = """#!/bin/sh
# Stands in for conda: an environment is a virtual environment that sees this one's packages.
case "$*" in
--version) echo "conda 24.11.1" ;;
"info --json") echo '{{"conda_prefix": "{base}", "platform": "linux-64"}}' ;;
"clean "*) ;;
"config --get channel_priority --json") echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
"env create "*)
    for word; do
        case $last in --file) file=$word ;; --prefix) prefix=$word ;; esac
        last=$word
    done
    grep ^name: "$file" >>{base}/made
    {python} -m venv --without-pip "$prefix"
    cp {base}/sitecustomize.py {base}/packages.pth "$prefix"/lib/python*/site-packages/ ;;
*) echo "unknown: $*" >&2; exit 1 ;;
esac
"""
# What runs in such an environment, a line per process.
SITECUSTOMIZE = """
import sys
with open("{base}/ran", "a") as log:
    print(*sys.orig_argv, file=log)
"""


@pytest.fixture
def conda(tmp_path: Path) -> Path:
    """A folder with bin/conda and bin/activate."""
    base = tmp_path / "conda"
    (base / "bin").mkdir(parents=True)
    (base / "bin" / "conda").write_text(CONDA.format(base=base, python=sys.executable))
    (base / "bin" / "conda").chmod(0o755)
    (base / "bin" / "activate").write_text('export PATH="$1/bin:$PATH"\n')
    (base / "sitecustomize.py").write_text(SITECUSTOMIZE.format(base=base))
    (base / "packages.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return base


def test_processes_find_icmbench_where_it_is_not_installed(tmp_path: Path) -> None:
    """`-S`: without the packages that are installed, this one among them."""
    command = [sys.executable, "-S", "-c", "import icmbench.core.errors"]
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for env, code in ((environment(), 0), (plain, 1)):
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False)
        assert done.returncode == code
    assert environment(OMP_NUM_THREADS="7")["OMP_NUM_THREADS"] == "7"


@pytest.mark.slow
@pytest.mark.workflow
def test_scripts_and_their_processes_find_icmbench(conda: Path, tmp_path: Path) -> None:
    """`--sdm conda`, where Snakemake takes PYTHONPATH away and icmbench is not installed."""
    write_png(tmp_path / "pictures" / "i.png", make_picture(40, 48))
    config = {
        "datasets": {"mine": {"type": "folder", "path": str(tmp_path / "pictures")}},
        "codecs": {"jpeg": {"points": [{"quality": [10, 40]}]}},
        "metrics": ["psnr_rgb"],
        "shards": 1,
    }
    (tmp_path / "run").mkdir()
    env = {"PATH": f"{conda / 'bin'}:{os.environ['PATH']}"}
    target = "results/streams/mine/jpeg/0.zip"
    succeed(snakemake(tmp_path / "run", config, target, "--sdm", "conda", env=env))
    assert (conda / "made").read_text() == "name: icmbench-core\n"
    status = pd.read_csv(tmp_path / "run" / target.replace(".zip", ".csv"))
    assert list(status["status"]) == ["ok", "ok"], status["detail"].iloc[0]
    ran = (conda / "ran").read_text()
    assert "encode.py" in ran
    assert "-m icmbench.evaluation.worker" in ran
    python = next((tmp_path / "run" / ".snakemake" / "conda").glob("*/bin/python"))
    alone = subprocess.run([python, "-c", "import numpy, icmbench"], capture_output=True,
                           text=True, check=False, cwd=tmp_path)  # fmt: skip
    assert "No module named 'icmbench'" in alone.stderr, "the environment should not have had it"
