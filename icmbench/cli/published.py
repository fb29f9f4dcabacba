"""`icmbench published` and `icmbench import-results`: points that others measured."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from icmbench.cli.arguments import Sub, add_command, path_if_given, written
from icmbench.core.errors import ConfigError
from icmbench.core.suggest import unknown
from icmbench.reporting.published.formats.common import Given
from icmbench.reporting.published.importing import FORMATS, import_file
from icmbench.reporting.published.points import (
    BITS,
    Point,
    read_points,
    shipped_points,
    write_points,
)

WIDE = 40  # characters of a column


def add_published(sub: Sub) -> None:
    """Add both subcommands."""
    parser = add_command(
        sub,
        published,
        "list published points: codecs, data sets, metrics, rates, sources",
        "icmbench published\n"
        "  icmbench published --dataset kodak --metric psnr_rgb\n"
        "  icmbench published --file mine.csv",
    )
    parser.add_argument("--dataset", help="one data set, such as kodak")
    parser.add_argument("--metric", help="one metric, such as psnr_rgb")
    parser.add_argument("--file", metavar="CSV", help="points of this file; default: those shipped")
    parser = add_command(
        sub,
        import_results,
        "convert others' results to a CSV of points, which `published` of a configuration takes",
        "icmbench import-results vtm.json --dataset kodak -o vtm.csv\n"
        "  icmbench import-results image-kodak.tsv --codec 'Cool-Chic' --dataset kodak -o cc.csv\n"
        "  icmbench import-results AEIC_ME.txt --codec AEIC-ME --dataset kodak -o aeic.csv",
    )
    parser.add_argument("file", help="; ".join(one.TITLE for one in FORMATS.values()))
    parser.add_argument("--format", choices=list(FORMATS), help="default: recognised by content")
    parser.add_argument("--codec", help="name of the codec, where the file has none")
    parser.add_argument("--dataset", help="name of the data set, where the file has none")
    parser.add_argument("--source", help="origin of the file; default: its name")
    parser.add_argument("--bits", choices=BITS, help="kind of the rates; default: as the file says")
    parser.add_argument(
        "-o", "--out", type=written, required=True, metavar="CSV", help="the file to write"
    )


def published(arguments: Namespace) -> None:
    """`icmbench published [--dataset NAME] [--metric NAME] [--file CSV]`."""
    file = path_if_given(arguments.file)
    points = list(shipped_points()) if file is None else read_points(file)
    for kind in ("dataset", "metric"):
        wanted = getattr(arguments, kind)
        known = {getattr(point, kind) for point in points}
        if wanted and wanted not in known:
            raise ConfigError(unknown(f"{kind} of published points", wanted, known))
        points = [point for point in points if wanted in (None, getattr(point, kind))]
    rows = [("codec", "data set", "metric", "points", "bits per pixel", "bits", "source")]
    groups: dict[tuple[str, str, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point.dataset, point.codec, point.metric), []).append(point)
    for (dataset, codec, metric), held in sorted(groups.items()):
        rates = [point.bpp for point in held]
        reach = f"{min(rates):.4f} to {max(rates):.4f}"
        bits, source = (
            "; ".join(sorted({getattr(p, n) for p in held})) for n in ("bits", "source")
        )
        rows.append((codec, dataset, metric, str(len(held)), reach, bits, source))
    widths = [min(WIDE, max(len(row[n]) for row in rows)) for n in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
        print("  ".join(cells).rstrip())


def import_results(arguments: Namespace) -> None:
    """`icmbench import-results FILE -o CSV`."""
    given = Given(
        arguments.file, arguments.codec, arguments.dataset, arguments.source, arguments.bits
    )
    name, points = import_file(Path(arguments.file), given, arguments.format)
    write_points(points, arguments.out)
    codecs, metrics = ({getattr(p, n) for p in points} for n in ("codec", "metric"))
    print(
        f"{arguments.out}: {len(points)} values of {FORMATS[name].TITLE}: "
        f"{', '.join(sorted(codecs))}; {', '.join(sorted(metrics))}"
    )
