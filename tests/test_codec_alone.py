"""Diff-ICMH's codec trained by itself, its linear transform, and the two scales of the latent."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import test_diff_icmh_training as icmh
import test_shares
import torch
from test_icmh_autoencoder import MPD, config, parts_of

from icmbench.codecs.diff_icmh.controlled_prior import ControlledPrior
from icmbench.codecs.diff_icmh.latent_scale import KEY, LatentScale
from icmbench.codecs.diff_icmh.model_folder import load_codec
from icmbench.codecs.diff_icmh.networks.control import build_control
from icmbench.codecs.diff_icmh.networks.lfgcm import C_BOUND, Y_BOUND, Z_BOUND, build_lfgcm
from icmbench.codecs.diff_icmh.networks.prior import load_prior
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.codecs.diff_icmh.sampling import (
    STEPS,
    add_noise,
    alphas_cumprod,
    noise_from_start,
    noise_of_velocity,
    sample_ddim,
    spaced_schedule,
)
from icmbench.codecs.diff_icmh.training.calibration import calibrate, step_of
from icmbench.codecs.diff_icmh.training.codec_alone import alone_losses
from icmbench.codecs.diff_icmh.training.losses import (
    CodecNetworks,
    LossWeights,
    codec_losses,
    load_frozen,
    prediction_loss,
    standardised_latent,
)
from icmbench.core.errors import ConfigError, ModelError
from icmbench.jobs.train_stage import train_stage
from icmbench.models.tensors import load_arrays, load_network, read_metadata, save_network
from icmbench.training.data import TrainingData
from icmbench.training.loop import Session
from icmbench.training.shares import Share

pytestmark = pytest.mark.usefixtures("one_thread")
models, pool = icmh.models, icmh.pool  # fixtures
WEIGHTS = LossWeights(lambda_rate=(0.8, 0.2, 0.05))
LINEAR = dataclasses.replace(icmh.CODEC, latent=16, slices=(4, 12), linear=True)


# ----- the codec alone


def run_alone(folder: Path, models: Path, **keys: float) -> Path:
    """Stage 1 of a job that trains the codec alone."""
    job = test_shares.stage_job(folder, models)
    settings = {**job.settings, "codec_alone": True, "steps": 40, "learning_rate": 5e-3}
    settings |= {"image": 0, "image_after": 0.75, **keys}
    weights = [folder / f"{name}.safetensors" for name in ("codec", "tables")]
    train_stage(dataclasses.replace(job, weights=weights, settings=settings, prior=None))
    return folder


def test_it_needs_no_prior_and_makes_no_control_network(tmp_path: Path, models: Path) -> None:
    folder = run_alone(tmp_path / "alone", models)
    assert {path.name for path in folder.glob("*.safetensors")} == {
        "codec.safetensors", "tables.safetensors",
    }  # fmt: skip
    losses = pd.read_csv(folder / "losses.csv")
    assert set(losses) == {"step", "loss", "guide", "bits"}
    assert losses["loss"][30:].mean() < losses["loss"][:10].mean()
    about = read_metadata(folder / "codec.safetensors")
    assert about["provenance"]["alone"]
    assert about["network"]["rates"] == 2


def test_the_image_counts_from_its_step_on(tmp_path: Path, models: Path) -> None:
    """Equal losses before it, then the error of the decoded image, relative to lambda's root."""
    plain = pd.read_csv(run_alone(tmp_path / "plain", models) / "losses.csv")
    folder = run_alone(tmp_path / "image", models, image=0.5, image_after=0.5)
    found = pd.read_csv(folder / "losses.csv")
    assert (found["loss"][:20] == plain["loss"][:20]).all()
    assert (found["guide"][20], found["bits"][20]) == (plain["guide"][20], plain["bits"][20])
    assert found["loss"][20] > 1.05 * plain["loss"][20]
    weights = read_metadata(folder / "codec.safetensors")["provenance"]["weights"]
    assert (weights["image"], weights["image_after"]) == (0.5, 0.5)


