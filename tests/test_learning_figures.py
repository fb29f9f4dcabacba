"""The figures of MPD's learned part show the numbers they are given, and stay readable."""

from __future__ import annotations

import colorsys
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_checks import words
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection, LineCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from icmbench.codecs.mpd.training.descriptors import Sector, sectors
from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.clusters import distortion_figure
from icmbench.reporting.figures.embedding import embedding_figure, tsne
from icmbench.reporting.figures.label_maps import (
    CLASS_COLOURS,
    OTHER,
    boundaries,
    frequent,
    label_maps,
    short_name,
)
from icmbench.reporting.figures.montage import MOST_CLUSTERS, MOST_PATCHES, cluster_montage
from icmbench.reporting.figures.style import save
from icmbench.reporting.figures.sweep import sweep_figure
from icmbench.reporting.figures.taps import (
    log_magnitude,
    ring_profile,
    strongest,
    taps_and_spectra,
)

pytestmark = pytest.mark.usefixtures("no_formulas")

TAPS = ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3")
LONG = "a data set with a name that is very much longer than others, validation split"
COUNTS = (2, 4, 8, 16, 32, 64)


def assert_readable(figure: Figure) -> None:
    """Nothing leaves the sheet or covers something else; tick labels keep apart; no tiny type."""
    figure.canvas.draw()
    width, height = figure.bbox.size
    boxes = [text.get_window_extent() for text in figure.texts]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    boxes += [axes.get_tightbbox() for axes in figure.axes]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other), (one, other)
    for box in boxes:
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= width + 1
        assert box.y1 <= height + 1
    for axes in figure.axes:
        low, high = sorted(axes.get_xlim())
        labels = [
            label.get_window_extent()
            for tick, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
            if axes.axison and low <= tick <= high
        ]
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(labels))
        inside = [text.get_window_extent() for text in axes.texts]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(inside, 2))
        assert all(text.get_fontsize() >= 6 for text in axes.texts)
    assert all(text.get_fontsize() >= 6 for text in figure.texts)


def tap_arrays(
    side: int = 32, channels: int = 6, names: tuple[str, ...] = TAPS
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray], dict[str, list[Sector]]]:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    taps = {
        name: rng.gamma(2.0, 1.0, (channels, side >> i, side >> i)).astype(np.float32)
        for i, name in enumerate(names)
    }
    bins = {name: sectors(tap.shape[1])[0] for name, tap in taps.items()}
    spectra = {name: rng.random((channels, len(bins[name]))) for name in taps}
    return image, taps, spectra, bins


def planted_curves(names: tuple[str, ...]) -> dict[str, dict[str, tuple]]:
    return {
        name: {
            level: (COUNTS, [0.9 * (0.6 + 0.05 * (i + j)) ** k for k in range(len(COUNTS))])
            for i, level in enumerate(TAPS)
        }
        for j, name in enumerate(names)
    }


def planted_sweep(metrics: tuple[tuple[str, str], ...]) -> pd.DataFrame:
    rows = [
        {"alpha": alpha, "metric": name, "value": 3 + alpha - n, "lo": 2.5 + alpha - n,
         "hi": 3.75 + alpha - n, "better": better}
        for n, (name, better) in enumerate(metrics)
        for alpha in (4.0, 0.0, 0.25, 1.0)
    ]  # fmt: skip
    return pd.DataFrame(rows)


METRICS = (
    ("PSNR (RGB) (dB)", "higher"),
    ("rate (bpp)", "lower"),
    ("a metric whose name goes on and on until nobody can read it any more (%)", "higher"),
)


def patches(count: int, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8))


def label_grid(labels: int, shape: tuple[int, int] = (8, 13)) -> np.ndarray:
    return np.sort(np.random.default_rng(labels).integers(0, labels, shape), axis=1)


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (88, 128, 3), dtype=np.uint8)


def map_figure() -> Figure:
    return label_maps(
        picture(), {name: label_grid(9 * i + 3) for i, name in enumerate(TAPS)}, 32, 8
    )


def embedding() -> Figure:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 4, 60)
    points = {"raw latents": rng.normal(0, 9, (60, 2)), "features": rng.normal(5, 1, (60, 2))}
    return embedding_figure(points, classes, ["sky", "grass", LONG, "x"], "Patches")


