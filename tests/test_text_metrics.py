"""Text that is read, as numbers: edit distances, matching of lines, error rates, stored answers."""

from __future__ import annotations

import functools
import itertools
import tracemalloc
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icmbench.core.errors import MeasurementError, TaskError
from icmbench.reporting.figures.task_curves import task_curves
from icmbench.reporting.tables.task_comparisons import Scored, Settings
from icmbench.reporting.tables.tasks import score_task
from icmbench.tasks import store
from icmbench.tasks.answers.text import ANSWER, Lines
from icmbench.tasks.base import ORIGINALS
from icmbench.tasks.evaluate import Truth, evaluator
from icmbench.tasks.metrics.edit_distance import align, common_length, edit_distance
from icmbench.tasks.metrics.text_metrics import (
    TextEvaluator,
    box_overlaps,
    match_lines,
    normalised,
)

Known = dict[str, list[dict[str, Any]]]


def box(left: float, top: float, width: float, height: float = 10) -> list[list[float]]:
    right, bottom = left + width, top + height
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def lines(*found: tuple[str, list[list[float]]]) -> Lines:
    texts = tuple(text for text, _ in found)
    boxes = np.array([corners for _, corners in found], np.float64).reshape(-1, 4, 2)
    return Lines(texts, boxes, np.full(len(found), 0.9))


def known(*listed: tuple[str, list[list[float]]]) -> list[dict[str, Any]]:
    return [{"text": text, "box": corners} for text, corners in listed]


def judged(truth: Known, found: Mapping[str, Lines], times: Sequence[int] = ()) -> dict[str, float]:
    judge = TextEvaluator([*truth], truth)
    weights = np.array([times or [1] * len(truth)], np.int64)
    return {k: float(v[0]) for k, v in judge.values(judge.count(found), weights).items()}


# Edit distance.


def brute(first: str, second: str) -> int:
    """Edit distance as it is defined: the cheapest way over all first steps."""

    @functools.cache
    def rest(i: int, j: int) -> int:
        if i == len(first) or j == len(second):
            return len(first) - i + len(second) - j
        pair = rest(i + 1, j + 1) + (first[i] != second[j])
        return min(pair, rest(i + 1, j) + 1, rest(i, j + 1) + 1)

    return rest(0, 0)


def longest_common(first: str, second: str) -> int:
    """By trying all subsequences."""
    for length in range(min(len(first), len(second)), 0, -1):
        parts = set(itertools.combinations(first, length))
        if parts & set(itertools.combinations(second, length)):
            return length
    return 0


@given(st.text("abc ", max_size=9), st.text("abc ", max_size=9))
def test_edit_distance_and_alignment(first: str, second: str) -> None:
    distance = edit_distance(first, second)
    assert distance == brute(first, second)
    assert common_length(first, second) == longest_common(first, second)
    pairs = align(first, second)
    assert [i for i, _ in pairs if i is not None] == list(range(len(first)))
    assert [j for _, j in pairs if j is not None] == list(range(len(second)))
    wrong = [1 for i, j in pairs if i is None or j is None or first[i] != second[j]]
    assert len(wrong) == distance


def test_planted_distances() -> None:
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("", "abc") == edit_distance("abc", "") == 3
    assert align("ac", "abc") == [(0, 0), (None, 1), (1, 2)]
    assert common_length(["a", "b", "c", "d"], ["b", "x", "d"]) == 2


# Matching and metrics.


def test_lines_are_matched_by_their_boxes_not_by_text_or_order() -> None:
    reference = np.array([box(0, 0, 100), box(0, 20, 100), box(0, 40, 100)], float)
    read = np.array([box(2, 41, 100), box(0, 0, 100), box(0, 24, 100), box(300, 0, 9)], float)
    # The third of the read lines overlaps by 6 of 14: not half.
    assert match_lines(reference, read) == [(0, 1), (2, 0)]
    assert match_lines(reference, reference[::-1]) == [(0, 2), (1, 1), (2, 0)]
    none = np.zeros((0, 4, 2))
    assert match_lines(reference, none) == match_lines(none, read) == []
    # One to one: of two read lines at one place the nearer.
    twice = np.array([box(0, 1, 100), box(0, 0, 100)], float)
    assert match_lines(reference, twice) == [(0, 1)]
    assert box_overlaps(reference[:1], twice)[0] == pytest.approx([9 / 11, 1])


def test_the_assignment_has_the_largest_sum() -> None:
    """A greedy choice of the best pair leaves a line without a partner."""
    reference = np.array([box(0, 0, 10), box(3, 0, 10)], float)
    read = np.array([box(2, 0, 10), box(-2.9, 0, 10)], float)
    overlaps = box_overlaps(reference, read)
    assert overlaps.argmax() == 2  # line 1 with read line 0
    assert match_lines(reference, read) == [(0, 1), (1, 0)]


