"""Plotly.js, the library that draws the report's charts: from the installed package `plotly`.

It goes into the page compressed; the page's script unpacks it, and the policy of the page allows
it by its digest.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.metadata
import re
from dataclasses import dataclass
from typing import Final

from icmbench.core.errors import MeasurementError

PACKAGE: Final = "plotly"
_LEVEL: Final = 9  # of gzip


@dataclass(frozen=True)
class Library:
    """A script of others, ready for the page.

    Attributes:
        name: with its version.
        packed: the script, compressed by gzip, in base64.
        digest: sha256 of the script in base64, as a content security policy has it.
        licence: its text.
    """

    name: str
    packed: str
    digest: str
    licence: str


def plotly_library() -> Library:
    """Plotly.js of the installed package.

    Raises MeasurementError where the package has no licence: it must stand beside the script.
    """
    from plotly.offline import get_plotlyjs, get_plotlyjs_version

    script = get_plotlyjs().encode()
    return Library(
        name=f"plotly.js {get_plotlyjs_version()}",
        packed=packed(script.decode()),
        digest=script_digest(script.decode()),
        licence=_licence(),
    )


def packed(text: str) -> str:
    """A text compressed by gzip, in base64: the page's script unpacks it."""
    return base64.b64encode(gzip.compress(text.encode(), _LEVEL, mtime=0)).decode()


def script_digest(script: str) -> str:
    """The digest by which a page's policy allows a script and no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _licence() -> str:
    for path in importlib.metadata.files(PACKAGE) or ():
        if re.fullmatch(r"LICEN[CS]E(\.\w+)?", path.name) and ".dist-info" in str(path):
            return path.read_text(encoding="utf-8").strip()
    raise MeasurementError(
        f"the installed package {PACKAGE} has no licence file, which the report shows beside its "
        f"script: install it again (pip install --force-reinstall {PACKAGE})"
    )