def test_the_error_of_the_image_is_that_of_the_decoder(models: Path) -> None:
    model, lfgcm = icmh.parts(models).model, build_lfgcm(icmh.CODEC, 1)
    pixels = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    rates, weights = torch.tensor([0, 1, 2]), LossWeights(lambda_rate=(0.8, 0.2, 0.05))
    losses = []
    for image in (0.0, 0.5):
        torch.manual_seed(1)
        terms = alone_losses(lfgcm, model, pixels, rates, weights, Share(3, 0, 3), image)
        losses.append(terms["loss"])
    torch.manual_seed(1)
    coded = lfgcm((pixels + 1) / 2, standardised_latent(model, pixels), rates)
    mean, std = (torch.from_numpy(v)[:, None, None] for v in (model.mean, model.std))
    shown = model.network.decode(coded.c * std + mean).sample
    error = (shown - pixels).square().mean((1, 2, 3)) / torch.tensor([0.8, 0.2, 0.05]).sqrt()
    more = (losses[1] - losses[0]).detach()
    assert float(more) == pytest.approx(0.5 * float(error.mean().detach()), rel=1e-4)
    losses[1].backward()
    assert all(parameter.grad is None for parameter in model.network.parameters())
    assert lfgcm.g_s.g_s4.weight.grad.abs().sum() > 0


def test_stage_two_makes_the_control_network(tmp_path: Path, models: Path) -> None:
    """Beside the codec, which stays as it is where it is frozen."""
    first = run_alone(tmp_path / "first", models)
    job = test_shares.stage_job(tmp_path / "second", models)
    settings = {k: v for k, v in job.settings.items() if k != "lfgcm"}
    settings["codec"] = {**settings["codec"], "steer_only": True}
    bundled = [first / f"{name}.safetensors" for name in ("codec", "tables")]
    train_stage(dataclasses.replace(job, settings=settings, bundled=bundled, stage=2))
    second = tmp_path / "second"
    for name in ("codec", "tables"):
        ours, theirs = (load_arrays(f / f"{name}.safetensors")[0] for f in (second, first))
        assert all(np.array_equal(ours[key], array) for key, array in theirs.items())
    about = read_metadata(second / "control.safetensors")
    assert about["network"]["control"]["ratio"] == 0.5
    assert about["provenance"]["before"]["alone"]


def test_every_image_has_a_rate_of_its_own(models: Path, pool: TrainingData) -> None:
    """A batch is the mean of its images at their rates, over the root of the rate's weight."""
    loaded, batch = icmh.parts(models), icmh.batch_of(pool)
    lfgcm = build_lfgcm(icmh.CODEC, 1).eval()
    calibrate(lfgcm, loaded.model, batch.numpy())
    rates = torch.tensor([2, 0])
    whole = alone_losses(lfgcm, loaded.model, batch, rates, WEIGHTS, Share(2, 0, 2))
    terms = []
    for row, rate in enumerate(rates.tolist()):
        one, at = batch[row : row + 1], rates[row : row + 1]
        found = alone_losses(lfgcm, loaded.model, one, at, WEIGHTS, Share(1, 0, 1))
        weight = WEIGHTS.lambda_rate[rate]
        expected = (found["guide"] + weight * found["bits"]) / weight**0.5
        assert torch.allclose(found["loss"], expected)
        terms.append(found["loss"])
    assert torch.allclose(whole["loss"], torch.stack(terms).mean())


def test_gains_start_by_the_weights() -> None:
    adapters = build_lfgcm(icmh.CODEC, 1).adapters
    assert adapters is not None
    adapters.follow_weights((0.8, 0.2, 0.05))
    for name in ("gain_y", "gain_z"):
        gains = getattr(adapters, name).detach().exp()
        assert torch.allclose(gains, torch.tensor([0.25, 0.5, 1.0])[:, None].expand_as(gains))
    assert torch.allclose(adapters.restore_y, -adapters.gain_y)


def test_the_workflow_trains_it_without_the_prior_once_for_all_variants() -> None:
    made = config(
        start="scratch",
        mpd=MPD,
        diff_icmh={
            "prior": {"steps": 1}, "tagger": {"steps": 1}, "stage_2": {"steps": 1},
            "stage_1": {"steps": 1, "codec_alone": True}, "variants": {"plain": {"tags": False}},
        },
    )  # fmt: skip
    parts = parts_of(made)
    inputs, outputs = (f("stage_1", "main") for f in (parts.stage_inputs, parts.stage_outputs))
    assert "prior" not in inputs
    assert [Path(path).stem for path in outputs["weights"]] == ["codec", "tables"]
    for variant in ("main", "plain"):
        second = parts.stage_inputs("stage_2", variant)
        assert second["bundled"] == outputs["weights"]
        assert "prior" in second
        assert len(parts.stage_outputs("stage_2", variant)["weights"]) == 3
        assert "control" in parts.icmh_settings("stage_2", variant)


