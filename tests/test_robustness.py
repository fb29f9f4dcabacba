"""Damaged streams: what is damaged, what is counted, and that every codec gets the same trials."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import make_picture

from icmbench.bitstream import container
from icmbench.codecs.raw_test import RawTest
from icmbench.config.run import make_run
from icmbench.core.errors import ConfigError, MeasurementError
from icmbench.core.files import write_parquet
from icmbench.core.images.image_files import write_png
from icmbench.datasets.records import Record, write_records
from icmbench.evaluation.damage import BEST_EFFORT, DAMAGES, NONE, damage_stream, draw_places
from icmbench.evaluation.encode import encode_shard
from icmbench.evaluation.robustness import (
    COLUMNS,
    Shard,
    Subject,
    choose_subjects,
    damage_trials,
    middle_point,
)
from icmbench.evaluation.shard import CodecEntry, make_codec_entry
from icmbench.reporting.figures.robustness import robustness_figure
from icmbench.reporting.figures.style import save
from icmbench.reporting.tables.robustness import robustness_table

pytestmark = pytest.mark.usefixtures("no_formulas")

# Right on the undamaged stream; on a damaged one (its checksums tell) each does its own worst.
PLANTED = """
import os, signal, time
import numpy as np
from icmbench.codecs.base import Codec
from icmbench.codecs.raw_test import RawTest
from icmbench.core.errors import CodecError, CorruptStream

class Planted(RawTest):
    codec_id = None
    cut_keys = {}
    salvage = Codec.salvage
    def truncate(self, stream): return stream

    def decode(self, stream):
        try:
            self.last = super().decode(stream)
        except CodecError:
            return self.spoil()
        return self.last.copy()

class DamageCrashes(Planted):
    name = "damage-crashes"
    def spoil(self): os.kill(os.getpid(), signal.SIGSEGV)

class DamageHangs(Planted):
    name = "damage-hangs"
    def spoil(self): time.sleep(60)

class DamageRaises(Planted):
    name = "damage-raises"
    def spoil(self): raise KeyError("planted")

class DamageEscapes(DamageRaises):
    name = "damage-escapes"
    codec_id = 31

class DamageTyped(Planted):
    name = "damage-typed"
    codec_id = 30
    def spoil(self): raise CorruptStream("planted")

class DamageWrong(Planted):
    name = "damage-wrong"
    def spoil(self): return self.last ^ 1

class DamageShrinks(Planted):
    name = "damage-shrinks"
    def spoil(self): return self.last[:-1]

class DamageSame(Planted):
    name = "damage-same"
    def spoil(self): return self.last

class NeverDecodes(Planted):
    name = "never-decodes"
    def decode(self, stream): raise CorruptStream("planted: always")
