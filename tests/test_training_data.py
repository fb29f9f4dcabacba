"""The training data: decoded when drawn, with the crops and weights of images in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_training
from conftest import make_picture
from PIL import Image as PillowImage

from icmbench.core.errors import DatasetError
from icmbench.core.files import sha256_bytes
from icmbench.core.images.image_files import pixel_sha256, read_image, write_png
from icmbench.datasets import registry
from icmbench.datasets.base import Dataset
from icmbench.datasets.photos import PHOTOS
from icmbench.datasets.records import Record, read_records, write_records
from icmbench.jobs.training_pool import training_pool
from icmbench.training import images as lazy_images
from icmbench.training.data import TrainingData, read_provided, read_training_data
from icmbench.training.images import ImageFiles, large_images
from icmbench.training.records import TrainingRecord

pytestmark = pytest.mark.usefixtures("one_thread")


def listed(home: Path, records: Sequence[TrainingRecord]) -> Path:
    write_records(home / "records.csv", records, TrainingRecord)
    return home


def provided(home: Path, **keys: Any) -> TrainingData:
    return read_provided([home / "records.csv"], [home / "images"], **{"smallest": 32, **keys})


def pool_of(folder: Path, home: Path) -> Path:
    """Run the job that lists the images of a folder."""
    training_pool(
        "mine",
        entry={"type": "folder", "path": str(folder)},
        downloads=home / "downloads",
        results=home / "results",
        records=home / "mine" / "records.csv",
        images=home / "mine" / "images",
    )
    return home / "mine"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PNG and JPEG files of several sizes, one too small, in two folders."""
    folder = tmp_path_factory.mktemp("pictures")
    for index, (height, width) in enumerate([(40, 56), (72, 40), (20, 64), (47, 46), (90, 70)]):
        write_png(folder / "inner" / f"{index}.png", make_picture(height, width, index))
    PillowImage.fromarray(make_picture(64, 50, 9)).save(folder / "photo.jpg", quality=80)
    return folder


