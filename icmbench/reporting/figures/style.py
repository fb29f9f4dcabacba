"""Style of all figures: theme, a style per codec entry, and byte-identical files.

A codec entry keeps its colour, marker and dash in every figure. Colours are from Okabe and Ito's
palette (Color Universal Design, 2008), which readers with the common colour deficiencies can tell
apart; markers and dashes carry the same information on a grey print.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import matplotlib as mpl
import seaborn as sns
from matplotlib.figure import Figure

from icmbench.codecs.external import NOT_OURS
from icmbench.core.errors import MeasurementError
from icmbench.core.files import atomic_path

DPI = 200
INK = "#222222"
MUTED = "#5f6368"

Dash = Literal["-", "-."] | tuple[float, tuple[float, ...]]


class MetricInfo(Protocol):
    """Properties of a metric that figures use; `icmbench.metrics.Metric` has them.

    `unit` is "" for a metric without one.
    """

    @property
    def name(self) -> str:
        """Column name in the tables."""

    @property
    def title(self) -> str:
        """Title in figures and tables."""

    @property
    def unit(self) -> str:
        """Unit, or an empty text."""

    @property
    def higher_is_better(self) -> bool:
        """False for a distance."""


@dataclass(frozen=True)
class FamilyStyle:
    """Colour, marker, dash pattern and line width (points) of one codec entry."""

    colour: str
    marker: str
    dash: Dash
    width: float = 1.4

    @property
    def thin(self) -> bool:
        """True for a marker of little area: it is drawn larger, with an edge of its colour."""
        return self.marker in "*XP+"

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of matplotlib for a line."""
        return {"color": self.colour, "linestyle": self.dash, "linewidth": self.width}

    @property
    def marks(self) -> dict[str, Any]:
        """Arguments of matplotlib for markers."""
        return {
            "marker": self.marker,
            "markersize": 6.0 if self.thin else 4.4,
            "markeredgecolor": self.colour if self.thin else "white",
            "markeredgewidth": 1.4 if self.marker == FOREIGN else 0.4,
        }


FOREIGN: Final = "+"  # marker of results that were made elsewhere

KNOWN: dict[str, FamilyStyle] = {
    "jpeg": FamilyStyle("#000000", "o", "-"),
    "jpeg2000": FamilyStyle("#7a7a7a", "s", (0, (5, 2))),
    "webp": FamilyStyle("#E69F00", "^", (0, (6, 1.5, 1, 1.5))),
    "avif": FamilyStyle("#0072B2", "D", "-"),
    "jxl": FamilyStyle("#009E73", "v", (0, (3, 1.5))),
    "heic": FamilyStyle("#CC79A7", "P", (0, (1.2, 1.2))),
    "identity": FamilyStyle("#999999", "x", (0, (1, 3))),
    "mpd": FamilyStyle("#D55E00", "*", "-", 1.9),
    "diff-icmh": FamilyStyle("#56B4E9", "X", (0, (4, 1.2)), 1.9),
}

# Styles of other codec entries, in the order of their sorted names. The three lengths have no
# common divisor, so that a combination repeats after 7 * 5 * 4 entries.
_COLOURS = ("#8B6914", "#6A3D9A", "#B22222", "#1B7F8C", "#5B7F1B", "#A0527A", "#3D4F8F")
_MARKERS = ("h", "<", ">", "p", "d")
_DASHES: tuple[Dash, ...] = ((0, (3, 1, 1, 1, 1, 1)), (0, (10, 2)), (0, (2, 2)), "-.")


def family_styles(families: Iterable[str]) -> dict[str, FamilyStyle]:
    """A distinct style per codec entry, sorted by name; fixed for those in `KNOWN`.

    Pass the codec entries of the whole table, not of one data set, so that all figures agree.
    """
    names = sorted(set(families))
    spare = (
        FamilyStyle(colour, marker, dash)
        for colour, marker, dash in zip(
            itertools.cycle(_COLOURS),
            itertools.cycle(_MARKERS),
            itertools.cycle(_DASHES),
            strict=True,
        )
    )
    return {name: KNOWN[name] if name in KNOWN else next(spare) for name in names}


def mark_foreign(
    styles: Mapping[str, FamilyStyle], names: Mapping[str, str] | None
) -> dict[str, FamilyStyle]:
    """Styles with a marker of their own for the entries whose legend text says `NOT_OURS`."""
    foreign = {family for family, text in (names or {}).items() if NOT_OURS in text}
    return {
        family: dataclasses.replace(style, marker=FOREIGN) if family in foreign else style
        for family, style in styles.items()
    }


_RC: Any = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "font.family": "sans-serif",
    # Ships with matplotlib: the same glyphs, hence the same bytes, on every machine.
    "font.sans-serif": ["DejaVu Sans"],
    # Names of images and classes hold dollar signs; no figure holds a formula.
    "text.parse_math": False,
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 8.5,
    "axes.edgecolor": "#8a8d91",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "grid.color": "#e3e5e8",
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "hatch.linewidth": 0.5,
    "axes.unicode_minus": True,
    # Reproducible files: fixed ids; glyphs as outlines in SVG (no font needed to view it); TrueType
    # in PDF (several venues refuse Type 3).
    "svg.hashsalt": "icmbench",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "pdf.compression": 9,
}


@contextlib.contextmanager
def theme() -> Iterator[None]:
    """The settings in which every figure is built and saved; the caller's come back afterwards."""
    with sns.axes_style("ticks"), mpl.rc_context(_RC):
        yield


_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": "icmbench"},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": "icmbench", "Producer": None},
    "png": {"Software": "icmbench"},
}


def save(figure: Figure, stem: Path | str) -> list[Path]:
    """Write `<stem>.svg`, `<stem>.pdf` and `<stem>.png`, each complete or not at all.

    Equal figures give equal bytes under one matplotlib version: no dates, salted ids, one font.
    A dot in the stem is part of the name. Returns the three paths in that order.
    """
    base = Path(stem)
    if base.suffix in {".svg", ".pdf", ".png"}:
        raise MeasurementError(f"give a stem without a suffix, not {base.name!r}")
    written = []
    for kind, metadata in _METADATA.items():
        target = base.with_name(f"{base.name}.{kind}")
        with theme(), atomic_path(target) as temporary:
            figure.savefig(temporary, format=kind, metadata=metadata, dpi=DPI, facecolor="white")
        written.append(target)
    return written


def declared_stem(outputs: Iterable[str], name: str) -> Path:
    """The stem under which a job's declared outputs have the figure of a name.

    Raises MeasurementError where they lack it: what is written elsewhere, Snakemake neither checks
    nor removes.
    """
    for path in map(Path, outputs):
        if path.with_suffix("").name == name:
            return path.with_suffix("")
    raise MeasurementError(f"the rule does not declare the figure {name}")


def better_arrow(metric: MetricInfo) -> str:
    """Text for the direction of a metric: higher or lower is better."""
    return "higher is better ↑" if metric.higher_is_better else "lower is better ↓"


def metric_label(metric: MetricInfo) -> str:
    """Axis label: title and, where there is one, unit in parentheses."""
    return f"{metric.title} ({metric.unit})" if metric.unit else metric.title
