"""Trainings on another machine: packed, run in pieces with few packages, unpacked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from bare_site import bare_site, run_bare
from conftest import ROOT, make_picture
from PIL import Image as PillowImage
from running import snakemake, succeed

from icmbench.core.files import sha256_file
from icmbench.core.images.image_files import write_png
from icmbench.jobs.packed.pack import NEEDS
from icmbench.jobs.packed.pool import pack_source
from icmbench.jobs.training_pool import training_pool
from icmbench.training.data import read_provided

pytestmark = pytest.mark.workflow

TOOL = ROOT / "tools" / "train_on_gpu.py"
BARE = ("torch", "diffusers", "constriction")
MADE = ("autoencoder", "contexts")
CONFIG: dict[str, Any] = {
    "results": "results",
    "device": "cpu",
    "datasets": {"scenes": {"seed": 1, "size": 64, "test": 1}},
    "codecs": {"mpd": {"points": [{"state": 0}]}},
    "robustness": {"trials": 0},
    "training": {
        "start": "scratch",
        "crop": 64,
        "data": {
            "photographs": {"type": "folder", "path": "pictures", "licence": "CC0-1.0"},
            "scenes": {"type": "scenes", "seed": 6, "size": 96, "train": 2},
        },
        "mpd": {
            "autoencoder": {"steps": 3, "batch": 2},
            "contexts": {"images": 1},
            "reverse": {"steps": 2, "batch": 2},
        },
    },
}


def tool(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, arguments)], cwd=home, capture_output=True,
        text=True, check=False, timeout=600,
    )  # fmt: skip


def refused(done: subprocess.CompletedProcess[str], *texts: str) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    assert all(text in done.stderr for text in texts), done.stderr
    assert "Traceback" not in done.stderr


def files_of(results: Path, parts: Iterable[str] = MADE) -> dict[str, str]:
    """Digests of weights and losses by name."""
    names = [f"models/mpd/{part}.safetensors" for part in parts] + ["training/autoencoder.csv"]
    return {name: sha256_file(results / name) for name in names}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the rules have trained the parts; its pack, of the same configuration."""
    folder = tmp_path_factory.mktemp("gpu")
    for number in range(3):
        write_png(folder / "pictures" / f"{number}.png", make_picture(96, 112, number))
    targets = [f"results/models/mpd/{part}.safetensors" for part in MADE]
    succeed(snakemake(folder, CONFIG, "--", *targets))
    listed = tool(folder, "pack", "--list", "--configfile", "config.yaml")
    assert succeed(listed).split() == ["autoencoder", "contexts", "reverse"]
    # contexts before autoencoder: they are trained in the order in which they build on each other.
    packed = ("pack", "pack", "--configfile", "config.yaml", "--parts", "contexts,autoencoder")
    assert "training set scenes" in succeed(tool(folder, *packed))
    return folder


