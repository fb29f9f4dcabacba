"""Answers of servers: the bytes that they hold, and those that cannot be believed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import requests

from icmbench.core.errors import DatasetError
from icmbench.sources.versions import discard


class Broken(Exception):
    """A failed attempt that may succeed if repeated; `pause`: seconds that the server requests."""

    def __init__(self, text: str, pause: float = 0.0) -> None:
        super().__init__(text)
        self.pause = pause


@dataclass(frozen=True)
class Answer:
    """Position of an answer's first byte in the file, and the file's size where it is stated."""

    start: int
    total: int | None


def place_of(url: str, response: requests.Response, have: int, part: Path) -> Answer:
    """Position of an answer to a request for the bytes from `have` on.

    Raises Broken, after the partial file is removed, where they do not continue it.
    """
    length = _length(url, response)
    if response.status_code != 206:
        return Answer(0, length)
    text = response.headers.get("Content-Range", "").strip()
    match = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", text)
    if have and match and int(match[1]) == have:
        rest = int(match[2]) + 1 - have
        total = int(match[2]) + 1 if match[3] == "*" else int(match[3])
        if length in (None, rest) and 0 < rest <= total - have:
            return Answer(have, total)
    discard(part)
    raise Broken(f"asked for bytes {have} and on, answered {text or 'no range'!r}: from the start")


def _length(url: str, response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length")
    if text is not None and not re.fullmatch("[0-9]{1,18}", text.strip()):
        raise DatasetError(f"{url}: the server states a length of {text!r}, which is no number")
    return None if text is None else int(text)


def check_believable(url: str, response: requests.Response, answer: Answer, part: Path) -> None:
    """DatasetError, without a checksum, for a web page and for what may be truncated unnoticed."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "text/html" and Path(part.stem).suffix.lower() not in (".html", ".htm"):
        raise DatasetError(
            f"{url}: the server answers a web page, such as a form or a notice, not {part.stem}"
        )
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        raise DatasetError(
            f"{url}: the server compresses the file ({encoding}) although it was asked not to, and "
            "no checksum is known: fetch it by other means"
        )
    if answer.total is None and not getattr(response.raw, "chunked", False):
        raise DatasetError(
            f"{url}: the server states no size, and no checksum is known: fetch it by other means"
        )
