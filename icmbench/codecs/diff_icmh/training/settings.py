"""Section `training.diff_icmh`: checks of the training of Diff-ICMH's model, its job parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from icmbench.classifier.lite0_weights import lite0_lacks
from icmbench.codecs.diff_icmh import model_folder
from icmbench.codecs.diff_icmh.importing.prior_files import PriorFiles, prior_files
from icmbench.codecs.diff_icmh.model_folder import MAIN
from icmbench.codecs.diff_icmh.training.keys import KEYS, SIZES
from icmbench.codecs.diff_icmh.vocabulary import check_tags, model_vocabulary, read_vocabulary
from icmbench.core.errors import ConfigError, IcmbenchError
from icmbench.core.schema import Schema
from icmbench.core.suggest import unknown
from icmbench.core.versions import runs_jobs
from icmbench.training.section import Keys, TrainingSection, Values

TAGGING: Final = ("tagger", "thresholds")  # of an imported prior
LAST_LEVEL: Final = 999  # of the noise: pure, where nothing of c would be left
FRESH: Final = ("prior", "tagger", "stage_1")  # what a training from scratch must make


class DiffIcmhTraining(TrainingSection):
    """The parts of Diff-ICMH's model, in the order of training."""

    key: ClassVar[str] = "diff_icmh"
    model: ClassVar[str] = model_folder.NAME
    needs: ClassVar[Mapping[str, tuple[str, ...]]] = {"mpd": ("autoencoder",)}
    count_keys: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("prior", "tagger", "stage_1", "stage_2"), "steps"
    )
    keys: ClassVar[Mapping[str, Schema]] = KEYS

    def check(self, training: Values) -> None:
        """ConfigError or ModelError where sizes, an imported prior, or processes do not fit."""
        values = training["diff_icmh"]
        self._check_sizes(training)
        where = "training.diff_icmh"
        for part in ("stage_1", "stage_2"):
            batch, count = values[part]["batch"], training["compute"]["processes"]
            if values[part]["steps"] and batch < count:
                raise ConfigError(
                    f"{where}.{part}.batch: {batch} for the {count} processes of "
                    "training.compute.processes: at least one crop each"
                )
        if alone(training) and values["stage_1"]["steps"] and not values["stage_2"]["steps"]:
            raise ConfigError(
                f"{where}.stage_2.steps: 0, but stage_1.codec_alone leaves it the control network"
            )
        self._check_sampled(training, f"{where}.stage_2.sampled")
        files = published(training)
        if files is None:
            for key in ("tokenizer", "tags", "tagger", "thresholds"):
                if values["prior"][key] is not None:
                    raise ConfigError(f"{where}.prior.{key}: belongs to `from`, which is not set")
            return
        if len(files.tagging) == 1:
            key, other = sorted(TAGGING, key=lambda name: values["prior"][name] is None)
            raise ConfigError(f"{where}.prior.{key}: needs `{other}` beside it")
        read_vocabulary(files.tags)
        for part in ("prior", "tagger"):
            if steps := values[part]["steps"]:
                raise ConfigError(
                    f"{where}.{part}.steps: {steps}, but training.diff_icmh.prior.from imports "
                    "a network that stays frozen, and a tagger is no part of it: set steps to 0"
                )

    def _check_sampled(self, training: Values, where: str) -> None:
        """ConfigError where the control network cannot be trained through the sampler."""
        values = training["diff_icmh"]
        sampled, codec = values["stage_2"]["sampled"], values["codec"]
        if not sampled["steps"]:
            return
        if imports(training):
            raise ConfigError(f"{where}: not with an imported prior (`prior.from`): set steps to 0")
        if not values["stage_2"]["steps"]:
            raise ConfigError(f"{where}: stage_2.steps is 0, so that nothing is trained: set it")
        if not codec["steer_only"]:
            raise ConfigError(f"{where}: trains the control network alone: set codec.steer_only")
        if not 0 < codec["start"] < LAST_LEVEL:
            text = f"set codec.start, to less than {LAST_LEVEL}"
            raise ConfigError(f"{where}: samples from c with noise: {text}")
        if not 2 <= sampled["steps"] <= codec["start"] + 1:
            text = f"sampling takes 2 to {codec['start'] + 1} steps, with codec.start"
            raise ConfigError(f"{where}.steps: {sampled['steps']}, but {text}")
        if not any(sampled[name] for name in ("error", "structure", "features")):
            raise ConfigError(f"{where}: error, structure and features are 0: nothing to learn")
        if sampled["features"] and runs_jobs() and (lacks := lite0_lacks()):
            raise ConfigError(f"{where}.features: {lacks} Or set it to 0.")

    def _check_sizes(self, training: Values) -> None:
        values, where = training["diff_icmh"], "training.diff_icmh"
        for part, names in SIZES.items():
            defaults = KEYS[part]["properties"]
            changed = [name for name in names if values[part][name] != defaults[name]["default"]]
            if not changed:
                continue
            place = f"{where}.{part}.{changed[0]}"
            if part in ("prior", "tagger") and imports(training):
                raise ConfigError(f"{place}: an imported prior has its own sizes: remove it")
            if self.start(training) == "bundled":
                raise ConfigError(
                    f"{place}: {values[part][changed[0]]}, but the training starts from the "
                    "bundled network, whose sizes stay: set training.start to scratch"
                )
        prior, lfgcm = values["prior"], values["lfgcm"]
        if len(prior["channels"]) != len(prior["attention"]):
            text = f"{len(prior['attention'])} resolutions, channels has {len(prior['channels'])}"
            raise ConfigError(f"{where}.prior.attention: of {text}")
        if sum(lfgcm["slices"]) != lfgcm["latent"]:
            text = f"they add up to {sum(lfgcm['slices'])}, latent is {lfgcm['latent']}"
            raise ConfigError(f"{where}.lfgcm.slices: {text}")

    def start(self, training: Values) -> str:
        """`training.start`, as it applies to this section.

        Networks on an imported latent are trained from scratch: the bundled ones know another.
        """
        imported = imports(training) or training["mpd"]["autoencoder"]["from"]
        return "scratch" if imported else str(training["start"])

    def with_count(self, training: Values) -> list[str]:
        """Parts with a count above 0, and an imported prior."""
        parts = super().with_count(training)
        return ["prior", *parts] if imports(training) else parts

    def keeps_autoencoder(self, training: Values) -> bool:
        """The bundled autoencoder stays: the networks start from the bundled ones, which know it.

        Networks from scratch are trained on MPD's autoencoder, imported ones bring another.
        """
        return self.start(training) == "bundled"

    def needed(self, training: Values) -> Mapping[str, tuple[str, ...]]:
        """The autoencoder of MPD, unless the bundled one stays or a prior brings its own."""
        return {} if imports(training) or self.keeps_autoencoder(training) else self.needs

    def notices(self, training: Values, trained: Sequence[str]) -> list[str]:
        """Announce a training from scratch though `start` is `bundled`."""
        if not trained or self.start(training) == training["start"]:
            return []
        return [
            "training.diff_icmh: trained from scratch, though training.start is bundled: the "
            "bundled networks are of the bundled latent, "
            f"training.{self._importing(training)}.from imports another"
        ]

    def _importing(self, training: Values) -> str:
        """The network that is imported."""
        return "diff_icmh.prior" if imports(training) else "mpd.autoencoder"

    def trained(self, training: Values, points: Keys, parts: Sequence[str] | None) -> list[str]:
        """The trained parts; none where no entry uses the model.

        Raises ConfigError where training from scratch leaves out a part, where a part is trained
        and one that was trained with the bundled one is kept, and where a variant is not trained.
        """
        if not points:
            return []
        trained = self.with_count(training)
        codec = "stage_1" in trained or "stage_2" in trained
        fresh = ("stage_1",) if imports(training) else FRESH
        missing = [part for part in fresh if part not in trained]
        if missing and self.start(training) == "scratch":
            reason = (
                "training.start is scratch"
                if training["start"] == "scratch"
                else f"training.{self._importing(training)}.from imports another latent"
            )
            raise ConfigError(f"{reason}, but {self.count_paths(missing)} is 0: untrained")
        # Another autoencoder means a training from scratch, of all parts: checked above.
        if "prior" in trained and not codec:
            raise ConfigError(
                "training.diff_icmh.prior.steps makes another one, but "
                f"{self.count_paths(['stage_2'])} is 0: the bundled part is of the bundled prior"
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
            if found := published(training):
                texts = sorted({str(keys["tags"]) for keys in points})
                return [*errors, *_wrong_tags(texts, read_vocabulary(found.tags))]
            if self.start(training) == "scratch":
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
        made: tuple[str, ...] = ("lfgcm", "control") if part == "stage_1" else ()
        if part == "stage_2" and "stage_1" in self.with_count(training) and alone(training):
            made = ("control",)
        sizes = {key: values[key] for key in made}
        return {
            "cells": values["prior"]["cells"],  # the tagger's training crops are the prior's
            **values[part],
            **sizes,
            **{key: training[key] for key in ("precision", "seed")},
            "crop": values[part].get("crop") or training["crop"],
            "start": self.start(training),
            "imported": imports(training),
            "codec": {**values["codec"], **changed},
            "source_tags": {
                name: list(training["data"][name].get("tags", [])) for name in self.sets(training)
            },
        }


SECTION: Final = DiffIcmhTraining()


def alone(training: Values) -> bool:
    """True where stage 1 trains the codec by itself."""
    return bool(training["diff_icmh"]["stage_1"]["codec_alone"])


def imports(training: Values) -> bool:
    """True where a run imports a published prior."""
    return training["diff_icmh"]["prior"]["from"] is not None


def published(training: Values) -> PriorFiles | None:
    """The published prior that a run imports, None: it has none; errors as `prior_files`."""
    given = training["diff_icmh"]["prior"]
    return None if given["from"] is None else given_files(given)


def given_files(given: Values) -> PriorFiles:
    """The files that the keys of the section `prior` name; errors as `prior_files`."""
    names = ("from", "tokenizer", "tags")
    source, tokenizer, tags = (given[n] and Path(given[n]).expanduser() for n in names)
    tagging = tuple(Path(given[name]).expanduser() for name in TAGGING if given[name])
    return prior_files(source, tokenizer, tags, tagging)


def tags_images(training: Values) -> bool:
    """True where the training images are tagged by RAM++, which is imported with a prior."""
    return imports(training) and training["diff_icmh"]["prior"]["tagger"] is not None


def _wrong_tags(tags: Sequence[str], vocabulary: Sequence[str]) -> list[IcmbenchError]:
    """One error for every text of tags that the vocabulary does not have."""
    errors: list[IcmbenchError] = []
    for text in tags:
        try:
            check_tags(text, vocabulary)
        except IcmbenchError as error:
            errors.append(error)
    return errors
