"""The task tables: values, intervals and BD-rates from stored predictions and true rate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from icmbench.core.errors import MeasurementError, TaskError
from icmbench.reporting.statistics.bootstrap import interval, resample_indices
from icmbench.reporting.statistics.calibration import calibrated
from icmbench.reporting.tables import task_predictions
from icmbench.reporting.tables.paired import COLUMNS as PAIRED
from icmbench.reporting.tables.task_comparisons import Scored, Settings
from icmbench.reporting.tables.tasks import COLUMNS, FAILURE_COLUMNS, score_task
from icmbench.tasks import store
from icmbench.tasks.base import LANDMARKS, ORIGINALS
from icmbench.tasks.evaluate import Truth, evaluator
from icmbench.tasks.metrics.score import Score

IMAGES = [f"i{n}" for n in range(8)]
SIZE = 100
TASK = Scored("points", "ruler", "landmarks")
SETTINGS = Settings(resamples=50, seed=1, max_failed=0.25, min_overlap=0.1, anchors=["half"])
# Bytes and error in pixels (the eyes are 40 pixels apart) of every string, before the image's own.
POINTS = {
    ("full", "jpeg:quality=10"): (400, 4.0),
    ("full", "jpeg:quality=30"): (800, 2.0),
    ("full", "jpeg:quality=50"): (1600, 1.0),
    ("half", "webp:quality=10"): (200, 4.0),
    ("half", "webp:quality=30"): (400, 2.0),
    ("half", "webp:quality=50"): (800, 1.0),
}


def points(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    face = rng.uniform(20, 80, (68, 2))
    face[36], face[45] = (30, 50), (70, 50)
    return face


def truth() -> Truth:
    faces = {
        image: [{"landmarks": points(n).tolist(), "bbox": [20, 20, 60, 60]}]
        for n, image in enumerate(IMAGES)
    }
    return Truth(landmarks=faces)


def share(number: int) -> float:
    """Of a string's error and bytes that an image gets: they differ from image to image."""
    return 0.5 + number / 7


def measured(failed: dict[str, set[str]] | None = None) -> pd.DataFrame:
    rows = []
    for (family, codec), (size, _) in POINTS.items():
        for number, image in enumerate(IMAGES):
            bad = image in (failed or {}).get(codec, set())
            count = round(size * share(number))
            row = {"dataset": "d", "image": image, "family": family, "codec": codec}
            row |= {"bytes": count, "width": SIZE, "height": SIZE, "bpp": 8 * count / SIZE**2}
            rows.append({**row, "status": "decode-failed" if bad else "ok"})
    return pd.DataFrame(rows)


def predicted(
    folder: Path, left_out: tuple[str, str] = ("", ""), shards: int = 2
) -> dict[str, list[Path]]:
    """Shards of every family; the error goes to the right, all points alike."""
    found: dict[str, list[Path]] = {}
    strings = {**POINTS, (ORIGINALS, ORIGINALS): (0, 0.4)}
    for family in ("full", "half", ORIGINALS):
        for shard in range(shards):
            path = folder / family / f"{shard}.zip"
            path.parent.mkdir(exist_ok=True, parents=True)
            found.setdefault(family, []).append(path)
            with store.writer(path) as out:
                for (owner, codec), (_, error) in strings.items():
                    for number in range(shard, len(IMAGES), shards):
                        if owner != family or (codec, IMAGES[number]) == left_out:
                            continue
                        shift = np.array([error * share(number), 0.0])
                        out.add(codec, IMAGES[number], (points(number) + shift)[None])
    return found


def test_values_by_hand(tmp_path: Path) -> None:
    scores, *_ = score_task(TASK, measured(), truth(), predicted(tmp_path), SETTINGS)
    assert tuple(scores.columns) == COLUMNS
    nme = scores[scores["metric"] == "nme"].set_index("codec")
    mean_share = np.mean([share(n) for n in range(8)])
    for (family, codec), (size, error) in POINTS.items():
        row = nme.loc[codec]
        assert row["value"] == pytest.approx(error * mean_share / 40, abs=2e-5)
        assert row["ceiling"] == pytest.approx(0.4 * mean_share / 40, abs=2e-5)
        assert row["bpp"] == pytest.approx(8 * size * mean_share / SIZE**2, rel=1e-3)
        assert row["lo"] < row["value"] < row["hi"]
        assert (row["family"], row["task"], row["model"]) == (family, "points", "ruler")
        assert (row["images"], row["failed"]) == (8, 0)
    # Above 0.08 of the eyes' distance, 3.2 pixels: the images whose share of 4 pixels is more.
    failing = np.mean([4 * share(n) > 3.2 for n in range(8)])
    rates = scores[scores["metric"] == "failure_rate"].set_index("codec")
    assert rates.loc["jpeg:quality=10", "value"] == pytest.approx(failing)


