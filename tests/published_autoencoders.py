"""Tiny random autoencoders in the formats that others publish, written by their own libraries."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from safetensors.torch import load_file, save_file
from test_import_diff_icmh import published_vae

from icmbench.models.taesd import Taesd, TaesdSettings

KL = {
    "block_out_channels": (8, 8, 8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 3,
    "norm_num_groups": 4,
}
LDM = {**KL, "block_out_channels": (32, 32, 32, 32), "layers_per_block": 2, "norm_num_groups": 32}
TINY = {
    "encoder_block_out_channels": (8,) * 4,
    "decoder_block_out_channels": (8,) * 4,
    "num_encoder_blocks": (1, 1, 1, 1),
    "num_decoder_blocks": (1, 1, 1, 1),
    "latent_channels": 5,
}
# More channels than the coder has contexts for, and a branch that normalises over the whole image.
TAESD = TaesdSettings(latent=18, width=8, encoder=(1, 1, 1, 2), decoder=(2, 1, 1, 1), pool=16)
FORMATS = ("kl", "tiny", "ldm", "taesd")


def write_published(kind: str, folder: Path) -> tuple[Path, torch.nn.Module]:
    """Write a random autoencoder into a folder; returns the path for `from`, and the network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(FORMATS.index(kind))
        if kind == "kl":
            network = AutoencoderKL(**KL)
            network.save_pretrained(folder)
        elif kind == "tiny":
            network = AutoencoderTiny(**TINY)
            with torch.no_grad():  # differences of pixels count for more than edges of the image
                network.encoder.layers[0].weight.mul_(20)
            network.save_pretrained(folder, safe_serialization=False)
        elif kind == "ldm":
            network = AutoencoderKL(**LDM)
            folder.mkdir()
            vae = {
                f"first_stage_model.{k}": v for k, v in published_vae(network.state_dict()).items()
            }
            others = {"model.diffusion_model.out.2.weight": torch.zeros(4, 4, 3, 3)}
            wrapped = {"state_dict": {**vae, **others}, "epoch": 3, "global_step": 470000}
            torch.save(wrapped, folder / "sd.ckpt")
            folder = folder / "sd.ckpt"
        else:
            network = Taesd(TAESD)
            folder.mkdir()
            for side in ("encoder", "decoder"):
                state = getattr(network, side).half().state_dict()
                torch.save(state, folder / f"taex_{side}.pth")
            network.float()
    return folder, network.eval()


def rewrite(path: Path, change: dict[str, torch.Tensor | None]) -> None:
    """Change tensors of a file of `write_published`; None: remove."""
    plain = path.suffix == ".safetensors"
    wrapped = load_file(path) if plain else torch.load(path, weights_only=True)
    state = wrapped.get("state_dict", wrapped)
    for name, tensor in change.items():
        state.pop(name, None)
        if tensor is not None:
            state[name] = tensor
    if plain:
        save_file(state, path, {"format": "pt"})
    else:
        torch.save(wrapped, path)
