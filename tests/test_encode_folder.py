"""`icmbench encode FOLDER --target`: one operating point for many images, by metric or task."""

from __future__ import annotations

import importlib.machinery
import json
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from conftest import make_picture

from icmbench.cli import main
from icmbench.codecs.base import Codec
from icmbench.codecs.registry import codec_class
from icmbench.core.errors import TaskError
from icmbench.core.images.image_files import read_image, write_png
from icmbench.metrics.meter import Meter
from icmbench.reporting.figures.task_curves import curve_metrics, task_metrics
from icmbench.tasks import judge
from icmbench.tasks.answers import Answer
from icmbench.tasks.base import Task
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.known_answers import known_answers
from icmbench.tasks.metrics.score import Score

NAMES = ("b", "a", "c")
KIND = "planted_answers.bright"


@dataclass(frozen=True)
class Bright:
    """Whether blocks of 16 x 16 pixels are bright."""

    produces: ClassVar[str] = KIND
    blocks: tuple[bool, ...]


class Same:
    """Share of the blocks whose answer is that of the reference, over all images."""

    metrics: ClassVar[Mapping[str, Score]] = {"same": Score("blocks", True)}

    def __init__(self, images: Sequence[str], truth: Mapping[str, Sequence[bool]]) -> None:
        self.truth = {name: np.array(truth[name]) for name in images}

    def count(self, predictions: Mapping[str, Bright]) -> Any:
        same = [(self.truth[n] == predictions[n].blocks).sum() for n in self.truth]
        return np.array([same, [t.size for t in self.truth.values()]])

    def values(self, counts: Any, weights: Any) -> dict[str, Any]:
        with np.errstate(invalid="ignore"):
            return {"same": (weights @ counts[0]) / (weights @ counts[1])}


class Blocks(Answer):
    extension = "json"
    metrics = Same.metrics
    refers = True

    def encode(self, prediction: Bright, size: tuple[int, int] | None) -> bytes:
        return json.dumps([bool(one) for one in prediction.blocks]).encode()

    def decode(self, data: bytes) -> Bright:
        return Bright(tuple(json.loads(data)))

    def annotated(self, truth: Truth) -> bool:
        return "bright" in truth.more

    def refer(self, truth: Truth, found: Mapping[str, Bright]) -> Truth:
        blocks = {name: answer.blocks for name, answer in found.items()}
        return replace(truth, more={"bright": blocks})

    def evaluator(self, truth: Truth, images: Sequence[str]) -> Same:
        return Same(images, truth.more["bright"])


class Planted(Task):
    kind = "planted-blocks"
    produces = KIND
    needs_annotations = False
    model = "a threshold"
    loads: ClassVar[int] = 0

    def load(self, labels: Any, device: str) -> None:
        type(self).loads += 1

    def predict(self, image: Any, given: Sequence[Any]) -> Bright:
        means = image[:96, :96].reshape(6, 16, 6, 16, 3).mean(axis=(1, 3, 4))
        return Bright(tuple((means > 100).ravel()))


class Annotated(Planted):
    kind = "planted-annotated"
    needs_annotations = True


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for seed, name in enumerate(NAMES):
        write_png(Path("in") / f"{name}.png", make_picture(96, 128, seed) // 2 + 30)
    (Path("in") / "notes.txt").write_text("no image")
    module = types.ModuleType(KIND)
    module.ANSWER = Blocks()  # type: ignore[attr-defined]
    module.__spec__ = importlib.machinery.ModuleSpec(KIND, None)
    package = types.ModuleType("planted_answers")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "planted_answers", package)
    monkeypatch.setitem(sys.modules, KIND, module)
    found = {"planted-blocks": Planted, "planted-annotated": Annotated}
    monkeypatch.setattr(judge, "kinds", lambda: found)
    monkeypatch.setattr("icmbench.tasks.registry.kinds", lambda: found)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["encode", *arguments])
    return code, "".join(capsys.readouterr())


def decoded(codec: type[Codec], quality: int) -> tuple[list[bytes], list[Any]]:
    coder = codec()
    images = [read_image(Path("in") / f"{name}.png")[0] for name in sorted(NAMES)]
    streams = [coder.encode(image, quality=quality) for image in images]
    return streams, [coder.decode(stream) for stream in streams]


