"""Codec processes and the jobs of a shard: fresh decoding, failures as rows, nothing lost."""

from __future__ import annotations

import io
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image as PillowImage

from icmbench.codecs.registry import codec_class
from icmbench.core.errors import MeasurementError
from icmbench.core.images.image_files import decode_image, write_png
from icmbench.core.processes import run_python
from icmbench.datasets.records import Record
from icmbench.evaluation import archive, codec_process
from icmbench.evaluation.codec_process import CodecProcess, Failed, Setup
from icmbench.evaluation.decode import decode_shard, decoding
from icmbench.evaluation.encode import encode_shard
from icmbench.evaluation.measure import check_measurements, measure_shard
from icmbench.evaluation.shard import DECODED, ENCODED, CodecEntry, make_codec_entry, read_rows
from icmbench.evaluation.worker import handle
from icmbench.metrics.meter import Meter


def family(name: str, points: list[dict], seconds: float = 60.0, **more: object) -> CodecEntry:
    settings = {
        "entry": {"points": points, **more},
        "device": "cpu",
        "threads": 1,
        "models": None,
        "limits": {"seconds_per_image": seconds},
    }
    return make_codec_entry(name, settings)


@pytest.fixture
def shard(tmp_path: Path) -> tuple[list[Record], Path]:
    """Four images of different heights, as files and records."""
    records = []
    for index, height in enumerate((40, 41, 50, 43)):
        write_png(tmp_path / "images" / f"i{index}.png", make_picture(height, 48, index))
        records.append(Record(f"i{index}", f"i{index}.png", "", 48, height))
    return records, tmp_path / "images"


def run_jobs(one: CodecEntry, shard: tuple[list[Record], Path], out: Path, names=("psnr_rgb",)):  # type: ignore[no-untyped-def]
    records, folder = shard
    streams, encoded = out / "s.zip", out / "s.csv"
    encode_shard(one, "d", records, folder, streams=streams, status=encoded, timing=out / "te.csv")
    decode_shard(
        one,
        "d",
        streams=streams,
        encoded=encoded,
        pictures=out / "r.zip",
        status=out / "r.csv",
        timing=out / "td.csv",
    )
    return measure_shard(
        "d", one.name, records, folder, Meter(names), pictures=out / "r.zip",
        decoded=out / "r.csv", lossless=codec_class(one.codec).lossless,
    )  # fmt: skip


def test_rate_is_the_size_of_the_decoded_file(shard, tmp_path: Path, root: Path) -> None:
    """bpp from the zip's members by hand; the measurement schema holds."""
    one = family("jpeg", [{"quality": [10, 60]}, {"quality": 30, "scale": 0.5}])
    rows = run_jobs(one, shard, tmp_path, ("psnr_rgb", "ssim"))
    assert len(rows) == 12
    assert set(rows["status"]) == {"ok"}
    with archive.reader(tmp_path / "s.zip") as streams:
        for row in rows.itertuples():
            scaled = "-scale0.5" if "scale" in row.codec else ""
            quality = row.codec.split("quality=")[1].split(",")[0]
            suffix = "jpg-scaled" if scaled else "jpg"
            member = f"jpeg-quality{quality}{scaled}/{row.image}.{suffix}"
            size = streams.getinfo(member).file_size
            assert row.bytes == size
            assert row.bpp == 8 * size / (row.width * row.height)
    check_measurements(rows, root / "schemas" / "measurements.schema.json")


