"""`results/report.html`: everything a run found, on one page that needs nothing else.

Figures, images and CSV files are inside the page; a content security policy forbids it to load
anything, so it can be mailed, archived and opened from a disk years later.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from icmbench.core.errors import MeasurementError
from icmbench.core.files import write_text
from icmbench.reporting.artefacts import Text
from icmbench.reporting.figures.style import MetricInfo
from icmbench.reporting.report.report_tables import TableView, data_uri, table_view
from icmbench.reporting.tables.failures import REFUSED

TEMPLATES = Path(__file__).parent / "templates"
_KINDS = (".svg", ".pdf", ".png")
# Curves stay below this; above it the file is mostly images, which vectors only make larger.
_MAX_SVG = 600_000


@dataclass(frozen=True)
class ReportFigure:
    """A saved figure: `path` is its stem or any of its .svg, .pdf, .png; `group` a heading."""

    path: Path
    title: str
    caption: str
    group: str


@dataclass(frozen=True)
class ContactSheet:
    """A grid of a data set's images, uint8 (H, W, 3)."""

    title: str
    image: NDArray[np.uint8]
    caption: str = ""


@dataclass(frozen=True)
class _Picture:
    """An embedded image: anchor, address, size in pixels, file name, words."""

    id: str
    source: str
    width: int
    height: int
    file: str
    title: str
    caption: str

    @property
    def kind(self) -> str:
        return self.file.rpartition(".")[2].upper()


def _webp(image: Image.Image, lossless: bool) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "WEBP", lossless=lossless, quality=80, method=4)
    return buffer.getvalue()


def _figure(number: int, figure: ReportFigure) -> _Picture:
    """Embed a figure: as SVG if that is small, else as a lossless copy of its PNG.

    Raises MeasurementError if neither file is there.
    """
    given = figure.path
    stem = given.with_suffix("") if given.suffix in _KINDS else given
    svg, png = (stem.with_name(stem.name + kind) for kind in (".svg", ".png"))
    if not png.is_file():
        raise MeasurementError(f"figure {png} is missing")
    with Image.open(png) as opened:
        size = opened.size
        vectors = svg.read_bytes() if svg.is_file() else b""
        if vectors and len(vectors) <= _MAX_SVG:
            source, file = data_uri(vectors, "image/svg+xml"), svg.name
        else:
            source, file = data_uri(_webp(opened, lossless=True), "image/webp"), f"{stem.name}.webp"
    return _Picture(f"figure-{number}", source, *size, file, figure.title, figure.caption)


def _sheet(number: int, sheet: ContactSheet) -> _Picture:
    """Embed a contact sheet, lossy: it is an overview, not a comparison of quality."""
    source = data_uri(_webp(Image.fromarray(sheet.image), lossless=False), "image/webp")
    height, width = sheet.image.shape[:2]
    return _Picture(
        f"sheet-{number}", source, width, height, f"contact-{number}.webp", sheet.title,
        sheet.caption,
    )  # fmt: skip


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested provenance as (dotted key, text), in sorted order."""
    if isinstance(value, Mapping):
        rows = []
        for key in sorted(value, key=str):
            rows += _flat(value[key], f"{prefix}.{key}" if prefix else str(key))
        return rows
    if isinstance(value, (list, tuple)):
        return [(prefix, ", ".join(str(item) for item in value))]
    return [(prefix, "" if value is None else str(value))]


def _views(
    tables: Mapping[str, pd.DataFrame], texts: Mapping[str, Text], metrics: Sequence[MetricInfo]
) -> list[TableView]:
    """The tables in the order of their texts; those without one follow under their own names."""
    order = [name for name in texts if name in tables]
    order += sorted(name for name in tables if name not in texts)
    views = []
    for name in order:
        text = texts.get(name) or Text(name, name.replace("_", " ").capitalize())
        view = table_view(tables[name], name, text.title, text.caption, metrics, text.filters)
        views.append(view)
    return views


def _grouped(figures: Sequence[ReportFigure]) -> dict[str, list[_Picture]]:
    groups: dict[str, list[_Picture]] = {}
    for number, figure in enumerate(figures, 1):
        groups.setdefault(figure.group, []).append(_figure(number, figure))
    return groups


def _split(failures: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The refused images, and what codecs failed at."""
    refused = failures["status"] == REFUSED
    return failures[refused], failures[~refused]


def _refused_view(refused: pd.DataFrame) -> TableView | None:
    rows = refused[["dataset", "first_image", "detail"]].rename(
        columns={"first_image": "image", "detail": "reason"}
    )
    return table_view(rows, "refused", "Refused images") if len(rows) else None


