"""The task `ocr`: rapidocr's own networks, offline, and the drawing of what they read."""

from __future__ import annotations

import io
import logging
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import ROOT
from figure_checks import assert_no_overlap, words
from PIL import Image as PillowImage
from PIL import ImageDraw
from task_checks import evaluate
from test_text_metrics import box, lines

from icmbench.core.errors import ConfigError, ModelError, TaskError
from icmbench.lettering.fonts import SANS, load_font
from icmbench.reporting.figures.answers.text import compared
from icmbench.reporting.figures.predicted import Predicted
from icmbench.reporting.figures.task_pictures import task_pictures
from icmbench.tasks import store
from icmbench.tasks.answers.text import ANSWER, Lines
from icmbench.tasks.base import Labels
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.kinds import ocr
from icmbench.tasks.registry import make_task

LABELS = Labels("text", {}, ())


def written(*texts: str, size: int = 26) -> np.ndarray:
    """Black lines on a light grey image, 60 pixels apart."""
    image = PillowImage.new("RGB", (320, 60 * len(texts) + 20), (225, 225, 220))
    for number, text in enumerate(texts):
        place = (20, 50 + 60 * number)
        ImageDraw.Draw(image).text(place, text, (20, 20, 30), load_font(SANS, size), anchor="ls")
    return np.asarray(image)


@pytest.fixture(scope="module")
def reader() -> ocr.Ocr:
    task = make_task("ocr", {"type": "ocr", "datasets": ["text"], "side": 320})
    assert isinstance(task, ocr.Ocr)
    task.load(LABELS, "cpu")
    return task


def test_lines_are_read_at_their_places(reader: ocr.Ocr) -> None:
    image = written("Harbour Street 48", "Total 17.95")
    found = reader.predict(image, ())
    assert found.texts == ("Harbour Street 48", "Total 17.95")
    for number, corners in enumerate(found.boxes):
        ink = np.argwhere(image[60 * number + 10 : 60 * number + 70].min(axis=2) < 120)
        low, high = ink.min(axis=0)[::-1], ink.max(axis=0)[::-1]
        shift = (0, 60 * number + 10)
        assert np.abs(corners[0] - low - shift).max() < 6
        assert np.abs(corners[2] - high - shift).max() < 6
    assert ((found.scores > 0.5) & (found.scores <= 1)).all()
    again = reader.predict(image.copy(), ())
    assert (again.boxes == found.boxes).all()
    assert store.encode(again) == store.encode(found)


def test_colours_are_given_as_the_networks_expect_them(reader: ocr.Ocr) -> None:
    """Blue on red and red on blue differ in the order of the channels alone: BGR is passed on."""
    seen: list[np.ndarray] = []
    image = np.zeros((40, 60, 3), np.uint8)
    image[..., 0] = 200

    class Spy:
        def __call__(self, given: np.ndarray, **_: Any) -> Any:
            seen.append(given)
            return type("Nothing", (), {"txts": None, "boxes": None, "scores": None})()

    spied = ocr.Ocr("ocr", {})
    spied._engine = Spy()
    assert spied.predict(image, ()).texts == ()
    assert seen[0][0, 0].tolist() == [0, 0, 200]


def test_images_without_text_and_too_small_ones(reader: ocr.Ocr) -> None:
    grey = np.full((64, 64, 3), 127, np.uint8)
    assert reader.predict(grey, ()).texts == ()
    with pytest.raises(TaskError, match=r"an image of 64x31 pixels: text is found in 32x32 or mor"):
        reader.predict(grey[:31], ())


def test_one_thread_no_messages_no_classifier(
    reader: ocr.Ocr, capfd: pytest.CaptureFixture[str]
) -> None:
    for part in (reader._engine.text_det, reader._engine.text_rec):
        options = part.session.session.get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert reader._engine.text_cls is None
    assert cv2.getNumThreads() == 1
    reader.predict(np.full((64, 64, 3), 127, np.uint8), ())
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    assert not logging.getLogger("RapidOCR").isEnabledFor(logging.ERROR)


OFFLINE = """
import socket
def refuse(*args, **kwargs):
    raise AssertionError("the network is used")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import numpy as np
from icmbench.tasks.base import Labels
from icmbench.tasks.registry import make_task
task = make_task("ocr", {"side": 64})
task.load(Labels("text", {}, ()), "cpu")
print(len(task.predict(np.full((64, 64, 3), 127, np.uint8), ()).texts))
"""


def test_nothing_is_fetched() -> None:
    """In a process of its own without a network, the models are loaded and run."""
    done = subprocess.run([sys.executable, "-c", OFFLINE], capture_output=True, text=True,
                          check=False, timeout=300, cwd=ROOT)  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 0)


