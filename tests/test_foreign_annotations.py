"""Annotation files of other programs: byte order marks, odd values, values far from any image."""

from __future__ import annotations

import codecs
import copy
import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image
from pycocotools import mask as coco_mask

from icmbench.core.errors import DatasetError, TaskError
from icmbench.core.images.image_files import write_png
from icmbench.datasets.coco_format import check_instances, read_instances
from icmbench.datasets.landmarks import read_json, read_pts
from icmbench.datasets.manifest import provide_shard
from icmbench.datasets.registry import make_dataset
from icmbench.datasets.semantic import map_fault
from icmbench.tasks.metrics.coco_truth import CocoTruth

FACE = [[10.0 + i % 10, 12.5 + i // 10] for i in range(68)]
PLAIN_PTS = "".join(f"{x} {y}\n" for x, y in FACE)
PTS = f"version: 1\nn_points:  68\n{{\n{PLAIN_PTS}}}\n"


def instances() -> dict[str, Any]:
    """One image with polygons and both forms of runs."""
    mask = np.zeros((48, 64), np.uint8, order="F")
    mask[5:20, 6:30] = 1
    runs = [6 * 48 + 5, *[15, 33] * 23, 15, 28 + 34 * 48]
    common = {"image_id": 1, "category_id": 3, "bbox": [6, 5, 24, 15], "area": 360.0, "iscrowd": 0}
    shapes: list[Any] = [
        [[6, 5, 30, 5, 30, 20, 6, 20]],
        {"size": [48, 64], "counts": coco_mask.encode(mask)["counts"].decode()},
        {"size": [48, 64], "counts": runs},
    ]
    return {
        "info": {"year": 2017},
        "licenses": [{"id": 4, "name": "CC-BY"}],
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48, "license": 4}],
        "categories": [{"id": 3, "name": "bird", "supercategory": "animal"}],
        "annotations": [
            {**common, "id": number, "segmentation": shape}
            for number, shape in enumerate(shapes, 7)
        ],
    }


def judged(content: dict[str, Any]) -> None:
    """The way of instances from the check to pycocotools' C code."""
    check_instances(content, "f.json")
    truth = {**content, "images": [{**i, "image": i["file_name"]} for i in content["images"]]}
    found = CocoTruth([image["image"] for image in truth["images"]], truth)
    for objects in found.objects.values():
        for mask in objects.masks or []:
            coco_mask.area(mask)


def test_the_instances_of_these_tests_are_legal() -> None:
    content = instances()
    judged(content)
    truth = CocoTruth(
        ["a.png"], {**content, "images": [{**content["images"][0], "image": "a.png"}]}
    )
    (objects,) = truth.objects.values()
    assert [int(coco_mask.area(mask)) for mask in objects.masks] == [360] * 3


MARKS = [
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (b"", "utf-8"),
]


@pytest.mark.parametrize(("mark", "encoding"), MARKS)
def test_byte_order_marks(tmp_path: Path, mark: bytes, encoding: str) -> None:
    """Windows tools write them in front of JSON and .pts."""
    content = instances()
    content["categories"][0]["name"] = "Vögel"
    path = tmp_path / "i.json"
    path.write_bytes(mark + json.dumps(content, ensure_ascii=False).encode(encoding))
    assert read_instances(path) == content
    path.write_bytes(mark + json.dumps({"ä.png": FACE}, ensure_ascii=False).encode(encoding))
    assert [face.tolist() for face in read_json(path)["ä.png"]] == [FACE]
    for text in (PTS, PTS.replace("\n", "\r\n"), PLAIN_PTS, "\n" + PLAIN_PTS.replace("\n", "\r\n")):
        path.write_bytes(mark + text.encode(encoding))
        assert read_pts(path).tolist() == FACE


