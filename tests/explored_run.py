"""A small run to explore: tables by hand, and an image coded and decoded by two real codecs."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import skimage.data

from icmbench.codecs.registry import codec_class
from icmbench.metrics import METRICS
from icmbench.reporting.catalogue import EXPLORED
from icmbench.reporting.figures.rd_curves import rd_curves
from icmbench.reporting.figures.style import save
from icmbench.reporting.figures.visual import Entry
from icmbench.reporting.report.explorer import Explorer, make_explorer
from icmbench.reporting.report.page import build_report
from icmbench.reporting.report.pictures import ReportFigure
from icmbench.studies.visuals import Matched, write_viewer_images

METRIC_NAMES = ("psnr_rgb", "gmsd")
SHOWN = [METRICS[name] for name in METRIC_NAMES]
HOSTILE = "<i>MPD</i></script>"


def rd_table() -> pd.DataFrame:
    """Two data sets; `jpeg:quality=50` is beaten by `jpeg:quality=30`, one point is hollow."""
    points = [
        ("jpeg:quality=10", "jpeg", 0.25, 27.0, 0.15),
        ("jpeg:quality=30", "jpeg", 0.50, 30.5, 0.08),
        ("jpeg:quality=50", "jpeg", 0.80, 30.0, 0.09),
        ("jpeg:quality=90", "jpeg", 2.20, 37.0, 0.02),
        ("webp:quality=20", "webp", 0.20, 28.5, 0.10),
        ("webp:quality=80,scale=0.5", "webp", 0.40, 29.9, 0.06),
        ("webp:quality=80", "webp", 1.10, 35.5, 0.03),
        ("identity", "identity", 13.5, np.inf, 0.0),
    ]
    rows = [
        {"dataset": dataset, "codec": codec, "family": family, "images": 3, "failed": 0,
         "bpp": bpp * more, "bpp_lo": bpp * 0.9, "bpp_hi": bpp * 1.1,
         "psnr_rgb": psnr, "psnr_rgb_lo": psnr - 1, "psnr_rgb_hi": psnr + 1.5,
         "gmsd": gmsd, "gmsd_lo": gmsd * 0.9, "gmsd_hi": gmsd * 1.1}
        for dataset, more in (("photos", 1), ("scenes", 2))
        for codec, family, bpp, psnr, gmsd in points
    ]  # fmt: skip
    return pd.DataFrame(rows)


def timing_table() -> pd.DataFrame:
    """Seconds of three points on half a megapixel."""
    named = (("jpeg:quality=10", 0.01), ("jpeg:quality=90", 0.02), ("webp:quality=20", 0.1))
    rows = [
        {"dataset": "photos", "family": codec.partition(":")[0], "codec": codec, "device": "cpu",
         "images": 3, "megapixels": 0.5, "encode_s": seconds, "encode_s_spread": seconds / 5,
         "decode_s": seconds / 10, "decode_s_spread": seconds / 50}
        for codec, seconds in named
    ]  # fmt: skip
    return pd.DataFrame(rows)


def tasks_table() -> pd.DataFrame:
    """A task on one data set, with its score on the originals."""
    rows = [
        {"dataset": "scenes", "codec": codec, "family": codec.partition(":")[0],
         "task": "segmentation", "model": "Fast-SCNN", "metric": "miou", "value": value,
         "lo": value - 0.05, "hi": value + 0.05, "ceiling": 0.7, "images": 3, "failed": 0,
         "bpp": bpp, "device": "cpu", "status": "ok", "note": ""}
        for codec, bpp, value in (("jpeg:quality=10", 0.5, 0.3), ("jpeg:quality=90", 4.4, 0.69),
                                  ("webp:quality=20", 0.4, 0.4), ("webp:quality=80", 2.2, 0.65))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def published_table() -> pd.DataFrame:
    """Points of others, of one metric of one data set; their words are not to be trusted."""
    rows = [
        {"codec": "VTM", "dataset": "photos", "task": "", "metric": "psnr_rgb", "bpp": bpp,
         "value": value, "source": HOSTILE, "how_read": "table 2", "bits": "estimated"}
        for bpp, value in ((0.3, 32.0), (0.9, 36.0))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def matched(size: int = 128, left: int = 150) -> Matched:
    """A part of a photograph, coded and decoded by WebP and JPEG."""
    original = np.ascontiguousarray(skimage.data.astronaut()[:size, left : left + size])
    rows, entries = [], []
    for number, (name, quality) in enumerate((("jpeg", 10), ("webp", 20))):
        codec = codec_class(name)()
        stream = codec.encode(original, quality=quality)
        rate, psnr, spec = 8 * len(stream) / size**2, 25.5 + number, f"{name}:quality={quality}"
        entries.append(Entry(name, spec, rate, psnr, codec.decode(stream)))
        rows.append({"psnr_rgb": psnr, "gmsd": 0.2, "ssim": np.nan})
    return Matched("photos", "astronaut", 0.8, original, rows, entries, ["mpd"])


def archived(path: Path) -> dict[str, np.ndarray]:
    """The images of an archive of the viewer by codec entry."""
    from PIL import Image

    with zipfile.ZipFile(path) as source:
        content = json.loads(source.read("comparison.json"))
        files = {"original": "original.png"}
        files |= {entry["family"]: entry["file"] for entry in content["entries"]}
        return {
            name: np.asarray(Image.open(source.open(file)).convert("RGB"))
            for name, file in files.items()
        }


def explorer(archives: list[Path]) -> Explorer:
    """Charts and viewer of the tables above."""
    tables = {"rd": rd_table(), "timing": timing_table(), "tasks": tasks_table(),
              "published": published_table()}  # fmt: skip
    names = {"jpeg": "JPEG & co"}
    families = rd_table()["family"]
    return make_explorer(
        tables, SHOWN, sections=EXPLORED, families=families, names=names, archives=archives
    )


def build(folder: Path) -> Path:
    """The page, with one static figure that a chart replaces and one that none does."""
    archive = folder / "viewer" / "visual_0.zip"
    archive.parent.mkdir()
    write_viewer_images(matched(), archive)
    for name in ("rd_photos", "other"):
        save(rd_curves(rd_table(), "photos", SHOWN), folder / "figures" / name)
    no_failures = pd.DataFrame(
        columns=["dataset", "family", "codec", "status", "images", "first_image", "detail"]
    )
    out = folder / "report.html"
    build_report(
        out,
        title="A run to explore",
        tables={"rd": rd_table()},
        texts={},
        figures=[
            ReportFigure(folder / "figures/rd_photos.png", "RD", "Curves.", "x", EXPLORED[0]),
            ReportFigure(folder / "figures/other.png", "Other", "Curves.", "Others"),
        ],
        contact_sheets=[],
        provenance={},
        missing_metrics={},
        comparison_notes=[],
        failures=no_failures,
        metrics=SHOWN,
        explorer=explorer([archive]),
    )
    return out
