"""Make a folder of reference/ again: `python tools/reference.py NAME`.

`reference/folders.yaml` names the configuration, the targets and the files of every folder. The
runs are made with Snakemake (a complete run has nothing to do), then the listed tables and figures
are copied, and the first run's `provenance.json`. With `--results` nothing is run: the files are
taken from a complete run.

    python tools/reference.py --list
    python tools/reference.py default --results results
    python tools/reference.py coco --path datasets.coco.path=/data/val2017 \\
        --path datasets.coco.annotations=/data/instances_val2017.json \\
        --path tasks.boxes.model=/data/yolox_nano.onnx

Paths of this machine do not enter the copies: the committed configuration's values replace them.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from PIL import Image as PillowImage

from icmbench.core.files import atomic_path, write_text

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ROOT / "reference" / "folders.yaml"
COLOURS = 128


class FolderError(Exception):
    """A folder cannot be made: the message names the folder or file and the remedy."""


def main(argv: Sequence[str] | None = None) -> int:
    """Make one folder, or list all; exit status 1 with one line on what is missing."""
    arguments = _parser().parse_args(argv)
    folders = yaml.safe_load(FOLDERS.read_text(encoding="utf-8"))
    if arguments.list or not arguments.name:
        print(listing(folders))
        return 0
    try:
        for path in make(folders, arguments):
            print(path.relative_to(arguments.out.parent))
    except FolderError as error:
        print(f"reference.py: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", help="a folder of reference/")
    parser.add_argument("--list", action="store_true", help="print the command of every folder")
    parser.add_argument(
        "--path",
        action="append",
        default=[],
        metavar="KEY=PATH",
        help="where data or weights lie, e.g. datasets.coco.path=/data/val2017; --list names them",
    )
    parser.add_argument(
        "--results",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="copy from this complete run instead of running; once per run of the folder, in order",
    )
    parser.add_argument("--cores", default="all", help="for Snakemake; default: all")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "reference", help="where the folder is written"
    )
    return parser


def listing(folders: Mapping[str, Any]) -> str:
    """The command that makes every folder, with the paths that it needs."""
    lines = []
    for name, folder in folders.items():
        paths = [f"--path {path}=…" for run in folder["runs"] for path in run.get("paths", [])]
        lines.append(" ".join(["python tools/reference.py", name, *paths]))
    return "\n".join(lines)


def make(folders: Mapping[str, Any], arguments: argparse.Namespace) -> list[Path]:
    """Run and copy; returns the written files.

    Raises FolderError where the folder is unknown, a path is missing or unknown, a run fails or
    a listed file is not there. Nothing is copied unless every listed file is there.
    """
    if arguments.name not in folders:
        raise FolderError(f"{arguments.name!r} is not a folder of {FOLDERS}: {', '.join(folders)}")
    runs = folders[arguments.name]["runs"]
    if arguments.results and len(arguments.results) != len(runs):
        raise FolderError(f"{arguments.name} has {len(runs)} runs: give --results for each")
    given = _given(arguments.path, [key for run in runs for key in run.get("paths", [])])
    places: list[Path] = []
    replaced: dict[str, str] = {}
    for number, run in enumerate(runs):
        keys = run.get("paths", [])
        config = yaml.safe_load((ROOT / run["config"]).read_text(encoding="utf-8"))
        replaced |= {given[key]: str(_value(config, key)) for key in keys if key in given}
        if arguments.results:
            places.append(arguments.results[number])
            replaced[str(arguments.results[number])] = config["results"]
            continue
        if missing := [key for key in keys if key not in given]:
            raise FolderError(f"{arguments.name} needs --path {'=… --path '.join(missing)}=…")
        execute(with_paths(config, given, keys), run["targets"], arguments.cores)
        places.append(ROOT / config["results"])
    return copy_files(runs, places, arguments.out / arguments.name, replaced)


def _given(pairs: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    given = {}
    for pair in pairs:
        key, equals, path = pair.partition("=")
        if key not in known or not equals:
            names = ", ".join(known) or "none"
            raise FolderError(f"--path {pair}: KEY=PATH with a key of this folder ({names})")
        given[key] = str(Path(path).resolve())
    return given


def _value(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value[part]
    return value


def with_paths(
    config: Mapping[str, Any], paths: Mapping[str, str], keys: Sequence[str]
) -> dict[str, Any]:
    """The configuration with the values of dotted keys replaced."""
    changed = copy.deepcopy(dict(config))
    for key in keys:
        above, _, last = key.rpartition(".")
        _value(changed, above)[last] = paths[key]
    return changed


def execute(config: Mapping[str, Any], targets: Sequence[str], cores: str) -> None:
    """Run Snakemake in the project's root with this configuration.

    Raises FolderError where Snakemake ends with an error.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
        command = ["snakemake", "--cores", cores, *targets, "--configfile", str(file)]
        done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        raise FolderError(f"{' '.join(command)}: exit status {done.returncode}; nothing copied")


def copy_files(
    runs: Sequence[Mapping[str, Any]],
    places: Sequence[Path],
    out: Path,
    replaced: Mapping[str, str],
) -> list[Path]:
    """Copy the listed files of complete runs to a folder; returns the copies.

    Args:
        places: the results folder of every run.
        replaced: text of this machine -> what stands for it in `provenance.json` and tables.

    Raises FolderError naming every file that is not there.
    """
    tables = [places[0] / "provenance.json"]
    figures: list[tuple[Path, int]] = []
    for run, place in zip(runs, places, strict=True):
        tables += [place / "tables" / f"{name}.csv" for name in run.get("tables", [])]
        for kind, shrink in (("figures", 1), ("pictures", 2)):
            figures += [(place / "figures" / f"{name}.png", shrink) for name in run.get(kind, [])]
    wanted = [*tables, *(path for path, _ in figures)]
    if missing := [str(path) for path in wanted if not path.is_file()]:
        raise FolderError(f"not in the run, which is not complete: {', '.join(missing)}")
    out.mkdir(parents=True, exist_ok=True)
    for path in tables:
        write_text(out / path.name, neutral(path, replaced))
    for path, shrink in figures:
        with atomic_path(out / path.name) as temporary:
            small(path, shrink).save(temporary, format="PNG", optimize=True)
    return [out / path.name for path in wanted]


def neutral(path: Path, replaced: Mapping[str, str]) -> str:
    """A text file without paths of this machine: in JSON values, and wherever they are absolute."""
    text = path.read_text(encoding="utf-8")
    for here, there in sorted(replaced.items(), key=lambda pair: -len(pair[0])):
        if here == there:
            continue
        text = text.replace(json.dumps(here), json.dumps(there))
        if Path(here).is_absolute():
            text = text.replace(f"{here}/", f"{there}/")
    return text


def small(path: Path, shrink: int) -> PillowImage.Image:
    """A figure of 128 colours, `shrink` times smaller on each side."""
    with PillowImage.open(path) as picture:
        colours = picture.convert("RGB")
    if shrink > 1:
        colours = colours.reduce(shrink)
    return colours.quantize(COLOURS, dither=PillowImage.Dither.NONE)


if __name__ == "__main__":
    sys.exit(main())
