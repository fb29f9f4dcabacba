"""Decoding elsewhere: what travels, what is refused, how two machines' pictures are told apart."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, make_picture

from icmbench.config.load import complete
from icmbench.config.models import coding_settings
from icmbench.core.errors import ConfigError, MeasurementError, ModelError
from icmbench.core.images.image_files import write_png
from icmbench.datasets.records import Record, shard_of
from icmbench.evaluation import archive
from icmbench.evaluation.agreement import AGREEMENT, COLUMNS, agreement, read_verification
from icmbench.evaluation.decode import decode_shard
from icmbench.evaluation.encode import encode_shard
from icmbench.evaluation.shard import DECODED, ENCODED, make_codec_entry, read_rows, write_rows
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.robustness import COLUMNS as TABLE
from icmbench.reporting.tables.robustness import ELSEWHERE, robustness_table
from icmbench.transfer import bundle as bundles
from icmbench.transfer.bundle import ABOUT, PICTURES, STREAMS, open_bundle, write_bundle
from icmbench.transfer.pack import pack_streams
from icmbench.transfer.results import Unit
from icmbench.transfer.unpack import unpack_streams
from icmbench.transfer.verify import summary, verify_pictures

# Another machine, told by the environment; what it does differently, by the height of the image.
PLANTED = """
import os, signal
import numpy as np
from icmbench.codecs.base import Key
from icmbench.codecs.raw_test import RawTest
from icmbench.core.errors import SymbolMismatch

ELSEWHERE = os.environ.get("PLANTED_MACHINE") == "elsewhere"

class Travels(RawTest):
    name = "travels"
    codec_id = None
    cut_keys = {}
    def truncate(self, stream): return stream
    def _parse(self, stream): return RawTest()._parse(stream)
    def decode(self, stream):
        if os.environ.get("PLANTED_MACHINE") == "broken": raise ValueError("planted: broken")
        image = RawTest().decode(stream)
        if not ELSEWHERE: return image
        height = len(image)
        if height == 41: image[3, 5] ^= 1
        if height == 42: image[:2, :, 1] ^= 128
        if height == 43: raise SymbolMismatch("planted")
        if height == 44: os.kill(os.getpid(), signal.SIGSEGV)
        if height == 45: raise ValueError("planted")
        if height == 46: return image[:-1]
        return image

class Keyed(RawTest):
    name = "keyed"
    codec_id = None
    model_name = "keyed"
    def __init__(self, *, models, device="cpu"):
        super().__init__(models=models, device=device)
        self.key = (models / "keyed" / "deep" / "key.bin").read_bytes()[0]
    def _parse(self, stream): return RawTest()._parse(stream)
    def encode(self, image): return RawTest().encode(image)
    def decode(self, stream): return RawTest().decode(stream) ^ self.key

class TravelsTogether(Travels):
    # The red plane says how many streams were decoded at once.
    name = "travels-together"
    decode_keys = {"batch": Key(int, default=1, low=1, high=9)}
    batch_key = "batch"
    def decode(self, stream, batch=1): return self.decode_batch([stream])[0]
    def decode_batch(self, streams, batch=1):
        pictures = [RawTest().decode(stream) for stream in streams]
        for picture in pictures:
            picture[:, :, 0] = len(streams)
            if ELSEWHERE and len(picture) == 41: picture[0, 0, 2] ^= 1
        return pictures
"""
HEIGHTS = range(40, 47)  # one per class, see above
MACHINE = {"processor": "A", "gpu": [], "system": "Linux 1"}


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Make the planted codecs known here and in child processes."""
    from icmbench.codecs import registry

    site = tmp_path / "site"
    info = site / "travels-1.dist-info"
    info.mkdir(parents=True)
    (site / "travels.py").write_text(PLANTED)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: travels\nVersion: 1\n")
    classes = ("travels = travels:Travels", "travels-together = travels:TravelsTogether")
    lines = ["[icmbench.codecs]", *classes, "keyed = travels:Keyed", ""]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    registry.codecs.cache_clear()
    yield monkeypatch
    registry.codecs.cache_clear()


