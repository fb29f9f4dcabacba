"""The LFGCM codec: published numbers, causality, one walk for both sides, gradients, rates."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from golden_diff_icmh import FILE, TINY, amplify, golden_tensors, inputs, symbols
from numeric_checks import near
from official import DIFF_ICMH as PUBLISHED
from official import needs
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from icmbench.codecs.diff_icmh.networks import layers
from icmbench.codecs.diff_icmh.networks.checkerboard import pack, unpack
from icmbench.codecs.diff_icmh.networks.lfgcm import FILE_NAMES, Lfgcm, build_lfgcm, snap
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.models.entropy_models import (
    LIKELIHOOD_FLOOR,
    EntropyBottleneck,
    gaussian_likelihood,
    lower_bound,
    round_through,
)

pytestmark = pytest.mark.usefixtures("one_thread")

needs_fixtures = needs(PUBLISHED)

# The published fixture's size: the rest are the defaults.
FIXTURE = LfgcmSettings(encoder=(8, 8, 16, 16), hyper=16, latent=24, prior=8, slices=(4, 4, 8, 8))
RATES = 4

Pass = tuple[Tensor, Tensor]


def is_constant(name: str) -> bool:
    """Whether a published tensor is a buffer of CompressAI's that is not learned."""
    constants = ("_offset", "_quantized_cdf", "_cdf_length", "target", "scale_table", "bound")
    return name.startswith("gaussian_conditional.") or name.endswith(constants)


@cache
def tiny(rates: int = 0) -> Lfgcm:
    settings = LfgcmSettings.read({**TINY.values(), "rates": rates})
    network = amplify(build_lfgcm(settings, 4)).eval()
    return network.requires_grad_(False)


def coding(settings: LfgcmSettings = TINY) -> Lfgcm:
    network = amplify(build_lfgcm(settings, 4)).eval().requires_grad_(False)
    network.entropy_to_double()
    return network


# ----- the published numbers


@cache
def fixture_network() -> Lfgcm:
    network = build_lfgcm(FIXTURE, 0).eval()
    state = load_file(PUBLISHED / "lfgcm_tiny.weights.safetensors")
    state = {name: tensor.float() for name, tensor in state.items() if not is_constant(name)}
    network.load_state_dict(state)  # strict: loading is an identity mapping
    return network.requires_grad_(False)


@cache
def fixture_tensors() -> dict[str, Tensor]:
    return load_file(PUBLISHED / "lfgcm_tiny.io.safetensors")


def fixture_values() -> dict[str, Any]:
    values: dict[str, Any] = json.loads((PUBLISHED / "lfgcm_tiny.json").read_text())
    return values


def merged(network: Lfgcm, passes: dict[tuple[int, bool], Tensor]) -> Tensor:
    slices = range(len(network.settings.slices))
    return torch.cat(
        [unpack(passes[i, True], True) + unpack(passes[i, False], False) for i in slices], 1
    )


def module_name(published: str) -> str:
    """The name of a published module in ours."""
    for ours, theirs in FILE_NAMES.items():
        if f"{published}.".startswith(f"{theirs}."):
            return ours + published.removeprefix(theirs)
    return {"hyper_dec": "h_s"}.get(published, published)


@needs_fixtures
def test_every_intermediate_is_the_published_one() -> None:
    network, expected = fixture_network(), fixture_tensors()
    names = [key.removeprefix("inter.") for key in expected if key.startswith("inter.")]
    found: dict[str, Tensor] = {}
    handles = [
        network.get_submodule(module_name(name)).register_forward_hook(
            lambda module, arguments, output, name=name: found.__setitem__(name, output)
        )
        for name in names
    ]
    network(expected["x"], expected["ref"])
    for handle in handles:
        handle.remove()
    assert found.keys() == set(names)
    assert len(names) == 47
    for name, output in found.items():
        near(output, expected[f"inter.{name}"])


