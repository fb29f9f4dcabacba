from __future__ import annotations
from dataclasses import dataclass
@dataclass
class Person:
    solids: list
    centre: tuple
    radius: float
    depth: float
    landmarks: object
def make_person(rng, camera):
    return Person([], (0,0), 1, 6, None)