def _remarks_view(remarks: pd.DataFrame | None) -> TableView | None:
    if remarks is None or not len(remarks):
        return None
    return table_view(remarks, "remarks", "Remarks")


def _facts(
    tables: Mapping[str, pd.DataFrame], failures: pd.DataFrame
) -> list[tuple[str, str, str]]:
    """The numbers at the head of the page: (value, label, address on the page)."""

    def fact(number: int, word: str, address: str, after: str = "") -> tuple[str, str, str]:
        return str(number), (word if number == 1 else f"{word}s") + after, address

    facts = []
    rd = tables.get("rd")
    if rd is not None and len(rd):
        facts.append(fact(rd["dataset"].nunique(), "data set", "#data"))
        facts.append(fact(rd["family"].nunique(), "codec", "#table-rd"))
        facts.append(fact(rd["codec"].nunique(), "operating point", "#table-rd"))
    refused, failed = (int(part["images"].sum()) for part in _split(failures))
    manifest = tables.get("manifest")
    if manifest is not None and refused:
        facts.append(fact(len(manifest), "image", "#failures", f", {refused} refused"))
    elif manifest is not None:
        facts.append(fact(len(manifest), "image", "#data"))
    elif refused:
        facts.append(fact(refused, "refused image", "#failures"))
    facts.append(fact(failed, "failure", "#failures"))
    tasks = tables.get("task_failures")
    if tasks is not None and len(tasks):
        facts.append(fact(int(tasks["images"].sum()), "task failure", "#table-task_failures"))
    return facts


def _policy_hash(script: str) -> str:
    """The digest by which the page's policy allows this script and no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def build_report(
    out: Path | str,
    *,
    title: str,
    tables: Mapping[str, pd.DataFrame],
    texts: Mapping[str, Text],
    figures: Sequence[ReportFigure],
    contact_sheets: Sequence[ContactSheet],
    provenance: Mapping[str, Any],
    missing_metrics: Mapping[str, str],
    comparison_notes: Sequence[str],
    failures: pd.DataFrame,
    summary: str = "",
    metrics: Sequence[MetricInfo] = (),
    alerts: Sequence[str] = (),
    left_out: Sequence[tuple[str, str]] = (),
    remarks: pd.DataFrame | None = None,
) -> None:
    """Write the report atomically; equal arguments give equal bytes.

    Args:
        tables: name (`rd`, `bd_rate`, `timing`, `jobs`, `codecs`, `manifest`, `tasks`, or any
            other) to table; an absent one has no section.
        texts: heading, note and filters by table name, in the order of the page.
        figures: as `figures.save` wrote them; groups appear in the order of their first figure.
        provenance: hardware, versions, digests; nested mappings are flattened.
        missing_metrics: metric title to the reason why it was not computed.
        comparison_notes: which images and points were compared and which left out.
        failures: `dataset, family, codec, status, images, first_image, detail`; empty if none;
            rows of status `refused` are images that no codec was given.
        summary: a sentence below the title of the page.
        metrics: titles, units and directions for the table headers, and their settings.
        alerts: codecs and tasks without any result; they stand first on the page.
        left_out: what the configuration names and this run does not have, with the reason.
        remarks: what codecs noted about streams that they wrote, as `remarks_table` makes it.

    Raises:
        MeasurementError: a figure's file is missing.
    """
    script = (TEMPLATES / "report.js").read_text("utf-8")
    views = _views(tables, texts, metrics)
    refused, failed = _split(failures)
    data = [view for view in views if view.name == "manifest"]
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            summary=summary,
            facts=_facts(tables, failures),
            groups=_grouped(figures),
            views=[view for view in views if view.name != "manifest"],
            data_views=data,
            sheets=[_sheet(number, sheet) for number, sheet in enumerate(contact_sheets, 1)],
            failures=table_view(failed, "failures", "Failures") if len(failed) else None,
            refused=_refused_view(refused),
            remarks=_remarks_view(remarks),
            comparison_notes=list(comparison_notes),
            alerts=list(alerts),
            left_out=list(left_out),
            missing_metrics=sorted(missing_metrics.items()),
            metrics=[(metric, _flat(getattr(metric, "settings", {}))) for metric in metrics],
            provenance=_flat(provenance),
            css=Markup((TEMPLATES / "report.css").read_text("utf-8")),
            js=Markup(script),
            js_sha256=_policy_hash(script),
        )
    )
    write_text(out, page)
