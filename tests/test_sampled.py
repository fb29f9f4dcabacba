"""Control network trained through the sampler, and the mixing in of c that it brings."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_diff_icmh_training as icmh
import test_shares as shares
import torch
from test_icmh_autoencoder import config, parts_of

from icmbench.classifier.efficientnet_lite import EfficientNetLite0
from icmbench.classifier.lite0_weights import MODULE, PACKAGE, SHA256
from icmbench.codecs.diff_icmh.controlled_prior import ControlledPrior
from icmbench.codecs.diff_icmh.model_folder import load_codec, load_control
from icmbench.codecs.diff_icmh.networks.control import ControlNetwork, ControlSettings
from icmbench.codecs.diff_icmh.sampling import (
    add_noise,
    latent_of_noise,
    noise_of_latent,
)
from icmbench.codecs.diff_icmh.training import sampled as module
from icmbench.codecs.diff_icmh.training import settings
from icmbench.codecs.diff_icmh.training.codec import BLEND_CHANNELS, blending, make_codec
from icmbench.codecs.diff_icmh.training.codec_files import DECODING
from icmbench.codecs.diff_icmh.training.losses import LossWeights, SampledWeights, codec_losses
from icmbench.codecs.diff_icmh.training.sampled import feature_distance, sampled_losses
from icmbench.codecs.diff_icmh.training.settings import SECTION
from icmbench.core.errors import ConfigError, ModelError
from icmbench.core.files import sha256_file
from icmbench.jobs.packed.pack import _needs
from icmbench.jobs.train_stage import _decoding, loss_weights
from icmbench.models.card import first_start
from icmbench.models.tensors import load_network
from icmbench.training.data import TrainingData
from icmbench.training.loop import Session
from icmbench.training.losses import scale_losses, structure_of_each
from icmbench.training.shares import Share

pytestmark = pytest.mark.usefixtures("one_thread")

models, pool, stage_one = icmh.models, icmh.pool, icmh.stage_one
SAMPLED = SampledWeights(steps=3)
WEIGHTS = dataclasses.replace(icmh.WEIGHTS, freeze_codec=True, levels=151, sampled=SAMPLED)


def classifier() -> EfficientNetLite0:
    """Untrained, with norms that have seen noise: without, its last maps are next to zero."""
    torch.manual_seed(4)
    network = EfficientNetLite0().train().requires_grad_(False)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = None  # the statistics become those of one batch
    network.stages(torch.rand(4, 3, 64, 64) * 2 - 1)
    return network.eval()


@pytest.fixture(autouse=True)
def small_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """The features of a network that is not trained, as the package need not be installed."""
    network = classifier()
    monkeypatch.setattr(module, "_classifier", lambda device: network.to(device))


def starts(control: ControlNetwork) -> torch.Tensor:
    """Return the bias of w, before its sigmoid, and of d: eight values for four channels."""
    assert control.blend is not None
    last = control.blend.layers[-1]
    assert isinstance(last, torch.nn.Conv2d)
    assert last.bias is not None
    return last.bias


# ----- the mixture


def test_the_noise_of_a_latent_is_the_inverse() -> None:
    torch.manual_seed(1)
    latent, noise = torch.randn(3, 4, 5, 6), torch.randn(3, 4, 5, 6)
    timesteps = torch.tensor([0, 150, 999])
    x_t = add_noise(latent, noise, timesteps)
    torch.testing.assert_close(noise_of_latent(x_t, latent, timesteps), noise, rtol=0, atol=1e-4)
    torch.testing.assert_close(latent_of_noise(x_t, noise, timesteps), latent, rtol=0, atol=1e-4)


def drawn(
    models: Path, control: ControlNetwork, c: torch.Tensor, sampler: str = "ddim"
) -> torch.Tensor:
    prior = ControlledPrior(icmh.parts(models).prior, control, None, "cpu")
    with torch.inference_mode():
        return prior.sample(
            c, [(), (1,)], sampler=sampler, steps=4, guidance=1.0, seeds=[3, 4], start=150
        )


def test_a_mixture_lies_between_the_samples_of_the_prior_and_c(models: Path) -> None:
    """w = 0 is the network without a mixture, w = 1 gives c itself, d is added to it."""
    own = icmh.fresh().control
    grown = blending(own, seed=1)
    assert own.blend is None
    torch.manual_seed(2)
    c = 3 * torch.randn(2, 4, 9, 8)
    plain, bias = drawn(models, own, c), starts(grown)
    assert float((plain - c).abs().mean()) > 0.05
    with torch.no_grad():
        bias[:4] = -200.0
        torch.testing.assert_close(drawn(models, grown, c), plain, rtol=0, atol=1e-4)
        bias[:4] = 200.0
        torch.testing.assert_close(drawn(models, grown, c), c, rtol=0, atol=1e-4)
        bias[5] = 0.7  # d of channel 1
        moved = torch.zeros(1, 4, 1, 1)
        moved[0, 1] = 0.7
        torch.testing.assert_close(drawn(models, grown, c), c + moved, rtol=0, atol=1e-4)
        bias[5] = 0.0
        bias[1] = -200.0  # channel 1 alone is the prior's
        mixed = drawn(models, grown, c)
    assert torch.allclose(mixed[:, [0, 2, 3]], c[:, [0, 2, 3]], atol=1e-4)
    assert float((mixed[:, 1] - c[:, 1]).abs().mean()) > 0.05


@pytest.mark.parametrize(
    "keys", [{"guidance": 3.0}, {"dtype": "bfloat16"}, {"sampler": "ddpm-spaced"}]
)
def test_c_stays_c_however_it_is_decoded(models: Path, keys: dict[str, Any]) -> None:
    """With w = 1: of a pair of predictions, in half precision and by the other sampler."""
    grown = blending(icmh.fresh().control, seed=1)
    torch.manual_seed(2)
    c = 3 * torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        starts(grown)[:4] = 200.0
    given = {"sampler": "ddim", "guidance": 1.0, "dtype": "float32", **keys}
    prior = ControlledPrior(icmh.parts(models).prior, grown, None, "cpu")
    with torch.inference_mode():
        found = prior.sample(c, [(0,), (1,)], steps=4, seeds=[3, 4], start=150, **given)
    # bfloat16 has eight significant bits.
    tolerance = 0.05 if given["dtype"] == "bfloat16" else 2e-3
    torch.testing.assert_close(found, c, rtol=0, atol=tolerance)


def test_the_noise_loss_is_of_the_prior_s_own_prediction(models: Path, pool: TrainingData) -> None:
    """At t = 0 the noise of a mixture would have the errors of c times 34."""
    network, frozen = icmh.fresh(), icmh.parts(models)
    pixels, timesteps = batch(pool), torch.tensor([0, 90])
    weights = dataclasses.replace(WEIGHTS, sampled=None)
    values = []
    for control in (network.control, blending(network.control, 1)):
        network.control = control
        torch.manual_seed(3)
        terms = codec_losses(network, frozen, pixels, [(), ()], timesteps, 0, weights)
        values.append(float(terms["loss"].detach()))
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_a_grown_network_has_all_weights_of_the_one_before() -> None:
    own = icmh.fresh().control
    grown = blending(own, seed=1)
    state = grown.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in own.state_dict().items())
    more = {f"blend.layers.{k}.{name}" for k in (0, 2, 4) for name in ("weight", "bias")}
    assert set(state) - set(own.state_dict()) == more
    assert blending(grown, seed=2) is grown


def test_settings_of_files_without_the_key_have_no_mixture() -> None:
    values = ControlSettings(blend=8).values()
    assert ControlSettings.read(values).blend == 8
    del values["blend"]
    assert not ControlSettings.read(values).blend
    with pytest.raises(ModelError, match=r"network\.ratio is missing"):
        ControlSettings.read({key: v for key, v in values.items() if key != "ratio"})


# ----- the loss


def test_structure_of_each_image() -> None:
    """The mean over a batch is that of the batch; equal images have none."""
    torch.manual_seed(1)
    one = torch.rand(3, 3, 64, 48) * 2 - 1
    other = one + 0.3 * torch.randn(one.shape) * torch.tensor([0.0, 1, 2])[:, None, None, None]
    each = structure_of_each(other.clamp(-1, 1), one)
    assert each.shape == (3,)
    assert each[0] == pytest.approx(0, abs=1e-6)
    assert 0.02 < float(each[1]) < float(each[2])
    assert float(each.mean()) == pytest.approx(float(scale_losses(other.clamp(-1, 1), one)[1]))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(structure_of_each(other.clamp(-1, 1), one), each)


def test_distance_of_features() -> None:
    network = classifier()
    one = torch.rand(2, 3, 64, 64) * 2 - 1
    near, far = one + 0.05 * torch.randn(one.shape), torch.rand(one.shape) * 2 - 1
    maps = [network.stages(image) for image in (one, near, far)]
    assert feature_distance(maps[0], maps[0]).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert (feature_distance(maps[1], maps[0]) < feature_distance(maps[2], maps[0])).all()


def batch(pool: TrainingData, count: int = 2) -> torch.Tensor:
    rng = np.random.default_rng(1)
    share = Share(count, 0, count)
    return torch.from_numpy(pool.crops_of(rng, count, icmh.CROP, share)[0])


def test_what_the_loss_is_worth(models: Path, pool: TrainingData) -> None:
    """A network that gives c back has 1 of every term."""
    network, frozen = icmh.fresh(), icmh.parts(models)
    network.control = blending(network.control, 1)
    with torch.no_grad():
        starts(network.control)[:4] = 200.0
    pixels, share = batch(pool), Share(2, 0, 2)
    for point in range(3):
        torch.manual_seed(5)
        terms = sampled_losses(network, frozen, pixels, [(), (1,)], point, WEIGHTS, share)
        names = ("error", "structure", "features")
        assert [float(terms[name].detach()) for name in names] == pytest.approx([1, 1, 1], abs=0.02)
        assert float(terms["loss"].detach()) == pytest.approx(3, abs=0.05)
    only = SampledWeights(3, error=0.5, structure=0, features=0)
    weights = dataclasses.replace(WEIGHTS, sampled=only)
    terms = sampled_losses(network, frozen, pixels, [(), ()], 0, weights, share)
    assert set(terms) == {"loss", "error", "point"}
    assert float(terms["loss"].detach()) == pytest.approx(0.5, abs=0.01)


def test_a_training_improves_on_c(models: Path, pool: TrainingData) -> None:
    """Of one batch at one rate, by the loss itself: the gradient passes through the sampler."""
    network, frozen = icmh.fresh(), icmh.parts(models)
    network.control = blending(network.control, 1)
    network.lfgcm.requires_grad_(False)
    pixels, share = batch(pool), Share(2, 0, 2)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(trained, 3e-3)
    values = []
    for _ in range(25):
        torch.manual_seed(5)
        loss = sampled_losses(network, frozen, pixels, [(), ()], 0, WEIGHTS, share)["loss"]
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        values.append(float(loss.detach()))
    assert values[-1] < 0.8 * values[0]
    assert values[-1] < 2.85  # c has 3
    moved = {name for name, p in network.named_parameters() if p.grad is not None}
    assert all(name.startswith("control.") for name in moved)
    assert {"control.blend.layers.4.weight", "control.mid_zero.weight"} < moved


def test_micro_batches_have_the_gradient_of_the_batch(
    models: Path, pool: TrainingData, tmp_path: Path
) -> None:
    one, other = (
        shares.gradients(
            icmh.parts(models),
            pool,
            Session(tmp_path / "c", tmp_path / "h", micro_batch=micro_batch),
            WEIGHTS,
        )
        for micro_batch in (0, 2)
    )
    # The noise of a latent at t = 0 has 34 times its rounding.
    shares.assert_equal_gradients(one, other, atol=1e-4)


# ----- files


def test_the_files_of_a_training(
    tmp_path: Path,
    models: Path,
    pool: TrainingData,
    stage_one: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The codec stays, the control network has the mixture, and a killed training is the same."""
    keys: dict[str, Any] = {"weights": WEIGHTS, "start": stage_one}
    icmh.run_stage(tmp_path / "a", models, pool, icmh.SCHEDULE, 2, **keys)
    with monkeypatch.context() as patch:
        icmh.kill_before(patch, 3)
        with pytest.raises(icmh.Killed):
            icmh.run_stage(tmp_path / "b", models, pool, icmh.SCHEDULE, 2, **keys)
    icmh.run_stage(tmp_path / "b", models, pool, icmh.SCHEDULE, 2, **keys)
    for name in ("codec", "control", "tables"):
        one, other = ((tmp_path / k / f"{name}.safetensors").read_bytes() for k in "ab")
        assert one == other
    ours, _ = load_network(tmp_path / "a" / "codec.safetensors")
    theirs, _ = load_network(stage_one / "codec.safetensors")
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())
    control = load_control(tmp_path / "a")
    assert control.settings.blend == BLEND_CHANNELS
    again = tmp_path / "c"
    icmh.run_stage(again, models, pool, icmh.SCHEDULE, 2, weights=WEIGHTS, start=tmp_path / "a")
    before, after = (load_network(f / "control.safetensors")[0] for f in (tmp_path / "a", again))
    assert not torch.equal(before["blend.layers.4.weight"], after["blend.layers.4.weight"])
    _, about = load_network(tmp_path / "a" / "control.safetensors")
    kept = about["provenance"]["weights"]["sampled"]
    assert kept == {"steps": 3, "error": 1.0, "structure": 1.0, "features": 1.0}
    assert about["provenance"]["classifier"] == {"package": PACKAGE, "sha256": SHA256}
    # The stage before counts; a finished codec is another training's.
    assert about["provenance"]["before"]["stage"] == 1
    second = load_network(again / "control.safetensors")[1]["provenance"]
    assert "before" not in second
    assert second["start"] == sha256_file(tmp_path / "a" / "codec.safetensors")


