"""The claims of DESIGN 5 on every image of `photos` and `scenes`, with the bundled weights."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from reference_coder import direct_bits, two_neighbour_bits
from scipy.interpolate import PchipInterpolator

from icmbench.bitstream import container
from icmbench.codecs.mpd.codec import Mpd
from icmbench.codecs.mpd.model_folder import PARTS as FILES
from icmbench.codecs.mpd.model_folder import bundled, part_file
from icmbench.codecs.mpd.palette.clustering import default_features
from icmbench.codecs.mpd.palette.hierarchy import entry_limits
from icmbench.codecs.mpd.palette.rdo import latent_error
from icmbench.codecs.mpd.stream.coder import BIT_KINDS, FINEST, State, section_states
from icmbench.codecs.mpd.stream.encoder import encode_latent
from icmbench.core.files import sha256_bytes
from icmbench.core.images.image_files import read_image
from icmbench.datasets.photos import PHOTOS, Photos
from icmbench.datasets.scenes import Scenes

pytestmark = pytest.mark.skipif(
    not all(part_file(bundled(), part).is_file() for part in FILES),
    reason="the package holds no MPD weights (icmbench/weights/mpd): the claims are about them",
)

MEGAPIXELS = 0.2  # below, header and frames are a large part of 0.02 bits per pixel
SCENES = 12
PHOTO_IDS = sorted(PHOTOS)
SCENE_IDS = [f"test-{index:05d}" for index in range(SCENES)]
IMAGES = [("photos", name) for name in PHOTO_IDS] + [("scenes", name) for name in SCENE_IDS]


@dataclass(frozen=True)
class Coded:
    """One image's latent and its stream with rdo=1 or 0."""

    image: np.ndarray
    latent: np.ndarray
    stream: bytes
    parsed: container.Stream
    states: list[State]

    @property
    def bpp(self) -> np.ndarray:
        pixels = self.image.shape[0] * self.image.shape[1]
        return np.array([8 * end / pixels for end in self.parsed.ends])

    @property
    def errors(self) -> np.ndarray:
        return np.array(latent_error(self.states, self.latent))


@functools.cache
def codec() -> Mpd:
    return Mpd()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All images, provided by the data sets themselves."""
    folder = tmp_path_factory.mktemp("claims")
    photos = Photos("photos", {"max_megapixels": MEGAPIXELS}, folder)
    scenes = Scenes("scenes", {"size": 128, "test": SCENES}, folder)
    assert photos.image_ids() == PHOTO_IDS
    assert scenes.image_ids() == SCENE_IDS
    for dataset in (photos, scenes):
        (folder / dataset.name).mkdir()
        dataset.provide(dataset.image_ids(), folder / dataset.name)
    return folder


@functools.cache
def coded(folder: Path, dataset: str, name: str, rdo: float) -> Coded:
    """The encoder's own states, which the tests hold the decoder against."""
    image = read_image(folder / dataset / f"{name}.png")[0]
    model = codec().model
    latent = model.latent(image) if rdo else coded(folder, dataset, name, 1.0).latent
    payloads, states = encode_latent(
        latent, carried=model.autoencoder.carried, rdo=rdo, refine=-FINEST, adaptive=model.contexts,
        features=default_features(model.autoencoder.carried_latent(latent)),
    )  # fmt: skip
    header = container.Header(1, model.digest, image.shape[1], image.shape[0])
    stream = container.pack(header, payloads)
    return Coded(image, latent, stream, container.parse(stream), states)


def photos(folder: Path, rdo: float) -> list[Coded]:
    return [coded(folder, "photos", name, rdo) for name in PHOTO_IDS]


@pytest.mark.parametrize(("dataset", "name"), IMAGES)
@pytest.mark.parametrize("rdo", [1.0, 0.0])
def test_every_prefix_shows_the_encoders_state(
    folder: Path, dataset: str, name: str, rdo: float
) -> None:
    one = coded(folder, dataset, name, rdo)
    cells = one.latent.shape[0] * one.latent.shape[1]
    assert [state.state for state in one.states] == section_states(cells)
    for end, state in zip(one.parsed.ends, one.states, strict=True):
        shown = codec().model.states(codec()._parse(one.stream[:end]))[-1]
        assert shown.labels.tolist() == state.labels.tolist()
        assert shown.palette.tolist() == state.palette.tolist()
        assert (shown.latent() == state.latent()).all()
        assert len(state.palette) <= entry_limits(cells)[max(state.state, 0)]
        assert (state.bounds is None) == (state.state >= 0)
        if state.bounds is not None:
            low, high = state.bounds
            assert (low <= one.latent).all()
            assert (one.latent <= high).all()
    for state in range(FINEST, 8):
        cut = codec().truncate(one.stream, state=state)
        finest = [t for t in section_states(cells) if t >= state][-1]
        assert cut == one.stream[: one.parsed.ends[section_states(cells).index(finest)]]


