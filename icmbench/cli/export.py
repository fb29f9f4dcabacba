"""`icmbench export`: a run's numbers in the formats of others' programs."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from icmbench.cli.arguments import Sub, add_command, written


def add_export(sub: Sub) -> None:
    """Add the subcommand."""
    parser = add_command(
        sub,
        export,
        "write a run's measurements for another program: codec-compare",
        "icmbench export codec-compare results -o codec-compare\n\n"
        "codec-compare: JSON for webmproject/codec-compare, a file per data set and codec entry\n"
        "and a list per data set. Serve the folder beside its pages and open\n"
        "index.html?load=codec-compare/<data set>/batches.json.",
    )
    parser.add_argument("format", choices=["codec-compare"], help="of the program that reads it")
    parser.add_argument("results", help="results folder of a finished run")
    parser.add_argument(
        "-o", "--out", type=written, required=True, metavar="DIR", help="the folder to write"
    )


def export(arguments: Namespace) -> None:
    """`icmbench export codec-compare RESULTS -o DIR`."""
    # Imported here: pandas takes half a second, which the other subcommands need not wait for.
    from icmbench.reporting.export.codec_compare import export_batches

    for line in export_batches(Path(arguments.results), Path(arguments.out)):
        print(line)
