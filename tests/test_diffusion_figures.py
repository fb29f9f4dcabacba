"""Diff-ICMH's pictures come from the run's files; its numbers are recomputed here by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_picture
from matplotlib.figure import Figure
from official import DIFF_ICMH, needs
from tiny_icmh import SEEN, tiny_icmh_models

from icmbench.codecs.diff_icmh.codec import DiffIcmh
from icmbench.codecs.diff_icmh.diff_icmh_model import DiffICMHModel
from icmbench.codecs.diff_icmh.entropy.stream import Coded as Symbols
from icmbench.codecs.specs import OperatingPoint, expand_points, parse_spec
from icmbench.core.errors import MeasurementError
from icmbench.core.images.image_files import write_png
from icmbench.datasets.records import Record
from icmbench.evaluation import archive
from icmbench.evaluation.codec_process import Setup
from icmbench.evaluation.decode import decoding
from icmbench.evaluation.shard import CodecEntry
from icmbench.metrics.picture import Picture
from icmbench.metrics.structural import ms_ssim
from icmbench.models.tensors import load_network
from icmbench.reporting.figures.complexity import complexity_figure
from icmbench.reporting.figures.diffusion import diffusion_rates, prior_alone
from icmbench.reporting.figures.sheets import Panel, picture_sheet
from icmbench.reporting.figures.style import save
from icmbench.reporting.tables.complexity import (
    ALL,
    DECODE,
    DECODING,
    ENCODE,
    ENCODING,
    PUBLISHED,
    SAMPLING,
    SAMPLING_STEP,
)
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.studies import complexity, diffusion
from icmbench.studies.complexity import (
    Networks,
    complexity_rows,
    complexity_table,
    counted,
    part_parameters,
    peak_memory,
    published,
)
from icmbench.studies.diffusion import COLUMNS, Coded, accounting_rows, draw_image, rate_points
from icmbench.studies.stage_seconds import stage_seconds

pytestmark = pytest.mark.usefixtures("no_formulas")

FIXTURE = DIFF_ICMH / "published_keys.json"
# Numbers of the published checkpoint that training decides, by the prefix of their names.
COUNTS = {
    "model.diffusion_model.": 865_910_724,
    "control_model.": 374_019_200,
    "first_stage_model.": 83_653_863,
    "preprocess_model.": 51_493_188,
}
HEIGHT, WIDTH = 100, 150
STEPS = {"sampler": "ddim", "steps": 3, "guidance": 1.0}


@pytest.fixture(scope="module")
def codec() -> DiffIcmh:
    return DiffIcmh(models=tiny_icmh_models())


@pytest.fixture(scope="module")
def whole() -> Networks:
    return published()


def make_family(*points: dict[str, Any]) -> CodecEntry:
    found = tuple(expand_points("diff-icmh", points))
    return CodecEntry("mine", "diff-icmh", found, Setup("diff-icmh", models=tiny_icmh_models()))


def make_shard(folder: Path, codec: DiffIcmh, family: CodecEntry) -> tuple[Record, Path]:
    """One image, `cat`, encoded at every encoding of the family."""
    image = make_picture(HEIGHT, WIDTH)
    write_png(folder / "cat.png", image)
    streams = folder / "0.zip"
    with archive.create(streams) as out:
        for encoding, point in family.encodings().items():
            stream = codec.encode(image, **dict(point.encode))  # type: ignore[arg-type]
            out.add(archive.stream_member(encoding, "cat", "icb"), stream)
    return Record("cat", "cat.png", width=WIDTH, height=HEIGHT), streams


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


def here(codec: DiffIcmh) -> Any:
    """`decoding` without a process of its own, which takes seconds to start."""

    def decode(
        family: CodecEntry, streams: Path, point: OperatingPoint, image_id: str
    ) -> np.ndarray:
        stream = diffusion.stored_stream(streams, point, image_id)
        return codec.decode(stream, **dict(point.decode))  # type: ignore[arg-type]

    return decode


def test_one_point_per_rate() -> None:
    """Default tags and variant; a point that samples before one that does not."""
    family = make_family(
        {"rate": 3, "tags": "none"},
        {"rate": 3, "sampler": ["none", "ddim"]},
        {"rate": 1, "variant": "other"},
        {"rate": 2, "sampler": "none"},
        {"rate": 1, "steps": [4, 9]},
    )
    strings = [point.spec for point in rate_points(family)]
    expected = ("rate=1,steps=4", "rate=2,sampler=none", "rate=3,sampler=ddim")
    assert strings == [parse_spec(f"diff-icmh:{keys}").spec for keys in expected]


def test_accounting_by_hand(tmp_path: Path, codec: DiffIcmh) -> None:
    """Of the real file, decoded by a fresh process; 100 x 150 pixels are padded to 128 x 192."""
    family = make_family({"rate": 2, **STEPS})
    _, streams = make_shard(tmp_path, codec, family)
    original = make_picture(HEIGHT, WIDTH).astype(float)
    with decoding() as decode:
        (coded,) = diffusion.coded_pictures("cat", streams, family, codec, decode)
    (row,) = accounting_rows(make_picture(HEIGHT, WIDTH), [coded])
    stream = diffusion.stored_stream(streams, family.points[0], "cat")
    assert stream is not None
    assert coded.tags == SEEN
    assert row["codec"] == family.points[0].spec
    assert (row["width"], row["height"]) == (150, 100)
    assert (row["padded_width"], row["padded_height"]) == (192, 128)
    assert row["bytes"] == len(stream)
    assert row["bpp"] == pytest.approx(8 * len(stream) / 15000)
    assert row["bpp_as_published"] == pytest.approx(8 * len(stream) / 24576)
    own = codec.decode(stream, **STEPS)
    np.testing.assert_array_equal(coded.picture, own)
    np.testing.assert_array_equal(coded.uncropped[:HEIGHT, :WIDTH], own)
    assert coded.uncropped.shape == (128, 192, 3)
    error = ((own - original) ** 2).mean()
    assert row["psnr_rgb"] == pytest.approx(10 * math.log10(255**2 / error))
    # The whole reconstruction against zeros beyond the picture: every one of 24576 pixels counts.
    squares = ((own - original) ** 2).sum()
    rest = coded.uncropped.astype(float)
    squares += (rest[HEIGHT:] ** 2).sum() + (rest[:HEIGHT, WIDTH:] ** 2).sum()
    error = squares / (3 * 24576)
    assert row["psnr_rgb_as_published"] == pytest.approx(10 * math.log10(255**2 / error))
    assert math.isnan(row["ms_ssim"])  # below 161 pixels
    assert math.isnan(row["ms_ssim_as_published"])
    assert set(row) == set(COLUMNS[2:])


def test_accounting_of_a_picture_that_has_ms_ssim() -> None:
    original, decoded = make_picture(170, 200), make_picture(192, 256, seed=2)
    point = parse_spec("diff-icmh:rate=1")
    coded = Coded(point, bytes(999), (), np.ascontiguousarray(decoded[:170, :200]), decoded)
    (row,) = accounting_rows(original, [coded])
    zeros = np.zeros((192, 256, 3), np.uint8)
    zeros[:170, :200] = original
    assert row["ms_ssim"] == ms_ssim(Picture(original), Picture(coded.picture))
    assert row["ms_ssim_as_published"] == ms_ssim(Picture(zeros), Picture(decoded))
    assert row["bpp_as_published"] == 8 * 999 / (192 * 256)


def test_the_prior_alone_sees_no_symbol(codec: DiffIcmh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other symbols of y: c and the controlled sample change, what the prior invents does not."""
    image, point = make_picture(64, 64), parse_spec("diff-icmh:rate=2,steps=3")
    stream = codec.encode(image, rate=2)
    before, how = diffusion.prior_samples("cat", image, stream, point, codec)
    assert how == {"sampler": "ddim", "steps": 3, "guidance": 1.0}
    kinds = [(sample.kind, sample.tags, sample.draw) for sample in before]
    assert kinds == [
        ("c alone", SEEN, None),
        ("controlled", SEEN, 0),
        ("prior alone", SEEN, 0),
        ("prior alone", SEEN, 1),
        ("prior alone", (), 0),
    ]
    assert len({sample.picture.tobytes() for sample in before}) == 5
    read = DiffICMHModel.read

    def planted(self: DiffICMHModel, parsed: Any) -> Symbols:
        symbols = read(self, parsed)
        return replace(symbols, y_hat=symbols.y_hat + 3)

    monkeypatch.setattr(DiffICMHModel, "read", planted)
    after, _ = diffusion.prior_samples("cat", image, stream, point, codec)
    for old, new in zip(before, after, strict=True):
        same = old.kind == "prior alone"
        assert np.array_equal(old.picture, new.picture) == same, old.kind
    other, _ = diffusion.prior_samples("dog", image, stream, point, codec)
    assert not np.array_equal(other[2].picture, after[2].picture)


