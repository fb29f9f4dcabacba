"""Check the conda environments' pip parts: does each resolve to its pins, install, and import?

    tools/check_envs.py                      resolve every environment, install nothing
    tools/check_envs.py --install tasks      install this one, too (core, tasks: minutes, 6 GB)

Each environment gets a fresh virtual environment in a temporary folder: there icmbench is not
installed, as it is not in one that Snakemake makes, and PYTHONPATH points to the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml
from packaging.utils import canonicalize_name
from script_imports import ROOT, imports_of, modules_of
from workflow_rules import workflow_rules

# Run before the imports: what no import statement of a script shows.
FIRST = {
    "tasks": [
        "from icmbench.tasks.backends.openmm import import_library",
        "import_library('mmdet')",
        "import_library('mmseg')",
    ]
}
# Reads statements, runs each, prints what failed.
IMPORTER = """
import json, sys
failed = []
for statement in json.load(sys.stdin):
    try:
        exec(statement)
    except Exception as error:
        failed.append(f"{statement}: {type(error).__name__}: {error}")
print("\\n".join(failed), end="")
"""


class Fault(Exception):
    """An environment that does not resolve, install or import; the text says how."""


def pins_of(name: str) -> dict[str, str]:
    """The pins of an environment's pip part, by canonical name."""
    content = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text("utf-8"))
    lines = next(item["pip"] for item in content["dependencies"] if isinstance(item, dict))
    return {canonicalize_name(n): version for n, version in (line.split("==") for line in lines)}


def statements_of(name: str) -> list[str]:
    """What the scripts of an environment's rules import, and what comes first."""
    uses = {(r.script, t) for r in workflow_rules() for used, t in r.uses() if used == name}
    modules = sorted({module for use in uses for module in modules_of(*use)})
    others = sorted({statement for use in uses for statement in imports_of(*use)})
    return [*FIRST.get(name, []), *(f"import {module}" for module in modules), *others]


def run(command: Sequence[object], given: str = "", **environment: str) -> str:
    """Standard output of a command; Fault with the end of what it said where it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        input=given,
        capture_output=True,
        encoding="utf-8",
        check=False,
        cwd=tempfile.gettempdir(),
        env={**os.environ, "PYTHONPATH": "", "PYTHONSAFEPATH": "1", **environment},
    )
    if done.returncode != 0:
        raise Fault((done.stderr or done.stdout).strip()[-2000:])
    return done.stdout


def resolve(python: Path, requirements: Path, pins: dict[str, str]) -> None:
    """Fault where pip would install other packages or versions than the pins."""
    report = requirements.with_suffix(".json")
    options = ("--dry-run", "--ignore-installed", "--quiet", "--report", report)
    run([python, "-m", "pip", "install", *options, "-r", requirements])
    found = {
        canonicalize_name(item["metadata"]["name"]): item["metadata"]["version"]
        for item in json.loads(report.read_text("utf-8"))["install"]
    }
    both = sorted(pins.items() ^ found.items())
    if both:
        told = [f"{n} {v} ({'pinned' if pins.get(n) == v else 'resolved'})" for n, v in both]
        raise Fault(f"pip resolves otherwise: {', '.join(told)}")


def install(python: Path, requirements: Path, deploy: Path, statements: Sequence[str]) -> None:
    """Install for good; Fault where packages do not fit together or something does not import.

    `deploy` is the script that Snakemake runs in the environment afterwards, where there is one.
    """
    run([python, "-m", "pip", "install", "--quiet", "-r", requirements])
    run([python, "-m", "pip", "check"])
    if deploy.exists():
        run(["sh", deploy], PATH=f"{python.parent}:{os.environ['PATH']}")
    failed = run([python, "-c", IMPORTER], json.dumps(statements), PYTHONPATH=str(ROOT))
    if failed:
        raise Fault(f"cannot be imported:\n{failed}")


def size_of(folder: Path) -> float:
    """GB of the files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def check(name: str, really: bool) -> None:
    """Check one environment and print a line about it."""
    pins, statements = pins_of(name), statements_of(name)
    with tempfile.TemporaryDirectory(prefix=f"icmbench-{name}-") as home:
        run([sys.executable, "-m", "venv", f"{home}/venv"])
        python, requirements = Path(home, "venv", "bin", "python"), Path(home, "pip.txt")
        requirements.write_text(
            "".join(f"{n}=={version}\n" for n, version in pins.items()), encoding="utf-8"
        )
        start = time.perf_counter()
        resolve(python, requirements, pins)
        told = f"{len(pins)} packages resolve to their pins in {time.perf_counter() - start:.0f} s"
        if really:
            start = time.perf_counter()
            install(python, requirements, ROOT / "envs" / f"{name}.post-deploy.sh", statements)
            seconds = time.perf_counter() - start
            told += f"; installed in {seconds:.0f} s, {size_of(Path(home, 'venv')):.1f} GB"
            told += f"; pip check passes; {len(statements)} imports succeed"
        print(f"{name}: {told}", flush=True)


def main() -> None:
    """Check the environments; exit code 1 where one has a fault."""
    names = sorted(path.stem for path in (ROOT / "envs").glob("*.yaml"))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--install", action="store_true", help="install, check, import")
    asked = parser.parse_args()
    unknown = sorted(set(asked.names) - set(names))
    if unknown:
        parser.error(f"no environment {', '.join(unknown)}: there are {', '.join(names)}")
    faults = 0
    for name in asked.names or names:
        try:
            check(name, asked.install)
        except Fault as fault:
            faults += 1
            print(f"{name}: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
