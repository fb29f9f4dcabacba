"""The controlled denoising network and its samplers: published numbers, one way, known formulas."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from golden_control import (
    FILE,
    UNET,
    golden_tensors,
    inputs,
    sample,
    tiny_control,
    tiny_unet,
    zero_layers,
)
from numeric_checks import near
from official import DIFF_ICMH as PUBLISHED
from official import needs
from safetensors.torch import load_file
from torch import Tensor

from icmbench.codecs.diff_icmh.importing.names import PREFIXES, SCALE
from icmbench.codecs.diff_icmh.importing.rename import rename
from icmbench.codecs.diff_icmh.networks import control as module
from icmbench.codecs.diff_icmh.networks.control import (
    ControlNetwork,
    ControlSettings,
    build_control,
    middle_features,
    predict_noise,
)
from icmbench.codecs.diff_icmh.networks.unet import UnetSettings, build_unet, time_embedding
from icmbench.codecs.diff_icmh.sampling import (
    SAMPLERS,
    STEPS,
    add_noise,
    alphas_cumprod,
    spaced_schedule,
)
from icmbench.codecs.diff_icmh.training.losses import semantic_loss
from icmbench.core.errors import ConfigError
from icmbench.models.tensors import fill_network

pytestmark = pytest.mark.usefixtures("one_thread", "no_gradients")

needs_fixtures = needs(PUBLISHED)

# The published fixture's sizes (control_tiny.json, checked by a test below).
FIXTURE = UnetSettings(
    latent=4,
    channels=(32, 64, 64, 64),
    layers=2,
    attention=(True, True, True, False),
    head_width=16,
    context=32,
)
CONTROLS = {
    "r100": ControlSettings(ratio=1.0, head_width=8),
    "r075": ControlSettings(ratio=0.75, head_width=16),
    "r050": ControlSettings(ratio=0.5, head_width=8),
}
LEVELS = (0, 500, 999)
GUIDANCE = 5.0


# ----- the published numbers


@cache
def published() -> dict[str, Tensor]:
    return load_file(PUBLISHED / "control_tiny.io.safetensors")


def described(name: str = "control_tiny") -> dict[str, Any]:
    values: dict[str, Any] = json.loads((PUBLISHED / f"{name}.json").read_text())
    return values


def renamed(name: str, part: str) -> dict[str, Tensor]:
    """Weights under our names, by the importer's table."""
    state = {}
    for key, tensor in load_file(PUBLISHED / f"control_tiny.{name}.safetensors").items():
        full = PREFIXES[part] + key
        if full == SCALE:
            continue
        targets = rename(full)
        assert isinstance(targets, tuple), key
        (target,) = targets
        assert (target.part, target.transform) == (part, "same")
        state[target.name.removeprefix("unet.")] = tensor.float()
    return state


@cache
def base() -> UNet2DConditionModel:
    unet = build_unet(FIXTURE, seed=0)
    fill_network(unet, renamed("base", "prior"), "fixture")
    return unet.eval().requires_grad_(False)


@cache
def controlled(name: str, scale: float = 1.0) -> ControlNetwork:
    values = {**CONTROLS[name].values(), "scale": scale}
    network = build_control(FIXTURE, ControlSettings.read(values), seed=0)
    fill_network(network, renamed(name, "control"), "fixture")
    return network.eval().requires_grad_(False)


def evaluate(control: ControlNetwork | None, level: int) -> Tensor:
    io = published()
    return predict_noise(
        base(), control, io["in.x_t"], io["in.hint"], torch.tensor([level]), io["in.context"]
    )


@needs_fixtures
def test_the_fixtures_sizes_are_these() -> None:
    about = described()
    unet = about["unet"]
    width = unet["model_channels"]
    assert FIXTURE.channels == tuple(width * factor for factor in unet["channel_mult"])
    assert FIXTURE.layers == unet["num_res_blocks"]
    assert FIXTURE.head_width == unet["num_head_channels"]
    assert FIXTURE.context == unet["context_dim"]
    for name, settings in CONTROLS.items():
        stated = about["control"][name]
        assert settings.ratio == stated["control_model_ratio"]
        assert settings.head_width == stated["num_head_channels"]
        assert (settings.scale, settings.hint) == (stated["control_scale"], stated["hint_channels"])


