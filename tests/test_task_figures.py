"""Figures of tasks hold the numbers of their tables; a feature gap is what its words say."""

from __future__ import annotations

import io
import math
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_picture
from figure_checks import assert_no_overlap
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mmengine.dataset import Compose
from PIL import Image as PillowImage
from pycocotools import mask as coco_mask

from icmbench.core.errors import MeasurementError, TaskError
from icmbench.core.images.image_files import write_png
from icmbench.datasets.records import Record
from icmbench.evaluation import archive
from icmbench.evaluation.shard import DECODED, write_rows
from icmbench.reporting.figures.feature_gap import feature_gap
from icmbench.reporting.figures.predicted import Predicted
from icmbench.reporting.figures.style import KNOWN
from icmbench.reporting.figures.task_curves import (
    curve_metrics,
    task_curves,
    task_metrics,
    task_rows,
)
from icmbench.reporting.figures.task_objects import (
    OBJECTS,
    matched_points,
    shared_rates,
    task_objects,
)
from icmbench.reporting.figures.task_overlays import around, class_colour
from icmbench.reporting.figures.task_pictures import task_pictures
from icmbench.reporting.tables import feature_gap as gap_tables
from icmbench.reporting.tables.tasks import COLUMNS
from icmbench.studies import feature_gap as gaps
from icmbench.studies import task_pictures as pictured
from icmbench.tasks import store
from icmbench.tasks.base import INSTANCES, ORIGINALS, Instances, Labels

pytestmark = pytest.mark.usefixtures("no_formulas")

# codec spec, family, bpp, box mAP50, box mAP, missed, hallucinated
POINTS = [
    ("avif:quality=10", "avif", 0.10, 0.30, 0.20, 0.60, 0.50),
    ("avif:quality=50", "avif", 0.40, 0.62, 0.41, 0.35, 0.30),
    ("identity", "identity", 12.0, 0.80, 0.55, 0.20, 0.25),
    ("jpeg:quality=10", "jpeg", 0.25, 0.25, 0.15, 0.70, 0.90),
    ("jpeg:quality=30", "jpeg", 0.50, 0.55, 0.36, 0.45, 0.40),
    ("jpeg:quality=50", "jpeg", 0.80, 0.52, 0.39, 0.40, 0.35),
]
CEILING = {"box_map50": 0.81, "box_map": 0.56, "mask_map": math.nan, "missed": 0.19,
           "hallucinated": 0.25}  # fmt: skip
LABELS = Labels("scenes", {1: "face", 4: "duck", 9: "car"}, ("sky", "sand", "face"))


