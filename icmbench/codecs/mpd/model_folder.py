"""The model folder of MPD.

    <models>/mpd/autoencoder.safetensors   latent autoencoder, mean and deviation of its latent
    <models>/mpd/contexts.safetensors      integer tables of the entropy coder
    <models>/mpd/reverse.safetensors       the network of the reverse process
    <models>/mpd/vgg.safetensors           texture-semantic descriptors, for pseudo-labels
    <models>/mpd/features-fft.safetensors  contrastive features, from descriptors with the FFT
    <models>/mpd/features-mean.safetensors contrastive features, from descriptors without it
    <models>/mpd/card.json                 the model card

A stream depends on the first three; the others stay on the encoder's side.
"""

from __future__ import annotations

from typing import Final

from icmbench.models.layout import ModelLayout

NAME: Final = "mpd"
PARTS: Final = ("autoencoder", "contexts", "reverse")
TAPS: Final = ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3")  # of `vgg`: the levels
KINDS: Final = ("fft", "mean")  # of the descriptors that features learn from
ENCODER_PARTS: Final = ("vgg", *(f"features-{kind}" for kind in KINDS))

LAYOUT: Final = ModelLayout(
    NAME,
    "weights of MPD, Markov palette diffusion (ACM MM 2023, arXiv 2410.06149)",
    PARTS,
    ENCODER_PARTS,
    {
        "autoencoder": "AutoencoderKL: an image to and from a latent at 1/8 of its size",
        "contexts": "integer tables of the entropy coder",
        "reverse": "network that predicts the finest latent from a coarser state",
        "vgg": "narrow VGG of five stages, trained without labels: descriptors for pseudo-labels",
        "features-fft": "contrastive features of the latent; pseudo-labels from FFT descriptors",
        "features-mean": "contrastive features of the latent; pseudo-labels without the FFT",
    },
)
bundled = LAYOUT.bundled
part_file = LAYOUT.part_file
check_folder = LAYOUT.check_folder
stream_files = LAYOUT.stream_files
encoder_files = LAYOUT.encoder_files
weights_digest = LAYOUT.weights_digest