@needs_fixtures
def test_every_output_is_the_published_one() -> None:
    network, expected = fixture_network(), fixture_tensors()
    y, z = network.analyse(expected["x"], expected["ref"])
    out = network(expected["x"], expected["ref"])
    hyper_params = network.hyper(out.z_hat)
    passes: dict[tuple[int, bool], Pass] = {}
    parts = network.split(y)

    def visit(scales: Tensor, means: Tensor, index: int, anchor: bool) -> Tensor:
        passes[index, anchor] = scales, means
        return (pack(parts[index], anchor) - means).round()

    near(network.walk(hyper_params, visit), expected["y_hat"])
    near(merged(network, {k: v[0] for k, v in passes.items()}), expected["scales"])
    near(merged(network, {k: v[1] for k, v in passes.items()}), expected["means"])
    near(y, expected["y"])
    near(z, expected["z"])
    near(out.z_hat, expected["z_hat"])
    near(hyper_params, expected["hyper_params"])
    near(network.f_c(out.z_hat), expected["f_c"])
    near(out.y_hat, expected["y_hat"])
    near(out.c, expected["c_latent"])
    near(out.y_likelihoods, expected["y_likelihoods"])
    near(out.z_likelihoods, expected["z_likelihoods"])
    near(network.entropy_bottleneck.medians().flatten(), expected["bottleneck.medians"])
    bits = fixture_values()["bits"]
    assert float(-out.y_likelihoods.log2().sum()) == pytest.approx(bits["y"], rel=1e-3)
    assert float(-out.z_likelihoods.log2().sum()) == pytest.approx(bits["z"], rel=1e-3)
    assert out.bits.tolist() == [pytest.approx(bits["y"] + bits["z"], rel=1e-3)]


@needs_fixtures
@pytest.mark.parametrize("double", [False, True])
def test_symbols_are_the_published_ones(double: bool) -> None:
    network, expected = fixture_network(), fixture_tensors()
    if double:
        network = build_lfgcm(FIXTURE, 0).eval()
        network.load_state_dict(fixture_network().state_dict())
        network.requires_grad_(False).entropy_to_double()
    y, z = network.analyse(expected["x"], expected["ref"])
    medians = network.entropy_bottleneck.medians()
    z_symbols = (z - medians).round()
    values, scales, ties = symbols(network, y, z_symbols + medians, exact=double)
    table = torch.linspace(math.log(0.11), math.log(256), 64, dtype=torch.float64).exp()
    near(table, expected["scale_table"])
    table = table.to(scales.dtype)
    below = table[:63] < scales.clamp(min=float(table[0]))[:, None]
    assert scales.dtype == (torch.float64 if double else torch.float32)
    assert torch.equal(z_symbols.int(), expected["compress.z_symbols"])
    assert torch.equal(values, expected["compress.y_symbols"])
    assert torch.equal(below.sum(1).int(), expected["compress.y_indexes"])
    margin = fixture_values()["rounding_margin"]["y"]
    assert float(ties.min()) == pytest.approx(margin, abs=1e-4)


@needs_fixtures
def test_names_and_shapes_are_the_published_ones() -> None:
    keys = json.loads((PUBLISHED / "published_keys.json").read_text())["keys"]["preprocess_model."]
    expected = {name.removeprefix("preprocess_model."): shape for name, shape in keys.items()}
    with torch.device("meta"):
        state = Lfgcm(LfgcmSettings()).state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == {
        name: shape for name, shape in expected.items() if not is_constant(name)
    }


# ----- the golden file of the project's own


def test_golden_file() -> None:
    assert FILE.stat().st_size <= 60_000
    expected, found = load_file(FILE), golden_tensors()
    assert found.keys() == expected.keys()
    for name in ("weights", "x", "ref"):
        near(found[name], expected[name])  # else the initialisation or the input has changed
    for name in ("y_symbols", "z_symbols"):
        assert torch.equal(found[name], expected[name])
    for name in set(expected) - {"ties"}:
        near(found[name].float(), expected[name].float())


# ----- the checkerboard and the walk