def test_a_mixture_keeps_its_decoding(
    tmp_path: Path, models: Path, pool: TrainingData, stage_one: Path
) -> None:
    """Trained on the noise loss again, it is decoded as before, without clipping."""
    decoding = {"sampler": "ddim", "steps": 3, "guidance": 1.0, "start": 150, "clip": None}
    schedule = dataclasses.replace(icmh.SCHEDULE, steps=1)
    start = stage_one
    for name, weights in (("a", WEIGHTS), ("b", dataclasses.replace(WEIGHTS, sampled=None))):
        make_codec(
            tmp_path / name,
            icmh.parts(models),
            schedule,
            pool,
            Session(tmp_path / "c", tmp_path / "h", start),
            stage=2,
            weights=weights,
            source_tags=icmh.SOURCE_TAGS,
            crop=icmh.CROP,
            decoding=decoding if weights.sampled else DECODING,
        )
        start = tmp_path / name
    made = (tmp_path / "a", tmp_path / "b")
    assert [load_codec(folder).defaults for folder in made] == [decoding, decoding]


def test_weights_of_a_configuration() -> None:
    codec = {
        "noise": 1, "guide": 1, "rates": [8, 4], "semantic": 2, "tags": True, "draws": 1,
        "steer_only": True, "start": 150,
    }  # fmt: skip
    sampled = {"steps": 4, "error": 1, "structure": 0.5, "features": 0}
    assert loss_weights(codec, sampled).sampled == SampledWeights(4, 1, 0.5, 0)
    assert loss_weights(codec, {**sampled, "steps": 0}).sampled is None
    assert loss_weights(codec).sampled is None
    with pytest.raises(ConfigError, match="needs freeze_codec, and levels below 1000"):
        LossWeights(sampled=SAMPLED)


