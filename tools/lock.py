"""Write requirements.lock, requirements-dev.lock and envs/core.yaml from what is installed.

The lock is what was tested: install the packages of pyproject.toml (newer ones, if that is the
point), run the tests, then `make lock`. Markers are those of the machine it runs on (Linux x86-64).
"""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
RUN_HEAD = "# Every package of a run, pinned. Written by `make lock`; installed with --no-deps.\n"
DEV_HEAD = "# What the tests need on top of requirements.lock. Written by `make lock`.\n"
# Two packages own the module cv2: the one that needs no graphics libraries stands for both.
STAND_INS = {"opencv-python": "opencv-python-headless"}
ENV_HEAD = """\
# For `--sdm conda`: the rules of the core. Written by `make lock` from requirements.lock.
name: icmbench-core
channels:
  - conda-forge
dependencies:
  - python=3.11
  - pip
  - pip:
"""


def closure(requirements: list[str]) -> dict[str, str]:
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


def main() -> None:
    """Write the three files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    run = closure(project["dependencies"])
    dev = closure([*project["optional-dependencies"]["dev"], "setuptools"])
    rest = {name: version for name, version in dev.items() if name not in run}
    for name, head, pins in (
        ("requirements.lock", RUN_HEAD, run),
        ("requirements-dev.lock", DEV_HEAD, rest),
    ):
        (ROOT / name).write_text(head + "".join(f"{n}=={v}\n" for n, v in sorted(pins.items())))
    direct = sorted(canonicalize_name(Requirement(text).name) for text in project["dependencies"])
    lines = [f"      - {name}=={run[name]}\n" for name in direct]
    (ROOT / "envs" / "core.yaml").write_text(ENV_HEAD + "".join(lines))


if __name__ == "__main__":
    main()
