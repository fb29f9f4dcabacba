"""Memory and arithmetic of a training step of Diff-ICMH's codec, from shapes: nothing is computed.

Forward pass and gradient run on torch's fake tensors. Every tensor's memory is counted from its
first use to its last; workspaces of CUDA's libraries are not. Autocast follows the CPU's rules,
with the norms in float32 as on a GPU.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from icmbench.codecs.diff_icmh.model_folder import TEXT
from icmbench.codecs.diff_icmh.networks.control import ControlSettings, build_control
from icmbench.codecs.diff_icmh.networks.lfgcm import build_lfgcm
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.codecs.diff_icmh.networks.unet import UnetSettings, build_unet
from icmbench.codecs.diff_icmh.text import Conditioned
from icmbench.codecs.diff_icmh.training.losses import (
    CodecNetworks,
    FrozenNetworks,
    LossWeights,
    codec_losses,
)
from icmbench.core.errors import ConfigError, ModelError
from icmbench.models.headers import FILE_METADATA, file_header, read_header
from icmbench.models.latent_autoencoder import LatentAutoencoder, build_layout

NORMS: Final = (torch.nn.GroupNorm, torch.nn.LayerNorm)
MARGIN: Final = 1.1  # for workspaces and fragments
CONTEXT: Final = 1_000_000_000  # bytes that CUDA and its libraries take before any tensor
ATTENTION: Final = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
ATTENTION_BACKWARD: Final = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True)
class TrainedSizes:
    """Sizes of all networks of a training step.

    Attributes:
        layout, autoencoder: of the autoencoder's weight file.
        tokens: length of a text.
        conditioning: parameters of the text encoder or the embedder.
    """

    unet: UnetSettings
    lfgcm: LfgcmSettings
    control: ControlSettings
    layout: str | None
    autoencoder: Mapping[str, Any]
    tokens: int
    conditioning: int


@dataclass(frozen=True)
class StepCost:
    """Cost of a training step on one GPU, in bytes and operations.

    Attributes:
        weights: of all networks, float32.
        states: gradients, two moments of AdamW, and the average where there is one, float32.
        activations: largest sum of all other tensors that live at once, the second gradient of a
            weight included, which is added to that of an earlier micro-batch.
        flops: floating-point operations of the micro-batch, a multiply-add counts two.
    """

    weights: int
    states: int
    activations: int
    flops: float

    @property
    def memory(self) -> int:
        """Bytes of all together."""
        return self.weights + self.states + self.activations


def step_cost(
    sizes: TrainedSizes,
    losses: LossWeights,
    *,
    crop: int,
    micro_batch: int,
    bfloat16: bool,
    recompute: bool,
    averaged: bool,
) -> StepCost:
    """Count the cost of a step on `micro_batch` crops of `crop` pixels a side."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        network, frozen = _networks(sizes)
        if recompute:
            for unet in (frozen.prior.unet, network.control.encoder):
                unet.enable_gradient_checkpointing()
        network.train()
        network.lfgcm.requires_grad_(not losses.freeze_codec)
        modules = (network, frozen.model.network, frozen.prior)
        held = [p for module in modules for p in (*module.parameters(), *module.buffers())]
        trained = [p for p in network.parameters() if p.requires_grad]
        for parameter in trained:  # of an earlier micro-batch
            parameter.grad = torch.zeros_like(parameter)
        memory = _Memory([*held, *(p.grad for p in trained if p.grad is not None)])
        counted = FlopCounterMode(
            display=False,
            custom_mapping={ATTENTION: _attention, ATTENTION_BACKWARD: _attention_backward},
        )
        if bfloat16:
            for module in modules:
                _norms_in_float32(module)
        with counted, memory:
            tags = [()] * micro_batch
            pixels = torch.zeros(micro_batch, 3, crop, crop)
            timesteps = torch.zeros(micro_batch * losses.timesteps, dtype=torch.long)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                terms = codec_losses(network, frozen, pixels, tags, timesteps, 0, losses)
            terms["loss"].backward()  # type: ignore[no-untyped-call]
    count = sum(p.numel() for p in trained)
    return StepCost(
        weights=4 * (sum(p.numel() for p in held) + sizes.conditioning),
        states=4 * count * (4 if averaged else 3),
        activations=memory.peak,
        flops=float(counted.get_total_flops()),
    )


