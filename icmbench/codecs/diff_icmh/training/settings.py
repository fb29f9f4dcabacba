"""Section `training.diff_icmh`: keys, defaults and checks of the training of Diff-ICMH's model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from icmbench.codecs.diff_icmh import model_folder
from icmbench.codecs.diff_icmh.codec import MAIN
from icmbench.codecs.diff_icmh.vocabulary import check_tags, model_vocabulary
from icmbench.core.errors import ConfigError, IcmbenchError
from icmbench.core.schema import REQUIRED, Schema, array, entries, flag, integer, number, section
from icmbench.core.suggest import unknown
from icmbench.training.section import Keys, TrainingSection, Values, network

CELLS: Final = integer(
    32,
    "latent cells a side of a training crop (8 pixels each); smaller images are left out",
    low=8,
    multiple=8,
)
CODEC: Final = section(
    {
        "noise": number(1, "loss weight of the predicted noise", low=0),
        "guide": number(1, "loss weight lambda_c: squared error of the conditioning latent", low=0),
        "rates": array(
            number(REQUIRED, above=0),
            [24, 10, 4, 1.5],
            "loss weights lambda_rate of the bits per pixel, one per rate point, falling: the "
            "first is the lowest rate",
            least=1,
            most=255,
        ),
        "semantic": number(
            2, "loss weight lambda_sem of the semantic consistency; 0: without", low=0
        ),
        "tags": flag(True, "whether the tags are an input of the network"),
        "draws": integer(1, "noise levels per crop, for which the codec is run once", low=1),
        "steer_only": flag(False, "train the control network alone and freeze the codec"),
        "average": number(
            0.998,
            "decay of the exponential moving average of the weights, here and in the prior; 0: "
            "none",
            low=0,
            below=1,
        ),
    },
    "loss of both stages; crops are `crop` pixels, rounded down to a multiple of 64",
)
VARIANTS: Final = entries(
    section({"semantic": {"type": "number", "minimum": 0}, "tags": {"type": "boolean"}}),
    {},
    "other trainings of the codec, by name: the keys of codec that differ; a point names one by "
    "`variant`",
)


class DiffIcmhTraining(TrainingSection):
    """The parts of Diff-ICMH's model, in the order of training."""

    key: ClassVar[str] = "diff_icmh"
    model: ClassVar[str] = model_folder.NAME
    needs: ClassVar[Mapping[str, tuple[str, ...]]] = {"mpd": ("autoencoder",)}
    count_keys: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("prior", "tagger", "stage_1", "stage_2"), "steps"
    )
    keys: ClassVar[Mapping[str, Schema]] = {
        "prior": network(
            8, 1.5e-3, "latents", "the denoising network and its tag embedder", {"cells": CELLS}
        ),
        "tagger": network(16, 1e-3, "images"),
        "stage_1": network(6, 1e-3, "crops", "codec and control network at the highest rate"),
        "stage_2": network(6, 5e-4, "crops", "the same at all rate points, one of them per step"),
        "codec": CODEC,
        "variants": VARIANTS,
    }

    def trained(self, training: Values, points: Keys, parts: Sequence[str] | None) -> list[str]:
        """The trained parts; none where no entry uses the model.

        Raises ConfigError where training from scratch leaves out a part, where a part is trained
        and one that was trained with the bundled one is kept, and where a variant is not trained.
        """
        if not points:
            return []
        trained = self.with_count(training)
        codec = "stage_1" in trained or "stage_2" in trained
        missing = [part for part in ("prior", "tagger", "stage_1") if part not in trained]
        if missing and training["start"] == "scratch":
            raise ConfigError(
                f"training.start is scratch, but {self.count_paths(missing)} is 0: untrained"
            )
        new = training["mpd"]["autoencoder"]
        autoencoder = bool(new["steps"] or new["from"])
        stale = [part for part in ("prior", "tagger") if autoencoder and part not in trained]
        stale += [] if codec or not (autoencoder or "prior" in trained) else ["stage_2"]
        if stale:
            changed = "mpd.autoencoder" if autoencoder else "diff_icmh.prior"
            key = "from" if autoencoder and new["from"] else "steps"
            raise ConfigError(
                f"training.{changed}.{key} makes another one, but {self.count_paths(stale)} is 0: "
                f"the bundled part is of the bundled {changed.rpartition('.')[2]}"
            )
        if training["diff_icmh"]["variants"] and not codec:
            raise ConfigError(
                f"training.diff_icmh.variants: {self.count_paths(['stage_1', 'stage_2'])} are 0: "
                "untrained"
            )
        return trained

    def check_model(self, folder: Path | None, points: Keys, encoder_parts: Sequence[str]) -> None:
        """ModelError where a folder lacks a part."""
        if folder is None:
            model_folder.check_folder(
                model_folder.bundled(), (*model_folder.PARTS, model_folder.TAGGER)
            )
        else:
            model_folder.check_folder(folder)

    def wrong_points(
        self, training: Values, points: Keys, models: Path | None
    ) -> list[IcmbenchError]:
        """Errors of points with a variant that is not trained or a tag outside the vocabulary.

        A model that this run trains keeps the bundled vocabulary; from scratch the training data
        decide it, which are not read yet. A given folder is checked by `check_model`.
        """
        errors: list[IcmbenchError] = []
        known = training["diff_icmh"]["variants"]
        variants = sorted({str(keys.get("variant", MAIN)) for keys in points} - {MAIN})
        if models is None:
            kind = "variant of training.diff_icmh.variants"
            wrong = [name for name in variants if name not in known]
            errors += [ConfigError(unknown(kind, name, known)) for name in wrong]
            if training["start"] == "scratch":
                return errors
        home = models / model_folder.NAME if models else model_folder.bundled()
        for tags, variant in sorted({(str(k["tags"]), str(k["variant"])) for k in points}):
            own = models and variant != MAIN
            folder = home / model_folder.VARIANTS / variant if own else home
            if folder.is_dir():
                try:
                    check_tags(tags, model_vocabulary(folder))
                except IcmbenchError as error:
                    errors.append(error)
        return errors

    def settings(self, training: Values, part: str, **wildcards: str) -> dict[str, Any]:
        """Job parameters of a part; of a stage with the keys that differ in its variant."""
        values = training["diff_icmh"]
        variant = wildcards.get("variant", MAIN)
        changed = {} if variant == MAIN else values["variants"][variant]
        return {
            "cells": values["prior"]["cells"],  # the tagger's training crops are the prior's
            **values[part],
            **{key: training[key] for key in ("start", "precision", "seed", "crop")},
            "codec": {**values["codec"], **changed},
            "source_tags": {n: list(e.get("tags", [])) for n, e in training["data"].items()},
        }


SECTION: Final = DiffIcmhTraining()
