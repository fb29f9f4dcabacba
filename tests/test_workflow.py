"""Whole runs of Snakemake: every rule once; shards; another image; little to show."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, make_picture
from running import snakemake, succeed

from icmbench.codecs.specs import expand_points
from icmbench.core.images.image_files import write_png

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def test_everything_is_there(every_rule: dict, first_run: Path) -> None:
    results = first_run / "results"
    codecs = every_rule["codecs"]
    points = [
        point
        for name, entry in codecs.items()
        for point in expand_points(entry.get("codec", name), entry["points"])
    ]
    rd = pd.read_csv(results / "tables" / "rd.csv")
    assert len(rd) == len(points)
    assert (rd["images"] == every_rule["datasets"]["scenes"]["test"]).all()
    assert (rd["failed"] == 0).all()
    lossless = rd[rd["codec"] == "identity"]
    assert np.isinf(lossless["psnr_rgb"]).all()
    assert "lpips" not in rd.columns
    bd = pd.read_csv(results / "tables" / "bd_rate.csv")
    paired = pd.read_csv(results / "tables" / "paired.csv")
    at = paired[(paired["family"] == "webp") & (paired["bpp"] == 0.5)].set_index("metric")
    assert at.loc["psnr_rgb", "difference"] > 0
    assert at.loc["psnr_rgb", "against"] == "jpeg"
    assert paired["task"].notna().any()
    webp = bd[(bd["family"] == "webp") & (bd["metric"] == "psnr_rgb")].iloc[0]
    assert -0.6 < webp["bd_rate"] < 0
    published = pd.read_csv(results / "tables" / "published_bd_rate.csv")
    assert set(published["published"]) == {"Other codec"}
    assert set(published["family"]) == set(codecs) - {"identity"}
    assert "Other codec" not in set(rd["family"]) | set(bd["anchor"])
    jobs = set(pd.read_csv(results / "tables" / "jobs.csv")["rule"])
    assert {"train_autoencoder", "train_contexts", "train_reverse", "mpd_states"} <= jobs
    assert {"train_vgg", "pseudo_labels", "train_features", "retrieval"} <= jobs
    assert {"train_prior", "train_tagger", "train_stage_1", "train_stage_2"} <= jobs
    report = (results / "report.html").read_text()
    for text in ("LPIPS", "alexnet-owt-7be5be79.pth", "no failures", "webp:quality=20"):
        assert text.lower() in report.lower(), text
    figures = {path.stem for path in (results / "figures").glob("*.png")}
    assert figures - {path.stem for path in (results / "figures").glob("*.svg")} == {
        "contact_scenes"  # photographs alone: no vector graphics
    }
    assert {"rd_scenes", "bd_jpeg_scenes", "visual_0", "contact_scenes"} <= figures
    damaged = pd.read_csv(results / "tables" / "robustness.csv")
    trials = len(codecs) * every_rule["robustness"]["trials"]
    sums = damaged.groupby("damage")["trials"].sum()
    assert list(sums[["bit-flip", "truncate"]]) == [trials, trials]
    states = pd.read_csv(results / "tables" / "mpd_states.csv")
    assert list(states["state"]) == 2 * list(range(7, -7, -1))
    labels = pd.read_csv(results / "tables" / "pseudo_labels.csv")
    settings = every_rule["training"]["mpd"]["pseudo_labels"]
    levels = len(settings["clusters"])
    assert len(labels) == levels * len(settings["counts"])
    assert labels["stability"].notna().sum() == labels["used"].sum() == levels
    retrieved = pd.read_csv(results / "tables" / "retrieval.csv")
    assert retrieved["representation"].iloc[-1] == "features, fft"
    for model in ("mpd", "diff-icmh"):
        assert (results / "models" / model / "card.json").exists()


def test_tasks_look_at_every_string(first_run: Path) -> None:
    """mmdet, mmseg and face-alignment have run; without loss the value is the ceiling."""
    results = first_run / "results"
    tasks = pd.read_csv(results / "tables" / "tasks.csv")
    rd = pd.read_csv(results / "tables" / "rd.csv")
    models = {"detection": "RTMDet-Ins", "segmentation": "Fast-SCNN", "landmarks": "FAN"}
    assert tasks.groupby("task")["model"].unique().map(list).to_dict() == {
        task: [model] for task, model in models.items()
    }
    for _, rows in tasks.groupby(["task", "metric"]):
        assert sorted(rows["codec"]) == sorted(rd["codec"])
        lossless = rows[rows["codec"] == "identity"]
        assert np.array_equal(lossless["value"], lossless["ceiling"], equal_nan=True)
    rates = tasks[tasks["metric"] == "miou"].set_index("codec")["bpp"]
    assert np.allclose(rates.sort_index(), rd.set_index("codec")["bpp"].sort_index())
    miou = tasks[tasks["metric"] == "miou"].set_index("codec")["value"]
    # A network of a few steps is right by chance, so that no order is expected; but it has seen
    # other pictures at every quality.
    qualities = [miou[f"jpeg:quality={quality}"] for quality in (5, 20, 50, 80)]
    assert min(qualities) > 0
    assert len({*qualities, miou["identity"]}) == 5
    provenance = json.loads((results / "provenance.json").read_text())
    assert provenance["tasks"]["detection"]["operators"] in ("torchvision", "mmcv")


def test_shards_give_the_same_bytes(micro: dict, first_run: Path, tmp_path: Path) -> None:
    """Another folder, two shards, codecs in another order: the tables do not differ in a byte."""
    # With the first run's models: that training gives them again is tested in test_training.py,
    # test_diff_icmh_training.py and, all of them, in test_cluster.py. Without tasks and Diff-ICMH,
    # most of a run's time: that their numbers do not depend on shards is tested on stored
    # predictions and in test_diff_icmh.py.
    codecs = {name: micro["codecs"][name] for name in ("mpd", "jpeg")}
    other = {**micro, "shards": 2, "codecs": codecs, "tasks": {}, "diffusion": []}
    other |= {"models": str(first_run / "results" / "models")}
    targets = [f"results/tables/{name}.csv" for name in ("rd", "bd_rate", "failures", "robustness")]
    succeed(snakemake(tmp_path, other, *targets, env={"PYTHONHASHSEED": "7"}))

    def lines(path: Path) -> list[str]:
        return [
            line
            for line in path.read_text(encoding="utf-8").splitlines()
            if not re.search(r"\b(diff-icmh|no-sc|identity|webp)\b", line)
        ]

    for target in targets:
        assert lines(tmp_path / target) == lines(first_run / target), target
    assert len(lines(first_run / targets[0])) == 1 + 5 + 8


def test_a_run_with_little_to_show_still_reports(tmp_path: Path) -> None:
    """A data set without a usable image, only the anchor, no PSNR, a rate that nobody meets."""
    write_png(tmp_path / "good" / "i.png", make_picture(40, 48))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "b.png").write_bytes(b"nothing")
    config = {
        "datasets": {
            "mine": {"type": "folder", "path": str(tmp_path / "good")},
            "ruined": {"type": "folder", "path": str(tmp_path / "bad")},
        },
        "codecs": {"jpeg": {"points": [{"quality": [10, 40]}]}},
        "metrics": ["ssim"],
        "anchors": ["jpeg"],
        "visual": [{"dataset": "mine", "image": "i.png", "bpp": 0.0001}],
    }
    done = snakemake(tmp_path, config)
    assert done.returncode == 1
    assert "data set ruined: no usable image" in done.stderr.strip().splitlines()[-1]
    results = tmp_path / "results"
    rd = pd.read_csv(results / "tables" / "rd.csv")
    assert list(rd["dataset"]) == ["mine", "mine"]
    assert rd["ssim_lo"].isna().all()  # one image has no interval
    failures = pd.read_csv(results / "tables" / "failures.csv")
    assert list(failures["status"]) == ["refused"]
    assert list(failures["first_image"]) == ["b.png"]
    for name in ("rd_ruined", "bd_jpeg_mine", "visual_0", "contact_ruined"):
        assert (results / "figures" / f"{name}.png").stat().st_size > 1000
    assert "b.png" in (results / "report.html").read_text()


def test_a_new_image_reruns_one_shard(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    for index in range(5):
        write_png(pictures / f"i{index}.png", make_picture(40, 48, index))
    config = {
        "datasets": {"mine": {"type": "folder", "path": str(pictures)}},
        "codecs": {"jpeg": {"points": [{"quality": [10, 40]}]}},
        "metrics": ["psnr_rgb"],
        "shards": 3,
    }
    target = "results/tables/rd.csv"
    succeed(snakemake(tmp_path, config, target))
    before = pd.read_csv(tmp_path / target)
    write_png(pictures / "new.png", make_picture(40, 48, 99))
    plan = succeed(snakemake(tmp_path, config, target, "--dry-run"))
    planned = {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", plan, re.M)}
    assert planned["encode"] == planned["decode"] == planned["dataset_shard"] == 1
    succeed(snakemake(tmp_path, config, target))
    after = pd.read_csv(tmp_path / target)
    assert (after["images"] == 6).all()
    assert (before["images"] == 5).all()


@pytest.mark.parametrize("name", ["config", "configs/scenes", "configs/ablation-diff-icmh"])
def test_the_figure_of_clusters_has_a_plan(name: str, tmp_path: Path) -> None:
    """Where features are trained, where the bundled ones are used, and without MPD."""
    config = yaml.safe_load((ROOT / f"{name}.yaml").read_text())
    text = succeed(snakemake(tmp_path, {**config, "results": "r"}, "--dry-run", "figure_mpd_4"))
    planned = set(re.findall(r"^(\w+) +\d+$", text, re.M))
    assert {"training_pool", "pseudo_labels", "clusters_figure"} <= planned
