"""The data sets: what is listed, what is provided, what is fetched."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image

from icmbench.core.errors import ConfigError, DatasetError
from icmbench.core.files import sha256_bytes
from icmbench.core.images.image_files import pixel_sha256, read_image, write_png
from icmbench.datasets import kodak as kodak_module
from icmbench.datasets.manifest import provide_shard
from icmbench.datasets.records import Record, read_records, shard_of, usable, write_records
from icmbench.datasets.registry import make_dataset
from icmbench.sources.download import download


def save(path: Path, picture: Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


def test_folder(tmp_path: Path) -> None:
    """Every file is a record; a broken one has a status, the others stay usable."""
    pictures = tmp_path / "pictures"
    (pictures / "sub").mkdir(parents=True)
    for name, size in {"b.png": (1, 1), "a.jpg": (20, 30), "sub/c.webp": (9, 5)}.items():
        save(pictures / name, Image.fromarray(make_picture(*size)))
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (pictures / "notes.txt").write_text("not an image")
    dataset = make_dataset("mine", {"type": "folder", "path": str(pictures)}, tmp_path)
    assert dataset.image_ids() == ["a.jpg", "b.png", "broken.png", "sub+c.webp"]
    records = provide_shard(dataset, 0, 1, tmp_path / "out")
    status = {record.image: record.status for record in records}
    assert status["broken.png"].startswith("refused: ")
    assert [r.image for r in usable(records)] == ["a.jpg", "b.png", "sub+c.webp"]
    assert (records[0].width, records[0].height) == (30, 20)
    write_records(tmp_path / "m.csv", records)
    assert read_records(tmp_path / "m.csv") == records


def test_files_that_cannot_be_told_apart_are_an_error(tmp_path: Path) -> None:
    """`a/b.png` and `a+b.png` would share an id; hidden files are not images of the set."""
    (tmp_path / "p" / "a").mkdir(parents=True)
    for name in ("a/b.png", ".hidden.png", "a/._b.png"):
        save(tmp_path / "p" / name, Image.new("RGB", (2, 2)))
    dataset = make_dataset("mine", {"type": "folder", "path": str(tmp_path / "p")}, tmp_path)
    assert dataset.image_ids() == ["a+b.png"]
    save(tmp_path / "p" / "a+b.png", Image.new("RGB", (2, 2)))
    with pytest.raises(DatasetError, match=r"a/b\.png and .*a\+b\.png have the same id"):
        dataset.image_ids()


def test_one_new_file_changes_one_shard(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(12):
        save(pictures / f"{index}.png", Image.fromarray(make_picture(4, 4, index)))
    entry = {"type": "folder", "path": str(pictures)}
    dataset = make_dataset("mine", entry, tmp_path)

    def prints() -> list[str]:
        ids = dataset.image_ids()
        shards = [[i for i in ids if shard_of(i, 4) == s] for s in range(4)]
        return [dataset.fingerprint(shard) for shard in shards]

    before = prints()
    save(pictures / "new.png", Image.fromarray(make_picture(4, 4)))
    changed = [a != b for a, b in zip(before, prints(), strict=True)]
    assert sum(changed) == 1
    assert changed[shard_of("new.png", 4)]


def test_shards_are_fixed_by_the_id() -> None:
    """Values worked out with sha256sum: a salted hash or a changed rule would move images."""
    assert [shard_of(name, 7) for name in ("a", "kodim01", "test-00000")] == [
        int(sha256_bytes(name.encode())[:16], 16) % 7 for name in ("a", "kodim01", "test-00000")
    ]
    assert shard_of("a", 1000) == 0xCA978112CA1BBDCA % 1000


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"type": "foldr", "path": "."}, "did you mean 'folder'"),
        ({"type": "folder", "pth": "."}, "did you mean 'path'"),
        ({"type": "folder"}, "needs the option 'path'"),
        ({"type": "folder", "path": ".", "limit": "3"}, "not of type int"),
    ],
)
def test_wrong_data_set_entries(tmp_path: Path, entry: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_dataset("mine", entry, tmp_path)


def test_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset("photos", {"max_megapixels": 0.4}, tmp_path)
    assert len(dataset.image_ids()) >= 10
    small = make_dataset("photos", {"only": ["retina", "chelsea"], "max_megapixels": 0.1}, tmp_path)
    records = small.provide(small.image_ids(), tmp_path)
    for record in records:
        image, _ = read_image(tmp_path / record.path)
        assert image.shape == (record.height, record.width, 3)
        assert record.width * record.height <= 1e5
        assert record.source
        assert record.licence
    from dataclasses import replace

    from icmbench.datasets import photos

    other = replace(photos.PHOTOS["chelsea"], load=lambda: make_picture(300, 451))
    monkeypatch.setitem(photos.PHOTOS, "chelsea", other)
    with pytest.raises(DatasetError, match=r"chelsea.*ships another image"):
        small.provide(["chelsea"], tmp_path)


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves files with ranges; `flaky` answers are cut after half of what is left."""

    files: dict[str, bytes] = {}
    flaky: int = 0
    ranges: list[str | None] = []

    def do_GET(self) -> None:
        data = self.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        type(self).ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if start >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.end_headers()
            return
        self.send_response(206 if asked else 200)
        rest = data[start:]
        self.send_header("Content-Length", str(len(rest)))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if type(self).flaky > 0:
            type(self).flaky -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Server.files, Server.flaky, Server.ranges = {}, 0, []
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()


