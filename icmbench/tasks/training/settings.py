"""Section `training.tasks`: keys, defaults and checks of the training of bundled task models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from icmbench.core.errors import ConfigError
from icmbench.core.schema import Schema, integer, number
from icmbench.tasks.latents import LATENT_HEAD
from icmbench.training.section import Keys, TrainingSection, Values, network

WHERE: Final = "on the scenes of the training data; a task names it by `checkpoint: bundled`"
AVERAGE: Final = {
    "average": number(
        0,
        "decay of the exponential moving average of the weights, which are the trained ones; 0: "
        "none",
        low=0,
        below=1,
    )
}


class TaskTraining(TrainingSection):
    """The small task models, which start as `training.start` says; a head starts from scratch."""

    key: ClassVar[str] = "tasks"
    count_keys: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("detector", "segmenter", "landmarks", LATENT_HEAD), "steps"
    )
    keys: ClassVar[Mapping[str, Schema]] = {
        "detector": network(8, 1e-3, "images", f"the small RTMDet-Ins, {WHERE}", AVERAGE),
        "segmenter": network(8, 1e-3, "images", f"the small Fast-SCNN, {WHERE}", AVERAGE),
        "landmarks": network(
            8,
            1e-3,
            "faces",
            f"the small FAN, {WHERE}",
            {
                **AVERAGE,
                "frozen_norms": number(
                    0.3,
                    "share of the steps after which the norms keep their statistics",
                    low=0,
                    high=1,
                ),
            },
        ),
        LATENT_HEAD: network(
            16,
            2e-3,
            "crops of latents",
            "the head of a task on decoded latents, from scratch; no such head is bundled",
            {
                "channels": integer(64, "of its hidden layers", low=8, multiple=8),
                "images": integer(256, "scenes that are coded for it", low=1),
            },
        ),
    }

    def trained(self, training: Values, points: Keys, parts: Sequence[str] | None) -> list[str]:
        """The trained ones of the models that the run's tasks use (`parts`).

        Raises ConfigError where no training set is of scenes: only they have all annotations.
        """
        trained = [part for part in self.with_count(training) if part in (parts or ())]
        if LATENT_HEAD in (parts or ()) and LATENT_HEAD not in trained:
            path = self.count_paths([LATENT_HEAD])
            raise ConfigError(f"{path} is 0, and no head on latents is bundled: set it above 0")
        if trained and not scene_sets(training):
            raise ConfigError(
                f"training.tasks.{trained[0]}: no training set of training.data that is of use for "
                "tasks is of scenes"
            )
        return trained

    def settings(self, training: Values, part: str, **wildcards: str) -> dict[str, Any]:
        """Job parameters of a model's training."""
        start = "scratch" if part == LATENT_HEAD else training["start"]
        return {**training["tasks"][part], "seed": training["seed"], "start": start}


SECTION: Final = TaskTraining()


def scene_sets(training: Values) -> list[str]:
    """The training sets of tasks that are scenes, sorted."""
    data = training["data"]
    sets = SECTION.sets(training)
    return sorted(name for name in sets if data[name].get("type", name) == "scenes")
