"""Rate scales that are not monotone: which settings are compared, and the notes in rd.csv."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from icmbench.codecs.specs import expand_points
from icmbench.config.rate_scales import rate_scales
from icmbench.reporting.tables.scale_notes import scale_notes

METRICS = {"psnr": True, "lpips": False}
GOOD = [(1, 0.1, 20, 0.9), (2, 0.2, 25, 0.5), (3, 0.4, 30, 0.2)]  # setting, bpp, psnr, lpips


def notes(rows: list[tuple[int, float, float, float]], order: list[int], **more: Any) -> list[str]:
    """The notes of the rows of one entry, in the order of the rows."""
    values = {"dataset": "photos", "family": "x"} | more
    table = pd.DataFrame(
        [values | {"codec": f"x:q={q}", "bpp": b, "psnr": p, "lpips": d} for q, b, p, d in rows]
    )
    return scale_notes(table, {"x": [[f"x:q={q}" for q in order]]}, METRICS)


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 2, 1]])
def test_a_monotone_scale_has_no_note_whichever_way_its_key_runs(order: list[int]) -> None:
    assert notes(GOOD, order) == ["", "", ""]


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 2, 1]])
@pytest.mark.parametrize(
    ("changed", "number", "note"),
    [
        ((2, 0.2, 19, 0.5), 1, "worse psnr than x:q=1"),
        ((2, 0.2, 25, 0.95), 1, "worse lpips than x:q=1"),
        ((2, 0.2, 19, 0.95), 1, "worse psnr, lpips than x:q=1"),
        ((2, 0.05, 25, 0.5), 1, "fewer bits than x:q=1"),
        ((2, 0.05, 19, 0.5), 1, "fewer bits and worse psnr than x:q=1"),
        # The finer of two settings has the note, here the finest.
        ((2, 0.2, 31, 0.5), 2, "worse psnr than x:q=2"),
        ((2, 0.5, 25, 0.5), 2, "fewer bits than x:q=2"),
    ],
)
def test_a_step_that_is_not_monotone_is_noted_at_the_finer_setting(
    changed: tuple[int, float, float, float], number: int, note: str, order: list[int]
) -> None:
    expected = [""] * 3
    expected[number] = f"rate scale not monotone: {note}"
    assert notes([GOOD[0], changed, GOOD[2]], order) == expected


def test_equal_means_and_rounding_are_monotone() -> None:
    same = [GOOD[0], (2, 0.1, 20 - 1e-12, 0.9), GOOD[2]]
    assert notes(same, [1, 2, 3]) == ["", "", ""]
    infinite = [GOOD[0], (2, 0.2, np.inf, 0.0), (3, 0.4, np.inf, 0.0)]
    assert notes(infinite, [1, 2, 3]) == ["", "", ""]


def test_settings_without_averages_are_passed_over() -> None:
    """Of a setting that failed on most images; its neighbours are compared with each other."""
    lost = (2, np.nan, np.nan, np.nan)
    assert notes([GOOD[0], lost, (3, 0.4, 19, 0.2)], [1, 2, 3])[2].endswith("psnr than x:q=1")
    undefined = [(q, b, np.nan, d) for q, b, _, d in GOOD]
    assert notes(undefined, [1, 2, 3]) == ["", "", ""]


def test_other_entries_and_data_sets_are_not_compared() -> None:
    assert notes(GOOD[::-1], [1, 2, 3], family="y") == ["", "", ""]
    rows = [
        {"dataset": d, "family": "x", "codec": f"x:q={q}", "bpp": 0.1 * q, "psnr": p, "lpips": 0.5}
        for d, quality in (("one", (20, 30)), ("two", (10, 5)))
        for q, p in enumerate(quality, 1)
    ]
    found = scale_notes(pd.DataFrame(rows), {"x": [["x:q=1", "x:q=2"]]}, METRICS)
    assert [bool(note) for note in found] == [False, False, False, True]


def test_scales_hold_points_that_differ_in_the_rate_key_alone() -> None:
    grids = [
        {"quality": [50, 5]},
        {"quality": [5, 10], "scale": 0.5},
        {"quality": 5, "scale": 0.25},
    ]
    assert rate_scales(expand_points("webp", grids)) == [
        ["webp:quality=5", "webp:quality=50"],
        ["webp:quality=5,scale=0.5", "webp:quality=10,scale=0.5"],
    ]
    # A default is left out of a codec spec, not out of the order.
    cut = [{"state": [3, 0, 1]}, {"state": [1, 0], "decoder": "mean"}]
    assert rate_scales(expand_points("mpd", cut)) == [
        ["mpd", "mpd:state=1", "mpd:state=3"],
        ["mpd:decoder=mean", "mpd:state=1,decoder=mean"],
    ]
    assert rate_scales(expand_points("identity", [{}])) == []