def test_download_resumes(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two broken connections: the third asks only for the rest, and the whole is right."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    data = np.random.default_rng(0).bytes(200_000)
    Server.files, Server.flaky = {"/x.bin": data}, 2
    target = download(f"{server}/x.bin", tmp_path / "x.bin", sha256_bytes(data))
    assert target.read_bytes() == data
    # What arrived is kept to the last byte, and only the rest is asked for.
    assert Server.ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert [p.name for p in tmp_path.iterdir()] == ["x.bin"]
    Server.ranges.clear()
    download(f"{server}/x.bin", target, sha256_bytes(data))
    assert Server.ranges == []


def test_download_failures(server: str, tmp_path: Path) -> None:
    Server.files = {"/x.bin": b"abc"}
    with pytest.raises(DatasetError, match=r"x\.bin: sha256 is ba78.*expected 0000"):
        download(f"{server}/x.bin", tmp_path / "x.bin", "0" * 64)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DatasetError, match="404"):
        download(f"{server}/none", tmp_path / "none")


def test_kodak_is_known_by_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetched and local files, with pictures of the test's own under the data set's names."""
    pictures = {f"kodim{i:02d}": make_picture(8, 12, i) for i in (1, 2, 3)}
    monkeypatch.setattr(
        kodak_module, "PIXELS", {name: pixel_sha256(image) for name, image in pictures.items()}
    )
    folder = tmp_path / "dl" / "kodak"
    for name, image in pictures.items():
        write_png(folder / f"{name}.png", image)
    dataset = make_dataset("photographs", {"type": "kodak"}, tmp_path / "dl")
    assert dataset.sources() == ("kodak",)
    with pytest.raises(DatasetError, match=r"kodak is not in .*run `icmbench fetch .*/dl kodak`"):
        dataset.provide(list(pictures), tmp_path)
    (folder / "fetched.json").write_text("{}")
    records = dataset.provide(list(pictures), tmp_path)
    for record in records:
        assert np.array_equal(read_image(record.path)[0], pictures[record.image])
        assert record.source == f"https://r0k.us/graphics/kodak/kodak/{record.image}.png"
    local = make_dataset("kodak", {"path": str(folder)}, tmp_path)
    assert local.sources() == ()
    assert [r.sha256 for r in local.provide(list(pictures), tmp_path)] == [
        r.sha256 for r in records
    ]
    write_png(folder / "kodim02.png", pictures["kodim01"])
    wrong = r"kodim02\.png.*not the Kodak photograph"
    remedy = r"remove .*locks/kodak\.json, and run `icmbench fetch .*/dl kodak`"
    with pytest.raises(DatasetError, match=rf"{wrong}; {remedy}"):
        dataset.provide(list(pictures), tmp_path)
    with pytest.raises(DatasetError, match=rf"{wrong}$"):
        local.provide(list(pictures), tmp_path)


def test_records_reject_other_tables(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("image,width\na,3\n")
    with pytest.raises(DatasetError, match="not a manifest"):
        read_records(tmp_path / "x.csv")
    assert Record("a", "a.png").status == "ok"
