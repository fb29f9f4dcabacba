"""Files from elsewhere that mean harm: settings, members, sizes, damage."""

from __future__ import annotations

import csv
import io
import json
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from icmbench.core.errors import DatasetError, MeasurementError
from icmbench.core.files import sha256_bytes
from icmbench.core.typed_csv import read_table
from icmbench.datasets.records import Record, read_records, write_records
from icmbench.evaluation import archive
from icmbench.evaluation.agreement import COLUMNS as AGREED
from icmbench.evaluation.agreement import read_verification
from icmbench.evaluation.shard import DECODED, read_rows, write_rows
from icmbench.transfer import bundle as bundles
from icmbench.transfer.bundle import ABOUT, PICTURES, STREAMS, open_bundle, write_bundle
from icmbench.transfer.results import read_provenance
from icmbench.transfer.unpack import unpack_streams
from icmbench.transfer.verify import verify_pictures

SETTINGS: dict[str, Any] = {
    "shards": 1, "device": "cpu", "threads": 1, "limits": {"seconds_per_image": 60},
    "datasets": {"d": {}}, "codecs": {"jpeg": {"points": [{"quality": [20]}]}},
}  # fmt: skip
UNIT = ("streams/d/jpeg/0.csv", "streams/d/jpeg/0.zip")


def packed(path: Path, settings: Any, *more: str) -> Path:
    """A bundle as `write_bundle` writes it, with these settings and some more members."""
    content = path.with_suffix(".content")
    content.write_bytes(b"x")
    write_bundle(path, STREAMS, {"config": settings}, dict.fromkeys((*UNIT, *more), content))
    return path


def test_only_what_pack_writes_is_believed(tmp_path: Path) -> None:
    folder = tmp_path / "to"
    config = unpack_streams(packed(tmp_path / "s.tar", SETTINGS, "models/p/a/w.bin"), folder)
    assert yaml.safe_load(config.read_text()) == {
        **SETTINGS, "packed": True, "results": str(folder)
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"packed": False},
        {"packed": True},
        {"results": "/tmp/elsewhere"},
        {"models": "/home/user/.ssh"},
        {"weights": "x"},
        {"downloads": "x"},
        {"tasks": {"t": {"type": "mmdet", "config": "streams/evil.py", "sha256": "0" * 64}}},
        {"training": {"start": "scratch"}},
        {"datasets": {"d": {"type": "folder", "path": "/"}}},
        {"datasets": {"../d": {}}},
        {"datasets": ["d"]},
        {"codecs": {"../../x": {"points": [{}]}}},
        {"codecs": {"jpeg": {"points": [{}], "program": "rm"}}},
        {"codecs": {"jpeg": {"points": [{"quality": {"a": 1}}]}}},
        {"codecs": {"jpeg": {}}},
        {"codecs": {"jpeg": {"codec": ["x"], "points": [{}]}}},
        {"limits": {"seconds_per_image": float("inf")}},
        {"limits": {"memory": 1}},
        {"shards": 10**9},
        {"shards": True},
        {"threads": "1"},
        {"device": "rm -rf"},
    ],
)
def test_a_bundle_sets_nothing_else(change: dict[str, Any], tmp_path: Path) -> None:
    """A dictionary of others is not merged over ours."""
    file = packed(tmp_path / "s.tar", {**SETTINGS, **change})
    with pytest.raises(MeasurementError, match=rf"s\.tar: its pack\.json .*'{next(iter(change))}'"):
        unpack_streams(file, tmp_path / "to")
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("settings", [None, [], "x", {}, {"shards": 1}])
def test_a_bundle_without_settings(settings: Any, tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match=r"s\.tar: its pack\.json"):
        unpack_streams(packed(tmp_path / "s.tar", settings), tmp_path / "to")


@pytest.mark.parametrize(
    "name",
    ["config.yaml", "streams/evil.py", "models", "profiles/x", "models/.snakemake/x", "x/models/y"],
)
def test_a_bundle_holds_streams_and_models(name: str, tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="neither a stream nor a model"):
        unpack_streams(packed(tmp_path / "s.tar", SETTINGS, name), tmp_path / "to")


def test_a_bundle_without_its_streams(tmp_path: Path) -> None:
    settings = {**SETTINGS, "shards": 2}
    with pytest.raises(MeasurementError, match=r"'streams/d/jpeg/1\.csv' is missing"):
        unpack_streams(packed(tmp_path / "s.tar", settings), tmp_path / "to")


def test_a_member_is_not_a_file_and_a_folder(tmp_path: Path) -> None:
    file = packed(tmp_path / "s.tar", SETTINGS, "models/p", "models/p/w")
    with pytest.raises(MeasurementError, match="'models/p' is a file and a folder"):
        unpack_streams(file, tmp_path / "to")