def task_table(task: str = "detect", images: int = 12) -> pd.DataFrame:
    rows = []
    for codec, family, bpp, *values in POINTS:
        named = dict(zip(("box_map50", "box_map", "missed", "hallucinated"), values, strict=True))
        for metric, value in {**named, "mask_map": math.nan}.items():
            rows.append(
                {"dataset": "scenes", "codec": codec, "family": family, "task": task,
                 "model": "RTMDet-Ins", "metric": metric, "value": value, "lo": value - 0.04,
                 "hi": value + 0.05, "ceiling": CEILING[metric], "images": images, "failed": 0,
                 "bpp": bpp}
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def landmark_table() -> pd.DataFrame:
    table = task_table("landmarks")
    names = {"box_map50": "nme", "box_map": "failure_rate"}
    table = table[table["metric"].isin(names)].assign(model="FAN", ceiling=0.03)
    return table.assign(metric=table["metric"].map(names))


def both() -> pd.DataFrame:
    return pd.concat([task_table(), landmark_table()], ignore_index=True)


def words(figure: Figure) -> str:
    return " ".join(text.get_text().replace("\n", " ") for text in figure.texts)


def line(axes: Any, label: str) -> Any:
    (found,) = [one for one in axes.get_lines() if one.get_label() == label]
    return found


# --- accuracy against rate ----------------------------------------------------------------------


def test_curves_draw_the_table() -> None:
    figure = task_curves(both(), "scenes", "detect")
    # No mask has a value, and objects have a figure of their own.
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["box mAP50", "box mAP"]
    first, second = figure.axes
    assert line(first, "avif").get_xydata().tolist() == [[0.1, 0.3], [0.4, 0.62]]
    # The line passes by quality 50, which has less at more bits; by mAP it is on it.
    assert line(first, "jpeg").get_xydata().tolist() == [[0.25, 0.25], [0.5, 0.55]]
    assert line(second, "jpeg").get_xydata()[-1].tolist() == [0.8, 0.39]
    assert line(first, "jpeg").get_color() == KNOWN["jpeg"].colour
    bands = [c for c in first.collections if isinstance(c, FillBetweenPolyCollection)]
    corners = {tuple(np.round(p, 9)) for band in bands for p in band.get_paths()[0].vertices}
    assert {(0.1, 0.26), (0.1, 0.35), (0.5, 0.51), (0.5, 0.6)} <= corners
    for axes, name in zip(figure.axes, ("box_map50", "box_map"), strict=True):
        assert set(line(axes, "originals").get_ydata()) == {CEILING[name]}
        assert f"originals {CEILING[name]:.3f}" in {t.get_text() for t in axes.texts}
        assert "higher is better ↑" in {t.get_text() for t in axes.texts}
        assert axes.get_ylim()[1] > CEILING[name]
        assert axes.get_xscale() == "log"
        assert "bits per pixel" in axes.get_xlabel()
        assert axes.get_xlim()[1] < 5
        assert not [one for one in axes.get_lines() if one.get_label() == "identity"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["avif", "jpeg"]
    note = words(figure)
    for text in ("RTMDet-Ins", "over 12 images together", "95\u00a0% bootstrap", "identity"):
        assert text in note
    few = words(task_curves(task_table(images=2), "scenes", "detect"))
    assert "no intervals below 3 images" in few
    failed = task_table()
    failed.loc[failed["codec"] == "avif:quality=10", "failed"] = 2
    assert "2 codings failed" in words(task_curves(failed, "scenes", "detect"))


def test_where_less_is_better_the_ceiling_is_below() -> None:
    figure = task_curves(both(), "scenes", "landmarks")
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "NME (share of the eye distance)", "failure rate (share of faces)",
    ]  # fmt: skip
    for axes in figure.axes:
        assert "lower is better ↓" in {t.get_text() for t in axes.texts}
        assert axes.get_ylim()[0] < 0.03
    # The best points of a distance: the cheapest one here, which is also the smallest.
    assert line(figure.axes[0], "jpeg").get_xydata().tolist() == [[0.25, 0.25]]


def test_a_model_that_sees_nothing_has_no_negative_axis() -> None:
    table = task_table().assign(value=0.0, lo=0.0, hi=0.0, ceiling=0.0)
    for axes in task_curves(table, "scenes", "detect").axes:
        low, high = axes.get_ylim()
        assert -0.1 * high < low < 0 < high
        assert set(line(axes, "originals").get_ydata()) == {0}


def test_curves_survive_what_has_no_value_and_refuse_nonsense() -> None:
    table = task_table()
    table.loc[table["codec"] == "jpeg:quality=30", ["value", "lo", "hi", "bpp"]] = math.nan
    axes = task_curves(table, "scenes", "detect").axes[0]
    assert line(axes, "jpeg").get_xydata().tolist() == [[0.25, 0.25], [0.8, 0.52]]
    lossless = table[table["family"] == "identity"]
    assert "no lossy codec" in words(task_curves(lossless, "scenes", "detect"))
    with pytest.raises(MeasurementError, match="no row of task 'segment'"):
        task_curves(table, "scenes", "segment")
    with pytest.raises(MeasurementError, match="lacks the columns ceiling"):
        task_curves(table.drop(columns="ceiling"), "scenes", "detect")
    with pytest.raises(MeasurementError, match="occur twice"):
        task_curves(pd.concat([table, table]), "scenes", "detect")
    with pytest.raises(MeasurementError, match=r"none of .*box_map50"):
        task_curves(table[table["metric"] == "missed"], "scenes", "detect")
    assert set(curve_metrics()) | set(OBJECTS) <= set(task_metrics())
    table[["value", "lo", "hi", "ceiling"]] = math.nan  # rates alone: the task failed everywhere
    for draw in (task_curves, task_objects):
        assert "the task has no result" in words(draw(table, "scenes", "detect"))


# --- missed and hallucinated objects ------------------------------------------------------------


def rows_of(rates: dict[str, list[float]]) -> pd.DataFrame:
    pairs = [(family, bpp) for family, found in rates.items() for bpp in found]
    return pd.DataFrame(
        [{"codec": f"{family}:{bpp}", "family": family, "bpp": bpp} for family, bpp in pairs]
    )


def test_rates_show_as_many_codecs_as_possible() -> None:
    rows = rows_of({"a": [0.1, 1.0], "b": [0.1, 1.0], "c": [10.0], "identity": [3.0]})
    assert shared_rates(rows) == [0.1, 1.0, 10.0]
    assert shared_rates(rows, most=2) == [0.1, 10.0]
    assert shared_rates(rows_of({"identity": [9.0]})) == []
    assert shared_rates(rows_of({"a": [0.1, 0.2, 0.4]})) == [0.1]  # nothing to compare with


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.lists(st.floats(0.01, 8), min_size=1), min_size=1)
)
def test_shared_rates_keep_their_promises(rates: dict[str, list[float]]) -> None:
    rows = rows_of(rates)
    chosen = shared_rates(rows)
    assert 1 <= len(chosen) <= 3
    assert all(b >= 1.99 * a for a, b in pairwise(chosen))

    def near(rate: float, hair: float = 0.0) -> set[str]:
        """Families with a point in the window, made narrower by a hair."""
        high, low = rate * (1.1 - hair), rate / (1.5 - hair)
        return {f for f, own in rates.items() if any(low <= bpp <= high for bpp in own)}

    grid = [step * 10.0**decade for decade in range(-3, 3) for step in (1, 1.5, 2, 3, 5, 7)]
    assert max(len(near(rate, -1e-6)) for rate in chosen) >= max(len(near(r, 1e-6)) for r in grid)
    for rate in chosen:
        found = matched_points(rows, rate)
        assert near(rate, 1e-6) <= set(found["family"]) <= near(rate, -1e-6)
        for family, bpp in zip(found["family"], found["bpp"], strict=True):
            own = [b for b in rates[family] if rate / 1.499 <= b <= rate * 1.099]
            assert all(abs(math.log(bpp / rate)) <= abs(math.log(b / rate)) + 1e-9 for b in own)