"""
HEIGHT, WIDTH = 40, 48


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the planted codecs known here and in child processes."""
    from icmbench.codecs import registry

    site = tmp_path / "site"
    info = site / "planted-1.dist-info"
    info.mkdir(parents=True)
    (site / "planted.py").write_text(PLANTED)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1\n")
    names = [line.split()[-1].strip('"') for line in PLANTED.splitlines() if " name = " in line]
    entries = [f"{n} = planted:{n.title().replace('-', '')}" for n in names]
    (info / "entry_points.txt").write_text("\n".join(["[icmbench.codecs]", *entries]) + "\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    registry.codecs.cache_clear()
    yield
    registry.codecs.cache_clear()


def family(name: str, points: list[dict[str, Any]]) -> CodecEntry:
    settings = {"entry": {"points": points}, "device": "cpu", "threads": 1, "models": None}
    return make_codec_entry(name, {**settings, "limits": {"seconds_per_image": 60.0}})


def subjects(one: CodecEntry, folder: Path, images: int = 1) -> list[Subject]:
    """Encoded images `i0`, `i1` ... of 40x48 pixels."""
    records = []
    for index in range(images):
        write_png(folder / f"i{index}.png", make_picture(HEIGHT, WIDTH, index))
        records.append(Record(f"i{index}", f"i{index}.png", "", WIDTH, HEIGHT))
    streams = folder / f"{one.name}.zip"
    status, timing = folder / "s.csv", folder / "t.csv"
    encode_shard(one, "d", records, folder, streams=streams, status=status, timing=timing)
    return [Subject(record.image, folder / record.path, streams) for record in records]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def test_damage_is_damage() -> None:
    """Each kind does what its name says, to any stream, at any place; all lengths occur."""
    rng = np.random.default_rng(3)
    edge = 1 - 2**-53
    for size in (1, 2, 3, 17, 200):
        stream = bytes(rng.integers(0, 4, size, dtype=np.uint8))
        drawn = [draw_places(1, "i", "byte-swap", trial) for trial in range(600)]
        lengths = set()
        for places in [(0.0, 0.0), (edge, edge), (0.0, edge), *drawn]:
            cut = damage_stream(stream, "truncate", places)
            assert stream.startswith(cut)
            lengths.add(len(cut))
            flipped = damage_stream(stream, "bit-flip", places)
            bits = [a ^ b for a, b in zip(stream, flipped, strict=True)]
            assert sum(value.bit_count() for value in bits) == 1
            swapped = damage_stream(stream, "byte-swap", places)
            if len(set(stream)) == 1:
                assert swapped is None
                continue
            assert sum(a != b for a, b in zip(stream, swapped, strict=True)) == 2
            assert sorted(swapped) == sorted(stream)
        assert lengths == set(range(size)) or size == 200
    with pytest.raises(MeasurementError, match="empty"):
        damage_stream(b"", "truncate", (0.0, 0.0))
    with pytest.raises(MeasurementError, match="bit-flop"):
        damage_stream(b"ab", "bit-flop", (0.0, 0.0))


def test_places_depend_on_everything_that_they_should() -> None:
    base = (1, "astronaut", "byte-swap", 0)
    others = [(2, *base[1:]), (1, "china", *base[2:]), (*base[:3], 1)]
    assert draw_places(*base) == draw_places(*base)
    assert len({draw_places(*key) for key in [base, *others]}) == 4
    assert draw_places(1, "astronaut", "bit-flip", 0)[0] != draw_places(*base)[0]
    many = np.array([draw_places(1, "i", "byte-swap", trial) for trial in range(2000)])
    assert ((many >= 0) & (many < 1)).all()
    counts, _, _ = np.histogram2d(many[:, 0], many[:, 1], bins=4)
    assert counts.min() > 80


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(
    ("name", "outcome", "detail"),
    [
        ("damage-crashes", "crashed", "SIGSEGV"),
        ("damage-hangs", "hung", "no answer within 1 s"),
        ("damage-raises", "refused", "KeyError"),
        ("damage-escapes", "crashed", "KeyError"),
        ("damage-typed", "refused", "CorruptStream: planted"),
        ("damage-wrong", "decoded_wrong", ""),
        ("damage-shrinks", "decoded_wrong", "decoded to 48x39"),
        ("damage-same", "decoded_right", ""),
    ],
)
def test_every_outcome_is_counted_in_its_column(
    tmp_path: Path, name: str, outcome: str, detail: str
) -> None:
    """A foreign decoder may raise anything; of our containers only typed errors are refusals."""
    one = family(name, [{}])
    start = time.monotonic()
    rows = damage_trials(
        one, "d", subjects(one, tmp_path), trials=1 + (name == "damage-same"), seed=1, seconds=1
    )
    assert time.monotonic() - start < 30  # the trials' limit, not the images' 60 s
    assert list(rows.columns) == list(COLUMNS)
    undamaged, tried = rows[rows["damage"] == NONE], rows[rows["damage"] != NONE]
    assert list(undamaged["outcome"]) == ["decoded_right"]
    assert np.isinf(undamaged["psnr"]).all()
    assert set(tried["outcome"]) == {outcome}
    assert all(detail in text for text in tried["detail"])
    picture = make_picture(HEIGHT, WIDTH, 0)
    expected = {"damage-wrong": psnr(picture, picture ^ 1), "damage-same": float("inf")}
    if name in expected:
        assert tried["psnr"].to_numpy() == pytest.approx(expected[name])
    else:
        assert tried["psnr"].isna().all()
    table = robustness_table(rows)
    assert list(table["damage"]) == list(DAMAGES)
    assert (table[outcome] == table["trials"]).all()
    assert (table["trials"] > 0).all()


@pytest.mark.usefixtures("planted")
def test_what_does_not_decode_undamaged_is_not_damaged(tmp_path: Path) -> None:
    one = family("never-decodes", [{}])
    chosen = subjects(one, tmp_path)
    never = Subject("never-encoded", chosen[0].original, chosen[0].streams)
    rows = damage_trials(one, "d", [*chosen, never], trials=2, seed=1, seconds=20)
    assert list(rows["damage"]) == [NONE, NONE]
    assert list(rows["outcome"]) == ["refused", "refused"]
    assert "planted: always" in rows["detail"][0]
    assert "not encoded" in rows["detail"][1]
    table = robustness_table(rows)
    assert list(table["damage"]) == list(DAMAGES)
    assert (table[["trials", "refused", "images"]] == 0).all(axis=None)


def test_every_codec_gets_the_same_trials_and_gets_them_again(tmp_path: Path) -> None:
    frames = {}
    for name in ("jpeg", "webp"):
        one = family(name, [{"quality": [10, 50, 90]}])
        chosen = subjects(one, tmp_path, images=2)
        keys = {"trials": 4, "seed": 1, "seconds": 20}
        frames[name] = damage_trials(one, "d", chosen, **keys)
        pd.testing.assert_frame_equal(frames[name], damage_trials(one, "d", chosen, **keys))
        alone = damage_trials(one, "d", chosen[1:], **keys)
        part = frames[name][frames[name]["image"] == "i1"].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, alone)
        other = damage_trials(one, "d", chosen, trials=4, seed=2, seconds=20)
        assert (other["place"] != frames[name]["place"]).any()
    what = ["image", "damage", "trial", "place", "other_place"]
    pd.testing.assert_frame_equal(frames["jpeg"][what], frames["webp"][what])
    assert len(frames["jpeg"]) == 2 * (1 + 3 * 4)
    assert set(frames["jpeg"]["codec"]) == {"jpeg:quality=50"}