def make_results(
    results: Path,
    codecs: dict[str, Any],
    *,
    shards: int = 1,
    heights: Any = (40, 41, 43),
    **more: Any,
) -> Path:
    """What a finished run of a folder of pictures leaves, as its jobs make it; no Snakemake."""
    entry = {"mine": {"type": "folder", "path": "/home/me/pictures"}}
    config = {"datasets": entry, "codecs": codecs, "shards": shards, "device": "cpu", **more}
    config = complete(config)
    images = results / "datasets" / "mine" / "images"
    records = []
    for number, height in enumerate(heights):
        write_png(images / f"i{number}.png", make_picture(height, 48, number))
        records.append(Record(f"i{number}", f"i{number}.png", "", 48, height))
    for name in codecs:
        settings = {**coding_settings(config, name)}
        family = make_codec_entry(name, settings)
        for shard in range(shards):
            own = [record for record in records if shard_of(record.image, shards) == shard]
            unit = Unit("mine", name, shard)
            streams, status, timing, decoded = (
                results / unit.member(folder, suffix)
                for folder, suffix in (
                    ("streams", ".zip"),
                    ("streams", ".csv"),
                    ("timing", ".csv"),
                    ("decoded", ".csv"),
                )
            )
            encode_shard(family, "mine", own, images, streams=streams, status=status, timing=timing)
            decode_shard(
                family, "mine", streams=streams, encoded=status, status=decoded, timing=timing,
                pictures=results / unit.member("reconstructions", ".zip"),
            )  # fmt: skip
    shutil.rmtree(results / "reconstructions")
    told = {"config": config, "machine": MACHINE, "threads_per_job": 1, "packages": {"torch": "1"}}
    (results / "provenance.json").write_text(json.dumps(told))
    return results


def decode_elsewhere(folder: Path, **more: Any) -> Path:
    """What `rules/packed.smk` makes of an unpacked folder; no Snakemake."""
    from icmbench.transfer.packed import pack_pictures, packed_run

    config = yaml.safe_load((folder / "config.yaml").read_text())
    run = packed_run({**config, **more})
    for unit in run.units:
        paths = {
            "streams": ("streams", ".zip"),
            "encoded": ("streams", ".csv"),
            "pictures": ("reconstructions", ".zip"),
            "status": ("decoded", ".csv"),
            "timing": ("timing", ".csv"),
        }
        found = {key: folder / unit.member(*where) for key, where in paths.items()}
        decode_shard(run.codecs[unit.family], unit.dataset, **found)
    pack_pictures(run.config, folder / "decoded.tar", ROOT)
    return folder / "decoded.tar"


def contents(file: Path) -> dict[str, bytes]:
    """Members of a tar, by tarfile alone."""
    with tarfile.open(file) as opened:
        return {m.name: opened.extractfile(m).read() for m in opened.getmembers()}