def test_objects_stand_at_their_numbers() -> None:
    figure = task_objects(both(), "scenes", "detect", rates=[0.45, 0.1])
    assert len(figure.axes) == 4
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["at 0.1 bpp", "at 0.45 bpp"] * 2
    missed, invented = figure.axes[:2], figure.axes[2:]
    assert [t.get_text() for t in missed[0].get_yticklabels()] == ["avif", "jpeg"]
    assert line(missed[0], "avif").get_xydata().tolist() == [[0.6, 0]]
    # 0.25 bpp is too far from 0.1, and above it.
    assert "no point near this rate" in {t.get_text() for t in missed[0].texts}
    assert line(missed[1], "avif").get_xydata().tolist() == [[0.35, 0]]
    # Above 0.45 lies 0.495 at most: of jpeg's points none is from 0.3 to there.
    assert not [one for one in missed[1].get_lines() if one.get_label() == "jpeg"]
    wider = task_objects(both(), "scenes", "detect", rates=[0.5]).axes
    assert line(wider[0], "jpeg").get_xydata().tolist() == [[0.45, 1]]
    assert line(wider[1], "jpeg").get_xydata().tolist() == [[0.40, 1]]
    assert {"0.4", "0.5", "originals 0.19"} <= {t.get_text() for t in wider[0].texts}
    whiskers = [
        one.get_xydata().tolist() for one in wider[0].get_lines() if len(one.get_xdata()) == 2
    ]
    assert any(np.allclose(ends, [[0.41, 1], [0.50, 1]]) for ends in whiskers)
    assert any(np.allclose(one.get_xdata(), 0.19) for one in wider[0].get_lines())
    assert missed[0].get_xlim() == missed[1].get_xlim()
    assert missed[0].get_xlabel() == "← better, missed objects (share)"
    assert "hallucinated objects per image" in invented[0].get_xlabel()
    assert "from 1.5 times below to 1.1 times above" in words(figure)
    with pytest.raises(MeasurementError, match="at most 3"):
        task_objects(both(), "scenes", "detect", rates=[0.1, 0.2, 0.3, 0.4])
    with pytest.raises(MeasurementError, match="none of missed"):
        task_objects(both(), "scenes", "landmarks")
    lossless = task_table().query("family == 'identity'")
    assert "no lossy codec" in words(task_objects(lossless, "scenes", "detect"))


# --- feature gap --------------------------------------------------------------------------------


def test_gap_by_hand() -> None:
    one = np.array([[[3.0, 1.0, 0.0]], [[4.0, 0.0, 0.0]]], np.float32)  # (2, 1, 3)
    assert gaps.gap(one[..., :2], one[..., :2]) == 0
    assert gaps.gap(one[..., :2], -one[..., :2]) == pytest.approx(2, abs=1e-12)
    assert gaps.gap(one[..., 1:2], np.flip(one[..., 1:2], 0)) == 1
    # No direction: 0 beside another without, 1 beside any other.
    assert gaps.gap(one[..., 2:], one[..., 2:]) == 0
    assert gaps.gap(one[..., 2:], one[..., 1:2]) == 1
    assert gaps.gap(one, np.roll(one, 1, axis=2)) == pytest.approx((1 + (1 - 0.6) + 1) / 3)
    # A small angle keeps its digits: 1 - cos(arctan t) = t^2 / 2.
    near = np.array([[[1.0]], [[1e-5]]], np.float32)
    assert gaps.gap(np.array([[[1.0]], [[0.0]]], np.float32), near) == pytest.approx(
        5e-11, rel=1e-6
    )
    with pytest.raises(MeasurementError, match="expected"):
        gaps.gap(one, one[..., :2])
    with pytest.raises(MeasurementError, match="not finite"):
        gaps.gap(one, np.full_like(one, np.nan))


