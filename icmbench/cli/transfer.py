"""Functions of `icmbench pack`, `unpack` and `verify`; see docs/decoding-elsewhere.md."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the other commands start without it
    import pandas as pd


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


def unpack(arguments: Namespace) -> None:
    """`icmbench unpack FILE.tar --to FOLDER`."""
    from icmbench.transfer.unpack import unpack_streams

    config = unpack_streams(Path(arguments.file), Path(arguments.to))
    print(f"{arguments.to}: complete; to decode:")
    print(f"snakemake -s rules/packed.smk --cores all --configfile {config}")


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