def test_figures_of_an_image(tmp_path: Path, codec: DiffIcmh) -> None:
    """Both figures in all formats, with every number of the table and the tags in their text."""
    family = make_family({"rate": [3, 1], **STEPS})
    record, streams = make_shard(tmp_path, codec, family)
    drawn = draw_image("photos", record, tmp_path, streams, family, codec, here(codec))
    assert [row["dataset"] for row in drawn.rows] == ["photos", "photos"]
    rates = [dict(parse_spec(row["codec"]).encode)["rate"] for row in drawn.rows]
    assert rates == [1, 3]
    text = words(drawn.rates)
    pictures = [axes.images[0].get_array() for axes in drawn.rates.axes]
    assert len(pictures) == 3
    np.testing.assert_array_equal(pictures[0], make_picture(HEIGHT, WIDTH))
    for row, shown in zip(drawn.rows, pictures[1:], strict=True):
        assert f"{row['bpp']:.4f} bpp · PSNR {row['psnr_rgb']:.2f} dB" in text
        assert f"{row['bytes']:,} bytes" in text
        point = parse_spec(row["codec"])
        np.testing.assert_array_equal(shown, here(codec)(family, streams, point, "cat"))
    assert text.index("rate 1") < text.index("rate 3")
    assert len(drawn.alone.axes) == 6
    assert "no tags, noise 1" in words(drawn.alone)
    assert "rate 1 of mine" in words(drawn.alone).replace("\n", " ")
    for name, figure in (("rates", drawn.rates), ("alone", drawn.alone)):
        svg, pdf, png = save(figure, tmp_path / name)
        assert ", ".join(SEEN) in svg.read_text()  # as a comment beside the outlines
        assert pdf.stat().st_size > 1000
        assert png.stat().st_size > 1000
    write_csv(pd.DataFrame(drawn.rows, columns=list(COLUMNS)), tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv")
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 2


def test_what_cannot_be_drawn_is_said(tmp_path: Path, codec: DiffIcmh) -> None:
    family = make_family({"rate": 1, **STEPS})
    record, streams = make_shard(tmp_path, codec, family)

    def reason(record: Record, streams: Path = streams, family: CodecEntry = family) -> str:
        drawn = draw_image("photos", record, tmp_path, streams, family, codec, here(codec))
        assert drawn.rows == []
        assert words(drawn.rates).split("\n", 1)[1] == words(drawn.alone).split("\n", 1)[1]
        return words(drawn.rates)

    assert "refused: too small" in reason(Record("x", "x.png", status="too small"))
    missing = make_family({"rate": 2})
    assert "no point with the default tags" in reason(record, family=missing)
    point = family.points[0]
    damaged = bytearray(diffusion.stored_stream(streams, point, "cat") or b"")
    damaged[-5] ^= 4
    with archive.create(tmp_path / "bad.zip") as out:
        out.add(archive.stream_member(point.encoding, "cat", "icb"), bytes(damaged))
    assert "does not decode" in reason(record, tmp_path / "bad.zip")


def test_sheets_refuse_what_does_not_belong() -> None:
    image = make_picture(40, 40)
    with pytest.raises(MeasurementError, match="original's size"):
        picture_sheet([Panel(image, "a"), Panel(image[:30], "b")], title="t", note="n")
    with pytest.raises(MeasurementError, match="at least one"):
        diffusion_rates(image, [], title="t")
    with pytest.raises(MeasurementError, match="at least one"):
        prior_alone(image, [], title="t", file="f", how={})


def test_published_parameters(whole: Networks) -> None:
    """The published configuration has the published number of parameters, network by network."""
    parts = part_parameters(whole)
    assert parts["prior UNet"] == COUNTS["model.diffusion_model."]
    assert parts["control"] == COUNTS["control_model."]
    assert parts["autoencoder"] == COUNTS["first_stage_model."]
    sides = ("codec, encoder side", "entropy model", "codec, decoder side")
    assert sum(parts[side] for side in sides) == COUNTS["preprocess_model."]


@needs(FIXTURE)
def test_published_counts_are_those_of_the_checkpoint() -> None:
    """Its elements without buffers; the stated numbers are whole groups of it."""
    told = json.loads(FIXTURE.read_text())
    for prefix, count in COUNTS.items():
        found = 0
        for name, shape in told["keys"][prefix].items():
            if prefix + name in told["buffers"] or name in told["buffers"]:
                continue
            found += math.prod(shape if all(isinstance(n, int) for n in shape) else shape[0])
        assert found == count, prefix
    counts = told["counts"]
    assert counts["cond_stage_model."]["elements"] == complexity.PUBLISHED_TEXT


def test_multiply_adds_by_hand() -> None:
    """A convolution, a transposed one, a linear layer and attention, each alone."""
    with torch.device("meta"):
        image = torch.zeros(1, 3, 10, 12)
        assert counted(lambda: torch.nn.Conv2d(3, 5, 3, padding=1)(image)) == 120 * 27 * 5
        enlarge = torch.nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1)
        assert counted(lambda: enlarge(image)) == 120 * 3 * 5 * 16
        assert counted(lambda: torch.nn.Linear(12, 7)(image)) == 30 * 12 * 7
        q, k = torch.zeros(1, 2, 50, 8), torch.zeros(1, 2, 20, 8)
        attend = torch.nn.functional.scaled_dot_product_attention
        assert counted(lambda: attend(q, k, k)) == 2 * (2 * 50 * 20 * 8)


