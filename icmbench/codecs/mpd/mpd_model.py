"""The loaded model of MPD: images to streams, streams to images."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from icmbench.bitstream import container
from icmbench.bitstream.folding import folding_lines
from icmbench.codecs.mpd.model_folder import LAYOUT, check_together
from icmbench.codecs.mpd.networks.features import Features, load_features
from icmbench.codecs.mpd.networks.reverse import load_reverse, reverse
from icmbench.codecs.mpd.palette.clustering import BLUR, blurred, weighted
from icmbench.codecs.mpd.palette.rdo import latent_error
from icmbench.codecs.mpd.stream.coder import BIT_KINDS, State, decode_sections
from icmbench.codecs.mpd.stream.context_tables import load_contexts
from icmbench.codecs.mpd.stream.encoder import encode_latent
from icmbench.core.errors import CodecError
from icmbench.models.codec_model import CodecModel, noise_seed
from icmbench.models.latent import CELL, latent_shape
from icmbench.models.upsample import fold_upsampling

Image = NDArray[np.uint8]

MAX_STRENGTH: Final = 64.0  # of the rate-distortion optimisation, for a target size
_BISECTIONS: Final = 9  # of its logarithm


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
        fold_upsampling(self.network)
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
        alpha: float,
        guide: str,
    ) -> bytes:
        """The stream of an image; see `Mpd.encode`."""
        latent = self.latent(image)
        carried = self.autoencoder.carried_latent(latent)
        own = palette == "image"
        coded = functools.partial(
            encode_latent,
            carried,
            shared=None if own else self.shared,
            features=self.clustering_features(latent, alpha, guide) if own and alpha > 0 else None,
            adaptive=self.contexts,
        )
        if not limit:
            return container.pack(header, coded(rdo=rdo)[0])
        return self._fit(carried, header, rdo, coded, limit)

    def clustering_features(
        self, latent: NDArray[np.int16], alpha: float, guide: str
    ) -> NDArray[np.int16]:
        """The weighted clustering features of a latent, int16 (h, w, d); see DESIGN 5c, d.

        Raises ModelError where the model folder lacks the features asked for.
        """
        if guide == BLUR:
            return weighted(blurred(self.autoencoder.carried_latent(latent)), alpha)
        return weighted(self.features(guide).points(latent), alpha)

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
    ) -> bytes:
        """The stream of least latent error within `limit` bytes, over strengths and states."""
        best: tuple[float, bytes] | None = None
        least = len(header.to_bytes())
        strength, low, high = rdo, max(rdo, 1 / MAX_STRENGTH), MAX_STRENGTH
        for _ in range(_BISECTIONS if limit > least else 0):
            payloads, states = coded(rdo=strength)
            errors = latent_error(states, latent)
            for count in range(1, len(payloads) + 1):
                stream = container.pack(header, payloads[:count])
                least = len(stream) if count == 1 else least
                if len(stream) <= limit and (best is None or errors[count - 1] < best[0]):
                    best = errors[count - 1], stream
            fits = len(container.pack(header, payloads)) <= limit
            if (fits and strength == rdo) or high < 1.02 * low:
                break
            low, high = (low, strength) if fits else (max(low, strength), high)
            strength = math.sqrt(low * high)
        if best is None:
            raise CodecError(f"bytes={limit}: the coarsest state alone takes {least} bytes")
        return best[1]

    def states(self, parsed: container.Stream) -> list[State]:
        """The states of a parsed stream, coarsest first."""
        shape = latent_shape(parsed.header.height, parsed.header.width)
        carried = self.autoencoder.carried
        return decode_sections(parsed.sections, shape, carried, self.contexts.copy(), self.shared)

    def decode(self, stream: bytes, parsed: container.Stream, decoder: str, seed: int = 0) -> Image:
        """The image of the finest state that a stream holds; the noise is that of a seed."""
        size = parsed.header.height, parsed.header.width
        return self.autoencoder.image(self.decode_latent(stream, parsed, decoder, seed), size)

    def decode_latent(
        self, stream: bytes, parsed: container.Stream, decoder: str, seed: int
    ) -> NDArray[np.float32]:
        """The latent of the finest state that a stream holds, (h, w, C)."""
        state, seed = self.states(parsed)[-1], noise_seed(stream, seed)
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
            parts = ", ".join(
                f"{name} {bits:.0f}" for name, bits in zip(BIT_KINDS, state.bits, strict=True)
            )
            lines.append(
                (
                    f"state {state.state}",
                    f"{len(state.palette)} entries, {len(payload)} B (bits: {parts}), "
                    f"ends at {end} B = {8 * end / pixels:.4f} bpp",
                )
            )
        return lines
