"""The report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.reporting.artefacts import Text
from icmbench.reporting.report.contents import assemble_report


def report(
    *,
    config: Mapping[str, Any],
    units: Sequence[tuple[str, str]],
    notices: Sequence[str],
    unavailable: Mapping[str, str],
    texts: Mapping[str, Sequence[Mapping[str, Any]]],
    tables: Sequence[Path],
    manifests: Sequence[Path],
    comparison: Path,
    provenance: Path,
    figures: Sequence[Path],
    viewers: Sequence[Path],
    names: Mapping[str, str],
    report: Path,
) -> None:
    """Write the report, one self-contained page; arguments as in `assemble_report`.

    Args:
        texts: attributes of `Text` for every file of `tables` and of `figures`, in order.
    """

    def shown(kind: str, files: Sequence[Path]) -> list[tuple[Path, Text]]:
        return list(zip(files, [Text(**text) for text in texts[kind]], strict=True))

    assemble_report(
        report,
        config=config,
        units=units,
        notices=notices,
        unavailable=unavailable,
        tables=shown("tables", tables),
        manifests=manifests,
        comparison=json.loads(comparison.read_text(encoding="utf-8")),
        provenance=json.loads(provenance.read_text(encoding="utf-8")),
        figures=shown("figures", figures),
        viewers=viewers,
        names=names,
    )
