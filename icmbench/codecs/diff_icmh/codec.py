"""`diff-icmh`: a learned codec whose decoder is a diffusion model (NeurIPS 2025, arXiv 2511.22549).

A stream holds the tags of the image and the symbols of the LFGCM codec, which decode to the
conditioning latent c. The reconstruction is a sample of a frozen latent diffusion model under
control of c, conditioned on the tags.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icmbench.bitstream import container
from icmbench.codecs.base import Codec, Image, Key, check_image, check_pixels, seed_key, too_large
from icmbench.codecs.diff_icmh.model_folder import MAIN
from icmbench.codecs.diff_icmh.tags import AUTO
from icmbench.core.errors import CodecError, ConfigError, WrongModel
from icmbench.core.gpu_memory import gpu_memory_for
from icmbench.models.layout import RATES

if TYPE_CHECKING:  # torch takes seconds to load
    from icmbench.codecs.diff_icmh.diff_icmh_model import DiffICMHModel

CODEC_ID = 2  # in the container
MAX_PIXELS = 16_000_000  # attention spans the whole latent: there are no tiles
CELL = 64  # the networks take multiples of it, pixels a side
VARIANTS = "variants"  # folder of the model folder
DTYPES = ("float32", "bfloat16", "float16")
SAMPLERS = ("model", "ddim", "ddpm-spaced", "none")


class DiffIcmh(Codec):
    """LFGCM and a controlled latent diffusion model."""

    name = "diff-icmh"
    title = "Diff-ICMH"
    extension = "icb"
    model_name = "diff-icmh"
    training_section = ".training.settings"  # relative: no import of a decoder
    codec_id = CODEC_ID
    uses_device = True
    packages = ("torch", "diffusers", "constriction", "numpy")
    settings = (
        "latent-guided codec with channel-wise and checkerboard context, float64 entropy model and "
        "integer tables; latent sampled from a small diffusion model under control and tags"
    )
    rate_key = "rate"
    encode_keys = {
        "rate": Key(int, default=1, low=1, high=255, help="rate point, 1: lowest rate"),
        "tags": Key(
            str,
            default=AUTO,
            help="auto: from the model's tagger; none: the empty set; or names of the model's "
            "vocabulary joined by +, such as dog+hot air balloon",
        ),
        "variant": Key(
            str, default=MAIN, help="another training of the model: <its folder>/variants/<name>"
        ),
    }
    decode_keys = {
        "sampler": Key(
            str,
            default="model",
            choices=SAMPLERS,
            help="model: the model's default; none: decode c directly, without diffusion",
        ),
        "steps": Key(int, default=0, low=0, high=1000, help="2 or more; 0: the model's default"),
        "guidance": Key(
            float,
            default=0.0,
            low=0,
            high=30,
            help="classifier-free guidance scale; 1: one evaluation; 0: the model's default",
        ),
        "start": Key(
            int,
            default=0,
            low=0,
            high=999,
            help="timestep where sampling begins; 999: from noise, as published; lower: from c "
            "with noise added; 0: the model's default",
        ),
        "dtype": Key(
            str,
            default="float32",
            choices=DTYPES,
            help="number type of the denoising and control network; half types are faster on a GPU "
            "and give another reconstruction",
        ),
        "batch": Key(
            int,
            default=1,
            low=1,
            high=256,
            help="streams of a job that are sampled together: faster on a GPU; a pixel may differ "
            "by 1 from decoding a stream alone",
        ),
        "seed": seed_key(),
    }
    batch_key = "batch"

    def __init__(self, *, models: Path | None = None, device: str = "cpu") -> None:
        from icmbench.codecs.diff_icmh.model_folder import bundled

        super().__init__(models=models, device=device)
        self.folder = models / self.model_name if models else bundled()
        self._loaded: dict[str, DiffICMHModel] = {}  # by their folders below ours
        self._last: DiffICMHModel | None = None  # that encoded an image
        self._digest = self.model.digest  # of the main model

    def encode(
        self, image: Image, *, rate: int = 1, tags: str = AUTO, variant: str = MAIN
    ) -> bytes:
        """Encode an image at a rate point.

        Raises CodecError where the model has no such rate or tag and for images over the limit,
        ModelError where it has no such variant.
        """
        check_image(image)
        height, width = image.shape[:2]
        if too_large(width, height, MAX_PIXELS) or max(height, width) > container.MAX_SIDE:
            raise CodecError(f"{width}x{height} pixels are over the limit of {MAX_PIXELS}")
        self._last = model = self._model(self._member(variant, rate))
        header = container.image_header(self.codec_id, model.digest, height, width, CELL)
        with gpu_memory_for(f"an image of {width}x{height} pixels", "take device: cpu"):
            return model.encode(image, header, rate=rate, tags=tags)

    def remark(self) -> str:
        """Report clipped values in the latent of the last image; empty: none."""
        assert self._last is not None, "an image was encoded"
        clipped, values, limit = self._last.clipped
        text = f"{clipped} of {values} latent values clipped at {limit:g} standard deviations"
        return text if clipped else ""

    @classmethod
    def stochastic(cls, **keys: Any) -> bool:
        """True where a latent is sampled: every sampler starts from noise."""
        return bool(keys["sampler"] != "none")

    def decode(self, stream: bytes, **keys: Any) -> Image:
        """Decode a stream; its noise is seeded by the stream's own digest and the key `seed`.

        Raises SymbolMismatch where this machine computes other probabilities than the encoder.
        """
        return self.decode_batch([stream], **keys)[0]

    def decode_batch(self, streams: Sequence[bytes], *, batch: int = 1, **keys: Any) -> list[Image]:
        """Decode streams; those of one model and size are sampled together."""
        parsed = [self._parse(stream) for stream in streams]
        images: dict[int, Image] = {}
        for member in dict.fromkeys(member for member, _ in parsed):
            places = [place for place, (owner, _) in enumerate(parsed) if owner == member]
            model = self._model(member)
            for other in self._loaded.values():
                if other is not model:
                    other.release_control()
            given = [(streams[place], parsed[place][1]) for place in places]
            largest = max((one.header.width * one.header.height / 1e6 for _, one in given))
            work = f"{len(given)} images of up to {largest:.2f} MP at once"
            with gpu_memory_for(work, "take batch=1, dtype=bfloat16, or device: cpu"):
                found = model.decode_batch(given, **keys)
            images |= dict(zip(places, found, strict=True))
        return [images[place] for place in range(len(streams))]

    def describe(self, stream: bytes) -> list[tuple[str, str]]:
        """List size, rate, tags, and the bytes of each section."""
        model, parsed = self.parse(stream)
        return model.describe(stream, parsed)

    @property
    def model(self) -> DiffICMHModel:
        """The main model, at its first rate."""
        return self._model("")

    def parse(self, stream: bytes) -> tuple[DiffICMHModel, container.Stream]:
        """Parse a stream: the rate or variant of the model that it names, header and sections."""
        member, parsed = self._parse(stream)
        return self._model(member), parsed

    def _parse(self, stream: bytes) -> tuple[str, container.Stream]:
        parsed = container.parse(stream, codec_id=self.codec_id, unit=CELL)
        check_pixels(parsed.header.width, parsed.header.height, MAX_PIXELS)
        digest = parsed.header.weights_digest
        if digest == self._digest:
            return "", parsed
        if digest not in self._members:
            raise WrongModel(
                f"stream written with weights {digest.hex()}, "
                f"the model at hand is {self._digest.hex()}"
            )
        return self._members[digest], parsed

    @functools.cached_property
    def _members(self) -> dict[bytes, str]:
        """Folders of the further rates and the variants by digest; every file is read once."""
        from icmbench.codecs.diff_icmh.model_folder import member_folders, weights_digest

        # Of equal ones the first name counts.
        names = reversed(member_folders(self.folder))
        return {weights_digest(self.folder / name): name for name in names}

    def _member(self, variant: str, rate: int) -> str:
        """Folder of a variant, or of a rate that was trained by itself, in the model folder.

        Raises CodecError for a rate that a model of such rates does not have.
        """
        from icmbench.codecs.diff_icmh.model_folder import LAYOUT

        if variant != MAIN:
            check_variant(variant)
            return f"{VARIANTS}/{variant}"
        further = LAYOUT.rate_numbers(self.folder)
        if rate == 1 or not further:
            return ""
        if rate not in further:
            known = ", ".join(map(str, (1, *further)))
            raise CodecError(f"rate={rate}: the model has the rates {known}")
        return f"{RATES}/{rate}"

    def _model(self, member: str) -> DiffICMHModel:
        """Load a folder of the model folder.

        The rates of a model stay in memory together, since an image is coded at all of them in a
        row; the main model and the variants replace each other.
        """
        from icmbench.codecs.diff_icmh.diff_icmh_model import DiffICMHModel

        if member not in self._loaded:
            if member.startswith(f"{RATES}/"):
                main = self._model("")
                self._loaded[member] = DiffICMHModel(self.folder / member, self.device, main)
            else:
                self._loaded.clear()  # their memory is free before the next one is read
                place = self.folder / member if member else self.folder
                self._loaded[member] = DiffICMHModel(place, self.device)
        return self._loaded[member]


def check_variant(name: str) -> None:
    """Raise ConfigError where a variant's name is not letters, digits, - and _."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise ConfigError(f"variant={name}: a name of letters, digits, - and _")
