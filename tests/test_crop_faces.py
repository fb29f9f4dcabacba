"""Crops of faces: pixels and points move together, and what cannot be cropped is named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icmbench.cli.main import main
from icmbench.core.errors import ConfigError, DatasetError
from icmbench.core.images.image_files import read_image, write_png
from icmbench.datasets.crop_faces import LANDMARKS, crop_faces
from icmbench.datasets.manifest import provide_shard
from icmbench.datasets.registry import make_dataset


def ramp(height: int, width: int) -> np.ndarray:
    """Red is twice the column, green twice the row: a pixel tells where it was."""
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * x, 2 * y, np.zeros_like(x)], -1).clip(0, 255).astype(np.uint8)


def face(left: float, top: float, width: float, height: float, seed: int = 0) -> np.ndarray:
    """68 points that fill a box, as areas of pixels: the centre of the first pixel is 0.5."""
    points = np.random.default_rng(seed).uniform(0, 1, (68, 2))
    points[:2] = [[0, 0], [1, 1]]
    return points * [width, height] + [left, top]


def write_pts(path: Path, points: np.ndarray) -> None:
    """Counted from 1, as iBUG does."""
    lines = "".join(f"{x} {y}\n" for x, y in points + 0.5)
    path.write_text(f"version: 1\nn_points: 68\n{{\n{lines}}}\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "img"
    for name, points in (("a", face(40, 50, 40, 30)), ("sub/b", face(2, 5, 20, 24, 1))):
        write_png(images / f"{name}.png", ramp(110, 120))
        write_pts(images / f"{name}.pts", points)
    return images


def cropped(out: Path) -> dict[str, Any]:
    """The points of a set of crops as the workflow reads them, and its images."""
    entry = {"type": "landmarks", "path": str(out), "landmarks": str(out / LANDMARKS)}
    data = make_dataset("faces", entry, out / "dl")
    records = provide_shard(data, 0, 1, out.parent / "shard")
    folders = {record.image: out.parent / "shard" for record in records}
    return data.merge_annotations(folders).landmarks


def test_pixels_and_points_move_together(folder: Path, tmp_path: Path) -> None:
    """The ramp under every moved point is that under the point in the image, for up and down."""
    for size, scale in ((256, 1.5), (32, 1.2), (64, 0.8)):
        out = tmp_path / f"{size}"
        done = crop_faces(folder, out, size=size, scale=scale)
        assert (done.faces, done.skipped) == (2, ())
        points = np.array(cropped(out)["a.png"][0]["landmarks"])
        original = face(40, 50, 40, 30)
        shift = points[0] - original[0] * size / (40 * scale)
        assert points == pytest.approx(original * size / (40 * scale) + shift, abs=1e-3)
        # The box's middle lies in the middle of the width and at 0.6 of the height.
        assert points[:2].mean(axis=0) == pytest.approx([0.5 * size, 0.6 * size], abs=1e-3)
        image = read_image(out / "a.png")[0].astype(float)
        for before, after in zip(original, points, strict=True):
            column, row = np.floor(after).astype(int)
            if 4 < column < size - 4 and 4 < row < size - 4:
                middle = before + (np.array([column, row]) + 0.5 - after) * 40 * scale / size
                assert image[row, column, :2] == pytest.approx(2 * (middle - 0.5), abs=1.5)


def test_the_border_is_repeated(folder: Path, tmp_path: Path) -> None:
    done = crop_faces(folder, tmp_path / "out")
    assert (done.beyond, done.enlarged) == (1, 2)
    image = read_image(tmp_path / "out" / "sub+b.png")[0]
    assert image[200, 0].tolist() == [0, image[200, 40, 1], 0]  # left of the image: its column 0


def test_crops_are_deterministic_and_readable(folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        crop_faces(folder, tmp_path / name)
    files = [sorted(p for p in (tmp_path / n).rglob("*") if p.is_file()) for n in ("one", "two")]
    assert [path.name for path in files[0]] == ["a.png", LANDMARKS, "sub+b.png"]
    digests = [[hashlib.sha256(p.read_bytes()).digest() for p in each] for each in files]
    assert digests[0] == digests[1]
    assert list(cropped(tmp_path / "one")) == ["a.png", "sub+b.png"]


def test_json_with_several_faces(folder: Path, tmp_path: Path) -> None:
    """Counted from 0; every face is a crop; one outside, one of no size and one image are named."""
    (folder / "broken.png").write_bytes(b"no image")
    path = tmp_path / "points.json"
    two = [face(40, 50, 40, 30) - 0.5, face(30, 30, 40, 30) - 0.5]
    outside, point = face(500, 50, 40, 30), np.full((68, 2), 9.0)
    content = {
        "a.png": [points.tolist() for points in (*two, outside, point)],
        "sub/b.png": two[0].tolist(),
        "broken.png": two[0].tolist(),
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    done = crop_faces(folder, tmp_path / "out", path)
    assert done.faces == 3
    assert len(done.skipped) == 3
    for reason in ("face 2: its points lie outside", "face 3: all its points", "broken.png: not a"):
        assert any(reason in text for text in done.skipped), done.skipped
    found = cropped(tmp_path / "out")
    assert list(found) == ["a-0.png", "a-1.png", "sub+b.png"]
    assert found["a-0.png"] == found["sub+b.png"]


def test_what_cannot_be_cropped_is_refused(folder: Path, tmp_path: Path) -> None:
    for settings in ({"size": 8}, {"scale": float("nan")}, {"scale": 0.1}):
        with pytest.raises(ConfigError):
            crop_faces(folder, tmp_path / "out", **settings)
    with pytest.raises(DatasetError, match="would become images of"):
        crop_faces(folder, folder / "crops")
    with pytest.raises(DatasetError, match="not an empty folder"):
        crop_faces(folder, tmp_path)
    write_png(folder / "a.webp.png", ramp(20, 20))
    with pytest.raises(DatasetError, match=r"a\.webp\.png: no points"):
        crop_faces(folder, tmp_path / "out")
    (folder / "a.webp.png").rename(folder / "a.jpg")
    with pytest.raises(DatasetError, match=r"would both be a\.png"):
        crop_faces(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["crop-faces", str(folder), str(out), "--size", "64"]) == 0
    assert "2 faces of 64x64 pixels, 0 skipped; 1 reach beyond" in capsys.readouterr().out
    assert read_image(out / "a.png")[0].shape == (64, 64, 3)
    assert main(["crop-faces", str(folder), str(out)]) == 3
    assert "not an empty folder" in capsys.readouterr().err