@needs_fixtures
@pytest.mark.parametrize("name", CONTROLS)
def test_published_heads_and_norm_groups(name: str) -> None:
    """Counts that change no tensor's shape, so that loading alone does not notice them."""
    about = described()
    networks = {"base": ("prior", base()), name: ("control", controlled(name))}
    for key, (part, network) in networks.items():
        modules = dict(network.named_modules())
        for old, (heads, width) in about["heads"][key].items():
            # A name of the table is that of a module: any of its tensors leads to ours.
            (target,) = rename(f"{PREFIXES[part]}{old}.to_q.weight")  # type: ignore[misc]
            found = modules[target.name.removeprefix("unet.").removesuffix(".to_q.weight")]
            assert found.heads == heads
            assert found.inner_dim == heads * width
        for old, groups in about["groupnorm_groups"][key].items():
            (target,) = rename(f"{PREFIXES[part]}{old}.weight")  # type: ignore[misc]
            found = modules[target.name.removeprefix("unet.").removesuffix(".weight")]
            assert found.num_groups == (groups if isinstance(groups, int) else groups[0])


@needs_fixtures
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CONTROLS)
def test_published_noise(name: str, level: int) -> None:
    near(evaluate(controlled(name), level), published()[f"{name}.eps.t{level}"])


@needs_fixtures
def test_published_scale_and_base_alone() -> None:
    near(evaluate(controlled("r100", 0.5), 500), published()["r100_control_scale_0.5.eps.t500"])
    near(evaluate(None, 500), published()["base_only.eps.t500"])


class Trace:
    """Inputs and outputs of every step that `predict_noise` takes, by the published names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owners: dict[str, Any]) -> None:
        self.seen: dict[str, Tensor] = {}
        names = {id(network): owner for owner, network in owners.items()}
        for function, kind in (
            ("encoder_steps", "input_blocks"),
            ("middle_step", "middle_block"),
            ("decoder_steps", "output_blocks"),
        ):
            original = getattr(module, function)

            def traced(
                unet: Any,
                emb: Tensor,
                context: Tensor,
                original: Callable[..., Any] = original,
                kind: str = kind,
            ) -> Any:
                steps = original(unet, emb, context)
                name = f"{names[id(unet)]}.{kind}"
                if callable(steps):
                    return self._recorded(name, steps)
                return [self._recorded(f"{name}.{k}", step) for k, step in enumerate(steps)]

            monkeypatch.setattr(module, function, traced)

    def _recorded(self, name: str, step: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def run(h: Tensor) -> Tensor:
            self.seen[f"{name}.in"] = h
            self.seen[f"{name}.out"] = step(h)
            return self.seen[f"{name}.out"]

        return run


@needs_fixtures
@pytest.mark.parametrize(("name", "count"), [("r100", 44), ("r050", 14)])
def test_published_traces(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block of both networks, before what is injected behind it."""
    control, level = controlled(name), torch.tensor([500])
    trace = Trace(monkeypatch, {"base": base(), "ctl": control.encoder})
    evaluate(control, 500)
    x_t = published()["in.x_t"]
    trace.seen["t_emb"] = base().time_proj(level)
    trace.seen["emb_base"] = time_embedding(base(), level, x_t)
    trace.seen["emb_ctl"] = time_embedding(control.encoder, level, x_t)
    prefix = f"{name}.trace_t500."
    stored = {k.removeprefix(prefix): v for k, v in published().items() if k.startswith(prefix)}
    assert len(stored) == count
    for key, tensor in stored.items():
        near(trace.seen[key], tensor)


@needs_fixtures
def test_published_semantic_consistency(monkeypatch: pytest.MonkeyPatch) -> None:
    io, zero = published(), torch.tensor([0])
    rec, ori, context = io["in.sc_latent_rec"], io["in.sc_latent_ori"], io["in.context"]
    near(semantic_loss(base(), rec, ori, context)[None], io["sc.loss_cos"])
    found = middle_features(base(), rec, zero, context)
    goal = middle_features(base(), ori, zero, context)
    near(found, io["sc.mid_rec"])
    near(goal, io["sc.mid_ori"])
    apart = torch.nn.functional.normalize(found) - torch.nn.functional.normalize(goal)
    near(apart.square().sum(1).mean()[None], io["sc.loss_normalized_l2"])
    trace = Trace(monkeypatch, {"base": base()})
    middle_features(base(), rec, zero, context)
    near(trace.seen["base.input_blocks.11.out"], io["sc.enc12_rec"])


