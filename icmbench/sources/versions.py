"""Version of a partial file: the validator that its server stated, in a small file beside it.

Bytes are added to a partial file only where the server confirms by the validator that the file is
still the same (RFC 9110, sections 8.8 and 13.1.5), or where a whole sha256 reveals a mixture.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from icmbench.core.files import write_json

_STRONG: Final = re.compile(r'"[\x21\x23-\x7e]*"')  # a weak one, W/"...", names no exact bytes


def version_file(part: Path) -> Path:
    """File that holds the validator of a partial file, and the address that stated it."""
    return part.with_name(f"{part.name}.json")


def validator(headers: Mapping[str, str]) -> str:
    """Strong validator of an answer: its ETag, or else Last-Modified; '' without.

    A date says nothing of a file that was written in the second of the answer.
    """
    if etag := headers.get("ETag", "").strip():
        return etag if _STRONG.fullmatch(etag) else ""
    modified = headers.get("Last-Modified", "").strip()
    try:
        age = parsedate_to_datetime(headers["Date"]) - parsedate_to_datetime(modified)
    except (KeyError, ValueError, TypeError):
        return ""
    return modified if age >= timedelta(seconds=1) else ""


def keep_version(part: Path, url: str, version: str) -> None:
    """Keep the validator of a partial file; '': none, and that of earlier bytes is removed."""
    if version:
        write_json(version_file(part), {"url": url, "validator": version})
    else:
        version_file(part).unlink(missing_ok=True)


def kept_version(part: Path, url: str) -> str:
    """Validator of a partial file that came from `url`; '' if none is kept or can be read."""
    try:
        stored = json.loads(version_file(part).read_text("utf-8"))
        return str(stored["validator"]) if stored["url"] == url else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def discard(part: Path) -> None:
    """Remove a partial file and its validator, the file first: none outlives its bytes."""
    part.unlink(missing_ok=True)
    version_file(part).unlink(missing_ok=True)
