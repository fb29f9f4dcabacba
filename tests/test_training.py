"""Training: killed and resumed without a trace, files that are refused by name, clean pools."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, make_picture
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch

from icmbench.codecs.mpd.model_folder import (
    LAYOUT,
    bundled,
    check_folder,
    part_file,
    weights_digest,
)
from icmbench.codecs.mpd.networks.reverse_network import LEVELS, ReverseSettings, build_reverse
from icmbench.codecs.mpd.training import settings
from icmbench.codecs.mpd.training.autoencoder import (
    STRUCTURE,
    common_scale,
    make_autoencoder,
    principal_components,
    train_autoencoder,
)
from icmbench.codecs.mpd.training.centre_crops import centre_latents, latent_statistics
from icmbench.codecs.mpd.training.reverse import Example, train_reverse
from icmbench.codecs.mpd.training.simulated import simulated_states
from icmbench.config.models import coding_settings, given_files
from icmbench.config.run import make_run
from icmbench.core.errors import ConfigError, DatasetError, ModelError
from icmbench.core.files import sha256_bytes
from icmbench.core.images.image_files import write_png
from icmbench.datasets import kodak
from icmbench.datasets.photos import PHOTOS
from icmbench.datasets.records import Record, write_records
from icmbench.evaluation.codec_process import CodecProcess, Failed, Setup
from icmbench.models.block_autoencoder import BlockSettings, build_blocks
from icmbench.models.card import model_card
from icmbench.models.latent import LIMIT, SCALE
from icmbench.models.latent_autoencoder import load_autoencoder
from icmbench.models.tensors import load_arrays, load_network, rounded, save_arrays, save_network
from icmbench.reporting.figures.loss import blocks, loss_curves
from icmbench.training.clock import Clock, TrainingPaused
from icmbench.training.data import TrainingData, read_provided, read_training_data
from icmbench.training.loop import Schedule, Session
from icmbench.training.losses import scale_losses
from icmbench.training.records import TEST_PIXELS, TrainingRecord, training_record

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = BlockSettings(latent=4, encoder=(8, 8), decoder=(8, 8, 8), blocks=(1, 1, 1))
CARRIED = 2
SCHEDULE = Schedule(steps=8, batch=1, learning_rate=2e-3, checkpoint_every=2)

# The same training in a process of its own, slow enough to be killed in the middle.
SLOW_TRAINING = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import torch
import test_training as t

class Slow(t.TrainingData):
    def crops(self, rng, count, size):
        time.sleep(0.2)
        return super().crops(rng, count, size)

torch.set_num_threads(1)
pool = t.make_pool()
t.run(Path(sys.argv[1]), pool=Slow(pool.images, pool.digest, pool.sources))
"""


def make_pool() -> TrainingData:
    images = tuple(make_picture(40 + 3 * seed, 56, seed) for seed in range(3))
    digest = sha256_bytes(b"".join(image.tobytes() for image in images))
    return TrainingData(images, digest, (("pictures", 3),))


def run(
    folder: Path,
    schedule: Schedule = SCHEDULE,
    *,
    pool: TrainingData | None = None,
    device: str = "cpu",
    clock: Clock | None = None,
    **keys: Any,
) -> dict[str, torch.Tensor]:
    """Weights of the tiny network after a training whose files lie in `folder`."""
    clock = clock or Clock()
    session = Session(folder / "checkpoint.pt", folder / "losses.csv", device=device, clock=clock)
    keys = {"crop": 32, "carried": CARRIED, **keys}
    network = train_autoencoder(TINY, schedule, pool or make_pool(), session, **keys)
    return network.state_dict()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A training that nothing interrupted: its folder and weights."""
    folder = tmp_path_factory.mktemp("whole")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    state = run(folder)
    torch.set_num_threads(before)
    return folder, state


def test_a_killed_training_goes_on_as_if_nothing_had_happened(
    whole: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    command = [sys.executable, "-c", SLOW_TRAINING, str(tmp_path), str(ROOT / "tests")]
    with subprocess.Popen(command, cwd=ROOT) as process:
        end = time.monotonic() + 600  # a crowded machine may take its time: one step, not speed
        while not checkpoint.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "losses.csv").exists()
    kept = torch.load(checkpoint, weights_only=True)
    assert 0 < kept["step"] < SCHEDULE.steps
    assert not equal(kept["network"], whole[1])
    assert equal(run(tmp_path), whole[1])
    assert (tmp_path / "losses.csv").read_text() == (whole[0] / "losses.csv").read_text()
    losses = pd.read_csv(tmp_path / "losses.csv")
    assert list(losses["step"]) == list(range(SCHEDULE.steps))


def test_a_training_in_pieces_gives_the_weights_of_a_whole_one(
    tmp_path: Path, whole: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    """A clock without time pauses after every step; the last piece ends the training."""
    seconds: list[float] = []
    for step in range(1, SCHEDULE.steps):
        clock = Clock(limit=0)
        with pytest.raises(TrainingPaused, match=rf"paused after step {step} of 8"):
            run(tmp_path, clock=clock)
        state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
        assert state["step"] == step
        assert not (tmp_path / "losses.csv").exists()
        # The time of all pieces so far, of which this one is the last.
        assert clock.earlier == (seconds[-1] if seconds else 0)
        seconds.append(state["seconds"])
    assert seconds == sorted(seconds)
    assert equal(run(tmp_path, clock=Clock(limit=0)), whole[1])
    assert (tmp_path / "losses.csv").read_bytes() == (whole[0] / "losses.csv").read_bytes()


def test_the_checkpoint_is_really_used(
    whole: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    """A changed checkpoint changes the result: resuming is not just training anew."""
    state = torch.load(whole[0] / "checkpoint.pt", weights_only=True)
    state["step"] = SCHEDULE.steps - 1
    torch.save(state, tmp_path / "checkpoint.pt")
    assert not equal(run(tmp_path), whole[1])


@pytest.mark.parametrize(
    "change", ["seed", "learning_rate", "batch", "steps", "precision", "pool", "start", "carried"]
)
def test_a_checkpoint_of_other_settings_is_not_used(
    whole: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path, change: str
) -> None:
    """With the other's checkpoint in the folder the result is that of an empty folder."""
    others = {"seed": 2, "learning_rate": 1e-3, "batch": 2, "steps": 4, "precision": "bfloat16"}
    settings = {**vars(SCHEDULE), "steps": 3, **{k: v for k, v in others.items() if k == change}}
    schedule, keys = Schedule(**settings), {}
    if change == "pool":
        images = make_pool().images[:2]
        keys["pool"] = TrainingData(images, "another", (("pictures", 2),))
    if change == "start":
        keys["start"] = rounded(build_blocks(TINY, 9).state_dict())
    if change == "carried":
        keys["carried"] = CARRIED - 1
    used, fresh = tmp_path / "used", tmp_path / "fresh"
    first = run(used, Schedule(**{**vars(SCHEDULE), "steps": 3}))
    assert (used / "checkpoint.pt").exists()
    second = run(used, schedule, **keys)
    assert equal(second, run(fresh, schedule, **keys))
    assert not equal(second, first)