def test_overlaps_of_turned_boxes() -> None:
    square = np.array([box(0, 0, 10)], float)
    turned = np.array([[[5, -5], [15, 5], [5, 15], [-5, 5]]], float)  # area 200, holds the square
    assert box_overlaps(square, turned) == pytest.approx(np.array([[0.5]]))
    crossed = square[:, [0, 2, 1, 3]]  # corners in another order: the same hull
    assert box_overlaps(square, crossed) == pytest.approx(np.array([[1.0]]))
    flat = np.array([[[0, 0], [5, 0], [10, 0], [5, 0]]], float)
    assert box_overlaps(square, flat) == 0


def test_planted_errors_have_planted_rates() -> None:
    truth: Known = {
        "a": known(("Alder Street 12", box(0, 0, 100)), ("no parking", box(0, 30, 80))),
        "b": known(("open", box(0, 0, 50))),
        "c": [],
    }
    right = {"a": lines(("no parking", box(0, 30, 80)), ("Alder Street 12", box(0, 0, 100))),
             "b": lines(("open", box(1, 0, 50))), "c": lines()}  # fmt: skip
    assert judged(truth, right) == {
        "cer": 0, "word_accuracy": 1, "lines_found": 1, "extra_lines": 0,
    }  # fmt: skip
    # One substitution, one deletion, one insertion; case counts.
    wrong = right | {
        "a": lines(("Alder Stret 12", box(0, 0, 100)), ("No paarking", box(0, 30, 80)))
    }
    found = judged(truth, wrong)
    assert found["cer"] == pytest.approx(3 / 29)
    assert found["word_accuracy"] == pytest.approx(3 / 6)
    # A missed line is deleted as a whole, a line elsewhere is inserted as a whole.
    missed = right | {"a": lines(("Alder Street 12", box(0, 0, 100))),
                      "c": lines(("ghost", box(5, 5, 40)), ("II", box(90, 5, 40)))}  # fmt: skip
    found = judged(truth, missed)
    assert found["cer"] == pytest.approx((10 + 5 + 2) / 29)
    assert found["word_accuracy"] == pytest.approx(4 / 6)
    assert found["lines_found"] == pytest.approx(2 / 3)
    assert found["extra_lines"] == pytest.approx(2 / 3)
    # Right words at the wrong place are not read.
    moved = right | {"b": lines(("open", box(200, 0, 50)))}
    assert judged(truth, moved)["cer"] == pytest.approx(8 / 29)
    nothing = dict.fromkeys(truth, lines())
    assert judged(truth, nothing) == {
        "cer": 1, "word_accuracy": 0, "lines_found": 0, "extra_lines": 0,
    }  # fmt: skip


def test_rates_are_ratios_of_sums_over_weighted_images() -> None:
    truth: Known = {"a": known(("abcdefghij", box(0, 0, 90))), "b": known(("xy", box(0, 0, 20)))}
    found = {"a": lines(("abcdefghij", box(0, 0, 90))), "b": lines(("xz", box(0, 0, 20)))}
    assert judged(truth, found)["cer"] == pytest.approx(1 / 12)  # not the mean of 0 and 1/2
    assert judged(truth, found, [2, 3])["cer"] == pytest.approx(3 / 26)
    assert judged(truth, found, [1, 0])["cer"] == 0
    judge = TextEvaluator([*truth], truth)
    values = judge.values(judge.count(found), np.zeros((1, 2), np.int64))
    assert all(np.isnan(value).all() for value in values.values())
    with pytest.raises(ValueError, match="weights"):
        judge.values(judge.count(found), np.ones((1, 3), np.int64))


def test_text_is_compared_in_nfc_with_single_spaces() -> None:
    assert normalised(" cafe\u0301\u3000 \tno. 1\n") == "caf\u00e9 no. 1"
    assert normalised("\uff21") == "\uff21"  # no compatibility forms
    truth: Known = {"a": known(("Caf\u00e9  no. 1", box(0, 0, 90)))}
    assert judged(truth, {"a": lines(("Cafe\u0301 no. 1 ", box(0, 0, 90)))})["cer"] == 0
    assert judged(truth, {"a": lines(("caf\u00e9 no. 1", box(0, 0, 90)))})["cer"] > 0


# Stored answers and references.


def test_stored_lines() -> None:
    found = lines(("Straße 5 \u20ac", box(1.23456, 2, 30)), ("\u4e2d", box(0, 0, 9)))
    extension, data = store.encode(found)
    assert extension == "json"
    back = store.decode(data, "text")
    assert isinstance(back, Lines)
    assert back.texts == found.texts
    np.testing.assert_allclose(back.boxes, found.boxes, atol=5e-4)
    empty = store.decode(store.encode(lines())[1], "text")
    assert isinstance(empty, Lines)
    assert empty.boxes.shape == (0, 4, 2)
    for wrong, message in (
        (Lines(("a",), np.zeros((0, 4, 2)), np.ones(1)), "shapes"),
        (Lines(("a",), np.full((1, 4, 2), np.nan), np.ones(1)), "not finite"),
        (Lines((" ",), np.zeros((1, 4, 2)), np.ones(1)), "has no text"),
    ):
        with pytest.raises(TaskError, match=message):
            store.encode(wrong)
    with pytest.raises(MeasurementError, match="not what was written as text"):
        store.decode(b'{"a": 1}', "text")


