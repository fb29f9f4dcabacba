"""Published points that ship: sources, values, and files of points that are wrong."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from official import REAL, needs
from PIL import Image as PillowImage

from icmbench.core.errors import MeasurementError
from icmbench.core.images.image_files import read_image
from icmbench.metrics import METRICS
from icmbench.metrics.meter import Meter
from icmbench.reporting.citations.bibtex import FOLDER
from icmbench.reporting.published.overlay import SETS
from icmbench.reporting.published.points import COLUMNS, read_points, shipped, shipped_points

HOME = ROOT / "reference" / "published"
RD = REAL / "rd"
# Curves that are trained or built for fidelity: quality grows with rate.
FIDELITY = ("compressai-conventional", "compressai-learned", "compressai-papers", "cool-chic")


def series(**wanted: str) -> dict[str, list[tuple[float, float]]]:
    """Rates and values by metric, of the shipped points with these names."""
    found = defaultdict(list)
    for point in shipped_points():
        if all(getattr(point, name) == value for name, value in wanted.items()):
            found[point.metric].append((point.bpp, point.value))
    return {metric: sorted(pairs) for metric, pairs in found.items()}


def assert_series(found: Sequence[tuple[float, float]], rates: Any, values: Any) -> None:
    """Equal within the six digits of the tables."""
    order = sorted(zip(rates, values, strict=True))
    assert len(found) == len(order)
    np.testing.assert_allclose(found, order, rtol=6e-6)


# ----- the files that ship


def test_the_shipped_files_are_those_of_the_reference_folder() -> None:
    assert [path.name for path in shipped()] == sorted(p.name for p in HOME.glob("*.csv"))
    assert len(shipped_points()) > 2500
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packaged = {p for g in patterns["package-data"]["icmbench"] for p in ROOT.glob(f"icmbench/{g}")}
    data = {p for p in ROOT.glob("icmbench/**/*") if p.is_file() and p.suffix != ".py"}
    data -= {*ROOT.glob("icmbench/**/__pycache__/**/*")}
    assert FOLDER / "citations.bib" in data
    assert {*shipped(), *data} <= packaged  # programs, weights, references, parts of pages


def test_a_curve_is_of_one_source() -> None:
    found: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for point in shipped_points():
        found[point.codec, point.dataset, point.metric].add(point.source)
    assert {key: sources for key, sources in found.items() if len(sources) > 1} == {}
    rates = defaultdict(list)
    for point in shipped_points():
        rates[point.codec, point.dataset, point.metric].append(point.bpp)
    assert all(len(set(values)) == len(values) for values in rates.values())


def test_the_readme_names_every_file_repository_set_and_metric() -> None:
    page = (HOME / "README.md").read_text(encoding="utf-8")
    for path in shipped():
        assert f"`{path.name}`" in page
        for point in read_points(path):
            assert point.source.split(" ")[0] in page
            assert f"`{point.dataset}`" in page
            metric = point.metric.partition(":")[0]
            known = {*METRICS, "fid", "kid", "box_map", "mask_map"}
            assert metric in known or f"`{metric}`" in page
    assert {name for name, _ in SETS.values()} <= {p.dataset for p in shipped_points()}


def test_values_are_possible_and_grow_with_the_rate_where_they_should() -> None:
    limits = {"psnr_rgb": (8, 60), "ms_ssim": (0.1, 1), "lpips": (0, 1), "box_map": (0.3, 0.4)}
    for point in shipped_points():
        low, high = limits.get(point.metric.partition(":")[0], (-1, 200))
        assert low < point.value < high, point
    for name in FIDELITY:
        curves = defaultdict(list)
        for point in read_points(HOME / f"{name}.csv"):
            curves[point.codec, point.dataset, point.metric].append((point.bpp, point.value))
        for key, pairs in curves.items():
            values = [value for _, value in sorted(pairs)]
            assert all(a < b for a, b in itertools.pairwise(values)), key
    illm = [value for _, value in series(codec="MS-ILLM", dataset="kodak")["lpips"]]
    assert illm == sorted(illm, reverse=True)


def test_numbers_that_the_issue_gives() -> None:
    """Typed from its text, not from the files."""
    given = {
        "AEIC-ME": ((0.0056, 0.0101, 0.0168, 0.0260, 0.0376), {
            "psnr_rgb": (20.00, 21.07, 22.04, 22.77, 23.30),
            "ms_ssim_y": (0.637, 0.703, 0.760, 0.802, 0.832),
            "lpips": (0.311, 0.244, 0.198, 0.164, 0.143),
            "dists_full": (0.140, 0.116, 0.101, 0.0877, 0.0821),
        }),
        "StableCodec": ((0.00579, 0.01083, 0.02026, 0.03413), {
            "psnr_rgb": (20.27, 21.31, 22.30, 23.01),
            "lpips": (0.310, 0.244, 0.195, 0.166),
            "dists_full": (0.152, 0.125, 0.103, 0.092),
        }),
    }  # fmt: skip
    for codec, (rates, metrics) in given.items():
        for metric, values in metrics.items():
            pairs = series(codec=codec, dataset="kodak")[metric]
            for bpp, value in zip(rates, values, strict=True):
                _, found = min(pairs, key=lambda pair: abs(pair[0] - bpp))
                assert found == pytest.approx(value, rel=5e-3), (codec, metric, bpp)
    vtm = {
        name: series(codec="VTM-12.1", dataset=name)["psnr_rgb"]
        for name in ("clic2020-professional-valid", "tecnick")
    }
    for pairs, wanted in zip(
        vtm.values(), ([(0.1129, 31.27), (0.1532, 32.28)], [(0.1168, 31.38), (0.1439, 32.09)]),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(pairs[:2], wanted, rtol=5e-4)
    assert_series(
        series(codec="SA-ICM")["box_map:faster-rcnn_r50_fpn_1x_coco"],
        (0.149, 0.179, 0.205, 0.227, 0.244), (0.332, 0.343, 0.350, 0.353, 0.357),
    )  # fmt: skip
    bits = {p.codec: p.bits for p in shipped_points()}
    assert (bits["AEIC-ME"], bits["StableCodec"]) == ("not stated", "real")


@needs(RD)
def test_numbers_are_those_of_compressai() -> None:
    folder = RD / "compressai" / "image"
    names = {"psnr-rgb": "psnr_rgb", "ms-ssim-rgb": "ms_ssim", "ms-ssim-db-rgb": "ms_ssim"}
    sources = defaultdict(dict)
    for point in shipped_points():
        head, _, path = point.source.partition(" results/image/")
        if head == "InterDigitalInc/CompressAI":
            assert point.dataset in path
            sources[path].setdefault(point.metric, []).append((point.bpp, point.value))
    assert len(sources) == 76
    for path, metrics in sources.items():
        results = json.loads((folder / path).read_text())["results"]
        known = {key: values for key, values in results.items() if key in names}
        assert {names[key] for key in known} == {*metrics}
        for key, values in known.items():
            raw = [1 - 10 ** (-v / 10) for v in values] if "-db-" in key else values
            assert_series(sorted(metrics[names[key]]), results["bpp"], raw)


@needs(RD)
def test_numbers_are_those_of_the_other_files() -> None:
    columns = {"psnr": "psnr_rgb", "lpips": "lpips", "dists": "dists_full", "ms_ssim": "ms_ssim"}
    with (RD / "neuralcompression_illm" / "results.csv").open() as file:
        rows = [
            r for r in csv.DictReader(file) if (r["model"], r["dataset"]) == ("MS-ILLM", "kodak")
        ]
    found = series(codec="MS-ILLM", dataset="kodak")
    for column, metric in columns.items():
        values = ([float(r[name]) for r in rows] for name in ("bpp", column))
        assert_series(found[metric], *values)
    for version, codec in (("v5.0", "Cool-Chic 5.0"), ("v4.2", "Cool-Chic 4.2")):
        table = pd.read_csv(RD / "cool_chic" / version / "image-kodak.tsv", sep="\t")
        means = table.groupby("lmbda")[["rate_bpp", "psnr_db"]].mean()
        found = series(codec=codec, dataset="kodak")
        assert_series(found["psnr_rgb"], means["rate_bpp"], means["psnr_db"])
    lines = (RD / "diffeic" / "results_flat.csv").read_text().splitlines()
    start = lines.index("Kodak,HiFiC" + "," * 15)
    cells = [line.split(",")[2:9] for line in lines[start + 1 : start + 4]]
    hific = np.array(cells, dtype=float).T
    found = series(codec="HiFiC (DiffEIC)", dataset="kodak")
    for row, metric in enumerate(("lpips", "ms_ssim", "niqe_diffeic", "psnr_rgb", "dists_full"), 1):
        assert_series(found[metric], hific[0], hific[row])
    count = sum(bool(re.match(r"[^,]+,[^,]+,0\.", line)) for line in lines)
    assert len({(p.codec, p.dataset, p.bpp) for p in read_points(HOME / "diffeic.csv")}) == count
    for name, codec in (
        ("vtm_scale_100", "VTM (VCM anchor)"),
        ("bmshj2018_factorized", "bmshj2018-factorized (CompressAI-Vision)"),
    ):
        paths = (RD / "compressai_vision_vcm" / "interdigital" / name).glob("*.json")
        files = [json.loads(path.read_text()) for path in paths]
        ((_, pairs),) = series(codec=codec).items()
        assert_series(pairs, [f["bpp"][0] for f in files], [f["map"][0] for f in files])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "VTM,kodak,25,psnr_rgb,30,s,h,real",
            r"25 bits per pixel of 'VTM' is not between 0 and 24",
        ),
        ("VTM,kodak,0,psnr_rgb,30,s,h,real", "0 bits per pixel"),
        ("VTM,kodak,much,psnr_rgb,30,s,h,real", "bpp and value are numbers"),
        ("VTM,kodak,1,psnr_rgb,inf,s,h,real", "value of 'psnr_rgb' is inf"),
        ("VTM,kodak,1,psnr_rgb,30,s,h,some", "'some' is none of real, estimated, not stated"),
        ("VTM,,1,psnr_rgb,30,s,h,real", "dataset is empty"),
        ("VTM,kodak,1", "does not have 8 values"),
        ("VTM,kodak,1,psnr_rgb,30,s,h,real,more", "does not have 8 values"),
    ],
)
def test_a_wrong_line_is_one_sentence(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(",".join(COLUMNS) + f"\nJPEG,kodak,1,psnr_rgb,30,s,h,real\n{line}\n")
    with pytest.raises(MeasurementError, match=rf"mine\.csv:3: .*{message}") as raised:
        read_points(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("VTM,kodak,1,ms_ssim,15.3,s,h,real", r"above 1: in decibels \(1 - 10"),
        ("VTM,coco2017-val,1,box_map50:net,35.7,s,h,real", "above 1: in percent"),
        ("JPEG,kodak,1,psnr_rgb,30,s,h,real", r"the same as line 2"),
        (" ,kodak,1,psnr_rgb,30,s,h,real", "codec is empty"),
        ("V" * 61 + ",kodak,1,psnr_rgb,30,s,h,real", "longer than 60 characters"),
        ("V\x1b[31mTM,kodak,1,psnr_rgb,30,s,h,real", "holds a control character"),
        ('VTM,kodak,1,psnr_rgb,30,s,"h\ni",real', "holds a control character"),
        ("V" * 200_000 + ",kodak,1,psnr_rgb,30,s,h,real", "no CSV: field larger"),
    ],
)
def test_units_and_hostile_lines(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(",".join(COLUMNS) + f"\nJPEG,kodak,1,psnr_rgb,30,s,h,real\n{line}\n")
    with pytest.raises(MeasurementError, match=rf"mine\.csv:[234]: .*{message}"):
        read_points(path)


def test_values_above_one_that_are_right(tmp_path: Path) -> None:
    """And a file that a spreadsheet saved: with a byte order mark and carriage returns."""
    metrics = ("ssimulacra2", "ms_ssim_db", "psnr_rgb", "cvvdp", "niqe", "fid", "nme:fan")
    lines = [f"VTM,kodak,1,{name},9,s,,real" for name in metrics]
    path = tmp_path / "mine.csv"
    path.write_bytes(("\ufeff" + "\r\n".join([",".join(COLUMNS), *lines])).encode())
    assert [point.metric for point in read_points(path)] == [*metrics]
    path.write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(MeasurementError, match=r"mine\.csv: holds no point"):
        read_points(path)
    path.chmod(0)
    if not os.access(path, os.R_OK):
        with pytest.raises(MeasurementError, match=r"mine\.csv: Permission denied"):
            read_points(path)


@needs(REAL / "kodak")
def test_webp_with_pillows_defaults_is_the_published_curve() -> None:
    """Averages, PSNR and rates are counted as CompressAI counts them."""
    photos = [read_image(path)[0] for path in sorted((REAL / "kodak").glob("*.png"))]
    for number, quality in ((1, 10), (9, 50)):
        found = []
        for photo in photos:
            buffer = io.BytesIO()
            PillowImage.fromarray(photo).save(buffer, "WEBP", quality=quality)
            decoded = np.asarray(PillowImage.open(buffer).convert("RGB"))
            rate = 8 * len(buffer.getvalue()) / photo[..., 0].size
            found.append([rate, Meter(["psnr_rgb"])(photo, decoded)["psnr_rgb"]])
        wanted = series(codec="WebP", dataset="kodak")["psnr_rgb"][number]
        assert np.mean(found, axis=0) == pytest.approx(wanted, rel=1e-3)