@pytest.fixture(scope="module")
def home(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pool_of(pictures, tmp_path_factory.mktemp("home"))


def eager(pictures: Path) -> TrainingData:
    """All images in memory, the digest computed from them: what the data were before."""
    paths = sorted(path for path in pictures.rglob("*") if path.is_file())
    images = [read_image(path)[0] for path in paths]
    images = [image for image in images if min(image.shape[:2]) >= 32]
    digest = sha256_bytes("".join(map(pixel_sha256, images)).encode())
    return TrainingData(tuple(images), digest, (("mine", len(images)),))


@pytest.mark.parametrize("cache_mb", [0, 0.02, 1])
def test_crops_are_those_of_images_in_memory(home: Path, pictures: Path, cache_mb: float) -> None:
    """Whatever is kept: none, some, all. Digest, order and numbers of images stay, too."""
    whole, data = eager(pictures), provided(home, cache_mb=cache_mb)
    assert (data.digest, data.sources) == (whole.digest, whole.sources)
    assert data.shapes.tolist() == [list(image.shape[:2]) for image in whole.images]
    for seed in range(3):
        one, other = (each.crops_of(np.random.default_rng(seed), 12, 32) for each in (data, whole))
        assert one[1] == other[1]
        assert np.array_equal(one[0], other[0])
    paths = list(pictures.rglob("*.*"))
    again = read_training_data([("mine", paths)], smallest=32, cache_mb=cache_mb)
    assert (again.digest, again.paths) == (data.digest, data.paths)
    assert all(map(np.array_equal, again.images, whole.images))


def test_a_training_gives_the_weights_of_images_in_memory(
    home: Path, pictures: Path, tmp_path: Path
) -> None:
    states = [
        test_training.run(tmp_path / name, pool=data)
        for name, data in {
            "eager": eager(pictures),
            "none": provided(home, cache_mb=0),
            "some": provided(home, cache_mb=0.02),
        }.items()
    ]
    assert all(test_training.equal(states[0], state) for state in states[1:])
    assert not test_training.equal(states[0], test_training.run(tmp_path / "another"))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are decoded from now on."""
    names: list[str] = []

    def read(path: Path) -> tuple[Any, str]:
        names.append(path.stem)
        return read_image(path)

    monkeypatch.setattr(lazy_images, "read_image", read)
    return names


def test_the_images_used_last_are_kept(tmp_path: Path, decoded: list[str]) -> None:
    """Room for two of three equal images; a fourth is larger than the cache and never kept."""
    paths = [tmp_path / f"{name}.png" for name in "abcd"]
    for number, path in enumerate(paths):
        write_png(path, make_picture(*((200, 200) if path.stem == "d" else (40, 40)), number))
    data = read_training_data([("mine", paths)], smallest=32, cache_mb=2 * 40 * 40 * 3 / 1e6)
    files = data.images
    assert isinstance(files, ImageFiles)
    assert not decoded
    for number in (0, 1, 0, 2, 0, 1, 3, 1):
        files[number]
        assert files.kept_bytes <= 2 * 40 * 40 * 3
    assert decoded == ["a", "b", "c", "b", "d"]
    assert [image.shape[0] for image in files[1:]] == [40, 40, 200]
    assert len(large_images(files, 64)) == 1
    assert large_images(files, 64)[-1].shape == (200, 200, 3)
    with pytest.raises(IndexError):
        files[4]


def test_no_file_is_read_before_it_is_drawn(home: Path, decoded: list[str]) -> None:
    """Size, digest, places of patches and crops of the largest need the list alone."""
    from icmbench.codecs.mpd.training.pseudo_labels import draw_patches

    data = provided(home)
    assert draw_patches(data.images, 8, 32, seed=1).image.max() < len(data.shapes)
    assert len(large_images(data.images, 48)) == 2
    assert not decoded
    data.crops(np.random.default_rng(0), 1, 32)
    assert len(decoded) == 1


def test_a_renamed_test_image_is_refused_when_it_is_listed(tmp_path: Path) -> None:
    """Before any training; a crop of it is another image, and is listed with its size."""
    picture = np.asarray(PHOTOS["chelsea"].load())
    write_png(tmp_path / "in" / "b.png", make_picture(40, 40))
    write_png(tmp_path / "in" / "holiday.png", picture)
    with pytest.raises(DatasetError, match=r"in/holiday\.png is chelsea of photos"):
        pool_of(tmp_path / "in", tmp_path)
    write_png(tmp_path / "in" / "holiday.png", picture[:64, :72])
    rows = read_records(pool_of(tmp_path / "in", tmp_path) / "records.csv", TrainingRecord)
    assert [(row.width, row.height) for row in rows] == [(40, 40), (72, 64)]


def test_a_test_image_in_the_list_is_refused_before_it_is_drawn(tmp_path: Path) -> None:
    record = TrainingRecord("a", "a.png", width=300, height=300, pixels=PHOTOS["coffee"].sha256)
    with pytest.raises(DatasetError, match=r"a\.png is coffee of photos: for testing only"):
        provided(listed(tmp_path, [record]))


def test_a_file_that_was_changed_after_it_was_listed_is_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "in" / "a.png", make_picture(40, 40))
    home = pool_of(tmp_path / "in", tmp_path)
    assert len(provided(home).images[0]) == 40
    write_png(tmp_path / "in" / "a.png", np.asarray(PHOTOS["chelsea"].load()))
    with pytest.raises(DatasetError, match=r"in/a\.png: its pixels have changed since"):
        provided(home).crops(np.random.default_rng(0), 1, 32)


def test_lists_without_digests_are_refused(tmp_path: Path) -> None:
    listed(tmp_path, [TrainingRecord("a", "a.png", width=40, height=40)])
    with pytest.raises(DatasetError, match=r"records\.csv: image 'a' has no digest of its pixels"):
        provided(tmp_path)
    write_records(tmp_path / "records.csv", [Record("a", "a.png", width=40, height=40)])
    with pytest.raises(DatasetError, match="has no digest"):
        provided(tmp_path)


def test_a_broken_file_is_listed_and_left_out(tmp_path: Path) -> None:
    write_png(tmp_path / "in" / "a.png", make_picture(40, 40))
    (tmp_path / "in" / "b.png").write_bytes(b"no image")
    home = pool_of(tmp_path / "in", tmp_path)
    rows = read_records(home / "records.csv", TrainingRecord)
    assert [bool(row.pixels) for row in rows] == [True, False]
    assert rows[1].status.startswith("refused: not a PNG")
    assert provided(home).paths == (tmp_path / "in" / "a.png",)


class Halves(Dataset):
    """Two images of each split."""

    kind = "halves"
    splits = True

    def image_ids(self) -> list[str]:
        return [f"{split}-{n}" for split in ("test", "train") for n in range(2)]

    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        for number, name in enumerate(image_ids):
            write_png(folder / f"{name}.png", make_picture(40, 44, number))
        return [Record(n, f"{n}.png", split=n.split("-")[0]) for n in image_ids]


def test_any_data_set_with_a_train_split_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plug-in's, say: its train split alone is trained on, with the sizes of its files."""
    monkeypatch.setattr(registry, "kinds", lambda: {"halves": Halves})
    home = tmp_path / "halves"
    paths = {"records": home / "records.csv", "images": home / "images"}
    keys = {"entry": {}, "downloads": tmp_path, "results": tmp_path / "results", **paths}
    training_pool("halves", **keys)
    data = provided(home)
    assert [path.stem for path in data.paths] == ["train-0", "train-1"]
    assert data.shapes.tolist() == [[40, 44]] * 2
    monkeypatch.setattr(Halves, "image_ids", lambda self: ["test-0"])
    with pytest.raises(DatasetError, match=r"data\.halves: no image is of the split train .*test"):
        training_pool("halves", **keys)