@pytest.fixture(scope="module")
def jpeg_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two codecs, three shards."""
    codecs = {"jpeg": {"points": [{"quality": [10, 60]}]}, "raw-test": {"points": [{}]}}
    return make_results(tmp_path_factory.mktemp("home") / "results", codecs, shards=3)


@pytest.fixture
def home(jpeg_run: Path, tmp_path: Path) -> Path:
    """A copy of `jpeg_run` that a test may spoil."""
    shutil.copytree(jpeg_run, tmp_path / "results")
    return tmp_path / "results"


def test_what_travels(home: Path, tmp_path: Path) -> None:
    """Streams and their status, nothing that was decoded, no path; equal runs give equal bytes."""
    units = pack_streams(home, tmp_path / "a.tar")
    assert units == [Unit("mine", codec, n) for codec in ("jpeg", "raw-test") for n in range(3)]
    for path in home.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes())  # another date
    pack_streams(home, tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    found = contents(tmp_path / "a.tar")
    about = json.loads(found.pop(ABOUT))
    streams = sorted((home / "streams").rglob("*.*"))
    assert sorted(found) == [path.relative_to(home).as_posix() for path in streams]
    for path in streams:
        name = path.relative_to(home).as_posix()
        assert found[name] == path.read_bytes()
        assert about["members"][name] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert about["config"]["codecs"]["jpeg"] == {"points": [{"quality": [10, 60]}]}
    digests = {
        row["digest"] for p in home.glob("decoded/**/*.csv") for row in read_rows(p, DECODED)
    }
    whole = (tmp_path / "a.tar").read_bytes()
    assert len(digests) > 3
    for text in (*digests, "/home/me", "datasets/"):
        assert text.encode() not in whole, text


def test_only_some_codecs(home: Path, tmp_path: Path) -> None:
    units = pack_streams(home, tmp_path / "a.tar", codecs=["jpeg"], datasets=["mine"])
    assert {unit.family for unit in units} == {"jpeg"}
    with open_bundle(tmp_path / "a.tar", STREAMS) as opened:
        assert all("/jpeg/" in name for name in opened.names)
        assert set(opened.about["config"]["codecs"]) == {"jpeg"}
    with pytest.raises(ConfigError, match="did you mean 'jpeg'"):
        pack_streams(home, tmp_path / "b.tar", codecs=["jpg"])


def spoil_encodings(path: Path) -> None:
    rows = read_rows(path, ENCODED)
    write_rows(path, ENCODED, [row | {"encoding": "jpeg:quality=11"} for row in rows])


def drop_member(path: Path) -> None:
    with archive.reader(path) as source:
        members = {name: source.read(name) for name in source.namelist()}
    with archive.create(path) as out:
        for name in sorted(members)[1:]:
            out.add(name, members[name])


def alter_member(path: Path) -> None:
    with zipfile.ZipFile(path) as source:
        place = source.infolist()[0].header_offset + 60
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


SHARD = f"streams/mine/jpeg/{shard_of('i0', 3)}"


@pytest.mark.parametrize(
    ("file", "spoil"),
    [
        ("provenance.json", Path.unlink),
        ("provenance.json", lambda path: path.write_text('{"config": {}}')),
        ("streams", shutil.rmtree),
        (f"{SHARD}.zip", Path.unlink),
        (f"{SHARD}.csv", Path.unlink),
        (f"{SHARD}.csv", lambda path: path.write_text("encoding,image\n")),
        (f"{SHARD}.csv", spoil_encodings),
        (f"{SHARD}.zip", lambda path: path.write_bytes(path.read_bytes()[:-30])),
        (f"{SHARD}.zip", drop_member),
        (f"{SHARD}.zip", alter_member),
    ],
)
def test_an_unfinished_run_is_not_packed(home: Path, tmp_path: Path, file: str, spoil: Any) -> None:
    """The error names the file, and no pack appears."""
    spoil(home / file)
    with pytest.raises(MeasurementError) as error:
        pack_streams(home, tmp_path / "out" / "a.tar")
    assert str(home / file) in str(error.value)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_unpacked_is_what_was_packed(home: Path, tmp_path: Path) -> None:
    pack_streams(home, tmp_path / "a.tar")
    config = unpack_streams(tmp_path / "a.tar", tmp_path / "far" / "away")
    assert config == tmp_path / "far" / "away" / "config.yaml"
    for path in (home / "streams").rglob("*.*"):
        assert (config.parent / path.relative_to(home)).read_bytes() == path.read_bytes()
    found = yaml.safe_load(config.read_text())
    assert found["packed"] is True
    assert found["results"] == str(tmp_path / "far" / "away")
    assert found["datasets"] == {"mine": {}}
    assert not list((tmp_path / "far").glob(".*"))
    with pytest.raises(MeasurementError, match="away: it is there already"):
        unpack_streams(tmp_path / "a.tar", config.parent)
    (tmp_path / "empty").mkdir()
    unpack_streams(tmp_path / "a.tar", tmp_path / "empty")
    assert (tmp_path / "empty" / ABOUT).is_file()


def test_a_folder_is_complete_or_absent(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_streams(home, tmp_path / "a.tar")

    def full(self: bundles.Bundle, folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError("planted: no space left")

    monkeypatch.setattr(bundles.Bundle, "extract", full)
    with pytest.raises(OSError, match="planted"):
        unpack_streams(tmp_path / "a.tar", tmp_path / "new" / "there")
    assert not list((tmp_path / "new").iterdir())


def test_damage_on_the_way_is_found(home: Path, tmp_path: Path) -> None:
    """Any byte altered, any length: an error that names the file, or exactly what was packed."""
    pack_streams(home, tmp_path / "a.tar", codecs=["jpeg"])
    whole = (tmp_path / "a.tar").read_bytes()
    unpack_streams(tmp_path / "a.tar", tmp_path / "good")
    good = {p.relative_to(tmp_path / "good"): p.read_bytes() for p in files(tmp_path / "good")}
    rng = np.random.default_rng(1)
    damaged = tmp_path / "damaged.tar"
    refused = 0
    for trial in range(150):
        data = bytearray(whole)
        if trial % 3:
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        else:
            del data[int(rng.integers(len(data))) :]
        damaged.write_bytes(data)
        target = tmp_path / f"t{trial}"
        if error := refusal(damaged, target):
            assert str(damaged) in error
            assert not target.exists()
            refused += 1
        else:  # padding
            found = {p.relative_to(target): p.read_bytes() for p in files(target)}
            del found[Path("config.yaml")]
            assert found == {k: v for k, v in good.items() if k.name != "config.yaml"}
    assert refused > 75  # the others struck padding
    assert not list(tmp_path.glob(".*"))


def test_an_altered_setting_is_found(home: Path, tmp_path: Path) -> None:
    """pack.json is under no other member's sha256; it has its own."""
    pack_streams(home, tmp_path / "a.tar")
    data = (tmp_path / "a.tar").read_bytes()
    assert data.count(b'"threads": 1') == 1
    (tmp_path / "b.tar").write_bytes(data.replace(b'"threads": 1', b'"threads": 2'))
    assert "b.tar: its pack.json is damaged" in refusal(tmp_path / "b.tar", tmp_path / "to")


def refusal(file: Path, folder: Path) -> str:
    try:
        unpack_streams(file, folder)
    except MeasurementError as error:
        return str(error)
    return ""


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# What a file of `icmbench pack` sets, for two streams.
SETTINGS = {
    "shards": 1, "device": "cpu", "threads": 1, "limits": {"seconds_per_image": 60},
    "datasets": {"d": {}}, "codecs": {"jpeg": {"points": [{"quality": [20]}]}},
}  # fmt: skip
UNIT = ["streams/d/jpeg/0.csv", "streams/d/jpeg/0.zip"]


