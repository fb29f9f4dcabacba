"""`icmbench fetch`: published files of data sets and models."""

from __future__ import annotations

import logging
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icmbench.cli.arguments import Sub, add_command
from icmbench.core.errors import ConfigError, DatasetError, IcmbenchError
from icmbench.core.fetch_command import DOWNLOADS

if TYPE_CHECKING:
    from icmbench.sources.catalogue import Source

OPENMM = ("mmdet", "mmseg")
INTERRUPTED = 130  # exit status of a shell after Ctrl-C


def add_fetch(sub: Sub) -> None:
    """Add the subcommand."""
    parser = add_command(
        sub,
        fetch,
        "fetch published data sets and weights: resumed, checked, unpacked",
        "icmbench fetch --list\n"
        "  icmbench fetch kodak coco2017-annotations\n"
        "  icmbench fetch --list ram-plus\n"
        "  icmbench fetch mmdet/rtmdet-ins_tiny_8xb32-300e_coco\n"
        "  icmbench fetch --configfile configs/paper-mpd.yaml    # all that a run needs",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="sources; mmdet/NAME, mmseg/NAME: a configuration"
    )
    parser.add_argument(
        "--configfile",
        nargs="+",
        default=[],
        metavar="FILE",
        help="all sources that a configuration needs, then its imports; of several files, later "
        "ones change earlier ones; its downloads, sources and offline hold",
    )
    parser.add_argument(
        "--list", action="store_true", help="list the sources, or describe the chosen ones"
    )
    parser.add_argument("--downloads", metavar="DIR", help=f"folder; default: {DOWNLOADS}")
    parser.add_argument(
        "--offline", action="store_true", help="no network: only check and unpack what is there"
    )
    parser.add_argument("--sources", metavar="FILE", help="YAML file of further sources or mirrors")


def fetch(arguments: Namespace) -> None:
    """`icmbench fetch NAME... [--configfile FILE...] [--list]`."""
    from icmbench.sources.listing import describe, list_sources

    config = _config(arguments)
    downloads = Path(config["downloads"]).expanduser()
    known = _known(config)
    chosen = [(_find(name, known), downloads) for name in arguments.names]
    if arguments.configfile:
        from icmbench.config.fetching import wanted_sources

        chosen += wanted_sources(config)
    if arguments.list:
        text = "\n\n".join(describe(source, folder) for source, folder in chosen)
        print(text or list_sources(known.values(), downloads))
        return
    if not chosen and not arguments.configfile:
        raise ConfigError("name a source (`icmbench fetch --list` shows them)")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        failures = _fetch_all(chosen, offline=config["offline"])
        if arguments.configfile:
            failures += _import_all(config)
    except KeyboardInterrupt:
        print("icmbench: interrupted; run the command again to resume", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    if failures:
        raise DatasetError("\n".join(failures))


def _config(arguments: Namespace) -> dict[str, Any]:
    """The configuration of the files, or without them the three keys; options come first."""
    config: dict[str, Any] = {"downloads": DOWNLOADS, "sources": None, "offline": False}
    if arguments.configfile:
        from icmbench.config.fetching import read_config

        config = read_config([Path(name) for name in arguments.configfile])
    given = {key: getattr(arguments, key) for key in ("downloads", "sources")}
    config |= {key: value for key, value in given.items() if value}
    config["offline"] |= arguments.offline
    return config


def _known(config: Mapping[str, Any]) -> dict[str, Source]:
    from icmbench.sources.catalogue import known_sources

    return known_sources(config["sources"])


def _find(name: str, known: Mapping[str, Source]) -> Source:
    package, _, model = name.partition("/")
    if package in OPENMM and model:
        from icmbench.tasks.backends.openmm_source import chosen_source

        return chosen_source(package, model, known)
    from icmbench.sources.catalogue import find_source

    return find_source(name, known)


def _fetch_all(chosen: Iterable[tuple[Source, Path]], *, offline: bool) -> list[str]:
    """Fetch sources; returns the errors of those that could not be fetched."""
    from icmbench.sources.fetch import fetch_source

    failures = []
    for source, downloads in chosen:
        try:
            folder = fetch_source(source, downloads, offline=offline)
        except DatasetError as error:
            failures.append(str(error))
        else:
            print(f"{folder}: complete. {source.title}; licence: {source.licence}", flush=True)
    return failures


def _import_all(config: Mapping[str, Any]) -> list[str]:
    """Import the models of a configuration that are not there yet; returns the errors."""
    from icmbench.config.fetching import import_options, imports_left
    from icmbench.config.models import models_folder

    failures = []
    for model in imports_left(config):
        options = import_options(config, model)
        checkpoints = options.pop("checkpoints")
        paths = {key: value for key, value in options.items() if isinstance(value, str)}
        given = [*checkpoints, *paths.values()]
        absent = [path for path in given if not Path(path).expanduser().exists()]
        if absent:
            failures.append(f"imports.{model}: {absent[0]}: no such file: not imported")
            continue
        try:
            widths = {k: value for k, value in options.items() if isinstance(value, int)}
            _import(checkpoints, models_folder(config) / model, paths, widths)
        except IcmbenchError as error:
            failures.append(f"imports.{model}: {error}")
    return failures


def _import(
    checkpoints: Iterable[str], out: Path, paths: Mapping[str, str], widths: Mapping[str, Any]
) -> None:
    from icmbench.codecs.diff_icmh.importing.importer import import_checkpoint

    first, *further = (Path(name).expanduser() for name in checkpoints)
    options: dict[str, Any] = {key: Path(name).expanduser() for key, name in paths.items()}
    report = import_checkpoint(first, out, further=further, **options, **widths)
    print("\n".join([*report.lines(), f"{out}: complete"]), flush=True)