def test_best_effort_shows_the_state_before_the_damage(tmp_path: Path) -> None:
    """The PSNR of each salvaged picture, from the container's layout; strict decoding refuses."""
    one = family("raw-test", [{"planes": [1, 2, 3]}])
    rows = damage_trials(one, "d", subjects(one, tmp_path), trials=12, seed=1, seconds=20)
    codec, picture = RawTest(), make_picture(HEIGHT, WIDTH, 0)
    stream = codec.truncate(codec.encode(picture), planes=2)
    parsed = container.parse(stream)
    whole = psnr(picture, codec.decode(stream))
    first = psnr(picture, codec.decode(codec.truncate(stream, planes=1)))
    undamaged = rows[rows["damage"] == NONE]["psnr"].item()
    assert undamaged == pytest.approx(whole)
    seen = set()
    for damage, scale in (("truncate", 1), ("bit-flip", 8)):
        strict = rows[rows["damage"] == damage]
        assert set(strict["outcome"]) == {"refused"}
        for row in rows[rows["damage"] == damage + BEST_EFFORT].itertuples():
            struck = int(row.place * len(stream) * scale) // scale
            expected = ("decoded_wrong", first) if struck >= parsed.ends[0] else ("refused", None)
            assert row.outcome == expected[0], (damage, struck)
            assert np.isnan(row.psnr) if expected[1] is None else row.psnr == pytest.approx(first)
            seen.add((damage, row.outcome))
    assert len(seen) == 4  # both cases of both kinds occurred
    table = robustness_table(rows)
    order = [damage + way for damage in DAMAGES for way in ("", BEST_EFFORT)]
    assert list(table["damage"]) == order


def test_foreign_decoders_have_no_best_effort(tmp_path: Path) -> None:
    one = family("jpeg", [{"quality": 50}])
    rows = damage_trials(one, "d", subjects(one, tmp_path), trials=1, seed=1, seconds=20)
    assert not rows["damage"].str.contains("effort").any()


def test_which_images_and_which_point(tmp_path: Path) -> None:
    """The first ids over all shards, usable and of the split; the middle of the points."""
    for shard, names in enumerate((["d", "b"], ["e", "a", "c"])):
        records = [
            Record(n, f"{n}.png", status="refused: x" if n == "a" else "ok",
                   split="train" if n == "b" else "test")
            for n in names
        ]  # fmt: skip
        write_records(tmp_path / f"{shard}.csv", records)
    shards = [Shard(tmp_path / f"{n}.csv", Path(f"im{n}"), Path(f"s{n}")) for n in (0, 1)]
    chosen = choose_subjects(shards, "test", 2)
    assert chosen == [
        Subject("c", Path("im1/c.png"), Path("s1")),
        Subject("d", Path("im0/d.png"), Path("s0")),
    ]
    assert len(choose_subjects(shards, "test", 9)) == 3
    for qualities, middle in (([10], 10), ([10, 20], 10), ([10, 20, 30, 40], 20)):
        point = middle_point(family("jpeg", [{"quality": qualities}]))
        assert point.spec == f"jpeg:quality={middle}"


