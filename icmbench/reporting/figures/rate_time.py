"""Figure of seconds per megapixel against rate, for encoding and decoding."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icmbench.reporting.figures.axes import log_axis
from icmbench.reporting.figures.panels import finish, grid, label_panel
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.style import FamilyStyle, family_styles, theme

_PANEL = (4.1, 3.2)


def seconds_per_megapixel(timing: pd.DataFrame, rd: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Join the timing of a data set with the rates of the same codec specs.

    Returns:
        `family, codec, device, bpp, encode, encode_spread, decode, decode_spread`; the last four
        in seconds per megapixel of the original, sorted by family, device, bpp.
    """
    rates = rd.loc[rd["dataset"] == dataset, ["family", "codec", "bpp"]]
    rows = timing[timing["dataset"] == dataset].merge(rates, on=["family", "codec"], how="inner")
    # A table without rows comes from its file without types.
    amounts = ["bpp", "megapixels", "encode_s", "decode_s", "encode_s_spread", "decode_s_spread"]
    rows = rows.astype(dict.fromkeys(amounts, "float64"))
    rows = rows[(rows["bpp"] > 0) & np.isfinite(rows["bpp"]) & (rows["megapixels"] > 0)]
    out: pd.DataFrame = rows[["family", "codec", "device", "bpp"]].copy()
    for way in ("encode", "decode"):
        out[way] = rows[f"{way}_s"] / rows["megapixels"]
        out[f"{way}_spread"] = rows[f"{way}_s_spread"] / rows["megapixels"]
    out = out.sort_values(["family", "device", "bpp", "codec"], kind="stable", ignore_index=True)
    return out


def variants(codecs: Iterable[str]) -> dict[str, str]:
    """Split the points of one codec entry into curves: codec spec -> all but its rate key.

    The rate key is the one with the most values in the family (`quality`, `state`); what remains,
    such as `scale=0.5` or `decoder=mean`, names the curve that a point belongs to.
    """
    keys = {codec: [i for i in codec.partition(":")[2].split(",") if i] for codec in codecs}
    values: dict[str, set[str]] = {}
    for item in (item for items in keys.values() for item in items):
        values.setdefault(item.partition("=")[0], set()).add(item)
    rate = min(values, key=lambda key: (-len(values[key]), key), default="")
    return {
        codec: ",".join(item for item in items if item.partition("=")[0] != rate)
        for codec, items in keys.items()
    }


def _draw(axes: Axes, rows: pd.DataFrame, way: str, style: FamilyStyle, label: str) -> None:
    """Draw the curves of one codec entry and device; the largest one filled, the others hollow."""
    names = rows["codec"].map(variants(rows["codec"]))
    sizes = names.value_counts()
    main = min(sizes.index, key=lambda name: (-sizes[name], name))
    # The main curve comes last, on top.
    for name in sorted(sizes.index, key=lambda name: (name == main, name)):
        part = rows[names == name]
        rate, value = part["bpp"].to_numpy(float), part[way].to_numpy(float)
        # Half of the spread each way; below, never down to zero, where a log axis ends.
        half = np.nan_to_num(part[f"{way}_spread"].to_numpy(float)) / 2
        down = np.minimum(half, value * 0.9)
        axes.errorbar(
            rate, value, yerr=np.stack([down, half]), color=style.colour, linestyle=style.dash,
            linewidth=style.width * (0.75 if name == main else 0.5), marker=style.marker,
            markersize=style.marks["markersize"], elinewidth=0.9, capsize=2,
            label=label if name == main else "_", markeredgecolor=style.colour,
            markeredgewidth=0.9, markerfacecolor=style.colour if name == main else "white",
        )  # fmt: skip


def rate_time(timing: pd.DataFrame, rd: pd.DataFrame, dataset: str) -> Figure:
    """Draw seconds per megapixel against bits per pixel, both log; encode left, decode right.

    Where no codec spec has both seconds and a rate, a placeholder says so.

    Args:
        timing: `dataset, family, codec, device, megapixels, encode_s, encode_s_spread, decode_s,
            decode_s_spread`: medians per image and their interquartile range;
            model loading and process start are not in them.
        rd: gives the rate of each codec spec.
    """
    rows = seconds_per_megapixel(timing, rd, dataset)
    if not (rows[["encode", "decode"]] > 0).any(axis=None):
        return placeholder(
            f"Rate\u2013time, {dataset}",
            "no codec spec has both seconds and a rate: the images were refused or the codecs "
            "failed on too many of them; see the failures.",
        )
    styles = family_styles(rd["family"])
    devices = sorted(set(rows["device"]))
    note = (
        "Median seconds per image over its megapixels; bars: half the interquartile range each "
        "way. Warm: without model loading and process start, which the timing table lists. Hollow: "
        "other keys of the same codec entry (scale, decoder)."
    )
    with theme():
        figure, panels = grid(2, *_PANEL)
        for axes, way in zip(panels, ("encode", "decode"), strict=True):
            timed = rows[np.isfinite(rows[way]) & (rows[way] > 0)]
            for (family, device), part in timed.groupby(["family", "device"], sort=True):
                label = family if len(devices) == 1 else f"{family} ({device})"
                _draw(axes, part, way, styles[str(family)], str(label))
            label_panel(axes, f"{way.capitalize()} time", "lower is better ↓")
            axes.set_xlabel("rate (bits per pixel, log scale)")
            axes.set_ylabel("seconds per megapixel (log scale)")
            log_axis(axes, "x", rows["bpp"])
            log_axis(axes, "y", pd.concat([rows["encode"], rows["decode"]]))
        handles = panels[0].get_legend_handles_labels()[0]
        finish(figure, f"Rate\u2013time, {dataset}, on {', '.join(devices)}", note, handles)
    return figure