def test_json_that_python_does_not_take(tmp_path: Path) -> None:
    """Nested too deeply, and a number of too many digits: neither is a JSONDecodeError."""
    path = tmp_path / "x.json"
    for text in (b"[" * 100_000, b'{"a.png": ' + b"9" * 5000 + b"}", b"\xff\xfe\xff", b""):
        path.write_bytes(text)
        for read in (read_json, read_instances):
            with pytest.raises(DatasetError, match=r"x\.json: "):
                read(path)


def test_points_without_header(tmp_path: Path) -> None:
    """68 lines and nothing else; half a file with a header is not taken for one."""
    path = tmp_path / "a.pts"
    for text, reason in (
        (PLAIN_PTS + "1 2\n", r"\(69, 2\)"),
        (PLAIN_PTS.replace("10.0 12.5\n", "", 1), r"\(67, 2\)"),
        (PLAIN_PTS.replace(" ", "\n"), "not pairs of numbers"),
        (PLAIN_PTS.replace("10.0", "1_0.0", 1), "not pairs of numbers"),
        (PLAIN_PTS.replace("10.0", "1e9", 1), "far from any image"),
        (PTS.replace("n_points:  68\n", ""), r"not a \.pts file"),
        (PTS.replace("}\n", ""), r"not a \.pts file"),
        ("# made by hand\n" + PLAIN_PTS, r"not a \.pts file"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DatasetError, match=rf"a\.pts: .*{reason}"):
            read_pts(path)


def test_a_folder_of_points_without_headers(tmp_path: Path) -> None:
    write_png(tmp_path / "img" / "a.png", make_picture(60, 80))
    (tmp_path / "img" / "a.pts").write_text(PLAIN_PTS, encoding="utf-8")
    data = make_dataset("f", {"type": "landmarks", "path": str(tmp_path / "img")}, tmp_path / "dl")
    provide_shard(data, 0, 1, tmp_path / "out")
    (face,) = data.merge_annotations({"a.png": tmp_path / "out"}).landmarks["a.png"]
    assert face["landmarks"][0] == [9.5, 12.0]  # counted from 1, as with a header


def put(content: Any, place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy of a nested structure with another value at a place."""
    made = copy.deepcopy(content)
    inner = made
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return made


FIRST = ("annotations", 0)


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        ((*FIRST, "segmentation", 0, 2), 1e5, "polygon 0 lies far outside of its image, 64x48"),
        ((*FIRST, "segmentation", 0, 2), -1001, "far outside"),
        ((*FIRST, "segmentation", 0, 3), float("nan"), "not a finite number"),
        ((*FIRST, "segmentation", 0, 3), 10**400, "not a finite number"),
        ((*FIRST, "segmentation", 0), [0, 0, 900, 700] * 700, "pixels long"),
        ((*FIRST, "bbox", 2), 1e8, "far outside of its image"),
        ((*FIRST, "bbox", 0), "6", "not four finite numbers"),
        ((*FIRST, "bbox"), {"x": 1}, "not four finite numbers"),
        ((*FIRST, "area"), None, "not a finite number of pixels"),
        ((*FIRST, "id"), 2**53 + 1, "its id is not an integer"),
        ((*FIRST, "category_id"), [3], "category_id"),
        (("annotations", 1, "segmentation", "size"), [48.0, 64.0], "its RLE is of size"),
        (("annotations", 2, "segmentation", "size"), "48,64", "its RLE is of size"),
        (("annotations", 2, "segmentation", "counts", 3), 2**40, "covers"),
        (("images", 0, "width"), 10**9, "not a number of pixels"),
        (("images", 0, "height"), True, "not a number of pixels"),
        (("images", 0, "file_name"), ["a.png"], "not text"),
        (("images", 0, "file_name"), ".", "is no file"),
    ],
)
def test_odd_values_of_instances(place: tuple[Any, ...], value: Any, reason: str) -> None:
    with pytest.raises(DatasetError, match=rf"f\.json: .*{reason}"):
        check_instances(put(instances(), place, value), "f.json")


def test_values_near_the_image_are_legal() -> None:
    """Annotations that pass the border, as those of rounding tools and of cropped sets do."""
    for value in (-0.5, 64.5, 200, -900):
        judged(put(instances(), (*FIRST, "segmentation", 0, 2), value))
        judged(put(instances(), (*FIRST, "bbox", 0), value))


@pytest.mark.parametrize(
    ("licences", "licence", "expected"),
    [
        ([{"id": 4, "name": "CC-BY"}], 4, "CC-BY"),
        ([{"id": 4, "name": "CC-BY"}], [4], ""),
        ([{"id": [4], "name": "CC-BY"}], 4, ""),
        ([{"id": 4, "name": ["CC", "BY"]}], 4, "['CC', 'BY']"),
        ({"id": 4}, 4, ""),
        (7, {"id": 4}, ""),
        ([None, "x"], None, ""),
        ([{"name": "of no id"}], None, ""),
    ],
)
def test_licences_of_any_type(tmp_path: Path, licences: Any, licence: Any, expected: str) -> None:
    content = put(put(instances(), ("licenses",), licences), ("images", 0, "license"), licence)
    write_png(tmp_path / "img" / "a.png", make_picture(48, 64))
    (tmp_path / "i.json").write_text(json.dumps(content), encoding="utf-8")
    entry = {"type": "coco", "path": str(tmp_path / "img"), "annotations": str(tmp_path / "i.json")}
    (record,) = provide_shard(make_dataset("c", entry, tmp_path / "dl"), 0, 1, tmp_path / "out")
    assert (record.status, record.licence) == ("ok", expected)


def test_a_turned_image_is_named(tmp_path: Path) -> None:
    """Annotations of the stored picture do not fit the one that is read."""
    (tmp_path / "img").mkdir()
    turned = Image.fromarray(make_picture(48, 64))
    turned.getexif()[0x112] = 6
    turned.save(tmp_path / "img" / "a.png", exif=turned.getexif())
    Image.new("L", (64, 48)).save(tmp_path / "a.png")
    (tmp_path / "i.json").write_text(json.dumps(instances()), encoding="utf-8")
    path = str(tmp_path / "img")
    for entry in (
        {"type": "coco", "path": path, "annotations": str(tmp_path / "i.json")},
        {"type": "semantic", "path": path, "maps": str(tmp_path), "classes": ["sky"]},
    ):
        data = make_dataset("c", entry, tmp_path / "dl")
        provide_shard(data, 0, 1, tmp_path / "out")
        with pytest.raises(DatasetError, match=r"48x64 \(EXIF orientation applied: annotate"):
            data.merge_annotations({"a.png": tmp_path / "out"})


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def label_map(rows: int = 8, extra: bytes = b"") -> bytes:
    head = struct.pack(">2I5B", 8, 8, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(9) * rows)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )  # fmt: skip


def test_damaged_label_maps_are_named(tmp_path: Path) -> None:
    """Chunks that end early, for which Pillow has five kinds of exceptions, and missing rows."""
    path = tmp_path / "m.png"

    def fault(data: bytes) -> str:
        path.write_bytes(data)
        return map_fault(path, (8, 8), 3, 255)

    assert fault(label_map()) == ""
    for kind in (b"pHYs", b"gAMA", b"cHRM", b"fcTL", b"acTL"):
        assert fault(label_map(extra=chunk(kind, b"\0"))).startswith("is damaged: ")
    assert fault(label_map(rows=3)).startswith("is damaged: ")
    path.unlink()
    assert map_fault(path, (8, 8), 3, 255).startswith("cannot be read: ")


# Fuzzing.

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 2**31, 2**64, 10**400, 1e308, float("nan"), float("-inf"), "", "3",
    "../x", "a\0b", "\ud800", "é" * 300, [], [[]], [[[1, 2]]], {}, {"a": [1]}, [None] * 68,
)  # fmt: skip


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value of a nested structure stands, the whole excepted."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def mutations(content: Any, count: int, seed: int) -> Iterator[bytes]:
    """JSON text with one to three values replaced, moved or repeated, and damaged text."""
    draw = random.Random(seed)
    text = json.dumps(content).encode()
    found = list(places(content))
    for number in range(count):
        if number % 4 == 3:
            damaged = bytearray(
                text[: draw.randrange(len(text) + 1)] if draw.random() < 0.3 else text
            )
            for _ in range(draw.randrange(1, 4)):
                if damaged:
                    damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            yield bytes(damaged)
            continue
        made = copy.deepcopy(content)
        for _ in range(draw.randrange(1, 4)):
            place = draw.choice(found)
            inner = made
            try:
                for key in place[:-1]:
                    inner = inner[key]
                old = inner[place[-1]]
                inner[place[-1]] = draw.choice((*ODD, [old], [old, old], str(old), {"x": old}))
            except (KeyError, IndexError, TypeError):  # an earlier change took the place away
                continue
        yield json.dumps(made).encode("utf-8", "surrogatepass")


def survives(call: Callable[[], object]) -> bool:
    """Whether a reader takes its input; anything but a typed error fails the test."""
    try:
        call()
    except (DatasetError, TaskError):
        return False
    return True


@pytest.mark.slow
def test_mutated_annotations_have_typed_errors(tmp_path: Path) -> None:
    path = tmp_path / "f"
    taken = dict.fromkeys(("instances", "sets", "landmarks", "pts", "maps"), 0)

    def judge_file() -> None:
        judged(read_instances(path))

    for data in mutations(instances(), 2000, 1):
        path.write_bytes(data)
        taken["instances"] += survives(judge_file)

    write_png(tmp_path / "img" / "a.png", make_picture(48, 64))
    entry = {"type": "coco", "path": str(tmp_path / "img"), "annotations": str(path)}

    def whole_set() -> None:
        data = make_dataset("c", entry, tmp_path / "dl")
        provide_shard(data, 0, 1, tmp_path / "out")
        json.dumps(
            data.merge_annotations(dict.fromkeys(data.image_ids(), tmp_path / "out")).instances
        )

    for data in mutations(instances(), 200, 2):
        path.write_bytes(data)
        taken["sets"] += survives(whole_set)

    faces = ({"a.png": FACE}, {"a.png": [{"landmarks": FACE, "bbox": [1, 2, 3, 4]}]})
    listed = {"faces": [{"file": "a.png", "pts68": FACE}]}
    for seed, content in enumerate((*faces, listed)):
        for data in mutations(content, 400, seed):
            path.write_bytes(data)
            taken["landmarks"] += survives(lambda: read_json(path))

    draw = random.Random(3)
    for text in (PTS, PLAIN_PTS):
        for _ in range(500):
            data = bytearray(text.encode())
            for _ in range(draw.randrange(1, 4)):
                start = draw.randrange(len(data))
                data[start : start + draw.randrange(8)] = draw.choice(
                    (b"", b"1", b"nan", b"-", b"{", b"9" * 30, b"\xff", b"\xc2\xb2", b"e999", b"\n")
                )
            path.write_bytes(bytes(data))
            taken["pts"] += survives(lambda: read_pts(path))

    buffer = io.BytesIO()
    grey = np.random.default_rng(0).integers(0, 3, (30, 40), np.uint8)
    Image.fromarray(grey).save(buffer, "PNG")
    for _ in range(1000):
        data = bytearray(buffer.getvalue())
        for _ in range(draw.randrange(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(bytes(data[: draw.randrange(len(data))] if draw.random() < 0.2 else data))
        taken["maps"] += map_fault(path, (40, 30), 3, 255) == ""
    # Some inputs stay legal, so that what follows the checks is reached, too.
    assert all(count > 5 for name, count in taken.items() if name != "maps"), taken
