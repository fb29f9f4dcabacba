"""Section `training.mpd`: keys, defaults and checks for the training of MPD's model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from icmbench.codecs.mpd.model_folder import KINDS, NAME, PARTS, bundled, check_folder
from icmbench.core.errors import ConfigError
from icmbench.core.schema import REQUIRED, Schema, array, choice, integer, optional, section
from icmbench.training.section import Keys, TrainingSection, Values, network

# Shared keys of `training` that the weights of a part depend on, beside its own keys.
SHARED: Final = {
    "autoencoder": ("start", "precision", "crop", "seed"),
    "contexts": ("crop",),  # counted, not optimised: no start, precision or seed
    "reverse": ("start", "precision", "seed"),
    "vgg": ("start", "precision", "seed"),
    "features": ("start", "precision", "seed"),
    "pseudo_labels": ("seed",),
}
COUNT: Final = integer(REQUIRED, low=2)  # of clusters
COUNTS: Final = [4, 8, 16, 32, 64, 128]
OBJECTIVE: Final = choice(
    ["instances", "rotations"],
    "without labels: contrastive between augmentations of one crop and other crops, or "
    "classification of quarter turns",
)
PSEUDO_LABELS: Final = section(
    {
        "network": optional(
            "file of torchvision's VGG-16 (.pth); its taps replace those of the narrow VGG"
        ),
        "size": integer(64, "pixels a side of a patch", low=32, high=128, multiple=16),
        "patches": integer(4096, "patches of the training data", low=16),
        "counts": array(
            COUNT, COUNTS, "numbers of clusters to compute, ascending", least=1, unique=True
        ),
        "clusters": array(
            COUNT,
            [32] * 5,
            "numbers of clusters used, per tap from texture to semantics; each one of counts",
            least=5,
            most=5,
        ),
    },
    "pseudo-labels: clusters of patch descriptors, the classes of the contrastive loss",
)


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
    keys: ClassVar[Mapping[str, Schema]] = {
        "autoencoder": network(4, 8e-4, "crops", "images <-> latents; shared with diff-icmh"),
        "contexts": section(
            {"images": integer(0, "images whose symbols are counted; 0: not trained", low=0)},
            "the entropy coder's tables",
        ),
        "reverse": network(16, 5e-4, "crops", "the network of the reverse process"),
        "vgg": network(
            32,
            1e-3,
            "images",
            "the narrow VGG whose taps are clustered",
            {
                "batch": integer(32, "half the images per step", low=2, multiple=2),
                "objective": OBJECTIVE,
            },
        ),
        "pseudo_labels": PSEUDO_LABELS,
        "features": network(
            128,
            2e-3,
            "patches",
            "contrastive features of the latent: clustering features of the palette",
            {"batch": integer(128, "patches per step", low=2)},
        ),
        "retrieval": integer(
            48, "scenes of split val for patch retrieval, where features are trained", low=2
        ),
    }

    def check(self, training: Values) -> None:
        """ConfigError where the pseudo-labels cannot be made, whatever the training data."""
        labels, where = training["mpd"]["pseudo_labels"], "training.mpd.pseudo_labels"
        counts = labels["counts"]
        if counts != sorted(counts):
            raise ConfigError(f"{where}.counts: {counts} are not ascending")
        if missing := sorted(set(labels["clusters"]) - set(counts)):
            raise ConfigError(f"{where}.clusters: {missing[0]} is not one of counts")
        if labels["patches"] < counts[-1]:
            raise ConfigError(f"{where}.patches: {labels['patches']} for {counts[-1]} clusters")

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
            raise ConfigError(
                "training.mpd.autoencoder.steps trains a new latent, but "
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
        crop = {"crop": values["pseudo_labels"]["size"]} if part == "vgg" else {}
        return {**values[part], **shared, **crop}


SECTION: Final = MpdTraining()


def used_features(points: Keys) -> list[str]:
    """Kinds of clustering features (`KINDS`) that operating points use, sorted."""
    used = {
        str(keys["guide"]) for keys in points if keys.get("alpha") and keys["palette"] == "image"
    }
    return sorted(used & set(KINDS))
