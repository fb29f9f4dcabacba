"""Predictions of a task on the images of one shard, kept as a zip: complete or absent.

One member per codec spec and image, ``webp-quality20/astronaut.json`` or ``.png``, in the format of
its kind (`icmbench.tasks.answers`). Numbers are rounded when they are written, and scores are
computed from the written numbers, so that tables can always be computed again from these files.

The last member, ``run.json``, records the device, the images that the model failed on with the
reason each, and the reason where the model itself could not be loaded.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from icmbench.codecs.specs import slug
from icmbench.core.errors import MeasurementError, TaskError
from icmbench.evaluation import archive
from icmbench.tasks.answers import answer_of
from icmbench.tasks.answers.numbers import to_json
from icmbench.tasks.base import Prediction, kind_of

RUN: Final = "run.json"  # a name that no prediction has: theirs lie in a folder


@dataclass(frozen=True)
class Outcome:
    """Outcome of a task's jobs: of one archive, or of all shards of a codec entry.

    Attributes:
        devices: on which the model ran, sorted; () where it was not loaded.
        failed: why the model could not be loaded; "" where it was, in every shard.
        failures: (codec spec's slug, image) -> what the model raised on it.
        answered: (codec spec's slug, image) of every prediction.
    """

    devices: tuple[str, ...] = ()
    failed: str = ""
    failures: Mapping[tuple[str, str], str] = field(default_factory=dict)
    answered: frozenset[tuple[str, str]] = frozenset()

    def reason(self, codec_spec: str, image_id: str) -> str | None:
        """Reason for a missing prediction; None: there is one, or it was never asked for."""
        key = slug(codec_spec), image_id
        if key in self.answered:
            return None
        return self.failures.get(key) or self.failed or None

    def has(self, codec_spec: str, image_id: str) -> bool:
        """True if there is a prediction of an image."""
        return (slug(codec_spec), image_id) in self.answered


class Writer:
    """Adds predictions to a zip that `writer` opened.

    Attributes:
        device: on which the model runs; set it before the block ends.
        failed: why the model could not be loaded.
    """

    def __init__(self, members: archive.Writer) -> None:
        self._members = members
        self._failures: dict[str, dict[str, str]] = {}
        self.device = ""
        self.failed = ""

    def add(
        self,
        codec_spec: str,
        image_id: str,
        prediction: Prediction,
        size: tuple[int, int] | None = None,
    ) -> None:
        """Store the prediction on a reconstruction.

        Args:
            size: height and width of the reconstruction, stored with instances for figures; by
                default that of the masks.

        Raises TaskError for an invalid prediction (see `encode`), ValueError where this image has
        a prediction at this codec spec already.
        """
        try:
            encoded = encode(prediction, size)
        except TaskError as error:
            raise TaskError(f"image {image_id!r} of {codec_spec}: {error}") from error
        self.put(codec_spec, image_id, encoded)

    def put(self, codec_spec: str, image_id: str, encoded: tuple[str, bytes]) -> None:
        """Store a prediction encoded by `encode`; ValueError where there is one already."""
        extension, data = encoded
        self._members.add(f"{slug(codec_spec)}/{image_id}.{extension}", data)

    def fail(self, codec_spec: str, image_id: str, reason: str) -> None:
        """Record that the model failed on an image."""
        self._failures.setdefault(slug(codec_spec), {})[image_id] = reason

    def finish(self) -> None:
        """Write `RUN`, the last member."""
        about = {"device": self.device, "failed": self.failed, "failures": self._failures}
        self._members.add(RUN, to_json(about))


@contextlib.contextmanager
def writer(path: Path) -> Iterator[Writer]:
    """A new zip of predictions; it appears under its name when the block has succeeded.

    Members stand in the order in which they are added: the caller sorts.
    """
    with archive.create(path, zipfile.ZIP_DEFLATED) as members:
        opened = Writer(members)
        yield opened
        opened.finish()


def outcome(paths: Sequence[Path], produces: str) -> Outcome:
    """Read the outcome of the jobs that wrote these zips.

    Raises MeasurementError naming the file where it is damaged or missing.
    """
    devices, failed, failures = set(), "", {}
    answered: set[tuple[str, str]] = set()
    extension = f".{answer_of(produces).extension}"
    for path in paths:
        with _opened(path) as source:
            names = [name.rpartition("/") for name in source.namelist()]
            run = json.loads(source.read(RUN))
            found = {
                (point, image): str(reason)
                for point, reasons in run["failures"].items()
                for image, reason in reasons.items()
            }
            device, reason = str(run["device"]), str(run["failed"])
        answered |= {
            (point, member.removesuffix(extension))
            for point, slash, member in names
            if slash and member.endswith(extension)
        }
        failures.update(found)
        failed = failed or reason
        devices |= {device} - {""}
    return Outcome(tuple(sorted(devices)), failed, failures, frozenset(answered))


def read(
    paths: Sequence[Path], codec_spec: str, image_ids: Sequence[str], produces: str
) -> dict[str, Prediction]:
    """The predictions of these images at one point of a codec, from the zips of all shards.

    Args:
        produces: kind of the predictions.

    Raises MeasurementError naming the file where it is damaged or missing, and the image that no
    file or more than one holds.
    """
    found: dict[str, Prediction] = {}
    extension = answer_of(produces).extension
    wanted = {f"{slug(codec_spec)}/{name}.{extension}": name for name in image_ids}
    for path in paths:
        with _opened(path) as source:
            # Its members in their order: a zip is read from front to back.
            for member in source.namelist():
                image_id = wanted.get(member)
                if image_id is None:
                    continue
                if image_id in found:
                    raise MeasurementError(f"{path}: {member} is in another file or twice in it")
                found[image_id] = decode(source.read(member), produces)
    if missing := [name for name in image_ids if name not in found]:
        raise MeasurementError(
            f"{', '.join(str(path) for path in paths) or 'no file'}: no prediction of "
            f"{', '.join(missing[:5])} for {codec_spec} ({len(missing)} of {len(image_ids)})"
        )
    return {name: found[name] for name in image_ids}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive to read from; whatever is wrong with it is MeasurementError naming it."""
    try:
        with zipfile.ZipFile(path) as source:
            yield source
    except MeasurementError as error:
        raise error if str(path) in str(error) else MeasurementError(f"{path}: {error}") from error
    except MemoryError:
        raise
    # zipfile, zlib and Pillow raise what they like on damaged files.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MeasurementError(f"{path}: damaged: {reason}") from error


def encode(prediction: Prediction, size: tuple[int, int] | None = None) -> tuple[str, bytes]:
    """Extension and content of a prediction's file.

    Raises TaskError where shapes or types are not those of its kind, and where a number is not
    finite.
    """
    answer = answer_of(kind_of(prediction))
    return answer.extension, answer.encode(prediction, size)


def decode(data: bytes, produces: str) -> Prediction:
    """The prediction of a file's content; MeasurementError where it is of another form."""
    try:
        return answer_of(produces).decode(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MeasurementError(
            f"a member is not what was written as {produces}: {error}"
        ) from error
