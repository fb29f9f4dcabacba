"""The data set `text`: boxes are where the ink is, text is legible, all follows from a seed."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image as PillowImage
from task_checks import evaluate

from icmbench.core.errors import ConfigError, DatasetError
from icmbench.core.images.image_files import read_image, write_png
from icmbench.datasets import text as text_module
from icmbench.datasets.photos import PHOTOS, load_photo
from icmbench.datasets.records import Record
from icmbench.datasets.registry import make_dataset
from icmbench.datasets.text_lines import hull_area, read_lines
from icmbench.lettering import fonts, words
from icmbench.lettering.board import Board
from icmbench.lettering.picture import KINDS, SMALLEST, text_picture
from icmbench.pasted import generator
from icmbench.tasks.base import Labels
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.registry import make_task


def provided(
    folder: Path, entry: Mapping[str, Any], only: slice = slice(None)
) -> tuple[list[Record], dict[str, np.ndarray], dict[str, Any]]:
    """Records, images and lines of a data set."""
    data = make_dataset("text", entry, folder / "downloads")
    names = data.image_ids()[only]
    records = data.provide(names, folder)
    images = {r.image: read_image(folder / r.path)[0] for r in records}
    return records, images, data.merge_annotations(dict.fromkeys(names, folder)).more["text"]


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An image of every kind of sheets."""
    return provided(tmp_path_factory.mktemp("seven"), {"count": 7})


def test_records_and_annotations(seven: Any) -> None:
    records, images, lines = seven
    assert [r.image for r in records] == [f"text-{n:05d}" for n in range(7)]
    assert {image.shape for image in images.values()} == {(256, 384, 3)}
    for record in records:
        assert re.match("photograph: (CC|public domain).*; fonts: ", record.licence)
        assert {*record.licence.rpartition(": ")[2].split(", ")} <= {fonts.DEJAVU, fonts.STIX}
        assert "on a photograph: scikit-" in record.source
        assert lines[record.image]
    for each in (line for found in lines.values() for line in found):
        assert each["text"] == each["text"].strip()
        corners = np.array(each["box"])
        assert corners.shape == (4, 2)
        assert (corners > 0).all()
        assert (corners < (384, 256)).all()
        # The height is that from ascent to descent, no less than 1.16 ems.
        across, down = corners[1] - corners[0], corners[3] - corners[0]
        assert across[0] * down[1] - across[1] * down[0] > 0  # clockwise, y downwards
        assert np.linalg.norm(down) > 0.95 * 1.16 * SMALLEST


