"""Training of Diff-ICMH: averages, resuming, what each stage sees, what stays as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_picture
from PIL import Image
from tiny_model import AUTOENCODER, MEAN, STD
from torch import Tensor

from icmbench.bitstream.symbols import SymbolEncoder
from icmbench.bitstream.tables import TOTAL
from icmbench.codecs.diff_icmh.model_folder import load_codec, load_control
from icmbench.codecs.diff_icmh.networks.control import ControlSettings
from icmbench.codecs.diff_icmh.networks.prior import Prior, PriorSettings, TagEmbedder, load_prior
from icmbench.codecs.diff_icmh.networks.tagger import build_tagger, load_tagger
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.codecs.diff_icmh.networks.unet import UnetSettings
from icmbench.codecs.diff_icmh.training import codec as train_codec
from icmbench.codecs.diff_icmh.training import losses as losses_module
from icmbench.codecs.diff_icmh.training import prior as train_prior
from icmbench.codecs.diff_icmh.training.codec import write_codec
from icmbench.codecs.diff_icmh.training.losses import (
    CodecNetworks,
    FrozenNetworks,
    LossWeights,
    codec_losses,
)
from icmbench.codecs.mpd.model_folder import part_file
from icmbench.core.errors import ConfigError, ModelError
from icmbench.core.images.image_files import write_png
from icmbench.models.autoencoder import build_autoencoder
from icmbench.models.entropy_models import EntropyBottleneck
from icmbench.models.entropy_tables import TAIL, prior_tables, quantile_range, set_quantile_tails
from icmbench.models.tensors import load_arrays, load_network, rounded, save_network
from icmbench.scenes.labels import SEMANTIC_CLASSES
from icmbench.training import loop
from icmbench.training.data import TrainingData, read_training_data
from icmbench.training.loop import Losses, Schedule, Session, train

pytestmark = pytest.mark.usefixtures("one_thread")

CROP = 64
UNET = UnetSettings(
    latent=4, channels=(8, 36), layers=1, attention=(False, True), head_width=12, context=8
)
CODEC = LfgcmSettings(
    encoder=(4, 4, 6, 8),
    hyper=6,
    latent=8,
    prior=4,
    slices=(2, 6),
    sft_hidden=4,
    context_hidden=(6, 5),
    rates=3,
)
CONTROL = ControlSettings(ratio=0.5, head_width=6)
SOURCE_TAGS = {"pictures": ("photograph",), "scenes": ("rendered",)}
VOCABULARY = ("sky", "photograph", "rendered")
WEIGHTS = LossWeights(lambda_rate=(8.0, 4.0, 1.0))
SCHEDULE = Schedule(
    steps=4, batch=2, learning_rate=2e-3, seed=3, warm_up=1, checkpoint_every=2, ema_decay=0.7
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained autoencoder and an untrained prior."""
    folder = tmp_path_factory.mktemp("models")
    metadata = {"network": AUTOENCODER.values(), "mean": MEAN, "std": STD}
    network = build_autoencoder(AUTOENCODER, seed=1)
    save_network(part_file(folder, "autoencoder"), network.state_dict(), metadata)
    settings = PriorSettings(UNET, VOCABULARY, tokens=3)
    state = Prior(settings, seed=2).state_dict()
    save_network(folder / "prior.safetensors", state, {"network": settings.values()})
    return folder


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    """Two pictures of which nothing is known, and two scenes, one of them under a sky."""
    folder = tmp_path_factory.mktemp("pool")
    sources: list[tuple[str, Sequence[Path]]] = []
    for source in SOURCE_TAGS:
        paths = [folder / source / f"{k}.png" for k in range(2)]
        for k, path in enumerate(paths):
            write_png(path, make_picture(72, 88 - 8 * k, 5 * len(sources) + k))
        if source == "scenes":
            for k, name in enumerate(("sky", SEMANTIC_CLASSES[1])):
                value = SEMANTIC_CLASSES.index(name)
                semantic = np.full((72, 80), value, np.uint8)
                Image.fromarray(semantic).save(paths[k].with_name(f"{k}.semantic.png"))
        sources.append((source, paths))
    return read_training_data(sources, smallest=CROP)


def parts(models: Path) -> FrozenNetworks:
    return losses_module.load_frozen(models, models / "prior.safetensors", "cpu")


def fresh() -> CodecNetworks:
    """An untrained codec whose injections are not zero, so that all of it has a gradient."""
    lfgcm = train_codec.build_lfgcm(CODEC, 1)
    control = train_codec.build_control(UNET, CONTROL, 2)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer in (*control.enc_zero, control.mid_zero, *control.dec_zero):
            layer.weight.copy_(0.2 * torch.randn(layer.weight.shape, generator=generator))
    return CodecNetworks(lfgcm, control)