def test_bfloat16_trains_float32_weights(tmp_path: Path) -> None:
    schedule = Schedule(**{**vars(SCHEDULE), "precision": "bfloat16"})
    state = run(tmp_path, schedule)
    assert all(value.dtype == torch.float32 for value in state.values())
    assert all(torch.isfinite(value).all() for value in state.values())


def loss_of(state: dict[str, torch.Tensor], *, coarser: bool) -> float:
    """The loss on crops that are the same for all weights, of latents as they are or coarser."""
    network, rng = build_blocks(TINY, 1), np.random.default_rng(99)
    network.load_state_dict(state)
    pixels = torch.from_numpy(make_pool().crops(rng, 24, 32))
    with torch.no_grad():
        latent = network.encode(pixels).latent_dist.mode()
        latent = simulated_states(latent, CARRIED, rng) if coarser else latent
        error, structure = scale_losses(network.decode(latent).sample, pixels)
    return float(error + STRUCTURE * structure)


def test_the_loss_falls(tmp_path: Path) -> None:
    """Below that of the principal components, from which the training starts, at every state.

    The losses of the steps are of crops and states that differ more than training changes them.
    """
    trained = run(tmp_path, Schedule(steps=100, batch=2, learning_rate=4e-3))
    losses = pd.read_csv(tmp_path / "losses.csv")
    assert list(losses.columns) == ["step", "loss", "error", "structure"]
    untrained = build_blocks(TINY, 1, principal_components(make_pool())).state_dict()
    for coarser in (False, True):
        assert loss_of(trained, coarser=coarser) < 0.93 * loss_of(untrained, coarser=coarser)


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path: Path) -> None:
    state = {n: value * np.nan for n, value in build_blocks(TINY, 1).state_dict().items()}
    with pytest.raises(ConfigError, match="loss is nan at step 0; lower learning_rate"):
        run(tmp_path, start=state)