@given(st.integers(0, 10**6))
def test_gap_is_one_minus_the_cosine(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, 5, 3, 4)).astype(np.float32)
    cosines = torch.nn.functional.cosine_similarity(
        torch.from_numpy(first).double(), torch.from_numpy(second).double(), dim=0
    )
    value = gaps.gap(first, second)
    assert value == pytest.approx(1 - float(cosines.mean()), abs=1e-12)
    scales = rng.uniform(0.1, 9, (1, 3, 4)).astype(np.float32)  # directions alone count
    assert gaps.gap(first * scales, second) == pytest.approx(value, abs=1e-6)


class Backbone(torch.nn.Module):
    """Stages named as those of mmdet's CSPNeXt; its outputs begin with the second."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = ["stem", "stage1", "stage2"]
        self.stem = torch.nn.Conv2d(3, 4, 1)
        self.stage1 = torch.nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.stage2 = torch.nn.Conv2d(6, 5, 2, stride=2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.stage2(self.stage1(self.stem(x))),)


class Neck(torch.nn.Module):
    def forward(self, maps: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return maps[0] * 2, -maps[0][..., ::2, ::2]


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.neck = Backbone(), Neck()

    def data_preprocessor(self, batch: dict[str, Any], training: bool) -> dict[str, Any]:
        assert not training
        return {"inputs": torch.stack(batch["inputs"]).float() / 255}

    def extract_feat(self, inputs: torch.Tensor) -> Any:
        return self.neck(self.backbone(inputs))


class FakeTask:
    """What `stage_features` asks of a task of mmdet, with a pipeline that pads to 32 x 32."""

    name, model = "fake", "fake network"

    def __init__(self) -> None:
        torch.manual_seed(1)
        self._network: Any = Network()
        self._pipeline = Compose([self._run_pipeline])

    def _run_pipeline(self, item: dict[str, Any]) -> dict[str, Any]:
        image = item["img"]
        padded = np.full((32, 32, 3), 114, np.uint8)
        padded[: len(image), : image.shape[1]] = image
        sample = SimpleNamespace(metainfo={"scale_factor": (1.0, 1.0)})
        return {"inputs": torch.from_numpy(padded.transpose(2, 0, 1)), "data_samples": sample}


def features(image: np.ndarray, task: Any = None) -> dict[str, np.ndarray]:
    return gaps.stage_features(task or FakeTask(), image)


def test_stages_are_those_of_the_network() -> None:
    task, image = FakeTask(), make_picture(32, 32)
    found = features(image, task)
    assert list(found) == ["stage 1", "stage 2", "neck 1", "neck 2"]
    bgr = torch.from_numpy(image[:, :, ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    backbone = task._network.backbone
    with torch.no_grad():
        first = backbone.stage1(backbone.stem(bgr))
        second = backbone.stage2(first)
    np.testing.assert_array_equal(found["stage 1"], first[0])
    np.testing.assert_array_equal(found["neck 2"], -second[0, :, ::2, ::2])
    assert found["stage 2"].shape == (5, 8, 8)
    assert not backbone.stage1._forward_hooks  # nothing is left behind
    backbone.layers = None
    del backbone.layers
    assert list(features(image, task)) == ["stage 1", "neck 1", "neck 2"]  # its outputs alone
    task._network.backbone = None
    with pytest.raises(TaskError, match="no backbone"):
        features(image, task)


def test_padding_is_not_looked_at() -> None:
    """20 x 24 of 32 x 32 pixels: 10 x 12 and 5 x 6 positions."""
    image = make_picture(20, 24)
    found = features(image)
    sizes = [maps.shape[1:] for maps in found.values()]
    assert sizes == [(10, 12), (5, 6), (5, 6), (3, 3)]
    whole = np.full((32, 32, 3), 114, np.uint8)
    whole[:20, :24] = image
    np.testing.assert_array_equal(found["stage 2"], features(whole)["stage 2"][:, :5, :6])


@pytest.mark.slow
def test_stages_of_a_real_detector() -> None:
    pytest.importorskip("mmdet", reason="mmdet is not installed")
    from icmbench.tasks.registry import make_task
    from icmbench.tasks.training.train_openmm import DETECTOR, DETECTOR_OVERRIDES, THINGS

    entry = {"type": "mmdet", "config": DETECTOR, "checkpoint": "random", "scale": 64,
             "overrides": dict(DETECTOR_OVERRIDES), "classes": list(THINGS)}  # fmt: skip
    task = make_task("detect", entry)
    task.load(Labels("scenes", {1: "face"}, ()), "cpu")
    found = features(make_picture(48, 64), task)
    sides = {name: maps.shape[1:] for name, maps in found.items()}
    # 64 x 64 after padding, of which three quarters of the rows are picture.
    assert sides == {
        "stage 1": (12, 16), "stage 2": (6, 8), "stage 3": (3, 4), "stage 4": (2, 2),
        "neck 1": (6, 8), "neck 2": (3, 4), "neck 3": (2, 2),
    }  # fmt: skip
    assert all(np.isfinite(maps).all() and maps.any() for maps in found.values())


def decoded_shard(folder: Path, images: dict[str, dict[str, np.ndarray | None]]) -> dict[str, Path]:
    """Pictures by codec spec and image as a decoding job leaves them; None: it failed."""
    rows = []
    with archive.create(folder / "0.zip") as out:
        for codec, pictures in images.items():
            for name, picture in pictures.items():
                status = "decode-error" if picture is None else "ok"
                rows.append({"codec": codec, "encoding": codec, "image": name, "status": status})
                if picture is not None:
                    buffer = io.BytesIO()
                    PillowImage.fromarray(picture).save(buffer, "PNG")
                    out.add(archive.picture_member(codec, name), buffer.getvalue())
    write_rows(folder / "0.csv", DECODED, rows)
    return {"pictures": folder / "0.zip", "decoded": folder / "0.csv"}


def test_gaps_of_a_shard(tmp_path: Path) -> None:
    names = ("ant", "bee", "cat")
    originals = {name: make_picture(16, 32, seed=n) for n, name in enumerate(names)}
    for name, image in originals.items():
        write_png(tmp_path / f"{name}.png", image)
    other = {name: image // 2 for name, image in originals.items()}
    files = decoded_shard(
        tmp_path,
        {
            "webp:quality=9": {**other, "bee": None, "cat": other["cat"][:8]},
            "identity": dict(originals),
        },
    )
    records = [Record(name, f"{name}.png") for name in names]
    table = gaps.shard_gaps(FakeTask(), None, "scenes", "webp", records, tmp_path, **files)  # type: ignore[arg-type]
    assert list(table.columns) == list(gaps.COLUMNS)
    same = table[table["codec"] == "identity"]
    assert list(same["image"]) == [name for name in names for _ in range(4)]
    assert list(same["depth"]) == [1, 2, 3, 4] * 3
    assert (same["gap"] == 0).all()
    lossy = table[table["codec"] == "webp:quality=9"]
    # What was not decoded, and what has another size, has no gap.
    assert set(lossy["image"]) == {"ant"}
    before, after = features(originals["ant"]), features(other["ant"])
    expected = [gaps.gap(before[name], after[name]) for name in before]
    assert lossy["gap"].tolist() == expected
    assert min(expected) > 0


def gap_rows(values: dict[tuple[str, str], list[float]]) -> pd.DataFrame:
    """Codec spec, stage -> gaps of the images 0, 1, 2, ..."""
    rows = [
        ("scenes", codec.partition(":")[0], codec, f"i{n}", int(stage[-1]), stage, value, "ok")
        for (codec, stage), found in values.items()
        for n, value in enumerate(found)
    ]
    return pd.DataFrame(rows, columns=list(gaps.COLUMNS))


def measured(rates: dict[str, float], images: int, broken: str = "") -> pd.DataFrame:
    """A file of 1000 * bpp bytes for 8000 pixels."""
    return pd.DataFrame(
        [
            {"dataset": "scenes", "image": f"i{n}", "family": codec.partition(":")[0],
             "codec": codec, "bytes": round(1000 * bpp), "width": 100, "height": 80, "bpp": bpp,
             "status": "decode-error" if codec == broken else "ok"}
            for codec, bpp in rates.items()
            for n in range(images)
        ]
    )  # fmt: skip


def make_gap_table(frame: pd.DataFrame, measurements: pd.DataFrame) -> pd.DataFrame:
    return gap_tables.gap_table(
        frame, measurements, task="detect", model="RTMDet-Ins", resamples=200, seed=1,
        max_failed=0.5,
    )  # fmt: skip


def test_gap_table_by_hand() -> None:
    frame = gap_rows(
        {
            ("jpeg:quality=10", "stage 1"): [0.1, 0.2, 0.3, 0.4],
            ("jpeg:quality=10", "stage 2"): [0.5, 0.5, 0.5, 0.5],
        }
    )
    measurements = measured({"jpeg:quality=10": 0.25, "webp:quality=0": 0.5}, 4, "webp:quality=0")
    shuffled = frame.sample(frac=1, random_state=1)
    table = make_gap_table(shuffled, measurements)
    assert list(table.columns) == list(gap_tables.COLUMNS)
    first, second, *failed = table.to_dict("records")
    assert (first["stage"], first["gap"], first["bpp"]) == ("stage 1", pytest.approx(0.25), 0.25)
    assert 0.1 <= first["lo"] < 0.25 < first["hi"] <= 0.4
    assert (second["gap"], second["lo"], second["hi"], second["images"]) == (0.5, 0.5, 0.5, 4)
    assert [row["codec"] for row in failed] == ["webp:quality=0"] * 2
    assert all(math.isnan(row["gap"]) and row["failed"] == 4 for row in failed)
    pd.testing.assert_frame_equal(table, make_gap_table(frame, measurements))
    with pytest.raises(MeasurementError, match=r"quality=10.*none of image 'i3'"):
        make_gap_table(frame[frame["image"] != "i3"], measurements)
    with pytest.raises(MeasurementError, match="twice"):
        make_gap_table(pd.concat([frame, frame]), measurements)
    two = frame[frame["image"].isin(["i0", "i1"])]
    few = make_gap_table(two, measured({"jpeg:quality=10": 0.25}, 2))
    assert few["lo"].isna().all()
    assert few["gap"].tolist() == pytest.approx([0.15, 0.5])


def gap_example() -> pd.DataFrame:
    rates = {"jpeg:quality=10": 0.25, "jpeg:quality=30": 0.5, "avif:quality=50": 0.5,
             "identity": 9.0}  # fmt: skip
    values = {
        (codec, f"stage {depth}"): [bpp / 10 * depth + 0.01 * n for n in range(4)]
        for codec, bpp in rates.items()
        for depth in (1, 2, 3)
    }
    return make_gap_table(gap_rows(values), measured(rates, 4))


def test_feature_gap_draws_the_table() -> None:
    table = gap_example()
    figure = feature_gap(table, "scenes", "detect", rates=[0.5, 0.25])
    low, high = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["at 0.25 bpp", "at 0.5 bpp"]
    expected = [[depth, 0.025 * depth + 0.015] for depth in (1, 2, 3)]
    np.testing.assert_allclose(line(low, "jpeg").get_xydata(), expected)
    assert not [one for one in low.get_lines() if one.get_label() in ("avif", "identity")]
    expected = [[depth, 0.05 * depth + 0.015] for depth in (1, 2, 3)]
    for family in ("avif", "jpeg"):
        np.testing.assert_allclose(line(high, family).get_xydata(), expected)
        assert line(high, family).get_color() == KNOWN[family].colour
    bands = [c for c in low.collections if isinstance(c, FillBetweenPolyCollection)]
    top = table.query("codec == 'jpeg:quality=10' and depth == 3")["hi"].item()
    assert any(np.allclose(p, (3, top)) for p in bands[0].get_paths()[0].vertices)
    assert [t.get_text() for t in low.get_xticklabels()] == ["stage\n1", "stage\n2", "stage\n3"]
    assert low.get_ylim() == high.get_ylim()
    assert "At 0.25 bpp: jpeg 0.25. At 0.5 bpp: avif 0.5, jpeg 0.5." in words(figure)
    assert "4 images" in words(figure)
    # Two entries of one codec have the same codec spec, here at other rates.
    twin = table[table["codec"] == "jpeg:quality=10"].assign(family="twin", bpp=5.0, gap=0.9)
    (axes,) = feature_gap(pd.concat([table, twin]), "scenes", "detect", rates=[0.25]).axes
    assert [one.get_label() for one in axes.get_lines()] == ["jpeg"]
    with pytest.raises(MeasurementError, match="no row of task 'other'"):
        feature_gap(table, "scenes", "other")
    with pytest.raises(MeasurementError, match="occur twice"):
        feature_gap(pd.concat([table, table]), "scenes", "detect")
    lossless = table[table["family"] == "identity"]
    assert "no lossy codec" in words(feature_gap(lossless, "scenes", "detect"))


def test_a_model_that_failed_on_all_pictures_has_a_placeholder() -> None:
    frame = gap_rows({("jpeg:quality=10", "stage 0"): [math.nan] * 4})
    table = make_gap_table(
        frame.assign(stage="", status="broken"), measured({"jpeg:quality=10": 0.25}, 4)
    )
    figure = feature_gap(table, "scenes", "detect")
    assert "no reconstruction has a gap" in words(figure)


def test_no_text_overlaps() -> None:
    long = task_table().assign(family=lambda t: "long-family-" + t["family"])
    table = pd.concat([both(), long.assign(codec=lambda t: "x" + t["codec"])])
    figures = [
        task_curves(table, "scenes", "detect"),
        task_curves(table, "scenes", "landmarks"),
        task_objects(table, "scenes", "detect"),
        task_objects(table, "scenes", "detect", rates=[0.5]),
        feature_gap(gap_example(), "scenes", "detect"),
    ]
    for figure in figures:
        assert_no_overlap(figure)


# --- pictures -----------------------------------------------------------------------------------


def box_mask(height: int, width: int, box: tuple[int, int, int, int]) -> dict[str, Any]:
    left, top, right, bottom = box
    mask = np.zeros((height, width), np.uint8)
    mask[top:bottom, left:right] = 1
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": [height, width], "counts": rle["counts"].decode()}


def things(scores: list[float], masks: bool = True) -> Instances:
    boxes = [(10, 5, 30, 25), (20, 40, 44, 52)]
    return Instances(
        np.array(boxes, np.float64),
        np.array(scores),
        np.array([4, 9]),
        tuple(box_mask(60, 80, box) for box in boxes) if masks else None,
    )


def seen(first: Any, second: Any, picture: np.ndarray) -> list[Predicted]:
    return [
        Predicted("original", "", None, picture, first),
        Predicted("mpd", "mpd:state=4,decoder=diffusion,alpha=0.2", 0.1234, picture // 2, second),
    ]


def at(axes: Any, artist: Any, point: tuple[float, float]) -> list[float]:
    """A point of an artist's own coordinates as a share of its axes."""
    shown = artist.get_transform().transform(point)
    return [float(v) for v in np.round(axes.transAxes.inverted().transform(shown), 6)]