@pytest.mark.parametrize(
    ("stage", "codec", "error"),
    [
        ({}, {}, r"sampled: trains the control network alone: set codec\.steer_only"),
        ({}, {"steer_only": True}, r"samples from c with noise: set codec\.start"),
        ({}, {"steer_only": True, "start": 999}, r"set codec\.start, to less than 999"),
        ({}, {"steer_only": True, "start": 2}, r"sampled\.steps: 4, but .* 2 to 3 steps"),
        (
            {"error": 0, "structure": 0, "features": 0},
            {"steer_only": True, "start": 9},
            "nothing to learn",
        ),
    ],
)
def test_settings_that_cannot_be_trained(
    stage: dict[str, Any], codec: dict[str, Any], error: str
) -> None:
    keys = {"stage_2": {"steps": 1, "sampled": {"steps": 4, **stage}}, "codec": codec}
    with pytest.raises(ConfigError, match=error):
        parts_of(config(diff_icmh=keys))


def test_a_sampler_without_a_training_is_refused() -> None:
    keys = {"stage_2": {"sampled": {"steps": 4}}, "codec": {"steer_only": True, "start": 150}}
    with pytest.raises(ConfigError, match=r"sampled: stage_2\.steps is 0"):
        parts_of(config(diff_icmh={"stage_1": {"steps": 1}, **keys}))


