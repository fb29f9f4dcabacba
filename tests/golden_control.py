"""The golden file of the controlled UNet; `python tests/golden_control.py` writes it again.

It holds what untrained networks make of seeded inputs, and a few of the networks' weights: a change
of the initialisation is told apart from a change of the networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save
from torch import Tensor

from icmbench.codecs.diff_icmh.networks.control import (
    ControlNetwork,
    ControlSettings,
    build_control,
    middle_features,
    predict_noise,
)
from icmbench.codecs.diff_icmh.networks.unet import UnetSettings, build_unet
from icmbench.codecs.diff_icmh.sampling import (
    SAMPLERS,
    STEPS,
    Predict,
    sample_ddim,
    sample_ddpm_spaced,
    spaced_schedule,
    unit_noise,
)
from icmbench.core.files import write_bytes

FILE = Path(__file__).parent / "data" / "diff_icmh" / "control_golden.safetensors"
RATIOS = (1.0, 0.75, 0.5)
TIMESTEPS = (0, 500, 999)

# Two resolutions, one of them without attention, and head widths that do not divide all channels.
# Of 32 channels and fewer each is normalised by itself, and the step, which is added, is lost.
UNET = UnetSettings(
    latent=4, channels=(40, 72), layers=1, attention=(True, False), head_width=16, context=12
)


def tiny_unet(seed: int = 1) -> UNet2DConditionModel:
    return build_unet(UNET, seed).eval().requires_grad_(False)


def zero_layers(control: ControlNetwork) -> list[torch.nn.Conv2d]:
    layers = [*control.enc_zero, control.mid_zero, *control.dec_zero]
    assert all(isinstance(layer, torch.nn.Conv2d) for layer in layers)
    return layers  # type: ignore[return-value]


def tiny_control(ratio: float = 1.0, scale: float = 1.0) -> ControlNetwork:
    """As trained: its injections are not zero."""
    control = build_control(UNET, ControlSettings(ratio=ratio, head_width=8, scale=scale), 2)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer in zero_layers(control):
            layer.weight.copy_(0.3 * torch.randn(layer.weight.shape, generator=generator))
            layer.bias.copy_(0.1 * torch.randn(layer.bias.shape, generator=generator))
    return control.eval().requires_grad_(False)


def inputs(height: int = 8, width: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    """x_t, c and two texts, of which the second is the empty one."""
    generator = torch.Generator().manual_seed(4)
    noisy = torch.randn(1, 4, height, width, generator=generator)
    hint = torch.randn(1, 4, height, width, generator=generator)
    return noisy, hint, torch.randn(2, 5, UNET.context, generator=generator)


def sample(
    predict: Predict,
    x_t: Tensor,
    steps: int,
    sampler: str,
    noise: Callable[[], Tensor],
    *,
    start: int = STEPS - 1,
    clip: float | None = None,
) -> Tensor:
    """A latent by one of the two samplers."""
    schedule = spaced_schedule(steps, start)
    if sampler == "ddim":
        return sample_ddim(predict, x_t, schedule, clip=clip)
    return sample_ddpm_spaced(predict, x_t, schedule, noise, clip=clip)


def guided(sampler: str) -> Tensor:
    """Four steps at a guidance of 2."""
    unet, control = tiny_unet(), tiny_control()
    noisy, hint, context = inputs()
    generator = torch.Generator().manual_seed(5)

    def predict(x: Tensor, step: int) -> Tensor:
        both, hints = x.expand(2, -1, -1, -1), hint.expand(2, -1, -1, -1)
        eps = predict_noise(unet, control, both, hints, torch.full((2,), step), context)
        return eps[1:] + 2 * (eps[:1] - eps[1:])

    return sample(predict, noisy, 4, sampler, lambda: unit_noise(tuple(noisy.shape), generator))


def _outputs() -> Iterator[tuple[str, Tensor]]:
    unet = tiny_unet()
    noisy, hint, context = inputs()
    yield "noisy", noisy
    yield "context", context
    weights = [*unet.parameters(), *tiny_control().parameters()]
    yield "weights", torch.stack([p.flatten()[0] for p in weights])
    for step in TIMESTEPS:
        level = torch.tensor([step])
        yield f"eps.alone.{step}", predict_noise(unet, None, noisy, None, level, context[:1])
        for ratio in RATIOS:
            control = tiny_control(ratio)
            eps = predict_noise(unet, control, noisy, hint, level, context[:1])
            yield f"eps.{ratio}.{step}", eps
    yield "middle", middle_features(unet, hint, torch.tensor([0]), context[:1])
    for sampler in SAMPLERS:
        yield f"sampled.{sampler}", guided(sampler)


def golden_tensors() -> dict[str, Tensor]:
    """What the file holds, computed anew."""
    with torch.no_grad():
        return dict(_outputs())


def make_control_golden() -> None:
    """Write the file."""
    tensors = {name: tensor.contiguous() for name, tensor in golden_tensors().items()}
    write_bytes(FILE, save(tensors))


if __name__ == "__main__":
    torch.set_num_threads(1)
    make_control_golden()
