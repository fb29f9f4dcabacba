"""Signs: over shops, in streets, at doors; labels of parcels and of goods."""

from __future__ import annotations

from typing import Final

from numpy.random import Generator

from icmbench.lettering import words
from icmbench.lettering.board import Board, Colour, Sheet, size_for
from icmbench.lettering.fonts import (
    MONO,
    MONO_BOLD,
    SANS,
    SANS_BOLD,
    SANS_OBLIQUE,
    SERIF,
    SERIF_BOLD,
    SERIF_ITALIC,
    TIMES_BOLD,
    TIMES_ITALIC,
    Face,
)

Pair = tuple[Colour, Colour]  # ground and ink
Line = tuple[str, Face, float]  # text, face and size

CAPITAL: Final = 0.73  # height of capitals in ems
EDGE: Final = 7.0  # pixels that a frame takes

SHOPS: Final[tuple[Pair, ...]] = (
    ((26, 62, 48), (232, 214, 150)), ((122, 26, 30), (244, 236, 220)),
    ((236, 228, 206), (96, 30, 26)), ((32, 36, 44), (222, 222, 226)),
    ((228, 178, 52), (44, 32, 24)), ((38, 78, 122), (240, 240, 236)),
    ((190, 198, 192), (46, 74, 66)), ((112, 84, 60), (238, 222, 190)),
)  # fmt: skip
STREETS: Final[tuple[Pair, ...]] = (
    ((22, 60, 132), (240, 242, 244)), ((236, 238, 236), (26, 28, 34)),
    ((18, 96, 66), (236, 240, 234)), ((240, 240, 226), (28, 62, 130)),
    ((108, 70, 44), (242, 238, 228)),
)  # fmt: skip
WARNINGS: Final[tuple[Pair, ...]] = (
    ((240, 196, 26), (30, 28, 24)), ((184, 28, 32), (244, 240, 236)),
    ((238, 238, 234), (170, 28, 30)), ((30, 110, 74), (240, 244, 238)),
)  # fmt: skip
SHOP_FACES: Final = (SANS_BOLD, SERIF_BOLD, TIMES_BOLD, SERIF_ITALIC, SERIF, SANS_OBLIQUE)


def shop_sign(rng: Generator, width: float, height: float) -> Sheet:
    """A board over a shop: its trade or its owner in large letters, a claim in small ones."""
    ground, ink = words.pick(rng, SHOPS)
    board = Board(width, height, ground, corner=rng.uniform(0, 4))
    if rng.random() < 0.6:
        board.frame(rng.uniform(3, 6), rng.uniform(1, 2.5), ink, 2)
    face = words.pick(rng, SHOP_FACES)
    trade = words.pick(rng, words.TRADES)
    owner = words.pick(rng, words.PERSONS).partition(" ")[2]
    name = words.pick(rng, (trade, f"{owner}'s {trade.title()}", f"{trade} {owner.upper()}", owner))
    claim = words.pick(rng, words.CLAIMS) if height > 62 and rng.random() < 0.75 else ""
    room = 0.84 * width, (0.45 if claim else 0.62) * height
    large = size_for(name, face, room[0], 16, min(48, room[1]))
    small = words.pick(rng, (SANS, SERIF_ITALIC, TIMES_ITALIC))
    size = size_for(claim, small, 0.82 * width, 11, min(18, 0.6 * large)) if claim else 0
    _centred(board, (name, face, large), (claim, small, size), ink)
    return board.sheet(rng, grain=rng.uniform(1, 3), mottle=rng.uniform(2, 6),
                       glossy=rng.random() < 0.5)  # fmt: skip


def street_sign(rng: Generator, width: float, height: float) -> Sheet:
    """A name of a street with the numbers of its houses, or places with their distances."""
    ground, ink = words.pick(rng, STREETS)
    board = Board(width, height, ground, corner=rng.uniform(2, 7))
    board.frame(2.5, 1.5, ink, rng.uniform(2, 5))
    face = words.pick(rng, (SANS_BOLD, SANS, SERIF_BOLD))
    if height > 80 and rng.random() < 0.6:
        _distances(rng, board, ink)
    else:
        name = words.street(rng)
        large = size_for(name, face, 0.84 * width, 14, min(36, 0.5 * height))
        low = words.whole(rng, 1, 60)
        second = words.pick(rng, (f"{low} - {low + 2 * words.whole(rng, 4, 30)}",
                                  words.pick(rng, words.PLACES), ""))  # fmt: skip
        size = min(size_for(second, SANS, 0.8 * width, 11, 20), 0.75 * large) if second else 0
        _centred(board, (name, face, large), (second, SANS, size), ink)
    for x in (5.5, width - 5.5):
        board.disc(x, height / 2, 1.6, (150, 150, 148))
    return board.sheet(rng, grain=rng.uniform(0.5, 1.5), mottle=rng.uniform(1, 4), glossy=True)


