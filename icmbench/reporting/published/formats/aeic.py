"""The text of AEIC and StableCodec: a heading per data set, lists such as `bpp = [0.0046, …]`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from icmbench.core.errors import MeasurementError
from icmbench.reporting.published.formats.common import Given
from icmbench.reporting.published.points import NOT_STATED, Point

TITLE = "lists of AEIC and StableCodec"
HEADING: Final = re.compile(r"^#+ *(.*?) *#*$")
LIST: Final = re.compile(r"^(\w+) *= *\[(.*)\] *$")
SETS: Final = {
    "kodak": "kodak", "clic 2020 test": "clic2020-test", "div2k val": "div2k-valid",
}  # fmt: skip
# Their script `evaluate.py`: pyiqa's MS-SSIM is of luma, its DISTS of the whole resolution.
NAMES: Final = {
    "psnr": "psnr_rgb", "msssim": "ms_ssim_y", "lpips": "lpips", "dists": "dists_full",
    "fid": "fid", "kid": "kid",
}  # fmt: skip
RATE: Final = "bpp"


def recognises(text: str) -> bool:
    """True where a line is a list of rates."""
    return any(name == RATE for _, lists in _sections(text) for name in lists)


def read(text: str, given: Given) -> list[Point]:
    """Read the lists of every section; of a given data set alone, where one is given."""
    if not recognises(text):
        raise MeasurementError(f"{given.file}: not {TITLE}: no line `bpp = [...]`")
    points: list[Point] = []
    sections = list(_sections(text))
    codec = ""
    for heading, lists in sections:
        named, _, title = heading.rpartition(" on ")
        codec = named or codec  # the first heading alone may name it
        dataset = SETS.get(title.lower(), title)
        if given.dataset and len(sections) > 1 and dataset != given.dataset:
            continue
        points += _points(lists, given.named("codec", codec), dataset, given)
    if not points:
        raise MeasurementError(f"{given.file}: no section is of {given.dataset}")
    return points


def _points(lists: dict[str, str], codec: str, dataset: str, given: Given) -> list[Point]:
    name = given.named("dataset", dataset)
    values = {key: _numbers(key, text, given) for key, text in lists.items()}
    rates = values.pop(RATE, [])
    points = []
    for key, found in values.items():
        if len(found) != len(rates):
            raise MeasurementError(
                f"{given.file}: {name}: {len(found)} values of {key} for {len(rates)} rates"
            )
        about = (given.origin, "results file", given.bits or NOT_STATED)
        points += [
            Point(codec, name, bpp, NAMES.get(key, key), value, *about)
            for bpp, value in zip(rates, found, strict=True)
        ]
    return points


def _sections(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Heading and lists of every section that has some."""
    heading, lists = "", dict[str, str]()
    for line in text.splitlines():
        if found := HEADING.match(line.strip()):
            if lists:
                yield heading, lists
            heading, lists = found[1], {}
        elif found := LIST.match(line.strip()):
            lists[found[1].lower()] = found[2]
    if lists:
        yield heading, lists


def _numbers(name: str, text: str, given: Given) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise MeasurementError(f"{given.file}: {name}: {error}") from None
