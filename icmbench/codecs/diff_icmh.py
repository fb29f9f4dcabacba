"""`diff-icmh`: a learned codec whose decoder is a diffusion model (NeurIPS 2025, arXiv 2511.22549).

A stream holds the tags of the image and the symbols of a small learned codec. They give c, a rough
latent; a frozen latent diffusion model, controlled by c and told the tags, draws the latent that is
shown.
"""

from __future__ import annotations

from pathlib import Path

from icmbench.bitstream import container
from icmbench.codecs.base import Codec, Image, Key, check_image, check_pixels
from icmbench.errors import CodecError

CODEC_ID = 2  # in the container
MAX_PIXELS = 16_000_000  # attention looks at the whole latent: there are no tiles
SAMPLERS = ("model", "ddim", "ddpm-spaced", "none")


class DiffIcmh(Codec):
    """A latent-feature-guided codec and a controlled latent diffusion model."""

    name = "diff-icmh"
    title = "Diff-ICMH"
    extension = "icb"
    model_name = "diff-icmh"
    codec_id = CODEC_ID
    uses_device = True
    packages = ("torch", "diffusers", "constriction", "numpy")
    settings = (
        "latent-guided codec with channel-wise and checkerboard context, float64 entropy model and "
        "integer tables; latent drawn from a small diffusion model under control and tags"
    )
    encode_keys = {
        "rate": Key(int, low=1, high=255, help="rate point of the model, 1: least bits"),
        "tags": Key(
            str,
            default="auto",
            choices=("auto", "none"),
            help="auto: what the model's tagger sees; none: the empty set",
        ),
    }
    decode_keys = {
        "sampler": Key(
            str,
            default="model",
            choices=SAMPLERS,
            help="model: what the model's card says; none: c itself, without diffusion",
        ),
        "steps": Key(
            int, default=0, low=0, high=1000, help="sampling steps, 2 or more; 0: the card's"
        ),
        "guidance": Key(
            float,
            default=0.0,
            low=0,
            high=30,
            help="weight of the tags' direction; 1: tags alone, one evaluation; 0: the card's",
        ),
    }

    def __init__(self, *, models: Path | None = None, device: str = "cpu") -> None:
        from icmbench.diff_icmh.system import System

        super().__init__(models=models, device=device)
        self.system = System(models / self.model_name if models else None, device)

    def encode(self, image: Image, *, rate: int, tags: str = "auto") -> bytes:
        """The stream of an image at a rate point.

        Raises CodecError where the model has no such rate and for images over the limit.
        """
        check_image(image)
        height, width = image.shape[:2]
        if height * width > MAX_PIXELS or max(height, width) > container.MAX_SIDE:
            raise CodecError(f"{width}x{height} pixels are over the limit of {MAX_PIXELS}")
        header = container.Header(self.codec_id, self.system.digest, width, height)
        return self.system.encode(image, header, rate=rate, tags=tags)

    def decode(
        self, stream: bytes, *, sampler: str = "model", steps: int = 0, guidance: float = 0.0
    ) -> Image:
        """The image of a stream; its noise is seeded by the stream's own digest.

        Raises SymbolMismatch where this machine computes other probabilities than the encoder's.
        """
        return self.system.decode(
            stream, self._parse(stream), sampler=sampler, steps=steps, guidance=guidance
        )

    def describe(self, stream: bytes) -> list[tuple[str, str]]:
        """Size, rate, tags, and the bytes of each section."""
        return self.system.describe(stream, self._parse(stream))

    def _parse(self, stream: bytes) -> container.Stream:
        parsed = container.parse(stream, codec_id=self.codec_id, weights_digest=self.system.digest)
        check_pixels(parsed.header.width, parsed.header.height, MAX_PIXELS)
        return parsed
