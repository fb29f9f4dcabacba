"""The loaded model of MPD: images to streams, streams to images."""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from icmbench.bitstream import container
from icmbench.bitstream.folding import fold, folding_lines
from icmbench.codecs.mpd.model_folder import LAYOUT, check_together
from icmbench.codecs.mpd.networks.class_features import CLASSES, class_points
from icmbench.codecs.mpd.networks.features import Features, load_features
from icmbench.codecs.mpd.networks.perception import perceptual_metric
from icmbench.codecs.mpd.networks.reverse import reverse
from icmbench.codecs.mpd.networks.reverse_network import load_reverse
from icmbench.codecs.mpd.palette.clustering import BLUR, blurred, weighted
from icmbench.codecs.mpd.palette.rdo import latent_error
from icmbench.codecs.mpd.stream.coder import (
    BIT_KINDS,
    REFINEMENT,
    State,
    palette_states,
    walk_sections,
)
from icmbench.codecs.mpd.stream.context_tables import load_contexts
from icmbench.codecs.mpd.stream.encoder import encode_latent
from icmbench.core.errors import CodecError
from icmbench.models.codec_model import CodecModel, noise_seed
from icmbench.models.latent import CELL, SCALE, latent_shape

Image = NDArray[np.uint8]

MAX_STRENGTH: Final = 64.0  # of the rate-distortion optimisation, for a target size
_BISECTIONS: Final = 9  # of its logarithm
_OCTAVE: Final = 8  # steps of the refinement's thresholds from one plane to the next


class Wishes(NamedTuple):
    """Wishes for what an encoder keeps beside the latent; see `Mpd.encode`.

    Attributes:
        alpha: weight of the clustering features; 0: none.
        guide: name of the clustering features.
        keep: weight of their error in the label optimisation, relative to that in the clustering.
        perception: True where channels are weighted by what a class network makes of them.
    """

    alpha: float
    guide: str
    keep: float = 0.0
    perception: bool = False


