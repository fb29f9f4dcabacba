"""numba's cache, kept apart by what was compiled.

numba notices that a function's own file has changed, not that a function it calls has, in another
file: after an update the old machine code would go on coding streams. So the cache lies in a folder
that is named by the sources of all compiled modules together. Import this before `numba.njit`.

Where that folder cannot be written numba would quietly take one without that name: another is
chosen here, and where there is none nothing is kept.
"""

from __future__ import annotations

import logging
import os
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numba
from numba.core import event

import icmbench
from icmbench.core import jit_notice as compiling
from icmbench.core.files import sha256_bytes

log = logging.getLogger(__name__)

_PACKAGE: Final = Path(icmbench.__file__).parent
# The sources of machine code, and of the constants that are copied into it.
MODULES: Final = (
    "bitstream/arithmetic.py", "codecs/mpd/palette/hierarchy.py", "codecs/mpd/palette/rdo.py",
    "codecs/mpd/stream/contexts.py", "codecs/mpd/stream/refinement.py",
    "codecs/mpd/stream/refinement_contexts.py", "codecs/mpd/stream/section.py", "models/latent.py",
)  # fmt: skip
_TEMPORARY: Final = f"{tempfile.gettempdir()}/icmbench-{os.getuid()}"


def cache_folder() -> Path | None:
    """The folder of these sources' machine code, made if need be; None: nowhere to keep it.

    Below NUMBA_CACHE_DIR or the package, else below the user's cache, else the temporary folder.
    """
    digest = sha256_bytes(b"".join((_PACKAGE / name).read_bytes() for name in MODULES))
    bases = (
        os.environ.get("NUMBA_CACHE_DIR") or str(_PACKAGE / "__pycache__"),
        os.path.expanduser("~/.cache/icmbench"),
        _TEMPORARY,
    )
    for base in bases:
        folder = Path(base).absolute() / f"numba-{digest[:16]}"
        try:
            _make(folder)
        except OSError as error:
            log.warning("numba's cache cannot be kept in %s: %s", folder, error)
        else:
            return folder
    return None


def _make(folder: Path) -> None:
    """OSError where the folder cannot be made and written."""
    if str(folder.parent) == _TEMPORARY:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.parent.stat().st_uid != os.getuid():  # machine code would come from another user
            raise PermissionError(f"{folder.parent} is another user's")
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()


class _Events(event.Listener):  # type: ignore[misc]
    """Forward the starts and ends of numba's compiler; machine code from the cache has none."""

    def on_start(self, event: Any) -> None:
        compiling.started()

    def on_end(self, event: Any) -> None:
        compiling.ended()


event.register("numba:compile", _Events())  # type: ignore[no-untyped-call]
_folder: Final = cache_folder()
if _folder is not None:
    numba.config.CACHE_DIR = str(_folder)  # type: ignore[attr-defined]


def compiled(function: Callable[..., Any]) -> Any:
    """`numba.njit`, with a cache that several processes may fill at once."""
    dispatcher = numba.njit(cache=_folder is not None)(function)
    if _folder is not None and not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        _name_apart(dispatcher._cache._cache_file)  # type: ignore[attr-defined]
    return dispatcher


def _name_apart(files: Any) -> None:
    """Give every variant of a function a file of its own.

    numba numbers them: it reads the index, adds a variant and writes it back. Two processes that do
    so at once may give two variants the same file, and one would run as the other.
    """
    number_name = files._data_name
    files._data_name = lambda number: f"{uuid.uuid4().hex[:16]}.{number_name(number)}"
