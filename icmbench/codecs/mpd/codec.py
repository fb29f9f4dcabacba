"""`mpd`: Markov palette diffusion (ACM MM 2023, arXiv 2410.06149).

One embedded stream per image; every diffusion state is a rate. `state=7` keeps the coarsest state,
`state=0` all of the palette, `state=-6` the whole stream, whose last sections refine the latent;
`decoder` chooses how the latent is restored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from icmbench.bitstream import container
from icmbench.codecs.base import (
    Codec,
    Image,
    Key,
    Latent,
    check_image,
    check_pixels,
    seed_key,
    too_large,
)
from icmbench.core.errors import CodecError, CorruptStream, TruncatedStream

CODEC_ID = 1  # in the container
MAX_PIXELS = 170_000_000
PALETTES = ("image", "dataset")
# Clustering features: the blurred latent, a class network's of the image, or those of
# `icmbench.codecs.mpd.model_folder.KINDS`.
GUIDES = ("blur", "lite", "fft", "mean")
LATENT, PERCEPTION = "latent", "perception"
DECODERS = ("regression", "mean", "diffusion")
COARSEST, REFINEMENTS = 7, 6  # of `stream.coder`, which loads the compiler


class Mpd(Codec):
    """Palette states of a latent, coded as one embedded integer stream."""

    name = "mpd"
    title = "MPD"
    extension = "icb"
    model_name = "mpd"
    training_section = ".training.settings"  # relative: no import of a decoder
    codec_id = CODEC_ID
    uses_device = True
    has_latent = True
    packages = ("torch", "diffusers", "numba", "numpy")
    settings = (
        "latent at 1/8 of the size; palettes of 256 to 2 entries and bit planes of the rest "
        "in one embedded stream, integer context mixing"
    )
    rate_key = "state"
    encode_keys = {
        "palette": Key(
            str,
            default="image",
            choices=PALETTES,
            help="each image's own palette, or the model's, whose entries cost no bits",
        ),
        "rdo": Key(
            float, default=1.0, low=0, high=64, help="rate-distortion optimised labels; 0: off"
        ),
        "alpha": Key(
            float,
            default=2.0,  # `icmbench.codecs.mpd.palette.clustering.ALPHA`
            low=0,
            high=4,
            help="weight of the clustering features of the image's own palette; 0: none",
        ),
        "guide": Key(
            str,
            default="blur",
            choices=GUIDES,
            help="clustering features beside the latent: the blurred latent, those of "
            "EfficientNet-Lite0 of the image (lite), or "
            "contrastive features learnt from descriptors with (fft) or without (mean) the FFT",
        ),
        "keep": Key(
            float,
            default=0.0,
            low=0,
            high=4,
            help="weight of the clustering features' error in optimised labels; 0: latent alone",
        ),
        "distortion": Key(
            str,
            default=LATENT,
            choices=(LATENT, PERCEPTION),
            help="error that palette and optimised labels reduce: the latent's, or with channels "
            "weighted by what EfficientNet-Lite0 makes of them (perception)",
        ),
        "bytes": Key(
            int,
            default=0,
            low=0,
            high=1 << 28,
            help="the best file of at most so many bytes at `rdo` or stronger; 0: no limit",
        ),
        "refine": Key(
            int,
            default=REFINEMENTS,
            low=0,
            high=REFINEMENTS,
            help="number of refinement states, below state 0, that are written",
        ),
    }
    cut_keys = {
        "state": Key(
            int,
            default=0,
            low=-REFINEMENTS,
            high=COARSEST,
            help="diffusion state kept; 7: least, 0: the whole palette, below: refined",
        )
    }
    decode_keys = {
        "decoder": Key(
            str,
            default="regression",
            choices=DECODERS,
            help="mean: the palette itself; regression: one step of R; diffusion: many, sharper",
        ),
        "seed": seed_key(),
    }

    def __init__(self, *, models: Path | None = None, device: str = "cpu") -> None:
        from icmbench.codecs.mpd.mpd_model import MPDModel

        super().__init__(models=models, device=device)
        self.model = MPDModel(models / "mpd" if models else None, device)

    def encode(
        self,
        image: Image,
        *,
        palette: str = "image",
        rdo: float = 1.0,
        alpha: float = 2.0,
        guide: str = "blur",
        keep: float = 0.0,
        distortion: str = LATENT,
        bytes: int = 0,
        refine: int = REFINEMENTS,
    ) -> bytes:
        """The stream of an image with all its states, of the refinement states the first `refine`.

        `alpha` and `guide` choose the clustering features, `keep` and `distortion` what the palette
        and its labels keep of the image; no decoder depends on them.
        With `bytes` the finest states that do not fit are left out. Where the palette does, the
        thresholds of the refinement are raised so that one state more fits; where it does not, the
        strength of the optimisation (as `rdo=` would). Raises CodecError where not even the
        coarsest state fits.
        """
        from icmbench.codecs.mpd.mpd_model import Wishes
        from icmbench.models.latent import CELL

        check_image(image)
        height, width = image.shape[:2]
        if too_large(width, height, MAX_PIXELS) or max(height, width) > container.MAX_SIDE:
            raise CodecError(f"{width}x{height} pixels are over the limit of {MAX_PIXELS}")
        header = container.image_header(self.codec_id, self.model.digest, height, width, CELL)
        wishes = Wishes(alpha, guide, keep, perception=distortion == PERCEPTION)
        return self.model.encode(
            image, header, palette=palette, rdo=rdo, limit=bytes, wishes=wishes, refine=refine
        )

    def truncate(self, stream: bytes, *, state: int = 0) -> bytes:
        """The file with all sections down to `state`.

        A stream that ends at a coarser state (a target size asked for that) is given back whole
        for `state=0`, the default; any other state that it does not hold is TruncatedStream.
        """
        from icmbench.codecs.mpd.stream.coder import section_states, sections_of_state

        parsed = self._parse(stream)
        cells = _cells(parsed.header)
        wanted = sections_of_state(cells, state)
        held = len(parsed.sections)
        if held < wanted and state != 0:
            finest = section_states(cells)[held - 1]
            raise TruncatedStream(f"the stream ends at state {finest}, it does not hold {state}")
        return parsed.prefix(stream, min(wanted, held))

    def decode(self, stream: bytes, *, decoder: str = "regression", seed: int = 0) -> Image:
        """The image of all states that the stream holds."""
        return self.model.decode(stream, self._parse(stream), decoder, seed)

    def decode_latent(self, stream: bytes, *, decoder: str = "regression", seed: int = 0) -> Latent:
        """The latent z_hat of all states that the stream holds."""
        parsed = self._parse(stream)
        size = parsed.header.height, parsed.header.width
        return Latent(self.model.decode_latent(stream, parsed, decoder, seed), size)

    def image_latent(self, image: Image) -> Latent:
        """The integer latent of an image, in standard deviations."""
        import numpy as np

        from icmbench.models.latent import SCALE

        values = self.model.latent(check_image(image)).astype(np.float32) / np.float32(SCALE)
        return Latent(values, (image.shape[0], image.shape[1]))

    @classmethod
    def stochastic(cls, **keys: Any) -> bool:
        """True for the decoder `diffusion`, whose steps add noise."""
        return bool(keys["decoder"] == "diffusion")

    def salvage(self, stream: bytes) -> tuple[bytes, str]:
        """The states before the first damaged section."""
        from icmbench.codecs.mpd.stream.coder import section_states

        whole = self._parse(stream, best_effort=True)
        if not whole.sections:
            raise TruncatedStream("not even the coarsest state is whole")
        finest = section_states(_cells(whole.header))[len(whole.sections) - 1]
        return whole.prefix(stream, len(whole.sections)), f"state={finest}"

    def describe(self, stream: bytes) -> list[tuple[str, str]]:
        """The layers: what each state adds in bytes, entries, and bits by part of the stream."""
        return self.model.describe(stream, self._parse(stream))

    def _parse(self, stream: bytes, *, best_effort: bool = False) -> container.Stream:
        from icmbench.codecs.mpd.stream.coder import section_states
        from icmbench.models.latent import CELL

        parsed = container.parse(
            stream,
            codec_id=self.codec_id,
            weights_digest=self.model.digest,
            unit=CELL,
            best_effort=best_effort,
        )
        check_pixels(parsed.header.width, parsed.header.height, MAX_PIXELS)
        if not best_effort and not parsed.sections:
            raise TruncatedStream("the stream holds a header and no state")
        most = len(section_states(_cells(parsed.header)))
        if len(parsed.sections) > most:
            raise CorruptStream(f"{len(parsed.sections)} sections, this size has {most}")
        return parsed


def _cells(header: container.Header) -> int:
    from icmbench.models.latent import latent_shape

    height, width = latent_shape(header.height, header.width)
    return height * width