def test_things_are_drawn_where_they_are() -> None:
    picture = np.full((60, 80, 3), 200, np.uint8)
    figure = task_pictures(
        seen(things([0.9, 0.5]), things([0.8, 0.4999]), picture), LABELS, title="t", note="n"
    )
    first, second = figure.axes
    boxes = [patch for patch in first.patches if isinstance(patch, Rectangle)]
    assert [box.get_bbox().extents.tolist() for box in boxes] == [[10, 5, 30, 25], [20, 40, 44, 52]]
    # Lower left corner of an axes is (0, 0); y of a picture goes down from its upper edge.
    assert at(first, boxes[0], (0, 0)) != [0, 0]  # a rectangle's own square
    corner = boxes[0].get_patch_transform().transform((0, 0))
    assert corner.tolist() == [10, 5]
    assert at(first, boxes[0], (0, 1)) == [10 / 80, round(1 - 25 / 60, 6)]
    assert [t.get_text() for t in first.texts] == ["duck", "car"]
    assert [t.get_text() for t in second.texts] == ["duck"]
    assert "80 \u00d7 60 px · 2 instances" in words(figure)
    assert "0.123 bpp · 1 instance" in words(figure)
    assert "mpd:state=4," in words(figure)
    image = np.asarray(first.images[0].get_array())
    colour = 255 * np.array(class_colour(1))  # the second of three categories
    np.testing.assert_array_equal(image[15, 20], np.rint(0.72 * 200 + 0.28 * colour))
    np.testing.assert_array_equal(image[5, 12], np.rint(colour))  # its rim
    assert (image[0, 0] == 200).all()
    assert (np.asarray(second.images[0].get_array())[45, 30] == 100).all()
    plain = seen(things([0.9, 0.9], masks=False), things([0.9, 0.9], masks=False), picture)
    figure = task_pictures(plain, LABELS, title="t", note="n")
    assert (np.asarray(figure.axes[0].images[0].get_array()) == 200).all()
    wrong = Instances(np.zeros((1, 4)), np.ones(1), np.array([5]))
    with pytest.raises(MeasurementError, match="label 5"):
        task_pictures(seen(wrong, wrong, picture), LABELS, title="t", note="n")


