"""The framework's table: a ceiling, every state's file, the decoders' own pictures."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_picture
from tiny_model import tiny_models

from icmbench.codecs.mpd.codec import Mpd
from icmbench.metrics.picture import Picture
from icmbench.metrics.pixel import psnr_rgb
from icmbench.studies.framework import COLUMNS, framework_rows


def test_rows_are_what_the_decoders_show() -> None:
    codec = Mpd(models=tiny_models())
    image = make_picture(96, 120)
    stream = codec.encode(image)
    rows = list(framework_rows(codec.model, image, stream))
    assert [row["stage"] for row in rows] == ["latent"] + ["palette", "reverse"] * (8 + 6)
    assert all(set(row) <= set(COLUMNS) for row in rows)
    assert rows[0]["latent_mse"] == 0
    assert rows[-1]["bytes"] == len(stream)
    for row in rows[1:]:
        cut = codec.truncate(stream, state=row["state"])
        assert row["bytes"] == len(cut)
        assert row["bpp"] == pytest.approx(8 * len(cut) / (96 * 120))
        decoder = {"palette": "mean", "reverse": "regression"}[row["stage"]]
        shown = codec.decode(cut, decoder=decoder)
        assert row["psnr_rgb"] == psnr_rgb(Picture(image), Picture(shown))
    errors = [row["latent_mse"] for row in rows if row["stage"] == "palette"]
    assert np.all(np.diff(errors) <= 0)