def _centred(board: Board, first: Line, second: Line, ink: Colour) -> None:
    """Write a large line, and a small one below it if it has a text and there is room for it."""
    (name, face, large), (text, small, size) = first, second
    gap = 0.7 * size + 0.1 * large if text else 0
    tall = CAPITAL * (large + size) + gap
    if text and board.height - tall < 2 * (EDGE + 0.25 * size):
        text, tall = "", CAPITAL * large
    y = (board.height - tall) / 2 + CAPITAL * large
    board.write(name, board.width / 2, y, face, large, ink, "m")
    if text:
        board.write(text, board.width / 2, y + gap + CAPITAL * size, small, size, ink, "m")


def _distances(rng: Generator, board: Board, ink: Colour) -> None:
    """Rows of an arrow, a place and its distance."""
    rows = max(2, min(3, int(board.height / 40)))
    pitch = board.height / rows
    places = words.several(rng, words.PLACES, rows)
    size = min(size_for(f"{max(places, key=len)} 88.8 km", SANS_BOLD, 0.66 * board.width, 12, 30),
               0.5 * pitch)  # fmt: skip
    for row, place in enumerate(places):
        y = (row + 0.5) * pitch
        length = 1.2 * size
        if rng.random() < 0.5:
            board.arrow(0.07 * board.width, y, length, ink)
        else:
            board.arrow(0.07 * board.width + length, y, -length, ink)
        far = f"{place} {words.whole(rng, 2, 148)} km"
        board.write(far, 0.07 * board.width + 1.9 * size, y + 0.36 * size, SANS_BOLD, size, ink)
        if row:
            board.rule(6, row * pitch, board.width - 6, 1, ink)


def warning(rng: Generator, width: float, height: float) -> Sheet:
    """A short word of warning or direction in large capitals."""
    ground, ink = words.pick(rng, WARNINGS)
    board = Board(width, height, ground, corner=rng.uniform(2, 6))
    board.frame(3, rng.uniform(1.5, 3), ink, 3)
    text = words.pick(rng, words.NOTICES)
    face = words.pick(rng, (SANS_BOLD, SANS_BOLD, SERIF_BOLD))
    large = size_for(text, face, 0.8 * width, 14, min(44, 0.55 * height))
    small = words.pick(rng, (f"valid until {words.date(rng)}", f"call {words.whole(rng, 200, 999)} "
                             f"{words.whole(rng, 1000, 9999)}", ""))  # fmt: skip
    size = size_for(small, SANS, 0.8 * width, 11, 16) if small else 0
    _centred(board, (text, face, large), (small, SANS, size), ink)
    return board.sheet(rng, grain=rng.uniform(0.5, 2), mottle=rng.uniform(1, 5), glossy=True)


def label(rng: Generator, width: float, height: float) -> Sheet:
    """A label of a parcel or of goods: a band with a name, then numbers, an address, a price."""
    board = Board(width, height, (242, 242, 236), corner=rng.uniform(0, 6))
    ground, light = words.pick(rng, SHOPS)
    ink = (28, 28, 30)
    size = rng.uniform(11.5, 15)
    band = max(0.22 * height, 2.1 * size)
    board.block(0, 0, width, band, ground if sum(ground) < 400 else ink)
    title = words.pick(rng, words.GOODS).upper()
    large = size_for(title, SANS_BOLD, 0.84 * width, 12, 0.62 * band)
    board.write(title, 0.07 * width, band / 2 + 0.36 * large, SANS_BOLD, large,
                light if sum(ground) < 400 and sum(light) > 500 else (244, 244, 240))  # fmt: skip
    rows = [f"No. {words.code(rng)}", words.date(rng), words.pick(rng, words.PERSONS),
            words.address(rng), words.pick(rng, words.PLACES),
            f"{words.whole(rng, 2, 95) * 10} g", f"Lot {words.code(rng)}"]  # fmt: skip
    y = band + 1.7 * size
    face = words.pick(rng, (SANS, MONO, SERIF))
    for text in words.several(rng, rows, 6):
        if y > height - 0.6 * size:
            break
        fit = size_for(text, face, 0.82 * width, 10.5, size)
        board.write(text, 0.07 * width, y, face, fit, ink)
        y += 1.6 * size
    cost = words.price(rng)
    if y + 1.9 * size < height:
        board.rule(0.07 * width, y - 0.6 * size, 0.93 * width, 1, ink)
        board.write(cost, 0.93 * width, y + 1.4 * size, MONO_BOLD, 1.7 * size, ink, "r")
    return board.sheet(rng, grain=rng.uniform(0.5, 2), mottle=rng.uniform(1, 3),
                       glossy=rng.random() < 0.5)  # fmt: skip
