"""The locks and the conda environments: pins, the rules that name them, imports of the scripts."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT, make_picture
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from running import snakemake, succeed

from icmbench.core.fingerprint import Code
from icmbench.core.images.image_files import write_png
from icmbench.core.processes import environment

NAMES = ("reporting", "core", "tasks")  # each holds the packages of the one before it
ALIAS = {"opencv-python": "opencv-python-headless"}
# Imported in functions that the rules of an environment do not call: networks of metrics and
# tasks, and threads of the process that codes. pynvml is used where a GPU's machine has it, timm by
# the tasks that name it.
UNCALLED = {
    "reporting": {"torch", "threadpoolctl", "pynvml"},
    "core": {"mmcv-lite", "accelerate", "pynvml", "timm"},
    "tasks": {"pynvml", "timm"},
    "training": {"mmcv-lite", "pynvml"},
}


def pins_of(file: str) -> dict[str, str]:
    """The pins of a lock, or of an environment's pip part, by name."""
    text = (ROOT / file).read_text()
    if file.endswith(".yaml"):
        lines = yaml.safe_load(text)["dependencies"][-1]["pip"]
    else:
        lines = [line for line in text.splitlines() if not line.startswith("#")]
    found = {ALIAS.get(name, name): version for name, version in (x.split("==") for x in lines)}
    assert len(found) == len(lines), f"{file}: a package is pinned twice"
    return found


@functools.cache
def env_pins(name: str) -> dict[str, str]:
    return pins_of(f"envs/{name}.yaml")


def members(name: str) -> set[str]:
    """The packages that the input file of an environment lists, without those it includes."""
    lines = (ROOT / "envs" / f"{name}.in").read_text().splitlines()
    return {line for line in lines if not line.startswith(("#", "-r "))}


def test_pins_of_environments_are_the_locks() -> None:
    run = pins_of("requirements.lock")
    for name in NAMES:
        assert env_pins(name).items() <= run.items(), "run `make lock`"
        assert members(name) <= env_pins(name).keys(), "run `make lock`"
    one, two, three = (env_pins(name).keys() for name in NAMES)
    assert one < two < three
    headless = f"opencv-python-headless=={run['opencv-python-headless']}\n"
    assert (ROOT / "envs" / "tasks.post-deploy.sh").read_text().endswith(headless)


def test_training_by_several_processes_adds_one_package() -> None:
    pins = env_pins("training")
    assert pins.items() - env_pins("core").items() == {("accelerate", pins["accelerate"])}
    assert f"accelerate=={pins['accelerate']}" in members("training")


def test_every_dependency_is_in_one_environment_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = [canonicalize_name(Requirement(text).name) for text in project["dependencies"]]
    # The process that reads the Snakefile runs in no conda environment.
    workflow = [name for name in direct if name.startswith("snakemake")]
    listed = [name for each in NAMES for name in members(each)]
    assert sorted([*listed, *workflow]) == sorted(direct)


def test_environments_are_as_small_as_their_names_say() -> None:
    one, two, three = (env_pins(name).keys() for name in NAMES)
    assert not {name for name in one if name.startswith(("torch", "nvidia", "triton"))}
    assert {"torch", "diffusers", "imagecodecs"} <= two - one
    assert {"mmdet", "mmcv-lite", "face-alignment", "onnxruntime"} <= three - two
    assert sum(name.startswith("opencv") for name in three) == 1
    assert not {name for name in three if name.startswith("snakemake")}