def test_the_switch_of_determinism_comes_back(tmp_path: Path) -> None:
    before = torch.are_deterministic_algorithms_enabled()
    run(tmp_path, Schedule(**{**vars(SCHEDULE), "steps": 1}))
    assert torch.are_deterministic_algorithms_enabled() == before


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match=r"checkpoint\.pt: not a checkpoint; remove it"):
        run(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete model folder around a tiny autoencoder."""
    folder = tmp_path_factory.mktemp("model")
    make_autoencoder(
        part_file(folder, "autoencoder"), Schedule(**{**vars(SCHEDULE), "steps": 2}), make_pool(),
        Session(folder / "c.pt", folder / "losses.csv"), crop=32, carried=CARRIED,
        settings=TINY,
    )  # fmt: skip
    save_arrays(part_file(folder, "contexts"), {"counts": np.arange(6, dtype=np.int32)}, {})
    save_network(part_file(folder, "reverse"), {"weight": torch.ones(2, 3)}, {})
    return folder


def test_a_network_comes_back_as_it_was_rounded(tmp_path: Path) -> None:
    state = build_blocks(TINY, 3).to(memory_format=torch.channels_last).state_dict()
    about = {"network": TINY.values(), "mean": [0.1, 1 / 3], "text": "ü"}
    for name in ("a", "b"):
        save_network(tmp_path / name, state, about)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    read, metadata = load_network(tmp_path / "a")
    assert metadata == about
    assert equal(read, rounded(state))
    for name, value in read.items():
        assert value.dtype == torch.float32
        assert torch.allclose(value, state[name], rtol=1e-3, atol=1e-7)
    assert all(array.dtype == np.float16 for array in load_file(tmp_path / "a").values())


def test_a_model_is_what_was_trained(model: Path) -> None:
    loaded = load_autoencoder(part_file(model, "autoencoder"))
    assert loaded.mean.shape == loaded.std.shape == (TINY.latent,)
    assert not loaded.network.training
    mean, scale = common_scale(centre_latents(make_pool(), loaded.network))
    assert np.array_equal(loaded.mean, mean.astype(np.float32))
    assert np.array_equal(loaded.std, np.full(TINY.latent, scale, np.float32))
    assert loaded.carried == CARRIED
    made = loaded.metadata["provenance"]
    assert made["steps"] == 2
    assert made["pool"]["sources"] == [{"name": "pictures", "images": 3}]
    assert made["start"] == "scratch"


def spoil(arrays: dict[str, np.ndarray], name: str, fault: str) -> None:
    if fault == "missing":
        del arrays[name]
    if fault == "extra":
        arrays["a.stranger"] = np.zeros(3, np.float16)
    if fault == "shape":
        arrays[name] = arrays[name][:-1]
    if fault in ("nan", "inf"):
        arrays[name].flat[0] = float(fault)
    if fault == "integer":
        arrays[name] = arrays[name].astype(np.int32)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing", r"tensor 'decoder\.0\.bias' is missing"),
        ("extra", r"tensor 'a\.stranger' is not one of the network's"),
        ("shape", r"'decoder\.0\.bias' has the shape \(7,\), expected \(8,\)"),
        ("nan", r"'decoder\.0\.bias' holds a value that is not finite"),
        ("inf", r"'decoder\.0\.bias' holds a value that is not finite"),
        ("integer", r"'decoder\.0\.bias' is int32"),
        ("cut", r"damaged or not a safetensors file"),
        ("empty", r"damaged or not a safetensors file"),
        ("bfloat16", r"damaged or not a safetensors file|is bfloat16"),
        ("no metadata", r"no metadata of icmbench"),
        ("no mean", r"its metadata is incomplete: 'mean'"),
        ("flat", r"mean and std are not those of 4 channels"),
    ],
)
def test_planted_faults_are_named(model: Path, tmp_path: Path, fault: str, message: str) -> None:
    for file in model.glob("*.safetensors"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = part_file(tmp_path, "autoencoder")
    arrays, metadata = load_arrays(path)
    spoil(arrays, "decoder.0.bias", fault)
    if fault == "no mean":
        del metadata["mean"]
    if fault == "flat":
        metadata["std"][1] = 0.0
    header = None if fault == "no metadata" else {"icmbench": json.dumps(metadata)}
    save_file(arrays, path, header)
    if fault == "bfloat16":
        save_torch({n: torch.from_numpy(a).bfloat16() for n, a in arrays.items()}, path, header)
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    if fault == "empty":
        path.write_bytes(b"")
    with pytest.raises(ModelError, match=message) as caught:
        load_autoencoder(path)
    assert str(path) in str(caught.value)


def test_a_folder_says_what_it_lacks(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{tmp_path / 'no'}: no such folder"):
        check_folder(tmp_path / "no")
    path = part_file(tmp_path, "autoencoder")
    path.write_bytes(part_file(model, "autoencoder").read_bytes())
    with pytest.raises(ConfigError) as caught:
        weights_digest(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "contexts.safetensors, reverse.safetensors missing" in str(caught.value)
    check_folder(tmp_path, ("autoencoder",))


def test_a_process_without_its_model_says_so_on_purpose(tmp_path: Path) -> None:
    """A refusal of ours, not a crash of the codec."""
    with CodecProcess(Setup("mpd", models=tmp_path)) as process, pytest.raises(Failed) as caught:
        process.call("encode", [])
    assert "ModelError" in caught.value.detail
    assert caught.value.typed


def test_what_half_precision_cannot_hold_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="tensor 'large' holds a value that is not finite"):
        save_network(tmp_path / "x", {"large": torch.tensor([1e6])}, {})
    assert not (tmp_path / "x").exists()


def test_the_digest_follows_every_file_and_nothing_else(model: Path, tmp_path: Path) -> None:
    for file in model.glob("*.safetensors"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    digest = weights_digest(tmp_path)
    assert len(digest) == 4
    assert digest == weights_digest(model)
    (tmp_path / "card.json").write_text("{}")
    assert weights_digest(tmp_path) == digest
    for file in tmp_path.glob("*.safetensors"):
        before = file.read_bytes()
        file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        assert weights_digest(tmp_path) != digest, file.name
        file.write_bytes(before)
    with pytest.raises(ModelError, match="no such folder"):
        weights_digest(tmp_path / "empty")


def test_a_half_written_file_is_no_part_of_a_model(model: Path, tmp_path: Path) -> None:
    """Neither of the digest nor of the files that the jobs wait for: it is gone a moment later."""
    folder = tmp_path / "mpd"
    shutil.copytree(model, folder)
    (folder / "card.json").write_text("{}")
    digest, files = weights_digest(folder), given_files(folder)
    assert [path.name for path in files] == [
        "autoencoder.safetensors", "card.json", "contexts.safetensors", "reverse.safetensors",
    ]  # fmt: skip
    for name in (".contexts.123.part.safetensors", "reverse.old.safetensors"):
        (folder / name).write_bytes(b"half")
    assert weights_digest(folder) == digest
    assert given_files(folder) == files
    part_file(folder, "contexts").unlink()
    assert given_files(folder) == [path for path in files if path.stem != "contexts"]
    other = tmp_path / "other"  # of a plugin's codec: whatever it holds
    for name in ("a/weights.bin", "a/.weights.7.part.bin"):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).touch()
    assert given_files(other) == [other / "a" / "weights.bin"]


def test_the_bundled_streams_stay_readable() -> None:
    """The digest that stands in every stream is still the one on the card."""
    card = json.loads((bundled() / "card.json").read_text())
    assert weights_digest(bundled()).hex() == card["weights_digest"]


REVERSE = ReverseSettings(latent=TINY.latent, channels=8, blocks=2)
SIDE = 16  # cells of a training crop: half the default


def tiny_examples() -> list[Example]:
    """One picture and a latent that every state is near; nothing is coded."""
    rng = np.random.default_rng(4)
    latent = rng.standard_normal((SIDE, SIDE, TINY.latent)).astype(np.float32)
    states = tuple(np.float32(latent + 0.1 * (t + 1)) for t in range(LEVELS))
    return [Example([make_picture(8 * SIDE, 8 * SIDE)], 0, latent, states)]


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A file of R that is smaller than the default."""
    state = build_reverse(REVERSE, 7).state_dict()
    path = tmp_path / "start" / "reverse.safetensors"
    save_network(path, state, {"network": REVERSE.values()})
    return path


def test_the_reverse_process_keeps_the_network_of_its_start(
    model: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "icmbench.codecs.mpd.training.reverse.make_examples", lambda *_: tiny_examples()
    )
    session = Session(tmp_path / "c.pt", tmp_path / "losses.csv", start)
    schedule = Schedule(steps=1, batch=1, learning_rate=1e-6)
    state, about = train_reverse(model, schedule, make_pool(), session, crop=8 * SIDE)
    assert about["network"] == REVERSE.values()
    old = load_network(start)[0]
    assert old.keys() == state.keys()
    assert all(torch.allclose(old[n], state[n], atol=1e-4) for n in old)
    wide = ReverseSettings(latent=5, channels=8, blocks=2)
    save_network(start, build_reverse(wide, 7).state_dict(), {"network": wide.values()})
    with pytest.raises(ModelError, match=f"{start}: it is of 5 channels, the latent has 4"):
        train_reverse(model, schedule, make_pool(), session, crop=8 * SIDE)
    save_network(start, old, {})
    with pytest.raises(ModelError, match=f"{start}: metadata network is None"):
        train_reverse(model, schedule, make_pool(), session, crop=8 * SIDE)


def test_tables_made_meanwhile_do_not_spoil_a_checkpoint(
    model: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R and the tables are made in parallel: R goes on when they come, not for another latent."""
    monkeypatch.setattr(
        "icmbench.codecs.mpd.training.reverse.make_examples", lambda *_: tiny_examples()
    )
    folder = tmp_path / "mpd"
    folder.mkdir()
    shutil.copy(part_file(model, "autoencoder"), folder)
    session = Session(tmp_path / "c.pt", tmp_path / "losses.csv", start)
    schedule = Schedule(steps=1, batch=1, learning_rate=1e-3, checkpoint_every=1)

    def key() -> str:
        train_reverse(folder, schedule, make_pool(), session, crop=8 * SIDE)
        return str(torch.load(tmp_path / "c.pt", weights_only=True)["key"])

    before = key()
    shutil.copy(part_file(model, "contexts"), folder)
    assert key() == before
    weights, about = load_network(part_file(folder, "autoencoder"))
    save_network(part_file(folder, "autoencoder"), weights, {**about, "mean": [0.5] * 4})
    (tmp_path / "c.pt").unlink()
    assert key() != before


def test_the_card_names_every_file(model: Path) -> None:
    card = model_card(LAYOUT, model)
    assert card["weights_digest"] == weights_digest(model).hex()
    for part in ("autoencoder", "contexts", "reverse"):
        data = part_file(model, part).read_bytes()
        assert card["files"][f"{part}.safetensors"]["sha256"] == sha256_bytes(data)
    assert card["files"]["autoencoder.safetensors"]["provenance"]["steps"] == 2
    json.dumps(card)


def test_the_card_states_data_and_licence_of_what_was_trained(model: Path, tmp_path: Path) -> None:
    """Files of a run are not ours to license; the data of a bundled start counts, too."""
    shipped = model_card(LAYOUT, bundled())
    assert shipped["licence"].startswith("BSD-3-Clause")
    assert "bsds500: research, non-commercial" in shipped["data"]["licences"]
    for part in ("autoencoder", "contexts", "reverse"):
        path = part_file(tmp_path, part)
        arrays, metadata = load_arrays(part_file(bundled(), part))
        pool = {"sources": [{"name": "mine", "images": 3}], "licences": ["mine: CC0-1.0"]}
        if part == "reverse":
            metadata = {**metadata, "provenance": {"pool": pool, "start": "0" * 64}}
        save_arrays(path, arrays, metadata)
    tuned = model_card(LAYOUT, tmp_path, start="bundled")
    assert tuned["made_by"].startswith(
        "a run of icmbench: reverse.safetensors fine-tuned from the bundled ones; bundled with"
    )
    assert tuned["licence"].startswith("bundled files: BSD-3-Clause; none is set for the files")
    assert set(tuned["data"]["sources"]) == {*shipped["data"]["sources"], "mine"}
    assert "mine: CC0-1.0" in tuned["data"]["licences"]
    assert set(shipped["data"]["licences"]) < set(tuned["data"]["licences"])
    own = model_card(LAYOUT, model)
    assert own["made_by"].endswith("trained from scratch")
    assert own["licence"].startswith("none is set")
    assert "BSD" not in json.dumps(own["data"])


def test_training_goes_on_from_a_model(model: Path, tmp_path: Path) -> None:
    """The network of the start is kept (tiny, not the default), its weights are moved a little."""
    path = part_file(tmp_path, "autoencoder")
    make_autoencoder(
        path, Schedule(steps=1, batch=1, learning_rate=1e-6), make_pool(),
        Session(tmp_path / "c.pt", tmp_path / "losses.csv", model), crop=32, carried=CARRIED,
    )  # fmt: skip
    old, new = load_network(part_file(model, "autoencoder"))[0], load_network(path)
    assert new[1]["network"] == TINY.values()
    data = part_file(model, "autoencoder").read_bytes()
    assert new[1]["provenance"]["start"] == sha256_bytes(data)
    # The scale of a channel is measured anew, on the weights as they are then.
    ratio = new[0]["analysis.weight"].norm(dim=1) / old["analysis.weight"].norm(dim=1)
    assert torch.allclose(ratio, torch.ones_like(ratio), atol=0.1)
    scaled = ("analysis.", "synthesis.weight", "encoder.10.", "decoder.0.weight")
    kept = [name for name in old if not name.startswith(scaled)]
    assert len(kept) == len(old) - 6
    assert all(torch.allclose(old[name], new[0][name], atol=1e-4) for name in kept)


def test_statistics_are_what_numpy_computes() -> None:
    """Over all cells of all centre crops at once, images of unequal size and odd sides."""
    shapes = [(40, 56), (64, 43), (71, 90), (33, 32)]
    images = [make_picture(*shape, seed) for seed, shape in enumerate(shapes)]
    pool = TrainingData(tuple(images), "digest", ())
    network = build_blocks(TINY, 5).eval()
    cells = []
    for image, (top, left, side) in zip(
        images, [(0, 8, 40), (12, 1, 40), (11, 21, 48), (0, 0, 32)], strict=True
    ):
        crop = image[top : top + side, left : left + side].astype(np.float32) / 127.5 - 1
        with torch.no_grad():
            latent = network.encode(torch.from_numpy(crop.transpose(2, 0, 1))[None]).latent_dist
        cells.append(latent.mode()[0].numpy().reshape(4, -1))
    joined = np.concatenate(cells, axis=1).astype(np.float64)
    mean, std = latent_statistics(centre_latents(pool, network, size=48), "train longer")
    np.testing.assert_allclose(mean, joined.mean(1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(std, joined.std(1), rtol=1e-4)
    first, scale = common_scale(centre_latents(pool, network, size=48, most=2))
    few = np.concatenate([cells[0], cells[2]], axis=1)  # every second image
    np.testing.assert_allclose(first, few.mean(1), rtol=1e-4, atol=1e-6)
    largest = np.abs(few - few.mean(1, keepdims=True)).max()
    assert scale * LIMIT / SCALE == pytest.approx(1.05 * largest, rel=1e-4)


def test_a_latent_that_says_nothing_is_refused() -> None:
    network = build_blocks(TINY, 5).eval()
    torch.nn.init.zeros_(network.analysis.weight)
    with pytest.raises(ModelError, match=r"latent channel collapsed.*; train longer"):
        latent_statistics(centre_latents(make_pool(), network), "train longer")


def test_crops_are_of_the_images() -> None:
    """Every value lies in the range of the one image; size, scale, seed as promised."""
    image = np.full((50, 70, 3), (10, 128, 250), np.uint8)
    pool = TrainingData((image,), "digest", ())
    crops = pool.crops(np.random.default_rng(1), 5, 32)
    assert crops.shape == (5, 3, 32, 32)
    expected = np.array([10, 128, 250]) / 127.5 - 1
    assert np.abs(crops - expected[:, None, None]).max() < 1e-6
    one, other = (make_pool().crops(np.random.default_rng(s), 4, 32) for s in (3, 4))
    assert np.array_equal(one, make_pool().crops(np.random.default_rng(3), 4, 32))
    assert not np.array_equal(one, other)


def test_the_pool_reads_what_was_provided(tmp_path: Path) -> None:
    """Small and refused images stay out; a source without an image is named."""
    home = tmp_path / "scenes"
    records = []
    for index, side in enumerate((40, 20, 44)):
        write_png(home / "images" / f"{index}.png", make_picture(side, 48, index))
        record = Record(f"{index}", f"{index}.png", licence="CC0-1.0")
        records.append(training_record(record, home / "images" / record.path))
    broken = Record("broken", "broken.png", status="refused: not an image")
    records.append(training_record(broken, home / "images" / broken.path))
    write_records(home / "records.csv", records, TrainingRecord)
    pool = read_provided([home / "records.csv"], [home / "images"], smallest=32)
    assert [image.shape[0] for image in pool.images] == [40, 44]
    assert pool.sources == (("scenes", 2),)
    assert pool.licences == ("scenes: CC0-1.0",)
    files = sorted((home / "images").glob("*.png"))
    write_png(files[0], make_picture(40, 48, 99))
    assert read_training_data([("scenes", files)], smallest=32).digest != pool.digest
    with pytest.raises(DatasetError, match="'scenes' holds no image of at least 64 pixels"):
        read_training_data([("scenes", files)], smallest=64)


@pytest.mark.parametrize("name", ["chelsea", "grace-hopper"])
def test_a_test_picture_is_known_under_any_name(tmp_path: Path, name: str) -> None:
    """By its pixels; one value changed, and it is another picture."""
    picture = np.asarray(PHOTOS[name].load()).copy()
    for file in ("mine.png", "other.png"):
        write_png(tmp_path / file, picture)
        picture[0, 0, 0] ^= 1
    read_training_data([("mine", [tmp_path / "other.png"])], smallest=32)
    with pytest.raises(DatasetError, match=rf"{tmp_path}/mine\.png is {name} of photos"):
        read_training_data([("mine", [tmp_path / "other.png", tmp_path / "mine.png"])], smallest=32)


def test_kodak_is_known_by_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the digest of a picture that is here: no photograph of Kodak is part of the tests."""
    assert {digest for digest, name in TEST_PIXELS.items() if "kodak" in name} == set(
        kodak.PIXELS.values()
    )
    write_png(tmp_path / "a.png", make_picture(40, 40))
    monkeypatch.setattr("icmbench.training.records.pixel_sha256", lambda _: kodak.PIXELS["kodim07"])
    with pytest.raises(DatasetError, match=r"a\.png is kodim07 of kodak: for testing only"):
        read_training_data([("mine", [tmp_path / "a.png"])], smallest=32)


BASE: dict[str, Any] = {
    "datasets": {"scenes": {"test": 2, "train": 4}},
    "codecs": {"jpeg": {"points": [{"quality": 10}]}},
    "training": {"data": {"scenes": {"train": 3}}},
}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_png(tmp_path / "pictures" / "inner" / "a.png", make_picture(40, 40))
    return tmp_path / "pictures"


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        ({"kodak": {}}, r"data\.kodak: kodak is for testing only"),
        ({"x": {"type": "kodak", "path": "y"}}, r"data\.x: kodak is for testing only"),
        ({"mine": {"type": "photos"}}, r"data\.mine: photos is for testing only"),
        ({"text": {"seed": 7}}, r"data\.text: text is for testing only"),  # on photographs of it
        ({"mine": {"type": "codes"}}, r"data\.mine: codes is for testing only"),
        ({"scenes": {"train": 3, "test": 1}}, r"data\.scenes: test=1: train is for training"),
        ({"scenes": {"train": 3, "val": 2}}, r"data\.scenes: val=2"),
        ({"scenes": {"seed": 9}}, r"data\.scenes: train is 0"),
        ({"a": {"type": "folder", "path": "HERE"}}, r"data\.a and the data set 'mine'"),
        ({"a": {"type": "folder", "path": "HERE/inner"}}, r"data\.a and the data set 'mine'"),
        ({"a": {"type": "folder", "path": "HERE/.."}}, r"data\.a and the data set 'mine'"),
        ({"a": {"type": "folder", "path": "HERE-link"}}, r"data\.a and the data set 'mine'"),
        ({"scnes": {}}, r"unknown type of data set 'scnes'"),
        ({}, r"training\.data: \{\} should be non-empty"),
    ],
)
def test_the_pool_never_holds_what_is_coded(
    pictures: Path, pool: dict[str, Any], message: str
) -> None:
    Path(f"{pictures}-link").symlink_to(pictures)
    config = copy.deepcopy(BASE)
    config["datasets"]["mine"] = {"type": "folder", "path": str(pictures)}
    config["training"]["data"] = json.loads(json.dumps(pool).replace("HERE", str(pictures)))
    with pytest.raises(ConfigError, match=message):
        make_run(config)