@needs_fixtures
@pytest.mark.parametrize("steps", [50, 4])
def test_published_schedule(steps: int) -> None:
    """All of it in float64, to the last digits."""
    stated, plan = described("sampler")[f"steps_{steps}"], spaced_schedule(steps)
    assert plan.timesteps.tolist() == stated["timesteps"]
    ours = {
        "alphas_cumprod": plan.alpha_prod_t,
        "alphas_cumprod_prev": plan.alpha_prod_t_prev,
        "betas": 1 - plan.alpha_prod_t / plan.alpha_prod_t_prev,
        "sqrt_recip_alphas_cumprod": np.sqrt(1 / plan.alpha_prod_t),
        "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / plan.alpha_prod_t - 1),
        "posterior_variance": plan.variance,
        "posterior_mean_coef1": plan.pred_original_sample_coeff,
        "posterior_mean_coef2": plan.current_sample_coeff,
    }
    assert ours.keys() | {"timesteps", "posterior_log_variance_clipped"} == stated.keys()
    for name, values in ours.items():
        np.testing.assert_allclose(values, stated[name], rtol=1e-12, atol=1e-15, err_msg=name)


@needs_fixtures
def test_published_trajectory() -> None:
    """Four guided steps; the network's input and both its outputs at each."""
    io, control = published(), controlled("r100")
    context = torch.cat([io["in.context"], io["in.uncond_context"]])
    hint = io["in.hint"].expand(2, -1, -1, -1)
    visited: list[int] = []

    def predict(x: Tensor, step: int) -> Tensor:
        stored = f"sampler.step{len(visited)}."
        visited.append(step)
        level = torch.full((2,), step)
        eps = predict_noise(base(), control, x.expand(2, -1, -1, -1), hint, level, context)
        near(x, io[f"{stored}x_in"])
        near(eps[:1], io[f"{stored}eps_cond"])
        near(eps[1:], io[f"{stored}eps_uncond"])
        return eps[1:] + GUIDANCE * (eps[:1] - eps[1:])

    noise = iter(io["in.noise"])
    final = sample(predict, io["in.x_T"], 4, "ddpm-spaced", lambda: next(noise))
    assert visited == described("sampler")["trajectory"]["order_of_timesteps"]
    near(final, io["sampler.final"])
    assert next(noise, None) is None


# ----- the project's own numbers


def test_golden() -> None:
    """Weights first: other weights are another initialisation, not another network."""
    stored, found = load_file(FILE), golden_tensors()
    assert FILE.stat().st_size <= 40_000
    assert stored.keys() == found.keys()
    for name in ("weights", "noisy", "context"):
        assert torch.equal(found[name], stored[name]), name
    for name, tensor in stored.items():
        near(found[name], tensor)


def test_golden_values_are_worth_comparing() -> None:
    stored = load_file(FILE)
    for step in (0, 500, 999):
        alone = stored[f"eps.alone.{step}"]
        shown = [stored[f"eps.{ratio}.{step}"] for ratio in (1.0, 0.75, 0.5)]
        for k, eps in enumerate(shown):
            assert float((eps - alone).std()) > 0.1 * float(alone.std())
            assert all(float((eps - other).std()) > 0.01 for other in shown[:k])
    assert float((stored["eps.1.0.0"] - stored["eps.1.0.999"]).abs().max()) > 0.01
    assert float((stored["sampled.ddim"] - stored["sampled.ddpm-spaced"]).std()) > 0.1


# ----- control


def tiny_noise(
    unet: UNet2DConditionModel, control: ControlNetwork | None, step: int = 300
) -> Tensor:
    noisy, hint, context = inputs()
    return predict_noise(unet, control, noisy, hint, torch.tensor([step]), context[:1])


@pytest.mark.parametrize("ratio", [1.0, 0.75, 0.5])
def test_an_untrained_control_network_changes_nothing(ratio: float) -> None:
    fresh = build_control(UNET, ControlSettings(ratio=ratio, head_width=8), seed=2)
    assert all(float(layer.weight.abs().max()) == 0 for layer in zero_layers(fresh))
    alone = tiny_noise(tiny_unet(), None)
    assert torch.equal(tiny_noise(tiny_unet(), fresh), alone)
    assert torch.equal(tiny_noise(tiny_unet(), tiny_control(ratio, scale=0.0)), alone)
    assert not torch.equal(tiny_noise(tiny_unet(), tiny_control(ratio)), alone)