@pytest.mark.slow
def test_lock_is_current_and_installs(tmp_path: Path) -> None:
    """uv resolves the same pins again, and finds a file of every one for an empty environment."""
    try:
        urllib.request.urlopen("https://pypi.org/simple/uv/", timeout=20).close()
    except urllib.error.URLError as error:
        pytest.skip(f"PyPI cannot be reached: {error.reason}")
    written = ["requirements.lock", "requirements-dev.lock"]
    written += [f"envs/{path.name}" for path in (ROOT / "envs").iterdir()]
    (tmp_path / "envs").mkdir()
    (tmp_path / "tools").mkdir()
    for name in ("pyproject.toml", "tools/lock.sh", *written):
        shutil.copy(ROOT / name, tmp_path / name)
    path = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "VIRTUAL_ENV": str(tmp_path / "empty")}
    subprocess.run(["tools/lock.sh"], cwd=tmp_path, env=env, check=True, timeout=300)
    for name in written:
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), f"{name}: `make lock`"
    subprocess.run(["uv", "venv", "--quiet", "empty"], cwd=tmp_path, env=env, check=True)
    install = ["uv", "pip", "install", "--dry-run", "--no-deps", "-r", "requirements-dev.lock"]
    done = subprocess.run(
        install, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert f"Would install {len(pins_of('requirements-dev.lock'))} packages" in done.stderr


def scripts() -> dict[str, tuple[Path, list[str]]]:
    """Rules that run a script -> the script, and the conda environments that they name."""
    found = {}
    for file in sorted((ROOT / "rules").glob("*.smk")):
        rules = re.split(r"^ *rule (\w+):\n", file.read_text(), flags=re.MULTILINE)
        for name, body in zip(rules[1::2], rules[2::2], strict=True):
            if script := re.search(r'^ *script:\n +"(.+)"', body, re.MULTILINE):
                conda = re.findall(r'"\.\./envs/(\w+)\.yaml"', body)
                found[f"{file.name}:{name}"] = ((file.parent / script[1]).resolve(), conda)
    return found


@pytest.fixture(scope="module")
def code() -> Code:
    return Code()


# Registries import the modules of packages by name -> those packages.
REGISTRIES = {
    "icmbench.codecs.registry": ("codecs", "codecs/conventional"),
    "icmbench.datasets.registry": ("datasets",),
    "icmbench.tasks.registry": ("tasks/kinds",),
}
# Rules that make no task in the environment `core`, though their scripts import the registry.
TASKLESS = {"decoded", "provenance", "training_pool"}


def absent(code: Code, script: Path, name: str, *, tasks: bool = True) -> set[str]:
    """Distributions that a script's modules import and an environment lacks."""
    starts: list[str | Path] = [script]
    for registry, folders in REGISTRIES.items():
        made = tasks or folders != ("tasks/kinds",)
        if made and registry in code.closure([script]).modules:
            for folder in folders:
                found = sorted((ROOT / "icmbench" / folder).glob("*.py"))
                found += sorted((ROOT / "icmbench" / folder).glob("*/codec.py"))
                starts += [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in found]
    packages = {canonicalize_name(each) for each in code.closure(starts).packages}
    return packages - env_pins(name).keys()


def test_environments_hold_what_the_scripts_of_their_rules_import(code: Code) -> None:
    rules = scripts()
    assert {script for script, _ in rules.values()} == set((ROOT / "workflow_scripts").glob("*.py"))
    for rule, (script, names) in rules.items():
        assert names, f"{rule} names no environment"
        for name in names:
            assert name in UNCALLED, f"{rule}: there is no envs/{name}.yaml"
            tasks = name == "tasks" or rule.partition(":")[2] not in TASKLESS
            lacking = absent(code, script, name, tasks=tasks) - UNCALLED[name]
            assert not lacking, f"{rule}: envs/{name}.yaml lacks {', '.join(sorted(lacking))}"


def test_a_rule_with_a_wrong_environment_is_found(code: Code) -> None:
    folder = ROOT / "workflow_scripts"
    lacking = absent(code, folder / "predict.py", "core") - UNCALLED["core"]
    assert lacking >= {"mmengine", "face-alignment", "onnxruntime"}
    assert "imagecodecs" in absent(code, folder / "measure.py", "reporting")
    assert absent(code, folder / "measure.py", "core") == {"pynvml"}


BLOCKED = """
import importlib.metadata, json, sys
sys.path.insert(0, {root!r})
held, modules = json.load(sys.stdin)
owners = importlib.metadata.packages_distributions()

class Absent:
    def find_spec(self, name, path=None, target=None):
        names = {{o.lower().replace("_", "-").replace(".", "-") for o in owners.get(name, [])}}
        if names and "." not in name and not names & {{"icmbench", *held}}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
for name in modules:
    importlib.import_module(name)
try:
    import torch
except ModuleNotFoundError:
    print("done")
"""


def test_scripts_of_reporting_import_without_torch(code: Code) -> None:
    """Not read but run: the modules that they import, where only the environment's packages are."""
    own = [script for script, names in scripts().values() if names == ["reporting"]]
    imported = set()
    for script in own:
        text = script.read_text()
        imported |= set(re.findall(r"^(?:from|import) (icmbench[\w.]*)", text, re.MULTILINE))
    assert imported
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(root=str(ROOT))],
        input=json.dumps([sorted(env_pins("reporting")), sorted(imported)]),
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
