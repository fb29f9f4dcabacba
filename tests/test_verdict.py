"""The verdict on a finished run, from its tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from icmbench.codecs.conventional.avif import Avif
from icmbench.codecs.registry import codecs
from icmbench.config.run import announcements, make_run
from icmbench.core.errors import ConfigError
from icmbench.reporting.report.verdict import Verdict, verdict
from icmbench.reporting.tables.failures import COLUMNS

IMAGES = {"a": 4, "b": 3}
UNITS = [(dataset, codec) for dataset in IMAGES for codec in ("x", "y")]
TASKS = {"boxes": ["b"]}


def rd(**changes: int) -> pd.DataFrame:
    """Two codecs of two points on two data sets; changes: failed images of `<codec>_<data set>`."""
    rows = [
        {"dataset": dataset, "family": family, "codec": f"{family}:{point}", "failed": failed}
        for dataset in IMAGES
        for family in ("x", "y")
        for point in (1, 2)
        for failed in [changes.get(f"{family}_{dataset}_{point}", 0)]
    ]
    return pd.DataFrame(rows)


def failed(*rows: tuple[Any, ...]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(COLUMNS))


def tasks(value: float = 0.5, count: float = 0) -> pd.DataFrame:
    row = {"dataset": "b", "task": "boxes", "family": "x", "codec": "x:1"}
    row |= {"value": value, "failed": count}
    return pd.DataFrame([{**row, "metric": metric} for metric in ("m1", "m2")])


def judge(
    rd_table: pd.DataFrame, failures: pd.DataFrame, task_table: pd.DataFrame | None = None
) -> Verdict:
    table = tasks() if task_table is None else task_table
    return verdict(rd_table, failures, table, images=IMAGES, units=UNITS, task_sets=TASKS)


def test_a_clean_run_passes() -> None:
    found = judge(rd(), failed())
    assert found == Verdict((), ())
    for fail_on in ("empty", "any", "never"):
        assert not found.is_error(fail_on)
        assert found.line(fail_on) == ""


def test_a_codec_without_results_on_one_data_set_fails() -> None:
    row = ("b", "y", "y:1", "encode-error", 3, "i", "planted")
    found = judge(rd(y_b_1=3, y_b_2=3), failed(row))
    assert found.empty == ("y on b: no image was coded (planted)",)
    assert found.line("empty").startswith("FAILED (fail_on: empty): y on b")
    assert [found.is_error(word) for word in ("empty", "any", "never")] == [True, True, False]
    assert found.line("never").startswith("incomplete")


def test_one_point_that_gave_a_result_is_enough() -> None:
    row = ("b", "y", "y:1", "encode-error", 3, "i", "planted")
    found = judge(rd(y_b_1=3, y_b_2=2), failed(row))
    assert found.empty == ()
    assert found.failed == ("3 failed codings",)
    assert [found.is_error(word) for word in ("empty", "any", "never")] == [False, True, False]
    assert found.line("empty") == ""
    assert "3 failed codings" in found.line("any")


def test_a_codec_without_any_row_gave_nothing() -> None:
    table = rd()
    assert judge(table[table["family"] != "x"], failed()).empty == (
        "x on a: no image was coded",
        "x on b: no image was coded",
    )


def test_a_data_set_without_a_usable_image_is_named_once() -> None:
    refused = failed(("c", "", "", "refused", 1, "i", "not a PNG"))
    found = verdict(
        rd(),
        refused,
        None,
        images={**IMAGES, "c": 0},
        units=[*UNITS, ("c", "x")],
        task_sets={"t": ["c"]},
    )
    assert found.empty == ("data set c: no usable image",)
    assert found.failed == ("1 refused image",)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_task_without_a_value_gave_nothing(value: float) -> None:
    assert judge(rd(), failed(), tasks(value)).empty == ("task boxes on b: no result",)


def test_predictions_that_failed_are_counted_once() -> None:
    """Not per metric, and not those whose image a codec had failed on."""
    row = ("b", "x", "x:1", "encode-error", 1, "i", "planted")
    assert judge(rd(x_b_1=1), failed(row), tasks(count=3)).failed == (
        "1 failed coding",
        "2 failed predictions",
    )
    assert judge(rd(), failed(), tasks().drop(columns="failed")).failed == ()
    # Two entries of one codec spec: a point each.
    twins = failed(row, ("b", "y", "x:1", "encode-error", 1, "i", "planted"))
    both = pd.concat([tasks(count=3), tasks(count=3).assign(family="y")])
    assert judge(rd(), twins, both).failed == ("2 failed codings", "4 failed predictions")


# Unavailable codecs and metrics.


@pytest.fixture
def config() -> dict[str, Any]:
    return {
        "datasets": {"scenes": {"test": 2}},
        "codecs": {
            "jpeg": {"points": [{"quality": 10}]},
            "av1": {"codec": "avif", "points": [{"quality": 10}]},
        },
        "metrics": ["psnr_rgb", "lpips"],
        "anchors": ["jpeg", "av1"],
    }


def test_what_is_unavailable_is_left_out_and_announced(
    config: dict[str, Any], root: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    run = make_run(config)
    assert list(run.codecs) == ["jpeg", "av1"]
    assert list(run.unavailable) == ["lpips"]
    monkeypatch.setattr(Avif, "unavailable", classmethod(lambda cls: "planted reason"))
    run = make_run(config)
    assert list(run.codecs) == list(run.config["codecs"]) == ["jpeg"]
    assert run.config["anchors"] == ["jpeg"]
    lines = announcements(run)
    assert lines[0] == "unavailable: av1: codec entry av1: planted reason"
    assert lines[1].startswith("unavailable: lpips: alexnet")
    assert lines[2].startswith("anchors: 'av1' is left out")
    with pytest.raises(ConfigError, match=r"metrics: none can be computed here.*lpips: alexnet"):
        make_run({**config, "metrics": ["lpips"]})
    del config["codecs"]["jpeg"]
    with pytest.raises(ConfigError, match=r"none can run here.*planted reason"):
        make_run({**config, "anchors": []})


def test_every_installed_codec_is_available_here() -> None:
    assert {name: codec.unavailable() for name, codec in codecs().items()} == dict.fromkeys(
        codecs(), ""
    )


@pytest.mark.parametrize("feature", ["avif", "webp", "jpg_2000"])
def test_a_pillow_without_a_format_is_a_reason(
    feature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import features

    monkeypatch.setattr(features, "check", lambda name: name != feature)
    found = [name for name, codec in codecs().items() if codec.unavailable()]
    of = {"avif": ["avif", "svt-av1"], "webp": ["webp"], "jpg_2000": ["jpeg2000"]}
    assert found == of[feature]
