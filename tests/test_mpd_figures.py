"""The states table counts every bit in its place, and its figures show the planted numbers."""

from __future__ import annotations

import logging
import math
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from figure_checks import words
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from icmbench.bitstream import container
from icmbench.codecs.mpd.inspect import SECTION_BITS, Layer, layers, split_layers
from icmbench.codecs.mpd.model_folder import NAME, part_file
from icmbench.codecs.mpd.model_folder import PARTS as MODEL_PARTS
from icmbench.codecs.mpd.palette.shared_palette import make_shared_palette
from icmbench.codecs.mpd.stream import contexts as ctx
from icmbench.codecs.mpd.stream.coder import FINEST, State, section_states, walk_sections
from icmbench.codecs.mpd.stream.encoder import encode_latent
from icmbench.codecs.specs import expand_points
from icmbench.config.plan import Plan
from icmbench.config.run import make_run
from icmbench.core.errors import ConfigError, MeasurementError
from icmbench.core.images.image_files import write_png
from icmbench.datasets.records import Record
from icmbench.evaluation import archive
from icmbench.evaluation.codec_process import Setup
from icmbench.evaluation.shard import CodecEntry
from icmbench.models.latent import latent_shape
from icmbench.reporting.figures.bit_shares import PARTS, bit_shares, part_rates
from icmbench.reporting.figures.hierarchy import Level, entry_colours, palette_hierarchy
from icmbench.reporting.figures.palette_tree import parents, positions, tree_levels
from icmbench.reporting.figures.states import states_figure
from icmbench.studies import hierarchies, states

pytestmark = pytest.mark.usefixtures("no_formulas")

CHANNELS = 3
DIGEST = b"tiny"


def latent_of(image: np.ndarray) -> np.ndarray:
    """A stand-in for the autoencoder: every cell's corner pixel, int16 (h, w, 3)."""
    return ((image[::8, ::8].astype(np.int32) - 128) * 60).astype(np.int16)


class TinyModel:
    """What `states` and `hierarchies` use of a loaded model, without a network."""

    digest = DIGEST

    def latent(self, image: np.ndarray) -> np.ndarray:
        return latent_of(image)

    def states(self, parsed: container.Stream) -> list[State]:
        shape = latent_shape(parsed.header.height, parsed.header.width)
        walked = walk_sections(parsed.sections, shape, CHANNELS, ctx.fresh_model(), None)
        return list(walked)

    def show(self, state: State, decoder: str, seed: int, size: tuple[int, int]) -> np.ndarray:
        assert decoder == hierarchies.DECODER
        cells = np.clip(state.latent() / 60 + 128, 0, 255).astype(np.uint8)
        return cells.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]]


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = np.sin(rows / 17 + seed) + np.cos(columns / 11)
    base = 128 + 40 * waves[..., None] * np.array([1.0, 0.5, -0.8])
    return np.clip(base + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)


def encoded(image: np.ndarray, rdo: float = 0.0) -> bytes:
    header = container.Header(1, DIGEST, image.shape[1], image.shape[0])
    return container.pack(header, encode_latent(latent_of(image), rdo=rdo, refine=-FINEST)[0])


def bits_down_to(found: list[Layer], state: int) -> float:
    return sum(sum(layer.bits.values()) for layer in found if layer.state >= state)


@pytest.mark.parametrize("shape", [(1, 1), (9, 30), (40, 64), (96, 72), (128, 176)])
@pytest.mark.parametrize("rdo", [0.0, 1.0])
def test_bits_by_part_add_up_to_the_file(shape: tuple[int, int], rdo: float) -> None:
    """Exactly, at every state, and the file is the container's own prefix."""
    stream = encoded(picture(*shape), rdo)
    found = layers(TinyModel(), stream)  # type: ignore[arg-type]
    assert [layer.state for layer in found] == list(range(7, FINEST - 1, -1))
    cells = math.prod(latent_shape(*shape))
    parsed = container.parse(stream)
    for layer in found:
        assert list(layer.bits) == list(SECTION_BITS)
        assert bits_down_to(found, layer.state) == 8 * layer.bytes
        sections = sum(t >= layer.state for t in section_states(cells))
        assert layer.bytes == len(parsed.prefix(stream, sections))
        own = layer.state in section_states(cells)
        assert own or not any(layer.bits.values())
        assert own == (layer.bits["frame"] > 0)
        assert (layer.bits["refinement"] > 0) == (layer.state < 0)
        assert layer.state >= 0 or not any(layer.bits[part] for part in ("shape", "offsets", "map"))
    assert found[-1].bytes == len(stream)