@pytest.mark.parametrize(("dataset", "name"), [*IMAGES[:2], *IMAGES[-2:]])
def test_the_codec_writes_that_stream(folder: Path, dataset: str, name: str) -> None:
    """`Mpd.encode` with its defaults, byte by byte; and `rdo=0` is another one."""
    one = coded(folder, dataset, name, 1.0)
    assert sha256_bytes(codec().encode(one.image)) == sha256_bytes(one.stream)
    assert coded(folder, dataset, name, 0.0).stream != one.stream


@pytest.mark.parametrize(("dataset", "name"), IMAGES)
@pytest.mark.parametrize("rdo", [1.0, 0.0])
def test_rate_and_distortion_are_monotone(
    folder: Path, dataset: str, name: str, rdo: float
) -> None:
    """Bytes grow strictly where entries do; the latent's error falls weakly from state to state.

    A refinement has a payload always, and lowers the error.
    """
    one = coded(folder, dataset, name, rdo)
    sections = zip(one.states, one.parsed.ends, strict=True)
    for (coarse, before), (fine, after) in itertools.pairwise(sections):
        payload = one.parsed.sections[one.states.index(fine)]
        grows = len(fine.palette) > len(coarse.palette)
        assert bool(payload) == (grows or fine.state < 0)
        assert after > before
    assert (np.diff(one.errors) <= 0).all()
    assert (np.diff(one.errors[FINEST - 1 :]) < 0).all()


def embedded_bits(states: list[State]) -> np.ndarray:
    """Shape and map of all sections up to each state."""
    kept = [BIT_KINDS.index("shape"), BIT_KINDS.index("map")]
    return np.cumsum([state.bits[kept].sum() for state in states])


def ratios(images: list[Coded], reference: object, part: str) -> dict[int, float]:
    """Ours / the reference coder's bits for the same labels, by state, mean over images."""
    table: dict[int, list[float]] = {}
    for one in images:
        embedded = embedded_bits(one.states)
        maps = np.cumsum([state.bits[BIT_KINDS.index("map")] for state in one.states])
        ours = embedded if part == "shape and map" else maps
        for state, bits in zip(one.states, ours, strict=True):
            entries = len(state.palette)
            if entries > 1 and state.state >= 0:
                theirs = reference(state.labels.astype(np.int64), entries)
                table.setdefault(state.state, []).append(bits / theirs)
    return {state: float(np.mean(values)) for state, values in table.items()}


def test_embedding_costs_nothing(folder: Path) -> None:
    """Embedded / direct coding of the same labels: at most 1.05, at most 1 from 64 entries up."""
    found = ratios(photos(folder, 1.0), direct_bits, "shape and map")
    assert max(found.values()) <= 1.05
    assert max(found[state] for state in (0, 1, 2)) <= 1.0


def test_the_map_beats_a_plain_coder(folder: Path) -> None:
    """A two-neighbour adaptive coder needs at least 5 % more at 256, 64, 16 and 4 entries."""
    found = ratios(photos(folder, 1.0), two_neighbour_bits, "map")
    assert max(found[state] for state in (0, 2, 4, 6)) <= 0.95


def saving(plain: Coded, better: Coded, low: float, high: float) -> float:
    """BD-rate of latent MSE over the plain stream's rates from `low` to `high` bits per pixel."""
    rate = PchipInterpolator(np.log(plain.bpp), -np.log(plain.errors))
    points = np.log([max(low, plain.bpp[0]), min(high, plain.bpp[-1])])
    start, end = rate(points)
    curves = []
    for one in (plain, better):
        quality, unique = np.unique(-np.log(one.errors), return_index=True)
        curves.append(PchipInterpolator(quality, np.log(one.bpp[unique])))
        start, end = max(start, quality[0]), min(end, quality[-1])
    assert end - start > 0.3
    change = curves[1].integrate(start, end) - curves[0].integrate(start, end)
    return float(np.exp(change / (end - start)) - 1)


def test_optimised_streams_save_a_tenth(folder: Path) -> None:
    """BD-rate against `rdo=0`, the same latents, one stream each."""
    pairs = zip(photos(folder, 0.0), photos(folder, 1.0), strict=True)
    found = [saving(plain, better, 0.02, 0.08) for plain, better in pairs]
    assert np.mean(found) <= -0.10
    assert max(found) < 0
