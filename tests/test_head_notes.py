"""Notes on files of which the format's head is a large part, and the heads' sizes."""

from __future__ import annotations

import struct

import numpy as np
import pandas as pd
import pytest

from icmbench.codecs.registry import codec_class
from icmbench.reporting.tables.head_notes import head_notes, joined


def notes(sizes: list[int], heads: dict[str, int], status: str = "ok") -> list[str]:
    """Notes of one row whose files have these sizes."""
    keys = {"dataset": "photos", "family": "avif", "codec": "avif:quality=0"}
    rows = pd.DataFrame([keys | {"bytes": size, "status": status} for size in sizes])
    return head_notes(pd.DataFrame([keys]), rows.astype({"bytes": "Int64"}), heads)


def test_a_head_of_a_tenth_of_the_mean_file_is_noted() -> None:
    # The mean file has 2,750 bytes: not the share of one file, and not the mean of the shares.
    assert notes([500, 5000], {"avif": 275}) == ["10 % of the bytes are the file's head"]
    assert notes([501, 5000], {"avif": 275}) == [""]


def test_other_entries_and_files_that_were_not_written_have_no_note() -> None:
    assert notes([300], {"webp": 275}) == [""]
    assert notes([300], {"avif": 275}, status="encode-failed") == [""]


def test_notes_of_one_row_are_joined() -> None:
    assert joined(["a", "", ""], ["b", "c", ""]) == ["a; b", "c", ""]


@pytest.mark.parametrize(
    ("name", "keys"),
    [("avif", {"depth": 8}), ("avif", {"depth": 10}), ("heic", {}), ("heic", {"chroma": 444})],
)
def test_the_head_is_what_lies_around_the_picture(name: str, keys: dict[str, int]) -> None:
    """All of a file but the payload of its box mdat. HEIC's parameter sets differ by a byte or two,
    and odd sizes have one box more."""
    kind = codec_class(name)
    if reason := kind.unavailable():
        pytest.skip(reason)
    rng = np.random.default_rng(0)
    for height, width in ((64, 64), (200, 332)):
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        stream = kind().encode(image, quality=10, **keys)
        place, payload = 0, 0
        while place < len(stream):
            size, box = struct.unpack(">I4s", stream[place : place + 8])
            payload += size - 8 if box == b"mdat" else 0
            place += size
        assert abs(len(stream) - payload - kind.head_bytes) <= 2