def test_colours_of_the_checkerboard() -> None:
    values = torch.arange(8).reshape(1, 1, 2, 4)
    assert pack(values, True).tolist() == [[[[1, 3], [4, 6]]]]
    assert pack(values, False).tolist() == [[[[0, 2], [5, 7]]]]
    board = torch.rand(2, 3, 6, 8)
    parts = [unpack(pack(board, anchor), anchor) for anchor in (True, False)]
    assert torch.equal(parts[0] + parts[1], board)
    assert not (parts[0] * parts[1]).any()
    assert not parts[0][..., 0, 0].any()


def test_parameters_come_from_earlier_passes_alone() -> None:
    network = coding()
    generator = torch.Generator().manual_seed(1)
    z_hat = torch.randn(1, TINY.hyper, 1, 1, generator=generator).round()
    hyper_params = network.hyper(z_hat)
    count = 2 * len(TINY.slices)
    residuals = [
        torch.randn(1, c, 4, 2, generator=generator).round() for c in TINY.slices for _ in range(2)
    ]

    def parameters(residuals: list[Tensor]) -> list[Pass]:
        found: list[Pass] = []

        def visit(scales: Tensor, means: Tensor, index: int, anchor: bool) -> Tensor:
            assert len(found) == 2 * index + (not anchor)  # anchors first, slices in order
            found.append((scales, means))
            return residuals[len(found) - 1]

        network.walk(hyper_params, visit)
        return found

    before = parameters(residuals)
    assert len(before) == count
    for changed in range(count):
        others = [each.clone() for each in residuals]
        others[changed][0, 0, 2, 1] += 3
        after = parameters(others)
        for place in range(count):
            same = all(map(torch.equal, before[place], after[place]))
            assert same == (place <= changed), (changed, place)


@pytest.mark.parametrize("rates", [0, RATES])
def test_decoder_walks_as_the_encoder(rates: int) -> None:
    settings = LfgcmSettings.read({**TINY.values(), "rates": rates})
    rate = rates - 2 if rates else None
    encoder, decoder = coding(settings), coding(settings)
    y, z = encoder.analyse(*inputs(), rate)
    medians = encoder.entropy_bottleneck.medians()
    z_symbols = (z - medians).round().int()
    parts = encoder.split(y)
    stream: list[tuple[Tensor, Tensor]] = []

    def encode(scales: Tensor, means: Tensor, index: int, anchor: bool) -> Tensor:
        residual = (pack(parts[index], anchor) - means).round()
        stream.append((residual.int(), scales))
        return residual

    z_hat = z_symbols + medians
    y_hat = encoder.walk(encoder.hyper(z_hat, rate), encode, exact=True)
    assert y_hat.dtype == torch.float64
    assert sum(symbols.count_nonzero() for symbols, _ in stream) > 50
    left = iter(stream)

    def decode(scales: Tensor, means: Tensor, index: int, anchor: bool) -> Tensor:
        symbols, expected = next(left)
        assert torch.equal(scales, expected)
        assert torch.equal(scales * 2**20, (scales * 2**20).round())
        assert torch.equal(means * 2**20, (means * 2**20).round())
        return symbols

    decoded = decoder.walk(decoder.hyper(z_symbols + medians, rate), decode, exact=True)
    assert torch.equal(decoded, y_hat)
    assert next(left, None) is None
    c = decoder.synthesise(decoded, z_symbols + medians, rate)
    assert c.dtype == torch.float32
    assert torch.equal(c, encoder.synthesise(y_hat, z_hat, rate))


def test_double_changes_the_entropy_model_alone() -> None:
    network = coding(LfgcmSettings.read({**TINY.values(), "rates": RATES}))
    decides = ("hyper_dec.", "local_context.", "channel_context.", "entropy_parameters_")
    for name, tensor in network.state_dict().items():
        expected = torch.float64 if name.startswith(decides) else torch.float32
        assert tensor.dtype == expected, name
    assert network(*inputs(), 1).c.dtype == torch.float32


def test_snap() -> None:
    values = torch.tensor([0.0, 0.3, -7.0000001, 2**-22, 1.5 * 2**-20]).double()
    snapped = snap(values)
    assert torch.equal(snapped * 2**20, (values * 2**20).round())
    assert float((snapped - values).abs().max()) <= 2**-21