def test_every_part_has_its_own_place() -> None:
    """By hand: information in the order of the coder's parts, header in the first frame only."""
    labels = np.zeros((16, 32), np.int16)
    palette = np.zeros((1, CHANNELS), np.int32)
    header = container.Header(1, DIGEST, 256, 128)
    stream = container.pack(header, [bytes(20), bytes(200)])
    planted = [
        State(7, labels, palette, np.array([5.5, 16.0, 100.25, 2.0])),
        State(6, labels, palette, np.array([7.0, 31.0, 1570.0, 0.0])),
    ]
    parsed = container.parse(stream)
    first, second = split_layers(parsed, planted)
    frame = 8 * (parsed.header_bytes + 1 + 2)
    assert first.bits == {
        "shape": 5.5, "offsets": 16.0, "map": 100.25, "refinement": 2.0, "frame": frame,
        "rounding": 36.25,
    }  # fmt: skip
    assert second.bits == {
        "shape": 7.0, "offsets": 31.0, "map": 1570.0, "refinement": 0.0, "frame": 8 * (2 + 2),
        "rounding": -8.0,
    }  # fmt: skip
    assert (first.state, second.state) == (7, 6)
    thirds = [State(t, labels, palette, np.array([1 / 3, 0.1, 7 / 9, 1 / 7])) for t in (7, 6)]
    found = split_layers(parsed, thirds)
    assert bits_down_to(found, 6) == 8 * len(stream)
    assert abs(found[1].bits["map"] - 7 / 9) < 1 / 256
    assert second.bytes == len(stream)


def test_parts_mean_what_they_are_called() -> None:
    """A flat picture has no map; the model's own palette costs no offsets, but a map."""
    flat = np.full((64, 64, 3), 90, np.uint8)
    for layer in layers(TinyModel(), encoded(flat)):  # type: ignore[arg-type]
        assert layer.bits["map"] == 0
        assert layer.bits["offsets"] == (8 * CHANNELS if layer.state == 7 else 0)
    image = picture(96, 96)
    shared = make_shared_palette([latent_of(picture(96, 96, seed)) for seed in range(2)])
    payloads, held = encode_latent(latent_of(image), shared=shared)
    header = container.Header(1, DIGEST, 96, 96)
    found = split_layers(container.parse(container.pack(header, payloads)), held)
    assert not any(layer.bits["offsets"] for layer in found)
    assert sum(layer.bits["map"] for layer in found) > 100


def make_shard(
    folder: Path, images: dict[str, np.ndarray]
) -> tuple[CodecEntry, list[Record], Path]:
    """A shard of pictures and their streams; an image named `lost` has no stream."""
    points = tuple(expand_points("mpd", [{"state": [7, 0]}, {"state": [0], "rdo": 0.0}]))
    family = CodecEntry("mine", "mpd", points, Setup("mpd"))
    records = []
    with archive.create(folder / "0.zip") as out:
        for name, image in images.items():
            write_png(folder / f"{name}.png", image)
            records.append(Record(name, f"{name}.png"))
            for encoding in family.encodings() if name != "lost" else ():
                stream = encoded(image, rdo=0.0 if "rdo" in encoding else 1.0)
                stream = stream[:-1] + b"?" if name == "bad" else stream
                out.add(archive.stream_member(encoding, name, "icb"), stream)
    return family, records, folder / "0.zip"


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(model=TinyModel())
    monkeypatch.setattr(states, "make_codec", lambda _: fake)
    monkeypatch.setattr(hierarchies, "make_codec", lambda _: fake)