@pytest.mark.parametrize("inner", ["", "kodak", "other"])
def test_the_pool_is_not_where_coded_images_are_downloaded(tmp_path: Path, inner: str) -> None:
    folder = tmp_path / "down" / inner
    write_png(folder / "a.png", make_picture(40, 40))
    config = copy.deepcopy(BASE) | {"downloads": str(tmp_path / "down")}
    config["datasets"]["kodak"] = {}
    config["training"]["data"] = {"mine": {"type": "folder", "path": str(folder)}}
    if inner == "other":
        make_run(config)
        return
    with pytest.raises(ConfigError, match=r"data\.mine and the data set 'kodak'"):
        make_run(config)


def test_the_split_that_is_coded_is_not_trained_on() -> None:
    """Scenes are the same pictures where seed and split are; another seed is another set."""
    make_run(BASE)
    with pytest.raises(ConfigError, match="both are the split train"):
        make_run({**BASE, "split": "train"})
    other = {"data": {"scenes": {"train": 3, "seed": 2}}}
    make_run({**BASE, "split": "train", "training": other})


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A configuration with a planted codec that has a model."""
    from icmbench.codecs import registry
    from icmbench.codecs.raw_test import RawTest

    planted = type("Learned", (RawTest,), {"name": "learned", "model_name": "mpd"})
    stranger = type("Stranger", (RawTest,), {"name": "stranger", "model_name": "other"})
    found = {**registry.codecs(), "learned": planted, "stranger": stranger}
    monkeypatch.setattr(registry, "codecs", lambda: found)
    return {**BASE, "codecs": {**BASE["codecs"], "learned": {"points": [{}]}}}


def test_who_is_trained(learned: dict[str, Any]) -> None:
    """All parts or the later ones; none where no codec needs them or a folder is given."""
    amounts = {"autoencoder": {"steps": 2}, "contexts": {"images": 2}, "reverse": {"steps": 2}}
    everything = {"start": "scratch", **BASE["training"], "mpd": amounts}
    run = make_run({**learned, "training": everything})
    assert run.training.trained["mpd"] == ("autoencoder", "contexts", "reverse")
    assert run.training.data["scenes"].image_ids() == ["train-00000", "train-00001", "train-00002"]
    without = make_run({**BASE, "training": everything})
    assert without.training.trained["mpd"] == ()
    assert not without.training.data
    for part in amounts:
        wrong = {**everything, "mpd": {**amounts, part: {}}}
        with pytest.raises(ConfigError, match=rf"start is scratch, but training\.mpd\.{part}\."):
            make_run({**learned, "training": wrong})
    half = {**everything, "start": "bundled", "mpd": {**amounts, "reverse": {}}}
    with pytest.raises(ConfigError, match=r"latent, but training\.mpd\.reverse\.steps is 0"):
        make_run({**learned, "training": half})


def test_which_model_a_job_is_given(
    learned: dict[str, Any], model: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The run's own or a folder as it is; a codec without a model does not depend on it."""
    monkeypatch.setattr(
        "icmbench.codecs.mpd.training.settings.bundled", lambda: tmp_path / "nothing"
    )
    with pytest.raises(ConfigError, match="nothing: no such folder"):
        make_run(learned)
    monkeypatch.setattr(settings, "bundled", lambda: model)
    own = make_run({**learned, "results": "out"}).config
    assert coding_settings(own, "learned")["models"] == "out/models"
    assert coding_settings(own, "jpeg")["models"] is None
    with pytest.raises(ConfigError, match=f"{tmp_path / 'mpd'}: no such folder"):
        make_run({**learned, "models": str(tmp_path)})
    (tmp_path / "mpd").symlink_to(model)
    given = make_run({**learned, "models": str(tmp_path)})
    assert coding_settings(given.config, "learned")["models"] == str(tmp_path)
    assert given.training.trained["mpd"] == ()
    alien = {**learned, "codecs": {"stranger": {"points": [{}]}}}
    with pytest.raises(ConfigError, match=r"codec stranger needs the model 'other'.*set models"):
        make_run(alien)


