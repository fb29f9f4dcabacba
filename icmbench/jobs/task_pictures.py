"""Predictions of task models drawn over reconstructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.evaluation.decode import decoding
from icmbench.evaluation.shard import make_codec_entry
from icmbench.jobs.figures import save_figure
from icmbench.jobs.frames import join_parquet
from icmbench.jobs.places import Place, files_of, record_of
from icmbench.studies.task_pictures import Shard, pictures_of_task
from icmbench.tasks.evaluate import read_truth
from icmbench.tasks.registry import make_task


def task_pictures(
    *,
    settings: Mapping[str, Mapping[str, Any]],
    tasks: Mapping[str, Mapping[str, Any]],
    places: Sequence[Place],
    predicted: Sequence[Place],
    figures: Sequence[Path],
) -> None:
    """Draw the predictions for the original and for every codec at about the same rate.

    Args:
        settings: of `make_codec_entry`, by codec entry.
        tasks: entries of the configuration, by name.
        places: with the task, the rate `bpp` and the folder of annotations, `truth`.
        predicted: predictions on the originals and on every codec entry, for every place.
    """
    entries = {name: make_codec_entry(name, each) for name, each in settings.items()}
    with decoding() as decode:
        for place, answers in zip(places, predicted, strict=True):
            task = make_task(place["task"], tasks[place["task"]])
            shard = Shard(
                Path(place["images"]),
                join_parquet([*files_of(place, "measurements").values()]),
                files_of(place, "streams"),
                files_of(answers, "predictions"),
            )
            figure = pictures_of_task(
                task.name,
                task.model,
                task.produces,
                read_truth(Path(place["truth"])).labels(place["dataset"]),
                record_of(place),
                place["bpp"],
                shard,
                entries,
                decode,
            )
            save_figure(place["figure"], figure, figures)
