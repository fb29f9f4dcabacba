"""Conditioning of the denoising network: tag embeddings, or a published text encoder.

The bundled prior has a learnt vector per tag. An imported model has the text encoder of Stable
Diffusion, which reads the names of the tags as "a, b, c"; the vocabulary is a file of names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from icmbench.codecs.diff_icmh.latent_scale import LatentScale
from icmbench.codecs.diff_icmh.model_folder import LAYOUT, TEXT, TOKENIZER, VOCABULARY, part_file
from icmbench.codecs.diff_icmh.networks.prior import load_prior, read_prediction
from icmbench.codecs.diff_icmh.networks.unet import UnetSettings, build_unet
from icmbench.codecs.diff_icmh.tokenizer import Tokenizer
from icmbench.codecs.diff_icmh.vocabulary import read_vocabulary
from icmbench.core.errors import ModelError
from icmbench.models.headers import read_header
from icmbench.models.tensors import load_network, make_network


class Conditioned(torch.nn.Module):
    """The frozen prior of a model folder.

    Attributes:
        unet: the denoising network.
        embedder: sets of tag ids to text (n, tokens, channels).
        vocabulary: names of the tags.
        settings: of the denoising network.
        scale: between the autoencoder's latents and those of the denoising network.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        embedder: torch.nn.Module,
        vocabulary: tuple[str, ...],
        settings: UnetSettings,
        scale: LatentScale | None = None,
    ) -> None:
        """`scale`: None: the latents are those of the autoencoder."""
        super().__init__()
        self.unet = unet
        self.embedder = embedder
        self.vocabulary = vocabulary
        self.settings = settings
        self.scale = scale or LatentScale.same(settings.latent)
        self.eval().requires_grad_(False)


def load_conditioned(folder: Path) -> Conditioned:
    """Load the prior of a folder; ModelError naming file and tensor where something is wrong."""
    path = part_file(folder, "prior")
    # An earlier import may have left the text encoder's file.
    if not part_file(folder, TEXT).is_file() or not _takes_clip(path):
        prior = load_prior(path)
        own = prior.settings
        return Conditioned(prior.unet, prior.embedder, own.vocabulary, own.unet, prior.scale)
    state, metadata = load_network(path)
    unet = make_network(
        path,
        {name.removeprefix("unet."): tensor for name, tensor in state.items()},
        metadata.get("network"),
        lambda settings: build_unet(UnetSettings.read(settings["unet"]), seed=0),
    )
    unet.register_to_config(prediction_type=read_prediction(path, metadata))
    names = read_vocabulary(LAYOUT.home(folder) / VOCABULARY)
    settings = UnetSettings.read(metadata["network"]["unet"])
    return Conditioned(unet, TextEmbedder(folder, names), names, settings)


def _takes_clip(prior: Path) -> bool:
    network = read_header(prior).get("network")
    return isinstance(network, dict) and network.get("kind") == "clip"


class TextEmbedder(torch.nn.Module):
    """Sets of tags to the text encoder's penultimate layer, normalised (Stable Diffusion 2.1).

    The published encoder attends to padding as to text, so no attention mask is given.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        """Read the encoder and its tokenizer; ModelError where they are missing or do not fit."""
        super().__init__()
        self.names = tuple(names)
        path = part_file(folder, TEXT)
        clip = _transformers(path)
        state, metadata = load_network(path)
        encoder = make_network(
            path, state, metadata.get("network"), lambda s: clip(clip.config_class(**s))
        )
        self.encoder = encoder.eval().requires_grad_(False)
        tokens, length = encoder.config.vocab_size, encoder.config.max_position_embeddings
        self.tokenizer = Tokenizer(LAYOUT.home(folder) / TOKENIZER, tokens, length)

    def forward(self, sets: Sequence[Sequence[int]]) -> torch.Tensor:
        """Text of sets of tag ids, (n, 77, channels); surplus words are left out."""
        texts = [", ".join(self.names[tag] for tag in ids) for ids in sets]
        tokens = self.tokenizer(texts).to(self.encoder.device)
        hidden: torch.Tensor = self.encoder(tokens).last_hidden_state
        return hidden


def _transformers(path: Path) -> Any:
    try:
        from transformers import CLIPTextModel
    except ImportError as error:
        raise ModelError(f"{path}: a text encoder needs the package transformers") from error
    return CLIPTextModel
