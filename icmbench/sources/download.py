"""Downloads that are resumed, checked, and complete or absent."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

import requests
import urllib3

from icmbench.core.errors import DatasetError
from icmbench.core.files import storage_errors
from icmbench.core.progress import progress
from icmbench.sources.checks import check_free, wrong_content
from icmbench.sources.meter import Meter

TIMEOUT: Final = (10, 60)  # seconds to connect, seconds without a byte
BLOCK: Final = 1 << 16
SLOWEST: Final = 1024  # bytes per second, over a minute: slower is a broken connection
WINDOW: Final = 60.0  # seconds
LIMIT: Final = 6 * 3600.0  # seconds of one call; what arrived is kept
LONGEST_PAUSE: Final = 60.0  # seconds, even where a server requests more
BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})  # another attempt may succeed


class _Broken(Exception):
    """A failed attempt that may succeed if repeated; `pause`: seconds that the server requests."""

    def __init__(self, text: str, pause: float = 0.0) -> None:
        super().__init__(text)
        self.pause = pause


def download(
    url: str,
    target: Path,
    sha256: str | None = None,
    *,
    sha1: str | None = None,
    md5: str | None = None,
    size: int | None = None,
    meter: Meter | None = None,
    attempts: int = 4,
) -> Path:
    """Fetch `url` to `target`, resuming `target.part` where an earlier try left one.

    A target that is already there with the right size and checksums is not fetched again.
    Checksums are of the file. Without one the size that the server states is checked, and the rest
    is left to the caller, such as the removal of a wrong file.

    Args:
        sha256, sha1, md5: hexadecimal digits, or the first ones.
        size: bytes of the file.
        meter: counts the bytes, instead of a progress bar of this file.

    Raises DatasetError, naming the URL, when the server refuses or answers what cannot be checked,
    the connection keeps failing, six hours pass or a size or checksum differs (the wrong bytes are
    removed, so that the next run starts afresh); StorageError when the disk is full, or has too
    little space for the size that the server states.
    """
    stated = {"sha256": sha256, "sha1": sha1, "md5": md5}
    expected = {name: text for name, text in stated.items() if text}
    if target.exists() and not wrong_content(target, size, expected):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = incomplete(target)
    if size is not None and part.exists() and part.stat().st_size > size:
        part.unlink()  # of another file
    end = monotonic() + LIMIT
    for attempt in range(attempts):
        try:
            with storage_errors(target):
                _fetch(url, part, end, meter, checked=bool(expected))
            break
        except _Broken as error:
            if attempt + 1 == attempts or monotonic() > end:
                raise DatasetError(
                    f"{url}: {error}; what arrived is kept, run again to resume"
                ) from error
            time.sleep(min(max(2.0**attempt, error.pause), LONGEST_PAUSE))
        except requests.RequestException as error:  # an address that is none, too many redirects
            raise DatasetError(f"{url}: {error}") from error
    if reason := wrong_content(part, size, expected):
        part.unlink()
        raise DatasetError(f"{url}: {reason}")
    os.replace(part, target)
    return target


def incomplete(target: Path) -> Path:
    """File that holds what arrived of a target."""
    return target.with_name(f"{target.name}.part")


@dataclass(frozen=True)
class _Answer:
    """Position of an answer's first byte in the file, and the file's size where it is stated."""

    start: int
    total: int | None


def _fetch(url: str, part: Path, end: float, meter: Meter | None, *, checked: bool) -> None:
    """One attempt; `checked`: a checksum is compared afterwards.

    Raises _Broken, DatasetError, or requests.RequestException for what no attempt can mend.
    """
    have = part.stat().st_size if part.exists() else 0
    # Bytes as they lie on the server: a compressed answer has neither their ranges nor their size.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    except (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
    ) as e:
        raise _Broken(str(e)) from e
    with response:
        if response.status_code == 416 and have:  # the part is complete, or not of this file
            if response.headers.get("Content-Range", "").strip() == f"bytes */{have}":
                return
            part.unlink()
            raise _Broken("the partial file was longer than the remote one")
        if response.status_code in BUSY:
            pause = response.headers.get("Retry-After", "")
            seconds = float(pause) if re.fullmatch("[0-9]{1,6}", pause) else 0.0
            raise _Broken(f"{response.status_code} {response.reason}", seconds)
        response.raise_for_status()
        answer = _answer(url, response, have, part)
        if not checked:
            _check_believable(url, response, answer, part)
        check_free(part.parent, (answer.total or 0) - answer.start, part.stem)
        with (
            open(part, "ab" if answer.start else "wb") as handle,
            nullcontext(meter) if meter else _own_meter(part, answer) as shown,
        ):
            position = answer.start
            shown.begin(part, position, answer.total)
            for block in _watched(_blocks(response.raw), end):
                handle.write(block)
                position += len(block)
                shown.at(part, position)
    found = part.stat().st_size
    if answer.total is not None and found < answer.total:
        raise _Broken(f"got {found} of {answer.total} bytes")
    if answer.total is not None and found > answer.total:
        part.unlink()
        raise _Broken(f"got {found} bytes of a file of {answer.total}")


@contextmanager
def _own_meter(part: Path, answer: _Answer) -> Iterator[Meter]:
    """A bar of one file."""
    with progress(total=answer.total, desc=part.stem, unit="B", unit_scale=True) as bar:
        yield Meter(bar, {part: answer.total})


def _answer(url: str, response: requests.Response, have: int, part: Path) -> _Answer:
    """Offset of the answer's bytes; drop the part that they do not continue."""
    length = _length(url, response)
    if response.status_code != 206:
        return _Answer(0, length)
    text = response.headers.get("Content-Range", "").strip()
    match = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", text)
    if have and match and int(match[1]) == have:
        rest = int(match[2]) + 1 - have
        total = int(match[2]) + 1 if match[3] == "*" else int(match[3])
        if length in (None, rest) and 0 < rest <= total - have:
            return _Answer(have, total)
    part.unlink(missing_ok=True)
    raise _Broken(f"asked for bytes {have} and on, answered {text or 'no range'!r}: from the start")


def _length(url: str, response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length")
    if text is not None and not re.fullmatch("[0-9]{1,18}", text.strip()):
        raise DatasetError(f"{url}: the server states a length of {text!r}, which is no number")
    return None if text is None else int(text)


def _check_believable(url: str, response: requests.Response, answer: _Answer, part: Path) -> None:
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


def _blocks(raw: Any) -> Iterator[bytes]:
    """Bytes of an answer as they arrive, so that a break loses none; _Broken where it breaks."""
    try:
        if getattr(raw, "chunked", False):
            yield from raw.stream(BLOCK, decode_content=False)
        else:
            while block := raw.read1(BLOCK, decode_content=False):
                yield block
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _Broken(str(error) or type(error).__name__) from error


def _watched(blocks: Iterator[bytes], end: float) -> Iterator[bytes]:
    """The same blocks; _Broken where they come too slowly, or after `end`."""
    begin, count = monotonic(), 0
    for block in blocks:
        yield block
        now, count = monotonic(), count + len(block)
        if now > end:
            raise _Broken(f"not complete after {LIMIT / 3600:g} hours")
        if now - begin >= WINDOW:
            if count < SLOWEST * (now - begin):
                raise _Broken(f"{count} bytes in {now - begin:.0f} s")
            begin, count = now, 0