def crafted(path: Path, members: list[tarfile.TarInfo], names: list[str]) -> Path:
    """A tar whose pack.json is right about `names` of empty content, with any members."""
    empty = hashlib.sha256(b"").hexdigest()
    members_of = dict.fromkeys(names, empty)
    about = {"kind": STREAMS, "format": 1, "members": members_of, "config": SETTINGS}
    text = bundles._signed(about)
    with tarfile.open(path, "w") as out:
        first = tarfile.TarInfo(ABOUT)
        first.size = len(text)
        out.addfile(first, io.BytesIO(text))
        for member in members:
            out.addfile(member)
    return path


@pytest.mark.parametrize(
    "name", ["../x", "/tmp/x", "a/../../x", "a/./x", "a//x", "", "a\\..\\x", "..", ABOUT, "a/"]
)
def test_no_member_lies_outside_the_folder(tmp_path: Path, name: str) -> None:
    file = crafted(tmp_path / "a.tar", [tarfile.TarInfo(name)], [name])
    with pytest.raises(MeasurementError, match=r"a\.tar: the member .* would lie outside"):
        unpack_streams(file, tmp_path / "in" / "to")
    assert files(tmp_path) == [file]


def test_members_are_files_named_once(tmp_path: Path) -> None:
    link = tarfile.TarInfo("streams")
    link.type, link.linkname = tarfile.SYMTYPE, "/tmp"
    plain = tarfile.TarInfo("streams/x")
    for members, names, text in (
        ([link], ["streams"], "'streams' is not a file"),
        ([plain, plain], ["streams/x"], "'streams/x' is twice"),
        ([plain], [], "'streams/x' is not a file that pack.json names"),
        ([], ["streams/x"], "'streams/x' is missing"),
    ):
        file = crafted(tmp_path / "a.tar", members, names)
        with pytest.raises(MeasurementError, match=text):
            unpack_streams(file, tmp_path / "to")
    crafted(tmp_path / "b.tar", [tarfile.TarInfo(name) for name in UNIT], UNIT)
    unpack_streams(tmp_path / "b.tar", tmp_path / "to")  # the same by the rules passes


def test_other_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello" * 1000)
    (tmp_path / "x").write_bytes(b"x")
    write_bundle(tmp_path / "back.tar", PICTURES, {}, {"decoded/x": tmp_path / "x"})
    for name, text in (
        ("none", "no such file"),
        ("text", "damaged, or not a pack"),
        ("back.tar", "it holds pictures, expected are streams"),
    ):
        with pytest.raises(MeasurementError, match=f"{name}: {text}"):
            unpack_streams(tmp_path / name, tmp_path / "to")


def test_the_same_machine_is_identical(home: Path, tmp_path: Path) -> None:
    """From end to end; the unpacked folder needs nothing of the run."""
    pack_streams(home, tmp_path / "a.tar", codecs=["jpeg"])
    unpack_streams(tmp_path / "a.tar", tmp_path / "there")
    hidden = home.rename(tmp_path / "hidden")
    back = decode_elsewhere(tmp_path / "there")
    hidden.rename(home)
    frame = verify_pictures(home, back, "twin")
    assert len(frame) == 3 * 2
    assert set(frame["outcome"]) == {"identical"}
    assert (frame["max_difference"] == 0).all()
    assert (frame["here"] == "A, Linux 1, torch 1, 1 thread").all()
    again = read_verification(home / "verification" / "twin.csv")
    pd.testing.assert_frame_equal(again, frame)
    told = json.loads((home / "verification" / "twin.json").read_text())
    assert told["elsewhere"]["packages"]["numpy"] == np.__version__
    first = (home / "verification" / "twin.csv").read_bytes()
    verify_pictures(home, back, "twin")
    assert (home / "verification" / "twin.csv").read_bytes() == first