def test_every_injection_counts() -> None:
    """Each of the zero convolutions, by itself, moves the predicted noise."""
    unet, alone = tiny_unet(), tiny_noise(tiny_unet(), None)
    count = len(zero_layers(tiny_control()))
    assert count == 2 * 4 + 1  # conv_in, two residual blocks and a reduction; the middle
    seen = []
    for kept in range(count):
        control = tiny_control()
        for index, layer in enumerate(zero_layers(control)):
            if index != kept:
                layer.weight.zero_()
                layer.bias.zero_()
        seen.append(tiny_noise(unet, control))
        assert float((seen[-1] - alone).abs().max()) > 1e-3
    assert len({tuple(eps.flatten().tolist()) for eps in seen}) == count


def activations(
    network: torch.nn.Module, unet: UNet2DConditionModel, control: ControlNetwork
) -> list[Tensor]:
    """Outputs of all of a network's layers during an evaluation of both."""
    seen: list[Tensor] = []

    def keep(layer: torch.nn.Module, given: Any, made: Any) -> None:
        if isinstance(made, Tensor):
            seen.append(made)

    handles = [layer.register_forward_hook(keep) for layer in network.modules()]
    tiny_noise(unet, control)
    for handle in handles:
        handle.remove()
    return seen


def test_nothing_flows_from_base_to_control() -> None:
    control = tiny_control()
    ours, theirs = (activations(control, tiny_unet(seed), control) for seed in (1, 9))
    assert len(ours) > 60
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    # The other way everything behind the first injection depends on it.
    unet = tiny_unet()
    plain, changed = (activations(unet, unet, tiny_control(ratio)) for ratio in (1.0, 0.5))
    assert sum(not torch.equal(a, b) for a, b in zip(plain, changed, strict=True)) > 60


def test_hint_and_text_and_step_are_heard() -> None:
    unet, control = tiny_unet(), tiny_control()
    noisy, hint, context = inputs()
    level = torch.tensor([300])
    first = predict_noise(unet, control, noisy, hint, level, context[:1])
    for other in (
        predict_noise(unet, control, noisy, hint + 0.1, level, context[:1]),
        predict_noise(unet, control, noisy, hint, level, context[1:]),
        predict_noise(unet, control, noisy, hint, level + 100, context[:1]),
    ):
        assert float((first - other).abs().max()) > 1e-4
    alone = predict_noise(unet, None, noisy, hint, level, context[:1])
    assert torch.equal(alone, predict_noise(unet, None, noisy, None, level, context[:1]))
    with pytest.raises(AssertionError, match="needs the conditioning latent"):
        predict_noise(unet, control, noisy, None, level, context[:1])


def test_a_batch_is_its_images() -> None:
    unet, control = tiny_unet(), tiny_control()
    noisy, hint, context = inputs()
    pair, hints = torch.cat([noisy, hint]), torch.cat([hint, noisy])
    levels = torch.tensor([20, 900])
    both = predict_noise(unet, control, pair, hints, levels, context)
    for k in range(2):
        one = slice(k, k + 1)
        alone = predict_noise(unet, control, pair[one], hints[one], levels[one], context[one])
        near(both[one], alone, 1e-5)


@pytest.mark.parametrize("size", [(7, 12), (8, 11), (1, 1), (5, 3)])
def test_odd_sizes_are_continued_and_cut_off_again(size: tuple[int, int]) -> None:
    height, width = size
    noisy, hint, context = inputs(height, width)
    level, pad = torch.tensor([300]), (0, width % 2, 0, height % 2)
    padded = [torch.nn.functional.pad(x, pad, "replicate") for x in (noisy, hint)]
    for control in (tiny_control(), None):
        eps = predict_noise(tiny_unet(), control, noisy, hint, level, context[:1])
        whole = predict_noise(tiny_unet(), control, *padded, level, context[:1])
        assert eps.shape == noisy.shape
        assert whole.shape == padded[0].shape
        assert torch.equal(eps, whole[:, :, :height, :width])


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(11)
    first = tiny_unet(), tiny_control(0.5)
    after = torch.rand(1)
    torch.manual_seed(12)
    for one, other in zip(first, (tiny_unet(), tiny_control(0.5)), strict=True):
        state = other.state_dict()
        assert all(torch.equal(tensor, state[name]) for name, tensor in one.state_dict().items())
    torch.manual_seed(11)
    assert torch.equal(torch.rand(1), after)
    assert not torch.equal(tiny_unet(2).conv_in.weight, first[0].conv_in.weight)


