"""Sizes of the networks in a published Diff-ICMH checkpoint, read off the shapes of its tensors."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, takewhile
from typing import Any, Final

import numpy as np
from torch import Tensor

from icmbench.codecs.diff_icmh.importing.lookup import published_name
from icmbench.codecs.diff_icmh.importing.names import LAYERS, SCALE, TEXT_BLOCKS
from icmbench.codecs.diff_icmh.networks.control import (
    ControlSettings,
    build_control,
    control_channels,
)
from icmbench.codecs.diff_icmh.networks.lfgcm import build_lfgcm
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.codecs.diff_icmh.networks.unet import UnetSettings, block_channels, build_unet
from icmbench.models.ldm import kl_settings

LATENT_SCALE: Final = 0.18215  # the diffusion model's latent is the autoencoder's times this
TEXT_HEAD_WIDTH: Final = 64  # of OpenCLIP's text encoders; no shape holds it

Shape = tuple[int, ...]
State = Mapping[str, Tensor]
Described = tuple[dict[str, Any], State]  # settings, and the tensors of a network of that size


class Unknown(Exception):
    """The published name of a tensor without which the size of a network cannot be found."""


class Sizes:
    """Sizes of the networks, from the shapes of their tensors by part and our name.

    Raises Unknown where a tensor is missing, ValueError where shapes do not fit together.
    """

    def __init__(self, shapes: Mapping[str, Mapping[str, Shape]]) -> None:
        self.shapes = shapes
        self.unet: UnetSettings | None = None

    def joints(self) -> Iterator[tuple[str, int | None, int | None]]:
        """Channels on both sides where parts meet; None where a side is unknown."""
        latent = self._axis("prior", "unet.conv_in.weight", 1)
        inputs = self._axis("control", "encoder.conv_in.weight", 1)
        hint = None if inputs is None or latent is None else inputs - latent
        coded = self._axis(*_CODED)
        context = None if self.unet is None else self.unet.context
        yield "latent of autoencoder and prior", self._axis(*_LATENT), latent
        yield "latent of codec and prior", coded, latent
        yield "latent of codec and hint of control", coded, hint
        yield "text and context of prior", self._axis("text", _TOKENS, 1), context

    def _axis(self, part: str, name: str, axis: int) -> int | None:
        shape = self.shapes[part].get(name, ())
        return shape[axis] if axis < len(shape) else None

    def _side(self, part: str, name: str, axis: int) -> int:
        """The size of a tensor along an axis; Unknown where it is empty or has too few axes."""
        size = self._axis(part, name, axis)
        if not size:
            raise Unknown(published_name(part, name))
        return size

    def _counted(self, part: str, pattern: str, axis: int) -> list[int]:
        """Sizes of the tensors that a pattern names for 0, 1, ... as far as they go."""
        names = map(pattern.format, count())
        return [
            self._side(part, name, axis)
            for name in takewhile(self.shapes[part].__contains__, names)
        ]

    def autoencoder(self) -> Described:
        """Arguments of diffusers' `AutoencoderKL`."""
        from diffusers import AutoencoderKL

        settings = kl_settings(functools.partial(self._side, "autoencoder"))
        settings["scaling_factor"] = LATENT_SCALE
        return settings, AutoencoderKL(**settings).state_dict()

    def prior(self, head_width: int) -> Described:
        """`UnetSettings` under `unet`."""
        part, first = "prior", "unet.conv_in.weight"
        channels = self._counted(part, "unet.down_blocks.{}.resnets.0.conv1.weight", 0)
        attention = [
            any(name.startswith(f"unet.down_blocks.{i}.attentions.") for name in self.shapes[part])
            for i in range(len(channels))
        ]
        # The middle has attention whatever the resolutions have.
        attending = [c for c, a in zip(channels, attention, strict=True) if a] + channels[-1:]
        uneven = [c for c in attending if c % head_width]
        if uneven:
            text = f"heads of {head_width} channels do not fit into {uneven[0]}"
            raise ValueError(f"{text}; --head-width names the width that the checkpoint has")
        context = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
        self.unet = UnetSettings(
            latent=self._side(part, first, 1),
            channels=tuple(channels),
            layers=LAYERS,
            attention=tuple(attention),
            head_width=head_width,
            context=self._side(part, context, 1),
        )
        tensors = build_unet(self.unet, 0).state_dict()
        return (
            {"kind": "clip", "unet": self.unet.values()},
            {f"unet.{name}": tensor for name, tensor in tensors.items()},
        )

    def text(self) -> Described:
        """Arguments of transformers' `CLIPTextConfig`."""
        # Seconds to load, and only here.
        from transformers import CLIPTextConfig, CLIPTextModel

        part = "text"
        width = self._side(part, _TOKENS, 1)
        settings: dict[str, Any] = {
            "vocab_size": self._side(part, _TOKENS, 0),
            "hidden_size": width,
            "intermediate_size": self._side(part, "encoder.layers.0.mlp.fc1.weight", 0),
            "num_hidden_layers": TEXT_BLOCKS - 1,
            "num_attention_heads": max(1, width // TEXT_HEAD_WIDTH),
            "max_position_embeddings": self._side(part, _POSITIONS, 0),
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-5,
        }
        return settings, CLIPTextModel(CLIPTextConfig(**settings)).state_dict()

    def codec(self) -> Described:
        """`LfgcmSettings`."""
        part = "codec"
        slices = self._counted(part, "local_context.{}.weight", 1)
        strided = ("g_a1.0", "g_a1.4", "g_a1.8", "g_a2.0")
        hidden = LfgcmSettings().context_hidden
        if len(slices) > 1:  # the first has no context
            names = (f"channel_context.1.fushion.{index}.weight" for index in (0, 2))
            hidden = tuple(self._side(part, name, 0) for name in names)
        settings = LfgcmSettings(
            in_channels=self._side(part, "encoder.g_a1.0.conv1.weight", 1),
            out_channels=self._side(*_CODED),
            encoder=tuple(self._side(part, f"encoder.{n}.conv1.weight", 0) for n in strided),
            hyper=self._side(part, "hyper_enc.h_a0.weight", 0),
            latent=self._side(part, "encoder.g_a6.weight", 0),
            prior=self._side(part, "encoder.sft_1_8.0.weight", 0),
            slices=tuple(slices),
            sft_hidden=self._side(part, "encoder.g_a1_ref.mlp_shared.0.weight", 0),
            context_hidden=hidden,
            rates=0,
        )
        return settings.values(), build_lfgcm(settings, 0).state_dict()

    def control(self, head_width: int, state: State) -> Described:
        """`ControlSettings`; after the prior, whose size belongs to it."""
        unet = self.unet
        if unet is None:
            raise Unknown(published_name("prior", "unet.conv_in.weight"))
        part, first = "control", "encoder.conv_in.weight"
        own = self._counted(part, "encoder.down_blocks.{}.resnets.0.conv1.weight", 0)
        settings = ControlSettings(
            ratio=control_ratio(own, unet.channels),
            head_width=head_width,
            hint=self._side(part, first, 1) - unet.latent,
            scale=_scale(state, unet),
        )
        return settings.values(), build_control(unet, settings, 0).state_dict()


_LATENT: Final = ("autoencoder", "decoder.conv_in.weight", 1)
_CODED: Final = ("codec", "decoder.g_s4.weight", 0)
_TOKENS: Final = "embeddings.token_embedding.weight"
_POSITIONS: Final = "embeddings.position_embedding.weight"


def control_ratio(own: Sequence[int], base: Sequence[int]) -> float:
    """The shortest decimal that gives the control's channels.

    Raises ValueError where no ratio does.
    """
    if len(own) == len(base):
        least = max(o / b for o, b in zip(own, base, strict=True))
        for digits in range(1, 10):
            for ratio in (round(least, digits), round(least + 0.5 * 10**-digits, digits)):
                if control_channels(base, ratio) == list(own):
                    return ratio
    raise ValueError(f"channels {list(own)} are in no ratio to the prior's {list(base)}")


def _scale(state: State, unet: UnetSettings) -> float:
    """Scale of the injected features, which the published network may store per injection."""
    if SCALE not in state:
        raise Unknown(SCALE)
    injections = 2 * len(block_channels(unet.channels, unet.layers)) + 1
    scales = state[SCALE]
    if scales.shape != (injections,):
        raise ValueError(f"scale_list has the shape {tuple(scales.shape)}, not ({injections},)")
    values = set(scales.double().tolist())
    if len(values) != 1 or not np.isfinite(scale := values.pop()):
        raise ValueError("scale_list is not constant: an injection has another scale")
    return float(scale)