def run_prior(
    folder: Path, models: Path, pool: TrainingData, schedule: Schedule, device: str = "cpu"
) -> None:
    train_prior.make_prior(
        folder / "prior.safetensors",
        models,
        schedule,
        pool,
        Session(folder / "checkpoint.pt", folder / "losses.csv", device=device),
        source_tags=SOURCE_TAGS,
        cells=8,
        settings=PriorSettings(UNET, VOCABULARY, tokens=3),
    )


def run_tagger(
    folder: Path, models: Path, pool: TrainingData, schedule: Schedule, device: str = "cpu"
) -> None:
    train_prior.make_tagger(
        folder / "tagger.safetensors",
        models,
        schedule,
        pool,
        Session(folder / "checkpoint.pt", folder / "losses.csv", device=device),
        source_tags=SOURCE_TAGS,
        vocabulary=VOCABULARY,
        cells=8,
    )


def run_stage(
    folder: Path,
    models: Path,
    pool: TrainingData,
    schedule: Schedule,
    stage: int = 1,
    *,
    weights: LossWeights = WEIGHTS,
    loaded: FrozenNetworks | None = None,
    start: Path | None = None,
    device: str = "cpu",
) -> None:
    train_codec.make_codec(
        folder,
        loaded or parts(models),
        schedule,
        pool,
        Session(folder / "checkpoint.pt", folder / "losses.csv", start, device),
        stage=stage,
        weights=weights,
        source_tags=SOURCE_TAGS,
        crop=CROP,
        settings=CODEC,
        control=CONTROL,
    )