def test_a_stage_may_have_crops_of_its_own() -> None:
    steps = {"steps": 1, "codec_alone": True, "crop": 64}
    parts = parts_of(config(diff_icmh={"stage_1": steps, "stage_2": {"steps": 1}}))
    crops = [parts.icmh_settings(stage, "main")["crop"] for stage in ("stage_1", "stage_2")]
    assert crops == [64, 128]


def test_stage_two_is_needed_after_it() -> None:
    with pytest.raises(ConfigError, match=r"stage_2.steps: 0, but stage_1.codec_alone leaves it"):
        parts_of(config(diff_icmh={"stage_1": {"steps": 1, "codec_alone": True}}))


# ----- the linear transform


def test_the_codec_starts_as_the_transform(
    models: Path, pool: TrainingData, tmp_path: Path
) -> None:
    """With all components c is the latent up to the rounding of y, of variance step^2 / 12."""
    loaded, lfgcm = icmh.parts(models), build_lfgcm(LINEAR, 1).eval()
    pixels = pool.crops(np.random.default_rng(0), 8, icmh.CROP)
    calibrate(lfgcm, loaded.model, pixels, WEIGHTS)
    batch = torch.from_numpy(pixels)
    latent = standardised_latent(loaded.model, batch)
    with torch.no_grad():
        y, _ = lfgcm.analyse((batch + 1) / 2, latent, 2)
        coded = lfgcm((batch + 1) / 2, latent, 2)
    deviation = y.std((0, 2, 3))
    assert (deviation.diff() < 1e-3 * deviation[0]).all()  # components in falling order
    step = step_of(WEIGHTS, 4)
    assert float((coded.c - latent).square().mean()) < 1.1 * step**2 / 12
    assert step == pytest.approx((12 * 0.05 / 16 / (2 * np.log(2))) ** 0.5)


def test_an_unusual_image_cannot_run_away() -> None:
    """Its z and what the networks add to the transform's c stay bounded, whatever the weights."""
    lfgcm = build_lfgcm(LINEAR, 1).eval()
    assert lfgcm.linear is not None
    with torch.no_grad():
        for network in (lfgcm.g_a, lfgcm.h_a, lfgcm.g_s):
            for parameter in network.parameters():
                parameter.mul_(4)
    rng = torch.Generator().manual_seed(1)
    image, latent = torch.rand(1, 3, 64, 64, generator=rng), torch.randn(1, 4, 8, 8, generator=rng)
    with torch.no_grad():
        y, z = lfgcm.analyse(image, latent, 2)
        unbounded = lfgcm.h_a(y, latent)
        c = lfgcm.synthesise(y.round(), z.round(), 2)
        added = c - lfgcm.linear.backward_blocks(y.round())
        raw = lfgcm.g_s(y.round(), lfgcm.f_c(z.round()))
        more = y - lfgcm.linear.forward_blocks(latent)
    assert unbounded.abs().max() > 100 < raw.abs().max()
    assert more.abs().max() <= Y_BOUND + 1e-4 < lfgcm.g_a(image, latent).abs().max()
    assert z.abs().max() <= Z_BOUND
    assert added.abs().max() <= C_BOUND + 1e-4


def test_the_transform_is_kept_in_the_file(tmp_path: Path, models: Path) -> None:
    job = test_shares.stage_job(tmp_path / "a", models)
    sizes = {**job.settings["lfgcm"], "linear": True, "latent": 16, "slices": [4, 12]}
    train_stage(dataclasses.replace(job, settings={**job.settings, "lfgcm": sizes}))
    codec = load_codec(tmp_path / "a")
    assert codec.lfgcm.settings.linear
    assert codec.lfgcm.linear is not None


def test_a_file_without_the_key_has_no_transform() -> None:
    values = {k: v for k, v in icmh.CODEC.values().items() if k != "linear"}
    assert LfgcmSettings.read(values) == icmh.CODEC


def test_more_channels_than_the_transform_has_are_refused(models: Path, pool: TrainingData) -> None:
    settings = dataclasses.replace(LINEAR, latent=17, slices=(4, 13))
    pixels = pool.crops(np.random.default_rng(0), 2, icmh.CROP)
    with pytest.raises(ConfigError, match=r"lfgcm.latent: 17, a linear transform has 16"):
        calibrate(build_lfgcm(settings, 1), icmh.parts(models).model, pixels, WEIGHTS)


