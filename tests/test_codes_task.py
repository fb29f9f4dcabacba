"""Bar codes: what counts as read, the stored format, the reader on printed symbols, the drawing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from conftest import make_picture
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import Polygon
from PIL import Image as PillowImage
from task_checks import as_stored, evaluate

from icmbench.barcodes.contents import content
from icmbench.barcodes.formats import FORMATS
from icmbench.barcodes.sheets import Sheet, extent
from icmbench.barcodes.symbols import make_symbol
from icmbench.core.errors import ConfigError, MeasurementError, TaskError
from icmbench.pasted import Tilt, homography, outline, paste, project, tilted, to_srgb
from icmbench.reporting.figures.answers.codes import LOST, READ, WRONG, draw
from icmbench.reporting.figures.predicted import Predicted
from icmbench.reporting.figures.task_overlays import GREY
from icmbench.tasks import store
from icmbench.tasks.answers.codes import ANSWER, CODES, Codes
from icmbench.tasks.base import Labels
from icmbench.tasks.evaluate import Truth, evaluator
from icmbench.tasks.metrics.code_metrics import SIZES, CodeEvaluator
from icmbench.tasks.registry import make_task

KINDS = tuple(FORMATS)
Symbols = list[dict[str, Any]]


def symbol(kind: str, text: str, x: float, y: float, size: float = 2.5) -> dict[str, Any]:
    """A symbol of 40 x 30 pixels with its centre at x, y."""
    corners = outline((40, 30)) + np.array([x - 20, y - 15])
    return {"format": kind, "text": text, "corners": corners.tolist(), "module_px": size}


def codes(symbols: Sequence[Mapping[str, Any]]) -> Codes:
    corners = np.array([each["corners"] for each in symbols], np.float64)
    return Codes(
        tuple(each["format"] for each in symbols),
        tuple(each["text"] for each in symbols),
        corners.reshape(len(symbols), 4, 2),
        ((0, 0),) * len(symbols),
    )


def judged(
    truth: Mapping[str, Symbols], found: Mapping[str, Codes], times: Sequence[int] = ()
) -> dict[str, float]:
    judge = CodeEvaluator([*truth], truth)
    weights = np.array([times or [1] * len(truth)], np.int64)
    return {key: float(each[0]) for key, each in judge.values(judge.count(found), weights).items()}


# What counts as read.


def test_format_text_and_place_have_to_be_right() -> None:
    truth = {"a": [symbol("qr", "ONE", 50, 50), symbol("ean13", "2000000000008", 150, 50, 3.7)]}
    right = truth["a"]
    assert judged(truth, {"a": codes(right)}) == pytest.approx(
        {"read": 1, "read_qr": 1, "read_data_matrix": np.nan, "read_ean13": 1,
         "read_code128": np.nan, "read_below_2_5px": np.nan, "read_2_5_to_3px": 1,
         "read_3_to_4px": np.nan, "read_from_4px": np.nan, "misread": 0}, nan_ok=True,
    )  # fmt: skip
    wrong = {
        "text": symbol("qr", "0NE", 50, 50),
        "format": symbol("data_matrix", "ONE", 50, 50),
        "place": symbol("qr", "ONE", 50, 71),
        "other place": symbol("qr", "ONE", 150, 50),
    }
    for planted in wrong.values():
        values = judged(truth, {"a": codes([planted, right[1]])})
        assert (values["read"], values["read_qr"], values["misread"]) == (0.5, 0, 1)
    moved = judged(truth, {"a": codes([symbol("qr", "ONE", 50, 69), right[1]])})
    assert (moved["read"], moved["misread"]) == (1, 0)
    twice = judged(truth, {"a": codes([right[0], symbol("qr", "ONE", 52, 50)])})
    assert (twice["read"], twice["misread"]) == (0.5, 0)
    nothing = judged(truth, {"a": codes([])})
    assert (nothing["read"], nothing["misread"]) == (0, 0)


def test_one_find_is_one_symbol() -> None:
    """Two symbols of one text, of which one is read: the nearer one."""
    truth = {"a": [symbol("qr", "A", 50, 50, 1), symbol("qr", "A", 50, 60, 5)]}
    values = judged(truth, {"a": codes([symbol("qr", "A", 50, 57)])})
    assert (values["read"], values["misread"]) == (0.5, 0)
    assert (values["read_below_2_5px"], values["read_from_4px"]) == (0, 1)
    both = judged(truth, {"a": codes([symbol("qr", "A", 50, y) for y in (57, 58)])})
    assert both["read"] == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_shares_are_counts_over_images_drawn_again(seed: int) -> None:
    """Of symbols far apart, found or not, by groups; images count several times or never."""
    rng = np.random.default_rng(seed)
    truth: dict[str, Symbols] = {}
    found: dict[str, Codes] = {}
    rows = []  # image, symbol, read
    wrong = {}
    for image in range(5):
        symbols = [
            symbol(KINDS[rng.integers(4)], f"T{n}", 100 * n, 40, float(rng.uniform(1, 6)))
            for n in range(int(rng.integers(0, 5)))
        ]
        name = f"i{image}"
        hits = [bool(rng.random() < 0.6) for _ in symbols]
        rows += [(image, each, hit) for each, hit in zip(symbols, hits, strict=True)]
        extra = [symbol("qr", "NOT THERE", 20, 300)] * int(rng.integers(0, 3))
        read = [each for each, hit in zip(symbols, hits, strict=True) if hit]
        truth[name], found[name], wrong[image] = symbols, codes([*extra, *read]), len(extra)
    times = rng.integers(0, 4, 5).tolist()
    values = judged(truth, found, times)

    def share(belongs: Any) -> float:
        kept = [(times[i], hit) for i, each, hit in rows if belongs(each)]
        total = sum(weight for weight, _ in kept)
        return sum(w * hit for w, hit in kept) / total if total else np.nan

    assert values["read"] == pytest.approx(share(lambda each: True), nan_ok=True)
    for kind in KINDS:
        expected = share(lambda each, kind=kind: each["format"] == kind)
        assert values[f"read_{kind}"] == pytest.approx(expected, nan_ok=True)
    for name, (low, high) in SIZES.items():
        expected = share(
            lambda each, a=low, b=high: (
                not FORMATS[each["format"]].linear and a <= each["module_px"] < b
            )
        )
        assert values[name] == pytest.approx(expected, nan_ok=True)
    total = sum(times)
    mean = sum(times[i] * wrong[i] for i in wrong) / total if total else np.nan
    assert values["misread"] == pytest.approx(mean, nan_ok=True)


def test_malformed_codes() -> None:
    good = symbol("qr", "ONE", 50, 50)
    back = store.decode(store.encode(codes([good]))[1], CODES)
    assert isinstance(back, Codes)
    assert (back.formats, back.texts, back.corners.tolist()) == (
        ("qr",),
        ("ONE",),
        [good["corners"]],
    )
    assert as_stored(codes([])).corners.shape == (0, 4, 2)  # type: ignore[union-attr]
    for planted in (
        Codes(("qr",), ("A", "B"), np.zeros((2, 4, 2)), ((0, 0),) * 2),
        Codes(("qr",), ("A",), np.zeros((1, 3, 2)), ((0, 0),)),
        Codes(("qr",), ("A",), np.full((1, 4, 2), np.nan), ((0, 0),)),
    ):
        with pytest.raises(TaskError, match="corner"):
            store.encode(planted)
    with pytest.raises(MeasurementError, match="not what was written as codes"):
        store.decode(b'[{"format":"qr"}]', CODES)
    for change, message in (
        ({"format": "aztec"}, "symbol 2: unknown format 'aztec'; there are qr, data_matrix"),
        ({"text": ""}, "symbol 2: text='' is no text"),
        ({"corners": [[0, 0]]}, "symbol 2: corners are not four finite pairs"),
        ({"corners": [[0, 0], [1, 0], [1, 1], [0, "x"]]}, "symbol 2: corners are not four finite"),
        ({"module_px": -1}, "symbol 2: module_px=-1 is no size in pixels"),
        ({"module_px": "3"}, "symbol 2: module_px='3' is no size in pixels"),
    ):
        with pytest.raises(TaskError, match=f"image 'a', {message}"):
            CodeEvaluator(["a"], {"a": [good, {**good, **change}]})
    with pytest.raises(TaskError, match="image 'b' has no list of codes"):
        CodeEvaluator(["b"], {"a": [good]})
    with pytest.raises(MeasurementError, match="image 'a' has no prediction"):
        CodeEvaluator(["a"], {"a": [good]}).count({})
    with pytest.raises(TaskError, match="no annotations of the kind codes"):
        evaluator(CODES, Truth(), ["a"])
    assert ANSWER.needs_originals(Truth(more={CODES: {"a": [], "b": []}}))


# The reader.


@pytest.fixture(scope="module")
def reader() -> Any:
    task = make_task("read", {"type": "codes", "datasets": ["photos"]})
    task.load(Labels("photos", {}, ()), "cpu")
    return task


def printed(
    kind: str, text: str, module: float, tilt: Tilt
) -> tuple[np.ndarray, np.ndarray, float]:
    """A grey picture with one symbol: the image, its corners, pixels of a module in its middle."""
    made = make_symbol(kind, text)
    bars = 30 if FORMATS[kind].linear else 0
    sheet = Sheet.blank(*extent(made, 10, bars), 10, (250, 250, 248))
    sheet.stamp(made, 0, 0, 10, bars)
    size = int(2.2 * max(sheet.size) * module / 10)
    corners = tilted(sheet.size, (size / 2, size / 2 + 1.3), module / 10, tilt)
    canvas = np.full((size, size, 3), 0.2, np.float32)
    image = np.rint(255 * to_srgb(paste(canvas, sheet.pixels(), corners))).astype(np.uint8)
    matrix = homography(outline(sheet.size), corners)
    return image, project(matrix, sheet.symbols[0].corners), module


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tilt", [Tilt(), Tilt(20, -15, 7), Tilt(-25, 10, 185)])
def test_printed_symbols_are_read_where_they_are(reader: Any, kind: str, tilt: Tilt) -> None:
    text = content(np.random.default_rng(5), kind)
    image, corners, module = printed(kind, text, 3.0, tilt)
    found = as_stored(reader.predict(image, []))
    assert isinstance(found, Codes)
    assert (found.formats, found.texts) == ((kind,), (text,))
    if not FORMATS[kind].linear:  # of a linear one the reader gives the rows that it read
        assert np.abs(found.corners[0] - corners).max() < 1.5 * module
    truth = {"a": [{"format": kind, "text": text, "corners": corners.tolist()}]}
    assert judged(truth, {"a": found})["read"] == 1
    (listed,) = ANSWER.refer(Truth(), {"a": found}).more[CODES]["a"]
    lean = np.cos(np.radians(max(abs(tilt.yaw), abs(tilt.pitch))))
    assert 0.85 * lean * module < listed["module_px"] < 1.15 * module


def test_answers_on_the_originals_are_a_reference(reader: Any) -> None:
    """A picture compared with itself is all read; with one coded to mush, nothing is."""
    image, _, _ = printed("qr", "TICKET 123456", 2.8, Tilt(10, 5, 3))
    plain = make_picture(64, 64, 2)
    originals = {"a": image, "b": plain}
    found = {name: as_stored(reader.predict(each, [])) for name, each in originals.items()}
    assert ANSWER.needs_originals(Truth())
    truth = ANSWER.refer(Truth(), found)
    assert not ANSWER.needs_originals(truth)
    rows = dict(evaluate(originals, reader, truth))
    assert (rows["read"], rows["read_qr"], rows["read_2_5_to_3px"], rows["misread"]) == (1, 1, 1, 0)
    side = image.shape[0]
    mush = np.asarray(PillowImage.fromarray(image).resize((side // 5,) * 2).resize((side, side)))
    assert dict(evaluate({"a": mush, "b": plain}, reader, truth))["read"] == 0
    without = ANSWER.refer(Truth(), {"b": found["b"]})
    assert ANSWER.needs_originals(without)
    values = judged(without.more[CODES], {"b": codes([symbol("qr", "GHOST", 5, 5)])})
    assert np.isnan(values["read"])
    assert values["misread"] == 1


def test_what_cannot_be_read(reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TaskError, match="an image of 11x9 pixels is too small for a bar code"):
        reader.predict(np.zeros((9, 11, 3), np.uint8), [])
    assert reader.predict(np.zeros((12, 12, 3), np.uint8), []).texts == ()
    assert (reader.model, reader.uses_device, reader.needs_annotations) == (
        "ZXing-C++",
        False,
        False,
    )
    with pytest.raises(ConfigError, match="formats: 'aztec' is none of qr, data_matrix, ean13"):
        make_task("read", {"type": "codes", "formats": ["aztec"]})
    with pytest.raises(ConfigError, match="formats: none is given"):
        make_task("read", {"type": "codes", "formats": []})
    qr, _, _ = printed("qr", "TICKET 1", 3, Tilt())
    matrix, _, _ = printed("data_matrix", "LOT 1", 3, Tilt())
    one = make_task("read", {"type": "codes", "formats": ["data_matrix"]})
    one.load(Labels("photos", {}, ()), "cpu")
    assert one.predict(qr, []).texts == ()  # type: ignore[union-attr]
    assert one.predict(matrix, []).texts == ("LOT 1",)  # type: ignore[union-attr]
    monkeypatch.setitem(sys.modules, "zxingcpp", None)
    with pytest.raises(
        TaskError, match=r"package zxing-cpp cannot be loaded .*`pip install zxing-c"
    ):
        make_task("read", {"type": "codes"}).load(Labels("photos", {}, ()), "cpu")


# The drawing.


def test_lost_symbols_are_dashed_and_told_apart_in_grey() -> None:
    picture = make_picture(200, 300, 3)
    original = codes([symbol("qr", "ONE", 60, 60), symbol("ean13", "2000000000008", 200, 60)])
    coded = codes([symbol("ean13", "2000000000008", 201, 61), symbol("qr", "TWO", 60, 150)])
    seen = [Predicted("original", "", None, picture, original),
            Predicted("webp", "webp:quality=5", 0.2, picture, coded)]  # fmt: skip
    figure = draw(seen, Labels("x", {}, ()), "Codes", "End.")
    first, second = figure.axes
    words = [[text.get_text() for text in axes.texts] for axes in (first, second)]
    assert words == [["QR: ONE", "EAN-13: 2000000000008"],
                     ["EAN-13: 2000000000008", "QR: TWO", "not read"]]  # fmt: skip
    lines = [patch.get_linestyle() for patch in second.patches if isinstance(patch, Polygon)]
    assert len(set(map(str, lines))) == 3
    about = " ".join(text.get_text() for text in figure.texts)
    assert "2 read" in about
    assert "1 of 2 read" in about
    from matplotlib.colors import to_rgb

    grey = sorted(float(np.dot(to_rgb(colour), GREY)) for colour in (READ, WRONG, LOST))
    assert min(np.diff(grey)) > 0.03
    assert grey[0] > 0.6  # the text on them is black
    with pytest.raises(MeasurementError, match="webp: not codes, as in the original"):
        draw([seen[0], Predicted("webp", "x", 1, picture, np.zeros((2, 2)))], Labels("x", {}, ()),
             "", "")  # fmt: skip
