"""The papers' figures and tables as targets of the workflow, each with the rules that make it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MPD: Final = "MPD"
DIFF_ICMH: Final = "Diff-ICMH"
CURVES: Final = ("rd_tables", "rate_figures", "tasks_tables", "task_figures", "visual_comparison")


@dataclass(frozen=True)
class PaperItem:
    """One figure, group of figures, or all of a paper.

    Attributes:
        target: the rule that asks for it, `snakemake <target>`.
        papers: those that it belongs to.
        item: its place in them.
        text: what it shows.
        rules: rules of the catalogue whose figures and tables it comprises.
    """

    target: str
    papers: tuple[str, ...]
    item: str
    text: str
    rules: tuple[str, ...]


PAPER_ITEMS: Final[Sequence[PaperItem]] = (
    PaperItem(
        "figure_mpd_2", (MPD,), "figure 2",
        "taps of the VGG for one patch, and their Fourier magnitudes", ("taps_figure",),
    ),
    PaperItem(
        "figure_mpd_4", (MPD,), "figure 4",
        "distortion against the number of clusters, typical patches of the clusters",
        ("clusters_figure",),
    ),
    PaperItem(
        "figure_mpd_5", (MPD,), "figure 5",
        "palette hierarchy of an image, state by state", ("palette_hierarchy",),
    ),
    PaperItem(
        "figure_diff_icmh_3", (DIFF_ICMH,), "figure 3",
        "distance of a backbone's features between original and reconstruction, by depth",
        ("feature_gap",),
    ),
    PaperItem(
        "rd_curves", (MPD, DIFF_ICMH), "RD curves",
        "image metrics against rate, BD-rates", ("rd_tables", "rate_figures"),
    ),
    PaperItem(
        "task_curves", (MPD, DIFF_ICMH), "task curves",
        "accuracy of the machine tasks against rate", ("tasks_tables", "task_figures"),
    ),
    PaperItem(
        "paper_mpd", (MPD,), "all of the above, visual comparison, ablation", "the paper's results",
        ("taps_figure", "clusters_figure", "palette_hierarchy", *CURVES, "ablation"),
    ),
    PaperItem(
        "paper_diff_icmh", (DIFF_ICMH,),
        "all of the above, visual comparison, ablation, complexity", "the paper's results",
        ("feature_gap", *CURVES, "ablation", "complexity_table"),
    ),
)  # fmt: skip
