"""numba's cache, kept apart by what was compiled.

numba notices that a function's own file has changed, not that a function it calls has, in another
file: after an update the old machine code would go on coding streams. So the cache lies in a folder
that is named by the sources of all compiled modules together. Import this before `numba.njit`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numba

from icmbench.files import sha256_bytes

_PACKAGE: Final = Path(__file__).parent
MODULES: Final = (
    "bitstream/arithmetic.py",
    "mpd/contexts.py",
    "mpd/palette.py",
    "mpd/rdo.py",
    "mpd/section.py",
)

_digest = sha256_bytes(b"".join((_PACKAGE / name).read_bytes() for name in MODULES))
_base = os.environ.get("NUMBA_CACHE_DIR") or str(_PACKAGE / "__pycache__")
numba.config.CACHE_DIR = str(Path(_base) / f"numba-{_digest[:16]}")  # type: ignore[attr-defined]

compiled = numba.njit(cache=True)
