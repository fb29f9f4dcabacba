"""Names of a published Diff-ICMH checkpoint, and what they are called in a model folder of ours.

The published file keeps everything under one root, with the names of the latent-diffusion code
that it grew out of. Here every name is taken apart exactly once; what these tables do not spell
out is not known, and an importer refuses it. Sizes are not looked at, apart from three counts that
names depend on: `LAYERS`, `LEVELS` and `TEXT_BLOCKS`, those of Stable Diffusion 2.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

PARTS: Final = ("autoencoder", "prior", "text", "codec", "control")

LAYERS: Final = 2  # residual blocks per resolution of the UNet's and the autoencoder's encoder
LEVELS: Final = 4  # resolutions of the autoencoder, whose decoder counts them the other way round
TEXT_BLOCKS: Final = 24  # of the text encoder; the last is not evaluated

PREFIXES: Final = {
    "autoencoder": "first_stage_model.",
    "prior": "model.diffusion_model.",
    "text": "cond_stage_model.model.",
    "codec": "preprocess_model.",
    "control": "control_model.",
}
TAGGER: Final = "preprocess_tag_model."
SCALE: Final = "control_model.scale_list"

# How a tensor becomes ours: as it is, a 1 x 1 convolution as a matrix, or a third of its rows.
Transform = Literal["same", "linear", "third-0", "third-1", "third-2"]


@dataclass(frozen=True)
class Target:
    """Where a published tensor goes: one of the `PARTS`, the name there, and how it is changed."""

    part: str
    name: str
    transform: Transform = "same"


@dataclass(frozen=True)
class Dropped:
    """A published tensor that is known and not taken over.

    Attributes:
        group: what it is counted with.
        reason: why nothing is lost.
    """

    group: str
    reason: str


Renamed = tuple[Target, ...] | Dropped | None

SCHEDULE: Final = (
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "logvar",
)
_SCHEDULE = Dropped("schedule", "checked against our schedule, which is computed")
_AVERAGE = Dropped("moving average", "counters of the training")
_SCALE = Dropped("control scale", "constant, and in the control's settings")
_TAGGER = Dropped(
    "tag model", "the encoder's side alone; not converted, the decoder never needs it"
)
_UNUSED = Dropped("text, unused", "the diffusion model reads what comes before the last block")
_BUFFERS = Dropped("codec, derived", "constants and tables, computed from the weights")

_NUMBER = r"(0|[1-9][0-9]*)"
_LEAF = r"(weight|bias)"

RESNET: Final = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_BLOCK = "transformer_blocks.0."
_PROJECTIONS: Final = ("to_q", "to_k", "to_v", "to_out.0")
_IN_BLOCK: Final = (
    *(f"{attention}.{name}" for attention in ("attn1", "attn2") for name in _PROJECTIONS),
    *("ff.net.0.proj", "ff.net.2", "norm1", "norm2", "norm3"),
)
TRANSFORMER: Final = {
    name: name for name in ("norm", "proj_in", "proj_out", *(_BLOCK + n for n in _IN_BLOCK))
}
UNET_ENDS: Final = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_UNET_MIDDLE: Final = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
_DECODER_ONLY: Final = ("up_blocks.", "conv_norm_out.", "conv_out.")

VAE_RESNET: Final = {
    "norm1": "norm1",
    "conv1": "conv1",
    "norm2": "norm2",
    "conv2": "conv2",
    "nin_shortcut": "conv_shortcut",
}
VAE_ATTENTION: Final = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}
VAE_ENDS: Final = {
    "encoder.conv_in": "encoder.conv_in",
    "encoder.norm_out": "encoder.conv_norm_out",
    "encoder.conv_out": "encoder.conv_out",
    "decoder.conv_in": "decoder.conv_in",
    "decoder.norm_out": "decoder.conv_norm_out",
    "decoder.conv_out": "decoder.conv_out",
    "quant_conv": "quant_conv",
    "post_quant_conv": "post_quant_conv",
}

TEXT_ENDS: Final = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
_TEXT_UNUSED: Final = ("text_projection", "logit_scale", "attn_mask")
TEXT_BLOCK: Final = {
    "ln_1": "layer_norm1",
    "attn.out_proj": "self_attn.out_proj",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_THIRDS: Final[tuple[tuple[str, Transform], ...]] = (
    ("q", "third-0"),
    ("k", "third-1"),
    ("v", "third-2"),
)

_CODEC_MODULES: Final = (
    "encoder",
    "hyper_enc",
    "hyper_dec",
    "f_c",
    "local_context",
    "channel_context",
    "entropy_parameters_anchor",
    "entropy_parameters_nonanchor",
    "decoder",
)
# CompressAI 1.2.4, which the published code pins, has other names than today's: both are in use.
_OLD_BOTTLENECK: Final = {"matrix": "matrices", "bias": "biases", "factor": "factors"}
CODEC_BUFFERS: Final = (
    "entropy_bottleneck._offset",
    "entropy_bottleneck._quantized_cdf",
    "entropy_bottleneck._cdf_length",
    "entropy_bottleneck.target",
    "entropy_bottleneck.likelihood_lower_bound.bound",
    "gaussian_conditional._offset",
    "gaussian_conditional._quantized_cdf",
    "gaussian_conditional._cdf_length",
    "gaussian_conditional.scale_table",
    "gaussian_conditional.scale_bound",
    "gaussian_conditional.likelihood_lower_bound.bound",
    "gaussian_conditional.lower_bound_scale.bound",
)


def rename(key: str) -> Renamed:
    """What a published tensor is called here, by its name alone.

    Returns:
        One target, or three for what is split; or why it is dropped; None where the name is not
        known. Part and name can be those of another tensor too (CompressAI's old and new names).
    """
    if key in SCHEDULE:
        return _SCHEDULE
    if key in ("model_ema.decay", "model_ema.num_updates"):
        return _AVERAGE
    if key == SCALE:
        return _SCALE
    if key.startswith(TAGGER):
        return _TAGGER
    for part, prefix in PREFIXES.items():
        if key.startswith(prefix):
            return _READERS[part](key.removeprefix(prefix))
    return None


def _prior(name: str) -> Renamed:
    ours = _unet(name)
    return None if ours is None else (Target("prior", f"unet.{ours}"),)


def _control(name: str) -> Renamed:
    if name.startswith("control_model."):
        ours = _unet(name.removeprefix("control_model."))
        if ours is None or ours.startswith(_DECODER_ONLY):
            return None
        return (Target("control", f"encoder.{ours}"),)
    if found := re.fullmatch(rf"(enc|dec)_zero_convs_out\.{_NUMBER}\.0\.{_LEAF}", name):
        side, index, leaf = found.groups()
        return (Target("control", f"{side}_zero.{index}.{leaf}"),)
    if found := re.fullmatch(rf"middle_block_out\.0\.{_LEAF}", name):
        return (Target("control", f"mid_zero.{found[1]}"),)
    return None


def _unet(name: str) -> str | None:
    """The name of diffusers' `UNet2DConditionModel`."""
    module, _, leaf = name.rpartition(".")
    if leaf not in ("weight", "bias"):
        return None
    if module in UNET_ENDS:
        return f"{UNET_ENDS[module]}.{leaf}"
    found = re.fullmatch(rf"(input_blocks|output_blocks)\.{_NUMBER}\.([0-2])\.(.+)", module)
    if found:
        side, number, place, inner = found.groups()
        block = _unet_input if side == "input_blocks" else _unet_output
        ours = block(int(number), place, inner)
    elif found := re.fullmatch(r"middle_block\.([0-2])\.(.+)", module):
        place, inner = found.groups()
        known = TRANSFORMER if place == "1" else RESNET
        ours = _inside(f"mid_block.{_UNET_MIDDLE[place]}", known, inner)
    else:
        ours = None
    return None if ours is None else f"{ours}.{leaf}"


def _unet_input(number: int, place: str, inner: str) -> str | None:
    """The published encoder counts on through all resolutions; number 0 is the first conv."""
    level, index = divmod(number - 1, LAYERS + 1)
    if level < 0:
        return None
    if index == LAYERS:
        reduces = (place, inner) == ("0", "op")
        return f"down_blocks.{level}.downsamplers.0.conv" if reduces else None
    return _layer(f"down_blocks.{level}", index, place, inner)


def _unet_output(number: int, place: str, inner: str) -> str | None:
    """Enlarging comes last in a resolution, after the attention where there is one."""
    level, index = divmod(number, LAYERS + 1)
    if inner == "conv":
        enlarges = index == LAYERS and place != "0"
        return f"up_blocks.{level}.upsamplers.0.conv" if enlarges else None
    return _layer(f"up_blocks.{level}", index, place, inner)


def _layer(block: str, index: int, place: str, inner: str) -> str | None:
    if place == "0":
        return _inside(f"{block}.resnets.{index}", RESNET, inner)
    if place == "1":
        return _inside(f"{block}.attentions.{index}", TRANSFORMER, inner)
    return None


def _inside(module: str, known: dict[str, str], inner: str) -> str | None:
    return f"{module}.{known[inner]}" if inner in known else None


def _autoencoder(name: str) -> Renamed:
    module, _, leaf = name.rpartition(".")
    if leaf not in ("weight", "bias"):
        return None
    attention = re.fullmatch(r"(encoder|decoder)\.mid\.attn_1\.(.+)", module)
    if attention:
        side, inner = attention.groups()
        ours = _inside(f"{side}.mid_block.attentions.0", VAE_ATTENTION, inner)
        matrix = inner != "norm" and leaf == "weight"
        transform: Transform = "linear" if matrix else "same"
    else:
        ours, transform = VAE_ENDS.get(module) or _vae_block(module), "same"
    return None if ours is None else (Target("autoencoder", f"{ours}.{leaf}", transform),)


def _vae_block(module: str) -> str | None:
    if found := re.fullmatch(r"(encoder|decoder)\.mid\.block_([12])\.(.+)", module):
        side, number, inner = found.groups()
        return _inside(f"{side}.mid_block.resnets.{int(number) - 1}", VAE_RESNET, inner)
    if found := re.fullmatch(rf"(encoder\.down|decoder\.up)\.{_NUMBER}\.(.+)", module):
        side, level, rest = found.groups()
        if int(level) >= LEVELS:
            return None
        up = side == "decoder.up"
        block = f"{side}_blocks.{LEVELS - 1 - int(level) if up else level}"
        if rest == ("upsample.conv" if up else "downsample.conv"):
            return f"{block}.{'up' if up else 'down'}samplers.0.conv"
        if inside := re.fullmatch(rf"block\.{_NUMBER}\.(.+)", rest):
            return _inside(f"{block}.resnets.{inside[1]}", VAE_RESNET, inside[2])
    return None


def _text(name: str) -> Renamed:
    if name in _TEXT_UNUSED:
        return _UNUSED
    if name in TEXT_ENDS:
        return (Target("text", TEXT_ENDS[name]),)
    found = re.fullmatch(rf"transformer\.resblocks\.{_NUMBER}\.(.+)[._]{_LEAF}", name)
    if not found or int(found[1]) >= TEXT_BLOCKS:
        return None
    number, inner, leaf = found.groups()
    layer = f"encoder.layers.{number}"
    targets: tuple[Target, ...]
    if inner == "attn.in_proj" and name.endswith(f"in_proj_{leaf}"):
        targets = tuple(
            Target("text", f"{layer}.self_attn.{which}_proj.{leaf}", transform)
            for which, transform in _THIRDS
        )
    elif inner in TEXT_BLOCK and name.endswith(f".{leaf}"):
        targets = (Target("text", f"{layer}.{TEXT_BLOCK[inner]}.{leaf}"),)
    else:
        return None
    return _UNUSED if int(number) == TEXT_BLOCKS - 1 else targets


def _codec(name: str) -> Renamed:
    if name in CODEC_BUFFERS:
        return _BUFFERS
    if found := re.fullmatch(r"entropy_bottleneck\._(matrix|bias|factor)([0-9])", name):
        kind, index = found.groups()
        return (Target("codec", f"entropy_bottleneck.{_OLD_BOTTLENECK[kind]}.{index}"),)
    learned = r"entropy_bottleneck\.(quantiles|(matrices|biases|factors)\.[0-9])"
    if name.split(".")[0] in _CODEC_MODULES or re.fullmatch(learned, name):
        return (Target("codec", name),)
    return None


_READERS: Final[dict[str, Callable[[str], Renamed]]] = {
    "autoencoder": _autoencoder,
    "prior": _prior,
    "text": _text,
    "codec": _codec,
    "control": _control,
}