def test_blocks_of_steps_are_medians() -> None:
    """301 steps in 100 blocks of at most 4: middle step, median, 10th and 90th percentile."""
    steps = np.arange(301)
    history = pd.DataFrame({"step": steps, "loss": np.random.default_rng(1).random(301)})
    rows = blocks(history, 100)
    assert len(rows) == 76
    part = history["loss"].to_numpy()[4:8]
    assert rows["step"][1] == 5.5
    assert rows["loss"][1] == pytest.approx(np.median(part))
    assert rows["loss_lo"][1] == pytest.approx(np.quantile(part, 0.1))
    assert rows["loss_hi"][1] == pytest.approx(np.quantile(part, 0.9))
    assert rows["loss"][75] == history["loss"][300]


def test_every_loss_has_its_panel(whole: tuple[Path, dict[str, torch.Tensor]]) -> None:
    figure = loss_curves(pd.read_csv(whole[0] / "losses.csv"), "autoencoder")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Loss", "Squared error", "Structure"]
    for axes in figure.axes:
        assert axes.get_xlabel() == "step"
        assert len(axes.lines[0].get_xdata()) == SCHEDULE.steps
    assert not loss_curves(pd.DataFrame({"step": [], "loss": []}), "reverse").axes


def test_the_direction_of_better_is_the_columns() -> None:
    """An accuracy rises; only losses are drawn on a logarithmic axis."""
    history = pd.DataFrame(
        {"step": range(4), "loss": [9, 4, 2, 1], "correct": [0.1, 0.3, 0.6, 0.9]}
    )
    history["decode.acc_seg"] = history["correct"]
    loss, *accuracies = loss_curves(history, "vgg").axes
    assert "lower is better ↓" in {text.get_text() for text in loss.texts}
    assert loss.get_yscale() == "log"
    for axes in accuracies:
        assert "higher is better ↑" in {text.get_text() for text in axes.texts}
        assert axes.get_yscale() == "linear"