FIGURES: dict[str, Callable[[], Figure]] = {
    "taps": lambda: taps_and_spectra(*tap_arrays(names=TAPS[:2])),
    "one tap": lambda: taps_and_spectra(*tap_arrays(channels=1, names=TAPS[1:2])),
    "clusters": lambda: distortion_figure(
        planted_curves((LONG, LONG + " 2")), dict.fromkeys(TAPS, 16)
    ),
    "one level": lambda: distortion_figure(
        {LONG: {"conv5_3": (range(1, 40), np.linspace(1, 0, 39))}}, {"conv5_3": 7}
    ),
    "montage": lambda: cluster_montage(
        [patches(12 if n == 1 else 1, n) for n in range(14)],
        [LONG * (n % 2) or "c" for n in range(14)],
        [12_345] * 14,
    ),
    "small montage": lambda: cluster_montage([patches(1), []], ["a", "b" * 70], [1, 0]),
    "maps": map_figure,
    "one map": lambda: label_maps(picture()[:, :88], {LONG: label_grid(40, (8, 8))}, 32, 8),
    "embedding": embedding,
    "sweep": lambda: sweep_figure(planted_sweep(METRICS), 0.25),
    "one sweep": lambda: sweep_figure(planted_sweep(METRICS[2:]), None),
    "many weights": lambda: sweep_figure(
        pd.DataFrame({"alpha": np.arange(25) / 8, "metric": "m", "value": 1.0, "lo": 0.5, "hi": 2.0,
                      "better": "lower"})
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_overlaps_or_leaves_the_sheet(name: str) -> None:
    assert_readable(FIGURES[name]())


@pytest.mark.parametrize(
    "name", ["one tap", "one level", "small montage", "one map", "embedding", "one sweep"]
)
def test_equal_input_gives_equal_files(name: str, tmp_path: Path) -> None:
    first = save(FIGURES[name](), tmp_path / "first")
    for one, other in zip(first, save(FIGURES[name](), tmp_path / "second"), strict=True):
        assert one.read_bytes() == other.read_bytes(), one.suffix


@pytest.mark.parametrize(
    "figure",
    [
        taps_and_spectra(np.zeros((8, 8, 3), np.uint8), {}, {}, {}),
        distortion_figure({}, {}),
        distortion_figure({"photos": {}}, {}),
        cluster_montage([], [], []),
        cluster_montage([[], []], ["a", "b"], [0, 0]),
        label_maps(np.zeros((8, 8, 3), np.uint8), {}, 8, 8),
        embedding_figure({}, np.zeros(0, np.int64), [], "t"),
        embedding_figure({"a": np.zeros((0, 2))}, np.zeros(0, np.int64), [], "t"),
        sweep_figure(pd.DataFrame(columns=["alpha", "metric", "value", "lo", "hi", "better"])),
    ],
)
def test_nothing_to_draw_gives_a_placeholder(figure: Figure) -> None:
    assert "Nothing to draw" in words(figure)


def test_spectrum_of_a_wave_stands_at_its_frequency() -> None:
    """By hand: 16 samples, a wave of 3 cycles over the columns; amplitude 2 over a mean of 5."""
    wave = 5 + 2 * np.cos(2 * np.pi * 3 * np.arange(16) / 16)
    found = log_magnitude(np.broadcast_to(wave, (1, 16, 16)))[0]
    expected = np.zeros((16, 16))
    expected[8, 8] = np.log(1 + 5 * 16)
    expected[8, [5, 11]] = np.log(1 + 16)  # half the amplitude times the side
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_strongest_channels_vary_most() -> None:
    """A channel that is large everywhere says nothing; ties keep their order."""
    tap = np.zeros((4, 2, 2), np.float32)
    tap[0], tap[1, 0], tap[2, 1], tap[3, 0] = 100, 1, 1, 3
    assert strongest(tap, 3) == [3, 1, 2]


def test_ring_profile_by_hand() -> None:
    """Tap of 8 samples at stride 4: 32 pixels. Rings of 1-2, 2-4, and 4 to the corner's 5.66."""
    bins = [Sector(0, 1, 0, 45), Sector(1, 2, 0, 15), Sector(1, 2, 30, 45), Sector(2, 4, 0, 15),
            Sector(4, 8, 15, 30)]  # fmt: skip
    spectrum = np.array([[9.0, 1, 3, 5, 7], [9.0, 3, 5, 7, 9]])
    frequencies, means = ring_profile(spectrum, bins, size=8, stride=4)
    np.testing.assert_allclose(
        frequencies, np.sqrt([1 * 2, 2 * 4, 4 * np.sqrt(32)]) / 32, rtol=1e-12
    )
    assert means.tolist() == [3, 6, 8]


def test_taps_figure_shows_every_tap() -> None:
    image, taps, spectra, bins = tap_arrays()
    figure = taps_and_spectra(image, taps, spectra, bins, quantity="given quantity")
    (profile,) = [axes for axes in figure.axes if axes.lines]
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    np.testing.assert_array_equal(shown[0], image)
    expected = [
        values[channel]
        for tap in taps.values()
        for channel in strongest(tap, 4)
        for values in (tap, log_magnitude(tap))
    ]
    assert len(shown) == 1 + len(expected) == 1 + 5 * 4 * 2
    for one, other in zip(shown[1:], expected, strict=True):
        np.testing.assert_array_equal(one, other)
    for (name, tap), line in zip(taps.items(), profile.lines, strict=True):
        x, y = ring_profile(spectra[name], bins[name], tap.shape[1], 32 // tap.shape[1])
        assert line.get_label() == name
        np.testing.assert_allclose(line.get_xydata(), np.stack([x, y], 1))
        assert x.max() <= 1 / np.sqrt(2) * tap.shape[1] / 32
    looks = {(line.get_marker(), to_hex(line.get_color())) for line in profile.lines}
    assert len(looks) == 5
    text = words(figure)
    for word in (*TAPS, "cycles per pixel of the original image", "given quantity", "32 × 32 px",  # noqa: RUF001
                 "stride 16", "to 0.03125 c/px"):  # fmt: skip
        assert word in text, word


def test_taps_that_do_not_belong_together_are_refused() -> None:
    image, taps, spectra, bins = tap_arrays()
    name = TAPS[2]
    nan = np.full_like(taps[name], np.nan)
    for changed, message in (
        ((image[:30], taps, spectra, bins), "uint8"),
        ((image.astype(float), taps, spectra, bins), "uint8"),
        ((image, {**taps, name: taps[name][:, :7, :7]}, spectra, bins), "is not a tap"),
        ((image, {**taps, name: taps[name][0]}, spectra, bins), "is not a tap"),
        ((image, {**taps, name: nan}, spectra, bins), "not finite"),
        ((image, taps, {**spectra, name: spectra[name][:, 1:]}, bins), "bins"),
        ((image, taps, {**spectra, name: nan[:, 0, : len(bins[name])]}, bins), "bins|not finite"),
        ((image, taps, spectra, {TAPS[0]: bins[TAPS[0]]}), "but spectra"),
    ):
        with pytest.raises(MeasurementError, match=message):
            taps_and_spectra(*changed)


def test_distortion_figure_has_a_panel_per_level() -> None:
    curves = planted_curves(("scenes", "photos"))
    chosen = dict(zip(TAPS, (32, 16, 16, 8, 4), strict=True))
    figure = distortion_figure(curves, chosen)
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(TAPS)
    looks = set()
    for axes, level in zip(figure.axes, TAPS, strict=True):
        lines = {line.get_label(): line for line in axes.lines}
        for name, own in curves.items():
            np.testing.assert_allclose(lines[name].get_xydata(), np.transpose(own[level]))
            looks.add((name, lines[name].get_color(), lines[name].get_marker()))
        rings = [
            line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1
        ]
        at = COUNTS.index(chosen[level])
        found = sorted((x, y) for ring in rings for x, y in ring.get_xydata().tolist())
        assert found == sorted((chosen[level], own[level][1][at]) for own in curves.values())
        assert axes.get_xscale() == "log"
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylim() == figure.axes[0].get_ylim()  # levels can be compared
        text = " ".join(t.get_text() for t in axes.texts)
        assert f"lower is better ↓, chosen: {chosen[level]} clusters" in text
        assert "share of variance" in axes.get_ylabel()
    assert len(looks) == 2
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"scenes", "photos"}


def test_curves_are_drawn_in_order_of_the_count() -> None:
    figure = distortion_figure({"a": {"x": ((8, 2, 4), (0.1, 0.5, 0.3))}}, {"x": 4})
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == "a"]
    assert line.get_xydata().tolist() == [[2, 0.5], [4, 0.3], [8, 0.1]]


@pytest.mark.parametrize(
    ("curve", "chosen", "message"),
    [
        (((2, 4), (0.5,)), 2, "counts and"),
        (((), ()), 2, "counts and"),
        (((2, 2), (0.5, 0.4)), 2, "must differ"),
        (((0, 2), (0.5, 0.4)), 2, ">= 1"),
        (((2, 4), (0.5, 1.2)), 2, "no share"),
        (((2, 4), (0.5, np.nan)), 2, "no share"),
        (((2, 4), (0.5, 0.4)), 3, "none of its"),
    ],
)
def test_curves_that_cannot_be_are_refused(curve: tuple, chosen: int, message: str) -> None:
    with pytest.raises(MeasurementError, match=message):
        distortion_figure({"a": {"x": curve}}, {"x": chosen})


def test_data_sets_have_the_same_levels() -> None:
    good = ((2, 4), (0.5, 0.4))
    with pytest.raises(MeasurementError, match="b has the levels"):
        distortion_figure({"a": {"x": good}, "b": {"y": good}}, {"x": 2})
    with pytest.raises(MeasurementError, match="None"):
        distortion_figure({"a": {"x": good}}, {})


def _rows(figure: Figure) -> list[list[np.ndarray]]:
    """Drawn patches by row from top to bottom, each from left to right."""
    found: dict[float, list[tuple[float, np.ndarray]]] = {}
    for axes in figure.axes:
        place = axes.get_position()
        found.setdefault(round(-place.y0, 6), []).append((place.x0, axes.images[0].get_array()))
    return [[p for _, p in sorted(found[y], key=lambda item: item[0])] for y in sorted(found)]


def test_montage_rows_are_clusters_by_size() -> None:
    given = [patches(3, 1), patches(MOST_PATCHES + 2, 2), patches(2, 3)]
    figure = cluster_montage(given, ["small", "large", "middle"], [3, 600, 397])
    rows = _rows(figure)
    for row, index in zip(rows, (1, 2, 0), strict=True):
        for one, other in zip(row, given[index][:MOST_PATCHES], strict=True):
            np.testing.assert_array_equal(one, other)
    names = [t.get_text() for t in figure.texts if t.get_text() in ("small", "large", "middle")]
    assert names == ["large", "middle", "small"]
    text = words(figure)
    for word in ("600 patches, 60.0 %", "3 patches, 0.3 %", "of the 1,000 patches"):
        assert word in text, word


def test_montage_counts_the_clusters_it_leaves_out() -> None:
    count = MOST_CLUSTERS + 8
    sizes = [10 * (1 + n) for n in range(count)]
    figure = cluster_montage([patches(1, n) for n in range(count)], [f"c{n}" for n in range(count)],
                             sizes)  # fmt: skip
    assert len(_rows(figure)) == MOST_CLUSTERS
    text = words(figure)
    assert f"The {MOST_CLUSTERS} largest of {count} clusters" in text
    left_out = sum(sizes[:8])
    assert f"the others hold {left_out} patches ({100 * left_out / sum(sizes):.0f} %)" in text
    assert "largest of" not in words(cluster_montage([patches(1)] * 12, ["c"] * 12, [1] * 12))


def test_montage_refuses_what_is_no_patch() -> None:
    for given, titles, sizes, message in (
        ([patches(2)], ["a", "b"], [2], "2 titles"),
        ([patches(2)], ["a"], [1], "holds 1 patches, but shows 2"),
        ([[patches(1)[0][:8]]], ["a"], [1], "uint8"),
        ([[patches(1)[0] / 255]], ["a"], [1], "uint8"),
    ):
        with pytest.raises(MeasurementError, match=message):
            cluster_montage(given, titles, sizes)


def test_frequent_labels_and_short_names() -> None:
    assert frequent(np.array([[7, 7, 2], [5, 5, 9]]), 3) == [5, 7, 2]
    for most in range(3, 30):
        short = short_name("abcdefghijklmnopqrstuvwxyz", most)
        assert len(short) <= most
        assert short[0] == "a"
        assert short[-1] == "z"
    assert short_name("abc", 3) == "abc"


def test_boundaries_part_exactly_the_cells_that_differ() -> None:
    """Against a plain loop over all pairs of neighbours."""
    labels = label_grid(4, (5, 6)) % 3
    expected = set()
    for y, x in itertools.product(range(5), range(6)):
        if x < 5 and labels[y, x] != labels[y, x + 1]:
            expected.add(((x + 1, y), (x + 1, y + 1)))
        if y < 4 and labels[y, x] != labels[y + 1, x]:
            expected.add(((x, y + 1), (x + 1, y + 1)))
    found = {tuple(map(tuple, segment)) for segment in boundaries(labels).astype(int).tolist()}
    assert found == expected
    assert boundaries(np.zeros((3, 3), np.int64)).shape == (0, 2, 2)


def _drawn(axes: Axes) -> tuple[np.ndarray, tuple[float, ...]]:
    return axes.images[1].get_array(), tuple(axes.images[1].get_extent())


def test_label_maps_colour_the_middle_of_every_patch() -> None:
    maps = {"few": label_grid(5), "many": np.arange(8 * 13).reshape(8, 13) // 3}
    figure = label_maps(picture(), maps, 32, 8)
    original, *panels = figure.axes
    np.testing.assert_array_equal(original.images[0].get_array(), picture())
    assert len(panels) == len(maps)
    for axes, labels in zip(panels, maps.values(), strict=True):
        colours, extent = _drawn(axes)
        # The first patch is 0 ... 32: its middle 8 pixels are 12 ... 20.
        assert extent == (12, 12 + 8 * 13, 12 + 8 * 8, 12)
        assert 0 < axes.images[1].get_alpha() < 1
        own = {to_hex(c): set(labels[(colours == c).all(-1)]) for c in np.unique(
            colours.reshape(-1, 3), axis=0)}  # fmt: skip
        grey = own.pop(to_hex(OTHER), set())
        assert all(len(found) == 1 for found in own.values())
        assert {next(iter(found)) for found in own.values()} == set(frequent(labels))
        assert grey == set(labels.ravel()) - set(frequent(labels))
        pair = [item for item in axes.collections if isinstance(item, LineCollection)]
        assert [to_hex(lines.get_color()[0]) for lines in pair] == ["#ffffff", "#000000"]
        shown = np.unique(colours.reshape(-1, 3), axis=0, return_inverse=True)[1]
        expected = 12 + 8 * boundaries(shown.reshape(labels.shape))
        np.testing.assert_allclose(np.stack(pair[1].get_segments()), expected)
    assert not any(t.get_text() == "" for t in panels[0].texts)
    text = words(figure)
    assert "5 labels" in text
    grey_share = 100 * (1 - 12 * 3 / 104)
    assert f"35 labels, 12 coloured, {grey_share:.0f} % grey" in text
    assert "patch of 32 × 32 px, a patch every 8 px" in text  # noqa: RUF001


def test_numbers_stand_on_their_label() -> None:
    labels = np.repeat(np.array([[3, 11, 7]]), 5, axis=1).repeat(15, 0)
    figure = label_maps(
        picture()[:88, :88].repeat(2, 0).repeat(2, 1)[:144, :144], {"x": labels}, 32, 8
    )
    axes = figure.axes[1]
    assert sorted(t.get_text() for t in axes.texts) == ["11", "3", "7"]
    for text in axes.texts:
        x, y = text.get_position()
        assert labels[int((y - 12) // 8), int((x - 12) // 8)] == int(text.get_text())
    # Without room for a number there is none.
    noise = np.arange(47 * 47).reshape(47, 47)
    assert not label_maps(np.zeros((400, 400, 3), np.uint8), {"x": noise}, 32, 8).axes[1].texts


def test_class_colours_are_distinct() -> None:
    assert len({*CLASS_COLOURS, OTHER}) == len(CLASS_COLOURS) + 1 == 13
    for one, other in itertools.combinations(CLASS_COLOURS, 2):
        assert np.abs(np.subtract(to_rgb(one), to_rgb(other))).max() > 0.15, (one, other)
    light = [colorsys.rgb_to_hls(*to_rgb(colour))[1] for colour in CLASS_COLOURS]
    assert max(light) - min(light) > 0.5  # not one grey in print


def test_maps_of_another_image_are_refused() -> None:
    good = label_grid(4)
    for image, labels, patch, stride, message in (
        (picture(), good.T, 32, 8, r"\(8, 13\) expected"),
        (picture(), good, 32, 16, "expected"),
        (picture(), good.astype(float), 32, 8, "float64"),
        (picture()[..., 0], good, 32, 8, "uint8"),
        (picture(), good, 8, 32, "patches of 8 px, one every 32"),
        (picture(), good, 96, 8, "patches of 96 px"),
        (picture(), good, 32, 0, "one every 0"),
    ):
        with pytest.raises(MeasurementError, match=message):
            label_maps(image, {"x": labels}, patch, stride)


def test_tsne_keeps_groups_and_repeats_itself() -> None:
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(3), 12)
    features = 20 * np.eye(5)[classes] + rng.normal(0, 1, (36, 5))
    seed = 2**62 + 11  # of `seed_from`
    found = tsne(features, seed)
    assert found.shape == (36, 2)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, tsne(features, seed))
    distances = ((found[:, None] - found[None]) ** 2).sum(-1)
    np.fill_diagonal(distances, np.inf)
    assert (classes[distances.argmin(1)] == classes).all()
    assert np.isfinite(tsne(features[:10, :1], 1)).all()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((9, 3)), "10 points"),
        (np.zeros(30), "10 points"),
        (np.zeros((30, 0)), "10 points"),
        (np.full((30, 2), 4.0), "equal"),
        (np.where(np.eye(30) > 0, np.nan, 1.0), "not finite"),
    ],
)
def test_tsne_refuses_what_it_cannot_map(features: np.ndarray, message: str) -> None:
    with pytest.raises(MeasurementError, match=message):
        tsne(features, 0)