def test_settings_survive_metadata() -> None:
    assert UnetSettings.read(json.loads(json.dumps(UNET.values()))) == UNET
    control = ControlSettings(0.75, 12, 4, 0.5)
    assert ControlSettings.read(json.loads(json.dumps(control.values()))) == control
    with pytest.raises(ValueError, match="2 channels, 1 attention"):
        UnetSettings(channels=(8, 8), attention=(True,))


# ----- diffusion


def test_the_schedule_is_stable_diffusions() -> None:
    kept = alphas_cumprod()
    assert kept.shape == (STEPS,)
    assert (np.diff(kept) < 0).all()
    root = math.sqrt(0.00085) + 1 / 999 * (math.sqrt(0.012) - math.sqrt(0.00085))
    assert kept[0] == pytest.approx(1 - 0.00085, rel=1e-14)
    assert kept[1] == pytest.approx((1 - 0.00085) * (1 - root**2), rel=1e-14)
    assert kept[-1] == pytest.approx(0.0046601, rel=1e-4)


@pytest.mark.parametrize("steps", [2, 3, 4, 7, 8, 50, 333, 999, 1000])
def test_spaced_schedules(steps: int) -> None:
    plan = spaced_schedule(steps)
    used = plan.timesteps.tolist()
    assert len(used) == steps
    assert (used[0], used[-1]) == (0, 999)
    assert used == sorted(set(used))
    assert all(abs(u - k * 999 / (steps - 1)) <= 0.501 for k, u in enumerate(used))
    # The posterior (Ho et al. 2020, eq. 7) keeps the marginal: mean and variance of x at the step
    # before, of a latent x_0 = 1, come out of those at the step.
    for k in range(steps):
        mean = plan.pred_original_sample_coeff[k] + plan.current_sample_coeff[k] * math.sqrt(
            plan.alpha_prod_t[k]
        )
        spread = plan.current_sample_coeff[k] ** 2 * (1 - plan.alpha_prod_t[k]) + plan.variance[k]
        assert mean == pytest.approx(math.sqrt(plan.alpha_prod_t_prev[k]), rel=1e-9)
        assert spread == pytest.approx(1 - plan.alpha_prod_t_prev[k], rel=1e-9, abs=1e-12)
    assert plan.variance[0] == plan.current_sample_coeff[0] == 0
    assert plan.pred_original_sample_coeff[0] == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("steps", [1, 0, -3, 1001])
def test_numbers_of_steps_that_are_none(steps: int) -> None:
    with pytest.raises(ConfigError, match=f"steps={steps}: sampling takes 2 to 1000"):
        spaced_schedule(steps)


def guess(x: Tensor, step: int) -> Tensor:
    """Stands for a network: bounded, and different at every step."""
    return (x * (0.4 + step / 3000)).sin() + 0.1 * x


def silence() -> Tensor:
    raise AssertionError("ddim asks for no noise")