# ----- the noise of a decoding that starts from c


def test_training_meets_the_noise_of_a_decoding_from_c() -> None:
    """DDIM with the network that is trained for goes through the x_t that it is trained on."""
    rng = torch.Generator().manual_seed(1)
    latent, unit, error = (torch.randn(2, 3, 4, 4, generator=rng) for _ in range(3))
    noise = noise_from_start(unit, error / 5, 300)

    def step(timestep: int) -> torch.Tensor:
        return torch.full((2,), timestep)

    met = []

    def predict(x_t: torch.Tensor, timestep: int) -> torch.Tensor:
        met.append((timestep, x_t))
        return noise

    x_t = add_noise(latent + error / 5, unit, step(300))
    found = sample_ddim(predict, x_t, spaced_schedule(4, 300))
    assert torch.allclose(found, latent, atol=1e-4)
    assert [timestep for timestep, _ in met] == [300, 200, 100, 0]
    for timestep, x_t in met:
        assert torch.allclose(x_t, add_noise(latent, noise, step(timestep)), atol=1e-4)


def test_the_error_of_c_counts_where_decoding_starts_from_c(models: Path) -> None:
    """The loss of a trained level sees it; where all levels are trained noise is noise."""
    frozen = load_frozen(models, models / "prior.safetensors", "cpu")
    network = CodecNetworks(build_lfgcm(icmh.CODEC, 1), build_control(icmh.UNET, icmh.CONTROL, 2))
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    noises = {}
    for levels in (301, STEPS):
        weights = LossWeights(lambda_rate=(8, 4, 2), lambda_sem=0, freeze_codec=True, levels=levels)
        torch.manual_seed(3)
        with torch.no_grad():
            terms = codec_losses(
                network, frozen, pixels, [(), ()], torch.full((2,), 150), 0, weights
            )
        noises[levels] = float(terms["noise"])
        guide = float(terms["guide"])
    share = float(alphas_cumprod()[300])
    # An untrained network predicts next to nothing, so that the loss is the square of the noise.
    assert noises[301] - noises[STEPS] == pytest.approx(guide * share / (1 - share), rel=0.3)


# ----- the two scales


def test_a_prior_measures_the_scale_of_its_latents(
    tmp_path: Path, models: Path, pool: TrainingData
) -> None:
    icmh.run_prior(tmp_path, models, pool, dataclasses.replace(icmh.SCHEDULE, steps=1))
    path = tmp_path / "prior.safetensors"
    found = load_prior(path).scale.values
    assert len(found) == 4
    assert len(set(found)) == 4
    train = icmh.train_prior
    model = icmh.parts(models).model
    session = Session(tmp_path / "c.pt", tmp_path / "h.csv")
    latents = [
        train.standardised(e.latent) for e in train.augmented_latents(model, pool, 8, session)
    ]
    squares = np.mean([np.mean(latent.astype(float) ** 2, (0, 1)) for latent in latents], 0)
    assert np.allclose(found, np.sqrt(squares), rtol=1e-4)
    # A prior that starts from a file keeps its scale.
    state, about = load_network(path)
    save_network(path, state, {**about, KEY: [1, 2, 3, 4]})
    session = Session(tmp_path / "d.pt", tmp_path / "h.csv", path)
    out = tmp_path / "out.safetensors"
    schedule = dataclasses.replace(icmh.SCHEDULE, steps=1)
    train.make_prior(out, models, schedule, pool, session, source_tags=icmh.SOURCE_TAGS, cells=8)
    assert load_prior(out).scale.values == (1, 2, 3, 4)


