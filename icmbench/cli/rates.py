"""`icmbench bd-rate`: BD-rates of an existing table over a subset of its points."""

from __future__ import annotations

import math
from argparse import Namespace
from pathlib import Path

from icmbench.cli.arguments import Sub, add_command
from icmbench.core.errors import ConfigError
from icmbench.core.suggest import unknown


def add_bd_rate(sub: Sub) -> None:
    """Add the subcommand."""
    parser = add_command(
        sub,
        bd_rate,
        "compute BD-rates from a run's rd.csv over a subset of its points",
        "icmbench bd-rate results/tables/rd.csv --anchor avif\n"
        "  icmbench bd-rate rd.csv --anchor avif --points 'avif:quality=*' --metrics ssim,gmsd\n"
        "  icmbench bd-rate rd.csv --anchor avif --points 'mpd:state=[4-7]' mpd 'avif:*scale=0.5'",
    )
    parser.add_argument("table", help="rd.csv of a run: results/tables/rd.csv")
    parser.add_argument(
        "--points",
        nargs="+",
        default=[],
        metavar="POINT",
        help="codec specs as in the table, or patterns with * ? [...] (in quotes); of a codec "
        "entry with a named point only the named ones count, others keep all points",
    )
    parser.add_argument(
        "--anchor", nargs="+", required=True, metavar="FAMILY", help="curves to compare with"
    )
    parser.add_argument("--metrics", help="comma-separated columns; default: all of the table")
    parser.add_argument("--dataset", help="one data set; default: all of the table")
    parser.add_argument(
        "--min-overlap",
        type=float,
        default=0.25,
        help="no value where the curves share less of their quality range; default: 0.25",
    )
    parser.add_argument("--out", metavar="CSV", help="write the rates, as fractions, here too")


def bd_rate(arguments: Namespace) -> None:
    """`icmbench bd-rate rd.csv --points PATTERN … --anchor FAMILY …`."""
    # Imported here: pandas takes half a second, which the other subcommands need not wait for.
    from icmbench.metrics import METRICS
    from icmbench.reporting.tables.csv_files import write_csv
    from icmbench.reporting.tables.point_subsets import choose_points, read_rd, subset_bd_rates

    table = read_rd(Path(arguments.table))
    known = {name: m.higher_is_better for name, m in METRICS.items() if name in table}
    given = [name.strip() for name in (arguments.metrics or "").split(",") if name.strip()]
    wanted = given or list(known)
    for name in wanted:
        if name not in known:
            raise ConfigError(unknown(f"metric of {arguments.table}", name, known))
    if arguments.dataset and arguments.dataset not in set(table["dataset"]):
        raise ConfigError(unknown("data set", arguments.dataset, set(table["dataset"])))
    if arguments.dataset:
        table = table[table["dataset"] == arguments.dataset]
    chosen = choose_points(table, arguments.points)
    rates = subset_bd_rates(
        chosen, {m: known[m] for m in wanted}, arguments.anchor, min_overlap=arguments.min_overlap
    )
    if arguments.out:
        write_csv(rates, Path(arguments.out))
    print(f"{len(chosen)} of {len(table)} points; BD-rates in percent, no intervals (means only)")
    for row in rates.to_dict("records"):
        print(
            f"{row['dataset']:<10} {row['family']:<14} against {row['anchor']:<8} "
            f"{row['metric']:<12} {_percent(row['bd_rate'], '+.1f'):>7}  "
            f"overlap {_percent(row['overlap'], '.0f'):>3}  "
            f"points {row['points']}, {row['anchor_points']}  {row['note']}".rstrip()
        )
        if isinstance(row["specs"], str):
            print(
                f"    from {row['quality_low']:.4g} to {row['quality_high']:.4g}: {row['specs']}\n"
                f"    {row['anchor']}: {row['anchor_specs']}"
            )


def _percent(value: float, form: str) -> str:
    """A fraction in percent; empty where there is none."""
    return "" if math.isnan(value) else format(100 * value, form)