@pytest.fixture(scope="module")
def trained(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of a machine with few packages, where each piece ends after one training step."""
    folder = tmp_path_factory.mktemp("there")
    shutil.copytree(home / "pack", folder / "pack")
    site = bare_site(folder / "site", (*BARE, *NEEDS["contexts"]))
    script, more = folder / "pack" / "train_on_gpu.py", ("--device", "cpu", "--volume-mb", 1)
    statuses = []
    for piece in range(3):
        before = ("--from", folder / f"out{piece - 1}") if piece else ()
        run = ("run", folder / f"out{piece}", "--minutes", 0, *more, *before)
        done = run_bare(site, script, *run)
        assert done.returncode in (0, 75), done.stderr[-3000:]
        statuses.append(done.returncode)
    assert statuses == [75, 75, 0]
    sizes = [path.stat().st_size for path in (folder / "out2").iterdir()]
    assert len(sizes) > 3  # volumes, and their list
    assert max(sizes) <= 1e6
    return folder / "out2"


def test_pieces_elsewhere_give_the_files_of_the_rules(
    home: Path, trained: Path, tmp_path: Path
) -> None:
    """Byte for byte, in the places of the rules, which then have nothing to do."""
    there = tmp_path / "home"
    shutil.copytree(home, there, ignore=shutil.ignore_patterns("pack", "models", "conditions"))
    expected = files_of(home / "results")
    # Files of another training, which Snakemake remembers, are replaced.
    target = "results/models/mpd/autoencoder.safetensors"
    other = json.loads(json.dumps(CONFIG))
    other["training"]["mpd"]["autoencoder"]["steps"] = 1
    succeed(snakemake(there, other, "--", target))
    assert sha256_file(there / target) != expected[target.removeprefix("results/")]
    snakemake(there, CONFIG, "-n")  # writes the configuration that was packed
    for path in (there / "results" / "training").glob("*.csv"):
        path.unlink()
    succeed(tool(there, "unpack", trained, "--configfile", "config.yaml"))
    assert files_of(there / "results") == expected
    conditions = there / "results" / "training" / "conditions" / "autoencoder.json"
    about = json.loads(conditions.read_text("utf-8"))
    assert about["device"] == "cpu"
    assert about["revision"] != "unknown"
    assert about["hours"] > 0
    log = (there / "results" / "logs" / "train_autoencoder.log").read_text("utf-8")
    assert f"revision {about['revision']}" in log
    left = succeed(snakemake(there, CONFIG, "-n", "--", "results/models/mpd/contexts.safetensors"))
    assert "Nothing to be done" in left


def test_only_what_was_packed_is_unpacked(home: Path, trained: Path, tmp_path: Path) -> None:
    """Another configuration, another input, and a file that was damaged on its way are refused."""
    out, there = tmp_path / "out", tmp_path / "home"
    shutil.copytree(home, there, ignore=shutil.ignore_patterns("pack"))
    before = files_of(there / "results")
    shutil.copytree(trained, out)
    other = json.loads(json.dumps(CONFIG))
    other["training"]["mpd"]["autoencoder"]["steps"] = 4
    (there / "other.yaml").write_text(yaml.safe_dump(other), encoding="utf-8")
    done = tool(there, "unpack", out, "--configfile", "other.yaml")
    refused(done, "autoencoder was trained with other settings")
    volume = sorted(out.glob("trained.*"))[1]
    data = bytearray(volume.read_bytes())
    data[1000] ^= 1
    volume.write_bytes(data)
    done = tool(there, "unpack", out, "--configfile", "config.yaml")
    refused(done, volume.name, "damaged")
    volume.unlink()
    done = tool(there, "unpack", out, "--configfile", "config.yaml")
    refused(done, volume.name, "missing: copy all files")
    assert files_of(there / "results") == before


def test_a_pack_says_what_it_lacks(home: Path, tmp_path: Path) -> None:
    """Too large, unknown parts, missing inputs, a folder that is there: one line each."""
    here = ("--configfile", "config.yaml", "--parts")
    new = tmp_path / "pack"
    refused(tool(home, "pack", new, *here, "vgg"), "vgg: no part that this run trains: autoencoder")
    refused(
        tool(home, "pack", new, *here, "contexts", "--limit-mb", 1),
        "MB, at most 1 MB", "training set photographs 0.", "code and models", "--limit-mb",
    )  # fmt: skip
    there = tmp_path / "home"
    shutil.copytree(home, there, ignore=shutil.ignore_patterns("pack", "models"))
    refused(
        tool(there, "pack", new, *here, "reverse"),
        "reverse needs results/models/mpd/autoencoder.safetensors", "pack the part that makes it",
    )  # fmt: skip
    assert not new.exists()
    refused(tool(home, "pack", "pack", *here, "contexts"), "is there already")


def test_a_machine_that_lacks_a_package_says_so(home: Path, tmp_path: Path) -> None:
    site = bare_site(tmp_path / "site", BARE)
    done = run_bare(site, home / "pack" / "train_on_gpu.py", "run", tmp_path / "out")
    refused(done, "this machine lacks numba")


def test_a_part_that_fails_leaves_those_before_it(home: Path, tmp_path: Path) -> None:
    """Their files and the state are written; the next piece begins with the part that failed."""
    copy, out = tmp_path / "pack", tmp_path / "out"
    shutil.copytree(home / "pack", copy)
    job = copy / "icmbench" / "jobs" / "train_contexts.py"
    text = job.read_text("utf-8")
    job.write_text(
        text.replace("    data, images =", "    raise RuntimeError('planted')\n    data =")
    )
    site = bare_site(tmp_path / "site", (*BARE, *NEEDS["contexts"]))
    run = (copy / "train_on_gpu.py", "run", out, "--device", "cpu")
    done = run_bare(site, *run)
    assert done.returncode == 1
    assert "RuntimeError: planted" in done.stderr
    job.write_text(text)
    again = run_bare(site, *run)
    assert "contexts: training" in succeed(again)
    assert "autoencoder: training" not in again.stderr


def test_a_damaged_pack_and_a_strange_state_are_named(
    home: Path, trained: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "pack"
    shutil.copytree(home / "pack", copy)
    text = (copy / "trainings.json").read_text("utf-8")
    (copy / "trainings.json").write_text(text.replace('"seed": 1', '"seed": 2'), encoding="utf-8")
    run = ("run", tmp_path / "out", "--pack", copy, "--minutes", 0, "--device", "cpu")
    refused(tool(home, *run, "--from", trained), "the state of another pack")
    path = next((copy / "results").rglob("*.webp"))
    path.write_bytes(path.read_bytes()[:-1])
    refused(tool(home, *run), path.name, "missing or damaged: copy the pack again")


def test_a_packed_training_set_is_the_same_in_smaller_files(tmp_path: Path) -> None:
    """The same pixels in the same order, whatever the names, with the annotations beside them."""
    folder = tmp_path / "pictures"
    for number, name in enumerate(("b/a", "b0", "b+c", "a0")):
        write_png(folder / f"{name}.png", make_picture(40, 48, number))
    PillowImage.fromarray(make_picture(50, 44, 9)).save(folder / "a.jpg", quality=80)
    PillowImage.fromarray(make_picture(40, 48)[:, :, 0]).save(folder / "a0.semantic.png")
    (folder / "a0.semantic.png").rename(tmp_path / "a0.semantic.png")
    lists = tmp_path / "records.csv"
    training_pool(
        "mine", entry={"type": "folder", "path": str(folder)}, downloads=tmp_path / "downloads",
        results=tmp_path / "results", records=lists, images=tmp_path / "images",
    )  # fmt: skip
    (tmp_path / "a0.semantic.png").rename(folder / "a0.semantic.png")
    new = tmp_path / "new"
    pack_source(lists, tmp_path / "images", new / "records.csv", new / "images")
    old = read_provided([lists], [tmp_path / "images"], smallest=8)
    packed = read_provided([new / "records.csv"], [new / "images"], smallest=8)
    assert packed.pixels == old.pixels
    assert packed.licences == ("new: no licence stated",)
    assert [path.suffix for path in packed.paths].count(".webp") == 4
    size = sum(path.stat().st_size for path in folder.rglob("*.png"))
    assert sum(path.stat().st_size for path in (new / "images").glob("*.webp")) < size
    beside = [path for path in packed.paths if path.with_suffix(".semantic.png").is_file()]
    assert [packed.pixels[packed.paths.index(path)] for path in beside] == [
        old.pixels[[path.name for path in old.paths].index("a0.png")]
    ]
