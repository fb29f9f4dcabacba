"""`results/report.html`: everything a run found, on one page that needs nothing else.

Charts, images and CSV files are inside the page; a content security policy forbids it to load
anything, so it can be mailed, archived and opened from a disk years later. Static figures that a
chart or the viewer replaces are not in it: they lie beside it, in `figures/`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from icmbench.core.files import write_text
from icmbench.reporting.artefacts import Text
from icmbench.reporting.figures.style import MetricInfo
from icmbench.reporting.report.explorer import Explorer
from icmbench.reporting.report.library import packed, script_digest
from icmbench.reporting.report.pictures import (
    ContactSheet,
    ReportFigure,
    sheet_picture,
)
from icmbench.reporting.report.report_tables import TableView, table_view
from icmbench.reporting.report.sections import figure_sections
from icmbench.reporting.tables.failures import REFUSED

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("report.js", "library.js", "charts.js", "viewer.js")


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
    explorer: Explorer | None = None,
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
        explorer: the charts and the viewer; None: the page has static figures alone.

    Raises:
        MeasurementError: a figure's file is missing.
    """
    scripts = SCRIPTS if explorer else SCRIPTS[:1]
    sections = figure_sections(figures, explorer, Path(out).parent)
    script = "".join((TEMPLATES / name).read_text("utf-8") for name in scripts)
    views = _views(tables, texts, metrics)
    refused, failed = _split(failures)
    data = [view for view in views if view.name == "manifest"]
    events = {
        "failures": table_view(failed, "failures", "Failures") if len(failed) else None,
        "refused": _refused_view(refused),
        "remarks": _remarks_view(remarks),
    }
    pictures = [picture for section in sections for picture in section.pictures]
    content = {
        "csv": {view.name: view.csv for view in (*views, *filter(None, events.values()))},
        "figures": {picture.id: picture.vectors for picture in pictures if picture.vectors},
        **(explorer.data if explorer else {}),
    }
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            summary=summary,
            facts=_facts(tables, failures),
            sections=sections,
            explorer=explorer,
            views=[view for view in views if view.name != "manifest"],
            packed=packed(json.dumps(content, ensure_ascii=False, allow_nan=False)),
            data_views=data,
            sheets=[sheet_picture(number, sheet) for number, sheet in enumerate(contact_sheets, 1)],
            **events,
            comparison_notes=list(comparison_notes),
            alerts=list(alerts),
            left_out=list(left_out),
            missing_metrics=sorted(missing_metrics.items()),
            metrics=[(metric, _flat(getattr(metric, "settings", {}))) for metric in metrics],
            provenance=_flat(provenance),
            css=Markup((TEMPLATES / "report.css").read_text("utf-8")),
            js=Markup(script),
            digests=[script_digest(script), *([explorer.library.digest] if explorer else [])],
        )
    )
    write_text(out, page)