def test_losses_and_samples_are_those_of_a_scaled_latent(
    models: Path, pool: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The networks get the latents in the diffusion's scale; c and samples keep the other one."""
    loaded, network = icmh.parts(models), icmh.fresh()
    calibrate(network.lfgcm, loaded.model, icmh.batch_of(pool).numpy())
    plain = icmh.losses_of(network, loaded, pool, icmh.WEIGHTS)
    loaded.prior.scale = LatentScale((2.0,) * 4)
    scaled = icmh.losses_of(network, loaded, pool, icmh.WEIGHTS)
    assert torch.equal(plain["guide"], scaled["guide"])
    assert not torch.equal(plain["noise"], scaled["noise"])
    assert not torch.equal(plain["semantic"], scaled["semantic"])
    control = build_control(icmh.UNET, icmh.CONTROL, 2)
    how: dict[str, Any] = {"sampler": "ddim", "steps": 3, "guidance": 1.0, "seeds": [1]}
    c = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        drawn = ControlledPrior(loaded.prior, control, None, "cpu").sample(c, [()], **how)
        loaded.prior.scale = LatentScale.same(4)
        inner = ControlledPrior(loaded.prior, control, None, "cpu").sample(c / 2, [()], **how)
    assert torch.equal(drawn, 2 * inner)


@pytest.mark.parametrize("scale", [[1, 2, 3], [1, 2, 3, 0], [1, 2, 3, "x"], 5, [1, 2, 3, 1e99]])
def test_a_scale_that_is_none_is_refused(scale: Any) -> None:
    with pytest.raises(ModelError, match=r"prior.safetensors: scale is "):
        LatentScale.read(Path("prior.safetensors"), {KEY: scale}, 4)


def test_a_file_without_a_scale_is_of_the_autoencoders() -> None:
    scale = LatentScale.read(Path("prior.safetensors"), {}, 4)
    latent = torch.randn(1, 4, 2, 2)
    assert torch.equal(scale.enter(latent), latent)
    assert torch.equal(scale.leave(latent), latent)


def test_an_empty_channel_is_named() -> None:
    with pytest.raises(ModelError, match="latent channel 1 is zero in all training images"):
        LatentScale.measured([np.stack([np.ones((2, 2)), np.zeros((2, 2))], -1)])


# ----- the levels and the output of the denoising network


def test_levels_above_the_start_are_not_trained(
    tmp_path: Path, models: Path, pool: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And decoding starts there by default."""
    levels: list[int] = []
    original = icmh.train_codec.codec_losses

    def listen(*given: Any) -> Any:
        levels.extend(given[4].tolist())
        return original(*given)

    monkeypatch.setattr(icmh.train_codec, "codec_losses", listen)
    job = test_shares.stage_job(tmp_path / "a", models)
    codec = {**job.settings["codec"], "start": 9}
    settings = {**job.settings, "codec": codec, "steps": 8}
    train_stage(dataclasses.replace(job, settings=settings))
    assert len(levels) == 8 * 4
    assert set(levels) > {0, 9}
    assert max(levels) == 9
    assert load_codec(tmp_path / "a").defaults["start"] == 9


def test_a_prior_from_scratch_predicts_the_velocity(
    tmp_path: Path, models: Path, pool: TrainingData
) -> None:
    """Its file says so, and a training from it goes on so."""
    session = Session(tmp_path / "c.pt", tmp_path / "h.csv")
    how: dict[str, Any] = {"source_tags": icmh.SOURCE_TAGS, "cells": 8}
    schedule = dataclasses.replace(icmh.SCHEDULE, steps=1)
    path, other = tmp_path / "prior.safetensors", tmp_path / "other.safetensors"
    sizes = icmh.PriorSettings(icmh.UNET, icmh.VOCABULARY, tokens=3)
    icmh.train_prior.make_prior(
        path, models, schedule, pool, session, **how, settings=sizes, prediction="v_prediction"
    )
    icmh.train_prior.make_prior(
        other, models, schedule, pool, dataclasses.replace(session, start=path), **how
    )
    for file in (path, other):
        assert read_metadata(file)["prediction"] == "v_prediction"
        assert load_prior(file).unet.config["prediction_type"] == "v_prediction"
    state, about = load_network(path)
    save_network(path, state, {**about, "prediction": "x"})
    with pytest.raises(ModelError, match="prediction is 'x', not epsilon or v_prediction"):
        load_prior(path)


def test_the_error_of_a_velocity_counts_alike_at_all_levels(models: Path) -> None:
    """It is that of the network's own output."""
    unet = icmh.parts(models).prior.unet
    latent, noise, output = (torch.randn(3, 4, 8, 8) for _ in range(3))
    level = torch.tensor([0, 500, 999])
    x_t = add_noise(latent, noise, level)
    eps = noise_of_velocity(x_t, output, level)
    assert torch.allclose(prediction_loss(unet, eps, noise, level), (eps - noise).square().mean())
    unet.register_to_config(prediction_type="v_prediction")
    share = torch.from_numpy(alphas_cumprod())[level].float()[:, None, None, None]
    velocity = share.sqrt() * noise - (1 - share).sqrt() * latent
    expected = (output - velocity).square().mean()
    assert torch.allclose(prediction_loss(unet, eps, noise, level), expected, rtol=1e-3)
