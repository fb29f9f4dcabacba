"""The autoencoder of Diff-ICMH: the bundled one, MPD's, or that of an imported prior."""

from __future__ import annotations

import copy
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from running import snakemake, succeed

from icmbench.codecs.diff_icmh import model_folder as icmh
from icmbench.codecs.diff_icmh.training.settings import SECTION
from icmbench.codecs.mpd import model_folder as mpd
from icmbench.config.parts import Parts
from icmbench.config.plan import Plan
from icmbench.config.run import make_run
from icmbench.config.weights_names import weights_names
from icmbench.core.errors import ConfigError
from icmbench.models.latent_autoencoder import load_autoencoder
from icmbench.models.layout import ModelLayout

BASE: dict[str, Any] = {
    "results": "out",
    "datasets": {"scenes": {"test": 2}},
    "codecs": {"diff-icmh": {"points": [{"rate": [1, 2]}]}},
    "training": {"data": {"scenes": {"type": "scenes", "train": 3}}},
}
STEPS = {part: {"steps": 1} for part in ("prior", "tagger", "stage_1", "stage_2")}
MPD = {"autoencoder": {"steps": 1}, "contexts": {"images": 1}, "reverse": {"steps": 1}}
BUNDLED = str(icmh.part_file(icmh.bundled(), "autoencoder"))


def config(codecs: tuple[str, ...] = ("diff-icmh",), **training: Any) -> dict[str, Any]:
    made = copy.deepcopy(BASE)
    made["codecs"] |= {"mpd": {"points": [{"state": [4, 0]}]}}
    made["codecs"] = {name: made["codecs"][name] for name in codecs}
    made["training"] |= training
    return made


def parts_of(made: dict[str, Any]) -> Parts:
    return Parts(Plan(make_run(made)))


def test_the_bundled_models_share_an_autoencoder() -> None:
    assert not (icmh.bundled() / "autoencoder.safetensors").exists()
    assert mpd.part_file(mpd.bundled(), "autoencoder") == Path(BUNDLED)
    assert load_autoencoder(Path(BUNDLED)).channels == 16


@pytest.mark.parametrize("codecs", [("diff-icmh",), ("diff-icmh", "mpd")])
def test_the_table_of_jobs_lists_planned_jobs(tmp_path: Path, codecs: tuple[str, ...]) -> None:
    """The bundled autoencoder is kept: without MPD no job makes one."""
    made = {**config(codecs, diff_icmh={"stage_2": {"steps": 1}}), "results": "results"}
    text = succeed(snakemake(tmp_path, made, "--dry-run", "--quiet", "rules", "--", "all"))
    planned = set(re.findall(r"^(\w+) +\d+$", text, re.M))
    listed = set(Plan(make_run(made)).benchmarks())
    assert listed - planned == set()
    assert ("train_autoencoder" in listed) == ("mpd" in codecs)


def test_a_training_from_the_bundled_networks_keeps_their_autoencoder() -> None:
    """It is read where it lies, and copied into the model of the run."""
    parts = parts_of(config(diff_icmh={"stage_2": {"steps": 1}}))
    assert parts.icmh_files("autoencoder", "prior") == [
        BUNDLED, "out/models/diff-icmh/prior.safetensors",
    ]  # fmt: skip
    assert parts.icmh_inputs("stage_2")["autoencoder"] == BUNDLED
    files, copies = parts.shared_files()
    assert files[0] == BUNDLED
    assert copies == ["out/models/diff-icmh/autoencoder.safetensors"]


def test_nothing_of_mpd_is_made_for_it() -> None:
    """Nor does a training of MPD's autoencoder beside it make anything stale."""
    run = make_run(config(diff_icmh={"stage_2": {"steps": 1}}, mpd=MPD))
    assert run.training.trained["mpd"] == ()
    assert run.training.trained["diff_icmh"] == ("stage_2",)
    both = make_run(config(("mpd", "diff-icmh"), diff_icmh={"stage_2": {"steps": 1}}, mpd=MPD))
    assert "autoencoder" in both.training.trained["mpd"]
    parts = Parts(Plan(both))
    assert parts.icmh_inputs("stage_2")["autoencoder"] == BUNDLED
    assert parts.mpd_inputs("reverse")["autoencoder"] == "out/models/mpd/autoencoder.safetensors"
    alone = make_run(config(("mpd", "diff-icmh"), mpd=MPD))
    names = weights_names(alone)
    assert names == {"mpd": "fine-tuned in this run", "diff-icmh": "bundled, 2 M prior"}


def test_networks_from_scratch_are_trained_on_mpds_autoencoder() -> None:
    made = config(start="scratch", mpd={"autoencoder": {"steps": 1}}, diff_icmh=STEPS)
    run = make_run(made)
    assert run.training.trained["mpd"] == ("autoencoder",)
    parts = Parts(Plan(run))
    own = "out/models/mpd/autoencoder.safetensors"
    for part in ("prior", "tagger", "stage_1"):
        assert parts.icmh_inputs(part)["autoencoder"] == own
    assert parts.shared_files()[0][0] == own
    assert weights_names(run) == {"diff-icmh": "trained in this run"}
    with pytest.raises(ConfigError, match=r"training\.mpd\.autoencoder\.steps is 0"):
        make_run(config(start="scratch", diff_icmh=STEPS))


@pytest.mark.parametrize("start", ["bundled", "scratch"])
def test_which_one_stays_follows_from_the_start(start: str) -> None:
    steps = {"diff_icmh": STEPS, "mpd": {"autoencoder": {"steps": 1}}}
    training = make_run(config(start=start, **steps)).config["training"]
    assert SECTION.keeps_autoencoder(training) == (start == "bundled")
    assert SECTION.needed(training) == ({} if start == "bundled" else {"mpd": ("autoencoder",)})


def test_a_bundled_folder_without_the_file_has_the_owners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = {"mpd": tmp_path / "mpd", "diff-icmh": tmp_path / "diff-icmh"}
    monkeypatch.setattr(ModelLayout, "bundled", lambda layout: homes[layout.name])
    layout = dataclasses.replace(icmh.LAYOUT)
    own = homes["diff-icmh"] / "autoencoder.safetensors"
    assert layout.part_file(homes["diff-icmh"], "autoencoder") == homes["mpd"] / own.name
    assert layout.part_file(homes["diff-icmh"], "prior") == own.with_name("prior.safetensors")
    other = tmp_path / "other"  # a given folder must hold it
    assert layout.part_file(other, "autoencoder") == other / own.name
    own.parent.mkdir()
    own.touch()
    assert layout.part_file(homes["diff-icmh"], "autoencoder") == own
