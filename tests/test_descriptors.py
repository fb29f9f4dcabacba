"""Descriptors: unchanged by the symmetries of a square tap, and telling textures apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icmbench.codecs.mpd.training import descriptors as des
from icmbench.core.errors import ConfigError

SIZES = [4, 8, 16, 32, 64]
BINS = {4: 6, 8: 9, 16: 12, 32: 15, 64: 18}
STYLES = ["noise", "sparse", "ramp", "bright", "wave"]


def make_tap(style: str, channels: int, size: int, seed: int) -> torch.Tensor:
    """One patch of a tap, (1, C, size, size), as a rectified layer gives it."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn((1, channels, size, size), generator=generator)
    if style == "sparse":
        values = torch.where(values > 1.5, values * 1000, torch.zeros(()))
    elif style == "ramp":
        values = torch.linspace(0, 50, size) * values[:, :, :1, :1].abs() + 0.1 * values
    elif style == "bright":
        values = 1e5 + values
    elif style == "wave":
        line = torch.arange(size) * (1 + seed % (size // 2)) * (2 * torch.pi / size)
        values = 1e4 * torch.cos(line).expand(1, channels, size, size)
    return values.contiguous()


taps = st.builds(
    make_tap, st.sampled_from(STYLES), st.integers(1, 7), st.sampled_from(SIZES), st.integers(0, 99)
)


def change(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest relative difference of any value (of those below 0.001, in thousandths)."""
    return float(((found - expected).abs() / expected.abs().clamp(min=1e-3)).max())


@pytest.mark.parametrize("kind", des.KINDS)
@given(tap=taps, down=st.integers(0, 63), right=st.integers(0, 63), turns=st.integers(0, 3))
def test_shift_flip_and_turn_change_nothing(
    kind: str, tap: torch.Tensor, down: int, right: int, turns: int
) -> None:
    """Each alone and all together; noise has energy at every frequency, Nyquist's too."""
    plain = des.descriptor(tap, kind)
    shifted = tap.roll((down, right), (2, 3))
    turned = torch.rot90(tap, turns, (2, 3))
    together = torch.rot90(shifted, turns, (2, 3)).flip(3)
    for moved in (shifted, tap.flip(2), tap.flip(3), turned, tap.transpose(2, 3), together):
        assert change(des.descriptor(moved.contiguous(), kind), plain) <= 1e-5


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, *SIZES])
def test_bins_are_kept_by_the_symmetries_and_lie_where_they_say(size: int) -> None:
    bins, names = des.sectors(size)
    assert names.shape == (size, size)
    assert sorted(set(names.ravel().tolist())) == list(range(len(bins)))
    assert len(bins) == BINS.get(size, len(bins))
    negative = -np.arange(size) % size
    for moved in (names.T, names[negative], names[:, negative]):
        assert (moved == names).all()
    frequency = np.fft.fftfreq(size, 1 / size)
    for row, y in enumerate(frequency):
        for column, x in enumerate(frequency):
            sector = bins[names[row, column]]
            assert sector.inner <= np.hypot(x, y) < sector.outer
            angle = np.degrees(np.arctan2(min(abs(x), abs(y)), max(abs(x), abs(y))))
            assert sector.start - 1e-9 <= angle <= sector.stop + 1e-9
            assert (sector.inner == 0) == (row == column == 0)
    for one in bins[1:]:
        assert one.outer == 2 * one.inner
        assert one.stop - one.start == 15


@pytest.mark.parametrize("size", SIZES)
def test_a_wave_has_its_magnitude_in_its_bin(size: int) -> None:
    """Exact values: amplitude a gives a N / 2 at both signs of a frequency, a N at Nyquist."""
    bins, names = des.sectors(size)
    places = np.arange(size)
    for y, x in [(1, 0), (0, size // 2), (size // 2, size // 2), (1, 1), (size - 1, 1)]:
        phase = 2 * np.pi * (y * places[:, None] + x * places) / size
        tap = torch.from_numpy(5.0 * np.cos(phase) - 2.0).float()[None, None]
        alone = (-y % size, -x % size) == (y, x)
        expected = np.zeros(len(bins))
        expected[0] = 2.0
        share = 5.0 * size / (names == names[y, x]).sum()  # both signs of the frequency, or one
        expected[names[y, x]] = share
        assert alone == (y in (0, size // 2) and x in (0, size // 2))
        found = des.descriptor(tap, "fft")[0].numpy()
        np.testing.assert_allclose(found, np.log1p(expected), atol=1e-5)


def test_mean_is_means_and_deviations_only() -> None:
    tap = make_tap("noise", 5, 16, 3)
    found = des.descriptor(tap, "mean")[0].numpy()
    flat = tap[0].double().flatten(1).numpy()
    wanted = np.log1p(np.concatenate([np.abs(flat.mean(1)), flat.std(1)]))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    mixed = tap.flatten(2)[:, :, torch.randperm(256)].reshape(tap.shape)
    assert change(des.descriptor(mixed, "mean"), des.descriptor(tap, "mean")) <= 1e-5
    assert change(des.descriptor(mixed, "fft"), des.descriptor(tap, "fft")) > 0.05


@pytest.mark.parametrize("size", SIZES)
def test_textures_of_equal_mean_and_deviation_differ(size: int) -> None:
    """Coarse against fine stripes, and stripes against diagonals: rings and wedges both count."""
    line = torch.arange(size) * (2 * torch.pi / size)
    coarse = torch.cos(line).expand(size, size)
    fine = torch.cos(line * (size // 2 - 1) if size > 4 else line * 2).expand(size, size)
    slanted = torch.cos(line[:, None] + line)
    plain = des.descriptor(coarse[None, None], "fft")
    for other in (fine, slanted):
        assert (des.descriptor(other[None, None], "fft") - plain).abs().max() > 0.1
    assert change(des.descriptor(coarse.T[None, None], "fft"), plain) <= 1e-5


@pytest.mark.parametrize("size", SIZES)
def test_without_folding_a_turn_is_seen(size: int) -> None:
    """Why orientations are folded, and that the property above would find it missing."""

    def by_angle(tap: torch.Tensor, flips: bool) -> np.ndarray:
        magnitudes = np.abs(np.fft.fft2(tap[0, 0].numpy(), norm="ortho"))
        frequency = np.fft.fftfreq(size, 1 / size)
        y, x = np.meshgrid(frequency, frequency, indexing="ij")
        if flips:
            y, x = np.abs(y), np.abs(x)
        angle = np.degrees(np.arctan2(y, x)) % 180
        wedge = (angle // 15).astype(int)
        return np.bincount(wedge.ravel(), magnitudes.ravel(), 13)

    tap = make_tap("noise", 1, size, 5)
    plain = by_angle(tap, False)
    assert np.abs(by_angle(tap.flip(3), False) - plain).max() > 0.05
    folded = by_angle(tap, True)
    np.testing.assert_allclose(by_angle(tap.flip(3), True), folded, rtol=1e-4)
    assert np.abs(by_angle(torch.rot90(tap, 1, (2, 3)), True) - folded).max() > 0.05


@pytest.mark.parametrize("kind", des.KINDS)
def test_patches_and_channels_do_not_mix(kind: str) -> None:
    """A patch's descriptor is that of the patch alone, channel behind channel."""
    tap = make_tap("noise", 6, 16, 1).reshape(2, 3, 16, 16)
    found = des.descriptor(tap, kind)
    parts = 12 if kind == "fft" else 2
    assert found.dtype == torch.float32
    assert found.shape == (2, 3 * parts)
    for patch in range(2):
        for channel in range(3):
            alone = des.descriptor(tap[patch : patch + 1, channel : channel + 1], kind)[0]
            if kind == "fft":
                mine = found[patch, channel * parts : (channel + 1) * parts]
            else:
                mine = found[patch, channel::3]
            torch.testing.assert_close(mine, alone, rtol=1e-6, atol=1e-7)


def test_white_noise_looks_alike_at_every_size() -> None:
    """E|F| of unit white noise is sqrt(pi) / 2 at any size."""
    for size in (16, 64):
        found = des.descriptor(make_tap("noise", 400, size, 0), "fft").reshape(400, -1)
        expected = np.log1p(np.sqrt(np.pi) / 2)
        assert float(found[:, -1].mean()) == pytest.approx(expected, abs=0.01)


def test_what_is_refused() -> None:
    with pytest.raises(ConfigError, match="fft, mean, not 'dct'"):
        des.descriptor(torch.zeros(1, 1, 4, 4), "dct")
    with pytest.raises(ConfigError, match="4 x 8"):
        des.descriptor(torch.zeros(1, 1, 4, 8), "fft")