def test_bd_rate_of_half_the_bits_and_twice(tmp_path: Path) -> None:
    _, bd, *_ = score_task(TASK, measured(), truth(), predicted(tmp_path), SETTINGS)
    row = bd[bd["metric"] == "nme"].set_index("family").loc["full"]
    assert row["bd_rate"] == pytest.approx(1.0, rel=0.01)  # twice the bits for the same error
    assert row["lo"] == pytest.approx(1.0, rel=0.02)
    assert row["hi"] == pytest.approx(1.0, rel=0.02)
    assert row["overlap"] == pytest.approx(1.0)
    assert (row["anchor"], row["task"], row["points"]) == ("half", "points", 3)
    _, turned, *_ = score_task(
        TASK, measured(), truth(), predicted(tmp_path), replace(SETTINGS, anchors=["full", "away"])
    )
    assert set(turned["anchor"]) == {"full"}  # the other one does not code this data set
    value = turned[turned["metric"] == "nme"].set_index("family").loc["half", "bd_rate"]
    assert value == pytest.approx(-0.5, rel=0.01)


def test_all_are_compared_on_the_same_images(tmp_path: Path) -> None:
    """An image that one string failed on counts for none; a string that fails often is left out."""
    failed = {"webp:quality=30": {"i7"}, "jpeg:quality=10": {"i0", "i1", "i2"}}
    scores, *_ = score_task(
        TASK, measured(failed), truth(), predicted(tmp_path, ("webp:quality=30", "i7")), SETTINGS
    )
    nme = scores[scores["metric"] == "nme"].set_index("codec")
    some_share = np.mean([share(n) for n in range(7)])
    assert nme.loc["webp:quality=50", "value"] == pytest.approx(1.0 * some_share / 40, abs=2e-5)
    assert nme.loc["webp:quality=50", "ceiling"] == pytest.approx(0.4 * some_share / 40, abs=2e-5)
    assert nme.loc["webp:quality=50", "bpp"] == pytest.approx(
        8 * 800 * some_share / SIZE**2, rel=1e-3
    )
    assert list(nme.loc["webp:quality=30", ["images", "failed"]]) == [7, 1]
    out = nme.loc["jpeg:quality=10"]
    assert np.isnan(out["value"])
    assert np.isnan(out["bpp"])
    assert (out["images"], out["failed"]) == (0, 3)


def test_a_missing_prediction_is_named(tmp_path: Path) -> None:
    predictions = predicted(tmp_path, ("jpeg:quality=30", "i5"))
    with pytest.raises(MeasurementError, match=r"i5 for jpeg:quality=30"):
        score_task(TASK, measured(), truth(), predictions, SETTINGS)


