"""Paper: letters, price lists, notices of opening hours."""

from __future__ import annotations

from typing import Final

from numpy.random import Generator

from icmbench.lettering import words
from icmbench.lettering.board import Board, Colour, Sheet, size_for, text_width
from icmbench.lettering.fonts import (
    MONO,
    MONO_BOLD,
    SANS,
    SANS_BOLD,
    SERIF,
    SERIF_BOLD,
    TIMES,
    TIMES_BOLD,
    Face,
)

# A face and its bold companion.
PAIRS: Final = ((SANS, SANS_BOLD), (SERIF, SERIF_BOLD), (TIMES, TIMES_BOLD), (MONO, MONO_BOLD))
APART: Final = 3.0  # ems between two texts on one height
PAPERS: Final[tuple[Colour, ...]] = (
    (244, 243, 238), (238, 234, 222), (232, 235, 238), (246, 240, 214), (226, 222, 214),
)  # fmt: skip
INKS: Final[tuple[Colour, ...]] = (
    (24, 24, 28), (40, 38, 36), (28, 34, 74), (84, 82, 82), (96, 40, 34),
)  # fmt: skip


def letter(rng: Generator, width: float, height: float) -> Sheet:
    """A letter: sender and date, a heading, sentences; the page is cut off at its bottom."""
    board = Board(width, height, words.pick(rng, PAPERS))
    face, bold = words.pick(rng, PAIRS)
    ink = words.pick(rng, INKS)
    size = rng.uniform(11.5, 15)
    margin = rng.uniform(0.06, 0.1) * width
    right, y = width - margin, margin + 1.2 * size
    sender, day = words.pick(rng, words.PERSONS), words.date(rng)
    board.write(sender, margin, y, face, size, ink)
    # Far apart on one height, they are two lines to any reader.
    if text_width(f"{sender}{day}", face, size) + APART * size > right - margin:
        y += 1.5 * size
    board.write(day, right, y, face, size, ink, "r")
    y += 2.6 * size
    heading = f"{words.pick(rng, ('Order', 'Notice', 'Report', 'File'))} {words.code(rng)}"
    board.write(heading, margin, y, bold, size_for(heading, bold, right - margin, size, 1.6 * size),
                ink)  # fmt: skip
    y += 2.1 * size
    pitch = size * rng.uniform(1.45, 1.75)
    text: list[str] = []
    while y < height - 0.7 * margin:
        text = text or _wrapped(words.sentence(rng), face, size, right - margin)
        board.write(text.pop(0), margin, y, face, size, ink)
        y += pitch if text else 1.3 * pitch
    return board.sheet(rng, grain=rng.uniform(1, 3), mottle=rng.uniform(1, 4))


def price_list(rng: Generator, width: float, height: float) -> Sheet:
    """Goods and their prices in two columns, under a heading."""
    board = Board(width, height, words.pick(rng, PAPERS), corner=rng.choice([0, 3]))
    face, bold = words.pick(rng, PAIRS)
    ink, accent = words.pick(rng, INKS), words.pick(rng, INKS)
    margin = rng.uniform(0.07, 0.1) * width
    right = width - margin
    title = words.pick(rng, ("PRICES", "TODAY", "MENU", "IN SEASON", "FROM THE OVEN"))
    size = rng.uniform(12, 17)
    large = size_for(title, bold, right - margin, size, 1.9 * size)
    y = margin + large
    board.write(title, width / 2, y, bold, large, accent, "m")
    board.rule(margin, y + 0.55 * size, right, 1.2, accent)
    y += 2.1 * size
    pitch = size * rng.uniform(1.5, 1.9)
    for name in words.several(rng, words.GOODS, 12):
        if y > height - 0.7 * margin:
            break
        cost = words.price(rng)
        if text_width(f"{name}{cost}", face, size) + APART * size < right - margin:
            board.write(name, margin, y, face, size, ink)
            board.write(cost, right, y, face, size, ink, "r")
            y += pitch
    return board.sheet(rng, grain=rng.uniform(1, 3), mottle=rng.uniform(1, 4))


def hours(rng: Generator, width: float, height: float) -> Sheet:
    """Opening hours on a door: a heading, days with their times, a request."""
    dark = rng.random() < 0.35
    paper: Colour = (38, 44, 52) if dark else words.pick(rng, PAPERS)
    ink: Colour = (236, 234, 226) if dark else words.pick(rng, INKS)
    board = Board(width, height, paper, corner=rng.uniform(0, 5))
    face, bold = words.pick(rng, PAIRS[:3])
    title = words.pick(rng, ("OPENING HOURS", "OFFICE HOURS", "WE ARE OPEN", "Visiting hours"))
    claim = words.pick(rng, words.CLAIMS).capitalize()
    large = size_for(title, bold, 0.84 * width, 12, 26)
    size = min(size_for(claim, face, 0.84 * width, 11, 15), large)
    if rng.random() < 0.5:
        board.frame(4, 1.5, ink, 3)
    y = 0.08 * height + 1.2 * large
    board.write(title, width / 2, y, bold, large, ink, "m")
    y += 2.2 * size
    middle = words.whole(rng, 2, 4)
    spans = [f"{words.DAYS[0]} to {words.DAYS[middle]}", *words.DAYS[middle + 1 :]]
    for span in spans:
        if y > height - 2.6 * size:
            break
        opened, shut = words.whole(rng, 7, 11), words.whole(rng, 13, 21)
        first, last = words.pick(rng, ("00", "15", "30")), words.pick(rng, ("00", "30"))
        times = f"{opened}:{first} - {shut}:{last}" if span != "Sunday" else "closed"
        line = f"{span} {times}"
        board.write(line, width / 2, y, face, size_for(line, face, 0.86 * width, 10.5, size), ink,
                    "m")  # fmt: skip
        y += 1.65 * size
    if y < height - 0.8 * size:
        board.write(claim, width / 2, y + 0.3 * size, face, size, ink, "m")
    return board.sheet(rng, grain=rng.uniform(0.5, 2), mottle=rng.uniform(1, 3), glossy=dark)


def _wrapped(text: str, face: Face, size: float, width: float) -> list[str]:
    """Lines of a text, broken at spaces where the next word would pass the width."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, face, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return [line for line in lines if line]