@pytest.fixture(scope="module")
def stage_one(tmp_path_factory: pytest.TempPathFactory, models: Path, pool: TrainingData) -> Path:
    """What stage 1 wrote."""
    folder = tmp_path_factory.mktemp("stage-1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    run_stage(folder, models, pool, SCHEDULE)
    torch.set_num_threads(before)
    return folder


# ----- the average of the weights


def fit(folder: Path, schedule: Schedule, seen: list[Tensor] | None = None) -> list[Tensor]:
    """Parameters of a small network after a training; `seen` gets those before every step."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    network[2].bias.requires_grad_(False)

    def losses(rng: np.random.Generator) -> Losses:
        if seen is not None:
            seen.append(network[0].weight.detach().clone())
        x = torch.from_numpy(rng.standard_normal((8, 3)).astype(np.float32))
        return {"loss": (network(x) - x.sum(1, keepdim=True)).square().mean()}

    session = Session(folder / "fit.pt", folder / "fit.csv")
    train("fit", network, schedule, losses, session, describe={})
    return [parameter.detach().clone() for parameter in network.parameters()]


FIT = Schedule(steps=40, batch=8, learning_rate=0.05, warm_up=1, checkpoint_every=15)


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_the_average_is_its_recurrence(tmp_path: Path, decay: float) -> None:
    """a <- d a + (1 - d) w behind every step, d no more than step / (step + 10)."""
    seen: list[Tensor] = []
    plain = fit(tmp_path, FIT, seen)
    averaged = fit(tmp_path, dataclasses.replace(FIT, ema_decay=decay))
    behind = [*seen[1:], plain[0]]
    expected = seen[0].double()
    for step, weights in enumerate(behind):
        kept = min(decay, step / (step + 10))
        expected = kept * expected + (1 - kept) * weights.double()
    torch.testing.assert_close(averaged[0].double(), expected, rtol=1e-5, atol=1e-6)
    assert float((averaged[0] - plain[0]).abs().max()) > 1e-4
    assert torch.equal(averaged[3], plain[3])  # what is not trained has no average


def test_without_a_decay_the_last_weights_stay(tmp_path: Path) -> None:
    seen: list[Tensor] = []
    last = fit(tmp_path, dataclasses.replace(FIT, checkpoint_every=40), seen)
    state = torch.load(tmp_path / "fit.pt", weights_only=True)
    assert state["averaged"] == []
    assert torch.equal(state["network"]["0.weight"], last[0])
    again = fit(tmp_path, dataclasses.replace(FIT, checkpoint_every=40, ema_decay=0.9))
    state = torch.load(tmp_path / "fit.pt", weights_only=True)
    assert torch.equal(state["network"]["0.weight"], last[0])  # training itself is not touched
    assert torch.equal(state["averaged"][0], again[0])


class Killed(Exception):
    pass


def kill_before(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the training loop end as if its process had been killed."""
    original: Callable[..., Any] = loop._step

    def failing(name: str, number: int, *rest: Any) -> Any:
        if number == step:
            raise Killed
        return original(name, number, *rest)

    monkeypatch.setattr(loop, "_step", failing)


@pytest.mark.parametrize("step", [15, 16, 29, 31, 39])
def test_the_average_survives_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    schedule = dataclasses.replace(FIT, ema_decay=0.9)
    (tmp_path / "whole").mkdir()
    whole = fit(tmp_path / "whole", schedule)
    with monkeypatch.context() as patch:
        kill_before(patch, step)
        with pytest.raises(Killed):
            fit(tmp_path, schedule)
    resumed = fit(tmp_path, schedule)
    assert all(torch.equal(one, other) for one, other in zip(whole, resumed, strict=True))
    assert (tmp_path / "fit.csv").read_text() == (tmp_path / "whole" / "fit.csv").read_text()
    other = fit(tmp_path, dataclasses.replace(schedule, ema_decay=0.5))
    assert not torch.equal(other[0], whole[0])  # a checkpoint of another average is not used


def test_a_finished_training_ends_at_once_and_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = dataclasses.replace(FIT, ema_decay=0.9, checkpoint_every=20)
    whole = fit(tmp_path, schedule)
    kill_before(monkeypatch, 0)
    assert all(torch.equal(a, b) for a, b in zip(whole, fit(tmp_path, schedule), strict=True))


# ----- resuming

TRAININGS: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "prior": (run_prior, ("prior.safetensors",)),
    "tagger": (run_tagger, ("tagger.safetensors",)),
    "stage-1": (run_stage, ("codec.safetensors", "control.safetensors", "tables.safetensors")),
    "stage-2": (run_stage, ("codec.safetensors", "control.safetensors", "tables.safetensors")),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_a_killed_training_writes_the_same_files(
    name: str,
    tmp_path: Path,
    models: Path,
    pool: TrainingData,
    stage_one: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, files = TRAININGS[name]
    keys: dict[str, Any] = {"stage": 2, "start": stage_one} if name == "stage-2" else {}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    if name == "stage-1":
        whole = stage_one
    else:
        run(whole, models, pool, SCHEDULE, **keys)
    with monkeypatch.context() as patch:
        kill_before(patch, 3)
        with pytest.raises(Killed):
            run(killed, models, pool, SCHEDULE, **keys)
    assert sorted(p.name for p in killed.iterdir()) == ["checkpoint.pt"]
    assert torch.load(killed / "checkpoint.pt", weights_only=True)["step"] == 2
    run(killed, models, pool, dataclasses.replace(SCHEDULE, checkpoint_every=9), **keys)
    for file in (*files, "losses.csv"):
        assert (killed / file).read_bytes() == (whole / file).read_bytes(), file
    assert len(pd.read_csv(whole / "losses.csv")) == SCHEDULE.steps


def test_stage_two_goes_on_from_stage_one(
    tmp_path: Path, models: Path, pool: TrainingData, stage_one: Path
) -> None:
    """With no step at all it writes the weights it was given."""
    run_stage(tmp_path, models, pool, dataclasses.replace(SCHEDULE, steps=0), 2, start=stage_one)
    for name in ("codec", "control"):
        ours, about = load_network(tmp_path / f"{name}.safetensors")
        theirs, before = load_network(stage_one / f"{name}.safetensors")
        assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())
        assert about["network"] == before["network"]
        assert (about["provenance"]["stage"], before["provenance"]["stage"]) == (2, 1)
        assert before["provenance"]["start"] == "scratch"
        assert len(about["provenance"]["start"]) == 64
    with pytest.raises(ConfigError, match="2 rate weights, the codec has 3 rates"):
        run_stage(
            tmp_path,
            models,
            pool,
            SCHEDULE,
            2,
            start=stage_one,
            weights=LossWeights(lambda_rate=(2.0, 1.0)),
        )
    with pytest.raises(ModelError, match="no such file"):
        run_stage(tmp_path, models, pool, SCHEDULE, 2, start=tmp_path / "nowhere")


# ----- what a step is given


def call_losses(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, count: int, run: Callable[[], None]
) -> None:
    """Let a training ask for the losses of `count` steps and learn nothing from them."""

    def pretend(name: str, network: Any, schedule: Any, losses: Any, *_: Any, **rest: Any) -> None:
        for step in range(count):
            losses(np.random.default_rng(step))

    monkeypatch.setattr(module, "train", pretend)
    run()


def assert_dropped_by_itself(calls: list[list[Sequence[int]]]) -> None:
    """A tenth of the examples, and no batch as a whole."""
    empty = np.array([[not found for found in batch] for batch in calls])
    share = empty.mean()
    assert abs(share - 0.1) < 4 * np.sqrt(0.1 * 0.9 / empty.size)
    assert not empty.all(1).any()
    mixed = (empty.any(1) & ~empty.all(1)).mean()
    expected = 1 - 0.9 ** empty.shape[1]
    assert abs(mixed - expected) < 4 * np.sqrt(expected * (1 - expected) / len(calls))


BATCHES, BATCH = 150, 10


def test_the_priors_text_is_dropped_per_sample(
    tmp_path: Path, models: Path, pool: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[Sequence[int]]] = []

    def record(self: TagEmbedder, sets: list[Sequence[int]]) -> Tensor:
        calls.append(list(sets))
        return torch.zeros(len(sets), 3, 8)

    def nothing(unet: Any, control: Any, noisy: Tensor, *rest: Any) -> Tensor:
        return torch.zeros_like(noisy)

    monkeypatch.setattr(TagEmbedder, "forward", record)
    monkeypatch.setattr(train_prior, "predict_noise", nothing)
    schedule = dataclasses.replace(SCHEDULE, batch=BATCH)
    call_losses(
        monkeypatch, train_prior, BATCHES, lambda: run_prior(tmp_path, models, pool, schedule)
    )
    assert len(calls) == BATCHES
    assert_dropped_by_itself(calls)
    assert {tags for batch in calls for tags in batch} == {(), (1,), (2,), (0, 2)}


@pytest.fixture
def steps_of_stage(
    models: Path, pool: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[tuple[list[Sequence[int]], int]]]:
    """What a stage's steps ask the losses for: tags and rate point."""

    def collect(
        stage: int, weights: LossWeights = WEIGHTS, batch: int = BATCH
    ) -> list[tuple[list[Sequence[int]], int]]:
        asked: list[tuple[list[Sequence[int]], int]] = []

        def record(network: Any, parts: Any, pixels: Tensor, shown: Any, level: Any, *rest: Any):  # type: ignore[no-untyped-def]
            assert pixels.shape == (batch, 3, CROP, CROP)
            assert level.shape == (batch,)
            asked.append((list(shown), rest[0]))

        monkeypatch.setattr(train_codec, "codec_losses", record)
        schedule = dataclasses.replace(SCHEDULE, batch=batch)
        call_losses(
            monkeypatch,
            train_codec,
            BATCHES,
            lambda: run_stage(tmp_path, models, pool, schedule, stage, weights=weights),
        )
        assert len(asked) == BATCHES
        return asked

    return collect


def test_the_codecs_text_is_dropped_per_sample(steps_of_stage: Callable[..., Any]) -> None:
    asked = steps_of_stage(1)
    assert_dropped_by_itself([shown for shown, _ in asked])
    assert {tags for shown, _ in asked for tags in shown} == {(), (1,), (2,), (0, 2)}


def test_without_tags_the_network_is_told_nothing(steps_of_stage: Callable[..., Any]) -> None:
    """And everything else is drawn as with them."""
    plain = steps_of_stage(2, batch=2)
    without = steps_of_stage(2, dataclasses.replace(WEIGHTS, tags=False), batch=2)
    assert all(shown == [()] * 2 for shown, _ in without)
    assert [point for _, point in without] == [point for _, point in plain]


def test_rate_points_of_the_stages(steps_of_stage: Callable[..., Any]) -> None:
    assert {point for _, point in steps_of_stage(1, batch=1)} == {2}
    points = np.array([point for _, point in steps_of_stage(2, batch=1)])
    counts = np.bincount(points, minlength=3)
    assert len(counts) == 3
    assert (counts > BATCHES / 3 - 4 * np.sqrt(BATCHES * 2 / 9)).all()


def test_points_are_recorded(
    stage_one: Path, tmp_path: Path, models: Path, pool: TrainingData
) -> None:
    losses = pd.read_csv(stage_one / "losses.csv")
    assert list(losses) == ["step", "loss", "guide", "bits", "noise", "semantic", "point"]
    assert set(losses["point"]) == {2}
    schedule = dataclasses.replace(SCHEDULE, steps=12, batch=1, ema_decay=0.0)
    light = dataclasses.replace(WEIGHTS, lambda_noise=0.0, lambda_sem=0.0)
    run_stage(tmp_path, models, pool, schedule, 2, start=stage_one, weights=light)
    losses = pd.read_csv(tmp_path / "losses.csv")
    assert list(losses) == ["step", "loss", "guide", "bits", "point"]
    assert set(losses["point"]) == {0, 1, 2}
    # The loss is the weighted sum, with the weight of the step's own point.
    rate = np.array(WEIGHTS.lambda_rate)[losses["point"].astype(int)]
    assert np.allclose(losses["loss"], losses["guide"] + rate * losses["bits"], rtol=1e-4)


# ----- the losses


def batch_of(pool: TrainingData) -> Tensor:
    return torch.from_numpy(pool.crops(np.random.default_rng(7), 2, CROP))


def losses_of(
    network: CodecNetworks, loaded: FrozenNetworks, pool: TrainingData, weights: LossWeights
) -> Losses:
    torch.manual_seed(5)
    level = torch.tensor([100, 700])
    return codec_losses(network, loaded, batch_of(pool), [(1,), ()], level, 1, weights)


def test_the_loss_is_the_weighted_sum_of_its_terms(models: Path, pool: TrainingData) -> None:
    network, loaded = fresh(), parts(models)
    weights = LossWeights(
        lambda_noise=0.5, lambda_c=0.25, lambda_rate=(8.0, 4.0, 1.0), lambda_sem=3.0
    )
    terms = {
        key: float(term.detach()) for key, term in losses_of(network, loaded, pool, weights).items()
    }
    assert terms.pop("point") == 1
    total = 0.5 * terms["noise"] + 0.25 * terms["guide"] + 4 * terms["bits"] + 3 * terms["semantic"]
    assert terms.pop("loss") == pytest.approx(total, rel=1e-5)
    assert all(value > 0 for value in terms.values())
    assert terms["semantic"] <= 2
    bare = losses_of(
        network, loaded, pool, dataclasses.replace(weights, lambda_noise=0, lambda_sem=0)
    )
    assert bare.keys() == {"loss", "guide", "bits", "point"}


def test_the_prior_has_no_gradient_and_everything_else_does(
    models: Path, pool: TrainingData
) -> None:
    network, loaded = fresh(), parts(models)
    train_codec.calibrate(
        network.lfgcm, loaded.model, batch_of(pool).numpy()
    )  # z is not 0 everywhere
    losses_of(network, loaded, pool, WEIGHTS)["loss"].backward()
    frozen = [*loaded.prior.parameters(), *loaded.model.network.parameters()]
    assert len(frozen) > 100
    assert all(p.grad is None and not p.requires_grad for p in frozen)
    idle = {name for name, p in network.named_parameters() if p.grad is None}
    # The tails of the factorised prior: they are set behind the training.
    assert idle == {"lfgcm.entropy_bottleneck.quantiles"}
    heard = {n for n, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert {n for n, _ in network.named_parameters()} == heard | idle


def test_semantic_loss_reaches_the_codec_and_not_the_control(
    models: Path, pool: TrainingData
) -> None:
    network, loaded = fresh(), parts(models)
    losses_of(network, loaded, pool, WEIGHTS)["semantic"].backward()
    assert all(p.grad is None for p in network.control.parameters())
    assert network.lfgcm.g_s.g_s4.weight.grad is not None
    assert float(network.lfgcm.g_s.g_s4.weight.grad.abs().max()) > 0


def test_the_prior_stays_as_it_is(tmp_path: Path, models: Path, pool: TrainingData) -> None:
    """Bit by bit, and so does the autoencoder; without SC something else is learnt."""
    loaded = parts(models)
    before = [
        {name: tensor.clone() for name, tensor in part.state_dict().items()}
        for part in (loaded.prior, loaded.model.network)
    ]
    files = {}
    for semantic in (2.0, 0.0):
        folder = tmp_path / str(semantic)
        schedule = dataclasses.replace(SCHEDULE, steps=2)
        weights = dataclasses.replace(WEIGHTS, lambda_sem=semantic)
        run_stage(folder, models, pool, schedule, loaded=loaded, weights=weights)
        files[semantic] = (folder / "codec.safetensors").read_bytes()
        recorded = pd.read_csv(folder / "losses.csv")
        assert ("semantic" in recorded) == bool(semantic)
    assert files[2.0] != files[0.0]
    after = [part.state_dict() for part in (loaded.prior, loaded.model.network)]
    for old, new in zip(before, after, strict=True):
        assert all(torch.equal(tensor, new[name]) for name, tensor in old.items())
    assert all(p.grad is None for p in loaded.prior.parameters())
    assert not loaded.prior.training


def test_without_the_noise_term_the_control_network_stays(
    tmp_path: Path, models: Path, pool: TrainingData
) -> None:
    schedule = dataclasses.replace(SCHEDULE, steps=2, ema_decay=0.0)
    weights = dataclasses.replace(WEIGHTS, lambda_noise=0.0)
    run_stage(tmp_path, models, pool, schedule, weights=weights)
    state, _ = load_network(tmp_path / "control.safetensors")
    start = rounded(train_codec.build_control(UNET, CONTROL, schedule.seed + 1).state_dict())
    assert all(torch.equal(tensor, start[name]) for name, tensor in state.items())


def test_the_control_network_alone_can_be_trained(
    tmp_path: Path, models: Path, pool: TrainingData, stage_one: Path
) -> None:
    """The codec's file stays bit by bit; several noise levels a picture share its c."""
    schedule = dataclasses.replace(SCHEDULE, steps=2, ema_decay=0.0)
    weights = dataclasses.replace(WEIGHTS, freeze_codec=True, timesteps=3)
    run_stage(tmp_path, models, pool, schedule, 2, start=stage_one, weights=weights)
    for name, stays in (("codec", True), ("tables", True), ("control", False)):
        (ours, theirs) = (
            load_arrays(place / f"{name}.safetensors")[0] for place in (tmp_path, stage_one)
        )
        assert all((array == theirs[key]).all() for key, array in ours.items()) == stays


def test_noise_levels_of_a_picture_are_side_by_side(
    models: Path, pool: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, loaded = fresh(), parts(models)
    train_codec.calibrate(network.lfgcm, loaded.model, batch_of(pool).numpy())
    given: list[tuple[Any, ...]] = []

    def record(unet: Any, control: Any, noisy: Tensor, *rest: Any, mixed: bool) -> Tensor:
        assert not mixed  # the loss is of the prior's own prediction
        given.append((noisy, *rest))
        return torch.zeros_like(noisy)

    monkeypatch.setattr(losses_module, "predict_noise", record)
    weights = dataclasses.replace(WEIGHTS, timesteps=3, lambda_sem=0.0)
    level = torch.tensor([0, 0, 999, 0, 500, 999])
    codec_losses(network, loaded, batch_of(pool), [(1,), ()], level, 1, weights)
    noisy, hints, levels, texts = given[0]
    assert len(noisy) == 6
    assert torch.equal(levels, level)
    for values in (hints, texts):
        assert torch.equal(values[0], values[2])
        assert not torch.equal(values[2], values[3])
    # Almost without noise it is the latent: of one picture, then of the other.
    latent = losses_module.standardised_latent(loaded.model, batch_of(pool))
    for row, image in ((0, 0), (1, 0), (3, 1)):
        assert float((noisy[row] - latent[image]).abs().max()) < 0.2


def test_a_control_network_starts_as_a_copy_of_the_encoder(models: Path) -> None:
    loaded = parts(models)
    control = train_codec.build_control(UNET, ControlSettings(ratio=1.0, head_width=12), 9)
    train_codec._copy_encoder(control, loaded.prior)
    ours, theirs = control.encoder.state_dict(), loaded.prior.unet.state_dict()
    for name, tensor in ours.items():
        if name == "conv_in.weight":
            assert torch.equal(tensor, torch.cat([theirs[name], theirs[name]], 1))
        else:
            assert torch.equal(tensor, theirs[name]), name


def test_an_untrained_codec_codes_something(models: Path, pool: TrainingData) -> None:
    """Calibrated, y and z spread over quantisation steps in every channel."""
    loaded, lfgcm = parts(models), train_codec.build_lfgcm(CODEC, 1)
    pixels = pool.crops(np.random.default_rng(0), 8, CROP)
    train_codec.calibrate(lfgcm, loaded.model, pixels)
    batch = torch.from_numpy(pixels)
    with torch.no_grad():
        latent = losses_module.standardised_latent(loaded.model, batch)
        found = lfgcm.analyse((batch + 1) / 2, latent, 2)
    for values in found:
        assert torch.allclose(values.std((0, 2, 3)), torch.tensor(1.5), rtol=1e-2)
        assert float(values.mean((0, 2, 3)).abs().max()) < 1e-2


def test_sizes_that_do_not_fit(tmp_path: Path, models: Path, pool: TrainingData) -> None:
    with pytest.raises(ConfigError, match="crop 72: the codec takes multiples of 64 pixels"):
        train_codec.make_codec(
            tmp_path, parts(models), SCHEDULE, pool, Session(tmp_path / "c.pt", tmp_path / "h.csv"),
            stage=1, weights=WEIGHTS, source_tags={}, crop=72,
        )  # fmt: skip
    for rate in ((), (1.0, 2.0)):
        with pytest.raises(ConfigError, match="they fall from low rate to high"):
            LossWeights(lambda_rate=rate)


# ----- tags


def test_of_what_is_not_known_the_tagger_learns_nothing(pool: TrainingData) -> None:
    """Pictures without annotations do not say that there is no sky."""
    tags = train_prior.tag_training_data(pool, SOURCE_TAGS)
    truth, known = train_prior._targets(tags, VOCABULARY)
    assert truth.tolist() == [[0, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 1]]
    assert known.tolist() == [[0, 1, 1], [0, 1, 1], [1, 1, 1], [1, 1, 1]]


def test_files_of_other_tags_are_refused(tmp_path: Path, models: Path, pool: TrainingData) -> None:
    run_tagger(tmp_path, models, pool, dataclasses.replace(SCHEDULE, steps=0))
    path = tmp_path / "tagger.safetensors"
    assert load_tagger(path, VOCABULARY).scores.out_features == 3
    with pytest.raises(ModelError, match=r"tagger\.safetensors: its tags are not those"):
        load_tagger(path, VOCABULARY[:2])
    with pytest.raises(ModelError, match="its tags are not those of the prior"):
        train_prior.make_tagger(
            tmp_path / "other.safetensors", models, SCHEDULE, pool,
            Session(tmp_path / "c.pt", tmp_path / "h.csv", path), source_tags=SOURCE_TAGS, cells=8,
        )  # fmt: skip


def test_a_prior_starts_from_a_file(tmp_path: Path, models: Path, pool: TrainingData) -> None:
    start = models / "prior.safetensors"
    train_prior.make_prior(
        tmp_path / "prior.safetensors", models, dataclasses.replace(SCHEDULE, steps=0), pool,
        Session(tmp_path / "c.pt", tmp_path / "h.csv", start), source_tags=SOURCE_TAGS, cells=8,
    )  # fmt: skip
    ours, theirs = load_prior(tmp_path / "prior.safetensors"), load_prior(start)
    assert ours.settings == theirs.settings
    state = theirs.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in ours.state_dict().items())


def test_the_tagger_learns(tmp_path: Path, models: Path, pool: TrainingData) -> None:
    """Four pictures are told apart after a few steps: gradient and targets belong together."""
    schedule = dataclasses.replace(SCHEDULE, steps=60, batch=4, learning_rate=3e-3)
    run_tagger(tmp_path, models, pool, schedule)
    losses = pd.read_csv(tmp_path / "losses.csv")
    assert losses["loss"].tail(10).mean() < 0.6 * losses["loss"].head(10).mean()
    assert losses["right"].tail(10).mean() > losses["right"].head(10).mean()
    settings = load_tagger(tmp_path / "tagger.safetensors", VOCABULARY)
    assert settings.scores.out_features == 3


# ----- what is written


def trained_bottleneck(channels: int = 12, seed: int = 4) -> EntropyBottleneck:
    """Distributions of other places, widths and shapes, as training leaves them."""
    torch.manual_seed(seed)
    bottleneck = EntropyBottleneck(channels)
    with torch.no_grad():
        for matrix in bottleneck.matrices:
            matrix.add_(0.7 * torch.randn(matrix.shape))
        for layer in (*bottleneck.biases, *bottleneck.factors):
            layer.add_(0.5 * torch.randn(layer.shape))
        bottleneck.quantiles[:, 0, 1] = torch.randn(channels)  # medians that are none
    return bottleneck.requires_grad_(False)


def below(bottleneck: EntropyBottleneck, values: Tensor) -> Tensor:
    """Cumulative distribution at a value per channel, and its complement, in float64."""
    with torch.no_grad():
        logits = bottleneck.double().logits(values[:, None, None])[:, 0, 0]
    return torch.stack([torch.sigmoid(logits), torch.sigmoid(-logits)])


def test_settled_tails_and_tables() -> None:
    """All but 1e-9 lies in a table, through a file of half precision too."""
    bottleneck = trained_bottleneck()
    medians = bottleneck.medians().reshape(-1).clone()
    set_quantile_tails(bottleneck)
    assert torch.equal(bottleneck.medians().reshape(-1), medians)
    stored = EntropyBottleneck(len(medians))
    stored.load_state_dict(rounded(bottleneck.state_dict()))
    for one in (bottleneck, stored):
        low, high = quantile_range(one)
        assert (low < 0).all()
        assert (high > 0).all()
        centre = one.medians().reshape(-1).double()
        ends = (torch.from_numpy(low) - 0.5, torch.from_numpy(high) + 0.5)
        outside = below(one, centre + ends[0])[0] + below(one, centre + ends[1])[1]
        assert float(outside.max()) <= TAIL
        # And no wider than it must be, by a symbol or two at each end.
        inner = below(one, centre + ends[0] + 2.5)[0]
        assert float(inner.min()) > TAIL / 2
        tables = prior_tables(one.float())
        assert len(tables) == len(medians)
        assert (tables.offsets == low).all()
        assert (tables.lengths == high - low + 2).all()
        assert all(int(tables.table(k).sum()) == TOTAL for k in range(len(tables)))


def test_tables_of_z_cost_what_the_model_says() -> None:
    """Bits of random z: real bytes, the tables' own sum, and the likelihood model's estimate."""
    bottleneck = trained_bottleneck()
    set_quantile_tails(bottleneck)
    tables, channels, count = prior_tables(bottleneck), len(bottleneck.quantiles), 4000
    rng = np.random.default_rng(1)
    symbols = np.empty((channels, count), np.int32)
    for channel in range(channels):
        table = tables.table(channel)
        places = rng.choice(len(table) - 1, count, p=table[:-1] / table[:-1].sum())
        symbols[channel] = places + tables.offsets[channel]
    z_hat = torch.from_numpy(symbols)[None, :, None].double()
    z_hat += bottleneck.medians().double()[None]
    likelihoods = bottleneck.double().likelihood(z_hat)
    modelled = float(-likelihoods.log2().sum())
    indexes = np.repeat(np.arange(channels, dtype=np.int32)[:, None], count, 1)
    coder = SymbolEncoder()
    coder.write(symbols, indexes, tables)
    assert 8 * len(coder.finish()) == pytest.approx(modelled, rel=0.01)
    bits = sum(
        -np.log2(tables.table(k)[symbols[k] - tables.offsets[k]] / TOTAL).sum()
        for k in range(channels)
    )
    assert bits == pytest.approx(modelled, rel=0.01)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    network = fresh()
    with torch.no_grad():
        network.lfgcm.entropy_bottleneck.load_state_dict(trained_bottleneck(6).state_dict())
    write_codec(tmp_path, network, UNET, {"who": "a test"})
    codec, control = load_codec(tmp_path), load_control(tmp_path)
    assert codec.metadata["provenance"] == {"who": "a test"}
    assert codec.defaults == train_codec.DECODING
    assert codec.lfgcm.settings == CODEC
    assert (control.settings, control.training) == (CONTROL, False)
    expected = rounded(network.lfgcm.state_dict())
    for name, tensor in codec.lfgcm.state_dict().items():
        if name == "entropy_bottleneck.quantiles":
            assert torch.equal(tensor[:, :, 1], expected[name][:, :, 1])
        else:
            assert torch.equal(tensor.float(), expected[name]), name
    doubles = [module for module in codec.lfgcm.entropy_modules() if list(module.parameters())]
    assert {p.dtype for module in doubles for p in module.parameters()} == {torch.float64}
    assert next(codec.lfgcm.g_s.parameters()).dtype == torch.float32
    for name, tensor in rounded(network.control.state_dict()).items():
        assert torch.equal(control.state_dict()[name], tensor)
    found = prior_tables(codec.lfgcm.entropy_bottleneck)
    for name, array in codec.z_tables.to_arrays("z").items():
        assert (found.to_arrays("z")[name] == array).all()
    before = [(tmp_path / f"{name}.safetensors").read_bytes() for name in ("codec", "tables")]
    write_codec(tmp_path, network, UNET, {"who": "a test"})
    after = [(tmp_path / f"{name}.safetensors").read_bytes() for name in ("codec", "tables")]
    assert before == after


def test_schedules_fall(tmp_path: Path) -> None:
    """The rate of learning rises in the warm-up and falls ever after."""
    rates = [FIT.rate(step) for step in range(FIT.steps)]
    assert max(rates) <= FIT.learning_rate
    assert all(one >= other for one, other in pairwise(rates))
    slow = dataclasses.replace(FIT, steps=1000, warm_up=50)
    assert all(slow.rate(step) < slow.rate(step + 1) for step in range(48))
    assert build_tagger(train_prior.TaggerSettings(VOCABULARY), 1).scores.out_features == 3
