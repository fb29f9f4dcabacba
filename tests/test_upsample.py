"""The folded enlargement is the enlargement and the convolution behind it."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.upsampling import Upsample2D

from icmbench.models.upsample import FoldedUpsample, fold_upsampling, folded_kernel


@pytest.mark.parametrize(("channels", "outputs", "height", "width"), [(1, 1, 1, 1), (3, 5, 4, 7)])
def test_equals_enlarging_then_convolving(
    channels: int, outputs: int, height: int, width: int
) -> None:
    torch.manual_seed(channels)
    original = Upsample2D(channels, use_conv=True, out_channels=outputs).double()
    values = torch.randn(2, channels, height, width, dtype=torch.float64)
    folded = FoldedUpsample(original).double()
    torch.testing.assert_close(folded(values), original(values), rtol=1e-12, atol=1e-12)


def test_a_single_tap_reaches_two_places_per_axis() -> None:
    kernel = torch.zeros(1, 1, 3, 3)
    kernel[0, 0, 0, 2] = 1  # from above and from the right: output (y, x) sees (y - 1, x + 1)
    expected = torch.zeros(4, 4)
    expected[2:4, 0:2] = 1
    assert torch.equal(folded_kernel(kernel)[0, 0], expected)


def test_folds_every_level_and_leaves_plain_enlargement_alone() -> None:
    plain = Upsample2D(2, use_conv=False)
    network = torch.nn.Sequential(torch.nn.Sequential(Upsample2D(2, use_conv=True)), plain)
    fold_upsampling(network)
    assert isinstance(network[0][0], FoldedUpsample)
    assert network[1] is plain
