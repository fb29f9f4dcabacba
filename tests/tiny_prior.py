"""A tiny Stable Diffusion in the published formats: a folder of diffusers, and a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from test_import_diff_icmh import (
    VAE,
    drawn,
    prefixed,
    published_text,
    published_unet,
    published_vae,
    words,
)
from transformers import CLIPTextConfig, CLIPTextModel

CHANNELS = (64, 128)  # heads of 64 channels, as in Stable Diffusion 2.1
TEXT: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 23,
    "num_attention_heads": 1,
    "max_position_embeddings": 9,
    "hidden_act": "gelu",
}
UNET: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": CHANNELS,
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "attention_head_dim": [1, 2],  # the number of heads, as diffusers has it
    "cross_attention_dim": 32,
    "use_linear_projection": True,
}
SCHEDULER: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}


def tiny_networks() -> tuple[UNet2DConditionModel, AutoencoderKL, CLIPTextModel]:
    """Random networks whose values stay numbers."""
    torch.manual_seed(0)
    built = (
        UNet2DConditionModel(**UNET),
        AutoencoderKL(**VAE),
        CLIPTextModel(CLIPTextConfig(**TEXT)),
    )
    for seed, network in enumerate(built):
        state = drawn(network.state_dict(), seed)
        scaled = {
            k: v / 4 if v.ndim > 1 else v + ("norm" in k and "weight" in k)
            for k, v in state.items()
        }
        network.load_state_dict(scaled)
    return built


def make_diffusers(folder: Path, prediction: str = "epsilon") -> Path:
    """Write a folder of diffusers with tokenizer, and a file of tags beside it."""
    unet, vae, text = tiny_networks()
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vae")
    text.save_pretrained(folder / "text_encoder")
    path = folder / "scheduler" / "scheduler_config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(SCHEDULER | {"prediction_type": prediction}))
    words(folder)
    return folder


def make_checkpoint(path: Path) -> Path:
    """Write the same networks as a checkpoint of the latent-diffusion code."""
    unet, vae, text = (network.state_dict() for network in tiny_networks())
    state = {
        **prefixed("first_stage_model.", published_vae(vae)),
        **prefixed("model.diffusion_model.", published_unet(unet, (True, False))),
        **prefixed("cond_stage_model.model.", published_text(text)),
    }
    torch.save({"state_dict": state}, path)
    return path