def test_published_rows_add_up(whole: Networks) -> None:
    """Totals are sums of their stages; a step is two evaluations of both networks."""
    rows = list(complexity_rows(PUBLISHED, whole, 64))
    gmac = {(row["part"], row["stage"]): row["gmac"] for row in rows if row["stage"]}
    both = gmac["prior UNet", "network evaluation"] + gmac["control", "network evaluation"]
    assert gmac[ALL, SAMPLING_STEP] == pytest.approx(2 * both)
    for steps in (8, 50):
        assert gmac[ALL, f"sampling, {steps} steps"] == pytest.approx(2 * steps * both)
    once = {stage: value for (_, stage), value in gmac.items()}
    assert gmac[ALL, DECODE] == pytest.approx(sum(once[stage] for stage in DECODING))
    known = [once[stage] for stage in ENCODING if stage in once]
    assert len(known) == len(ENCODING)
    assert gmac[ALL, ENCODE] == pytest.approx(sum(known))
    larger = {
        (row["part"], row["stage"]): row["gmac"]
        for row in complexity_rows(PUBLISHED, whole, 128)
        if row["stage"]
    }
    analysis = ("codec, encoder side", "analysis")
    assert larger[analysis] == pytest.approx(4 * gmac[analysis])  # convolutions alone


