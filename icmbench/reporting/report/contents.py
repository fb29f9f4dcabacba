"""The contents of a run's report: tables, figures and the sentences around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image as PillowImage

from icmbench.core.revision import current_revision
from icmbench.core.typed_csv import read_table
from icmbench.metrics import METRICS, available
from icmbench.reporting.artefacts import SHEETS, Text
from icmbench.reporting.catalogue import EXPLORED
from icmbench.reporting.report.explorer import make_explorer
from icmbench.reporting.report.page import build_report
from icmbench.reporting.report.pictures import ContactSheet, ReportFigure
from icmbench.reporting.report.revisions import mixed_revisions
from icmbench.reporting.report.verdict import verdict


def assemble_report(
    out: Path,
    *,
    config: Mapping[str, Any],
    units: Sequence[tuple[str, str]],
    notices: Sequence[str],
    unavailable: Mapping[str, str],
    tables: Sequence[tuple[Path, Text]],
    manifests: Sequence[Path],
    comparison: Mapping[str, Any],
    provenance: Mapping[str, Any],
    figures: Sequence[tuple[Path, Text]],
    viewers: Sequence[Path] = (),
    names: Mapping[str, str] | None = None,
) -> None:
    """Read a run's files and write its report.

    Args:
        units: data set and codec entry of what is coded.
        notices: sentences about parts of the configuration that were left out.
        unavailable: reasons by name of codec entries and metrics that could not run.
        tables: CSV files and their words, in the order of the page; `failures` is one of them.
        figures: PNG files and their words, in the order of the page.
        viewers: archives of the viewer's images.
        names: codec entry -> legend text, where it differs from the name.
    """
    texts = {text.name: text for _, text in tables}
    frames = {text.name: read_table(path) for path, text in tables}
    failures = frames.pop("failures")
    revisions = frames.pop("revisions", pd.DataFrame({"revision": []}))
    mixed = mixed_revisions(revisions, current_revision())
    if len(mixed):
        frames["revisions"] = mixed
        provenance = {**provenance, "revision": _several(mixed)}
    frames["manifest"] = _manifest(manifests)
    remarks = frames.pop("remarks", None)
    weights = Path(config["weights"]) if config["weights"] else None
    computed, reasons = available(weights, config["downloads"])
    metrics = [METRICS[name] for name in config["metrics"] if name in computed]
    manifest = frames["manifest"]
    good = manifest[(manifest["status"] == "ok") & (manifest["split"] == config["split"])]
    found = verdict(
        frames["rd"],
        failures,
        frames.get("tasks"),
        images={p.parent.name: int((good["dataset"] == p.parent.name).sum()) for p in manifests},
        units=units,
        task_sets={name: entry["datasets"] for name, entry in config["tasks"].items()},
    )
    build_report(
        out,
        title="icmbench report",
        tables=frames,
        summary=_summary(config, frames),
        texts={**texts, "manifest": Text("manifest", "Images", filters=("dataset", "split"))},
        figures=[
            ReportFigure(path, text.title, text.caption, text.section, text.explored)
            for path, text in figures
            if text.section != SHEETS
        ],
        contact_sheets=[_sheet(path, text) for path, text in figures if text.section == SHEETS],
        provenance=provenance,
        missing_metrics={
            METRICS[name].title: reason
            for name, reason in reasons.items()
            if name in config["metrics"]
        },
        comparison_notes=comparison_lines(comparison),
        alerts=found.empty,
        left_out=[
            *((n, reason) for n, reason in unavailable.items() if n not in METRICS),
            *((notice.partition(" ")[0], notice.partition(" ")[2]) for notice in notices),
        ],
        failures=failures,
        remarks=remarks,
        metrics=metrics,
        explorer=make_explorer(
            frames,
            metrics,
            sections=EXPLORED,
            families=frames["rd"]["family"],
            names=names or {},
            archives=viewers,
        ),
    )


def _several(mixed: pd.DataFrame) -> str:
    return f"{mixed['revision'].nunique()} revisions: see the table of revisions"


def _summary(config: Mapping[str, Any], frames: Mapping[str, pd.DataFrame]) -> str:
    codecs = ", ".join(config["codecs"])
    sets = ", ".join(config["datasets"])
    text = f"{codecs} on {sets}: every number from a real file, decoded by a fresh process."
    mixed = f" The code: {_several(frames['revisions'])}." if "revisions" in frames else ""
    return text + mixed


def _manifest(paths: Sequence[Path]) -> pd.DataFrame:
    parts = []
    for path in paths:
        part = read_table(path)
        part.insert(0, "dataset", path.parent.name)
        parts.append(part.drop(columns=["annotation"]))
    return pd.concat(parts, ignore_index=True)


def comparison_lines(comparison: Mapping[str, Any]) -> list[str]:
    """A sentence for everything in `comparison.describe`: what is compared, what not, and why."""
    lines = []
    for dataset, chosen in sorted(comparison.items()):
        lines.append(f"{dataset}: {len(chosen['images'])} images are compared.")
        for image, points in sorted(chosen["left_out"].items()):
            lines.append(f"{dataset}: {image} is left out because of {', '.join(points)}.")
        for image, names in sorted(chosen["undefined"].items()):
            lines.append(f"{dataset}: {image} is left out: too small or flat for {_titles(names)}.")
        for image, pairs in sorted(chosen["infinite"].items()):
            whys = [f"{_titles([name])} is infinite for {codec}" for name, codec in pairs]
            lines.append(f"{dataset}: {image} is left out: {', '.join(whys)}.")
        for point, count in sorted(chosen["excluded"].items()):
            lines.append(f"{dataset}: {point} is not averaged, it failed on {count} images.")
    return lines


def _titles(names: Sequence[str]) -> str:
    return ", ".join(METRICS[name].title if name in METRICS else name for name in names)


def _sheet(path: Path, text: Text) -> ContactSheet:
    with PillowImage.open(path) as picture:
        return ContactSheet(text.title, np.asarray(picture.convert("RGB")))
