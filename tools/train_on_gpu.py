"""Train parts of the models on another machine, from one folder.

    python tools/train_on_gpu.py pack PACK --configfile configs/mini.yaml --parts reverse
    (copy the folder PACK to the other machine, and there:)
    python PACK/train_on_gpu.py run OUT --minutes 9
    (repeat it until its exit status is 0; it is 75 while there is more to train. Copy OUT back:)
    python tools/train_on_gpu.py unpack OUT --configfile configs/mini.yaml

pack writes the trainings of the parts as the rules would start them, their inputs (earlier parts,
the training images) and the code. `--list` names the parts of a configuration. Parts that build on
one another can be packed together (`autoencoder,contexts,reverse`); all other inputs must have been
made: the lists of the training sets, pseudo-labels for the features.

run needs no copy of the repository and none of its other packages: torch, diffusers, constriction
and what these install, numba besides for contexts and reverse, scipy for stage_1 and stage_2,
face_alignment for landmarks, mmdet or mmseg with pycocotools for detector or segmenter. It names
what is missing before it trains. After --minutes (a little less
than the machine's limit: preparations and the end of a training are not interrupted) it saves its
state into OUT, in files of at most --volume-mb. A machine that keeps nothing gets the earlier
pieces back by `--from FOLDER`.

unpack checks all digests and that the configuration and the inputs are those that were packed, and
puts the files where the rules would have; the model card then names that machine. An unfinished
part is resumed by its rule.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if (HERE / "icmbench").is_dir():  # a pack
    sys.path.append(str(HERE / "site"))

from icmbench.core.errors import IcmbenchError  # noqa: E402

PAUSED = 75


def main(argv: Sequence[str] | None = None) -> int:
    """Pack, run or unpack; exit status 75: paused, 1: one line on what is wrong."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        status: int = arguments.function(arguments)
    except IcmbenchError as error:
        print(f"train_on_gpu.py: {error}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="pack | run | unpack")
    pack = commands.add_parser("pack", help="here: write a folder for the other machine")
    pack.add_argument("pack", type=Path, nargs="?", metavar="PACK", help="folder to be made")
    _add_configuration(pack)
    pack.add_argument("--parts", default="", help="names with commas: autoencoder,reverse")
    pack.add_argument("--list", action="store_true", help="print the names of the parts, no more")
    pack.add_argument("--limit-mb", type=float, default=64.0, help="largest pack; default: 64")
    pack.set_defaults(function=_pack)
    run = commands.add_parser("run", help="there: train, or go on")
    run.add_argument("out", type=Path, metavar="OUT", help="folder of the state and the results")
    run.add_argument("--pack", type=Path, default=HERE, help="default: the folder of this script")
    run.add_argument("--minutes", type=float, help="pause after so many; default: train to the end")
    run.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    run.add_argument("--from", type=Path, dest="earlier", help="OUT of the earlier pieces")
    run.add_argument("--volume-mb", type=float, default=15.0, help="largest file; default: 15")
    run.set_defaults(function=_run)
    unpack = commands.add_parser("unpack", help="here: put what was trained into the results")
    unpack.add_argument("out", type=Path, metavar="OUT", help="folder that `run` wrote")
    _add_configuration(unpack)
    unpack.set_defaults(function=_unpack)
    return parser


def _add_configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--configfile",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="as for snakemake: values of later files win",
    )


def _plan(arguments: argparse.Namespace) -> Any:
    """The plan of the configuration files, which are merged as Snakemake merges them."""
    import yaml

    from icmbench.config.command_line import merged
    from icmbench.config.plan import Plan
    from icmbench.config.run import make_run

    config: dict[str, Any] = {}
    for path in arguments.configfile:
        config = merged(config, yaml.safe_load(path.read_text("utf-8")))
    return Plan(make_run(config))


def _pack(arguments: argparse.Namespace) -> int:
    from icmbench.jobs.packed.pack import pack
    from icmbench.jobs.packed.trainings import training_jobs

    plan = _plan(arguments)
    if arguments.list or not arguments.parts or arguments.pack is None:
        print(" ".join(training_jobs(plan)))
        return 0
    parts = [part.strip() for part in arguments.parts.split(",")]
    tool = Path(__file__).resolve()
    for name, size in pack(plan, parts, arguments.pack, tool, arguments.limit_mb):
        print(f"{size:8.1f} MB  {name}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from icmbench.jobs.packed.run import run

    done = run(
        arguments.pack.resolve(),
        arguments.out,
        minutes=arguments.minutes,
        device=arguments.device,
        earlier=arguments.earlier,
        volume_mb=arguments.volume_mb,
    )
    print("all parts are trained" if done else "paused: run again to go on")
    return 0 if done else PAUSED


def _unpack(arguments: argparse.Namespace) -> int:
    from icmbench.jobs.packed.unpack import unpack

    written = unpack(_plan(arguments), arguments.out)
    for part, paths in written.items():
        print(f"{part}: {', '.join(map(str, paths)) or 'not begun'}")
    return _forget(arguments.configfile, [path for paths in written.values() for path in paths])


def _forget(configs: Sequence[Path], files: Sequence[Path]) -> int:
    """Have Snakemake forget older files of these names, else it would make them again."""
    from icmbench.core.processes import start_python

    command = ["-m", "snakemake", "--snakefile", HERE.parent / "Snakefile"]
    command += ["--configfile", *configs, "--cleanup-metadata", *files]
    with start_python(*command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        said = process.communicate()[1].decode("utf-8", "replace").strip()
    if process.returncode and "metadata was not present" not in said:
        print(f"train_on_gpu.py: {said[-500:]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