def test_semantic_maps_are_coloured_and_compared() -> None:
    picture = np.full((60, 80, 3), 100, np.uint8)
    first = np.zeros((60, 80), np.uint8)
    first[30:] = 2
    second = first.copy()
    second[:, :20] = 1
    figure = task_pictures(seen(first, second, picture), LABELS, title="t", note="n")
    assert "0.123 bpp · 75.0 % the same" in words(figure)
    image = np.asarray(figure.axes[0].images[0].get_array())
    for row, label in ((10, 0), (50, 2)):
        expected = np.rint(0.4 * 100 + 0.6 * 255 * np.array(class_colour(label)))
        np.testing.assert_array_equal(image[row, 40], expected)
    names = [{t.get_text() for t in axes.texts} for axes in figure.axes]
    assert names == [{"sky", "face"}, {"sky", "sand", "face"}]
    with pytest.raises(MeasurementError, match="not a map of its image"):
        task_pictures(seen(first, second[1:], picture), LABELS, title="t", note="n")
    with pytest.raises(MeasurementError, match="class index 3 of 3 classes"):
        task_pictures(seen(first, second + 1, picture), LABELS, title="t", note="n")


def test_landmarks_are_dots_around_the_faces() -> None:
    picture = make_picture(200, 300)
    rng = np.random.default_rng(3)
    faces = rng.uniform((100, 80), (160, 140), (1, 68, 2))
    faces[0, :2] = (100, 80), (160, 140)
    moved = faces + np.array([3.0, 4.0])
    figure = task_pictures(seen(faces, moved, picture), LABELS, title="t", note="n")
    assert "300 \u00d7 200 px · 1 face" in words(figure)
    assert "0.123 bpp · shift 5.00 px" in words(figure)
    assert around(faces, 200, 300) == (82, 62, 178, 158)  # 60 px and 0.3 of it on every side
    image = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_array_equal(image, picture[62:158, 82:178])
    (dots,) = figure.axes[1].get_lines()
    np.testing.assert_allclose(dots.get_xydata(), moved[0] - (82, 62))
    place = dots.get_transform().transform((0, 0))
    np.testing.assert_allclose(figure.axes[1].transAxes.inverted().transform(place), (0, 1))
    none = np.zeros((0, 68, 2))
    nobody = task_pictures(seen(none, none, picture), LABELS, title="t", note="n")
    assert "no annotated face" in words(nobody)
    with pytest.raises(MeasurementError, match="another number of faces"):
        task_pictures(seen(faces, none, picture), LABELS, title="t", note="n")


