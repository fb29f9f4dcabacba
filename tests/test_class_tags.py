"""Tags of training images by a published classifier."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from conftest import make_picture

from icmbench.classifier.lite0_weights import lite0_lacks
from icmbench.core.images.image_files import write_png
from icmbench.jobs.training_pool import training_pool
from icmbench.training.class_tags import GROUPS, ClassTagger, class_groups, class_names, classified
from icmbench.training.data import TrainingData, read_provided
from icmbench.training.source_tags import tag_training_data

pytestmark = pytest.mark.usefixtures("one_thread")
needs_weights = pytest.mark.skipif(bool(lite0_lacks()), reason="no EfficientNet-Lite0")


def provided(folder: Path, source: str, *, class_tags: bool) -> tuple[Path, Path]:
    """List and folder of a training set of two images."""
    photos = folder / f"photos-{source}"
    for number in range(2):
        seed = number if class_tags else 5 + number
        write_png(photos / f"{number}.png", make_picture(64, 80, seed))
    home = folder / "pool" / source
    entry = {"type": "folder", "path": str(photos), "class_tags": class_tags}
    records, images = home / "records.csv", home / "images"
    training_pool(
        source, entry=entry, downloads=folder, results=folder, records=records, images=images
    )
    return records, images


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    """One set with the tags of a classifier, one without."""
    folder = tmp_path_factory.mktemp("sets")
    lists = [provided(folder, name, class_tags=name == "asked") for name in ("asked", "plain")]
    return read_provided(*zip(*lists, strict=True), smallest=64)


def test_classes_that_look_alike_are_a_group() -> None:
    """Named by the class that is closest to the mean, in the order of the names."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((3, 20))
    weights = np.repeat(centres, 4, 0) + 0.05 * rng.standard_normal((12, 20))
    names = tuple(f"class {11 - number:02d}" for number in range(12))
    found = class_groups(weights.astype(np.float32), names, 3)
    assert [len(set(found.groups[k : k + 4])) for k in (0, 4, 8)] == [1, 1, 1]
    assert len(set(found.groups)) == 3
    assert list(found.names) == sorted(found.names)
    for number, name in enumerate(found.names):
        assert found.groups[names.index(name)] == number


@needs_weights
def test_the_groups_of_imagenet() -> None:
    """Dogs are not vehicles, and no name holds what joins names."""
    groups, names = ClassTagger().groups, class_names()
    assert len(groups.names) == GROUPS
    at = {name: groups.groups[number] for number, name in enumerate(names)}
    assert at["cab"] == at["minivan"]
    assert at["beagle"] == at["basset"] != at["cab"]
    assert not {"|", "+"} & set("".join(groups.names))


@pytest.mark.parametrize(("height", "width"), [(321, 481), (900, 300), (64, 64)])
def test_an_image_is_classified_whole(height: int, width: int) -> None:
    shown = classified(np.full((height, width, 3), 255, np.uint8))
    assert min(shown.shape[2:]) == 256
    assert all(side % 32 == 0 for side in shown.shape[2:])
    assert shown.shape[2] / shown.shape[3] == pytest.approx(height / width, rel=0.15)
    assert float(shown.min()) == float(shown.max()) == 1.0


@needs_weights
def test_the_list_keeps_them(data: TrainingData) -> None:
    asked, plain = data.class_tags[:2], data.class_tags[2:]
    assert plain == (None, None)
    tagger = ClassTagger()
    assert asked == tuple(tagger(data.images[number]) for number in range(2))


def test_of_other_sets_nothing_is_known(data: TrainingData) -> None:
    """A classifier's tags count in the images that it was asked about."""
    told = dataclasses.replace(data, class_tags=(("ox",), (), None, None))
    tags = tag_training_data(told, {"plain": ("photograph",)})
    ox, photograph = tags.vocabulary.index("ox"), tags.vocabulary.index("photograph")
    assert [ox in found for found in tags.tags] == [True, False, False, False]
    assert [ox in found for found in tags.known] == [True, True, False, False]
    assert all(photograph in found for found in tags.known)
    before = dataclasses.replace(data, class_tags=())
    assert "ox" not in tag_training_data(before, {}).vocabulary
