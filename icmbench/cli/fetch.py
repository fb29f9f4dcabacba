"""`icmbench fetch`: published files of data sets and models."""

from __future__ import annotations

import logging
import sys
from argparse import Namespace
from pathlib import Path

from icmbench.cli.arguments import Sub, add_command
from icmbench.core.errors import ConfigError, DatasetError
from icmbench.core.fetch_command import DOWNLOADS

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
        "  icmbench fetch mmdet/rtmdet-ins_tiny_8xb32-300e_coco",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="sources; mmdet/NAME, mmseg/NAME: a configuration"
    )
    parser.add_argument(
        "--list", action="store_true", help="list the sources, or describe the named ones"
    )
    parser.add_argument(
        "--downloads", default=DOWNLOADS, metavar="DIR", help=f"folder; default: {DOWNLOADS}"
    )
    parser.add_argument(
        "--offline", action="store_true", help="no network: only check and unpack what is there"
    )
    parser.add_argument("--sources", metavar="FILE", help="YAML file of further sources or mirrors")


def fetch(arguments: Namespace) -> None:
    """`icmbench fetch NAME... [--list]`."""
    from icmbench.sources.catalogue import Source, find_source, known_sources
    from icmbench.sources.fetch import fetch_source
    from icmbench.sources.listing import describe, list_sources

    known = known_sources(arguments.sources)
    downloads = Path(arguments.downloads).expanduser()

    def find(name: str) -> Source:
        package, _, model = name.partition("/")
        if package in OPENMM and model:
            from icmbench.tasks.backends.openmm_source import published_source

            return published_source(package, model)
        return find_source(name, known)

    chosen = [find(name) for name in arguments.names]
    if arguments.list:
        text = "\n\n".join(describe(source, downloads) for source in chosen)
        print(text or list_sources(known.values(), downloads))
        return
    if not chosen:
        raise ConfigError("name a source (`icmbench fetch --list` shows them)")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    failures = []
    for source in chosen:
        try:
            folder = fetch_source(source, downloads, offline=arguments.offline)
        except DatasetError as error:
            failures.append(str(error))
        except KeyboardInterrupt:
            print("icmbench: interrupted; run the command again to resume", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
        else:
            print(f"{folder}: complete. {source.title}; licence: {source.licence}", flush=True)
    if failures:
        raise DatasetError("\n".join(failures))