def test_embedded_codec_is_coded_once_and_cut_before_decoding(
    shard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = family("raw-test", [{"planes": [1, 2, 3]}])
    rows = run_jobs(one, shard, tmp_path)
    with archive.reader(tmp_path / "s.zip") as streams:
        assert sorted(streams.namelist()) == [f"raw-test/i{i}.icb" for i in range(4)]
    sizes = rows.pivot(index="image", columns="codec", values="bytes")
    one_plane, two = sizes["raw-test:planes=1"], sizes["raw-test:planes=2"]
    assert (one_plane < two).all()
    assert (two < sizes["raw-test"]).all()
    assert np.isinf(rows.loc[rows["codec"] == "raw-test", "psnr_rgb"]).all()
    point = one.points[0]
    started = []
    start = CodecProcess._load
    monkeypatch.setattr(CodecProcess, "_load", lambda self: (started.append(1), start(self)))
    with decoding() as decode:
        picture = decode(one, tmp_path / "s.zip", point, "i2")
        again = decode(one, tmp_path / "s.zip", point, "i2")
        other = decode(one, tmp_path / "s.zip", point, "i1")
    assert len(started) == 1  # one fresh process for the images of an entry
    assert np.array_equal(picture, again)
    assert not np.array_equal(picture, other)
    assert np.array_equal(picture[:, :, 0], make_picture(50, 48, 2)[:, :, 1])


@pytest.mark.parametrize("decode", [False, True])
def test_an_encoding_job_warms_up_no_decoder(decode: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder may be gigabytes that encoding never needs."""
    codec, decoded = codec_class("jpeg")(), []
    monkeypatch.setattr(codec, "decode", lambda stream, **_: decoded.append(stream))
    request = {"do": "warm-up", "keys": {"quality": 20}, "decode": decode}
    assert handle(codec, request) == {}
    assert len(decoded) == decode


def test_the_encoding_job_asks_for_no_decoder(
    shard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setups: list[Setup] = []

    def start(setup: Setup) -> CodecProcess:
        setups.append(setup)
        return CodecProcess(setup)

    monkeypatch.setattr("icmbench.evaluation.encode.CodecProcess", start)
    run_jobs(family("jpeg", [{"quality": 20}]), shard, tmp_path)
    assert [(setup.warm_up, setup.decodes) for setup in setups] == [
        ({"quality": 20, "scale": 1.0}, False)
    ]


@pytest.mark.usefixtures("with_bad_codecs")
@pytest.mark.parametrize(
    ("name", "status", "failing", "detail"),
    [
        ("raises-on-one", "encode-failed", {"i1"}, "ValueError: planted: this image"),
        ("raises-on-all", "encode-failed", {"i0", "i1", "i2", "i3"}, "planted: every image"),
        ("crashes", "decode-crashed", {"i1"}, "signal SIGSEGV"),
        ("crashes-when-warm", "encode-failed", set(), ""),
        ("empty", "encode-failed", {"i0", "i1", "i2", "i3"}, "an empty stream"),
        ("vanishes", "decode-crashed", {"i0", "i1", "i2", "i3"}, "exit code 3"),
        ("loses", "not-lossless", {"i0", "i1", "i2", "i3"}, "lost something"),
        ("shrinks", "wrong-size", {"i0", "i1", "i2", "i3"}, "the original is 48x"),
        ("does-not-load", "encode-failed", {"i0", "i1", "i2", "i3"}, "planted: no weights"),
    ],
)
def test_planted_failures_are_rows(
    shard, tmp_path: Path, name: str, status: str, failing: set[str], detail: str
) -> None:
    """Each failure is a row that says what happened; every other image is measured."""
    rows = run_jobs(family(name, [{}]), shard, tmp_path).set_index("image")
    assert set(rows.index) == {"i0", "i1", "i2", "i3"}
    assert set(rows.index[rows["status"] == status]) == failing
    assert set(rows.index[rows["status"] == "ok"]) == set(rows.index) - failing
    for image in failing:
        assert detail in rows.loc[image, "detail"]
        assert np.isnan(rows.loc[image, "psnr_rgb"])
        assert np.isnan(rows.loc[image, "bpp"])


@pytest.mark.usefixtures("with_bad_codecs")
def test_batches(shard, tmp_path: Path) -> None:
    """Streams come together as the string says; one that fails costs the others nothing."""
    one = family("batches", [{"batch": [1, 2, 3]}])
    rows = run_jobs(one, shard, tmp_path)
    failed = rows["status"] == "decode-failed"
    assert set(rows["image"][failed]) == {"i1"}
    assert (failed.sum(), len(rows)) == (3, 12)
    assert set(rows["status"][~failed]) == {"ok"}
    assert (rows["bytes"][~failed] > 0).all()
    with archive.reader(tmp_path / "r.zip") as pictures:
        names = sorted(pictures.namelist())
        planes = {}
        for name in names:
            with PillowImage.open(io.BytesIO(pictures.read(name))) as picture:
                planes[name] = int(np.asarray(picture)[0, 0, 0])
    # Batches of i0 i1, i2 i3 and of i0 i1 i2, i3: those with i1 are decoded one by one.
    assert planes == {
        **{f"batches/i{n}.png": 1 for n in (0, 2, 3)},
        **{"batches-batch2/i0.png": 1, "batches-batch2/i2.png": 2, "batches-batch2/i3.png": 2},
        **{f"batches-batch3/i{n}.png": 1 for n in (0, 2, 3)},
    }


@pytest.mark.usefixtures("with_bad_codecs")
def test_a_codec_that_hangs_ends(shard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three time limits in a row, then the rest is not tried: four images cost 3 s, not 240."""
    waits: list[float] = []  # of the small picture and of images; starting a process is no wait
    answers = codec_process._answers

    def watched(process: object, seconds: float) -> bool:
        start = time.monotonic()
        answered = answers(process, seconds)
        if seconds == 1:
            waits.append(time.monotonic() - start)
        return answered

    monkeypatch.setattr(codec_process, "_answers", watched)
    rows = run_jobs(family("hangs", [{}], seconds=1), shard, tmp_path)
    assert len(waits) == 4
    assert sum(waits) < 20
    assert list(rows["status"]) == ["encode-timeout"] * 4
    assert "no answer within 1 s" in rows["detail"].iloc[0]
    assert "not tried" in rows["detail"].iloc[3]


@pytest.mark.usefixtures("with_bad_codecs")
def test_time_without_a_processor_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process was kept waiting for three of the seconds since it was asked."""
    waits = iter([10.0, 10.0])
    monkeypatch.setattr(codec_process, "_kept_waiting", lambda _: next(waits, 13.0))
    with CodecProcess(Setup("hangs", seconds=1)) as process:
        process._load()
        waits = iter([10.0, 10.0])
        start = time.monotonic()
        with pytest.raises(Failed, match="no answer within 1 s"):
            process.call("encode", (), image=np.zeros((8, 8, 3), np.uint8))
        assert 3.5 < time.monotonic() - start < 15


def test_waiting_is_read_from_the_kernel() -> None:
    """It is what the system says (by now this process has waited), and 0 where nothing is known."""
    assert codec_process._kept_waiting(2**22 + 1) == 0.0  # above every process's number
    counted = Path("/proc/self/schedstat")
    if counted.exists():
        before = int(counted.read_text(encoding="utf-8").split()[1]) / 1e9
        waited = codec_process._kept_waiting(os.getpid())
        assert before <= waited <= int(counted.read_text(encoding="utf-8").split()[1]) / 1e9


def test_the_child_dies_with_its_parent(tmp_path: Path) -> None:
    """A job that is killed leaves no codec process behind."""
    code = (
        "import time\n"
        "from icmbench.evaluation.codec_process import CodecProcess, Setup\n"
        "import numpy as np\n"
        "with CodecProcess(Setup('jpeg')) as p:\n"
        "    p.call('encode', (('quality', 9),), image=np.zeros((8, 8, 3), np.uint8))\n"
        "    print(p._process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    import subprocess
    import sys

    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        if not Path(f"/proc/{child}").exists():
            return
        time.sleep(0.05)
    pytest.fail("the codec's process outlived its parent")


def test_seconds_are_of_the_codec_and_the_start_is_apart() -> None:
    with CodecProcess(Setup("jpeg")) as process:
        answer = process.call("encode", (("quality", 9),), image=make_picture(16, 16))
        assert 0 < answer["seconds"] < 1
        assert process.start_s > answer["seconds"]
        with pytest.raises(Failed, match="unexpected keyword"):
            process.call("encode", (("speed", 9),), image=make_picture(16, 16))
        assert process.call("encode", (("quality", 9),), image=make_picture(16, 16))["stream"]


def test_an_empty_shard_gives_empty_outputs(tmp_path: Path) -> None:
    rows = run_jobs(family("jpeg", [{"quality": 20}]), ([], tmp_path), tmp_path)
    assert len(rows) == 0
    assert {"bpp", "psnr_rgb", "status"} <= set(rows.columns)
    assert read_rows(tmp_path / "r.csv", DECODED) == []


def test_side_files_are_checked(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(MeasurementError, match=r"x\.csv: columns"):
        read_rows(tmp_path / "x.csv", ENCODED)


def test_the_schema_catches_nonsense(shard, tmp_path: Path, root: Path) -> None:
    rows = run_jobs(family("jpeg", [{"quality": 20}]), shard, tmp_path)
    schema = root / "schemas" / "measurements.schema.json"
    for column, value in (("bpp", -1.0), ("status", "fine"), ("psnr_rgb", -3.0), ("bytes", 0)):
        broken = rows.copy()
        broken.loc[2, column] = value
        with pytest.raises(MeasurementError, match=rf"measurement 2 .*{column}"):
            check_measurements(broken, schema)


def test_archives_are_reproducible(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        with archive.create(tmp_path / name) as out:
            out.add("x/1.png", b"one")
            out.add("x/2.png", b"two")
            with pytest.raises(ValueError, match="twice"):
                out.add("x/1.png", b"again")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with pytest.raises(TypeError), archive.create(tmp_path / "c.zip") as out:
        out.add("x", None)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "b.zip"]


def without(path: Path, name: str, spoil: bytes | None = None) -> None:
    """Write an archive again without a member, or with another content of it."""
    with archive.reader(path) as source:
        kept = {member: source.read(member) for member in source.namelist()}
    with archive.create(path) as out:
        for member, data in kept.items():
            if member != name:
                out.add(member, data)
            elif spoil is not None:
                out.add(member, spoil)


def test_a_missing_member_is_a_row(shard, tmp_path: Path, root: Path) -> None:
    """Of the streams or of the pictures: the other images are decoded and measured."""
    one = family("jpeg", [{"quality": [10, 60]}])
    records, folder = shard
    run_jobs(one, shard, tmp_path)
    without(tmp_path / "s.zip", "jpeg-quality10/i1.jpg")
    decode_shard(
        one, "d", streams=tmp_path / "s.zip", encoded=tmp_path / "s.csv",
        pictures=tmp_path / "r.zip", status=tmp_path / "r.csv", timing=tmp_path / "t.csv",
    )  # fmt: skip
    without(tmp_path / "r.zip", "jpeg-quality60/i2.png")
    without(tmp_path / "r.zip", "jpeg-quality60/i3.png", b"no picture")
    rows = measure_shard(
        "d", "jpeg", records, folder, Meter(("psnr_rgb",)),
        pictures=tmp_path / "r.zip", decoded=tmp_path / "r.csv",
    )  # fmt: skip
    check_measurements(rows, root / "schemas" / "measurements.schema.json")
    failed = rows[rows["status"] != "ok"].set_index(["codec", "image"])
    assert failed["status"].to_dict() == {
        ("jpeg:quality=10", "i1"): "decode-failed",
        ("jpeg:quality=60", "i2"): "measure-failed",
        ("jpeg:quality=60", "i3"): "measure-failed",
    }
    assert failed["detail"].str.contains(r"[sr]\.zip: .*'jpeg-quality.0/i\d\.\w+' is ").all()
    assert len(rows) == 8
    with decoding() as decode, pytest.raises(MeasurementError, match=r"i1\.jpg' is missing"):
        decode(one, tmp_path / "s.zip", one.points[0], "i1")


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (40, 48), (300, 7)])
def test_stored_and_compressed_pictures_are_equal(shape: tuple[int, int], tmp_path: Path) -> None:
    image = make_picture(*shape)
    for compress in (False, True):
        with archive.create(tmp_path / "r.zip") as out:
            out.add_image("webp/i.png", image, compress=compress)
        with archive.reader(tmp_path / "r.zip") as source:
            found = archive.read_picture(source, "webp/i.png")
            data = archive.read_member(source, "webp/i.png")
        assert np.array_equal(found, image)
        assert np.array_equal(decode_image(data)[0], image)
        longer = image.size + shape[0]  # pixels and a byte per row, and at most 100 bytes more
        assert compress or longer < len(data) < longer + 100


def test_coding_jobs_load_neither_torch_nor_pandas() -> None:
    """Each takes seconds that every job of a run pays; the codec process loads what it needs."""
    run_python(
        "-c",
        "import sys\n"
        "import icmbench.jobs.decode, icmbench.jobs.encode\n"
        "from icmbench.evaluation.shard import make_codec_entry\n"
        "settings = {'entry': {'points': [{}]}, 'device': 'auto', 'threads': 1, 'models': None}\n"
        "settings['limits'] = {'seconds_per_image': 1}\n"
        "assert make_codec_entry('mpd', settings).setup.device == 'auto'\n"
        "assert not {'torch', 'pandas'} & {*sys.modules}, sys.modules.keys()",
    )
