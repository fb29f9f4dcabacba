"""The loaded model of Diff-ICMH: images to streams, streams to images."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.bitstream import container
from icmbench.bitstream.folding import coded_size, folding_lines, pad, unpad
from icmbench.codecs.diff_icmh.controlled_prior import ControlledPrior
from icmbench.codecs.diff_icmh.entropy.stream import (
    Coded,
    code_sections,
    padded_size,
    read_sections,
)
from icmbench.codecs.diff_icmh.model_folder import LAYOUT, TAGGER, load_codec, load_control
from icmbench.codecs.diff_icmh.networks.control import ControlNetwork
from icmbench.codecs.diff_icmh.networks.lfgcm import STRIDE
from icmbench.codecs.diff_icmh.tagging import ImageTagging, LatentTagging, load_tagging
from icmbench.codecs.diff_icmh.tags import AUTO
from icmbench.codecs.diff_icmh.text import Conditioned, load_conditioned
from icmbench.codecs.diff_icmh.vocabulary import named_tags
from icmbench.core.errors import CodecError, ModelError
from icmbench.models.codec_model import CodecModel, noise_seed
from icmbench.models.latent import CELL, SCALE

Z_SHARES = (1.0, 0.5, 0.25, 0.0)  # factors of z that an encoder tries

Image = NDArray[np.uint8]
Latent = NDArray[np.float32]


class DiffICMHModel(CodecModel):
    """Diff-ICMH's model; the tagger is loaded when an image is first encoded."""

    layout = LAYOUT
    prior: Conditioned

    def __init__(self, folder: Path | None, device: str, frozen: Self | None = None) -> None:
        super().__init__(folder, device, frozen)
        self.codec = load_codec(self.folder)
        self.prior = load_conditioned(self.folder) if frozen is None else frozen.prior
        self._main = frozen
        self._check_codec()
        if frozen is None:
            self.to_device(self.prior.unet)
            self.prior.embedder.to(self.device)
            _ = self.control  # loaded now: a wrong file is found before anything is coded
        self.codec.lfgcm.move_transforms(self.device)
        home = LAYOUT.home(self.folder)
        self._further = len(LAYOUT.rate_numbers(home))
        self._number = 1 if home == self.folder else int(self.folder.name)
        self._kept: tuple[Image, Latent] | None = None
        self._kept_tags: tuple[int, ...] | None = None  # of the same image
        self.clipped = 0, 0, 0.0

    @functools.cached_property
    def control(self) -> ControlNetwork:
        """The control network on the device, loaded when it is first used.

        Raises ModelError where its sizes do not fit the prior.
        """
        control = load_control(self.folder)
        self._check_control(control)
        self.to_device(control)
        return control

    @functools.cached_property
    def _controlled(self) -> ControlledPrior:
        return ControlledPrior(self.prior, self.control, self.codec.defaults["clip"], self.device)

    def release_control(self) -> None:
        """Free the control network of a further rate; it is loaded again when it is used."""
        if self._main is not None:
            self.__dict__.pop("control", None)
            self.__dict__.pop("_controlled", None)

    def _check_codec(self) -> None:
        """Raise ModelError naming the first network whose sizes do not fit the ones before it."""
        latent = self.autoencoder.channels
        faults = {
            "prior": self.prior.unet.config["in_channels"] != latent,
            "codec": self.codec.lfgcm.settings.out_channels != latent,
        }
        for part in (name for name, fault in faults.items() if fault):
            raise ModelError(f"{self.part_file(part)}: its sizes are not those of the other parts")

    def _check_control(self, control: ControlNetwork) -> None:
        """ModelError where the control network is of another prior or latent."""
        latent, config = self.autoencoder.channels, self.prior.unet.config
        told, hint = control.unet_settings, control.settings.hint
        theirs = (told.latent, told.channels, told.layers, told.context, hint)
        sizes = ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim")
        ours = (*(config[name] for name in sizes), latent)
        if theirs != ours:
            path = self.part_file("control")
            raise ModelError(f"{path}: its sizes are not those of the other parts")

    @property
    def rates(self) -> int:
        """Number of rates of the model: of its adapters, or of its trainings."""
        return self.codec.lfgcm.settings.rates or 1 + self._further

    @property
    def own_rates(self) -> Sequence[int]:
        """The rates that this folder codes: of its adapters, or the one it was trained for."""
        if rates := self.codec.lfgcm.settings.rates:
            return range(1, rates + 1)
        return (self._number,)

    def encode(self, image: Image, header: container.Header, *, rate: int, tags: str) -> bytes:
        """Encode an image; see `DiffIcmh.encode`."""
        if rate not in self.own_rates:
            first, last = self.own_rates[0], self.own_rates[-1]
            alone = f"{self.folder} has the rate {first} alone"
            known = f"the model has the rates {first} to {last}" if last > first else alone
            raise CodecError(f"rate={rate}: {known}")
        padded = pad(image, STRIDE)
        latent = self.latent(padded)
        point = rate - 1 if self.codec.lfgcm.settings.rates else None
        pixels = torch.from_numpy(padded.transpose(2, 0, 1)[None].astype(np.float32) / 255)
        with torch.inference_mode():
            ref = _tensor(latent).to(self.device)
            y, z = self.codec.lfgcm.analyse(pixels.to(self.device), ref, point)
            found = (
                self._own_tags(padded, latent)
                if tags == AUTO
                else named_tags(tags, self.prior.vocabulary)
            )
            size = image.shape[0], image.shape[1]
            sections = self._sections(size, y.cpu(), z.cpu(), ref, point, found)
        return container.pack(header, sections)

    def _sections(
        self,
        size: tuple[int, int],
        y: torch.Tensor,
        z: torch.Tensor,
        ref: torch.Tensor,
        point: int | None,
        tags: tuple[int, ...],
    ) -> list[bytes]:
        """The sections of an image of `size`: those of z, or of a smaller z where that is better.

        With a linear transform z says little, and what the networks make of it on an image unlike
        those of their training can spoil c and the scales of y. The encoder knows c, so it takes
        the z with the least product of bytes and squared error of c in the image: over the small
        codec's rates the error falls about as the bytes rise.
        """
        words = len(self.prior.vocabulary)
        if self.codec.lfgcm.linear is None:
            return code_sections(self.codec, size, y, z, point, tags, words)[0]
        rows, columns = (-(-side // CELL) for side in coded_size(*size, STRIDE))
        tried = []
        for share in Z_SHARES:
            sections, coded = code_sections(self.codec, size, y, share * z, point, tags, words)
            wrong = (self.conditioning(coded) - ref)[..., :rows, :columns]
            error = float(wrong.square().mean())
            cost = sum(map(len, sections)) * error
            tried.append((cost if math.isfinite(cost) else math.inf, sections))
        return min(tried, key=lambda each: each[0])[1]

    def latent(self, padded: Image) -> Latent:
        """Compute the standardised latent of a padded image, float32 (h, w, C), clipped.

        The last one is cached: every rate of an image starts from the same latent. `clipped` holds
        the number of clipped values, of all values, and the limit in standard deviations.
        """
        if self._main is not None:  # every rate starts from the same latent
            found, self.clipped = self._main.latent(padded), self._main.clipped
            return found
        if self._kept is not None and np.array_equal(self._kept[0], padded):
            return self._kept[1]
        found = self.autoencoder.scaled_latent(padded)
        limit = np.float32(self.autoencoder.limit)
        beyond = int(np.count_nonzero(np.abs(found) > limit))
        self.clipped = beyond, found.size, self.autoencoder.limit / SCALE
        latent: Latent = np.clip(found, -limit, limit, out=found)
        latent /= np.float32(SCALE)
        self._kept, self._kept_tags = (padded.copy(), latent), None
        return latent

    def tags(self, padded: Image, latent: Latent) -> tuple[int, ...]:
        """Predict the ids of a padded image's tags; none where the model has no tagger."""
        tagging = self.tagging
        return () if tagging is None else tagging(padded, latent)

    def _own_tags(self, padded: Image, latent: Latent) -> tuple[int, ...]:
        """The tags of the image whose latent is cached: predicted once for all of its rates."""
        if self._main is not None:
            return self._main._own_tags(padded, latent)
        if self._kept_tags is None:
            self._kept_tags = self.tags(padded, latent)
        return self._kept_tags

    @functools.cached_property
    def tagging(self) -> LatentTagging | ImageTagging | None:
        """The tagger, loaded when an image is first encoded; None: the model has none.

        Raises ModelError naming its file where it is damaged or of other tags.
        """
        if self._main is not None:
            return self._main.tagging
        path = self.part_file(TAGGER)
        if not path.is_file():
            return None
        return load_tagging(path, self.prior.vocabulary, self.device)

    def read(self, parsed: container.Stream) -> Coded:
        """Decode the symbols of a parsed stream."""
        size = parsed.header.height, parsed.header.width
        with torch.inference_mode():
            return read_sections(self.codec, parsed.sections, size, len(self.prior.vocabulary))

    def decode(self, stream: bytes, parsed: container.Stream, **keys: Any) -> Image:
        """Decode a stream; see `DiffIcmh.decode`."""
        return self.decode_batch([(stream, parsed)], **keys)[0]

    def decode_batch(
        self, streams: Sequence[tuple[bytes, container.Stream]], **keys: Any
    ) -> list[Image]:
        """Decode several streams; those of one size are sampled together."""
        sizes = [(parsed.header.height, parsed.header.width) for _, parsed in streams]
        latents = self.latents(streams, **keys)
        return [self.show(latent, size) for latent, size in zip(latents, sizes, strict=True)]

    def decode_padded(self, stream: bytes, parsed: container.Stream, **keys: Any) -> Image:
        """Decode a stream without cropping: uint8 (H, W, 3), sides multiples of 64."""
        latent = self.latents([(stream, parsed)], **keys)[0]
        return self._show_padded(latent)

    def latents(
        self,
        streams: Sequence[tuple[bytes, container.Stream]],
        *,
        sampler: str = "model",
        steps: int = 0,
        guidance: float = 0.0,
        start: int = 0,
        dtype: str = "float32",
        seed: int = 0,
    ) -> list[torch.Tensor]:
        """Latents (1, C, h, w) of several streams; those of one size are sampled together."""
        defaults = self.codec.defaults
        coded = [self.read(parsed) for _, parsed in streams]
        with torch.inference_mode():
            latents = [self.conditioning(one) for one in coded]
            if sampler != "none":
                for places in _groups_of_one_size(latents):
                    drawn = self.sample(
                        torch.cat([latents[place] for place in places]),
                        [coded[place].tags for place in places],
                        sampler=defaults["sampler"] if sampler == "model" else sampler,
                        steps=steps or defaults["steps"],
                        guidance=guidance or defaults["guidance"],
                        start=start or defaults["start"],
                        seeds=[noise_seed(streams[place][0], seed) for place in places],
                        dtype=dtype,
                    )
                    for number, place in enumerate(places):
                        latents[place] = drawn[number : number + 1]
        return latents

    def conditioning(self, coded: Coded) -> torch.Tensor:
        """Compute the conditioning latent c of an image, float32 (1, C, h, w)."""
        y_hat, z_hat = coded.y_hat.to(self.device), coded.z_hat.to(self.device)
        c: torch.Tensor = self.codec.lfgcm.synthesise(y_hat, z_hat, coded.rate)
        return c.float()

    def sample(self, c: torch.Tensor, tags: Sequence[tuple[int, ...]], **keys: Any) -> torch.Tensor:
        """Sample latents from the prior under control of c; see `ControlledPrior.sample`."""
        return self._controlled.sample(c, tags, **keys)

    def show(self, latent: torch.Tensor, size: tuple[int, int]) -> Image:
        """Decode a latent (1, C, h, w) to an image, cropped to `size` (height, width).

        Raises CodecError where the latent holds a value that is not finite.
        """
        return unpad(self._show_padded(latent), size, STRIDE)

    def _show_padded(self, latent: torch.Tensor) -> Image:
        if not torch.isfinite(latent).all():
            hint = "with dtype=float16, take bfloat16 or float32"
            raise CodecError(f"the sampled latent is not finite: {hint}")
        values = latent[0].permute(1, 2, 0).float().cpu().numpy()
        whole = latent.shape[2] * CELL, latent.shape[3] * CELL
        return self.autoencoder.image(np.ascontiguousarray(values), whole)

    def describe(self, stream: bytes, parsed: container.Stream) -> list[tuple[str, str]]:
        """List the lines of `icmbench info`."""
        header, pixels = parsed.header, parsed.header.width * parsed.header.height
        coded = self.read(parsed)
        rows, columns = padded_size(header.height, header.width)
        names = [self.prior.vocabulary[tag] for tag in coded.tags]
        tags, z, y = (len(section) for section in parsed.sections)
        return [
            ("format", "Diff-ICMH"),
            ("bytes", str(len(stream))),
            ("image", f"{header.width}x{header.height}"),
            *folding_lines(header.height, header.width, STRIDE),
            ("bits per pixel", f"{8 * len(stream) / pixels:.4f}"),
            ("as published", f"{8 * len(stream) / (rows * columns):.4f} ({columns}x{rows} pixels)"),
            ("weights", header.weights_digest.hex()),
            ("rate", f"{self._number if coded.rate is None else coded.rate + 1} of {self.rates}"),
            ("tags", ", ".join(names) or "none"),
            ("sections", f"tags {tags} B, z {z} B, y {y} B"),
        ]


def _groups_of_one_size(latents: Sequence[torch.Tensor]) -> list[list[int]]:
    """Group the indices of latents by size, in order."""
    groups: dict[torch.Size, list[int]] = {}
    for place, latent in enumerate(latents):
        groups.setdefault(latent.shape, []).append(place)
    return list(groups.values())


def _tensor(latent: Latent) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(latent.transpose(2, 0, 1)[None]))
