"""Sections of the report with figures, charts or the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from icmbench.reporting.report.charts import Chart
from icmbench.reporting.report.explorer import Explorer
from icmbench.reporting.report.pictures import Picture, ReportFigure, figure_picture


@dataclass
class Section:
    """A heading with what stands below it.

    Attributes:
        chart: its chart.
        viewer: whether the viewer stands here.
        pictures: embedded figures.
        static: titles and files of the figures that the chart or the viewer replaces.
        fallback: one of them, embedded for readers without JavaScript.
    """

    title: str
    chart: Chart | None = None
    viewer: bool = False
    pictures: list[Picture] = field(default_factory=list)
    static: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)
    fallback: Picture | None = None


def figure_sections(
    figures: Sequence[ReportFigure], explorer: Explorer | None, folder: Path
) -> list[Section]:
    """Sections in the order of their first figure, those with a chart or the viewer first.

    A figure that a chart or the viewer replaces stands in the section of these, and is embedded
    where there is no such section. The first one of the page is embedded as well, for readers
    without JavaScript.
    """
    charts = explorer.charts if explorer else {}
    viewer = explorer.viewer if explorer else ""
    sections: dict[str, Section] = {}

    def section(title: str) -> Section:
        known = Section(title, charts.get(title), bool(viewer) and title == viewer)
        return sections.setdefault(title, known)

    for number, figure in enumerate(figures, 1):
        if figure.explored and (figure.explored in charts or figure.explored == viewer):
            place = section(figure.explored)
            if not any(each.fallback for each in sections.values()):
                place.fallback = figure_picture(number, figure, folder, pixels=True)
            place.static.append((figure.title, figure.files(folder)))
        else:
            section(figure.group).pictures.append(figure_picture(number, figure, folder))
    for title in (*charts, *([viewer] if viewer else [])):
        section(title)
    return sorted(sections.values(), key=lambda each: not (each.chart or each.viewer))
