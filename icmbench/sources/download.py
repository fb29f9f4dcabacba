"""Downloads that are resumed, checked, and complete or absent."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import monotonic
from typing import Any, Final

import requests
import urllib3

from icmbench.core.errors import DatasetError
from icmbench.core.files import storage_errors
from icmbench.core.progress import progress
from icmbench.sources.answers import Answer, Broken, check_believable, place_of
from icmbench.sources.checks import WHOLE, check_free, wrong_content
from icmbench.sources.meter import Meter
from icmbench.sources.versions import discard, keep_version, kept_version, validator

TIMEOUT: Final = (10, 60)  # seconds to connect, seconds without a byte
BLOCK: Final = 1 << 16
SLOWEST: Final = 1024  # bytes per second, over a minute: slower is a broken connection
WINDOW: Final = 60.0  # seconds
LIMIT: Final = 6 * 3600.0  # seconds of one call; what arrived is kept
LONGEST_PAUSE: Final = 60.0  # seconds, even where a server requests more
BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})  # another attempt may succeed


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

    It is resumed where the server confirms that the file is the same (`sources.versions`), or
    where all digits of a sha256 are given, which reveal a mixture; otherwise it starts afresh.
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
    part, whole = incomplete(target), len(expected.get("sha256", "")) == WHOLE
    if size is not None and _held(part) > size:
        discard(part)  # of another file
    end = monotonic() + LIMIT
    for attempt in range(attempts):
        try:
            with storage_errors(target):
                _fetch(url, part, end, meter, checked=bool(expected), whole=whole)
            break
        except Broken as error:
            if attempt + 1 == attempts or monotonic() > end:
                raise DatasetError(f"{url}: {error}; {_remedy(url, part, whole)}") from error
            time.sleep(min(max(2.0**attempt, error.pause), LONGEST_PAUSE))
        except requests.RequestException as error:  # an address that is none, too many redirects
            raise DatasetError(f"{url}: {error}") from error
    if reason := wrong_content(part, size, expected):
        discard(part)
        raise DatasetError(f"{url}: {reason}")
    os.replace(part, target)
    discard(part)
    return target


def incomplete(target: Path) -> Path:
    """File that holds what arrived of a target."""
    return target.with_name(f"{target.name}.part")


def _held(part: Path) -> int:
    """Bytes of a partial file."""
    return part.stat().st_size if part.exists() else 0


def _remedy(url: str, part: Path, whole: bool) -> str:
    if whole or not _held(part) or kept_version(part, url):
        return "what arrived is kept, run again to resume"
    return (
        "what arrived cannot be resumed, because the server states no version of the file: run "
        "again to start afresh"
    )


def _fetch(
    url: str, part: Path, end: float, meter: Meter | None, *, checked: bool, whole: bool
) -> None:
    """One attempt; a checksum (`checked`) or a whole sha256 (`whole`) is compared afterwards.

    Raises Broken, DatasetError, or requests.RequestException for what no attempt can mend.
    """
    version, held = kept_version(part, url), _held(part)
    have = held if version or whole else 0
    with _request(url, have, version) as response:
        if response.status_code == 416 and have:  # the part is complete, or not of this file
            if response.headers.get("Content-Range", "").strip() == f"bytes */{have}":
                return
            discard(part)
            raise Broken("the partial file was longer than the remote one")
        if response.status_code in BUSY:
            pause = response.headers.get("Retry-After", "")
            seconds = float(pause) if re.fullmatch("[0-9]{1,6}", pause) else 0.0
            raise Broken(f"{response.status_code} {response.reason}", seconds)
        response.raise_for_status()
        answer = place_of(url, response, have, part)
        now = validator(response.headers)
        if answer.start and version and now not in ("", version):  # If-Range was ignored
            discard(part)
            raise Broken("the file changed after a part of it arrived: from the start")
        if not checked:
            check_believable(url, response, answer, part)
        check_free(part.parent, (answer.total or 0) - held, part.stem)
        if held and not answer.start:
            discard(part)
        keep_version(part, url, version if answer.start else now)
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
        raise Broken(f"got {found} of {answer.total} bytes")
    if answer.total is not None and found > answer.total:
        discard(part)
        raise Broken(f"got {found} bytes of a file of {answer.total}")


def _request(url: str, have: int, version: str) -> requests.Response:
    """Answer to a request for the bytes from `have` on, of that version of the file ('': any)."""
    # Bytes as they lie on the server: a compressed answer has neither their ranges nor their size.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": version} if version else {})
    try:
        return requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    except (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
    ) as error:
        raise Broken(str(error)) from error


@contextmanager
def _own_meter(part: Path, answer: Answer) -> Iterator[Meter]:
    """A bar of one file."""
    with progress(total=answer.total, desc=part.stem, unit="B", unit_scale=True) as bar:
        yield Meter(bar, {part: answer.total})


def _blocks(raw: Any) -> Iterator[bytes]:
    """Bytes of an answer as they arrive, so that a break loses none; Broken where it breaks."""
    try:
        if getattr(raw, "chunked", False):
            yield from raw.stream(BLOCK, decode_content=False)
        else:
            while block := raw.read1(BLOCK, decode_content=False):
                yield block
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Broken(str(error) or type(error).__name__) from error


def _watched(blocks: Iterator[bytes], end: float) -> Iterator[bytes]:
    """The same blocks; Broken where they come too slowly, or after `end`."""
    begin, count = monotonic(), 0
    for block in blocks:
        yield block
        now, count = monotonic(), count + len(block)
        if now > end:
            raise Broken(f"not complete after {LIMIT / 3600:g} hours")
        if now - begin >= WINDOW:
            if count < SLOWEST * (now - begin):
                raise Broken(f"{count} bytes in {now - begin:.0f} s")
            begin, count = now, 0