def test_complexity_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every measured stage has seconds, parts have the parameters of their files."""
    monkeypatch.setattr(complexity, "peak_memory", lambda *_: 7.0)
    folder = tiny_icmh_models() / "diff-icmh"
    table = complexity_table(folder, "cpu", size=64, repeats=1)
    assert list(table.columns) == list(complexity.COLUMNS)
    own = table[table["model"] == "diff-icmh"]
    parts = own[own["stage"] == ""].set_index("part")["parameters"]
    sizes = {
        name: sum(
            tensor.numel()
            for key, tensor in load_network(folder / f"{name}.safetensors")[0].items()
            if "running_" not in key  # statistics of the norms, no parameters
        )
        for name in ("autoencoder", "prior", "control", "codec", "tagger")
    }
    assert parts["autoencoder"] == sizes["autoencoder"]
    assert parts["prior UNet"] + parts["tag embedder"] == sizes["prior"]
    assert parts["control"] == sizes["control"]
    assert parts["tagger"] == sizes["tagger"]
    sides = ["codec, encoder side", "entropy model", "codec, decoder side"]
    assert parts[sides].sum() == sizes["codec"]
    stages = own[own["seconds"].notna()].set_index("stage")
    assert set(stages.index) == {*ENCODING, *DECODING, SAMPLING_STEP, ENCODE, DECODE}
    assert stages.loc[ENCODE, "seconds"] == pytest.approx(stages.loc[list(ENCODING)].seconds.sum())
    assert (stages["gmac"] > 0).all()
    assert stages["peak_mb"].dropna().to_dict() == {ENCODE: 7.0, DECODE: 7.0}
    other = table[table["model"] == PUBLISHED]
    assert other["seconds"].isna().all()
    assert other["peak_mb"].isna().all()
    write_csv(table, tmp_path / "complexity.csv")
    assert "nan" not in (tmp_path / "complexity.csv").read_text()
    with pytest.raises(MeasurementError, match="multiple of 64"):
        complexity_table(folder, "cpu", size=100)


def test_peak_memory_is_the_child_s_own() -> None:
    """A decoding process; what this one holds does not count, as it would with `ru_maxrss`."""
    folder = tiny_icmh_models() / "diff-icmh"
    _, stream = stage_seconds(DiffICMHModel(folder, "cpu"), 64, 1)
    held = np.ones(1_500_000_000, np.uint8)
    assert 100 < peak_memory(folder, "cpu", 64, stream) < held.nbytes / 1e6


def test_complexity_figure(tmp_path: Path) -> None:
    seconds = dict(
        zip((*ENCODING, *DECODING), (0.3, 0.01, 0.1, 0.2, 0.2, 0.05, 2.0, 1.0), strict=True)
    )
    rows = [
        {"model": "diff-icmh", "stage": stage, "seconds": value, "device": "cpu"}
        for stage, value in seconds.items()
    ]
    rows.append({"model": PUBLISHED, "stage": "latent", "seconds": math.nan, "device": ""})
    rows.append(
        {"model": "diff-icmh", "stage": DECODE, "seconds": 3.25, "device": "cpu", "peak_mb": 1234.0}
    )
    table = pd.DataFrame(rows, columns=list(complexity.COLUMNS)).assign(size="512x512")
    figure = complexity_figure(table, title="seconds")
    (axes,) = figure.axes
    widths = sorted(patch.get_width() for patch in axes.patches)
    np.testing.assert_allclose(widths, sorted(seconds.values()))
    text = words(figure) + "".join(t.get_text() for t in axes.texts)
    assert f"{DECODE}: 1,234" in text.replace("\n", " ")
    assert "3.25 s" in text
    legends = [t.get_text() for legend in figure.legends for t in legend.get_texts()]
    assert f"{SAMPLING}: 2 s" in legends
    assert all(path.stat().st_size for path in save(figure, tmp_path / "complexity"))
    nothing = complexity_figure(table[table["model"] == PUBLISHED], title="seconds")
    assert "no stage was measured" in words(nothing)