def made_trials() -> pd.DataFrame:
    """Two codecs: one refuses 199 of 200, one is lossless and shows, crashes, hangs."""
    rows = []

    def add(codec: str, damage: str, outcome: str, value: float, times: int = 1) -> None:
        for trial in range(times):
            rows.append(("d", codec.split(":")[0], codec, "i", damage, trial, 0.5, np.nan, outcome,
                         value, ""))  # fmt: skip

    add("b:q=10", NONE, "decoded_right", 30.0)
    add("b:q=10", "truncate", "refused", np.nan, 199)
    add("b:q=10", "truncate", "decoded_wrong", 12.5)
    add("a", NONE, "decoded_right", np.inf)
    add("a", "bit-flip", "decoded_right", np.inf, 2)
    add("a", "bit-flip", "decoded_wrong", 20.0)
    add("a", "bit-flip", "decoded_wrong", np.nan)
    add("a", "bit-flip", "crashed", np.nan, 3)
    add("a", "bit-flip", "hung", np.nan)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_the_table_counts() -> None:
    table = robustness_table(made_trials())
    head = ["codec", "damage", "trials", "refused", "decoded_right", "decoded_wrong", "crashed"]
    assert list(table.columns[:8]) == [*head, "hung"]
    assert list(table["codec"]) == ["a"] * 3 + ["b:q=10"] * 3
    rows = table.set_index(["codec", "damage"])
    counts = ["trials", "refused", "decoded_right", "decoded_wrong", "crashed", "hung"]
    assert list(rows.loc[("a", "bit-flip"), counts]) == [8, 0, 2, 2, 3, 1]
    assert list(rows.loc[("b:q=10", "truncate"), counts]) == [200, 199, 0, 1, 0, 0]
    assert list(rows.loc[("b:q=10", "byte-swap"), counts]) == [0] * 6
    assert rows.loc[("b:q=10", "truncate"), "psnr_median"] == 12.5
    assert rows.loc[("b:q=10", "truncate"), "psnr_undamaged"] == 30.0
    assert rows.loc[("a", "bit-flip"), "psnr_median"] == np.inf
    shuffled = made_trials().sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(robustness_table(shuffled), table)
    for column in ("outcome", "damage"):
        broken = made_trials()
        broken.loc[3, column] = "odd"
        with pytest.raises(MeasurementError, match=f"unknown {column} 'odd'"):
            robustness_table(broken)
    assert list(robustness_table(made_trials().iloc[:0]).columns) == list(table.columns)


def test_the_figure_says_it_in_words(tmp_path: Path) -> None:
    """199 of 200 is not 100 %; crashes and time limits are written; equal trials, equal files."""
    figure = robustness_figure(made_trials(), "d")
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "99 %" in words
    assert "100 %" not in words
    assert "3 crashed, 1 hung" in words
    assert words.count("no trials") == 4
    assert len(figure.axes) == 3
    # The lossless codec's right pictures stand in the column of infinity, the wrong one does not.
    axes = figure.axes[1]
    offsets = [np.asarray(part.get_offsets()) for part in axes.collections]
    dots = sorted(float(x) for part in offsets for x in part[:, 0] if len(part) and x)
    infinite = axes.get_xticks()[-1]
    assert axes.get_xticklabels()[-1].get_text() == "∞"
    assert dots == pytest.approx([20.0, infinite, infinite])
    first = save(figure, tmp_path / "a")
    second = save(robustness_figure(made_trials(), "d"), tmp_path / "b")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert "Nothing to draw" in robustness_figure(made_trials(), "other").texts[-1].get_text()


def test_trials_survive_their_file(tmp_path: Path) -> None:
    write_parquet(tmp_path / "t.parquet", made_trials())
    back = pd.read_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(robustness_table(back), robustness_table(made_trials()))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"trials": 3}, "unknown data set of robustness"),
        ({"trials": 3, "dataset": "scnes"}, "did you mean 'scenes'"),
        ({"trails": 3}, "robustness: unknown key 'trails': did you mean 'trials'"),
        ({"trials": 3, "dataset": "scenes", "seconds": 0}, "seconds"),
    ],
)
def test_mistakes_in_the_configuration(root: Path, value: dict[str, Any], message: str) -> None:
    config = yaml.safe_load((root / "configs" / "micro.yaml").read_text())
    with pytest.raises(ConfigError, match=message):
        make_run({**config, "robustness": value})
    assert make_run({**config, "robustness": {}}).config["robustness"]["trials"] == 0