@given(st.integers(0, 10**6), st.integers(16, 90), st.integers(16, 90))
def test_what_is_around_faces_lies_in_the_picture(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    faces = rng.uniform(-20, 110, (2, 68, 2))
    left, top, right, bottom = around(faces, height, width)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert right - left >= min(48, width)
    assert bottom - top >= min(48, height)


def test_pictures_come_from_streams_and_stored_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The point nearest to the rate on this image, and what was said about it and no other."""
    picture = make_picture(60, 80)
    write_png(tmp_path / "cat.png", picture)
    record = Record("cat", "cat.png", width=80, height=60)
    table = measured({"webp:quality=0": 0.1, "webp:quality=50": 0.4, "avif:quality=9": 0.9}, 1)
    table = table.assign(image="cat")
    for family, said in {
        ORIGINALS: {ORIGINALS: [0.9, 0.9]},
        "webp": {"webp:quality=0": [0.9, 0.1], "webp:quality=50": [0.1, 0.1]},
    }.items():
        with store.writer(tmp_path / f"{family}.zip") as out:
            for codec, scores in said.items():
                out.add(codec, "cat", things(scores), (60, 80))
    asked = []

    def decode(family: Any, streams: Path, point: Any, name: str) -> np.ndarray:
        asked.append((family, streams, point.spec, name))
        return picture // 3

    shard = pictured.Shard(
        tmp_path,
        table,
        {"webp": Path("webp-streams"), "avif": Path("avif-streams")},
        {name: tmp_path / f"{name}.zip" for name in (ORIGINALS, "webp")},
    )

    def drawn(bpp: float, record: Record = record) -> Figure:
        families: Any = {"webp": "family of webp", "avif": "family of avif"}
        arguments = (
            "detect",
            "RTMDet-Ins",
            INSTANCES,
            LABELS,
            record,
            bpp,
            shard,
            families,
            decode,
        )
        return pictured.pictures_of_task(*arguments)

    figure = drawn(0.1)
    assert asked == [("family of webp", Path("webp-streams"), "webp:quality=0", "cat")]
    assert [[t.get_text() for t in axes.texts] for axes in figure.axes] == [
        ["duck", "car"],
        ["duck"],
    ]
    text = words(figure)
    for part in ("detect on scenes: cat at about 0.1 bits", "0.100 bpp", "webp:quality=0",
                 "Model: RTMDet-", "No point near this rate: avif"):  # fmt: skip
        assert part in text
    assert "no codec has a point near this rate: avif, webp" in words(drawn(30.0))
    assert "refused: too small" in words(drawn(0.1, Record("x", "x.png", status="too small")))
    table.loc[table["codec"] == "webp:quality=50", "codec"] = "webp:quality=60"
    with pytest.raises(MeasurementError, match=r"webp\.zip.*no prediction"):
        drawn(0.4)


def test_table_rows_become_one_per_codec() -> None:
    rows = task_rows(both(), "scenes", "detect").set_index("codec")
    assert len(rows) == len(POINTS)
    for codec, _, bpp, first, *_ in POINTS:
        assert rows.loc[codec, ["bpp", "box_map50", "box_map50_lo"]].tolist() == [
            bpp, first, first - 0.04,
        ]  # fmt: skip
