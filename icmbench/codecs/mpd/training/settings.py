"""Section `training.mpd`: keys, defaults and checks for the training of MPD's model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from icmbench.codecs.mpd.model_folder import (
    KINDS,
    NAME,
    PARTS,
    bundled,
    check_folder,
    level_names,
)
from icmbench.codecs.mpd.training.keys import KEYS
from icmbench.core.errors import ConfigError
from icmbench.core.schema import Schema
from icmbench.models.foreign_files import foreign_files
from icmbench.training.section import Keys, TrainingSection, Values

# Shared keys of `training` that the weights of a part depend on, beside its own keys.
SHARED: Final = {
    "autoencoder": ("start", "precision", "crop", "seed"),
    "contexts": ("crop",),  # counted, not optimised: no start, precision or seed
    "reverse": ("start", "precision", "seed"),
    "vgg": ("start", "precision", "seed"),
    "features": ("start", "precision", "seed"),
    "pseudo_labels": ("seed",),
}
# Keys of a part that are sizes of its network. Those of a network that training starts from are
# its own: other sizes need a training from scratch.
SIZES: Final = {
    "autoencoder": ("latent", "encoder", "decoder", "blocks"),
    "reverse": ("channels", "blocks"),
    "vgg": ("channels",),
    "features": ("channels", "embedding", "head", "dims"),
}
FROM_SCRATCH: Final = ("reverse", "features")  # parts of an imported autoencoder's latent


class MpdTraining(TrainingSection):
    """Training of the parts of MPD's model; each part uses the ones before it."""

    key: ClassVar[str] = "mpd"
    model: ClassVar[str] = NAME
    count_keys: ClassVar[Mapping[str, str]] = {
        "autoencoder": "steps",
        "contexts": "images",
        "reverse": "steps",
        "vgg": "steps",
        "features": "steps",
    }
    keys: ClassVar[Mapping[str, Schema]] = KEYS

    def check(self, training: Values) -> None:
        """ConfigError where the pseudo-labels cannot be made, whatever the training data."""
        labels, where = training["mpd"]["pseudo_labels"], "training.mpd.pseudo_labels"
        counts = labels["counts"]
        if counts != sorted(counts):
            raise ConfigError(f"{where}.counts: {counts} are not ascending")
        if missing := sorted(set(labels["clusters"]) - set(counts)):
            raise ConfigError(f"{where}.clusters: {missing[0]} is not one of counts")
        levels = len(level_names(labels["descriptors"]))
        if len(labels["clusters"]) != levels:
            raise ConfigError(
                f"{where}.clusters: {labels['clusters']}, but {labels['descriptors']} descriptors "
                f"have {levels} level{'s' * (levels > 1)}: set a number for each"
            )
        if labels["patches"] < counts[-1]:
            raise ConfigError(f"{where}.patches: {labels['patches']} for {counts[-1]} clusters")
        features = training["mpd"]["features"]
        if features["dims"] > features["embedding"]:
            raise ConfigError(
                f"training.mpd.features.dims: {features['dims']}, but embedding is "
                f"{features['embedding']}: at most that"
            )
        self._check_sizes(training)
        path = source(training)
        if path is None and (count := training["mpd"]["autoencoder"]["directions"]):
            raise ConfigError(
                f"training.mpd.autoencoder.directions: {count}, but they are those of an imported "
                "latent: set `from`, or directions to 0"
            )
        if path is not None:
            foreign_files(path)
            if steps := training["mpd"]["autoencoder"]["steps"]:
                raise ConfigError(
                    f"training.mpd.autoencoder.steps: {steps}, but `from` imports {path}, which is "
                    "not trained further: set steps to 0"
                )

    def _check_sizes(self, training: Values) -> None:
        """ConfigError where sizes are given for a network that is not trained from scratch."""
        for part, names in SIZES.items():
            values, defaults = training["mpd"][part], self.keys[part]["properties"]
            changed = [name for name in names if values[name] != defaults[name]["default"]]
            if not changed:
                continue
            where = f"training.mpd.{part}.{changed[0]}"
            if part == "autoencoder" and values["from"]:
                raise ConfigError(f"{where}: an imported network has its own sizes: remove it")
            if self.start(training, part) == "bundled":
                raise ConfigError(
                    f"{where}: {values[changed[0]]}, but the training starts from the bundled "
                    "network, whose sizes stay: set training.start to scratch"
                )

    def start(self, training: Values, part: str) -> str:
        """`training.start`, as it applies to a part.

        Networks on an imported latent are trained from scratch: the bundled ones know another. So
        are features of concatenated descriptors: the bundled ones have a level per tap.
        """
        imported = source(training) is not None and part in FROM_SCRATCH
        joined = part == "features" and _joined(training)
        return "scratch" if imported or joined else str(training["start"])

    def with_count(self, training: Values) -> list[str]:
        """Parts with a count above 0, and an imported autoencoder."""
        parts = super().with_count(training)
        return ["autoencoder", *parts] if source(training) else parts

    def notices(self, training: Values, trained: Sequence[str]) -> list[str]:
        """Announce the parts that are trained from scratch though `start` is `bundled`."""
        if training["start"] == "scratch":
            return []
        fresh = [part for part in FROM_SCRATCH if part in trained]
        why = "is of the bundled latent, training.mpd.autoencoder.from imports another"
        if source(training) is None:
            fresh = ["features"] if "features" in trained and _joined(training) else []
            why = "has a level per tap, training.mpd.pseudo_labels.descriptors are concatenated"
        names = " and ".join(f"training.mpd.{part}" for part in fresh)
        text = "trained from scratch, though training.start is bundled: the bundled network"
        return [f"{names}: {text} {why}"] if fresh else []

    def trained(self, training: Values, points: Keys, parts: Sequence[str] | None) -> list[str]:
        """Names of the trained parts.

        Raises ConfigError where training from scratch leaves out a part that is used, or where the
        autoencoder is trained and a part of the bundled latent is kept.
        """
        trained = self.with_count(training)
        if parts is None:
            features = bool(used_features(points)) or "features" in trained
            used = [*PARTS, *(("vgg", "features") if features else ())]
        else:
            used, trained = list(parts), [part for part in trained if part in parts]
        if training["mpd"]["pseudo_labels"]["network"]:  # its taps replace the narrow VGG's
            used = [part for part in used if part != "vgg"]
        untrained = [part for part in used if part not in trained]
        if untrained and training["start"] == "scratch":
            raise ConfigError(
                f"training.start is scratch, but {self.count_paths(untrained)} is 0: untrained"
            )
        stale = [part for part in untrained if part != "vgg"]  # the VGG takes pixels, not latents
        if stale and "autoencoder" in trained:
            makes = "from imports" if source(training) else "steps trains"
            raise ConfigError(
                f"training.mpd.autoencoder.{makes} a new latent, but "
                f"{self.count_paths(stale)} is 0: the bundled part belongs to the bundled latent"
            )
        return trained

    def encoder_parts(self, training: Values, points: Keys, trained: Sequence[str]) -> list[str]:
        """Names of the feature encoders, and of the VGG where its taps are clustered."""
        kinds = used_features(points)
        features = [f"features-{kind}" for kind in kinds or ["fft"]]
        features = features if kinds or "features" in trained else []
        own_taps = "features" in trained and not training["mpd"]["pseudo_labels"]["network"]
        return ["vgg", *features] if "vgg" in trained or own_taps else features

    def check_model(self, folder: Path | None, points: Keys, encoder_parts: Sequence[str]) -> None:
        """ModelError where a folder lacks a part that the points use."""
        if folder is None:
            check_folder(bundled(), (*PARTS, *encoder_parts))
        else:
            check_folder(folder, (*PARTS, *(f"features-{kind}" for kind in used_features(points))))

    def settings(self, training: Values, part: str, **wildcards: str) -> dict[str, Any]:
        """Job parameters of a part, or of the pseudo-labels."""
        values = training["mpd"]
        shared = {key: training[key] for key in SHARED[part]}
        if "start" in shared:
            shared["start"] = self.start(training, part)
        crop = {"crop": values["pseudo_labels"]["size"]} if part == "vgg" else {}
        return {**values[part], **shared, **crop}


SECTION: Final = MpdTraining()


def _joined(training: Values) -> bool:
    """Features are trained, on clusters of the concatenated descriptors of all taps."""
    levels = level_names(training["mpd"]["pseudo_labels"]["descriptors"])
    return training["mpd"]["features"]["steps"] > 0 and len(levels) == 1


def source(training: Values) -> Path | None:
    """The published autoencoder that a run imports, None: it has none."""
    given = training["mpd"]["autoencoder"]["from"]
    return Path(given).expanduser() if given else None


def used_features(points: Keys) -> list[str]:
    """Kinds of clustering features (`KINDS`) that operating points use, sorted."""
    used = {
        str(keys["guide"]) for keys in points if keys.get("alpha") and keys["palette"] == "image"
    }
    return sorted(used & set(KINDS))
