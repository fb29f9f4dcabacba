"""Words, names and numbers of the texts, written for this project; any likeness is chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from numpy.random import Generator

Item = TypeVar("Item")

TREES: Final = (
    "Alder", "Bridge", "Canal", "Chestnut", "Garden", "Harbour", "Hazel", "Hill", "Linden",
    "Market", "Meadow", "Mill", "Orchard", "Poplar", "River", "School", "Station", "Tanner",
    "Tower", "Willow",
)  # fmt: skip
WAYS: Final = ("Street", "Road", "Lane", "Square", "Avenue", "Way", "Court", "Row")
PLACES: Final = (
    "Ashmere", "Brackwell", "Corvane", "Dunlow", "Elmstead", "Farholt", "Grenfield", "Hartsby",
    "Kelmouth", "Larkham", "Norwick", "Oldbridge", "Pelham Vale", "Ravensea", "Stonecross",
    "Thornley",
)  # fmt: skip
PERSONS: Final = (
    "A. Bergman", "C. Dorner", "D. Okafor", "E. Lindqvist", "F. Marsh", "H. Castell", "J. Novak",
    "K. Ferreira", "L. Haddad", "M. Tanaka", "N. Sorel", "P. Whitlock", "R. Kaminski", "S. Vogel",
    "T. Albrook", "V. Mehta",
)  # fmt: skip
TRADES: Final = (
    "BAKERY", "BOOKS", "BUTCHER", "CAFE", "CYCLES", "FLOWERS", "GARAGE", "GROCERY", "HARDWARE",
    "HOTEL", "JEWELLER", "LAUNDRY", "LIBRARY", "MUSEUM", "OPTICIAN", "PHARMACY", "RECORDS",
    "SHOES", "TAILOR", "TEA HOUSE",
)  # fmt: skip
CLAIMS: Final = (
    "fresh every morning", "open seven days a week", "repairs while you wait", "since 1968",
    "hand made in Norwick", "best prices in town", "new and second hand", "family business",
    "free delivery", "please ring the bell", "quality since 1924", "now on two floors",
)  # fmt: skip
GOODS: Final = (
    "Apples", "Apricot jam", "Barley soup", "Black tea", "Brown bread", "Butter", "Carrots",
    "Cherry cake", "Coffee beans", "Cream cheese", "Flour", "Ginger ale", "Honey", "Lemonade",
    "Mushrooms", "Oat milk", "Olive oil", "Onions", "Pears", "Plum tart", "Potatoes", "Rice",
    "Rye bread", "Tomatoes", "Walnuts", "Yoghurt",
)  # fmt: skip
NOTICES: Final = (
    "NO PARKING", "PRIVATE ROAD", "KEEP CLEAR", "MIND THE STEP", "WET FLOOR", "PULL", "EXIT",
    "TICKETS", "DEAD END", "SLOW DOWN", "FIRE DOOR", "LOADING BAY", "NO ENTRY", "RECEPTION",
)  # fmt: skip
MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SENTENCES: Final = (
    "The meeting on {date} begins at {time} in room {number}.",
    "Please return the form to {person} before {date}.",
    "Your order {code} was sent to {address} on {date}.",
    "The lift on floor {small} is closed until {day}, {time}.",
    "We thank you for your letter of {date}.",
    "The price of {goods} rises from {price} to {price}.",
    "Keys are kept by {person}, {address}.",
    "All trains to {place} leave from platform {small}.",
    "The garden is open from {time} until dusk.",
    "Visitors park behind the hall, next to {street}.",
    "The sum of {price} is due within {number} days.",
    "Boxes with the number {code} belong to {person}.",
    "The library in {place} lends up to {small} books at a time.",
    "On {day} we measured {number} litres of rain.",
    "Turn left after the old mill and follow {street}.",
    "The copy is for {person}, the original stays in {place}.",
)
LETTERS: Final = "ABCDEFGHJKLMNPRSTUVWXYZ"  # without I, O, Q: like 1 and 0 in many faces


def pick(rng: Generator, items: Sequence[Item]) -> Item:
    """One of the items."""
    return items[int(rng.integers(len(items)))]


def several(rng: Generator, items: Sequence[Item], count: int) -> list[Item]:
    """Different ones of the items."""
    return [items[int(n)] for n in rng.permutation(len(items))[:count]]


def whole(rng: Generator, low: int, high: int) -> int:
    """A whole number of `low` to `high`."""
    return int(rng.integers(low, high + 1))


def price(rng: Generator) -> str:
    """An amount of money."""
    amount = f"{whole(rng, 1, 48)}.{pick(rng, ('00', '20', '49', '50', '75', '80', '95', '99'))}"
    return pick(rng, ("${}", "{} EUR", "£{}", "{}")).format(amount)


def date(rng: Generator) -> str:
    """A day of a year, in one of four forms."""
    day, month, year = whole(rng, 1, 28), whole(rng, 1, 12), whole(rng, 1998, 2032)
    name = MONTHS[month - 1]
    forms = (f"{day} {name} {year}", f"{name} {day}, {year}", f"{day:02}/{month:02}/{year}",
             f"{year}-{month:02}-{day:02}")  # fmt: skip
    return pick(rng, forms)


def time(rng: Generator) -> str:
    """A time of day."""
    return f"{whole(rng, 6, 22)}:{pick(rng, ('00', '05', '15', '20', '30', '40', '45'))}"


def code(rng: Generator) -> str:
    """A number of an order, of an item, of a place on a shelf."""
    letters = "".join(pick(rng, LETTERS) for _ in range(whole(rng, 1, 3)))
    digits = whole(rng, 100, 99999)
    return pick(rng, (f"{letters}-{digits}", f"{letters}{digits}", f"{digits}-{letters}"))


def street(rng: Generator) -> str:
    """A name of a street."""
    return f"{pick(rng, TREES)} {pick(rng, WAYS)}"


def address(rng: Generator) -> str:
    """A number of a house, and its street."""
    return f"{whole(rng, 1, 240)} {street(rng)}"


def sentence(rng: Generator) -> str:
    """A sentence of a letter or of a notice."""
    parts: dict[str, Callable[[Generator], str]] = {
        "date": date, "time": time, "code": code, "street": street, "address": address,
        "price": price, "person": lambda r: pick(r, PERSONS), "place": lambda r: pick(r, PLACES),
        "goods": lambda r: pick(r, GOODS).lower(), "day": lambda r: pick(r, DAYS),
        "number": lambda r: str(whole(r, 11, 480)), "small": lambda r: str(whole(r, 2, 9)),
    }  # fmt: skip
    form = pick(rng, SENTENCES)
    words = []
    for piece in form.split("{"):
        name, closed, rest = piece.partition("}")
        words.append(f"{parts[name](rng)}{rest}" if closed else piece)
    return "".join(words)
