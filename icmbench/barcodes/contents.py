"""Numbers and texts of symbols and of the sheets around them, drawn at random.

EAN numbers begin with 2, the range of GS1 for numbers within a company, and addresses are of
example.org (RFC 2606): no symbol names a product or a site that exists.
"""

from __future__ import annotations

from typing import Final

from numpy.random import Generator

from icmbench.barcodes.symbols import ean13

_LETTERS: Final = "ABCDEFGHJKLMNPRSTUVWXYZ"
_SIGNS: Final = _LETTERS + "23456789"

EVENTS: Final = (
    ("Harbour", "concert"), ("Open day", "at the works"), ("Night of", "short films"),
    ("Spring", "market"), ("Bicycle", "repair day"), ("Choir of", "the valley"),
    ("Town", "marathon"), ("Garden", "exchange"), ("Paper", "and print"), ("Winter", "lectures"),
)  # fmt: skip
GOODS: Final = (
    "Rye bread 500 g", "Apple juice 1 l", "Oat biscuits", "Green tea", "Pencils, 12",
    "Linseed oil", "Wool socks 41", "Paper tape", "Hazel nuts 200 g", "Lamp oil 1 l",
    "Hand soap", "Plum jam 340 g",
)  # fmt: skip
OWNERS: Final = ("Workshop", "Pump room", "Laboratory", "Stores", "Line", "Bay", "Hall")
STREETS: Final = ("Mill Lane", "Quay Road", "Station Street", "Orchard Way", "Bridge Street")
TOWNS: Final = ("Norfield", "Eastwick", "Harlow Bay", "Lindenau", "Port Ellis", "Stone Mills")
NAMES: Final = ("A. Berger", "M. Okafor", "J. Lindqvist", "P. Moreau", "S. Tanaka", "K. Novak")


def pick(rng: Generator, values: tuple[str, ...]) -> str:
    """One of several texts."""
    return values[int(rng.integers(len(values)))]


def number(rng: Generator, digits: int) -> str:
    """A number of so many digits, its first not 0."""
    return "".join(str(rng.integers(n == 0, 10)) for n in range(digits))


def signs(rng: Generator, count: int) -> str:
    """Capital letters and digits that are not mistaken for each other."""
    return "".join(_SIGNS[int(rng.integers(len(_SIGNS)))] for _ in range(count))


def content(rng: Generator, kind: str) -> str:
    """A short text or number for a symbol of a format of `icmbench.barcodes.formats`."""
    if kind == "ean13":
        return ean13("2" + number(rng, 11))
    if kind == "code128":
        letters = signs(rng, 2) if rng.random() < 0.5 else ""
        return letters + number(rng, 8 if letters else 10)
    if kind == "data_matrix":
        return pick(rng, (f"LOT {number(rng, 4)}-{signs(rng, 2)}", f"SN{number(rng, 8)}"))
    shapes = (f"HTTPS://EXAMPLE.ORG/{signs(rng, 5)}", f"TICKET {number(rng, 6)}",
              f"SEAT {number(rng, 2)} ROW {number(rng, 2)}")  # fmt: skip
    return pick(rng, shapes)
