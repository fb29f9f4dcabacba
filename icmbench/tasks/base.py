"""Task interface: a model that maps one image to predictions.

A task does not know the codec of an image and is not fine-tuned on reconstructions, except for one
whose entry says `adapt`, which its name in tables repeats. Predictions are stored
(`icmbench.tasks.store`) and scored later (`icmbench.tasks.evaluate`) over all images of a data set,
because mAP and mIoU are not means of per-image values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from icmbench.core.errors import TaskError
from icmbench.datasets.options import Option, option_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Image: TypeAlias = "NDArray[np.uint8]"
Floats: TypeAlias = "NDArray[np.float64]"

INSTANCES = "instances"
SEMANTIC = "semantic"
LANDMARKS = "landmarks"
ENTRY_POINTS = "icmbench.tasks"  # group of the entry points of tasks of other packages
ORIGINALS = "originals"  # stands where a codec's name does: what was never coded


@dataclass(frozen=True)
class Instances:
    """Detected instances of one image, with the category ids of the data set.

    Attributes:
        boxes: float64 (n, 4), x1 y1 x2 y2 in pixels of the image, x2 and y2 exclusive.
        scores: float64 (n,), 0 to 1.
        labels: int64 (n,), category ids of the data set.
        masks: compressed RLE (`size`, `counts` as text) per instance; None: only boxes.
    """

    produces: ClassVar[str] = INSTANCES

    boxes: Floats
    scores: Floats
    labels: NDArray[np.int64]
    masks: tuple[Mapping[str, Any], ...] | None = None


SemanticMap: TypeAlias = "NDArray[np.uint8]"
"""(H, W), class index of the data set per pixel; 255: a class that the data set does not have."""

Faces: TypeAlias = Floats
"""(faces, 68 or 98, 2), x y in pixels, a pixel's centre at +0.5; in the order of given boxes."""


class Stated(Protocol):
    """A prediction that states its kind."""

    produces: ClassVar[str]


Prediction: TypeAlias = "Instances | SemanticMap | Faces | Stated"


def kind_of(prediction: Prediction) -> str:
    """Kind of a prediction; an array is a semantic map, or the landmarks of faces.

    Raises TaskError for what is neither an array nor states its kind.
    """
    if stated := getattr(prediction, "produces", ""):
        return str(stated)
    shape = getattr(prediction, "shape", None)
    if shape is None:
        raise TaskError(f"a prediction of type {type(prediction).__name__} states no kind")
    return SEMANTIC if len(shape) == 2 else LANDMARKS