@pytest.mark.parametrize("count", [1, 4, 12, 13, 40])
def test_embedding_draws_every_point_once(count: int) -> None:
    """Up to twelve classes have a look of their own, the most frequent; others are grey."""
    classes = np.concatenate([np.full(3 + n % 7, n) for n in range(count)])
    rng = np.random.default_rng(count)
    points = {name: rng.normal(0, 3, (len(classes), 2)) for name in ("raw latents", "features")}
    figure = embedding_figure(points, classes, [f"class {n}" for n in range(count)], "Title")
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(points)
    shown = set(frequent(classes, 12))
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    names = [f"class {n}" for n in sorted(shown)]
    assert legend == names + [f"{count - 12} other classes"] * (count > 12)
    for axes, given in zip(figure.axes, points.values(), strict=True):
        looks = set()
        drawn = 0
        for group in axes.collections:
            places = np.asarray(group.get_offsets())
            drawn += len(places)
            colour = to_hex(group.get_facecolor()[0])
            if group.get_label() == "other":
                expected = given[~np.isin(classes, list(shown))]
                assert colour == OTHER
            else:
                expected = given[classes == int(group.get_label())]
                looks.add((colour, group.get_paths()[0].vertices.tobytes()))
            np.testing.assert_allclose(places, expected)
        assert drawn == len(classes)
        assert (
            len({colour for colour, _ in looks}) == len({mark for _, mark in looks}) == len(shown)
        )
        assert "no unit" in axes.get_xlabel()
        low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
        assert ((given > low) & (given < high)).all()
    # The legend's looks are those of the points.
    handles = figure.legends[0].legend_handles
    first = [group for group in figure.axes[0].collections if group.get_label() != "other"]
    assert first
    for handle, group in zip(handles[: len(first)], first, strict=True):
        assert to_hex(handle.get_facecolor()[0]) == to_hex(group.get_facecolor()[0])