def test_the_mean_over_a_folder_meets_the_target(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(capsys, "in", "out", "--codec", "jpeg", "--target", "psnr_y=33")
    assert code == 0, said
    quality = int(said.split("jpeg:quality=")[1].split(",")[0])
    meter = Meter(["psnr_y"])
    originals = [read_image(Path("in") / f"{name}.png")[0] for name in sorted(NAMES)]

    def mean(level: int) -> float:
        pictures = decoded(codec_class("jpeg"), level)[1]
        scores = [meter(a, b)["psnr_y"] for a, b in zip(originals, pictures, strict=True)]
        return float(np.mean(scores))

    assert mean(quality) >= 33 > mean(quality - 1)
    streams, _ = decoded(codec_class("jpeg"), quality)
    files = sorted(Path("out").iterdir())
    assert [file.name for file in files] == ["a.jpg", "b.jpg", "c.jpg"]
    assert [file.read_bytes() for file in files] == streams
    total = sum(map(len, streams))
    assert f"3 files of {total} bytes, {8 * total / (3 * 96 * 128):.4f} bpp on average" in said
    assert f"psnr_y {mean(quality):.4f} dB, target 33" in said


def test_a_task_meets_the_target(capsys: pytest.CaptureFixture[str]) -> None:
    Planted.loads = 0
    code, said = run(capsys, "in", "out", "--codec", "jpeg", "--target", "same=0.97")
    assert code == 0, said
    assert Planted.loads == 1
    quality = int(said.split("jpeg:quality=")[1].split(",")[0])
    task = Planted("x", {})
    first = [task.predict(read_image(Path("in") / f"{n}.png")[0], ()) for n in sorted(NAMES)]
    answers = [task.predict(picture, ()) for picture in decoded(codec_class("jpeg"), quality)[1]]
    share = np.mean([np.array(a.blocks) == b.blocks for a, b in zip(first, answers, strict=True)])
    assert share >= 0.97
    assert f"planted_blocks_same {share:.4f}, target 0.97" in said
    assert len(list(Path("out").iterdir())) == 3


def test_one_image_takes_a_task_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(
        capsys, "in/a.png", "a.webp", "--codec", "webp", "--target", "planted_blocks_same=1"
    )
    assert code == 0, said
    assert "planted_blocks_same 1.0000, target 1" in said
    assert Path("a.webp").stat().st_size == int(said.split(" bytes")[0].split()[-1])


def test_names_of_scores() -> None:
    """A kind that needs annotations is none: there are none."""
    pair = ("planted-blocks", "same")
    assert judge.task_scores() == {"planted_blocks_same": pair, "same": pair}


def test_shipped_scores_have_short_names(monkeypatch: pytest.MonkeyPatch) -> None:
    from icmbench.core.registry import discover
    from icmbench.tasks import kinds

    monkeypatch.setattr(judge, "kinds", lambda: discover([kinds], Task, "icmbench.none", "kind"))
    known = judge.task_scores()
    assert known["ocr_cer"] == known["cer"] == ("ocr", "cer")
    assert known["top5"] == known["top5_agreement"] == ("classification", "top5_agreement")
    assert known["codes_read"] == ("codes", "read")
    assert not any("nme" in name or "map" in name for name in known)  # those take annotations


def test_answers_of_an_installed_task_are_known_to_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind outside of the package has its metrics among those that curves are drawn of."""
    entry = types.SimpleNamespace(load=lambda: Planted)
    cached = (known_answers, task_metrics, curve_metrics)
    with monkeypatch.context() as patched:
        patched.setattr("importlib.metadata.entry_points", lambda group: [entry])
        for each in cached:
            each.cache_clear()
        assert known_answers()[KIND].metrics == Same.metrics
        assert task_metrics()["same"].title == "blocks"
        assert "same" in curve_metrics()
    for each in cached:
        each.cache_clear()
    assert "same" not in curve_metrics()


def test_a_device_that_is_asked_for_is_used_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU it is prepared as in a run; a task without one runs beside a codec that has it."""
    asked: list[str] = []
    prepared: list[str] = []
    monkeypatch.setattr(Planted, "load", lambda self, labels, device: asked.append(device))
    monkeypatch.setattr(judge, "use_device", lambda device: (prepared.append(device), device)[1])
    for uses in (True, False):
        monkeypatch.setattr(Planted, "uses_device", uses)
        for device in ("cpu", "cuda"):
            task = judge._loaded("planted-blocks", device)
            assert task.must_use_device == (device == "cuda")
            assert task.device == (device if uses else "cpu")
    assert asked == ["cpu", "cuda", "cpu", "cuda"]
    assert prepared == ["cpu", "cuda", "cuda"]


def test_nothing_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Planted, "predict", lambda *_: Bright(()))
    with pytest.raises(TaskError, match="nothing in the originals"):
        judge.TaskJudge("planted-blocks", "same", [np.zeros((96, 96, 3), np.uint8)])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("in", "out", "--codec", "jpeg:quality=5"), "is a folder; name an image, or give"),
        (("in", "in", "--codec", "jpeg", "--target", "same=1"), "exists; name a new folder"),
        (("empty", "out", "--codec", "jpeg", "--target", "same=1"), "no PNG, JPEG, WebP or TIFF"),
        (("twice", "out", "--codec", "jpeg", "--target", "same=1"), "two images are named a"),
        (("in", "out", "--codec", "jpeg", "--target", "sane=1"), "did you mean 'same'"),
        (("in", "out", "--codec", "jpeg", "--target", "same=1.5"), "out of reach"),
    ],
)
def test_one_sentence(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    Path("twice").mkdir()
    for name in ("a.png", "a.jpg"):
        (Path("twice") / name).write_bytes((Path("in") / "a.png").read_bytes())
    code, said = run(capsys, *arguments)
    assert code != 0
    assert words in said
    assert not Path("out").exists()
