"""Contents of a data folder: links, hidden files, results of runs, pictures of other kinds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from conftest import make_picture

from icmbench.core.errors import DatasetError
from icmbench.core.images.image_files import write_png
from icmbench.datasets.base import Dataset
from icmbench.datasets.manifest import provide_shard
from icmbench.datasets.registry import make_dataset


def picture(path: Path, seed: int = 0) -> Path:
    write_png(path, make_picture(6, 8, seed))
    return path


def folder_set(path: Path, results: Path | None = None, **options: Any) -> Dataset:
    entry = {"type": "folder", "path": str(path), **options}
    return make_dataset("mine", entry, path.parent / "downloads", results)


def test_linked_folders_are_entered_once(tmp_path: Path) -> None:
    """A folder's own path precedes links to it; loops end; the order of names is no matter."""
    images = tmp_path / "img"
    picture(images / "z" / "own.png")
    picture(tmp_path / "far" / "b.png")
    picture(tmp_path / "far" / "deep" / "c.png")
    (images / "a").symlink_to(images / "z")  # sorted before what it leads to
    (images / "far").symlink_to(tmp_path / "far")
    (images / "again").symlink_to(tmp_path / "far" / "deep")  # sorted before the link above
    (images / "z" / "loop").symlink_to(images)
    (images / "single.png").symlink_to(tmp_path / "far" / "b.png")
    data = folder_set(images)
    assert data.image_ids() == ["again+c.png", "far+b.png", "single.png", "z+own.png"]
    (note,) = data.notes()
    assert "'a'" in note
    assert "'far/deep'" in note
    assert "'z/loop'" in note


def test_links_into_nowhere_are_rows(tmp_path: Path) -> None:
    """Such as the files of git-annex and DVC that were not fetched."""
    picture(tmp_path / "img" / "a.png")
    lost, round_trip = tmp_path / "img" / "lost.png", tmp_path / "img" / "self.png"
    lost.symlink_to(tmp_path / "annex" / "x")
    round_trip.symlink_to(round_trip)
    data = folder_set(tmp_path / "img")
    status = {r.image: r.status for r in provide_shard(data, 0, 1, tmp_path / "out")}
    assert status["a.png"] == "ok"
    assert status["lost.png"].startswith("refused: no such file")
    assert status["self.png"].startswith("refused: ")
    before = data.fingerprint(data.image_ids())
    picture(tmp_path / "annex" / "x.png").rename(tmp_path / "annex" / "x")
    assert data.fingerprint(data.image_ids()) != before


def test_files_that_are_no_images_are_noted(tmp_path: Path) -> None:
    images = tmp_path / "img"
    source = picture(tmp_path / "source.png")
    for name in ("a.PNG", ".x.png", ".ipynb_checkpoints/a-checkpoint.png", "sub/.cache/b.png"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(source.read_bytes())
    for name in ("b.bmp", "c.BMP", "d.gif", "e.jfif", "notes.txt"):
        (images / name).write_bytes(b"x")
    os.mkfifo(images / "pipe.png")
    data = folder_set(images)
    assert data.image_ids() == ["a.PNG"]
    others, hidden, special = data.notes()
    assert "2 .bmp, 1 .gif, 1 .jfif;" in others
    assert "'.ipynb_checkpoints', '.x.png', 'sub/.cache'" in hidden
    assert "'pipe.png'" in special
    (images / "a.PNG").unlink()
    with pytest.raises(DatasetError, match=r"no image.*2 \.bmp"):
        data.image_ids()
    assert folder_set(picture(tmp_path / "plain" / "x.png").parent).notes() == []


def test_outputs_of_runs_are_no_images(tmp_path: Path) -> None:
    """This run's results from its first file on, an earlier run's by their shards, downloads."""
    images = tmp_path / "img"
    for name in ("a.png", "results/figures/rd.png", "earlier/figures/rd.png", "figures/mine.png"):
        picture(images / name)
    table = images / "earlier" / "datasets" / "mine" / "shards" / "0.csv"
    table.parent.mkdir(parents=True)
    table.write_text("image\n")
    picture(images / "fetched" / "kodak" / "kodim01.png")
    (images / "link").symlink_to(images / "results")
    entry = {"type": "folder", "path": str(images)}
    data = make_dataset("mine", entry, images / "fetched", images / "results")
    assert data.image_ids() == ["a.png", "figures+mine.png"]
    outputs, linked = data.notes()
    assert "'earlier', 'fetched', 'results'" in outputs
    assert "'link'" in linked
    with pytest.raises(DatasetError, match=r"'mine'.*img is also where results are written"):
        folder_set(images, images / "sub" / "..").image_ids()
    # Pictures of an earlier run can be coded by naming their folder.
    assert folder_set(images / "earlier" / "figures").image_ids() == ["rd.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folders_that_cannot_be_listed_are_an_error(tmp_path: Path) -> None:
    picture(tmp_path / "img" / "a.png")
    closed = tmp_path / "img" / "closed"
    closed.mkdir(mode=0)
    with pytest.raises(DatasetError, match="closed: cannot be listed"):
        folder_set(tmp_path / "img").image_ids()