@dataclass(frozen=True)
class Labels:
    """Classes of a data set; a task model must have all of them.

    Attributes:
        dataset: its name, for messages.
        categories: category id -> name, of COCO instances.
        classes: names of the semantic classes.
        segments: category id -> name, of panoptic segments.
        image_classes: classes of whole images: names, or indices in the scores of a model.
    """

    dataset: str
    categories: Mapping[int, str]
    classes: tuple[str, ...]
    segments: Mapping[int, str] = field(default_factory=dict)
    image_classes: tuple[str | int, ...] = ()

    def category_ids(self, known: Sequence[str], what: str) -> list[int]:
        """Category id of the data set for every class of a model, in its order; -1: none.

        Args:
            known: class names of the model.
            what: name of the model, for errors.

        Raises TaskError where the data set has no categories, or one that the model lacks.
        """
        if not self.categories:
            raise TaskError(
                f"data set {self.dataset!r} has no COCO categories; {what} detects instances"
            )
        ids = {name: number for number, name in self.categories.items()}
        self._check(list(ids), known, what)
        return [ids.get(name, -1) for name in known]

    def segment_ids(self, known: Sequence[str], what: str) -> list[int]:
        """As `category_ids`, for the categories of panoptic segments."""
        if not self.segments:
            raise TaskError(
                f"data set {self.dataset!r} has no panoptic maps; {what} finds segments"
            )
        ids = {name: number for number, name in self.segments.items()}
        self._check(list(ids), known, what)
        return [ids.get(name, -1) for name in known]

    def class_indices(self, known: Sequence[str], what: str) -> list[int]:
        """As `category_ids`, for semantic classes: index in the maps for every class of a model."""
        if not self.classes:
            raise TaskError(f"data set {self.dataset!r} has no semantic maps; {what} labels pixels")
        self._check(self.classes, known, what)
        ids = {name: number for number, name in enumerate(self.classes)}
        return [ids.get(name, -1) for name in known]

    def image_indices(self, known: Sequence[str], what: str) -> list[int]:
        """Index in a model's scores for every class of whole images.

        A name is one of `known`, or one whose spaces are underscores.

        Raises TaskError for a name or an index that the model lacks, and for a name that several of
        its classes have.
        """
        places: dict[str, list[int]] = {}
        for index, name in enumerate(known):
            places.setdefault(name, []).append(index)
        found = []
        for wanted in self.image_classes:
            if isinstance(wanted, int):
                fitting = [wanted] if 0 <= wanted < len(known) else []
            else:
                fitting = places.get(wanted) or places.get(wanted.replace("_", " "), [])
            if len(fitting) != 1:
                reason = f"{len(fitting)} classes {fitting} have that name"
                if not fitting:
                    some = ", ".join(known[:3])
                    reason = f"unknown to {what}, whose {len(known)} classes are {some}, ..."
                raise TaskError(
                    f"data set {self.dataset!r}: class {wanted!r}: {reason}; map it to an index "
                    "by `classes` of the data set"
                )
            found += fitting
        return found

    def _check(self, needed: Sequence[str], known: Sequence[str], what: str) -> None:
        if missing := [name for name in needed if name not in known]:
            raise TaskError(
                f"{what} knows {len(known)} classes ({', '.join(known[:5])}, ...), data set "
                f"{self.dataset!r} has {', '.join(missing[:5])} beside them"
            )


class Task(ABC):
    """A model for one task. Subclasses set `kind`, `produces`, `options` and add three methods.

    A kind is one file in `icmbench/tasks/kinds`, or an entry point of the group `icmbench.tasks`;
    an entry of the configuration names its kind and its model.

    Attributes:
        produces: kind of a prediction: INSTANCES, SEMANTIC, LANDMARKS, or another module of
            `icmbench.tasks.answers`.
        needs_annotations: False where answers on the originals can be the reference, so that any
            data set serves (`Answer.refers`).
        packages: distributions whose versions the predictions depend on.
        uses_device: True where it can run on a GPU.
        device: device of the loaded model, cpu or cuda.
        must_use_device: True where the configuration requires the device (`device: cuda`): `load`
            raises TaskError where it is unavailable. Otherwise (`auto`) it warns and uses the CPU.
    """

    kind: ClassVar[str]
    produces: ClassVar[str]
    options: ClassVar[Mapping[str, Option]] = {}
    needs_annotations: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = ()
    uses_device: bool = True

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        """Check the options of `entry`, the configuration's without the workflow's keys.

        Raises ConfigError for a wrong option. No file is read and no network is built.
        """
        self.name = name
        self.device = "cpu"
        self.must_use_device = False
        self.values = option_values(f"task {name!r}", self.options, entry)

    @property
    @abstractmethod
    def model(self) -> str:
        """Name of the model in tables: its name in mmdet or mmseg, or that of its file."""

    def files(self) -> list[Path]:
        """Files that predictions depend on, weights or configurations; they need not exist yet."""
        return []

    @abstractmethod
    def load(self, labels: Labels, device: str) -> None:
        """Build the network on `device` (cpu or cuda) and read its weights, once per job.

        A task that runs on another device than `device` sets the attribute `device`.

        Raises TaskError where the model's classes and the data set's differ, ModelError where a
        file is missing, damaged or of another network.
        """

    @abstractmethod
    def predict(self, image: Image, given: Sequence[Any]) -> Prediction:
        """Predict on one image uint8 (H, W, 3), sRGB.

        Args:
            given: annotations of the image that are part of the task (`Answer.given`): of
                LANDMARKS, as is usual for NME, boxes x, y, width, height of the faces; else empty.
        """