PLANTED = """
from icmbench.codecs.raw_test import RawTest

class Learned(RawTest):
    name = "learned"
    codec_id = None
    model_name = "mpd"
"""


@pytest.mark.workflow
def test_only_the_codec_with_a_model_waits_for_it(tmp_path: Path) -> None:
    """The plan: training before the coding of the planted codec, and nothing of it for JPEG."""
    (tmp_path / "planted.py").write_text(PLANTED)
    info = tmp_path / "planted-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[icmbench.codecs]\nlearned = planted:Learned\n")
    amounts = {"autoencoder": {"steps": 2}, "contexts": {"images": 2}, "reverse": {"steps": 2}}
    config = {**BASE, "training": {"start": "scratch", **BASE["training"], "mpd": amounts}}
    config["codecs"] = {**BASE["codecs"], "learned": {"points": [{}]}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "-n"]
    done = subprocess.run(
        [*command, "--configfile", "config.yaml", "--cores", "1"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-3000:]
    planned = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", text, re.M)}
    once = ("training_pool", "train_autoencoder", "train_contexts", "train_reverse", "model_card")
    assert {name: planned.get(name) for name in once} == dict.fromkeys(once, 1)
    assert planned["loss_figures"] == 1
    jobs = re.findall(r"input: (.*)\n +output: results/(\S+?),", text)
    inputs = {output: files for files, output in jobs}
    for stage in ("streams/scenes/{}/0.zip", "reconstructions/scenes/{}/0.zip"):
        assert "models/mpd/reverse.safetensors" in inputs[stage.format("learned")]
        assert "models" not in inputs[stage.format("jpeg")]
    assert "training/pool/scenes/images" in inputs["models/mpd/autoencoder.safetensors"]
    assert "checkpoints" not in text


COMPILED = """
import numba
from icmbench.core.jit import compiled

@compiled
def add(value):
    return value + value

if __name__ == "__main__":
    import sys
    import planted

    if sys.argv[1] == "stale":  # the index was read before another process wrote its own
        planted.add._cache._cache_file._load_index = lambda: {}
    print([planted.add(eval(text)) for text in sys.argv[2:]])
    print(sum(planted.add.stats.cache_hits.values()))
    print(numba.config.CACHE_DIR)
"""


def compile_with(folder: Path, cache: Path | str, *what: str, **more: str) -> list[str]:
    """Result, number of variants found in the cache, and where that is."""
    (folder / "planted.py").write_text(COMPILED)
    done = subprocess.run(
        [sys.executable, str(folder / "planted.py"), *what], cwd=ROOT, capture_output=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), **more}, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.mark.slow