class MPDModel(CodecModel):
    """MPD's model with its coder's tables and the network of the reverse process."""

    layout = LAYOUT

    def __init__(self, folder: Path | None, device: str) -> None:
        super().__init__(folder, device)
        carried, contexts = self.autoencoder.carried, self.part_file("contexts")
        self.contexts, self.shared = load_contexts(contexts, carried)
        channels = self.autoencoder.channels
        self.network, self.noise = load_reverse(self.part_file("reverse"), channels)
        check_together(self.folder, ("contexts", "reverse"))
        self._features: dict[str, Features] = {}
        self.to_device(self.network)

    def latent(self, image: Image) -> NDArray[np.int16]:
        """The integer latent of an image, (h, w, C)."""
        return self.autoencoder.latent(image)

    def encode(
        self,
        image: Image,
        header: container.Header,
        *,
        palette: str,
        rdo: float,
        limit: int,
        wishes: Wishes,
        refine: int,
    ) -> bytes:
        """The stream of an image; see `Mpd.encode`."""
        latent = self.latent(image)
        own = palette == "image"
        guided = own and wishes.alpha > 0
        coded = functools.partial(
            encode_latent,
            latent,
            carried=self.autoencoder.carried,
            shared=None if own else self.shared,
            features=self.clustering_features(image, latent, wishes) if guided else None,
            keep_features=wishes.keep,
            metric=perceptual_metric(self.autoencoder, latent) if wishes.perception else None,
            adaptive=self.contexts,
        )
        if not limit:
            return container.pack(header, coded(rdo=rdo, refine=refine)[0])
        return self._fit(latent, header, rdo, coded, limit, refine)

    def clustering_features(
        self, image: Image, latent: NDArray[np.int16], wishes: Wishes
    ) -> NDArray[np.int16]:
        """The weighted clustering features of an image, int16 (h, w, d); see DESIGN 5c, d.

        Raises ModelError where the model folder lacks the features asked for, or the package of the
        class network is missing.
        """
        carried = self.autoencoder.carried_latent(latent)
        if wishes.guide == BLUR:
            return weighted(blurred(carried), wishes.alpha)
        if wishes.guide == CLASSES:
            points = class_points(fold(image, CELL), carried, self.device)
            return weighted(points, wishes.alpha)
        return weighted(self.features(wishes.guide).points(latent), wishes.alpha)

    def features(self, guide: str) -> Features:
        """The contrastive features of a kind of descriptors, loaded on first use."""
        if guide not in self._features:
            part = f"features-{guide}"
            self.layout.check_folder(self.folder, (part,))
            features = load_features(self.part_file(part), self.autoencoder.channels)
            check_together(self.folder, (part,))
            features.network.to(self.device)
            self._features[guide] = features
        return self._features[guide]

    def _fit(
        self,
        latent: NDArray[np.int16],
        header: container.Header,
        rdo: float,
        coded: Callable[..., tuple[list[bytes], list[State]]],
        limit: int,
        refine: int,
    ) -> bytes:
        """The stream of least latent error within `limit` bytes, over strengths and states."""
        search = _Search(latent, header, limit)
        sections = len(palette_states(latent.shape[0] * latent.shape[1]))
        held = search.add(*coded(rdo=rdo, refine=refine)) if limit > search.least else 0
        if sections <= held < sections + refine:
            # One plane more, with thresholds that are raised by less than an octave.
            low, high = 0, _OCTAVE
            while high - low > 1:
                middle = (low + high) // 2
                wanted = held + 1
                found = coded(rdo=rdo, refine=wanted - sections, coarser=middle)
                low, high = (low, middle) if search.add(*found) == wanted else (middle, high)
        elif held < sections and limit > search.least:
            weak, strong = max(rdo, 1 / MAX_STRENGTH), MAX_STRENGTH
            for _ in range(_BISECTIONS - 1):
                if strong < 1.02 * weak:
                    break
                strength = math.sqrt(weak * strong)
                fits = search.add(*coded(rdo=strength)) == sections
                weak, strong = (weak, strength) if fits else (strength, strong)
        if search.best is None:
            raise CodecError(f"bytes={limit}: the coarsest state alone takes {search.least} bytes")
        return search.best

    def states(self, parsed: container.Stream) -> list[State]:
        """The states of a parsed stream, coarsest first."""
        return list(self._walk(parsed))

    def _walk(self, parsed: container.Stream) -> Iterator[State]:
        shape = latent_shape(parsed.header.height, parsed.header.width)
        channels = self.autoencoder.carried, self.autoencoder.channels
        return walk_sections(
            parsed.sections, shape, channels[0], self.contexts.copy(), self.shared, channels[1]
        )

    def decode(self, stream: bytes, parsed: container.Stream, decoder: str, seed: int = 0) -> Image:
        """The image of the finest state that a stream holds; the noise is that of a seed."""
        size = parsed.header.height, parsed.header.width
        return self.autoencoder.image(self.decode_latent(stream, parsed, decoder, seed), size)

    def decode_latent(
        self, stream: bytes, parsed: container.Stream, decoder: str, seed: int
    ) -> NDArray[np.float32]:
        """The latent of the finest state that a stream holds, (h, w, C)."""
        state = deque(self._walk(parsed), maxlen=1)[0]  # one is held: they are as large as images
        seed = noise_seed(stream, seed)
        return reverse(self.network, state, decoder, self.noise, seed, self.device)

    def show(self, state: State, decoder: str, seed: int, size: tuple[int, int]) -> Image:
        """The image of one state."""
        latent = reverse(self.network, state, decoder, self.noise, seed, self.device)
        return self.autoencoder.image(latent, size)

    def describe(self, stream: bytes, parsed: container.Stream) -> list[tuple[str, str]]:
        """Lines of `icmbench info`."""
        header = parsed.header
        pixels = header.width * header.height
        states = self.states(parsed)
        lines = [
            ("format", "MPD"),
            ("bytes", str(len(stream))),
            ("image", f"{header.width}x{header.height}"),
            *folding_lines(header.height, header.width, CELL),
            ("bits per pixel", f"{8 * len(stream) / pixels:.4f}"),
            ("weights", header.weights_digest.hex()),
            ("header", f"{parsed.header_bytes} B"),
        ]
        for state, payload, end in zip(states, parsed.sections, parsed.ends, strict=True):
            named = zip(BIT_KINDS, state.bits, strict=True)
            parts = ", ".join(
                f"{name} {bits:.0f}"
                for name, bits in named
                if (name == REFINEMENT) == (state.refined is not None)
            )
            held = f"{len(state.palette)} entries"
            if state.refined is not None:
                held = f"steps of {state.refined.threshold / SCALE:.4f} standard deviations"
            lines.append(
                (
                    f"state {state.state}",
                    f"{held}, {len(payload)} B (bits: {parts}), "
                    f"ends at {end} B = {8 * end / pixels:.4f} bpp",
                )
            )
        return lines


class _Search:
    """The best stream of at most `limit` bytes among the prefixes of those that were added.

    Attributes:
        best: of least latent error; None: none fits.
        least: bytes of the smallest stream, of the header alone before the first is added.
    """

    def __init__(self, latent: NDArray[np.int16], header: container.Header, limit: int) -> None:
        self.best: bytes | None = None
        self.least = len(header.to_bytes())
        self._latent, self._header, self._limit = latent, header, limit
        self._error = math.inf

    def add(self, payloads: list[bytes], states: list[State]) -> int:
        """Try every prefix; returns how many sections fit."""
        fit = 0
        for count, error in enumerate(latent_error(states, self._latent), 1):
            stream = container.pack(self._header, payloads[:count])
            self.least = len(stream) if count == 1 else self.least
            if len(stream) > self._limit:
                break
            fit = count
            if error < self._error:
                self.best, self._error = stream, error
        return fit
