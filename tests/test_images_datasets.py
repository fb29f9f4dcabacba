"""Images of every kind, and the data sets: what is read, what is refused, what is fetched."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from conftest import make_picture
from PIL import Image, ImageCms

from icmbench.datasets import kodak as kodak_module
from icmbench.datasets.base import Record, shard_of
from icmbench.datasets.download import download, pixel_sha256
from icmbench.datasets.manifest import provide_shard, read_records, usable, write_records
from icmbench.datasets.registry import make_dataset
from icmbench.errors import ConfigError, DatasetError, ImageError
from icmbench.files import sha256_bytes
from icmbench.images import read_image, write_png


def save(path: Path, picture: Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


def test_plain_rgb_is_untouched(tmp_path: Path, picture: np.ndarray) -> None:
    for name in ("a.png", "a.tif", "a.webp"):
        options = {"lossless": True} if name.endswith("webp") else {}
        image, note = read_image(save(tmp_path / name, Image.fromarray(picture), **options))
        assert np.array_equal(image, picture)
        assert note == ""


def test_grey_palette_and_bilevel(tmp_path: Path, picture: np.ndarray) -> None:
    grey = picture[:, :, 0]
    image, note = read_image(save(tmp_path / "g.png", Image.fromarray(grey)))
    assert np.array_equal(image, np.repeat(grey[:, :, None], 3, axis=2))
    assert note == "greyscale"
    palette = Image.fromarray(picture).quantize(17)
    image, note = read_image(save(tmp_path / "p.png", palette))
    assert np.array_equal(image, np.asarray(palette.convert("RGB")))
    assert note == "palette"
    image, _ = read_image(save(tmp_path / "1.png", Image.fromarray(grey).convert("1")))
    assert set(np.unique(image)) <= {0, 255}


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (200, 10, 10, 255)
    rgba[0, 1] = (200, 10, 10, 0)
    rgba[1, 0] = (0, 0, 0, 128)
    image, note = read_image(save(tmp_path / "a.png", Image.fromarray(rgba)))
    assert image[0, 0].tolist() == [200, 10, 10]
    assert image[0, 1].tolist() == [255, 255, 255]
    assert abs(int(image[1, 0, 0]) - 127) <= 1
    assert "transparency" in note
    rgba[:, :, 3] = 255
    image, note = read_image(save(tmp_path / "b.png", Image.fromarray(rgba)))
    assert np.array_equal(image, rgba[:, :, :3])
    assert note == ""


def test_sixteen_bits_are_rounded(tmp_path: Path) -> None:
    """65535 -> 255 and to the nearest in between: dropping the low byte would be off by up to 1."""
    values = np.arange(0, 65536, 7, dtype=np.uint16)
    deep = np.resize(values, (96, 97)).astype(np.uint16)
    expected = np.floor(deep / 257 + 0.5).astype(np.uint8)
    rgb = np.stack([deep, deep[::-1], deep[:, ::-1]], axis=2)
    wanted = np.stack([expected, expected[::-1], expected[:, ::-1]], axis=2)
    (tmp_path / "rgb.png").write_bytes(imagecodecs.png_encode(rgb))
    (tmp_path / "grey.png").write_bytes(imagecodecs.png_encode(deep))
    tifffile.imwrite(tmp_path / "rgb.tif", rgb, photometric="rgb")
    tifffile.imwrite(tmp_path / "grey.tif", deep, photometric="minisblack")
    for name in ("rgb.png", "rgb.tif"):
        image, note = read_image(tmp_path / name)
        assert np.array_equal(image, wanted), name
        assert "16-bit" in note
    for name in ("grey.png", "grey.tif"):
        image, _ = read_image(tmp_path / name)
        assert np.array_equal(image[:, :, 0], expected), name


def test_exif_orientation(tmp_path: Path, picture: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate 90 degrees clockwise to show
    path = save(tmp_path / "e.png", Image.fromarray(picture), exif=exif)
    image, note = read_image(path)
    assert np.array_equal(image, np.rot90(picture, -1))
    assert "EXIF" in note


def test_colour_profiles(tmp_path: Path, picture: np.ndarray) -> None:
    """sRGB stays bit-identical; another profile is converted; a broken one is refused."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image, note = read_image(save(tmp_path / "s.png", Image.fromarray(picture), icc_profile=srgb))
    assert np.array_equal(image, picture)
    assert note == ""
    path = save(tmp_path / "x.png", Image.fromarray(picture), icc_profile=b"nonsense" * 20)
    with pytest.raises(ImageError, match="ICC"):
        read_image(path)


def test_cmyk(tmp_path: Path) -> None:
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    image, note = read_image(save(tmp_path / "c.tif", cmyk))
    assert image[0, 0].tolist() == [255, 0, 0]
    assert "CMYK" in note


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_values_without_a_meaning_are_refused(tmp_path: Path, mode: str) -> None:
    path = save(tmp_path / "x.tif", Image.new(mode, (4, 4)))
    with pytest.raises(ImageError, match="8-bit RGB meaning") as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_broken_files_name_file_and_reason(tmp_path: Path, picture: np.ndarray) -> None:
    good = save(tmp_path / "g.jpg", Image.fromarray(picture)).read_bytes()
    cases = {
        "cut.jpg": (good[: len(good) // 2], "damaged"),
        "text.png": (b"hello", "not a PNG"),
        "empty.png": (b"", "empty"),
    }
    for name, (data, reason) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match=reason) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "none.png")


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
    with pytest.raises(DatasetError, match=r"chelsea.*ships another picture"):
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
    # What arrived is kept up to the last whole block, and only the rest is asked for.
    assert Server.ranges == [None, "bytes=65536-", "bytes=131072-"]
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


def test_kodak_from_a_server(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real code over HTTP, with pictures of the test's own under the data set's names."""
    pictures = {f"kodim{i:02d}": make_picture(8, 12, i) for i in (1, 2, 3)}
    monkeypatch.setattr(
        kodak_module, "PIXELS", {name: pixel_sha256(image) for name, image in pictures.items()}
    )
    for name, image in pictures.items():
        write_png(tmp_path / "server" / f"{name}.png", image)
        Server.files[f"/{name}.png"] = (tmp_path / "server" / f"{name}.png").read_bytes()
    entry = {"type": "kodak", "url": server + "/{image}.png"}
    records = make_dataset("kodak", entry, tmp_path / "dl").provide(list(pictures), tmp_path)
    for record in records:
        assert np.array_equal(read_image(record.path)[0], pictures[record.image])
    Server.files["/kodim02.png"] = Server.files["/kodim01.png"]
    with pytest.raises(DatasetError, match=r"kodim02\.png.*not the Kodak photograph"):
        make_dataset("kodak", entry, tmp_path / "dl2").provide(list(pictures), tmp_path)
    local = make_dataset("kodak", {"path": str(tmp_path / "server")}, tmp_path)
    assert [r.sha256 for r in local.provide(list(pictures), tmp_path)] == [
        r.sha256 for r in records
    ]


def test_records_reject_other_tables(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("image,width\na,3\n")
    with pytest.raises(DatasetError, match="not a manifest"):
        read_records(tmp_path / "x.csv")
    assert Record("a", "a.png").status == "ok"