def test_rows_do_not_depend_on_order_and_shards(tmp_path: Path) -> None:
    predictions = predicted(tmp_path)
    for shards in (1, 3):
        other = predicted(tmp_path / str(shards), shards=shards)
        for one, two in zip(
            score_task(TASK, measured(), truth(), predictions, SETTINGS),
            score_task(TASK, measured(), truth(), other, SETTINGS),
            strict=True,
        ):
            pd.testing.assert_frame_equal(one, two, check_exact=True)
    first = score_task(TASK, measured(), truth(), predictions, SETTINGS)
    mixed = measured().sample(frac=1, random_state=1)
    turned = {family: paths[::-1] for family, paths in predictions.items()}
    for one, other in zip(first, score_task(TASK, mixed, truth(), turned, SETTINGS), strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_without_points_the_originals_are_the_reference(tmp_path: Path) -> None:
    """Against what was found in the originals, in the tables' own words; and never by accident."""
    bare = replace(
        truth(),
        landmarks={
            name: [{"bbox": face["bbox"]} for face in faces]
            for name, faces in truth().landmarks.items()
        },
    )
    scores, *_ = score_task(TASK, measured(), bare, predicted(tmp_path), SETTINGS)
    nme = scores[scores["metric"] == "nme"].set_index("codec")
    mean_share = np.mean([share(n) for n in range(8)])
    for (_, codec), (_, error) in POINTS.items():
        expected = abs(error - 0.4) * mean_share / 40
        assert nme.loc[codec, "value"] == pytest.approx(expected, abs=2e-5)
    assert (nme["ceiling"] == 0).all()
    assert set(nme["model"]) == {"ruler, reference: originals"}
    with pytest.raises(TaskError, match="faces without points"):
        evaluator(LANDMARKS, bare, IMAGES)
    two = {name: [*faces, *faces] for name, faces in bare.landmarks.items()}
    scores, bd, _, failures, _ = score_task(
        TASK, measured(), replace(bare, landmarks=two), predicted(tmp_path), SETTINGS
    )
    assert scores["value"].isna().all()
    assert set(scores["status"]) == {"task-failed"}
    assert not len(bd[bd["bd_rate"].notna()])
    assert list(failures["images"]) == [8]
    assert failures["detail"][0] == "image 'i0': 2 faces, 1 found in it"


def failing(
    folder: Path, failures: dict[tuple[str, str], str], loaded: str = ""
) -> dict[str, list[Path]]:
    """`predicted`, with failures (codec spec, image) -> reason in place of predictions."""
    found: dict[str, list[Path]] = {}
    strings = {**POINTS, (ORIGINALS, ORIGINALS): (0, 0.4)}
    for family in ("full", "half", ORIGINALS):
        path = folder / f"{family}.zip"
        found[family] = [path]
        with store.writer(path) as out:
            out.failed, out.device = loaded, "" if loaded else "cpu"
            for (owner, codec), (_, error) in strings.items():
                for number, image in enumerate(IMAGES):
                    if owner != family or loaded:
                        continue
                    if (codec, image) in failures:
                        out.fail(codec, image, failures[codec, image])
                        continue
                    shift = np.array([error * share(number), 0.0])
                    out.add(codec, image, (points(number) + shift)[None])
    return found


def test_an_image_that_the_task_failed_on_is_a_row(tmp_path: Path) -> None:
    """It counts for no codec spec; the string is named with the reason, and its count."""
    failures = {("webp:quality=30", "i7"): "out of cheese"}
    scores, _, _, table, _ = score_task(
        TASK, measured(), truth(), failing(tmp_path, failures), SETTINGS
    )
    nme = scores[scores["metric"] == "nme"].set_index("codec")
    some_share = np.mean([share(n) for n in range(7)])
    assert nme.loc["jpeg:quality=50", "value"] == pytest.approx(1.0 * some_share / 40, abs=2e-5)
    assert nme.loc["jpeg:quality=50", "ceiling"] == pytest.approx(0.4 * some_share / 40, abs=2e-5)
    assert list(nme.loc["webp:quality=30", ["images", "failed", "status"]]) == [7, 1, "ok"]
    assert list(nme.loc["jpeg:quality=50", ["images", "failed", "status"]]) == [7, 0, "ok"]
    assert set(scores["device"]) == {"cpu"}
    assert tuple(table.columns) == FAILURE_COLUMNS
    (row,) = table.to_dict("records")
    assert (row["family"], row["codec"], row["images"]) == ("half", "webp:quality=30", 1)
    assert (row["first_image"], row["detail"]) == ("i7", "out of cheese")


def test_an_original_that_the_task_failed_on_counts_for_no_string(tmp_path: Path) -> None:
    failures = {(ORIGINALS, "i0"): "too small"}
    scores, _, _, table, _ = score_task(
        TASK, measured(), truth(), failing(tmp_path, failures), SETTINGS
    )
    nme = scores[scores["metric"] == "nme"].set_index("codec")
    some_share = np.mean([share(n) for n in range(1, 8)])
    assert nme.loc["webp:quality=50", "value"] == pytest.approx(1.0 * some_share / 40, abs=2e-5)
    assert list(nme.loc["webp:quality=50", ["images", "failed"]]) == [7, 0]
    assert list(table["codec"]) == [ORIGINALS]


def test_a_string_that_the_task_often_fails_on_is_left_out_alone(tmp_path: Path) -> None:
    failures = {("jpeg:quality=10", f"i{n}"): "black picture" for n in range(3)}
    scores, *_ = score_task(TASK, measured(), truth(), failing(tmp_path, failures), SETTINGS)
    nme = scores[scores["metric"] == "nme"].set_index("codec")
    assert list(nme.loc["jpeg:quality=10", ["images", "failed", "status"]]) == [
        0, 3, "task-failed",
    ]  # fmt: skip
    assert (nme.drop("jpeg:quality=10")["images"] == 8).all()


def test_a_model_that_cannot_be_loaded_is_rows_without_values(tmp_path: Path) -> None:
    predictions = failing(tmp_path, {}, loaded="m.pth: no such file")
    scores, bd, _, table, _ = score_task(TASK, measured(), truth(), predictions, SETTINGS)
    assert len(scores) == len(POINTS) * 2
    assert scores[["value", "lo", "hi", "ceiling"]].isna().all(axis=None)
    assert set(scores["status"]) == {"task-failed"}
    assert set(scores["failed"]) == {8}
    assert set(scores["device"]) == {""}
    assert not len(bd)
    (row,) = table.to_dict("records")
    assert (row["codec"], row["images"], row["detail"]) == ("", 8, "m.pth: no such file")
    assert set(scores["model"]) == {"ruler"}


def test_what_cannot_be_judged_is_a_row_of_its_image(tmp_path: Path) -> None:
    """An annotation without a measure (the eyes' corners coincide), and a prediction of no face."""
    known = truth()
    known.landmarks["i2"][0]["landmarks"][36] = known.landmarks["i2"][0]["landmarks"][45]
    predictions = failing(tmp_path, {("jpeg:quality=30", "i5"): ""})
    with store.writer(tmp_path / "more.zip") as out:
        out.device = "cuda"
        out.add("jpeg:quality=30", "i5", np.zeros((0, 68, 2)))
    predictions["full"].append(tmp_path / "more.zip")
    scores, _, _, table, _ = score_task(TASK, measured(), known, predictions, SETTINGS)
    nme = scores[scores["metric"] == "nme"].set_index("codec")
    assert (nme["images"] == 6).all()
    some_share = np.mean([share(n) for n in range(8) if n not in (2, 5)])
    assert nme.loc["webp:quality=50", "value"] == pytest.approx(1.0 * some_share / 40, abs=2e-5)
    rows = table.set_index("codec")
    assert "eye corners coincide" in rows.loc[ORIGINALS, "detail"]
    assert "(0, 68, 2)" in rows.loc["jpeg:quality=30", "detail"]
    assert list(table["first_image"]) == ["i5", "i2"]
    assert list(nme["device"]) == ["cpu+cuda" if f == "full" else "cpu" for f in nme["family"]]


@pytest.mark.parametrize(("value", "metrics"), [(0.5, ["boxes"]), (np.nan, ["boxes", "masks"])])
def test_what_a_model_does_not_say_has_no_rows(
    value: float, metrics: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A detector without masks has no mask mAP; where nothing has a value, everything has rows."""

    class Judge:
        metrics = {"boxes": Score("Boxes", True), "masks": Score("Masks", True)}

        def count(self, predictions: object) -> int:
            return 0

        def values(self, counts: int, weights: np.ndarray) -> dict[str, np.ndarray]:
            both = {"boxes": value, "masks": np.nan}
            return {name: np.full(len(weights), found) for name, found in both.items()}

    monkeypatch.setattr(task_predictions, "evaluator", lambda *_: Judge())
    scores, bd, *_ = score_task(TASK, measured(), truth(), predicted(tmp_path), SETTINGS)
    assert list(scores["metric"].unique()) == metrics
    assert list(bd["metric"].unique()) == metrics
    assert len(scores) == len(POINTS) * len(metrics)


def test_intervals_are_calibrated_with_the_jackknife(tmp_path: Path) -> None:
    """Not the percentile interval of the draws: that is moved and stretched."""
    scores, *_ = score_task(TASK, measured(), truth(), predicted(tmp_path), SETTINGS)
    row = scores[scores["metric"] == "nme"].set_index("codec").loc["jpeg:quality=30"]
    errors = np.array([2.0 * share(n) / 40 for n in range(8)])
    draws = errors[resample_indices(8, 50, seed=1, dataset="d")].mean(axis=1)
    deleted = np.array([np.delete(errors, n).mean() for n in range(8)])
    expected = calibrated(errors.mean(), draws, deleted)[:2]
    assert (row["lo"], row["hi"]) == pytest.approx(expected, abs=2e-5)
    assert interval(draws) != pytest.approx(expected, abs=2e-4)


def test_differences_at_equal_rate(tmp_path: Path) -> None:
    """Half the bits at every error: at the rate of an error of 2 pixels the other has 1."""
    rate = 8 * 800 * np.mean([share(n) for n in range(8)]) / SIZE**2
    settings = replace(SETTINGS, rates=[rate * 0.999, 9.0])
    paired = score_task(TASK, measured(), truth(), predicted(tmp_path), settings).paired
    assert tuple(paired.columns) == PAIRED
    row = paired[(paired["metric"] == "nme") & (paired["bpp"] < 9)].iloc[0]
    mean_share = np.mean([share(n) for n in range(8)])
    assert (row["family"], row["against"], row["task"]) == ("full", "half", "points")
    assert row["value"] == pytest.approx(2.0 * mean_share / 40, rel=0.01)
    assert row["value_against"] == pytest.approx(1.0 * mean_share / 40, rel=0.01)
    assert row["difference"] == pytest.approx(1.0 * mean_share / 40, rel=0.02)
    far = paired[paired["bpp"] == 9]
    assert far["difference"].isna().all()
    assert set(far["note"]) == {"this rate is beyond the curve of full and of half"}
