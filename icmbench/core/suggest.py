"""Error texts that name the nearest right word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST = 30  # names listed


def unknown(kind: str, word: object, known: Iterable[str]) -> str:
    """``unknown codec 'wepb': did you mean 'webp'? (known: avif, heic, ...)``.

    A word that is no text (YAML reads 001 and on otherwise) has no nearest one: it is to be quoted.
    """
    if not isinstance(word, str):
        kinds = type(word).__name__
        return f"{kind} {word!r} is of type {kinds}; names are text: quote it, as '001' or 'on'"
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]!r}?" if near else ""
    more = f", and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"unknown {kind} {word!r}{hint} (known: {', '.join(names[:MOST]) or 'none'}{more})"
