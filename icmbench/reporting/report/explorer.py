"""The part of the report to explore: charts, the viewer, their data and the library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from icmbench.metrics import METRICS
from icmbench.reporting.figures.style import MetricInfo
from icmbench.reporting.report.chart_styles import chart_styles, published_chart_styles
from icmbench.reporting.report.charts import Chart, rate_chart, task_chart
from icmbench.reporting.report.library import Library, plotly_library
from icmbench.reporting.report.viewer import viewer_data


@dataclass(frozen=True)
class Explorer:
    """Charts and images to explore.

    Attributes:
        charts: heading of a section -> its chart.
        viewer: heading of the viewer's section; empty: there are no images.
        data: all of them, as JSON types.
        library: Plotly.js.
    """

    charts: Mapping[str, Chart]
    viewer: str
    data: Mapping[str, Any]
    library: Library


def make_explorer(
    tables: Mapping[str, pd.DataFrame],
    metrics: Sequence[MetricInfo],
    *,
    sections: tuple[str, str, str],
    families: Iterable[str],
    names: Mapping[str, str],
    archives: Sequence[Path],
) -> Explorer:
    """The charts of a run's tables and the viewer of its images.

    Args:
        tables: by name; `rd` is one of them.
        sections: headings of the rate chart, of the task chart and of the viewer.
        families: the codec entries of the run.
        names: codec entry -> legend text, where it differs from the name.
        archives: as `viewer_data` takes them.
    """
    rates, tasks, viewer = sections
    published = tables.get("published")
    charts = {
        rates: rate_chart(
            tables["rd"],
            metrics,
            timing=tables.get("timing"),
            distribution=tables.get("distribution"),
            published=published,
        )
    }
    if len(tables.get("tasks", ())):
        charts[tasks] = task_chart(tables["tasks"], published)
    images = viewer_data(archives)
    described = {
        name: {"title": metric.title, "unit": metric.unit, "higher": metric.higher_is_better}
        for name, metric in METRICS.items()
    }
    data = {
        "charts": [chart.data() for chart in charts.values()],
        "styles": chart_styles(families, names),
        "published": published_chart_styles(published),
        "images": images,
        "metrics": described,
    }
    return Explorer(charts, viewer if images else "", data, plotly_library())