class _Memory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the storages that live, and their maximum; those of `known` do not count."""

    def __init__(self, known: Iterable[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._living: dict[int, Any] = {t.untyped_storage()._cdata: None for t in known}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, torch.Tensor):
                self._hold(tensor.untyped_storage())
        return found

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._living:
            return

        def free(_: Any) -> None:
            del self._living[key]
            self.now -= size

        self._living[key] = weakref.ref(storage, free)
        self.now += size
        self.peak = max(self.peak, self.now)


def _norms_in_float32(network: torch.nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, NORMS):
            module.register_forward_pre_hook(lambda _, given: (given[0].float(), *given[1:]))


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    found: int = sdpa_flop_count(query, key, value)  # type: ignore[no-untyped-call]
    return found


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    found: int = sdpa_backward_flop_count(grad, query, key, value)  # type: ignore[no-untyped-call]
    return found


class _Context(torch.nn.Module):
    """Texts of a size; no text encoder is run."""

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.shape = (tokens, channels)

    def forward(self, sets: Sequence[Sequence[int]]) -> torch.Tensor:
        """Zeros (n, tokens, channels)."""
        return torch.zeros(len(sets), *self.shape)


def _networks(sizes: TrainedSizes) -> tuple[CodecNetworks, FrozenNetworks]:
    """The networks of a step, without values."""
    network = CodecNetworks(
        build_lfgcm(sizes.lfgcm, 0), build_control(sizes.unet, sizes.control, 0)
    )
    autoencoder = build_layout(sizes.layout, dict(sizes.autoencoder))
    autoencoder.eval().requires_grad_(False)
    channels = sizes.unet.latent
    zeros, ones = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    model = LatentAutoencoder(
        Path(), autoencoder, zeros, ones, metadata={}, limit=1, carried=channels
    )
    context = _Context(sizes.tokens, sizes.unet.context)
    prior = Conditioned(build_unet(sizes.unet, 0), context, (), sizes.unet)
    return network, FrozenNetworks(model, prior, {})


def sizes_of(
    prior: Path, autoencoder: Path, lfgcm: LfgcmSettings, control: ControlSettings
) -> TrainedSizes:
    """Sizes of a training on two weight files, from their headers; ModelError for others."""
    about, latent = read_header(prior), read_header(autoencoder)
    text = prior.with_name(f"{TEXT}.safetensors")
    try:
        settings = about["network"]
        encoder = read_header(text)["network"] if settings["kind"] == "clip" else {}
        return TrainedSizes(
            unet=UnetSettings.read(settings["unet"]),
            lfgcm=lfgcm,
            control=control,
            layout=latent.get("layout"),
            autoencoder=latent["network"],
            tokens=encoder["max_position_embeddings"] if encoder else settings["tokens"],
            conditioning=_numbers(text) if encoder else 0,
        )
    except (KeyError, TypeError) as error:
        raise ModelError(f"{prior}: its metadata is incomplete: {error}") from error


def _numbers(path: Path) -> int:
    """Number of values in a weight file, of whatever type."""
    entries = file_header(path)
    return sum(prod(e["shape"]) for name, e in entries.items() if name != FILE_METADATA)


def check_memory(cost: StepCost, free: int, device: str) -> None:
    """ConfigError where a step does not fit into the free memory of a GPU, in bytes."""
    needed = cost.memory * MARGIN + CONTEXT
    if needed <= free:
        return
    weights, states, rest = (
        f"{part / 1e9:.1f} GB" for part in (cost.weights, cost.states, cost.activations)
    )
    raise ConfigError(
        f"training.compute: a step needs {needed / 1e9:.1f} GB of the GPU ({weights} of weights, "
        f"{states} of gradients, moments and averages, {rest} of activations; computed), and "
        f"{free / 1e9:.1f} GB of {device} are free: lower micro_batch, set recompute to true, "
        "lower training.crop, or take a larger GPU"
    )
