"""The papers' configurations from the download to the report, every source a tiny one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from file_server import serve
from running import SNAKEMAKE, succeed
from tiny_sources import (
    Files,
    ade20k,
    clic2020,
    clip,
    coco2017,
    diff_icmh,
    face_alignment,
    ffhq,
    flickr30k,
    openmm,
    pipeline,
    ram_plus,
    serve_sources,
    tecnick,
)
from tiny_weights import metrics

pytestmark = [pytest.mark.slow, pytest.mark.workflow]


def rehearse(folder: Path, paper: str, sources: dict[str, Files]) -> None:
    """The two commands that the configuration's head states, in a folder."""
    files = [str(ROOT / "configs" / f"{name}.yaml") for name in (paper, f"rehearsal-{paper}")]

    def run(*words: str) -> None:
        done = subprocess.run(
            [*words, "--configfile", *files],
            capture_output=True,
            text=True,
            timeout=2400,
            check=False,
            cwd=folder,
            env={**os.environ, "no_proxy": "*"},
        )
        succeed(done)

    with serve() as site:
        serve_sources(site, sources, folder / "rehearsal")
        run(sys.executable, "-m", "icmbench", "fetch")
    run(*SNAKEMAKE, "--cores", "2", paper.replace("-", "_"), "all")


def published_tasks() -> dict[str, Files]:
    """The smaller networks of mmdet and mmseg that both rehearsals name."""
    return {
        **openmm("mmdet", "rtmdet_tiny_8xb32-300e_coco"),
        **openmm("mmdet", "rtmdet-ins_tiny_8xb32-300e_coco"),
        **openmm("mmseg", "segformer_mit-b0_8xb2-160k_ade20k-512x512"),
    }


def check_metrics(rd: pd.DataFrame, dataset: str, paper: str) -> None:
    """Every metric of a paper's configuration has a value for every codec spec of a data set."""
    config = yaml.safe_load((ROOT / "configs" / f"{paper}.yaml").read_text(encoding="utf-8"))
    found = rd[rd["dataset"] == dataset].set_index("codec")
    assert {*config["metrics"]} <= {*found.columns}
    assert np.isfinite(found[config["metrics"]].to_numpy(float)).all()


def test_mpd(tmp_path: Path) -> None:
    """All states of every entry are coded, measured and judged; every figure is there."""
    sources = {
        **coco2017(), **ffhq(), **ade20k(), **pipeline(tmp_path / "made"), **metrics(),
        **published_tasks(), **face_alignment(),
    }  # fmt: skip
    rehearse(tmp_path, "paper-mpd", sources)
    results = tmp_path / "rehearsal" / "results"
    rd = pd.read_csv(results / "tables" / "rd.csv")
    assert {*rd["dataset"]} == {"coco", "faces", "ade20k"}
    check_metrics(rd, "coco", "paper-mpd")
    tasks = pd.read_csv(results / "tables" / "tasks.csv")
    assert {*tasks["task"]} == {"boxes", "masks", "segmentation", "landmarks"}
    assert pd.read_csv(results / "tables" / "failures.csv").empty


def test_diff_icmh(tmp_path: Path) -> None:
    """Checkpoints and tagger are imported; both rates are decoded with both seeds, and judged."""
    sources = {
        **clic2020(), **tecnick(), **coco2017(), **flickr30k(), **ade20k(), **ram_plus(),
        **diff_icmh(tmp_path / "made"), **clip(tmp_path / "clip"), **metrics(),
        **published_tasks(),
    }  # fmt: skip
    rehearse(tmp_path, "paper-diff-icmh", sources)
    results = tmp_path / "rehearsal" / "results"
    rd = pd.read_csv(results / "tables" / "rd.csv")
    assert {*rd["dataset"]} == {"clic", "tecnick", "coco", "flickr30k", "ade20k"}
    check_metrics(rd, "clic", "paper-diff-icmh")
    tasks = pd.read_csv(results / "tables" / "tasks.csv")
    assert {*tasks["task"]} == {"boxes", "masks", "segmentation", "captions", "open-vocabulary"}
    patches = pd.read_csv(results / "tables" / "distribution.csv").set_index("dataset")
    assert (patches.loc["clic", "status"] == "ok").all()
    assert np.isfinite(patches.loc["clic", ["fid", "kid"]]).all(axis=None)
    assert (patches.loc["coco", "status"] == "0 patches of 256 x 256, fewer than "
            "distribution.minimum: 2").all()  # fmt: skip
    seeds = pd.read_csv(results / "tables" / "seeds.csv")
    assert {*seeds["seeds"]} == {"0 1"}
    assert pd.read_csv(results / "tables" / "failures.csv").empty
