"""Error texts that name the nearest right word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST = 30  # names listed


def unknown(kind: str, word: str, known: Iterable[str]) -> str:
    """``unknown codec 'wepb': did you mean 'webp'? (known: avif, heic, ...)``."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]!r}?" if near else ""
    more = f", and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"unknown {kind} {word!r}{hint} (known: {', '.join(names[:MOST]) or 'none'}{more})"
