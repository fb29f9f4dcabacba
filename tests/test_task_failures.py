"""A failing image of a task is a row and never ends a job."""

from __future__ import annotations

import io
import json
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as PillowImage

from icmbench.core.errors import ConfigError, DatasetError, ModelError, TaskError
from icmbench.core.images.image_files import write_png
from icmbench.datasets.landmarks import Landmarks
from icmbench.datasets.records import Record
from icmbench.evaluation import archive
from icmbench.evaluation.shard import DECODED, write_rows
from icmbench.reporting.tables.feature_gap import gap_table
from icmbench.scenes.labels import CATEGORIES, SEMANTIC_CLASSES
from icmbench.studies import feature_gap
from icmbench.tasks import run, store
from icmbench.tasks.attempt import Failure, attempt
from icmbench.tasks.backends import onnx_task
from icmbench.tasks.base import LANDMARKS, ORIGINALS, SEMANTIC, Image, Labels, SemanticMap, Task
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.kinds import fan
from icmbench.tasks.kinds.mm_detection import MmDetector
from icmbench.tasks.kinds.mm_segmentation import MmSegmenter
from icmbench.tasks.run import load_tasks, predict_originals, predict_pictures

LABELS = Labels("d", {c["id"]: c["name"] for c in CATEGORIES}, tuple(SEMANTIC_CLASSES))
NAMES = ("ant", "bee", "cat")


class Fragile(Task):
    """Labels every pixel 1; raises what it is told where a picture's first value says so."""

    kind = "fragile"
    raises: Exception | None = None
    refuses: Exception | None = None
    answer: Any = None

    @property
    def produces(self) -> str:
        return SEMANTIC

    @property
    def model(self) -> str:
        return "fragile"

    def load(self, labels: Labels, device: str) -> None:
        if self.refuses:
            raise self.refuses

    def predict(self, image: Image, faces: Sequence[Sequence[float]]) -> SemanticMap:
        if image[0, 0, 0] == 99 and self.raises:
            raise self.raises
        if image[0, 0, 0] == 99 and self.answer is not None:
            return self.answer
        return np.ones(image.shape[:2], np.uint8)


def fragile(name: str = "map", **values: Any) -> Fragile:
    task = Fragile(name, {})
    vars(task).update(values)
    return task


@pytest.fixture
def shard(tmp_path: Path) -> dict[str, Path]:
    """Three decoded pictures; the second begins with the value 99, the third is damaged."""
    rows = []
    with archive.create(tmp_path / "0.zip") as out:
        for number, name in enumerate(NAMES):
            buffer = io.BytesIO()
            pixels = np.full((4, 5, 3), 99 if number == 1 else number, np.uint8)
            PillowImage.fromarray(pixels).save(buffer, "PNG")
            data = b"no picture" if number == 2 else buffer.getvalue()
            out.add(archive.picture_member("webp:quality=9", name), data)
            rows.append({"codec": "webp:quality=9", "image": name, "status": "ok"})
    write_rows(tmp_path / "0.csv", DECODED, rows)
    return {"pictures": tmp_path / "0.zip", "decoded": tmp_path / "0.csv"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TaskError("no face"), "no face"),
        (RuntimeError("CUDA out\nof memory"), "RuntimeError: CUDA out of memory"),
        (ZeroDivisionError("x"), "ZeroDivisionError: x"),
    ],
)
def test_what_a_model_raises_on_one_image_is_its_row(
    error: Exception, reason: str, shard: dict[str, Path], tmp_path: Path
) -> None:
    tasks = load_tasks([fragile(raises=error), fragile("other")], LABELS, "cpu")
    predict_pictures(tasks, Truth(), folder=tmp_path / "said" / "x", **shard)
    found = store.outcome([tmp_path / "said" / "x" / "map.zip"], SEMANTIC)
    codec = "webp:quality=9"
    assert found.has(codec, "ant")
    assert found.reason(codec, "ant") is None
    assert found.reason(codec, "bee") == reason
    assert "is a damaged image" in str(found.reason(codec, "cat"))
    assert "0x" not in str(found.reason(codec, "cat"))
    assert (found.devices, found.failed) == (("cpu",), "")
    other = store.outcome([tmp_path / "said" / "x" / "other.zip"], SEMANTIC)
    assert other.has(codec, "bee")


