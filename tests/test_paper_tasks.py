"""A run with the tasks of the papers on tiny sets in the published formats, to the tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_picture
from PIL import Image as PillowImage
from running import snakemake, succeed
from test_onnx_tasks import node, write_onnx
from tiny_clip import tiny_clip

from icmbench.core.fetch_command import FETCHED
from icmbench.core.images.image_files import write_png

SIDES = (48, 64)
NAMES = [f"{n:012d}.png" for n in range(6)]


def coco2017(downloads: Path) -> None:
    """COCO's val with instances, captions and keypoints."""
    root = downloads / "coco2017-annotations" / "annotations"
    root.mkdir(parents=True)
    images = [
        {"id": n, "file_name": name, "height": SIDES[0], "width": SIDES[1]}
        for n, name in enumerate(NAMES)
    ]
    captions = [
        {"id": 5 * n + k, "image_id": n, "caption": f"cat {chr(97 + n)} {chr(97 + k)}."}
        for n in range(len(NAMES))
        for k in range(5)
    ]
    points = [30, 24, 2] * 17
    persons = [
        {"id": n + 1, "image_id": n, "category_id": 1, "bbox": [10, 5, 40, 40], "area": 900,
         "iscrowd": 0, "keypoints": points, "num_keypoints": 17}
        for n in range(len(NAMES) - 1)
    ]  # fmt: skip
    person = {"id": 1, "name": "person", "keypoints": [f"p{n}" for n in range(17)]}
    for kind, listed, categories in (
        ("instances", [], []), ("captions", captions, []), ("person_keypoints", persons, [person]),
    ):  # fmt: skip
        content = {"images": images, "annotations": listed, "categories": categories}
        (root / f"{kind}_val2017.json").write_text(json.dumps({**content, "licenses": []}))
    for number, name in enumerate(NAMES):
        write_png(downloads / "coco2017-val" / "val2017" / name, make_picture(*SIDES, number))
    for source in ("annotations", "val"):
        (downloads / f"coco2017-{source}" / FETCHED).write_text("{}")


def ade20k(downloads: Path) -> None:
    root = downloads / "ade20k" / "ADEChallengeData2016"
    for number in range(3):
        write_png(root / "images" / "validation" / f"{number}.png", make_picture(*SIDES, number))
        path = root / "annotations" / "validation" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(number).integers(0, 151, SIDES, np.uint8)
        PillowImage.fromarray(values).save(path)
    words = [f"{a}{b}" for a in "bcdfghjklmnp" for b in "aeiouyvwxzqrs"]
    lines = [f"{n}\t0\t0\t0\t0\t{word}, other" for n, word in enumerate(words[:150], 1)]
    (root / "objectInfo150.txt").write_text(
        "Idx\tRatio\tTrain\tVal\tStuff\tName\n" + "\n".join(lines)
    )
    (root.parent / FETCHED).write_text("{}")


def middle(path: Path) -> Path:
    """An RTMPose that says the middle of the box, for all 17 points."""
    x, y = np.zeros((1, 17, 96), np.float32), np.zeros((1, 17, 128), np.float32)
    x[:, :, 48] = y[:, :, 64] = 0.9
    nodes = [node("Identity", [f"c{name}"], f"simcc_{name}") for name in ("x", "y")]
    shapes = {"simcc_x": x.shape, "simcc_y": y.shape}
    return write_onnx(path, nodes, {"cx": x, "cy": y}, (64, 48), shapes)


@pytest.mark.slow
@pytest.mark.workflow
def test_the_tasks_of_the_papers_reach_the_tables(tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    coco2017(downloads)
    ade20k(downloads)
    clip = str(tiny_clip(tmp_path / "clip"))
    place = {"dataset": "coco2017", "image": NAMES[0], "bpp": 1, "task": "find"}
    config = {
        "datasets": {"coco2017": {"more": ["captions", "keypoints"]}, "ade20k": {}},
        "codecs": {"jpeg": {"points": [{"quality": [10, 50, 90, 95]}]}},
        "tasks": {
            "find": {"type": "clip-retrieval", "datasets": ["coco2017"], "model": clip},
            "pose": {"type": "onnx-pose", "datasets": ["coco2017"], "width": 48, "height": 64,
                     "model": str(middle(tmp_path / "middle.onnx"))},
            "open": {"type": "clip-segmentation", "datasets": ["ade20k"], "model": clip,
                     "size": 32},
        },
        "metrics": ["psnr_rgb"],
        "anchors": ["jpeg"],
        "bootstrap": {"resamples": 20, "bd_resamples": 20},
        "robustness": {"trials": 0},
        "task_pictures": [place],
        "downloads": str(downloads),
        "device": "cpu",
    }  # fmt: skip
    tasks = ("coco2017.find", "coco2017.pose", "ade20k.open")
    targets = [f"results/tables/{name}.csv" for name in ("tasks", "task_failures")]
    targets += [f"results/figures/task_curves_{name}.png" for name in tasks]
    succeed(snakemake(tmp_path, config, *targets, "task_pictures"))
    tables = tmp_path / "results" / "tables"
    assert pd.read_csv(tables / "task_failures.csv").empty
    rows = pd.read_csv(tables / "tasks.csv")
    assert set(rows["status"]) == {"ok"}
    assert rows["value"].between(0, 1).all()
    counts = rows.groupby("task")["images"].agg(set).to_dict()
    assert counts == {"find": {6}, "pose": {6}, "open": {3}}
    pose = rows[rows["task"] == "pose"]
    assert set(pose["model"]) == {"middle, in annotated boxes"}
    # All 17 points of a person are at (30, 24), the network says (30, 25), on every picture.
    assert pose["value"].equals(pose["ceiling"])
    assert 0 < pose.set_index("metric")["value"]["oks_map50"].iloc[0] <= 1
    metrics = set(rows[rows["task"] == "find"]["metric"])
    assert metrics == {f"{way}_r{k}" for way in ("image_to_text", "text_to_image")
                       for k in (1, 5, 10)}  # fmt: skip
    find = rows[rows["task"] == "find"].set_index(["codec", "metric"])["value"]
    for codec in ("jpeg:quality=10", "jpeg:quality=95"):
        levels = [find[codec, f"text_to_image_r{k}"] for k in (1, 5, 10)]
        assert levels == sorted(levels)
        assert levels[2] == 1  # of six images
