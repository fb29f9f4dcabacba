"""Downloads that are resumed, checked, and complete or absent."""

from __future__ import annotations

import os
import time
from pathlib import Path

import requests

from icmbench.errors import DatasetError
from icmbench.files import sha256_file
from icmbench.progress import progress

TIMEOUT = (10, 60)  # seconds to connect, seconds without a byte
BLOCK = 1 << 16


def download(url: str, target: Path, sha256: str | None = None, *, attempts: int = 4) -> Path:
    """Fetch `url` to `target`, resuming `target.part` where an earlier try left one.

    A target that is already there with the right checksum is not fetched again. `sha256` is of the
    file; None leaves the check (and the removal of a wrong file) to the caller.

    Raises DatasetError, naming the URL, when the server refuses, the connection keeps failing or
    the checksum differs (the wrong bytes are removed, so that the next run starts afresh).
    """
    if target.exists() and (sha256 is None or sha256_file(target) == sha256):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    for attempt in range(attempts):
        try:
            _fetch(url, part)
            break
        except requests.HTTPError as error:
            raise DatasetError(f"{url}: {error}") from error
        except requests.RequestException as error:
            if attempt + 1 == attempts:
                raise DatasetError(
                    f"{url}: {error}; what arrived is kept, run again to resume"
                ) from error
            time.sleep(min(2**attempt, 8))
    if sha256 is not None and (found := sha256_file(part)) != sha256:
        part.unlink()
        raise DatasetError(f"{url}: sha256 is {found}, expected {sha256}")
    os.replace(part, target)
    return target


def _fetch(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:  # the part is complete, or longer than the file
            if response.headers.get("Content-Range", "").endswith(f"/{have}"):
                return
            part.unlink()
            raise requests.ConnectionError("the partial file was longer than the remote one")
        response.raise_for_status()
        resumed = response.status_code == 206
        length = response.headers.get("Content-Length")
        total = int(length) + (have if resumed else 0) if length else None
        with (
            open(part, "ab" if resumed else "wb") as handle,
            progress(
                total=total,
                initial=have if resumed else 0,
                desc=part.stem,
                unit="B",
                unit_scale=True,
            ) as bar,
        ):
            for block in response.iter_content(BLOCK):
                handle.write(block)
                bar.update(len(block))
    if total is not None and part.stat().st_size != total:
        raise requests.ConnectionError(f"got {part.stat().st_size} of {total} bytes")