def test_embedding_refuses_what_does_not_belong() -> None:
    points, classes = np.zeros((4, 2)), np.array([0, 1, 1, 0])
    for given, own, names, message in (
        (points[:3], classes, "ab", "4 finite points"),
        (points.T, classes, "ab", "4 finite points"),
        (np.full((4, 2), np.inf), classes, "ab", "4 finite points"),
        (points, classes, "a", "1 names"),
        (points, classes - 1, "ab", "-1"),
        (points, classes.astype(float), "ab", "float64"),
    ):
        with pytest.raises(MeasurementError, match=message):
            embedding_figure({"x": given}, own, list(names), "t")


def test_sweep_shows_the_table() -> None:
    rows = planted_sweep(METRICS)
    figure = sweep_figure(rows, 0.25, interval="a planted interval")
    for axes, (metric, better) in zip(figure.axes, METRICS, strict=True):
        part = rows[rows["metric"] == metric].sort_values("alpha")
        line = axes.lines[0]
        assert line.get_xdata().tolist() == [0, 1, 2, 3]
        assert line.get_ydata().tolist() == part["value"].tolist()
        (band,) = [c for c in axes.collections if isinstance(c, FillBetweenPolyCollection)]
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices.tolist()}
        for place, (low, high) in enumerate(zip(part["lo"], part["hi"], strict=True)):
            assert {(place, low), (place, high)} <= corners
        assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "0.25", "1", "4"]
        (ring,) = [line for line in axes.lines if line.get_markersize() > 9]
        assert ring.get_xydata().tolist() == [[1, part["value"].iloc[1]]]
        arrow = "higher is better ↑" if better == "higher" else "lower is better ↓"
        assert axes.get_ylabel() == arrow
        title = axes.get_title(loc="left")
        assert title.endswith(metric[-5:])  # its unit
        assert all(len(text) <= 32 for text in title.split("\n"))
    assert figure.axes[0].get_title(loc="left") == "PSNR (RGB) (dB)"
    assert "weight in use, 0.25" in words(figure)
    assert "a planted interval" in words(figure)


