"""The papers' configurations from the download to the report, every source a tiny one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
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
    vgg16,
)

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


def test_mpd(tmp_path: Path) -> None:
    """All states of every entry are coded, measured and judged; every figure is there."""
    sources = {
        **coco2017(), **ffhq(), **pipeline(tmp_path / "made"), **vgg16(),
        **openmm("mmdet", "rtmdet_tiny_8xb32-300e_coco"),
        **openmm("mmdet", "rtmdet-ins_tiny_8xb32-300e_coco"),
        **face_alignment(),
    }  # fmt: skip
    rehearse(tmp_path, "paper-mpd", sources)
    results = tmp_path / "rehearsal" / "results"
    rd = pd.read_csv(results / "tables" / "rd.csv")
    assert {*rd["dataset"]} == {"coco", "faces"}
    tasks = pd.read_csv(results / "tables" / "tasks.csv")
    assert {*tasks["task"]} == {"boxes", "masks", "landmarks"}
    failures = pd.read_csv(results / "tables" / "failures.csv")
    assert failures.empty


def test_diff_icmh(tmp_path: Path) -> None:
    """Checkpoints and tagger are imported; both rates are decoded with both seeds, and judged."""
    sources = {
        **clic2020(), **flickr30k(), **ade20k(), **ram_plus(),
        **diff_icmh(tmp_path / "made"), **clip(tmp_path / "clip"),
        **openmm("mmseg", "segformer_mit-b0_8xb2-160k_ade20k-512x512"),
    }  # fmt: skip
    rehearse(tmp_path, "paper-diff-icmh", sources)
    results = tmp_path / "rehearsal" / "results"
    rd = pd.read_csv(results / "tables" / "rd.csv")
    assert {*rd["dataset"]} == {"clic", "flickr30k", "ade20k"}
    tasks = pd.read_csv(results / "tables" / "tasks.csv")
    assert {*tasks["task"]} == {"segmentation", "captions", "open-vocabulary"}
    seeds = pd.read_csv(results / "tables" / "seeds.csv")
    assert {*seeds["seeds"]} == {"0 1"}
    assert pd.read_csv(results / "tables" / "failures.csv").empty