def travel(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pack, unpack, decode as the other machine, come back."""
    pack_streams(results, tmp_path / "out.tar")
    unpack_streams(tmp_path / "out.tar", tmp_path / "there")
    monkeypatch.setenv("PLANTED_MACHINE", "elsewhere")
    back = decode_elsewhere(tmp_path / "there")
    monkeypatch.delenv("PLANTED_MACHINE")
    return back


DETAILS = [
    "SymbolMismatch: planted",
    "SIGSEGV",
    "ValueError: planted",
    "decoded to 48x45, here to 48x46",
]


def test_every_picture_is_in_its_class(planted: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = make_results(tmp_path / "results", {"travels": {"points": [{}]}}, heights=HEIGHTS)
    back = travel(home, tmp_path, planted)
    frame = verify_pictures(home, back, "other").set_index("image")
    classes = ["identical", "within_1", "different", "refused", "missing", "missing", "different"]
    assert list(frame["outcome"]) == classes
    assert list(frame["max_difference"][:3]) == [0, 1, 128]
    assert frame["max_difference"][3:].isna().all()
    share = [0, 1 / (41 * 48), 2 / 42]
    assert list(frame["differing"][:3]) == pytest.approx(share)
    assert list(frame["detail"][:3]) == ["", "", ""]
    for text, found in zip(DETAILS, frame["detail"][3:], strict=True):
        assert text in found
    counts = summary(frame).iloc[0]
    assert list(counts[["streams", *AGREEMENT]]) == [7, 1, 1, 2, 1, 2]
    assert counts["largest"] == 128


def test_pictures_that_were_kept_are_compared(planted: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is decoded again where the run has its pictures, and they must be its own."""
    home = make_results(tmp_path / "results", {"travels": {"points": [{}]}})
    back = travel(home, tmp_path, planted)
    name = "reconstructions/mine/travels/0.zip"
    with archive.create(home / name) as out:
        for number, height in enumerate((40, 41, 43)):
            write_png(tmp_path / "p.png", make_picture(height, 48, number))
            out.add(f"travels/i{number}.png", (tmp_path / "p.png").read_bytes())
    planted.setenv("PLANTED_MACHINE", "broken")
    frame = verify_pictures(home, back, "other")
    assert list(frame["outcome"]) == ["identical", "within_1", "refused"]
    with archive.create(home / name) as out:
        out.add("travels/i1.png", (tmp_path / "p.png").read_bytes())
    with pytest.raises(
        MeasurementError, match=f"{name}: .*i1.png does not have the recorded digest"
    ):
        verify_pictures(home, back, "other")


def test_decoded_together_here_as_there(planted: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One of three differs: to compare it, the same three are decoded together again."""
    codecs = {"travels-together": {"points": [{"batch": [1, 3]}]}}
    home = make_results(tmp_path / "results", codecs)
    frame = verify_pictures(home, travel(home, tmp_path, planted), "other")
    assert len(frame) == 6
    assert (frame["outcome"] == "within_1").sum() == 2
    changed = frame[frame["outcome"] == "within_1"]
    assert set(changed["image"]) == {"i1"}
    assert (frame.drop(changed.index)["outcome"] == "identical").all()


def test_a_machine_that_changed_does_not_judge(planted: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where decoding again gives another picture than the run's, that is said, not compared."""
    home = make_results(tmp_path / "results", {"travels": {"points": [{}]}})
    back = travel(home, tmp_path, planted)
    for machine, text in (("elsewhere", "does not have the recorded digest"), ("broken", "i1.png")):
        planted.setenv("PLANTED_MACHINE", machine)
        with pytest.raises(MeasurementError, match=f"decoded again here.*{text}"):
            verify_pictures(home, back, "other")
    assert not (home / "verification").exists()


def test_what_does_not_fit_is_named(home: Path, tmp_path: Path) -> None:
    pack_streams(home, tmp_path / "a.tar", codecs=["jpeg"])
    unpack_streams(tmp_path / "a.tar", tmp_path / "there")
    back = decode_elsewhere(tmp_path / "there")
    with pytest.raises(ConfigError, match="--name a/b"):
        verify_pictures(home, back, "a/b")
    with pytest.raises(MeasurementError, match="it holds streams"):
        verify_pictures(home, tmp_path / "a.tar", "x")
    decoded = (home / SHARD.replace("streams", "decoded")).with_suffix(".csv")
    kept = decoded.read_bytes()
    decoded.unlink()
    with pytest.raises(MeasurementError, match=r"\.csv: no such file: nothing was decoded here"):
        verify_pictures(home, back, "x")
    decoded.write_bytes(kept)
    drop_member(home / f"{SHARD}.zip")  # coded again since
    with pytest.raises(MeasurementError, match=rf"{SHARD}\.zip: not the file that .*a?\.tar"):
        verify_pictures(home, back, "x")
    told = json.loads((home / "provenance.json").read_text())
    del told["config"]["codecs"]["jpeg"]
    (home / "provenance.json").write_text(json.dumps(told))
    with pytest.raises(MeasurementError, match=r"decoded/mine/jpeg/0\.csv is not of the run in"):
        verify_pictures(home, back, "x")


def test_rows_that_did_not_come_back(home: Path, tmp_path: Path) -> None:
    """A stream without a row is missing; one that does not decode here is not compared."""
    pack_streams(home, tmp_path / "a.tar", codecs=["raw-test"])
    unpack_streams(tmp_path / "a.tar", tmp_path / "there")
    decode_elsewhere(tmp_path / "there")
    name = f"decoded/mine/raw-test/{shard_of('i0', 3)}.csv"
    there = read_rows(tmp_path / "there" / name, DECODED)
    write_rows(tmp_path / "there" / name, DECODED, [r for r in there if r["image"] != "i0"])
    from icmbench.transfer.packed import pack_pictures, packed_run

    config = yaml.safe_load((tmp_path / "there" / "config.yaml").read_text())
    pack_pictures(packed_run(config).config, tmp_path / "b.tar", ROOT)
    frame = verify_pictures(home, tmp_path / "b.tar", "x").set_index("image")
    assert frame["outcome"].to_dict() == {"i0": "missing", "i1": "identical", "i2": "identical"}
    here = read_rows(home / name, DECODED)
    spoiled = [r | {"status": "decode-failed", "digest": ""} for r in here]
    write_rows(home / name, DECODED, spoiled)
    assert "i0" not in set(verify_pictures(home, tmp_path / "b.tar", "x")["image"])


def test_models_travel(planted: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There, a codec finds its model beside the streams, wherever it lay here."""
    key = tmp_path / "models" / "keyed" / "deep" / "key.bin"
    key.parent.mkdir(parents=True)
    key.write_bytes(b"\x55")
    (key.parent / ".key.bin.part").write_bytes(b"only being written")
    codecs = {"keyed": {"points": [{}]}}
    home = make_results(tmp_path / "results", codecs, models=str(tmp_path / "models"))
    pack_streams(home, tmp_path / "a.tar")
    found = {name: data for name, data in contents(tmp_path / "a.tar").items() if "keyed/d" in name}
    assert found == {"models/keyed/deep/key.bin": b"\x55"}
    unpack_streams(tmp_path / "a.tar", tmp_path / "there")
    shutil.rmtree(tmp_path / "models")
    frame = verify_pictures(home, decode_elsewhere(tmp_path / "there"), "x")
    assert set(frame["outcome"]) == {"identical"}
    with pytest.raises(MeasurementError, match="models/keyed: no model in it"):
        pack_streams(home, tmp_path / "b.tar")


def fake_model(folder: Path, parts: tuple[str, ...], text: str) -> None:
    folder.mkdir(parents=True)
    for part in parts:
        (folder / f"{part}.safetensors").write_text(f"{part} {text}")


@pytest.mark.parametrize("name", ["mpd", "diff-icmh"])
def test_streams_must_be_of_the_models_at_hand(tmp_path: Path, name: str) -> None:
    """Of the model's folder or of a variant in it; nothing is decoded here, so files are enough."""
    from icmbench.bitstream.container import Header, pack
    from icmbench.codecs.diff_icmh import model_folder as icmh
    from icmbench.codecs.mpd import model_folder as mpd
    from icmbench.codecs.registry import codec_class

    module = {"mpd": mpd, "diff-icmh": icmh}[name]
    results = tmp_path / "results"
    folder = results / "models" / name
    fake_model(folder, module.PARTS, "main")
    points = [{}]
    if name == "diff-icmh":
        fake_model(folder / "variants" / "other", module.PARTS, "other")
        points += [{"variant": "other"}]
    config = complete({"datasets": {"d": {}}, "codecs": {name: {"points": points}}})
    told = {"config": config | {"device": "cpu"}, "machine": MACHINE}
    (results / "provenance.json").write_text(json.dumps(told))
    places = {name: folder, f"{name}:variant=other": folder / "variants" / "other"}
    rows = []
    with archive.create(results / "streams" / "d" / name / "0.zip") as out:
        for encoding, place in list(places.items())[: len(points)]:
            header = Header(codec_class(name).codec_id, module.weights_digest(place), 9, 9)
            out.add(archive.stream_member(encoding, "i", "icb"), pack(header, [b"x"]))
            size = len(pack(header, [b"x"]))
            rows += [{"encoding": encoding, "image": "i", "status": "ok", "bytes": size}]
    write_rows(results / "streams" / "d" / name / "0.csv", ENCODED, rows)
    pack_streams(results, tmp_path / "a.tar")
    found = contents(tmp_path / "a.tar")
    for file in files(folder):
        assert found[file.relative_to(results).as_posix()] == file.read_bytes()
    trained_on = places[rows[-1]["encoding"]] / f"{module.PARTS[-1]}.safetensors"
    kept = trained_on.read_bytes()
    trained_on.write_bytes(kept + b"more")
    with pytest.raises(MeasurementError, match=rf"{name}/0\.zip: .*/i\.icb: written with weights"):
        pack_streams(results, tmp_path / "b.tar")
    trained_on.write_bytes(kept)
    pack_streams(results, tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    (folder / f"{module.PARTS[0]}.safetensors").unlink()
    with pytest.raises(ModelError, match=f"models/{name}: {module.PARTS[0]}"):
        pack_streams(results, tmp_path / "c.tar")


def test_a_bundled_part_that_lies_with_another_model_gets_a_place(tmp_path: Path) -> None:
    from icmbench.codecs.diff_icmh import model_folder as icmh
    from icmbench.transfer.pack import _model_files

    found = _model_files(icmh.NAME, icmh.bundled())
    place = tmp_path / icmh.NAME
    for name, file in found.items():
        target = tmp_path / name.removeprefix("models/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    assert icmh.weights_digest(place) == icmh.weights_digest(icmh.bundled())


def test_agreement_is_counted_pixel_by_pixel() -> None:
    rng = np.random.default_rng(5)
    seen = set()
    for trial in range(60):
        one = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
        other = one.copy()
        for _ in range(trial % 4):
            place = tuple(rng.integers((7, 9, 3)))
            step = 1 if trial < 30 else int(rng.integers(1, 256))
            other[place] = (int(other[place]) + step) % 256
        pixels = [(int(a) - int(b)) for a, b in zip(one.flat, other.flat, strict=True)]
        largest = max(map(abs, pixels))
        share = sum(any(pixels[3 * n : 3 * n + 3]) for n in range(63)) / 63
        found = agreement(one, other)
        assert (found.max_difference, found.differing) == (largest, pytest.approx(share))
        classes = {0: "identical", 1: "within_1"}
        assert found.outcome == classes.get(largest, "different")
        assert dataclasses.replace(agreement(other, one)) == found
        seen.add(found.outcome)
    assert len(seen) == 3


def verified(*rows: tuple[str, str, int | None]) -> pd.DataFrame:
    data = [
        ("d", codec.split(":")[0], codec, f"i{n}", outcome, largest, None, "", "a", "b")
        for n, (codec, outcome, largest) in enumerate(rows)
    ]
    return pd.DataFrame(data, columns=list(COLUMNS)).astype(COLUMNS)


def made_trials() -> pd.DataFrame:
    columns = ["dataset", "family", "codec", "image", "damage", "trial", "place", "other_place",
               "outcome", "psnr", "detail"]  # fmt: skip
    rows = [("d", "b", "b:q=2", "i", "none", 0, 0.5, None, "decoded_right", 30.0, ""),
            ("d", "b", "b:q=2", "i", "truncate", 0, 0.5, None, "refused", None, "")]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def test_the_robustness_table_across_machines(tmp_path: Path) -> None:
    plain = robustness_table(made_trials())
    across = ["identical", "within_1", "different", "missing", "max_difference"]
    assert plain[across].isna().all(axis=None)
    frames = {
        "z": verified(
            ("b:q=2", "identical", 0), ("b:q=2", "within_1", 1), ("b:q=2", "missing", None)
        ),
        "laptop": verified(("b:q=10", "different", 7), ("b:q=10", "refused", None)),
    }
    table = robustness_table(made_trials(), frames)
    assert list(table.columns) == list(plain.columns) == list(TABLE)
    pd.testing.assert_frame_equal(table[table["damage"].isin(plain["damage"])], plain)
    rows = table.set_index(["codec", "damage"])
    row = rows.loc[("b:q=2", ELSEWHERE + "z")]
    assert list(row[["trials", "images", *across, "refused"]]) == [3, 3, 1, 1, 0, 1, 1, 0]
    row = rows.loc[("b:q=10", "another machine: laptop")]
    assert list(row[["trials", "images", *across, "refused"]]) == [2, 2, 0, 0, 1, 0, 7, 1]
    assert row[["decoded_right", "decoded_wrong", "crashed", "hung"]].isna().all()
    # Strings in natural order, what another machine made behind the damage.
    assert list(table["codec"]) == ["b:q=2"] * 4 + ["b:q=10"]
    write_csv(table, tmp_path / "t.csv")
    line = (tmp_path / "t.csv").read_text().splitlines()[4]
    assert line == "b:q=2,another machine: z,3,0,,,,,1,1,0,1,1,d,b,3,,"
    line = (tmp_path / "t.csv").read_text().splitlines()[1]
    assert line == "b:q=2,truncate,1,1,0,0,0,0,,,,,,d,b,1,30,"


def test_verification_tables_are_checked(tmp_path: Path) -> None:
    frame = verified(("b:q=2", "within_1", 1), ("b:q=2", "refused", None))
    frame["image"] = ["007", "NA"]
    write_csv(frame, tmp_path / "v.csv")
    pd.testing.assert_frame_equal(read_verification(tmp_path / "v.csv"), frame)
    write_csv(frame.replace({"outcome": {"refused": "odd"}}), tmp_path / "v.csv")
    with pytest.raises(MeasurementError, match=r"v\.csv: unknown outcome 'odd'"):
        read_verification(tmp_path / "v.csv")
    for text in ("a,b\n1,2\n", "", ",".join(COLUMNS) + "\nd,f,c,i,identical,x,0,,,\n"):
        (tmp_path / "v.csv").write_text(text)
        with pytest.raises(MeasurementError, match=r"v\.csv: not a table"):
            read_verification(tmp_path / "v.csv")


def test_a_folder_that_was_not_unpacked(tmp_path: Path) -> None:
    from icmbench.transfer.packed import packed_run

    config = {"packed": True, "results": str(tmp_path), "datasets": {"d": {}}}
    config["codecs"] = {"jpeg": {"points": [{"quality": 9}]}}
    with pytest.raises(ConfigError, match=r"pack\.json: no such file"):
        packed_run(config)
    with pytest.raises(ConfigError, match="did you mean 'threads'"):
        packed_run({**config, "treads": 2})


def test_braces_in_the_path_of_an_unpacked_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are spared where Snakemake starts there; else they are named."""
    from icmbench.transfer.packed import packed_run

    pack_streams(home, tmp_path / "s.tar")
    folder = tmp_path / "a {b}" / "it's there"
    written = unpack_streams(tmp_path / "s.tar", folder)
    head = written.read_text().splitlines()[1]
    assert shlex.split(head.removeprefix("#"))[-1] == str(written)
    config = yaml.safe_load(written.read_text())
    with pytest.raises(ConfigError, match=r"results: .*a \{b\}.*wildcards: name a folder without"):
        packed_run(config)
    monkeypatch.chdir(tmp_path / "a {b}")
    assert packed_run(config).config["results"] == "it's there"


def test_points_that_no_codec_entry_has_are_named_before_anything_runs(
    home: Path, tmp_path: Path
) -> None:
    from icmbench.transfer.packed import packed_run

    pack_streams(home, tmp_path / "s.tar")
    config = yaml.safe_load(unpack_streams(tmp_path / "s.tar", tmp_path / "there").read_text())
    config["datasets"]["mine"] = {"codecs": {"jpeg": [{"quality": 11}]}}
    with pytest.raises(ConfigError, match="no point of the codec entry has quality: 11"):
        packed_run(config)


def icmbench(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "icmbench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def snakemake(folder: Path, config: Path, *arguments: str, file: str = "Snakefile") -> str:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / file)]
    command += ["--configfile", str(config), "--directory", str(folder), "--cores", "2"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


def test_no_rule_there_makes_a_stream_or_needs_an_image() -> None:
    text = (ROOT / "rules" / "packed.smk").read_text()
    assert re.findall(r"^ *(?:rule|checkpoint) (\w+)", text, re.M) == ["decoded", "decode"]
    assert "include:" not in text


@pytest.mark.slow
@pytest.mark.workflow
def test_the_commands_that_a_user_types(tmp_path: Path) -> None:
    """Run, pack, unpack, decode, verify, run: robustness.csv has the other machine's rows."""
    for number in range(2):
        write_png(tmp_path / "pictures" / f"i{number}.png", make_picture(40, 48, number))
    config = tmp_path / "config.yaml"
    given = {
        "datasets": {"mine": {"type": "folder", "path": str(tmp_path / "pictures")}},
        "codecs": {"jpeg": {"points": [{"quality": [10, 60]}]}},
        "robustness": {"dataset": "mine", "images": 1, "trials": 1},
    }
    config.write_text(yaml.safe_dump(given))
    table = "results/tables/robustness.csv"
    targets = [table, "results/provenance.json", "results/decoded/mine/jpeg/0.csv"]
    snakemake(tmp_path, config, *targets)
    before = pd.read_csv(tmp_path / table)
    assert before["identical"].isna().all()

    there = tmp_path / "the {machine} there"  # Snakemake takes braces for wildcards
    done = icmbench("pack", tmp_path / "results", "--out", tmp_path / "s.tar")
    assert "jpeg on mine" in done.stdout
    done = icmbench("unpack", tmp_path / "s.tar", "--to", there)
    told = ["snakemake", "-s", "rules/packed.smk", "--cores", "all", "--configfile"]
    assert shlex.split(done.stdout.splitlines()[-1]) == [*told, str(there / "config.yaml")]
    shutil.rmtree(tmp_path / "pictures")  # nothing there needs them
    packed = "rules/packed.smk"
    snakemake(there, there / "config.yaml", "--config", "threads=2", file=packed)

    name = "two-threads"
    done = icmbench("verify", tmp_path / "results", there / "decoded.tar", "--name", name)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["jpeg:quality=60", "2", "2", "0", "0", "0", "0", "0"] in lines
    frame = read_verification(tmp_path / "results" / "verification" / f"{name}.csv")
    assert frame["elsewhere"].str.endswith("2 threads").all()
    for number in range(2):
        write_png(tmp_path / "pictures" / f"i{number}.png", make_picture(40, 48, number))
    assert "robustness_table" in snakemake(tmp_path, config, table)
    after = pd.read_csv(tmp_path / table)
    assert len(after) == len(before) + 2
    assert list(after["identical"].dropna()) == [2, 2]
    pd.testing.assert_frame_equal(
        after[after["identical"].isna()].reset_index(drop=True), before, check_dtype=False
    )


def test_the_commands_say_what_is_wrong(home: Path, tmp_path: Path) -> None:
    icmbench("pack", home, "--out", tmp_path / "s.tar")
    done = icmbench("verify", home, tmp_path / "s.tar", "--name", "x")
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert "s.tar: it holds streams, expected are pictures" in done.stderr
    for command in ("pack", "unpack", "verify"):
        assert f"icmbench {command}" in icmbench(command, "--help").stdout.split("examples:")[1]
