"""The table of tasks on decoded latents: accuracy and seconds beside those on reconstructions."""

from __future__ import annotations

from typing import Final

import pandas as pd

COLUMNS: Final = (
    "dataset", "family", "codec", "bpp", "task", "against", "metric", "value", "value_against",
    "ceiling", "ceiling_against", "images", "latent_s", "head_s", "decode_s", "network_s", "saved",
    "timed",
)  # fmt: skip
SECONDS: Final = ("latent_s", "head_s", "decode_s", "network_s")


def latent_table(
    scores: pd.DataFrame, scores_against: pd.DataFrame, seconds: pd.DataFrame
) -> pd.DataFrame:
    """One row per codec spec and metric: `COLUMNS`, in the order of `scores`.

    `value_against` and `ceiling_against` are those of the task on reconstructions. Seconds are
    medians over `timed` images: to the latent, of the head, of the whole decoder, and of the
    network on the reconstruction; `saved` is the share of the latter two that the former two do
    not take.

    Args:
        scores, scores_against: rows of `tasks.csv` of either task, all data sets.
        seconds: columns dataset, family, codec and `SECONDS`, a row per image.
    """
    keys = ["dataset", "family", "codec", "metric"]
    other = {tuple(row[key] for key in keys): row for row in scores_against.to_dict("records")}
    timed = {tuple(map(str, point)): part for point, part in seconds.groupby(keys[:3], sort=False)}
    rows = []
    for row in scores.to_dict("records"):
        point = (row["dataset"], row["family"], row["codec"])
        found = {key: row[key] for key in (*keys, "bpp", "task", "value", "ceiling", "images")}
        if theirs := other.get((*point, row["metric"])):
            found |= {"against": theirs["task"], "value_against": theirs["value"]}
            found["ceiling_against"] = theirs["ceiling"]
        found["timed"] = len(timed.get(point, ()))
        if point in timed:
            medians = {name: float(timed[point][name].median()) for name in SECONDS}
            latent, head, whole, network = medians.values()
            found |= {**medians, "saved": 1 - (latent + head) / (whole + network)}
        rows.append(found)
    return pd.DataFrame(rows, columns=list(COLUMNS))