def test_slices_and_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="slices of 9"):
        LfgcmSettings.read({**TINY.values(), "slices": [2, 2, 5]})
    with pytest.raises(ValueError, match="multiples of 64"):
        tiny().analyse(torch.zeros(1, 3, 64, 72), torch.zeros(1, 4, 8, 9))
    with pytest.raises(ValueError, match="ref of"):
        tiny().analyse(torch.zeros(1, 3, 64, 64), torch.zeros(1, 4, 8, 4))
    assert LfgcmSettings.read(json.loads(json.dumps(TINY.values()))) == TINY


# ----- training


def test_gradient_reaches_every_parameter() -> None:
    # Amplified: where z_hat is 0 all over, no gradient reaches the weights that multiply it.
    network = amplify(build_lfgcm(LfgcmSettings.read({**TINY.values(), "rates": 2}), 4)).train()
    x, ref = inputs(images=2)
    torch.manual_seed(1)
    out = network(x, ref, torch.tensor([0, 1]))
    loss = out.bits.sum() + out.c.square().sum()
    loss.backward()
    for name, parameter in network.named_parameters():
        if name == "entropy_bottleneck.quantiles":  # set after training
            assert parameter.grad is None
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.count_nonzero() > 0, name
    assert network.adapters is not None
    assert network.adapters.gain_y.grad is not None
    assert network.adapters.gain_y.grad.count_nonzero(1).all()


def test_bfloat16_keeps_the_integers() -> None:
    x, ref = inputs()
    expected = tiny()(x, ref)
    with torch.autocast("cpu", torch.bfloat16):
        out = tiny()(x, ref)
    assert out.y_likelihoods.dtype == out.z_likelihoods.dtype == torch.float32
    medians = tiny().entropy_bottleneck.medians()
    assert torch.equal(out.z_hat - medians, (out.z_hat - medians).round())
    torch.testing.assert_close(out.bits, expected.bits, rtol=0.05, atol=0)


def test_noise_is_in_the_likelihoods_alone() -> None:
    network = tiny()
    x, ref = inputs()
    rounded = network(x, ref)
    network.train()
    try:
        torch.manual_seed(2)
        first, second = network(x, ref), network(x, ref)
        torch.manual_seed(2)
        again = network(x, ref)
    finally:
        network.eval()
    assert torch.equal(first.bits, again.bits)
    assert not torch.equal(first.bits, second.bits)
    for out in (first, second):
        assert torch.equal(out.y_hat, rounded.y_hat)
        assert torch.equal(out.z_hat, rounded.z_hat)
        assert torch.equal(out.c, rounded.c)


def test_bits_are_those_of_every_image() -> None:
    x, ref = inputs(images=2)
    both = tiny()(x, ref)
    alone = [tiny()(x[i : i + 1], ref[i : i + 1]).bits for i in range(2)]
    assert both.bits.shape == (2,)
    assert not torch.equal(alone[0], alone[1])
    torch.testing.assert_close(both.bits, torch.cat(alone), rtol=1e-4, atol=0)


def test_rounding_and_floor_have_the_gradients_of_training() -> None:
    values = torch.tensor([-1.5, 0.5, 1.5, 2.4], requires_grad=True)
    rounded = round_through(values)
    assert rounded.tolist() == [-2, 0, 2, 2]
    weights = torch.tensor([1.0, 2, 3, 4])
    (rounded @ weights).backward()
    assert torch.equal(values.grad, weights)
    values = torch.tensor([0.0, 0.0, 1.0, 1.0, 2.0], requires_grad=True)
    bounded = lower_bound(values, 1.0)
    assert bounded.tolist() == [1, 1, 1, 1, 2]
    (bounded @ torch.tensor([-1.0, 1, 1, -1, 1])).backward()
    assert values.grad.tolist() == [-1, 0, 1, -1, 1]


