"""Names of the weights behind curves; lossless entries are recognised by their codec."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from icmbench.codecs.diff_icmh import model_folder as icmh
from icmbench.codecs.mpd import model_folder as mpd
from icmbench.config.run import make_run
from icmbench.config.weights_names import curve_names, parameters, weights_names
from icmbench.core.errors import ModelError
from icmbench.metrics import METRICS
from icmbench.models.tensors import load_arrays, save_arrays
from icmbench.reporting.figures.lossless import lossless
from icmbench.reporting.figures.matching import matched_rate
from icmbench.reporting.figures.rd_curves import rd_curves

BASE: dict[str, Any] = {
    "datasets": {"scenes": {"test": 2}},
    "metrics": ["psnr_rgb"],
    "codecs": {
        "jpeg": {"points": [{"quality": 10}]},
        "mpd": {"points": [{"state": 1}]},
        "guided": {"codec": "mpd", "points": [{"state": 1, "guide": "fft", "alpha": 0.3}]},
        "diff-icmh": {"points": [{"rate": 1}]},
    },
}


def test_bundled_weights_are_named_with_the_size_of_the_prior() -> None:
    names = curve_names(make_run(BASE))
    arrays, _ = load_arrays(icmh.part_file(icmh.bundled(), "prior"))
    size = sum(array.size for array in arrays.values())
    assert size == parameters(icmh.part_file(icmh.bundled(), "prior"))
    assert names == {
        "mpd": "MPD (bundled)",
        "guided": "guided (bundled)",
        "diff-icmh": f"Diff-ICMH (bundled, {round(size / 1e6)} M prior)",
    }
    assert names["diff-icmh"] == "Diff-ICMH (bundled, 2 M prior)"


def test_parts_that_this_run_trains_are_named(root: Path) -> None:
    """Of the entries that use them alone: features guide one of the two."""
    training = {"mpd": {"features": {"steps": 2}}, "diff_icmh": {"stage_2": {"steps": 2}}}
    found = weights_names(make_run({**BASE, "training": training}))
    assert found == {
        "mpd": "bundled",
        "guided": "bundled, features fine-tuned in this run",
        "diff-icmh": "bundled, codec fine-tuned in this run, 2 M prior",
    }
    micro = yaml.safe_load((root / "configs" / "micro.yaml").read_text())
    assert set(weights_names(make_run(micro)).values()) == {"trained in this run"}


def test_given_models_go_by_the_imported_file_or_the_folder(tmp_path: Path) -> None:
    codecs = {
        "mpd": BASE["codecs"]["mpd"],
        "other": {"codec": "diff-icmh", "points": [{"rate": 1}]},
    }
    home = tmp_path / "site-a"
    shutil.copytree(mpd.bundled(), home / "mpd")
    shutil.copytree(icmh.bundled(), home / "diff-icmh")
    shared = icmh.part_file(icmh.bundled(), "autoencoder")  # a given folder must hold it
    shutil.copy(shared, home / "diff-icmh" / shared.name)
    run = make_run({**BASE, "codecs": codecs, "models": str(home)})
    assert weights_names(run) == {"mpd": "site-a", "other": "site-a, 2 M prior"}
    path = icmh.part_file(home / "diff-icmh", "codec")
    arrays, metadata = load_arrays(path)
    save_arrays(path, arrays, {**metadata, "provenance": {"source": "official_2.ckpt"}})
    assert curve_names(run)["other"] == "other (official_2.ckpt, 2 M prior)"
    (home / "mpd" / "autoencoder.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="not a safetensors file"):
        parameters(home / "mpd" / "autoencoder.safetensors")
    assert weights_names(run)["mpd"] == "site-a"  # the job that reads it names the damage


def table(*rows: tuple[str, str, float, float]) -> pd.DataFrame:
    found = [
        {
            "dataset": "d", "family": family, "codec": codec, "images": 3, "failed": 0,
            "bpp": bpp, "psnr_rgb": psnr, "psnr_rgb_lo": psnr, "psnr_rgb_hi": psnr,
        }
        for family, codec, bpp, psnr in rows
    ]  # fmt: skip
    return pd.DataFrame(found)


ROWS = (
    ("png", "identity", 13.0, np.inf),
    ("exact", "plug-in:level=1", 9.0, np.inf),
    ("exact", "plug-in:level=9", 8.0, np.inf),
    ("identity", "webp:quality=9", 0.3, 30.0),  # an entry may have any name
    ("identity", "webp:quality=90", 2.0, np.inf),
)


def test_lossless_entries_are_recognised_by_the_codec() -> None:
    rows = table(*ROWS)
    assert list(lossless(rows)) == [True, True, True, False, False]
    assert list(lossless(rows.drop(columns="psnr_rgb"))) == [True, False, False, False, False]
    figure = rd_curves(rows, "d", [METRICS["psnr_rgb"]], {"identity": "WebP (by name)"})
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["WebP (by name)"]
    words = " ".join(" ".join(text.get_text() for text in figure.texts).split())
    assert "Lossless PNG (png): 13.00 bpp, not drawn." in words
    assert "Lossless (exact): 9.00 bpp, not drawn." in words


def test_a_picture_is_compared_with_entries_of_any_name() -> None:
    rows = table(*ROWS).assign(image="i", status="ok")
    assert list(matched_rate(rows, "d", "i", 0.3)["family"]) == ["identity"]
    assert "png" not in set(matched_rate(rows, "d", "i", 13.0)["family"])
