"""Diff-ICMH put together: a model folder, images to streams, streams to images."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.bitstream import container
from icmbench.bitstream.folding import coded_size, fold, folding_lines, unfold
from icmbench.codecs.diff_icmh.entropy.stream import (
    Coded,
    padded_size,
    read_sections,
    write_sections,
)
from icmbench.codecs.diff_icmh.model import (
    LAYOUT,
    TAGGER,
    load_codec,
    load_control,
)
from icmbench.codecs.diff_icmh.networks.control import predict_noise
from icmbench.codecs.diff_icmh.networks.lfgcm import STRIDE
from icmbench.codecs.diff_icmh.networks.tagger import chosen_tags, load_tagger
from icmbench.codecs.diff_icmh.sampling import STEPS, add_noise, draw, sample
from icmbench.codecs.diff_icmh.tags import AUTO, JOIN, NONE
from icmbench.codecs.diff_icmh.text import load_conditioned
from icmbench.core.errors import CodecError, ModelError
from icmbench.core.files import seed_from, sha256_bytes
from icmbench.core.suggest import unknown
from icmbench.models.codec_model import CodecModel
from icmbench.models.latent import CELL, SCALE

Image = NDArray[np.uint8]
Latent = NDArray[np.float32]


class System(CodecModel):
    """Diff-ICMH's model; the tagger is loaded when an image is first encoded."""

    layout = LAYOUT

    def __init__(self, folder: Path | None, device: str) -> None:
        super().__init__(folder, device)
        self.codec = load_codec(self.folder)
        self.prior = load_conditioned(self.folder)
        self.control = load_control(self.folder)
        self._check_sizes()
        self.to_device(self.prior.unet, self.control)
        self.codec.lfgcm.move_transforms(self.device)
        self.prior.embedder.to(self.device)
        self._kept: tuple[Image, Latent] | None = None
        self.clipped = 0, 0, 0.0

    def _check_sizes(self) -> None:
        """ModelError naming the part that is of another model than those before it."""
        latent, config = self.autoencoder.channels, self.prior.unet.config
        told, hint = self.control.unet_settings, self.control.settings.hint
        theirs = (told.latent, told.channels, told.layers, told.context, hint)
        sizes = ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim")
        ours = (*(config[name] for name in sizes), latent)
        faults = {
            "prior": config["in_channels"] != latent,
            "codec": self.codec.lfgcm.settings.out_channels != latent,
            "control": theirs != ours,
        }
        for part in (name for name, fault in faults.items() if fault):
            raise ModelError(f"{self.part_file(part)}: its sizes are not those of the other parts")

    @property
    def rates(self) -> int:
        """How many rates the model has."""
        return self.codec.lfgcm.settings.rates or 1

    def encode(self, image: Image, header: container.Header, *, rate: int, tags: str) -> bytes:
        """The stream of an image; see `DiffIcmh.encode`."""
        if not 1 <= rate <= self.rates:
            raise CodecError(f"rate={rate}: the model has the rates 1 to {self.rates}")
        padded = _continued(image)
        latent = self.latent(padded)
        point = rate - 1 if self.codec.lfgcm.settings.rates else None
        pixels = torch.from_numpy(padded.transpose(2, 0, 1)[None].astype(np.float32) / 255)
        with torch.inference_mode():
            ref = _tensor(latent).to(self.device)
            y, z = self.codec.lfgcm.analyse(pixels.to(self.device), ref, point)
            found = self.tags(latent) if tags == AUTO else self.named_tags(tags)
            sections = write_sections(
                self.codec, y.cpu(), z.cpu(), point, found, len(self.prior.vocabulary)
            )
        return container.pack(header, sections)

    def latent(self, padded: Image) -> Latent:
        """The standardised latent of a continued image, float32 (h, w, C), in the model's range.

        The last one is kept: every rate of an image starts from the same latent. `clipped` is the
        number of its values beyond the range, of how many, and the range in standard deviations.
        """
        if self._kept is not None and np.array_equal(self._kept[0], padded):
            return self._kept[1]
        found = self.autoencoder.scaled_latent(padded)
        limit = np.float32(self.autoencoder.limit)
        beyond = int(np.count_nonzero(np.abs(found) > limit))
        self.clipped = beyond, found.size, self.autoencoder.limit / SCALE
        latent: Latent = np.clip(found, -limit, limit, out=found)
        latent /= np.float32(SCALE)
        self._kept = padded.copy(), latent
        return latent

    def tags(self, latent: Latent) -> tuple[int, ...]:
        """Ids of the tags that the tagger gives a latent; none where the model has no tagger.

        It runs on the CPU: of two tags of nearly one score, no GPU decides.
        """
        tagger = self._tagger
        if tagger is None:
            return ()
        with torch.inference_mode():
            return chosen_tags(tagger(_tensor(latent))[0])

    def named_tags(self, text: str) -> tuple[int, ...]:
        """Ids of tags that are given by name, joined by `+`; none for the text `none`.

        Raises CodecError naming a tag that is not in the vocabulary, and the nearest ones.
        """
        if text == NONE:
            return ()
        vocabulary = self.prior.vocabulary
        ids = set()
        for name in (part.strip() for part in text.split(JOIN)):
            if name not in vocabulary:
                raise CodecError(unknown("tag", name, vocabulary))
            ids.add(vocabulary.index(name))
        return tuple(sorted(ids))

    @functools.cached_property
    def _tagger(self) -> Any:
        path = self.part_file(TAGGER)
        return load_tagger(path, self.prior.vocabulary) if path.is_file() else None

    def read(self, parsed: container.Stream) -> Coded:
        """The symbols of a parsed stream."""
        size = parsed.header.height, parsed.header.width
        with torch.inference_mode():
            return read_sections(self.codec, parsed.sections, size, len(self.prior.vocabulary))

    def decode(
        self,
        stream: bytes,
        parsed: container.Stream,
        *,
        sampler: str,
        steps: int = 0,
        guidance: float = 0.0,
        start: int = 0,
    ) -> Image:
        """The image of a stream; see `DiffIcmh.decode`."""
        keys: dict[str, Any] = {"sampler": sampler, "steps": steps, "guidance": guidance}
        return self.decode_batch([(stream, parsed)], **keys, start=start)[0]

    def decode_batch(
        self,
        streams: Sequence[tuple[bytes, container.Stream]],
        *,
        sampler: str,
        steps: int = 0,
        guidance: float = 0.0,
        start: int = 0,
    ) -> list[Image]:
        """The images of several streams; those of one size are sampled together."""
        defaults = self.codec.defaults
        coded = [self.read(parsed) for _, parsed in streams]
        with torch.inference_mode():
            latents = [self.guide(one) for one in coded]
            if sampler != "none":
                for places in _alike(latents):
                    drawn = self.sample(
                        torch.cat([latents[place] for place in places]),
                        [coded[place].tags for place in places],
                        sampler=defaults["sampler"] if sampler == "model" else sampler,
                        steps=steps or defaults["steps"],
                        guidance=guidance or defaults["guidance"],
                        start=start or defaults["start"],
                        seeds=[_seed(streams[place][0]) for place in places],
                    )
                    for number, place in enumerate(places):
                        latents[place] = drawn[number : number + 1]
        sizes = [(parsed.header.height, parsed.header.width) for _, parsed in streams]
        return [self.show(latent, size) for latent, size in zip(latents, sizes, strict=True)]

    def guide(self, coded: Coded) -> torch.Tensor:
        """c, the latent that steers the diffusion, float32 (1, C, h, w)."""
        y_hat, z_hat = coded.y_hat.to(self.device), coded.z_hat.to(self.device)
        c: torch.Tensor = self.codec.lfgcm.synthesise(y_hat, z_hat, coded.rate)
        return c.float()

    def sample(
        self,
        hints: torch.Tensor,
        tags: Sequence[tuple[int, ...]],
        *,
        sampler: str,
        steps: int,
        guidance: float,
        seeds: Sequence[int],
        start: int = STEPS - 1,
        controlled: bool = True,
    ) -> torch.Tensor:
        """Latents drawn from the prior under control of c, float32 (n, C, h, w).

        Args:
            hints: the c of every picture, (n, C, h, w).
            tags: of every picture.
            guidance: 1 evaluates the network with the tags alone, anything else with and without
                them as one pair (Ho and Salimans 2021).
            seeds: of every picture's noise, which is drawn on the CPU.
            start: step of the schedule where sampling begins: at the last one from noise alone, as
                published, before it from c with as much noise as belongs there (Meng et al. 2022).
            controlled: without, the prior invents what it likes.
        """
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        count = len(hints)
        single = guidance == 1 or not any(tags)  # without tags both would see the same
        sets = [*tags] if single else [*tags, *[()] * count]
        context = self.prior.embedder(sets)
        repeats = len(sets) // count
        shown = hints.repeat(repeats, 1, 1, 1)
        control = self.control if controlled else None

        def predict(x: torch.Tensor, step: int) -> torch.Tensor:
            both = x.repeat(repeats, 1, 1, 1).contiguous(memory_format=torch.channels_last)
            level = torch.full((len(sets),), step, device=self.device)
            noise = predict_noise(self.prior.unet, control, both, shown, level, context)
            if single:
                return noise
            told, untold = noise.chunk(2)
            return untold + guidance * (told - untold)

        def fresh() -> torch.Tensor:
            shape = (1, *hints.shape[1:])
            return torch.cat([draw(shape, generator) for generator in generators]).to(self.device)

        noisy = fresh()
        if start < STEPS - 1:
            levels = torch.full((count,), start, device=self.device)
            noisy = add_noise(hints, noisy, levels)
        clip = self.codec.defaults["clip"]
        return sample(predict, noisy, steps, sampler, fresh, start=start, clip=clip)

    def show(self, latent: torch.Tensor, size: tuple[int, int]) -> Image:
        """The image of a latent (1, C, h, w), cropped to `size` (height, width).

        Raises CodecError where the latent holds a value that is not finite.
        """
        if not torch.isfinite(latent).all():
            raise CodecError("the diffusion gave a latent that is not finite")
        values = latent[0].permute(1, 2, 0).float().cpu().numpy()
        whole = latent.shape[2] * CELL, latent.shape[3] * CELL
        image = self.autoencoder.image(np.ascontiguousarray(values), whole)
        height, width = coded_size(*size, STRIDE)
        return unfold(np.ascontiguousarray(image[:height, :width]), size, STRIDE)

    def describe(self, stream: bytes, parsed: container.Stream) -> list[tuple[str, str]]:
        """Lines of `icmbench info`."""
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
            ("rate", f"{(coded.rate or 0) + 1} of {self.rates}"),
            ("tags", ", ".join(names) or "none"),
            ("sections", f"tags {tags} B, z {z} B, y {y} B"),
        ]


def _continued(image: Image) -> Image:
    """The image, folded if thin, continued by its last row and column to multiples of 64 pixels."""
    height, width = padded_size(*image.shape[:2])
    image = fold(image, STRIDE)
    rows, columns = height - image.shape[0], width - image.shape[1]
    return np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge")


def _seed(stream: bytes) -> int:
    """Of a stream's noise: its own digest."""
    return seed_from(sha256_bytes(stream))


def _alike(latents: Sequence[torch.Tensor]) -> list[list[int]]:
    """The places of latents of one size, in order."""
    groups: dict[torch.Size, list[int]] = {}
    for place, latent in enumerate(latents):
        groups.setdefault(latent.shape, []).append(place)
    return list(groups.values())


def _tensor(latent: Latent) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(latent.transpose(2, 0, 1)[None]))
