"""The zoo's codecs in a run: weights that are missing, fetched, imported or given."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import ROOT, make_picture
from running import snakemake, succeed
from tiny_zoo import QUALITY, learned, published, tiny_zoo_models, write_checkpoint

from icmbench.codecs.zoo.published import FACTORIZED, HYPERPRIOR, MEAN, NAMES
from icmbench.config.fetching import wanted_sources
from icmbench.config.load import complete
from icmbench.config.plan import Plan
from icmbench.config.run import announcements, make_run
from icmbench.config.weights_names import curve_names
from icmbench.core.errors import ConfigError
from icmbench.core.images.image_files import write_png

BASE: dict[str, Any] = {
    "datasets": {"scenes": {"test": 2, "size": 96}},
    "codecs": {
        "jpeg": {"points": [{"quality": [10, 50]}]},
        HYPERPRIOR: {"points": [{"quality": QUALITY}]},
    },
    "metrics": ["psnr_rgb"],
    "robustness": {"trials": 0},
}


def own_sources(folder: Path, *codecs: str) -> dict[str, Any]:
    """Keys of a configuration whose downloads hold small checkpoints of codecs."""
    entries = {}
    for codec in codecs:
        state = published(codec, learned(codec))
        path = write_checkpoint(folder / "downloads" / codec, codec, state)
        file = {"name": path.name, "sha256": path.name[-16:-8], "urls": ["https://x.org/a"]}
        about = {"title": codec, "licence": "none", "homepage": "https://x.org/", "files": [file]}
        entries[codec] = about
    sources = folder / "sources.yaml"
    sources.write_text(yaml.safe_dump(entries), encoding="utf-8")
    return {"downloads": str(folder / "downloads"), "sources": str(sources)}


def test_an_entry_without_weights_is_left_out(tmp_path: Path) -> None:
    """It is announced with the command, what refers to it is left out, and the rest goes on."""
    config = {**BASE, "downloads": str(tmp_path), "anchors": ["jpeg", HYPERPRIOR]}
    run = make_run(config)
    assert list(run.codecs) == ["jpeg"]
    assert run.config["anchors"] == ["jpeg"]
    line = announcements(run)[0]
    assert line.startswith(f"unavailable: {HYPERPRIOR}: codec entry {HYPERPRIOR}: no weights of ")
    assert f"mse-{QUALITY} in {tmp_path}: run `icmbench fetch " in line
    assert line.endswith(f" {HYPERPRIOR}`")
    given = announcements(make_run({**config, "models": str(tmp_path)}))[0]
    assert f"then `icmbench import-zoo downloads/{HYPERPRIOR}/*.pth.tar --out {tmp_path}`" in given


def test_wrong_points_are_one_problem(tmp_path: Path) -> None:
    codecs = {"jpeg": BASE["codecs"]["jpeg"], MEAN: {"points": [{"quality": 9}]}}
    with pytest.raises(ConfigError, match=r"^codecs\.mbt2018-mean: .*quality=9: .* 1 to 8"):
        make_run({**BASE, "codecs": codecs, "downloads": str(tmp_path)})


def test_fetched_weights_are_imported(tmp_path: Path) -> None:
    """The files of the points that are used, and no model is trained or copied for them."""
    config = {**BASE, **own_sources(tmp_path, HYPERPRIOR), "results": "out"}
    run = make_run(config)
    plan = Plan(run)
    member = f"out/models/{HYPERPRIOR}/mse-{QUALITY}"
    names = ("codec.safetensors", "tables.safetensors", "card.json")
    parts = [f"{member}/{name}" for name in names]
    assert plan.model_files(HYPERPRIOR) == parts
    assert plan.model_files("jpeg") == []
    assert list(plan.zoo_imports) == [(HYPERPRIOR, f"mse-{QUALITY}")]
    assert not plan.makes_models
    assert not any(run.training.trained.values())
    assert curve_names(run) == {HYPERPRIOR: f"{HYPERPRIOR} (published weights)"}
    both = {**config, "codecs": {**config["codecs"], "mpd": {"points": [{"state": [1, 0]}]}}}
    plan = Plan(make_run(both))
    assert plan.makes_models
    assert plan.model_files(HYPERPRIOR) == parts
    assert all("models/mpd/" in path for path in plan.model_files("mpd"))


def test_given_models_are_taken_as_they_are() -> None:
    codecs = {name: {"points": [{"quality": QUALITY}]} for name in NAMES}
    run = make_run({**BASE, "codecs": codecs, "models": str(tiny_zoo_models())})
    plan = Plan(run)
    assert list(run.codecs) == list(NAMES)
    assert plan.zoo_imports == {}
    for name in NAMES:
        assert all(Path(path).is_file() for path in plan.model_files(name))
        assert len(plan.model_files(name)) == 3


def test_fetching_for_a_configuration(tmp_path: Path) -> None:
    """Sources of the entries, unless their models are given."""
    filled = complete({**BASE, "downloads": str(tmp_path)})
    assert HYPERPRIOR in {source.name for source, _ in wanted_sources(filled)}
    filled = complete({**BASE, "models": str(tiny_zoo_models())})
    assert HYPERPRIOR not in {source.name for source, _ in wanted_sources(filled)}


def test_kodak_lists_every_quality() -> None:
    entries = yaml.safe_load((ROOT / "configs" / "kodak.yaml").read_text("utf-8"))["codecs"]
    assert all(entries[name] == {"points": [{"quality": [*range(1, 9)]}]} for name in NAMES)


@pytest.mark.slow
@pytest.mark.workflow
def test_a_run_imports_and_codes(tmp_path: Path) -> None:
    """Rows of the codec with weights; the one without is announced; nothing to do afterwards."""
    write_png(tmp_path / "images" / "i.png", make_picture(80, 100))
    points = {"points": [{"quality": QUALITY}]}
    config = {
        **BASE,
        **own_sources(tmp_path, FACTORIZED, MEAN),
        "datasets": {"mine": {"type": "folder", "path": str(tmp_path / "images")}},
        "codecs": {**BASE["codecs"], FACTORIZED: points, "mean": {"codec": MEAN, **points}},
        "anchors": ["jpeg"],
    }
    done = snakemake(tmp_path, config)
    text = succeed(done)
    assert f"unavailable: {HYPERPRIOR}: " in text
    rd = pd.read_csv(tmp_path / "results" / "tables" / "rd.csv")
    assert set(rd["family"]) == {"jpeg", FACTORIZED, "mean"}
    assert (rd["images"] == 1).all()
    card = tmp_path / "results" / "models" / MEAN / f"mse-{QUALITY}" / "card.json"
    assert "BSD-3-Clause-Clear" in card.read_text("utf-8")
    report = (tmp_path / "results" / "report.html").read_text("utf-8")
    assert f"no weights of mse-{QUALITY}" in report
    assert re.search("nothing to be done", succeed(snakemake(tmp_path, config)), re.I)


def test_the_check_against_published_points(tmp_path: Path) -> None:
    """`tools/check_zoo.py`: published values pass, others fail, and so does a table without any."""
    tool = [sys.executable, str(ROOT / "tools" / "check_zoo.py"), str(tmp_path / "rd.csv")]
    line = f'kodak,"{HYPERPRIOR}:quality=3",{HYPERPRIOR},24'
    # Of quality 3: 0.319858 bpp, 30.9644 dB.
    cases = {(0.3200, 30.97): 0, (0.3240, 30.97): 1, (0.3200, 30.94): 1}
    for (bpp, decibels), status in cases.items():
        text = f"dataset,codec,family,images,bpp,psnr_rgb\n{line},{bpp},{decibels}\n"
        (tmp_path / "rd.csv").write_text(text, encoding="utf-8")
        done = subprocess.run(tool, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == status, done.stdout + done.stderr
        assert ("FAR" in done.stdout) == bool(status)
    (tmp_path / "rd.csv").write_text("dataset,codec,bpp,psnr_rgb\nkodak,jpeg,1,30\n", "utf-8")
    done = subprocess.run(tool, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, "no point of" in done.stdout) == (1, True)
