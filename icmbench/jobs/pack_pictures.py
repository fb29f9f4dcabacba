"""The archive of remotely decoded streams."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icmbench.transfer import packed


def pack_pictures(*, config: Mapping[str, Any], root: Path, archive: Path) -> None:
    """Pack all reconstructions, to be sent back; `root`: folder of the workflow."""
    packed.pack_pictures(config, archive, root)
