"""Write the two locks and the conda environments `envs/*.yaml` from what is installed.

The lock is what was tested: install the packages of pyproject.toml (newer ones, if that is the
point), run the tests, then `make lock`. Markers are those of the machine it runs on (Linux x86-64).
"""

from __future__ import annotations

import importlib.metadata
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
RUN_HEAD = "# Every package of a run, pinned. Written by `make lock`; installed with --no-deps.\n"
DEV_HEAD = "# What the tests need on top of requirements.lock. Written by `make lock`.\n"
# Two packages own the module cv2: the one that needs no graphics libraries stands for both.
STAND_INS = {"opencv-python": "opencv-python-headless"}

# Who needs a dependency of pyproject.toml: each stands in one family.
FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    # The process that reads the Snakefile: in no conda environment.
    "workflow": ("snakemake", "snakemake-executor-plugin-slurm"),
    # Tables, figures and the report.
    "reporting": (
        "bjontegaard", "jinja2", "matplotlib", "numpy", "pandas", "pillow", "pyarrow",
        "pycocotools", "scipy", "seaborn", "ssimulacra2",
    ),
    # Data sets, codecs, metrics, training.
    "core": (
        "constriction", "diffusers", "ftfy", "imagecodecs", "jsonschema", "lpips", "numba",
        "pillow-heif", "piq", "psutil", "pytorch-msssim", "requests", "safetensors", "scikit-image",
        "scikit-learn", "threadpoolctl", "tifffile", "torch", "torchvision",
        "tqdm", "transformers",
    ),
    # Models of machine tasks.
    "tasks": (
        "face-alignment", "mmcv-lite", "mmdet", "mmengine", "mmsegmentation",
        "onnxruntime", "opencv-python-headless", "protobuf", "pyyaml", "regex",
    ),
}  # fmt: skip
# Conda environment -> its families and what its rules do.
ENVIRONMENTS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "reporting": (("reporting",), "tables, figures and the report; no torch"),
    "core": (("reporting", "core"), "data sets, codecs, metrics and training"),
    "tasks": (("reporting", "core", "tasks"), "models of machine tasks"),
}
ENV_HEAD = """\
# For `--sdm conda`: {title}.
# Written by `make lock` from requirements.lock.
name: icmbench-{name}
channels:
  - conda-forge
dependencies:
  - python=3.11
  - pip
  - pip:
"""
# Snakemake runs it in the environment that it has made.
DEPLOY = """\
#!/bin/sh
# {name} needs graphics libraries, which the nodes of a cluster lack. Written by `make lock`.
set -eu
python -m pip uninstall --quiet --yes {name}
python -m pip install --quiet --no-deps {stand_in}=={version}
"""


def closure(requirements: Iterable[str]) -> dict[str, str]:
    """Installed versions of the requirements and of everything they need, by canonical name."""
    found: dict[tuple[str, frozenset[str]], str] = {}
    pending = [Requirement(text) for text in requirements]
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        key = (STAND_INS.get(name, name), frozenset(requirement.extras))
        if key in found:
            continue
        distribution = importlib.metadata.distribution(key[0])
        found[key] = distribution.version
        for text in distribution.requires or []:
            needed = Requirement(text)
            extras = requirement.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                pending.append(needed)
    return {name: version for (name, _), version in found.items()}


def members(environment: str) -> list[str]:
    """The dependencies of pyproject.toml that an environment holds, sorted."""
    families, _ = ENVIRONMENTS[environment]
    return sorted(name for family in families for name in FAMILIES[family])


def check_families(dependencies: Iterable[str], families: Mapping[str, Iterable[str]]) -> None:
    """SystemExit naming the dependencies that are in no family or in two, and unknown members."""
    direct = {canonicalize_name(Requirement(text).name) for text in dependencies}
    listed = [name for names in families.values() for name in names]
    wrong = {
        "in no family": sorted(direct - set(listed)),
        "in two families": sorted({name for name in listed if listed.count(name) > 1}),
        "no dependency of pyproject.toml": sorted(set(listed) - direct),
    }
    errors = [f"{', '.join(names)}: {what}" for what, names in wrong.items() if names]
    if errors:
        raise SystemExit(f"FAMILIES in tools/lock.py: {'; '.join(errors)}")


def environment_text(name: str) -> str:
    """The file of a conda environment: its members, then what those need, all pinned.

    There pip installs what packages ask for: they get opencv-python, and `deployment_text` puts its
    stand-in in its place. With both in the file two packages would own cv2.
    """
    pins = closure(members(name))
    asked = {stand_in: name for name, stand_in in STAND_INS.items()}
    own = set(members(name))
    _, title = ENVIRONMENTS[name]
    text = ENV_HEAD.format(name=name, title=title)
    for head, names in (("", own), ("      # What these need:\n", pins.keys() - own)):
        text += head + "".join(
            f"      - {asked.get(each, each)}=={pins[each]}\n" for each in sorted(names)
        )
    return text


def deployment_text(name: str) -> str:
    """The script that exchanges what has a stand-in in an environment; empty: nothing has."""
    pins = closure(members(name))
    return "".join(
        DEPLOY.format(name=asked, stand_in=stand_in, version=pins[stand_in])
        for asked, stand_in in STAND_INS.items()
        if stand_in in pins
    )


def main() -> None:
    """Write the locks and the environments."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    check_families(project["dependencies"], FAMILIES)
    run = closure(project["dependencies"])
    dev = closure([*project["optional-dependencies"]["dev"], "setuptools"])
    rest = {name: version for name, version in dev.items() if name not in run}
    for name, head, pins in (
        ("requirements.lock", RUN_HEAD, run),
        ("requirements-dev.lock", DEV_HEAD, rest),
    ):
        (ROOT / name).write_text(
            head + "".join(f"{n}=={v}\n" for n, v in sorted(pins.items())), encoding="utf-8"
        )
    for name in ENVIRONMENTS:
        (ROOT / "envs" / f"{name}.yaml").write_text(environment_text(name), encoding="utf-8")
        script = deployment_text(name)
        if script:
            (ROOT / "envs" / f"{name}.post-deploy.sh").write_text(script, encoding="utf-8")


if __name__ == "__main__":
    main()