def test_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (build_lfgcm(TINY, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["f_c.0.weight"], other["f_c.0.weight"])


# ----- rates


def test_identity_adapters_change_nothing() -> None:
    plain, adapted = tiny(), build_lfgcm(LfgcmSettings.read({**TINY.values(), "rates": 3}), 1)
    assert adapted.adapters is not None
    missing = adapted.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing == [f"adapters.{n}" for n in ("gain_y", "restore_y", "gain_z", "restore_z")]
    x, ref = inputs()
    expected = plain(x, ref)
    adapted.eval().requires_grad_(False)
    at_last = adapted(x, ref, 2)  # the highest rate starts as the identity
    for parameter in adapted.adapters.parameters():
        parameter.zero_()
    for out in (at_last, adapted(x, ref, 0)):
        for name in ("c", "y_hat", "z_hat", "y_likelihoods", "z_likelihoods", "bits"):
            assert torch.equal(getattr(out, name), getattr(expected, name)), name


def test_rates_rise_with_their_index() -> None:
    network = tiny(RATES)
    x, ref = inputs()
    bits = [float(network(x, ref, rate).bits) for rate in range(RATES)]
    assert bits == sorted(bits)
    assert bits[0] < 0.8 * bits[-1]
    gains = network.adapters.gain_y.exp()[:, 0]
    assert gains.tolist() == pytest.approx([1 / 8, 1 / 4, 1 / 2, 1])
    assert torch.equal(network.adapters.restore_y, -network.adapters.gain_y)
    gains = network.adapters.gain_z.exp()[:, 0]
    assert gains.tolist() == pytest.approx([5**-1, 5 ** (-2 / 3), 5 ** (-1 / 3), 1])
    assert torch.equal(network.adapters.restore_z, -network.adapters.gain_z)


def test_a_rate_per_image() -> None:
    network = tiny(RATES)
    x, ref = inputs(images=2)
    both = network(x, ref, torch.tensor([3, 1]))
    for image, rate in enumerate((3, 1)):
        alone = network(x[image : image + 1], ref[image : image + 1], rate)
        torch.testing.assert_close(both.bits[image : image + 1], alone.bits, rtol=1e-4, atol=0)
        near(both.c[image : image + 1], alone.c)


@pytest.mark.parametrize(
    ("rates", "rate", "message"),
    [
        (0, 1, "no adapters"),
        (RATES, None, "4 rates"),
        (RATES, 4, "expected 0 to 3"),
        (RATES, -1, "expected 0 to 3"),
        (RATES, torch.tensor([0, 1]), "1 images"),
    ],
)
def test_wrong_rates(rates: int, rate: int | Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(rates).analyse(*inputs(), rate)


# ----- entropy models


def random_bottleneck(channels: int, seed: int = 1) -> EntropyBottleneck:
    generator = torch.Generator().manual_seed(seed)
    bottleneck = EntropyBottleneck(channels)
    with torch.no_grad():
        for group in (bottleneck.matrices, bottleneck.biases, bottleneck.factors):
            for parameter in group:
                parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
    return bottleneck


def test_gaussian_sums_to_one() -> None:
    generator = torch.Generator().manual_seed(1)
    scales = 0.2 + 30 * torch.rand(20, 1, generator=generator)
    scales[:5] *= -1  # raw, floored
    means = 4 * torch.randn(20, 1, generator=generator)
    integers = torch.arange(-400.0, 401)
    likelihoods = gaussian_likelihood(integers - means, scales.expand(20, 801))
    torch.testing.assert_close(likelihoods.sum(1), torch.ones(20), rtol=0, atol=1e-4)
    floored = gaussian_likelihood(torch.tensor([0.0, 50.0]), torch.tensor([-3.0, 0.5]))
    assert floored[0] == gaussian_likelihood(torch.zeros(1), torch.full((1,), 0.11))
    assert floored[1] == torch.tensor(LIKELIHOOD_FLOOR)
    half = torch.tensor([1.2]).bfloat16()
    assert gaussian_likelihood(half, half).dtype == torch.float32


def test_bottleneck_sums_to_one_per_channel() -> None:
    bottleneck = random_bottleneck(6)
    integers = torch.arange(-1500.0, 1501)
    values = integers.expand(2, 6, 1, -1) + torch.tensor([0.0, 0.3])[:, None, None, None]
    likelihoods = bottleneck.likelihood(values)
    assert likelihoods.shape == values.shape
    torch.testing.assert_close(likelihoods.sum((2, 3)), torch.ones(2, 6), rtol=0, atol=1e-4)
    assert likelihoods[0].var(0).max() > 0  # channels have distributions of their own
    untrained = EntropyBottleneck(1).likelihood(torch.zeros(1, 1, 1, 1)).detach()
    assert float(untrained) == pytest.approx(0.025, rel=0.1)  # logistic, of the scale 10


def test_state_dictionaries_have_the_published_names() -> None:
    """Files keep them; a tensor by the name of a module is refused like any unknown one."""
    network = build_lfgcm(TINY, 6)
    state = network.state_dict()
    assert {name.split(".")[0] for name in state} == {
        *("encoder", "hyper_enc", "hyper_dec", "decoder", "f_c", "entropy_bottleneck"),
        *("local_context", "channel_context"),
        *("entropy_parameters_anchor", "entropy_parameters_nonanchor"),
    }
    assert len(state) == len([*network.parameters()])
    assert torch.equal(state["hyper_dec.hyper_dec.2.bias"], network.h_s[2].bias)
    other = torch.nn.ModuleDict({"codec": build_lfgcm(TINY, 7)})
    other.load_state_dict({f"codec.{name}": tensor for name, tensor in state.items()})
    assert all(map(torch.equal, other.state_dict().values(), state.values()))
    assert torch.equal(other["codec"].g_a.g_a6.weight, network.g_a.g_a6.weight)
    own = {name.replace("decoder.", "g_s.", 1): tensor for name, tensor in state.items()}
    for wrong in (own, {**state, "g_s.g_s4.bias": state["decoder.g_s4.bias"]}):
        with pytest.raises(RuntimeError, match=r"Unexpected key.*g_s\.g_s4\.bias"):
            network.load_state_dict(wrong)


STRIDED_BLOCKS = """
import torch
from icmbench.codecs.diff_icmh.networks.layers import ResidualBlockWithStride

torch.set_num_threads(1)
for inputs, outputs, side in ((3, 4, 128), (4, 8, 64), (8, 16, 64)):
    block = ResidualBlockWithStride(inputs, outputs).to(memory_format=torch.channels_last)
    for _ in range(20):
        x = torch.randn(8, inputs, side, side).contiguous(memory_format=torch.channels_last)
        block(x.requires_grad_()).square().sum().backward()
"""


def test_training_a_block_with_a_stride_keeps_to_its_memory() -> None:
    """With the published layer's own forward pass it aborts on CPUs with AVX-512 (torch 2.14)."""
    env = {**os.environ, "MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "165"}
    done = subprocess.run(
        [sys.executable, "-c", STRIDED_BLOCKS], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])


def test_a_block_with_a_stride_is_the_published_one() -> None:
    """Its shortcut is a 1x1 convolution with a stride, whichever way it is computed."""
    block = layers.ResidualBlockWithStride(5, 6)
    x = torch.randn(2, 5, 9, 12)
    branch = functional.leaky_relu(block.conv1(x), 0.01)
    branch = functional.leaky_relu(block.conv2(branch), 0.1)
    torch.testing.assert_close(block(x), branch + block.downsample(x))


@pytest.mark.parametrize("linear", [False, True])
def test_with_a_linear_transform_a_factor_is_limited(linear: bool) -> None:
    """Whatever the side feature, a modulation at most doubles; the published one does not stop."""
    lfgcm = build_lfgcm(replace(TINY, linear=linear), 1).double()
    found = [module for module in lfgcm.modules() if isinstance(module, layers.SFT)]
    assert len(found) == 18
    for module in found:
        side = 1e4 * torch.randn(1, module.mlp_shared[0].in_channels, 4, 4).double()
        x = torch.randn(1, module.mlp_gamma.out_channels, 4, 4).double()
        with torch.no_grad():
            factor = (module(x, side) - module(torch.zeros_like(x), side)) / x
        within = factor.min() > -1e-2 and factor.max() < 2 + 1e-2
        assert bool(within) == linear
