"""`icmbench pack`, `unpack`, `verify` (docs/decoding-elsewhere.md) and `share`."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from icmbench.cli.arguments import Sub, add_command, written

if TYPE_CHECKING:  # the other commands start without it
    import pandas as pd


def add_pack(sub: Sub) -> None:
    """Add the subcommand."""
    parser = add_command(
        sub,
        pack,
        "pack the streams and models of a run, to be decoded on another machine",
        "icmbench pack results --out streams.tar\n"
        "  icmbench pack results --out streams.tar --dataset photos --codec mpd --codec webp",
    )
    parser.add_argument("results", help="the folder of a finished run")
    parser.add_argument(
        "--out", type=written, required=True, metavar="FILE", help="the tar to write"
    )
    _add_chosen(parser)


def _add_chosen(parser: argparse.ArgumentParser) -> None:
    for what, of in (("dataset", "data set"), ("codec", "codec entry")):
        parser.add_argument(
            f"--{what}", action="append", default=[], metavar="NAME", help=f"only this {of}; repeat"
        )


def add_unpack(sub: Sub) -> None:
    """Add the subcommand."""
    parser = add_command(
        sub,
        unpack,
        "unpack what `icmbench pack` packed, ready to be decoded",
        "icmbench unpack streams.tar --to streams\n"
        "  snakemake -s rules/packed.smk --cores all --configfile streams/config.yaml",
    )
    parser.add_argument("file", help="a file of `icmbench pack`")
    parser.add_argument("--to", type=written, required=True, metavar="FOLDER", help="a new folder")


def add_verify(sub: Sub) -> None:
    """Add the subcommand."""
    parser = add_command(
        sub,
        verify,
        "compare what another machine decoded with what this run decoded",
        "icmbench verify results decoded.tar --name laptop",
    )
    parser.add_argument("results", help="the folder of the run that was packed")
    parser.add_argument("returned", help="the decoded.tar that the other machine made")
    parser.add_argument("--name", required=True, help="of the other machine, for the tables")


def add_share(sub: Sub) -> None:
    """Add the subcommand."""
    parser = add_command(
        sub,
        share,
        "write a run's streams, reconstructions and tables for others, who read them as `codec: "
        "folder`",
        "icmbench share results -o my-codec\n"
        "  icmbench share results -o my-codec.tar --dataset photos --codec mpd",
    )
    parser.add_argument("results", help="the folder of a finished run")
    parser.add_argument(
        "-o", "--out", type=written, required=True, metavar="PATH", help="a new folder, or .tar"
    )
    _add_chosen(parser)


def pack(arguments: Namespace) -> None:
    """`icmbench pack RESULTS --out FILE.tar [--dataset NAME] [--codec NAME]`."""
    from icmbench.transfer.pack import pack_streams

    out = Path(arguments.out)
    units = pack_streams(
        Path(arguments.results), out, datasets=arguments.dataset, codecs=arguments.codec
    )
    sets, codecs = ({getattr(unit, key) for unit in units} for key in ("dataset", "family"))
    what = f"{', '.join(sorted(codecs))} on {', '.join(sorted(sets))}"
    print(f"{out}: {what}, {_megabytes(out)}")


def share(arguments: Namespace) -> None:
    """`icmbench share RESULTS -o FOLDER|FILE.tar [--dataset NAME] [--codec NAME]`."""
    from icmbench.transfer.share import share_results

    found = share_results(
        Path(arguments.results),
        Path(arguments.out),
        datasets=arguments.dataset,
        codecs=arguments.codec,
    )
    for name, count in found.counts.items():
        print(f"{name}: {count} reconstructions with their streams")
    for name in found.left_out:
        print(f"{name}: left out, its results were made elsewhere")
    print(f"{arguments.out}: complete; its config.yaml has entries for other runs")


def unpack(arguments: Namespace) -> None:
    """`icmbench unpack FILE.tar --to FOLDER`."""
    from icmbench.transfer.unpack import decoding_command, unpack_streams

    config = unpack_streams(Path(arguments.file), Path(arguments.to))
    print(f"{arguments.to}: complete; to decode:")
    print(decoding_command(config))


def verify(arguments: Namespace) -> None:
    """`icmbench verify RESULTS RETURNED --name NAME`."""
    from icmbench.transfer.verify import summary, verify_pictures

    results = Path(arguments.results)
    frame = verify_pictures(results, Path(arguments.returned), arguments.name)
    print("\n".join(_lines(summary(frame))))
    print(f"{results / 'verification' / arguments.name}.csv: stream by stream, with both machines")


def _lines(table: pd.DataFrame) -> list[str]:
    """A table as text: the first column to the left, numbers to the right."""
    from icmbench.reporting.tables.csv_files import format_value

    rows = [list(map(str, table.columns))]
    rows += [[format_value(value) for value in row] for row in table.itertuples(index=False)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"
