"""`icmbench encode --target`: the smallest file found that meets a quality, and its account."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_picture

from icmbench.cli import main
from icmbench.codecs import registry
from icmbench.codecs.base import Codec, Image, Key
from icmbench.codecs.specs import parse_spec
from icmbench.core.images.image_files import read_image, write_png
from icmbench.metrics.meter import Meter


class Planted(Codec):
    """Adds an error of `100 - level` to every pixel in a file of the planted size."""

    name = "planted"
    title = "planted"
    extension = "planted"
    encode_keys = {"level": Key(int, low=0, high=100), "free": Key(int, default=1)}
    rate_key = "level"
    dent = range(0)  # levels whose files are a third of their neighbours'

    def encode(self, image: Image, *, level: int, free: int = 1) -> bytes:
        size = (100 + level) // (3 if level in self.dent else 1)
        shape = np.array(image.shape[:2], np.uint16).tobytes()
        return (bytes([level]) + shape + zlib.compress(image.tobytes())).ljust(40000 + size, b"\0")

    def decode(self, stream: bytes) -> Image:
        shape = (*np.frombuffer(stream[1:5], np.uint16), 3)
        image = np.frombuffer(zlib.decompressobj().decompress(stream[5:]), np.uint8).reshape(shape)
        return np.asarray(image + np.uint8(100 - stream[0]))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_png(tmp_path / "in.png", make_picture(96, 128) // 2)
    known = {**registry.codecs(), "planted": Planted}
    monkeypatch.setattr(registry, "codecs", lambda: known)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["encode", "in.png", "out.bin", *arguments])
    out, err = capsys.readouterr()
    return code, out + err


def scores(codec: str, metric: str, keys: dict[str, list[float]]) -> dict[float, tuple[int, float]]:
    """Bytes and score of every value of a key: the exhaustive search."""
    image, meter = read_image("in.png")[0], Meter([metric])
    ((key, values),) = keys.items()
    found = {}
    for value in values:
        point = parse_spec(f"{codec}:{key}={value}")
        coder = point.codec()
        stream = coder.truncate(coder.encode(image, **dict(point.encode)), **dict(point.cut))
        found[value] = len(stream), meter(image, coder.decode(stream))[metric]
    return found


@pytest.mark.parametrize("goal", ["psnr_y=30", "psnr_rgb=33.3", "gmsd=0.1"])
def test_it_is_the_smallest_that_meets_the_target(
    goal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    metric, value = goal.split("=")
    code, said = run(capsys, "--codec", "jpeg", "--target", goal)
    assert code == 0
    every = scores("jpeg", metric, {"quality": list(range(1, 101))})
    met = {
        q: size
        for q, (size, score) in every.items()
        if (score <= float(value) if metric == "gmsd" else score >= float(value))
    }
    size = Path("out.bin").stat().st_size
    quality = int(said.split("jpeg:quality=")[1].split(",")[0])
    assert met[quality] == size == min(met.values())
    assert f"{every[quality][1]:.4f}" in said
    assert int(said.split(" encodings")[0].split()[-1]) <= 10  # not one by one


def test_real_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(capsys, "--codec", "jxl", "--target", "psnr_y=40")
    assert code == 0
    text = said.split("jxl:distance=")[1].split(",")[0]
    assert len(text.replace(".", "").lstrip("0")) <= 4
    found = scores("jxl", "psnr_y", {"distance": [float(text), 1.05 * float(text)]})
    (size, score), (_, next_score) = found.values()
    assert size == Path("out.bin").stat().st_size
    assert score >= 40 > next_score
    assert float(said.split("psnr_y ")[1].split()[0]) == pytest.approx(score, abs=1e-4)


def test_an_embedded_stream_is_coded_once(capsys: pytest.CaptureFixture[str]) -> None:
    every = scores("raw-test", "psnr_y", {"planes": [1, 2, 3]})
    goal = (every[1][1] + every[2][1]) / 2
    code, said = run(capsys, "--codec", "raw-test", "--target", f"psnr_y={goal}")
    assert code == 0
    assert "raw-test:planes=2," in said
    assert "1 encoding, 3 decodings" in said
    assert Path("out.bin").stat().st_size == every[2][0]


def test_a_scale_that_is_not_monotone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = read_image("in.png")[0]
    goal = Meter(["psnr_rgb"])(image, image + np.uint8(100 - 90))["psnr_rgb"]  # level 90 meets it
    more = ("--codec", "planted", "--target", f"psnr_rgb={goal - 1e-6}")
    code, said = run(capsys, *more)
    assert code == 0
    assert "planted:level=90, 40190 bytes" in said
    assert "monotone" not in said
    monkeypatch.setattr(Planted, "dent", range(92, 96))  # the bisection passes 93
    code, said = run(capsys, *more)
    assert code == 0
    assert "level=93, 40064 bytes" in said
    assert "the scale is not monotone (planted:level=" in said


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--codec", "webp", "--target", "psnr_y=90"), 4, "out of reach: webp at quality=0..100"),
        (("--codec", "webp", "--target", "psnr=30"), 2, "did you mean 'psnr_y'"),
        (("--codec", "webp", "--target", "psnr_y"), 2, "expected METRIC=VALUE"),
        (("--codec", "webp", "--target", "psnr_y=nan"), 2, "expected METRIC=VALUE"),
        (("--codec", "webp:quality=3", "--target", "psnr_y=30"), 2, "leave it out"),
        (("--codec", "identity", "--target", "psnr_y=30"), 2, "name one: --over KEY"),
        (("--codec", "webp", "--target", "psnr_y=30", "--over", "qual"), 2, "'quality'"),
        (("--codec", "webp", "--target", "psnr_y=30", "--over", "quality=9"), 2, "KEY=LOW:HIGH"),
        (("--codec", "webp", "--target", "psnr_y=30", "--over", "quality=9:9"), 2, "below HIGH"),
        (("--codec", "webp", "--target", "psnr_y=30", "--over", "quality=9:900"), 2, "to 100"),
        (("--codec", "planted:level=5", "--target", "psnr_y=9", "--over", "free"), 2, "no range"),
        (
            ("--codec", "planted:level=5", "--target", "psnr_y=9", "--over", "free=1:9"),
            2,
            "equal files",
        ),
        (("--codec", "webp", "--target", "ms_ssim=0.9"), 4, "a side is below 161 pixels"),
        (("--codec", "webp:quality=3", "--over", "quality"), 2, "--target"),
        (("--codec", "webp", "--target", "psnr_y=30", "--bytes", "5"), 2, "not allowed with"),
    ],
)
def test_one_sentence_where_it_cannot(
    arguments: tuple[str, ...], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        got, said = run(capsys, *arguments)
    except SystemExit as end:  # argparse's own
        got, said = end.code, capsys.readouterr().err
    assert got == code, said
    assert words in said
    assert not Path("out.bin").exists()


def test_the_range_in_reach_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    ends = scores("webp", "psnr_y", {"quality": [20, 40]})
    code, said = run(capsys, "--codec", "webp", "--target", "psnr_y=90", "--over", "quality=20:40")
    assert code == 4
    assert f"gives {ends[20][1]:.4f} to {ends[40][1]:.4f}" in said


def test_an_image_that_is_too_small_for_the_metric_is_named_before_any_trial(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_png(tmp_path / "in.png", make_picture(8, 128))
    code, text = run(capsys, "--codec", "webp", "--target", "ssim=0.5")
    assert (code, text) == (4, "icmbench: error: ssim is undefined: a side is below 11 pixels\n")


def test_only_images_of_a_folder_are_coded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Hidden files, such as those of macOS beside every image, and folders are none."""
    folder = tmp_path / "my images"
    (folder / "sub.png").mkdir(parents=True)
    (folder / "._a 'b'.png").write_bytes(b"")
    write_png(folder / "a 'b'.png", make_picture(40, 48))
    arguments = ["--codec", "jpeg", "--target", "psnr_y=25", "--over", "quality=10:30"]
    assert main(["encode", str(folder), "out", *arguments]) == 0
    assert [path.name for path in Path("out").iterdir()] == ["a 'b'.jpg"]
    write_png(folder / "A 'B'.webp.png", make_picture(40, 48))
    write_png(folder / "A 'B'.png", make_picture(40, 48))
    if len([*folder.glob("*'.png")]) == 3:  # a file system that tells them apart
        capsys.readouterr()
        assert main(["encode", str(folder), "out2", *arguments]) == 2
        assert "two images are named A 'B'" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named_for_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--codec", "webp", "--target", "top5_agreement=0.9", "--device", "cuda"]
    code, text = run(capsys, *arguments)
    assert code == 2
    assert "device: cuda" in text
    assert text.count("\n") == 1