def test_an_answer_of_the_wrong_form_is_a_row(shard: dict[str, Path], tmp_path: Path) -> None:
    wrong = np.full((1, 68, 2), np.nan)
    tasks = load_tasks([fragile(answer=wrong)], LABELS, "cpu")
    predict_pictures(tasks, Truth(), folder=tmp_path / "x", **shard)
    found = store.outcome([tmp_path / "x" / "map.zip"], SEMANTIC)
    assert found.reason("webp:quality=9", "bee") == (
        "its prediction is of the kind landmarks, it states semantic"
    )


def test_a_model_that_cannot_be_loaded_fails_alone(shard: dict[str, Path], tmp_path: Path) -> None:
    refused = fragile(refuses=ModelError("m.pth: damaged"))
    tasks = load_tasks([refused, fragile("other")], LABELS, "cpu")
    predict_pictures(tasks, Truth(), folder=tmp_path / "x", **shard)
    found = store.outcome([tmp_path / "x" / "map.zip"], SEMANTIC)
    assert (found.failed, found.devices, found.answered) == ("m.pth: damaged", (), frozenset())
    assert found.reason("webp:quality=9", "ant") == "m.pth: damaged"
    assert store.outcome([tmp_path / "x" / "other.zip"], SEMANTIC).answered


def test_tasks_that_cannot_use_a_gpu_refuse_it_by_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With `device: cuda`; their job has no GPU, and must not end for it."""

    def use_device(device: str) -> str:
        raise ConfigError("no CUDA device")

    monkeypatch.setattr(run, "use_device", use_device)
    with pytest.raises(ConfigError, match="no CUDA device"):
        load_tasks([fragile()], LABELS, "cuda")
    monkeypatch.setattr(onnx_task, "has_gpu_package", lambda: False)
    monkeypatch.setattr(Fragile, "uses_device", onnx_task.OnnxTask.uses_device)
    refused = fragile(refuses=TaskError("install onnxruntime-gpu"))
    ((task, failure),) = load_tasks([refused], LABELS, "cuda")
    assert failure is not None
    assert failure.reason == "install onnxruntime-gpu"
    assert (task.device, task.must_use_device) == ("cpu", True)


def test_an_original_that_is_gone_is_a_row(tmp_path: Path) -> None:
    write_png(tmp_path / "ant.png", np.zeros((4, 5, 3), np.uint8))
    records = [Record("ant", "ant.png"), Record("bee", "bee.png")]
    tasks = load_tasks([fragile()], LABELS, "cpu")
    predict_originals(tasks, Truth(), records, tmp_path, tmp_path / "x")
    found = store.outcome([tmp_path / "x" / "map.zip"], SEMANTIC)
    assert found.has(ORIGINALS, "ant")
    assert "bee.png" in str(found.reason(ORIGINALS, "bee"))


def test_memory_that_runs_out_is_no_row() -> None:
    """The scheduler starts the job again with more."""

    def hungry() -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        attempt("x", hungry)
    assert attempt("x", lambda: 3) == 3


def test_archives_repeat_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with store.writer(tmp_path / f"{name}.zip") as out:
            out.device = "cuda"
            out.fail("x", "ant", "reason")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert store.outcome([tmp_path / "a.zip"], LANDMARKS).devices == ("cuda",)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bare:
        bare.writestr("x/ant.json", "{}")
    with pytest.raises(Exception, match=r"a\.zip: damaged: .*run\.json"):
        store.outcome([tmp_path / "a.zip"], LANDMARKS)


# Feature gaps.


def test_a_gap_that_cannot_be_computed_is_a_row(
    shard: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def features(task: object, image: Image) -> dict[str, np.ndarray]:
        if image[0, 0, 0] == 99:
            raise RuntimeError("too dark")
        return {"stage 1": image.transpose(2, 0, 1).astype(np.float32) + 1}

    monkeypatch.setattr(feature_gap, "stage_features", features)
    for name in NAMES:
        write_png(tmp_path / f"{name}.png", np.zeros((4, 5, 3), np.uint8))
    records = [Record(name, f"{name}.png") for name in NAMES]
    task: Any = SimpleNamespace(name="t")
    table = feature_gap.shard_gaps(task, None, "d", "webp", records, tmp_path, **shard)
    rows = table.set_index("image")
    assert rows.loc["ant", "status"] == "ok"
    assert rows.loc["bee", "status"] == "RuntimeError: too dark"
    assert list(rows["depth"]) == [1, 0, 0]
    measured = pd.DataFrame(
        [
            {"dataset": "d", "image": name, "family": "webp", "codec": "webp:quality=9",
             "bytes": 10, "width": 5, "height": 4, "bpp": 4.0, "status": "ok"}
            for name in NAMES
        ]
    )  # fmt: skip
    settings: dict[str, Any] = {"task": "t", "model": "m", "resamples": 20, "seed": 1}
    (row,) = gap_table(table, measured, max_failed=0.7, **settings).to_dict("records")
    assert (row["images"], row["failed"], row["stage"]) == (1, 2, "stage 1")
    failed = Failure("m.pth: damaged")
    table = feature_gap.shard_gaps(task, failed, "d", "webp", records, tmp_path, **shard)
    assert set(table["status"]) == {"m.pth: damaged"}
    (row,) = gap_table(table, measured, max_failed=0.7, **settings).to_dict("records")
    assert (row["images"], row["failed"], row["depth"]) == (0, 3, 0)
    assert np.isnan(row["gap"])


# Annotated faces.

FACE = [[30.0 + i % 10 * 4, 30.0 + i // 10 * 6] for i in range(68)]


def faces(folder: Path, points: Any, size: tuple[int, int] = (160, 120), turned: int = 1) -> Any:
    """The annotations of two images, of which `b.png` has these points."""
    for name in ("a", "b"):
        width, height = size if name == "b" else (160, 120)
        exif = PillowImage.Exif()
        exif[0x0112] = turned if name == "b" else 1
        (folder / "f").mkdir(exist_ok=True)
        PillowImage.new("RGB", (width, height)).save(folder / "f" / f"{name}.png", exif=exif)
    (folder / "l.json").write_text(json.dumps({"a.png": FACE, "b.png": points}))
    entry = {"path": str(folder / "f"), "landmarks": str(folder / "l.json")}
    data = Landmarks("faces", entry, folder)
    data.provide(data.image_ids(), folder / "out")
    return data.merge_annotations(dict.fromkeys(data.image_ids(), folder / "out")).landmarks


def test_faces_that_cannot_be_judged_are_found_when_annotations_are_joined(tmp_path: Path) -> None:
    one = 3 * [[40.0, 40.0]]
    for points, words in (
        ([[x + 250, y] for x, y in FACE], "68 of its 68 points lie outside of the 160x120 image"),
        ([[40.0, 40.0]] * 68, "span 0x0 pixels"),
        ([[x / 160, y / 120] for x, y in FACE], "pixels are expected, not shares"),
        ([*FACE[:36], one[0], *FACE[37:45], one[0], *FACE[46:]], "eye corners coincide"),
    ):
        with pytest.raises(DatasetError, match=words) as error:
            faces(tmp_path, points)
        assert "'b.png', face 1" in str(error.value)
    wide = [[x + 90, y] for x, y in FACE]
    with pytest.raises(DatasetError, match="before it was turned by its EXIF"):
        faces(tmp_path, wide, turned=6)
    beside = [[x - 35, y] for x, y in FACE]  # a part of the face lies outside: that is usual
    assert list(faces(tmp_path, beside)) == ["a.png", "b.png"]


def test_a_refused_image_has_no_face_of_its_own(tmp_path: Path) -> None:
    """`reference: originals`: a file that is no image is a row of the manifest, and no more."""
    write_png(tmp_path / "f" / "good.png", np.zeros((64, 32, 3), np.uint8))
    chunk = b"IHDR\0\0"
    short = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 2) + chunk
    (tmp_path / "f" / "bad.png").write_bytes(short + struct.pack(">I", zlib.crc32(chunk)))
    entry = {"path": str(tmp_path / "f"), "reference": "originals", "face": [0, 0.25, 1, 0.5]}
    data = Landmarks("faces", entry, tmp_path)
    records = data.provide(data.image_ids(), tmp_path / "out")
    assert [record.status.split(":")[0] for record in records] == ["refused", "ok"]
    found = data.merge_annotations(dict.fromkeys(data.image_ids(), tmp_path / "out")).landmarks
    assert found == {"good.png": [{"bbox": [0, 16, 32, 32]}]}


# Thin pictures, devices.


@pytest.mark.parametrize("shape", [(1, 600), (600, 1), (1, 1), (2, 900), (199, 640)])
def test_thin_pictures_have_a_pixel_a_side(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 90, np.uint8)
    # (199, 640): sides that are not scaled alike, of which RTMDet-Ins made masks of 637 columns.
    detector = MmDetector("boxes", {})
    detector.load(LABELS, "cpu")
    found = detector.predict(image, [])
    assert all(mask["size"] == list(shape) for mask in found.masks or ())
    assert store.encode(found, shape)
    segmenter = MmSegmenter("map", {})
    segmenter.load(LABELS, "cpu")
    assert segmenter.predict(image, []).shape == shape


@pytest.fixture
def autotuned() -> Iterator[None]:
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    yield
    torch.backends.cudnn.benchmark = before


def test_face_alignment_leaves_autotuning_off(
    autotuned: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import face_alignment

    class Package(face_alignment.FaceAlignment):  # type: ignore[misc]
        def __init__(self, *args: object, **kwargs: object) -> None:
            torch.backends.cudnn.benchmark = True  # as its own does for a GPU

    monkeypatch.setattr(face_alignment, "FaceAlignment", Package)
    fan.make_aligner(torch.nn.Identity(), "cuda", mirror=True)
    assert not torch.backends.cudnn.benchmark


class Session:
    """An ONNX Runtime session of these providers."""

    def __init__(self, path: str, settings: object, providers: list[Any]) -> None:
        self.asked = [p if isinstance(p, str) else p[0] for p in providers]
        self.options = [p[1] for p in providers if not isinstance(p, str)]

    def get_providers(self) -> list[str]:
        return [name for name in self.asked if name in STARTS]


STARTS: list[str] = []


@pytest.mark.parametrize(
    ("installed", "starts", "used"),
    [(True, True, "cuda"), (True, False, "cpu"), (False, True, "cpu")],
)
def test_exported_networks_run_on_the_gpu_or_say_so(
    installed: bool,
    starts: bool,
    used: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    known = [onnx_task.CUDA] * installed + [onnx_task.CPU]
    monkeypatch.setattr(sys.modules[__name__], "STARTS", known if starts else [onnx_task.CPU])
    runtime = SimpleNamespace(
        SessionOptions=SimpleNamespace,
        InferenceSession=Session,
        get_available_providers=lambda: known,
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    path = tmp_path / "m.onnx"
    path.write_bytes(b"x")
    session, device = onnx_task.open_session(path, None, "cuda")
    assert device == used
    assert session.asked[-1] == onnx_task.CPU
    assert all(each["use_tf32"] == "0" for each in session.options)
    assert bool(caplog.records) == (used == "cpu")
    if used == "cpu":
        assert "CUDAExecutionProvider" in caplog.text
        with pytest.raises(TaskError, match="onnxruntime-gpu"):
            onnx_task.open_session(path, None, "cuda", must=True)
    else:
        onnx_task.open_session(path, None, "cuda", must=True)
    caplog.clear()
    assert onnx_task.open_session(path, None, "cpu")[1] == "cpu"
    assert not caplog.records