@pytest.mark.parametrize("steps", [1000, 50, 4, 2])
def test_ddim_is_its_formula(steps: int) -> None:
    """Song et al. 2021, eq. 12 with sigma 0, written down again in float64."""
    start = torch.linspace(-2, 2, 9, dtype=torch.float64)
    x = start.clone()
    betas = [(0.00085**0.5 + k / 999 * (0.012**0.5 - 0.00085**0.5)) ** 2 for k in range(1000)]
    kept = [math.prod(1 - beta for beta in betas[: k + 1]) for k in range(1000)]
    used = [round(k * 999 / (steps - 1)) for k in range(steps)]
    for k in reversed(range(steps)):
        eps = guess(x, used[k])
        alpha, before = kept[used[k]], kept[used[k - 1]] if k else 1.0
        x = before**0.5 * (x - (1 - alpha) ** 0.5 * eps) / alpha**0.5 + (1 - before) ** 0.5 * eps
    found = sample(guess, start, steps, "ddim", silence)
    torch.testing.assert_close(found, x, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("steps", [2, 4, 50])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_who_knows_the_noise_finds_the_latent(sampler: str, steps: int) -> None:
    generator = torch.Generator().manual_seed(1)
    latent = torch.randn(1, 4, 5, 5, generator=generator, dtype=torch.float64)
    kept = alphas_cumprod()

    def predict(x: Tensor, step: int) -> Tensor:
        return (x - math.sqrt(kept[step]) * latent) / math.sqrt(1 - kept[step])

    def noise() -> Tensor:
        return torch.randn(latent.shape, generator=generator, dtype=torch.float64)

    found = sample(predict, noise(), steps, sampler, noise)
    torch.testing.assert_close(found, latent, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_latents_of_a_known_law_come_out_with_it(sampler: str) -> None:
    """Of latents with deviation 0.5 the best guess is linear: the samplers must give that back."""
    generator = torch.Generator().manual_seed(2)
    kept, variance = alphas_cumprod(), 0.25

    def predict(x: Tensor, step: int) -> Tensor:
        share = kept[step]
        return math.sqrt(1 - share) / (share * variance + 1 - share) * x

    def noise() -> Tensor:
        return torch.randn(20_000, generator=generator)

    found = sample(predict, noise(), 250, sampler, noise)
    assert float(found.std()) == pytest.approx(0.5, rel=0.04)
    assert abs(float(found.mean())) < 0.02


def test_the_last_step_of_ddpm_adds_no_noise() -> None:
    """Noise is asked for at every step, so that a seed means the same; the last is not used."""
    start = torch.linspace(-2, 2, 9)
    results = []
    for last in (0.0, 1000.0):
        given = [torch.ones(9), torch.ones(9), torch.ones(9), torch.full((9,), last)]
        queue = iter(given)
        results.append(sample(guess, start, 4, "ddpm-spaced", lambda queue=queue: next(queue)))
        assert next(queue, None) is None
    assert torch.equal(*results)
    other = iter([torch.ones(9), torch.ones(9), -torch.ones(9), torch.ones(9)])
    moved = sample(guess, start, 4, "ddpm-spaced", lambda: next(other))
    assert float((moved - results[0]).abs().min()) > 1e-3


@pytest.mark.parametrize(("steps", "start"), [(2, 1), (4, 3), (5, 400), (8, 998)])
def test_schedules_that_begin_later(steps: int, start: int) -> None:
    used = spaced_schedule(steps, start).timesteps.tolist()
    assert len(used) == len(set(used)) == steps
    assert (used[0], used[-1]) == (0, start)


@pytest.mark.parametrize(("steps", "start"), [(2, 0), (5, 3), (4, 1000), (4, -1)])
def test_starts_that_are_none(steps: int, start: int) -> None:
    with pytest.raises(ConfigError, match=f"start={start}: {steps} steps need {steps - 1} to 999"):
        spaced_schedule(steps, start)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_walk_that_begins_later(sampler: str) -> None:
    """From a latent with noise of that step; who knows the noise finds the latent."""
    generator = torch.Generator().manual_seed(4)
    latent, noise = torch.randn(2, 1, 4, 5, 5, generator=generator, dtype=torch.float64)
    noisy = add_noise(latent, noise, torch.tensor([400]))
    kept, seen = alphas_cumprod(), []

    def predict(x: Tensor, step: int) -> Tensor:
        seen.append(step)
        return (x - math.sqrt(kept[step]) * latent) / math.sqrt(1 - kept[step])

    found = sample(predict, noisy, 5, sampler, lambda: noise, start=400)
    assert seen == [400, 300, 200, 100, 0]
    torch.testing.assert_close(found, latent, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_predicted_latents_have_a_limit(sampler: str) -> None:
    """No value leaves it, where it binds; where it does not, nothing changes."""
    start = torch.linspace(-2, 2, 9)

    def wild(x: Tensor, step: int) -> Tensor:
        return -x

    free = sample(wild, start, 6, sampler, lambda: torch.zeros(9))
    held = sample(wild, start, 6, sampler, lambda: torch.zeros(9), clip=1.5)
    assert float(free.abs().max()) > 3
    assert float(held.abs().max()) <= 1.5 + 1e-5
    wide = sample(wild, start, 6, sampler, lambda: torch.zeros(9), clip=1e9)
    torch.testing.assert_close(wide, free, rtol=1e-4, atol=1e-4)


def test_added_noise_is_what_the_samplers_remove() -> None:
    generator = torch.Generator().manual_seed(3)
    latent, noise = torch.randn(2, 3, 4, 5, 5, generator=generator)
    level = torch.tensor([0, 500, 999])
    noisy = add_noise(latent, noise, level)
    kept = alphas_cumprod()
    for k, step in enumerate(level.tolist()):
        expected = math.sqrt(kept[step]) * latent[k] + math.sqrt(1 - kept[step]) * noise[k]
        torch.testing.assert_close(noisy[k], expected, rtol=1e-5, atol=1e-6)
    assert add_noise(latent, noise, level).dtype == torch.float32