def test_the_reading_of_the_originals_as_reference() -> None:
    found = {"a": lines(("Alder Street", box(0, 0, 90)), ("x", box(0, 40, 90))), "b": lines()}
    empty = Truth()
    assert ANSWER.needs_originals(empty)
    truth = ANSWER.refer(empty, found)
    assert not ANSWER.needs_originals(truth)
    judge = evaluator("text", truth, ["a", "b"])
    values = judge.values(judge.count(found), np.ones((1, 2), np.int64))
    assert {k: float(v[0]) for k, v in values.items()} == {
        "cer": 0, "word_accuracy": 1, "lines_found": 1, "extra_lines": 0,
    }  # fmt: skip
    with pytest.raises(TaskError, match="no text was read on the originals"):
        ANSWER.refer(empty, {"a": lines(), "b": lines()})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"text": "a"}, "box=None is not four corners"),
        ({"text": " ", "box": box(0, 0, 9)}, "text=' ' is no text"),
        ({"text": "a", "box": box(0, 0, 9)[:3]}, "is not four corners"),
        ({"text": "a", "box": [[0, 0], [1, 0], [float("nan"), 1], [0, 1]]}, "is not four corners"),
        ({"text": "a", "box": [[0, 0], [5, 0], [9, 0], [2, 0]]}, "has no area"),
        ("a", "no object with text and box"),
    ],
)
def test_malformed_annotations(line: Any, message: str) -> None:
    with pytest.raises(TaskError, match=f"image 'i', line 2: .*{message}"):
        TextEvaluator(["i"], {"i": [*known(("a", box(0, 0, 9))), line]})


def test_images_without_text_are_no_faults_of_a_set_that_has_one(tmp_path: Path) -> None:
    """A malformed line takes its own image out of the comparison, and no other."""
    strings = {("x", "jpeg:quality=10"): 900, ("x", "jpeg:quality=30"): 1800}
    names = ["bad", "bare", "full"]
    line = ("open until 9", box(0, 0, 60))
    given: Known = {"bad": [{"text": "a"}], "bare": [], "full": known(line)}
    rows = [
        {"dataset": "d", "image": name, "family": family, "codec": codec, "bytes": size,
         "width": 100, "height": 100, "bpp": size / 1250, "status": "ok"}
        for (family, codec), size in strings.items() for name in names
    ]  # fmt: skip
    paths: dict[str, list[Path]] = {}
    for family, codecs in (("x", [codec for _, codec in strings]), (ORIGINALS, [ORIGINALS])):
        paths[family] = [tmp_path / f"{family}.zip"]
        with store.writer(paths[family][0]) as out:
            for codec in codecs:
                for name in names:
                    out.add(codec, name, lines(*[line] * (name == "full")))
    settings = Settings(resamples=20, seed=1, max_failed=0.5, min_overlap=0.1, anchors=[])
    scored = partial(score_task, Scored("reading", "reader", "text"), pd.DataFrame(rows))
    tables = scored(Truth(more={"text": given}), paths, settings)
    assert list(tables.failures["first_image"]) == ["bad"]
    assert list(tables.failures["images"]) == [1]
    scores = tables.scores.set_index(["metric", "codec"])
    assert list(scores.loc["cer", "images"]) == [2, 2]
    assert list(scores.loc["cer", "value"]) == [0, 0]
    none = scored(Truth(more={"text": {name: [] for name in names}}), paths, settings)
    assert [*none.failures["detail"]] == ["no image has a line of text: there is nothing to read"]
    assert set(none.scores["status"]) == {"task-failed"}
    figure = task_curves(none.scores, "d", "reading")  # of a run that goes on
    assert "the task has no result" in " ".join(text.get_text() for text in figure.texts)


def test_a_very_long_line_takes_the_memory_of_a_row() -> None:
    rng = np.random.default_rng(1)
    first = "".join(rng.choice(list("ab "), 1200))
    second = f"x{first[:600]}{first[601:]}"
    tracemalloc.start()
    assert edit_distance(first, second) == 2
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1e6  # of a whole table 12 MB


def test_annotations_without_lines() -> None:
    with pytest.raises(TaskError, match="no image has a line of text"):
        TextEvaluator(["a", "b"], {"a": [], "b": []})
    with pytest.raises(TaskError, match="image 'b' has no lines of text, not even an empty list"):
        TextEvaluator(["a", "b"], {"a": known(("a", box(0, 0, 9)))})
    with pytest.raises(MeasurementError, match="image 'a' has no prediction"):
        TextEvaluator(["a"], {"a": known(("a", box(0, 0, 9)))}).count({})