def test_sweep_without_interval_or_choice() -> None:
    rows = planted_sweep(METRICS[:1]).assign(lo=np.nan, hi=np.nan)
    figure = sweep_figure(rows[rows["alpha"] > 0])
    (axes,) = figure.axes
    assert len(axes.lines) == 1
    assert not axes.collections
    for word in ("Band", "in use", "At 0"):
        assert word not in words(figure)


def test_tables_that_contradict_themselves_are_refused() -> None:
    rows = planted_sweep(METRICS[:2])
    first = rows.index == 0
    for changed, chosen, message in (
        (rows.drop(columns="lo"), None, "lacks the columns"),
        (pd.concat([rows, rows[:1]]), None, "two values"),
        (rows.assign(better="up"), None, "better is one of"),
        (rows.assign(better=np.where(first, "lower", "higher")), None, "both"),
        (rows.assign(value=np.where(first, np.nan, rows["value"])), None, "not finite"),
        (rows.assign(alpha=rows["alpha"] - 1), None, "negative"),
        (rows.assign(hi=np.where(first, -9.0, rows["hi"])), None, "outside"),
        (rows.assign(hi=np.where(first, np.nan, rows["hi"])), None, "one end"),
        (rows, 0.3, "0.3 was not tried"),
    ):
        with pytest.raises(MeasurementError, match=message):
            sweep_figure(changed, chosen)


def test_saved_label_map_has_its_borders_in_grey(tmp_path: Path) -> None:
    """Two labels whose colours are alike in grey: the border is darker than both sides."""
    labels = np.repeat([0, 1], [7, 6])[None].repeat(8, 0)
    grey = np.full((88, 128, 3), 128, np.uint8)
    png = save(label_maps(grey, {"x": labels}, 32, 8), tmp_path / "m")[2]
    figure = label_maps(grey, {"x": labels}, 32, 8)
    box = figure.axes[1].get_position()
    pixels = np.asarray(Image.open(png).convert("L")).astype(int)
    height, width = pixels.shape
    row = pixels[round(height * (1 - box.y0 - box.height * 0.3))]
    x = width * (box.x0 + box.width * (12 + 8 * 7) / 128)
    near = row[round(x) - 2 : round(x) + 3]
    assert near.min() < min(row[round(x) - 12], row[round(x) + 12]) - 40