def test_a_wheel_without_its_networks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A missing or damaged network is one sentence, and is not fetched."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network is used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    task, bundled = ocr.Ocr("ocr", {}), ocr.network_files()
    origin = tmp_path / "__init__.py"
    found = SimpleNamespace(origin=str(origin))
    monkeypatch.setattr(ocr.importlib.util, "find_spec", lambda name: found)
    (tmp_path / "models").mkdir()
    shutil.copy(bundled[0], tmp_path / "models")
    sentence = r"rec_small.onnx: no such file; the wheel of rapidocr 3.10 has it: install that agai"
    with pytest.raises(ModelError, match=sentence):
        task.load(LABELS, "cpu")
    with pytest.raises(ModelError, match=sentence):
        task.files()  # before the run
    (tmp_path / "models" / ocr.RECOGNITION).write_bytes(b"nothing")
    assert task.files() == []
    with pytest.raises(ModelError, match=r"rec_small.onnx: ONNX Runtime cannot run it") as raised:
        task.load(LABELS, "cpu")
    assert "\n" not in str(raised.value)
    monkeypatch.setattr(ocr.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="the package rapidocr is not installed: install rapido"):
        task.load(LABELS, "cpu")
    monkeypatch.setattr(ocr, "runs_jobs", lambda: False)
    assert task.files() == []  # a plan is made without the package


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks are there, and what rapidocr imports is not: pip was told --no-deps."""
    files = ocr.network_files()
    monkeypatch.setattr(ocr, "network_files", lambda: files)
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(ModelError, match=r"rapidocr cannot be loaded \(.*`pip install rapidocr on"):
        ocr.Ocr("ocr", {}).load(LABELS, "cpu")


def test_a_gpu_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    task = ocr.Ocr("ocr", {"side": 64})
    task.load(LABELS, "cuda")
    assert task.device == "cpu"
    assert "det_small.onnx: ONNX Runtime's CUDAExecutionProvider is not installed" in caplog.text
    task.must_use_device = True
    with pytest.raises(TaskError, match="CUDAExecutionProvider is not installed; install onnxrunt"):
        task.load(LABELS, "cuda")


def test_options() -> None:
    with pytest.raises(ConfigError, match="side=16 is below 32"):
        ocr.Ocr("ocr", {"side": 16})
    with pytest.raises(ConfigError, match="unknown option"):
        ocr.Ocr("ocr", {"sides": 64})
    with pytest.raises(ConfigError, match=r"score=1\.5 is above 1, the largest score of a line"):
        ocr.Ocr("ocr", {"score": 1.5})


def test_a_better_jpeg_is_read_better(reader: ocr.Ocr) -> None:
    """Quality 4 against 90, through the evaluator and the stored form."""
    texts = ("Harbour Street 48", "Total 17.95", "open until 18:30")
    image = written(*texts, size=13)
    reference = ANSWER.refer(Truth(), {"i": reader.predict(image, ())})
    found = {}
    for quality in (4, 90):
        buffer = io.BytesIO()
        PillowImage.fromarray(image).save(buffer, "JPEG", quality=quality)
        coded = np.asarray(PillowImage.open(buffer).convert("RGB"))
        found[quality] = dict(evaluate({"i": coded}, reader, reference))
    assert found[90]["cer"] < 0.05
    assert found[4]["cer"] > found[90]["cer"] + 0.1
    assert found[4]["word_accuracy"] < found[90]["word_accuracy"]


# Drawing.


def seen(*found: Lines) -> list[Predicted]:
    picture = np.full((120, 200, 3), 200, np.uint8)
    first, *others = found
    return [
        Predicted("original", "", None, picture, first),
        *(Predicted("jpeg", "jpeg:quality=10", 0.25, picture, each) for each in others),
    ]


@pytest.mark.usefixtures("no_formulas")
def test_wrong_characters_are_marked() -> None:
    first = lines(("Alder Street", box(10, 10, 100)), ("total $5 $7", box(10, 40, 80)))
    other = lines(("Alden Steet", box(10, 10, 100)), ("ghost", box(100, 80, 60)))
    rows, rate = compared(first, other)
    marked = ["".join(f"[{c}]" if wrong else c for c, wrong in row) for row in rows]
    assert marked == ["Alde[n] St[]eet", "[]" * 11, "+[g][h][o][s][t]"]
    assert rate == pytest.approx((2 + 11 + 5) / 23)
    assert compared(first, first)[1] == 0
    figure = task_pictures(seen(first, other), LABELS, title="reading", note="Model: it.")
    text = words(figure)
    assert "CER 78.3 %" in text
    assert "2 lines" in text
    assert "total $5 $7" in text
    assert_no_overlap(figure)


@pytest.mark.usefixtures("no_formulas")
def test_many_long_and_foreign_lines_are_drawn() -> None:
    many = lines(*((f"line {n} {'x' * 80}", box(5, 6 * n, 180, 5)) for n in range(14)))
    foreign = lines(("\u4e2d\u6587 \uff01", box(5, 0, 180, 5)))
    figure = task_pictures(seen(many, foreign), LABELS, title="reading", note="Model: it.")
    assert "and 6 further lines" in words(figure)
    assert "\ufffd" in words(figure)
    assert_no_overlap(figure)
    bare = task_pictures(seen(lines(), many), LABELS, title="reading", note="")
    assert "no text was read on the original" in words(bare)