def tar(path: Path, about: dict[str, Any], *headers: bytes) -> Path:
    """A tar with a right pack.json and any other headers."""
    text = bundles._signed(about)
    first = tarfile.TarInfo(ABOUT)
    first.size = len(text)
    padded = text + b"\0" * (-len(text) % 512)
    head = first.tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(head + padded + b"".join(headers) + bytes(1024))
    return path


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def sparse(name: str, size: int) -> bytes:
    """A header that declares a file of nothing but a hole."""

    def number(value: int) -> bytes:
        return b"%011o\0" % value if value < 8**11 else b"\x80" + value.to_bytes(11, "big")

    data = bytearray(header(name, 0, tarfile.GNUTYPE_SPARSE))
    data[386:398], data[398:410], data[483:495] = number(size), number(0), number(size)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


def pax_sparse(name: str, size: int) -> bytes:
    """The same as newer tars write it."""
    info = tarfile.TarInfo(name)
    info.pax_headers = {
        "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": str(size),
        "GNU.sparse.name": name, "GNU.sparse.map": f"{size},0",
    }  # fmt: skip
    return info.tobuf(tarfile.PAX_FORMAT)


@pytest.mark.parametrize(
    "headers",
    [
        (sparse("streams/x", 1 << 50),),
        (pax_sparse("streams/x", 1 << 50),),
        (header("streams/x", 1 << 40),),
        (header("streams/x", 1 << 62),),
        (header("streams/x", 0, tarfile.CONTTYPE),),
        (header("streams/x", 0, tarfile.FIFOTYPE),),
        (header("streams/x", 0, tarfile.LNKTYPE),),
        (pax_sparse("streams/x", 5).replace(b"5,0\n", b"a,b\n"),),
        tuple(header("x" * 100, 512, tarfile.GNUTYPE_LONGNAME) + bytes(512) for _ in range(3000)),
    ],
)
def test_sizes_are_checked_before_anything_is_read(
    headers: tuple[bytes, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header of 512 bytes declares a petabyte of zeros."""

    def read(*_: object) -> None:
        raise AssertionError("a member was read")

    about = {"kind": STREAMS, "format": 1, "members": {"streams/x": "0" * 64}, "config": SETTINGS}
    file = tar(tmp_path / "a.tar", about, *headers)
    monkeypatch.setattr(bundles, "_check_members", read)
    with pytest.raises(MeasurementError, match=r"a\.tar: "):
        unpack_streams(file, tmp_path / "to")


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b"[]", b"1", b"{}", b'{"sha256": []}', b"\xff", b"9" * 10_000]
)
def test_what_is_no_pack_json(text: bytes, tmp_path: Path) -> None:
    first = tarfile.TarInfo(ABOUT)
    first.size = len(text)
    with tarfile.open(tmp_path / "a.tar", "w") as out:
        out.addfile(first, io.BytesIO(text))
    with pytest.raises(MeasurementError, match=r"a\.tar: its pack\.json is damaged"):
        unpack_streams(tmp_path / "a.tar", tmp_path / "to")


def test_what_came_back_must_describe_its_machine(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    home = {"config": {"codecs": {}, "datasets": {}, "shards": 1}, "machine": {}}
    (tmp_path / "provenance.json").write_text(json.dumps(home))
    for about in ({}, {"provenance": []}, {"provenance": {"machine": 1}, "streams": {}}):
        write_bundle(tmp_path / "back.tar", PICTURES, about, {"decoded/x": tmp_path / "x"})
        with pytest.raises(MeasurementError, match=r"back\.tar: .* machine"):
            verify_pictures(tmp_path, tmp_path / "back.tar", "there")


def test_archives_hold_what_is_stored(tmp_path: Path) -> None:
    """No compressed member, none that is longer than the file: zip bombs are small files."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a/b.png", bytes(10_000_000))
    with pytest.raises(MeasurementError, match=r"a\.zip: .*'a/b.png' is not stored"):
        archive.reader(path).__enter__()
    with archive.create(path) as writer:
        writer.add("a/b.png", bytes(1000))
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\1\2")
    entry = bytes(data[place : data.rindex(b"PK\5\6")])
    end = bytearray(data[data.rindex(b"PK\5\6") :])
    struct.pack_into("<HHL", end, 8, 60, 60, 60 * len(entry))
    path.write_bytes(data[:place] + entry * 60 + end)  # sixty members in the same place
    with pytest.raises(MeasurementError, match="longer than the file"):
        archive.reader(path).__enter__()


def test_members_that_are_missing_or_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with archive.create(path) as writer:
        writer.add("a.png", b"\x89PNG\r\n\x1a\n and no more")
        writer.add("b.png", png(np.zeros((2, 3), np.uint8)))
        writer.add("c.png", b"unique content")
        writer.add("d.png", bomb(60_000, 60_000))
    path.write_bytes(path.read_bytes().replace(b"unique content", b"Unique content"))
    with archive.reader(path) as source:
        for name, text in (
            ("a.png", r"a\.zip: 'a\.png' is a damaged image"),
            ("b.png", r"a\.zip: 'b\.png' is not 8-bit RGB"),
            ("c.png", r"a\.zip: the member 'c\.png' is damaged"),
            ("d.png", r"a\.zip: 'd\.png' is too large"),
            ("e.png", r"a\.zip: the member 'e\.png' is missing"),
        ):
            with pytest.raises(MeasurementError, match=text):
                archive.read_picture(source, name)


def png(image: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes that declares a large picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    "content",
    ["a,b\n1\n", "a,b\n1,2,3\n", f"a,b\n1,{'2' * 200_000}\n", "a,b\n1,\udcff\n", "a\n1\n"],
)
def test_side_files_that_are_damaged(content: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(MeasurementError, match=r"t\.csv"):
        read_rows(tmp_path / "t.csv", ("a", "b"))


def samples(folder: Path) -> dict[str, tuple[Path, Any]]:
    """A legal file of each kind that may come from elsewhere, and what reads it."""
    (folder / "x").write_bytes(b"picture")
    machine = {"processor": "p", "system": "s", "gpu": []}
    there = {"machine": machine, "threads_per_job": 1, "packages": {"torch": "1"}}
    about = {"provenance": there, "streams": {}}
    write_bundle(folder / "back.tar", PICTURES, about, {"decoded/x": folder / "x"})
    packed(folder / "s.tar", SETTINGS, "models/p/w")
    with archive.create(folder / "a.zip") as out:
        for n in range(3):
            out.add(f"jpeg/{n}.png", png(np.full((4, 5, 3), n, np.uint8)))
    row = dict.fromkeys(DECODED, "ok") | {"bytes": "1"}
    write_rows(folder / "rows.csv", DECODED, [row, row])
    write_records(folder / "records.csv", [Record("a", "b", width=2, height=3)])
    values = dict.fromkeys(AGREED, "x") | {
        "outcome": "identical", "max_difference": "0", "differing": "0.5"
    }  # fmt: skip
    with open(folder / "v.csv", "w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(AGREED))
        writer.writeheader()
        writer.writerow(values)
    home = {"config": {"codecs": {}, "datasets": {}, "shards": 1}, "machine": machine}
    (folder / "provenance.json").write_text(json.dumps(home))

    def pictures(path: Path) -> None:
        with archive.reader(path) as source:
            for name in source.namelist():
                image = archive.read_picture(source, name)
                assert image.size <= 3 * 20_000

    def opened(path: Path) -> None:
        with open_bundle(path, PICTURES) as bundle:
            for name in bundle.names:
                assert sha256_bytes(bundle.open(name).read()) == bundle.about["members"][name]

    count = iter(range(10**9))
    return {
        "bundle": (folder / "back.tar", opened),
        "streams": (folder / "s.tar", lambda p: unpack_streams(p, folder / f"to{next(count)}")),
        "archive": (folder / "a.zip", pictures),
        "rows": (folder / "rows.csv", lambda p: read_rows(p, DECODED)),
        "records": (folder / "records.csv", read_records),
        "table": (folder / "v.csv", read_table),
        "verification": (folder / "v.csv", read_verification),
        "provenance": (folder / "provenance.json", lambda p: read_provenance(p.parent)),
    }


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """A file after one to four accidents: bits, bytes, cuts, pieces twice, large numbers."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if not out:
            break
        place = int(rng.integers(len(out)))
        kind = int(rng.integers(6))
        if kind == 0:
            out[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            out[place] = int(rng.choice([0, 10, 34, 44, 48, 57, 91, 123, 128, 255]))
        elif kind == 2:
            del out[place:]
        elif kind == 3:
            del out[place : place + int(rng.integers(1, 40))]
        elif kind == 4:
            piece = out[place : place + int(rng.integers(1, 600))]
            out[place:place] = piece * int(rng.integers(1, 4))
        else:
            out[place : place + 8] = b"\xff" * 8
    return bytes(out)


def repaired(data: bytes, rng: np.random.Generator) -> bytes:
    """The same with right checksums in the headers of a tar: what is behind them is reached."""
    out = bytearray(data)
    place = 512 * int(rng.integers(max(1, len(out) // 512)))
    block = out[place : place + 512]
    if len(block) == 512:
        at = int(rng.choice([0, 100, 124, 130, 156, 257, 345, 386, 483]))
        block[at : at + 4] = rng.integers(0, 256, 4, np.uint8).tobytes()
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        out[place : place + 512] = block
    return bytes(out)


def refusal(read: Any, path: Path) -> str:
    try:
        read(path)
    except (MeasurementError, DatasetError) as error:
        return str(error)
    return ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    ["bundle", "streams", "archive", "rows", "records", "table", "verification", "provenance"],
)
def test_damaged_files_give_typed_errors_or_legal_results(kind: str, tmp_path: Path) -> None:
    path, read = samples(tmp_path)[kind]
    whole = path.read_bytes()
    read(path)
    rng = np.random.default_rng(sorted(kind.encode()))
    refused = 0
    for trial in range(400):
        data = damaged(whole, rng)
        path.write_bytes(repaired(whole, rng) if path.suffix == ".tar" and trial % 2 else data)
        if error := refusal(read, path):
            assert str(path) in error
            refused += 1
    assert refused > 40
