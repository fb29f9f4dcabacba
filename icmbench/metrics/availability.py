"""Metrics that can be computed on this machine, and the reasons against all others."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

from icmbench.classifier.lite0_weights import lite0_lacks
from icmbench.core.fetch_command import DOWNLOADS
from icmbench.core.versions import runs_jobs
from icmbench.metrics import weights as files
from icmbench.metrics.registry import METRICS

_FILES = {
    "lpips": [files.ALEXNET],
    "lpips_vgg": [files.VGG16],
    "dists": [files.VGG16, files.DISTS],
    "niqe": [files.NIQE],
}
_ALL = {**_FILES, "fid": [files.INCEPTION]}  # `fid`: FID and KID, which are no columns


def available(
    weights: Path | None = None, downloads: Path | str = DOWNLOADS
) -> tuple[list[str], dict[str, str]]:
    """Names of the metrics that can be computed here, and for each other one the reason.

    Looks for files and packages only: nothing is loaded, checked or downloaded. `downloads` is the
    folder that a reason proposes where none of weights is set.
    """
    reasons: dict[str, str] = {}
    for name, needed in _FILES.items():
        absent = [
            files.missing(file, weights, downloads)
            for file in needed
            if not files.find(file, weights)
        ]
        if absent:
            reasons[name] = " ".join(absent)
    if runs_jobs() and importlib.util.find_spec("ssimulacra2") is None:
        reasons["ssimulacra2"] = (
            "The Python package ssimulacra2, which holds its weights, is missing."
        )
    if runs_jobs() and (lacks := lite0_lacks()):
        reasons["feature_distance"] = lacks
    for name, metric in METRICS.items():
        if metric.extra and runs_jobs() and importlib.util.find_spec(metric.extra[0]) is None:
            reasons[name] = (
                f"The optional Python package {metric.extra[1]} is missing: `pip install -e "
                f"'.[{metric.extra[1]}]'` (or `pip install {metric.extra[1]}`)."
            )
    return [name for name in METRICS if name not in reasons], reasons


def sources_of(metric: str) -> list[str]:
    """Sources of a metric's weight files; `fid` stands for FID and KID."""
    return [file.source for file in _ALL.get(metric, [])]


def replaced_weights(metrics: Iterable[str], weights: Path | None) -> list[str]:
    """Sentences on weight files that a list of sources puts in place of the published ones.

    Args:
        metrics: names; `fid` stands for FID and KID.
    """
    found: dict[files.WeightFile, list[str]] = {}
    for metric in metrics:
        for file in _ALL.get(metric, []):
            found.setdefault(file, []).append(metric)
    texts = []
    for file, names in found.items():
        if own := files.replacement(file, weights):
            path, digest = own
            texts.append(
                f"metrics: {', '.join(names)}: not the published weights: {path.name} (sha256 "
                f"{digest[:8]}…) is in place of {file.name}, by the source {file.source}"
            )
    return texts


def distribution_lacks(weights: Path | None = None, downloads: Path | str = DOWNLOADS) -> str:
    """The reason why FID and KID cannot be computed here; '' if they can; as `available`."""
    found = files.find(files.INCEPTION, weights)
    return "" if found else files.missing(files.INCEPTION, weights, downloads)
