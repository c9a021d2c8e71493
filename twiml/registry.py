"""What a dialect has, listed: every element with where it stands, every attribute that works.

The page about TwiML is made of it, and whoever tests that attributes do something tests this list.
"""

from collections.abc import Iterator
from typing import TypeVar

from twiml.elements import Dialect, Element

__all__ = ["Place", "elements", "promised"]

V = TypeVar("V")

Place = tuple[str, ...]
"""The names of an element and of those around it, a verb's first."""


def elements(dialect: Dialect[V]) -> Iterator[tuple[Place, Element[object]]]:
    """Each verb and what stands in it, in order; of what stands in itself, or is a verb, once."""
    for name, verb in dialect.elements.items():
        yield from _within((name,), verb, set(dialect.elements))


def _within(
    place: Place, element: Element[object], told: set[str]
) -> Iterator[tuple[Place, Element[object]]]:
    yield place, element
    new = {name: child for name, child in element.children.items() if name not in told}
    told |= new.keys()
    for name, child in new.items():
        yield from _within((*place, name), child, told)


def promised(dialect: Dialect[V]) -> Iterator[tuple[Place, str]]:
    """Each attribute that has an effect, and the element that it stands at."""
    for place, element in elements(dialect):
        for name in element.attributes:
            if name not in element.undone:
                yield place, name
