"""Provenance of a run: versions, hardware, configuration."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import PIL.features
import psutil

import icmbench
from icmbench.codecs.base import Codec
from icmbench.codecs.registry import codec_of
from icmbench.core.devices import unused_gpu
from icmbench.core.hardware import gpus, processor
from icmbench.core.revision import VARIABLE, git_revision
from icmbench.core.versions import package_version
from icmbench.tasks.registry import make_task

PACKAGES = (
    "icmbench", "numpy", "scipy", "torch", "torchvision", "pillow", "imagecodecs", "pillow-heif",
    "piq", "pytorch-msssim", "lpips", "ssimulacra2", "bjontegaard", "scikit-image",
    "scikit-learn", "pandas", "pyarrow", "matplotlib", "seaborn", "pycocotools", "snakemake",
    "diffusers", "numba", "safetensors",
)  # fmt: skip
CODERS = {
    "libjpeg-turbo": "libjpeg_turbo",
    "openjpeg": "jpg_2000",
    "libwebp": "webp",
    "libavif": "avif",
}


def provenance(
    config: Mapping[str, Any],
    root: Path,
    unavailable: Mapping[str, str] | None = None,
    weights: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Content of `results/provenance.json`; JSON types only.

    Args:
        config: the complete configuration; it is kept whole, with its sha256.
        root: the working copy, for the revision and whether it was changed.
        unavailable: reasons by name of codec entries and metrics that could not run.
        weights: codec entry -> name and origin of its weights.
    """
    text = json.dumps(config, sort_keys=True)
    return {
        "icmbench": icmbench.__version__,
        # Of this file: other artefacts may be of other revisions (tables/revisions.csv).
        "revision": os.environ.get(VARIABLE) or git_revision(root),
        "python": sys.version.split()[0],
        "packages": {name: package_version(name) for name in PACKAGES},
        "coders": coder_versions(),
        "programs": programs(config["codecs"]),
        "tasks": task_models(config["tasks"]),
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "processor": processor(),
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "gpu": gpus(),
            "gpu_unused": "" if config["device"] == "cpu" else unused_gpu(),
        },
        "weights": dict(weights or {}),
        "unavailable": dict(unavailable or {}),
        "threads_per_job": config["threads"],
        "config_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "config": dict(config),
    }


def programs(codecs: Mapping[str, Any]) -> dict[str, Any]:
    """Paths, versions and command lines of the programs behind codec entries that run some."""
    found = {name: codec_of(codecs, name).programs() for name in sorted(codecs)}
    return {name: facts for name, facts in found.items() if facts}


def task_models(tasks: Mapping[str, Any]) -> dict[str, Any]:
    """Kind, model and versions of every task, and whose compiled operators serve mmdet and mmseg.

    Without a full mmcv those of torchvision stand in for it: the numbers may differ.
    """
    found: dict[str, Any] = {}
    for name, entry in sorted(tasks.items()):
        task = make_task(name, entry)
        versions = {package: package_version(package) for package in task.packages}
        found[name] = {"kind": task.kind, "model": task.model, "versions": versions}
        if task.kind in ("mmdet", "mmseg"):
            from icmbench.tasks.backends.mmcv_ext import ensure_ops

            found[name]["operators"] = ensure_ops()
    return found


def codecs_table(
    config: Mapping[str, Any], weights: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """`family, weights, settings, versions`: the weights and exact settings behind every curve."""
    coders = coder_versions()
    rows = []
    for family in sorted(config["codecs"]):
        codec = codec_of(config["codecs"], family)
        versions = [f"{name} {package_version(name)}" for name in codec.packages]
        versions += [f"{name} {coders[name]}" for name in codec.coders if name in coders]
        versions += [text] if (text := codec.programs().get("version")) else []
        settings = codec.settings + _instead(codec, config["codecs"][family].get("points", []))
        rows.append((family, (weights or {}).get(family, ""), settings, ", ".join(versions)))
    return pd.DataFrame(rows, columns=["family", "weights", "settings", "versions"])


def _instead(codec: type[Codec], grids: Sequence[Mapping[str, Any]]) -> str:
    """Keys with one value at all points, less the rate key: `; in this entry: speed 2`."""
    found = []
    for key in sorted({key for grid in grids for key in grid} - {codec.rate_key}):
        values = [grid.get(key) for grid in grids]
        flat = [value for each in values for value in (each if isinstance(each, list) else [each])]
        if None not in flat and len(set(flat)) == 1:
            found.append(f"{key} {flat[0]}")
    return f"; in this entry: {', '.join(found)}" if found else ""


def coder_versions() -> dict[str, str]:
    """Versions of the C libraries that code and decode, without their names."""
    import imagecodecs
    import pillow_heif

    found = {name: str(PIL.features.version(key)) for name, key in CODERS.items()}
    found["libjxl"] = str(imagecodecs.jpegxl_version())
    heif = pillow_heif.libheif_info()
    found["libheif"] = str(heif["libheif"])
    found["x265"] = str(heif["encoders"].get("x265", "absent"))
    return {name: bare_version(name, text) for name, text in found.items()}


def bare_version(name: str, text: str) -> str:
    """`libjxl`, `libjxl 0.11.2` -> `0.11.2`: the version in what a library says of itself.

    A text without a number (`absent`) stays as it is.
    """
    found = re.search(r"\d[\w.+-]*", text.removeprefix(name))
    return found[0] if found else text