def test_processes_that_compile_at_once_share_nothing_wrong(tmp_path: Path) -> None:
    """numba numbers the variants of a function, and two processes may take the same number."""
    cache = tmp_path / "cache"
    assert compile_with(tmp_path, cache, "fresh", "3")[:2] == ["[6]", "0"]
    assert compile_with(tmp_path, cache, "stale", "2.5")[:2] == ["[5.0]", "0"]
    assert len(list(cache.rglob("*.nbc"))) == 2
    assert compile_with(tmp_path, cache, "fresh", "3", "2.5")[:2] == ["[6, 5.0]", "1"]
    assert compile_with(tmp_path, cache, "fresh", "3", "2.5")[:2] == ["[6, 5.0]", "2"]
    with ThreadPoolExecutor(2) as threads:
        cold = tmp_path / "cold"
        jobs = [threads.submit(compile_with, tmp_path, cold, "fresh", "3", "2.5") for _ in "12"]
        assert [job.result()[0] for job in jobs] == ["[6, 5.0]"] * 2


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_replaced_by_one_with_the_same_name(
    tmp_path: Path,
) -> None:
    """numba's own way out is a folder beside the source that keeps the code of older versions."""
    home, temporary, file = tmp_path / "home", tmp_path / "tmp", tmp_path / "file"
    temporary.mkdir()
    file.touch()
    name = Path(compile_with(tmp_path, tmp_path / "cache", "fresh", "3")[2]).name
    assert re.fullmatch("numba-[0-9a-f]{16}", name)
    places = {"HOME": str(home), "TMPDIR": str(temporary)}
    for cache in ("/proc/nope", file):
        found = compile_with(tmp_path, cache, "fresh", "3", **places)
        assert found[::2] == ["[6]", str(home / ".cache" / "icmbench" / name)]
    found = compile_with(tmp_path, file, "fresh", "3", HOME=str(file), TMPDIR=str(temporary))
    assert found[::2] == ["[6]", str(temporary / f"icmbench-{os.getuid()}" / name)]
    for base in (home, temporary):
        assert len(list(base.rglob("*.nbc"))) == 1
    shutil.rmtree(temporary / f"icmbench-{os.getuid()}")
    (temporary / f"icmbench-{os.getuid()}").touch()
    found = compile_with(tmp_path, file, "fresh", "3", HOME=str(file), TMPDIR=str(temporary))
    assert found[:2] == ["[6]", "0"]  # compiled, and kept nowhere
    assert not list(tmp_path.glob("__pycache__/*.nb?"))