def test_states_of_a_shard(
    tmp_path: Path, no_model: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A row per image, encoding and state, with numbers computed here in another way."""
    images = {"a": picture(70, 90), "b": picture(64, 64, 1), "bad": picture(64, 64, 2)}
    images["lost"] = picture(64, 64, 3)
    family, records, streams = make_shard(tmp_path, images)
    out = tmp_path / "0.csv"
    with caplog.at_level(logging.WARNING):
        states.write_states(family, "photos", records, tmp_path, streams=streams, out=out)
    assert caplog.text.count("bad: the CRC-16") == caplog.text.count("lost: not encoded") == 2
    rows = states.read_states([out])
    assert tuple(rows.columns) == (
        "dataset", "family", "encoding", "image", "state", "entries", "bytes", "bpp", "latent_mse",
        "shape", "offsets", "map", "refinement", "frame", "rounding",
    )  # fmt: skip
    assert len(rows) == 2 * 2 * (8 + 6)
    assert set(rows["image"]) == {"a", "b"}
    for (encoding, image), part in rows.groupby(["encoding", "image"]):
        stream = encoded(images[image], rdo=0.0 if "rdo" in encoding else 1.0)
        parsed = container.parse(stream)
        bits = part[list(SECTION_BITS)].sum(axis=1).cumsum()
        assert (bits == 8 * part["bytes"]).all()
        pixels = math.prod(images[image].shape[:2])
        assert part["bpp"].to_numpy() == pytest.approx(8 * part["bytes"].to_numpy() / pixels)
        sections = section_states(math.prod(latent_shape(*images[image].shape[:2])))
        decoded = TinyModel().states(parsed)
        held = [
            decoded[sum(t >= state for t in sections) - 1] for state in range(7, FINEST - 1, -1)
        ]
        z = latent_of(images[image]) / 8192
        expected = [np.mean((state.latent() / 8192 - z) ** 2) for state in held]
        assert part["latent_mse"].to_numpy() == pytest.approx(expected)
        assert list(part["entries"]) == [len(state.palette) for state in held]


def planted_rows(families: tuple[str, ...] = ("mpd",), images: int = 5) -> pd.DataFrame:
    """Rows whose parts are easy to tell apart: map 8, offsets 4, shape 1.25, refinement 0.75 and
    frame 1.5 of 16.
    """
    rows = []
    for family in families:
        for number in range(images):
            size = 1000.0 * (1 + number)
            total = 0
            for state in range(7, -1, -1):
                section = 16 * (8 - state) * (1 + number)
                total += section
                rows.append(
                    {
                        "dataset": "photos",
                        "family": family,
                        "encoding": family.replace("-", ":"),
                        "image": f"i{number}",
                        "state": state,
                        "entries": 2 ** (8 - state),
                        "bytes": total,
                        "bpp": 8 * total / size,
                        "latent_mse": 0.5 * 2.0 ** (state - 7) * (1 + number / 10),
                        "map": 8 * section * 8 / 16,
                        "offsets": 8 * section * 4 / 16,
                        "shape": 8 * section * 1.25 / 16,
                        "refinement": 8 * section * 0.75 / 16,
                        "frame": 8 * section * 1.5 / 16,
                        "rounding": 8 * section * 0.5 / 16,
                    }
                )
    return pd.DataFrame(rows)


def test_states_table_is_the_mean_of_its_rows() -> None:
    rows = planted_rows()
    held = rows[~((rows["image"] == "i4") & (rows["state"] == 0))]
    table = states.states_table(held.sample(frac=1, random_state=1), resamples=100, seed=1)
    assert list(table["state"]) == list(range(7, -1, -1))
    assert list(table["images"]) == [5] * 7 + [4]
    for _, row in table.iterrows():
        part = held[held["state"] == row["state"]]
        for name in states.MEANS:
            assert row[name] == pytest.approx(part[name].mean()), name
        for name in states.WITH_INTERVAL:
            assert part[name].min() * (1 - 1e-12) <= row[f"{name}_lo"] <= row[name]
            assert row[name] <= row[f"{name}_hi"]
            assert row[f"{name}_hi"] <= part[name].max() * (1 + 1e-12)
    assert (table["latent_mse_lo"] < table["latent_mse_hi"]).all()
    few = states.states_table(planted_rows(images=2), resamples=100, seed=1)
    assert few[["bpp_lo", "latent_mse_hi"]].isna().all(axis=None)
    empty = states.states_table(rows[:0], resamples=100, seed=1)
    assert list(empty.columns) == list(table.columns)


def test_states_figure_shows_the_table() -> None:
    table = states.states_table(planted_rows(), resamples=100, seed=1)
    figure = states_figure(table, "photos")
    assert len(figure.axes) == 2
    for axes, name in zip(figure.axes, ("latent_mse", "bpp"), strict=True):
        (line,) = axes.lines
        np.testing.assert_allclose(
            line.get_xydata(), table.sort_values("state")[["state", name]].to_numpy(float)
        )
        assert axes.get_yscale() == "log"
        assert axes.get_xlim()[0] > 7 > 0 > axes.get_xlim()[1]  # finer states on the right
        (band,) = axes.collections
        ends = band.get_paths()[0].vertices[:, 1]
        assert {ends.min(), ends.max()} <= {*table[f"{name}_lo"], *table[f"{name}_hi"]}
    text = words(figure)
    for word in ("5 images", "lower is better ↓", "σ²", "bits per pixel", "diffusion state", "256"):
        assert word in text, word
    two = states_figure(states.states_table(planted_rows(("mpd", "mpd-b")), resamples=100, seed=1),
                        "photos")  # fmt: skip
    assert [len(axes.lines) for axes in two.axes] == [2, 2]
    assert len({line.get_color() for line in two.axes[0].lines}) == 2
    assert "mpd-b" in words(two)
    assert "Nothing to draw" in words(states_figure(table, "other"))


def test_bit_shares_put_every_part_into_its_segment() -> None:
    rows = planted_rows()
    rates = part_rates(rows)
    assert list(rates.index) == list(range(7, -1, -1))
    means = rows.groupby("state")["bpp"].mean()
    assert rates.sum(axis=1).to_numpy() == pytest.approx(means[rates.index].to_numpy())
    figure = bit_shares(rows, "photos")
    left, right = figure.axes
    shares = {"index map": 50, "palette offsets": 25, "tree shape": 125 / 16}
    shares["refinement"] = 75 / 16
    shares["header, lengths, checksums, rounding"] = 12.5
    handles, labels = left.get_legend_handles_labels()
    assert labels == list(shares)
    for bars, share in zip(handles, shares.values(), strict=True):
        assert [bar.get_height() for bar in bars] == pytest.approx([share / 100] * 8)
    for bars, part in zip(right.containers, PARTS, strict=True):
        assert [bar.get_height() for bar in bars] == pytest.approx(list(rates[part.title]))
        assert {to_hex(bar.get_facecolor()) for bar in bars} == {part.colour}
    tops = [bar.get_y() + bar.get_height() for bar in right.containers[-1]]
    assert tops == pytest.approx(list(rates.sum(axis=1)))
    looks = [
        (part.hatch, sum(int(part.colour[i : i + 2], 16) for i in (1, 3, 5))) for part in PARTS
    ]
    assert len(set(looks)) == len(looks)
    assert len(bit_shares(planted_rows(("mpd", "mpd-b")), "photos").axes) == 4
    assert "Nothing to draw" in words(bit_shares(rows[:0], "photos"))


def test_shares_are_of_the_file_not_of_the_section() -> None:
    """Bits of coarser sections stay in the finer files."""
    rows = planted_rows(images=1)
    rows.loc[rows["state"] != 7, list(SECTION_BITS)] = 0.0
    rates = part_rates(rows)
    assert rates.to_numpy() == pytest.approx(np.tile(rates.loc[7], (8, 1)))


def test_entry_colours_are_means_of_the_pixels_below() -> None:
    """Against a plain loop; the last cells are cut by the border."""
    image = picture(21, 30)
    labels = np.arange(12, dtype=np.int16).reshape(3, 4) % 5
    found = entry_colours(image, labels, 6)
    for entry in range(5):
        pixels = [
            image[y, x] for y in range(21) for x in range(30) if labels[y // 8, x // 8] == entry
        ]
        assert found[entry] == pytest.approx(np.mean(pixels, axis=0))
    assert np.isnan(found[5]).all()
    with pytest.raises(MeasurementError, match="cells"):
        entry_colours(image, labels.T, 6)


def test_tree_places_children_below_their_parents() -> None:
    coarse = np.array([[0, 0, 1, 1, 1]], np.int16)
    fine = np.array([[2, 0, 1, 3, 4]], np.int16)
    assert parents(fine, coarse) == {2: 0, 0: 0, 1: 1, 3: 1, 4: 1}
    grey = np.array([[10.0], [40.0], [60.0], [20.0], [90.0]]).repeat(3, 1)
    top, below = positions([coarse, fine], [np.array([[200.0] * 3, [5.0] * 3]), grey])
    # Entry 1 is darker: it comes first, with its children 3, 1, 4 from dark to light.
    assert below == {3: 0, 1: 1, 4: 2, 0: 3, 2: 4}
    assert top == {1: 1.0, 0: 3.5}
    with pytest.raises(MeasurementError, match="two entries"):
        parents(coarse, fine)
    assert tree_levels([2, 4, 8, 16, 32]) == [0, 1, 2, 3]
    assert tree_levels([40, 80]) == [0]


@dataclass
class Drawn:
    figure: Figure
    levels: list[Level]
    image: np.ndarray


@pytest.fixture
def drawn() -> Drawn:
    image = picture(92, 120)
    stream = encoded(image)
    model = TinyModel()
    levels = [
        Level(
            layer.state,
            layer.shown.labels,
            len(layer.shown.palette),
            layer.bytes,
            model.show(layer.shown, "regression", 0, (92, 120)),
        )
        for layer in layers(model, stream)  # type: ignore[arg-type]
        if layer.state >= 0
    ]
    levels = [level for n, level in enumerate(levels) if not n or level.bytes > levels[n - 1].bytes]
    return Drawn(palette_hierarchy(image, levels, title="t", decoder="regression"), levels, image)


def test_hierarchy_shows_every_state(drawn: Drawn) -> None:
    """Words, the map in the palette's colours, the decoded picture, and the tree's swatches."""
    text = words(drawn.figure)
    pictures = [axes for axes in drawn.figure.axes if axes.images]
    assert len(pictures) == 1 + 2 * len(drawn.levels)
    assert "decoder=regression" in text
    for number, level in enumerate(drawn.levels):
        plural = "y" if level.entries == 1 else "ies"
        assert f"state {level.state}: {level.entries} entr{plural}" in text
        bpp = 8 * level.bytes / (92 * 120)
        assert f"{level.bytes:,} bytes, {bpp:.4f} bpp" in text
        shown, decoded = (axes.images[0].get_array() for axes in pictures[1 + 2 * number :][:2])
        colours = np.rint(entry_colours(drawn.image, level.labels, level.entries))
        np.testing.assert_array_equal(shown, colours[level.labels])
        np.testing.assert_array_equal(decoded, level.picture)
    (tree,) = [axes for axes in drawn.figure.axes if not axes.images]
    few = [level for level in drawn.levels if level.entries <= 16]
    swatches = [patch for patch in tree.patches if isinstance(patch, Rectangle)]
    assert len(swatches) == (few[0].entries > 1) + sum(level.entries for level in few)
    finest = few[-1]
    colours = entry_colours(drawn.image, finest.labels, finest.entries) / 255
    own = swatches[-finest.entries :]
    assert sorted(to_hex(patch.get_facecolor()) for patch in own) == sorted(map(to_hex, colours))
    percents = [t.get_text() for t in tree.texts if "%" in t.get_text()]
    assert len(percents) == finest.entries


def test_hierarchy_refuses_what_does_not_belong(drawn: Drawn) -> None:
    with pytest.raises(MeasurementError, match="at least one"):
        palette_hierarchy(drawn.image, [], title="t", decoder="mean")
    with pytest.raises(MeasurementError, match="original's size"):
        palette_hierarchy(drawn.image[:80], drawn.levels, title="t", decoder="mean")


def test_hierarchy_of_a_stored_stream(tmp_path: Path, no_model: None) -> None:
    """A picture too small for eight sections shows only files that differ; failures are named."""
    family, records, streams = make_shard(
        tmp_path, {"a": picture(40, 48), "bad": picture(40, 48), "lost": picture(40, 48)}
    )

    def text(record: Record) -> str:
        figure = hierarchies.hierarchy_figure("photos", record, tmp_path, streams, family)
        return words(figure)

    shown = text(records[0])
    parsed = container.parse(encoded(picture(40, 48), rdo=1.0))
    ends = parsed.ends[: len(parsed.ends) + FINEST]  # a refinement has no palette of its own
    assert shown.count(" bytes, ") == len(ends) == 4
    assert "States 6, 5, 4, 3: the same file" in shown
    for end in ends:
        assert f" {end} bytes, " in shown
    assert "palette hierarchy of a, mpd" in shown
    assert "CRC-16" in text(records[1])
    assert "not encoded" in text(records[2])
    assert "refused: too small" in text(Record("x", "x.png", status="too small"))


def test_report_names_the_figures() -> None:
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config["hierarchy"] = [
        {"dataset": "scenes", "image": "test-00001"}, {"dataset": "photos", "image": "coffee"},
    ]  # fmt: skip
    texts = {one.name: one.text for one in Plan(make_run(config)).made("figure")}
    titles = {
        "palette_photos_1": "Palette hierarchy, coffee, photos",
        "palette_scenes_0": "Palette hierarchy, test-00001, scenes",
        "states_scenes": "Distortion and rate by state, scenes",
        "bit_shares_photos": "Shares of the bits, photos",
    }
    assert {name: texts[name].title for name in titles} == titles
    assert all(texts[name].caption for name in titles)


def small_config(models: Path) -> dict[str, Any]:
    return {
        "results": "results",
        "models": str(models),
        "datasets": {"scenes": {"seed": 1, "size": 64, "test": 2}},
        "codecs": {
            "jpeg": {"points": [{"quality": [20]}]},
            "mine": {"codec": "mpd", "points": [{"state": [7, 0]}]},
        },
        "metrics": ["psnr_rgb"],
        "anchors": [],
        "hierarchy": [{"dataset": "scenes", "image": "test-00001"}],
    }


@pytest.fixture
def empty_models(tmp_path: Path) -> Path:
    """Files of the right names: enough for a plan."""
    (tmp_path / "models" / NAME).mkdir(parents=True)
    for part in MODEL_PARTS:
        part_file(tmp_path / "models" / NAME, part).touch()
    return tmp_path / "models"


def test_hierarchy_of_the_configuration_is_checked(root: Path, empty_models: Path) -> None:
    config = small_config(empty_models)
    assert make_run(config).config["hierarchy"] == config["hierarchy"]
    for item, message in (
        ({"dataset": "x", "image": "y"}, "data set of hierarchy 'x'"),
        ({"dataset": "scenes"}, "'image' is a required"),
        ({"dataset": "scenes", "image": "test-00001", "bpp": 1}, "unknown key 'bpp'"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_run({**config, "hierarchy": [item]})
    run = make_run({**config, "hierarchy": [{"dataset": "scenes", "image": "test-1"}]})
    assert run.config["hierarchy"] == []
    assert "hierarchy[0] is left out: data set 'scenes' has no image 'test-1'" in run.notices[0]


def planned(folder: Path, config: dict[str, Any]) -> str:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "-n", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


def test_only_runs_with_mpd_look_into_its_streams(tmp_path: Path, empty_models: Path) -> None:
    config = small_config(empty_models)
    plan = planned(tmp_path, config)
    for rule in ("mpd_states", "mpd_states_table", "palette_hierarchy"):
        assert re.search(rf"^{rule} +1$", plan, re.M), rule
    assert "results/states/scenes/mine/0.csv" in plan
    assert "results/states/scenes/jpeg" not in plan
    report = plan[plan.index("rule report:") :]
    for name in ("palette_scenes_0", "states_scenes", "bit_shares_scenes"):
        assert f"results/figures/{name}.png" in report
    assert "results/tables/mpd_states.csv" in report
    del config["codecs"]["mine"]
    plan = planned(tmp_path, config)
    assert "mpd_states" not in plan
    assert "palette_" not in plan
