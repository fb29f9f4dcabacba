"""Order of texts with numbers in them as people expect it: 8 before 62."""

from __future__ import annotations

import re

NaturalKey = tuple[tuple[str | float, ...], str]


def natural_key(text: str) -> NaturalKey:
    """Sort key by which the numbers in a text count by their value: `q=8` before `q=62`.

    Signs are text (`a-2` follows `a-1`). Texts that differ only in how a number is written (`1`,
    `1.0`) keep their alphabetical order, so that different texts have different keys.
    """
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    # Text and number alternate, so that a number is only ever compared with a number.
    return tuple(float(p) if i % 2 else p for i, p in enumerate(parts)), text
