"""Tables of the tensor names of a published Diff-ICMH checkpoint and of our model folder.

The published file keeps everything under one root, with the names of the latent-diffusion code.
A name that these tables do not hold is unknown, and the import refuses it. Two counts decide
names: `LAYERS` and `TEXT_BLOCKS`, those of Stable Diffusion 2.1. `icmbench.models.ldm` has the
names of the autoencoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from icmbench.models import ldm

PARTS: Final = ("autoencoder", "prior", "text", "codec", "control")

LAYERS: Final = 2  # residual blocks per resolution of the UNet's encoder
TEXT_BLOCKS: Final = 24  # of the text encoder; the last is not evaluated

PREFIXES: Final = {
    "autoencoder": ldm.PREFIX,
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
    """Target of a published tensor: one of the `PARTS`, the name there, and its transform."""

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
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped",
    "posterior_mean_coef1", "posterior_mean_coef2", "logvar",
)  # fmt: skip
DROPPED_SCHEDULE = Dropped("schedule", "checked against our schedule, which is computed")
DROPPED_AVERAGE = Dropped("moving average", "counters of the training")
DROPPED_SCALE = Dropped("control scale", "constant, and in the control's settings")
DROPPED_TAGGER = Dropped(
    "tag model", "the encoder's side alone: icmbench import-ram-plus reads it from this file, too"
)
DROPPED_UNUSED = Dropped("text, unused", "the diffusion model takes the input of the last block")
DROPPED_BUFFERS = Dropped("codec, derived", "constants and tables, computed from the weights")

LEAF = r"(weight|bias)"

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
UNET_MIDDLE: Final = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
DECODER_ONLY: Final = ("up_blocks.", "conv_norm_out.", "conv_out.")

TEXT_ENDS: Final = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
TEXT_UNUSED: Final = ("text_projection", "logit_scale", "attn_mask")
TEXT_BLOCK: Final = {
    "ln_1": "layer_norm1",
    "attn.out_proj": "self_attn.out_proj",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
THIRDS: Final[tuple[tuple[str, Transform], ...]] = (
    ("q", "third-0"),
    ("k", "third-1"),
    ("v", "third-2"),
)

CODEC_MODULES: Final = (
    "encoder", "hyper_enc", "hyper_dec", "f_c", "local_context", "channel_context",
    "entropy_parameters_anchor", "entropy_parameters_nonanchor", "decoder",
)  # fmt: skip
