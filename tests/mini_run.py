"""A rehearsal of `configs/mini.yaml`: its folders with generated images, and tiny budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from conftest import ROOT, make_picture

from icmbench.core.images.image_files import write_png

FOLDERS = ("bsds500/train", "bsds500/test", "coco/train2017")
TINY: dict[str, Any] = {
    "datasets": {"scenes": {"size": 128, "test": 2}},
    "training": {
        "crop": 64,
        "data": {
            "scenes": {"size": 160, "train": 3},
            "task-scenes": {"size": 160, "train": 12},
        },
        "mpd": {
            "autoencoder": {"steps": 6, "batch": 2},
            "contexts": {"images": 2},
            "reverse": {"steps": 2, "batch": 2, "crop": 128},
            "vgg": {"steps": 2, "batch": 4},
            "pseudo_labels": {
                "size": 48, "patches": 160, "counts": [2, 4, 8], "clusters": [8, 8, 4, 4, 4],
            },
            "features": {"steps": 2, "batch": 16},
        },
        "diff_icmh": {
            "prior": {"steps": 2, "batch": 2, "cells": 16},
            "tagger": {"steps": 2, "batch": 2},
            "stage_1": {"steps": 2, "batch": 2},
            "stage_2": {"steps": 2, "batch": 2},
        },
        "tasks": {
            "detector": {"steps": 2, "batch": 2},
            "segmenter": {"steps": 2, "batch": 2},
            "landmarks": {"steps": 2, "batch": 2},
        },
    },
}  # fmt: skip


def write_folders(home: Path) -> None:
    """Two generated images in every folder of photographs that the configuration names."""
    for number, folder in enumerate(FOLDERS):
        for index in range(2):
            picture = make_picture(160, 176, 10 * number + index)
            write_png(home / "data" / folder / f"{index}.png", picture)


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two configurations as Snakemake merges two files of them."""
    both = dict(one)
    for key, value in other.items():
        known = both.get(key)
        nested = isinstance(known, dict) and isinstance(value, dict)
        both[key] = merged(known, value) if nested else value
    return both


def mini(**more: Any) -> dict[str, Any]:
    """The configuration as it stands, with other values."""
    config = yaml.safe_load((ROOT / "configs" / "mini.yaml").read_text("utf-8"))
    return merged(config, more)