def test_a_missing_classifier_is_told_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "lite0_lacks", lambda: "It is missing.")
    codec = {"steer_only": True, "start": 150}
    for features, refused in ((1, True), (0, False)):
        stage = {"steps": 1, "sampled": {"steps": 4, "features": features}}
        with pytest.raises(ConfigError, match="It is missing") if refused else nullcontext():
            parts_of(config(diff_icmh={"stage_2": stage, "codec": codec}))


def test_where_the_trainings_of_a_file_started() -> None:
    """Before the first of two stages; a finished codec before stage 2 is the start itself."""
    assert first_start({"start": "a", "before": {"stage": 1, "start": "scratch"}}) == "scratch"
    assert first_start({"start": "a", "before": {"stage": 2, "start": "scratch"}}) == "a"
    assert first_start({"start": "a"}) == "a"
    assert first_start({}) == ""


def test_an_imported_prior_is_not_trained_through_its_sampler() -> None:
    codec = {"steer_only": True, "start": 9}
    values = {"stage_2": {"sampled": {"steps": 4}}, "codec": codec, "prior": {"from": "sd"}}
    with pytest.raises(ConfigError, match=r"there: not with an imported prior"):
        SECTION._check_sampled({"diff_icmh": values}, "there")


def test_decoding_takes_the_steps_that_were_trained() -> None:
    keys = {"steps": 1, "sampled": {"steps": 4}}
    made = config(diff_icmh={"stage_2": keys, "codec": {"steer_only": True, "start": 150}})
    decoding = _decoding(parts_of(made).icmh_settings("stage_2", "main"))
    assert (decoding["sampler"], decoding["steps"], decoding["start"]) == ("ddim", 4, 150)
    assert decoding["clip"] is None
    plain = config(diff_icmh={"stage_2": {"steps": 1}, "codec": {"start": 150}})
    assert _decoding(parts_of(plain).icmh_settings("stage_2", "main"))["clip"] == 4.0


def test_another_machine_is_told_of_the_classifier(tmp_path: Path, models: Path) -> None:
    job = shares.stage_job(tmp_path, models)
    sampled = {"steps": 4, "error": 1, "structure": 1, "features": 1}
    for changes, needed in (({}, True), ({"steps": 0}, False), ({"features": 0}, False)):
        settings = {**job.settings, "sampled": {**sampled, **changes}}
        needs = _needs("stage_2", dataclasses.replace(job, settings=settings))
        assert (MODULE in needs) == needed
        assert "scipy" in needs
    assert MODULE not in _needs("stage_2", job)