def test_an_image_follows_from_seed_and_id_alone(seven: Any, tmp_path: Path) -> None:
    _, images, lines = seven
    _, again, same = provided(tmp_path, {"count": 30}, slice(2, 4))
    for name, image in again.items():
        assert (image == images[name]).all()
        assert same[name] == lines[name]
    _, other, different = provided(tmp_path, {"seed": 2}, slice(2, 3))
    assert (other["text-00002"] != images["text-00002"]).any()
    assert different["text-00002"] != lines["text-00002"]


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_are_where_the_ink_is(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same image without its letters differs inside of the boxes alone, and in all of them."""
    photograph = make_picture(400, 500, 3)
    picture = text_picture(photograph, 5, "a", kind, 384, 256)
    write = Board.write

    def unwritten(self: Board, *args: Any) -> None:
        kept = self._image.copy()
        write(self, *args)
        self._image.paste(kept)

    monkeypatch.setattr(Board, "write", unwritten)
    bare = text_picture(photograph, 5, "a", kind, 384, 256)
    assert bare.lines == picture.lines
    changed = np.abs(picture.image.astype(int) - bare.image).max(axis=2)
    rows, columns = np.indices(changed.shape) + 0.5
    outside = np.ones(changed.shape, bool)
    for line in picture.lines:
        corners = np.array(line["box"])
        grown = corners + 1.5 * np.sign(corners - corners.mean(axis=0))  # the camera's blur
        inside = np.ones(changed.shape, bool)
        for (x, y), (u, v) in zip(grown, np.roll(grown, -1, axis=0), strict=True):
            inside &= (u - x) * (rows - y) - (v - y) * (columns - x) >= 0
        outside &= ~inside
        ink = np.argwhere(inside & (changed > 24))[:, ::-1] + 0.5
        across, down = corners[1] - corners[0], corners[3] - corners[0]
        places = np.linalg.solve(np.stack([across, down], axis=1), (ink - corners[0]).T)
        assert np.ptp(places[0]) > 0.85, line["text"]  # of the width: what is left are bearings
        assert np.ptp(places[1]) > 0.25, line["text"]
    assert changed[outside].max() <= 6  # rounding, and the last of the blur


def test_texts_are_plain_and_complete() -> None:
    """Letters like digits are in no code: nobody could tell them apart there."""
    rng = generator(1, "x")
    known = {*words.GOODS, *words.TRADES, *words.PERSONS, *words.PLACES, *words.NOTICES}
    assert all(text.isascii() for text in known)
    for _ in range(200):
        found = words.sentence(rng)
        assert re.fullmatch(r"[A-Z][\x20-\x7e\xa3]+\.", found), found
        assert "{" not in found
        assert not set("IOQ") & set(words.code(rng))


def test_small_and_large_images_have_places(tmp_path: Path) -> None:
    for size, count in (({"width": 256, "height": 192}, 7), ({"width": 640, "height": 480}, 1)):
        entry = {"count": count, "seed": 3, **size}
        _, images, lines = provided(tmp_path / str(size["width"]), entry)
        assert {i.shape for i in images.values()} == {(size["height"], size["width"], 3)}
        assert all(lines.values())
    for seed in (1, 9, 15):  # few texts of this kind are short enough for the smallest sheets
        assert text_picture(make_picture(80, 80, 1), seed, "text-00005", "hours", 256, 192).lines
    with pytest.raises(ConfigError, match="width=128 is below 256"):
        make_dataset("text", {"width": 128}, tmp_path)
    with pytest.raises(DatasetError, match="image a: no place for the sheet 'letter' in 60x20 pix"):
        text_picture(make_picture(80, 80, 1), 1, "a", "letter", 60, 20)


def test_a_missing_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "font_folder", lambda: tmp_path)
    data = make_dataset("text", {}, tmp_path)
    with pytest.raises(DatasetError, match=r"DejaVuSans.ttf: the font is missing, which matplotl"):
        data.provide(["text-00000"], tmp_path)


def test_backgrounds_are_photographs_of_the_packages() -> None:
    walls = {name: wall.photo for name, wall in text_module.WALLS.items()}
    assert set(text_module.BEHIND) == set(KINDS)
    assert {n for names in text_module.BEHIND.values() for n in names} <= {*PHOTOS, *walls}
    for name in walls:
        assert load_photo(name, walls).shape == (512, 512)
    with pytest.raises(DatasetError, match="the package ships another image"):
        load_photo("brick", {"brick": replace(walls["brick"], sha256="0" * 64)})


def read(images: Mapping[str, np.ndarray], lines: Any, side: int) -> dict[str, float]:
    task = make_task("ocr", {"side": side})
    task.load(Labels("text", {}, ()), "cpu")
    return dict(evaluate(images, task, Truth(more={"text": lines})))


def test_the_text_is_legible(seven: Any) -> None:
    """Of the characters of undamaged images at least 98 % are read."""
    _, images, lines = seven
    found = read(images, lines, 320)
    assert found["cer"] < 0.02
    assert found["lines_found"] == 1
    assert found["extra_lines"] == 0


@pytest.mark.slow
def test_coding_makes_reading_worse(tmp_path: Path) -> None:
    """The 24 images of the defaults, by the defaults of the reader, undamaged and as JPEG."""
    _, images, lines = provided(tmp_path, {})
    found = {0: read(images, lines, 736)}
    for quality in (10, 30, 90):
        coded = {}
        for name, image in images.items():
            buffer = io.BytesIO()
            PillowImage.fromarray(image).save(buffer, "JPEG", quality=quality)
            coded[name] = np.asarray(PillowImage.open(buffer).convert("RGB"))
        found[quality] = read(coded, lines, 736)
    assert found[0]["cer"] < 0.02
    assert found[90]["cer"] < 0.02
    assert found[10]["cer"] > 3 * found[30]["cer"] > 3 * found[90]["cer"]
    assert found[10]["lines_found"] < found[30]["lines_found"] <= found[90]["lines_found"]


# A folder of one's own.


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, Path, dict[str, Any]]:
    folder = tmp_path / "images"
    (folder / "b").mkdir(parents=True)
    for name in ("a.png", "b/c.png"):
        write_png(folder / name, make_picture(40, 60, 1))
    lines = {"a.png": [{"text": "no 1", "box": box(2, 2, 50, 20), "size": 3}], "b/c.png": [],
             "z.png": "of another set"}  # fmt: skip
    return folder, tmp_path / "lines.json", lines


def merged(folder: Path, file: Path, lines: Any, into: Path) -> Any:
    file.write_text(json.dumps(lines), encoding="utf-8")
    entry = {"type": "text-folder", "path": str(folder), "text": str(file)}
    data = make_dataset("own", entry, into)
    names = data.image_ids()
    (into / "shard").mkdir(exist_ok=True)
    data.provide(names, into / "shard")
    return data.merge_annotations(dict.fromkeys(names, into / "shard")).more["text"]


def test_a_folder_with_lines(own: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, file, lines = own
    found = merged(folder, file, lines, tmp_path)
    assert found == {"a.png": [{"text": "no 1", "box": box(2, 2, 50, 20)}], "b+c.png": []}
    entry = {"type": "text-folder", "path": str(folder), "text": str(file)}
    data = make_dataset("own", entry, tmp_path)
    before = data.fingerprint(data.image_ids())
    file.write_text(json.dumps(lines) + " ", encoding="utf-8")
    assert data.fingerprint(data.image_ids()) != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b/c.png": None}, "image b\\+c.png: not a list of lines"),
        ({"a.png": [{"text": "x", "box": box(1, 1, 2, 2)[:3]}]}, "a.png, line 1: box=.* is not"),
        ({"a.png": [{"text": "", "box": box(1, 1, 9, 9)}]}, "a.png, line 1: text='' is no text"),
        ({"a.png": [{"text": "x", "box": box(70, 1, 90, 9)}]}, "lies outside of 60x40 pixels"),
        ({"a.png": []}, "no image has a line of text"),
    ],
)
def test_wrong_lines(
    own: tuple[Path, Path, dict[str, Any]], tmp_path: Path, change: Any, message: str
) -> None:
    folder, file, lines = own
    with pytest.raises(DatasetError, match=f"lines.json: .*{message}"):
        merged(folder, file, {**lines, **change}, tmp_path)


def test_missing_entries_and_files(own: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, file, lines = own
    del lines["b/c.png"]
    with pytest.raises(DatasetError, match=r"image b\+c.png has no entry \(1 of 2\): give \[\]"):
        merged(folder, file, lines, tmp_path)
    with pytest.raises(DatasetError, match="expected an object, image id -> lines"):
        merged(folder, file, [lines], tmp_path)
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        read_lines(tmp_path / "absent.json", ["a"])
    with pytest.raises(ConfigError, match="needs the option 'text'"):
        make_dataset("own", {"type": "text-folder", "path": str(folder)}, tmp_path)


def test_area_of_a_hull() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        low, size = rng.uniform(-9, 9, 2), rng.uniform(1, 9, 2)
        corners = np.array(box(*low, *(low + size)))
        for order in (rng.permutation(4), range(4)):
            assert hull_area(corners[list(order)]) == pytest.approx(size.prod())
    assert hull_area([[0, 0], [4, 0], [1, 1], [0, 4]]) == pytest.approx(8)
    assert hull_area([[1, 1]] * 4) == hull_area([[0, 0], [1, 1], [2, 2], [3, 3]]) == 0
